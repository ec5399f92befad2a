//! Out-of-band signalling between the members of a presence pool: UDP datagrams that wake a server
//! when something its clients watch has changed.
//!
//! A wake is a hint; the store is the truth. Losing, repeating, delaying or reordering datagrams
//! costs time, never correctness: [`Links`] notices what is missing, has it sent again, and where
//! that is no longer possible says so ([`Event::Gap`], [`Event::Reset`]), whereupon the server
//! reads the store.
//!
//! [`Frame`] is the wire format, [`Links`] the machine with all peers of one member. Neither owns a
//! socket or a clock. `docs/oob-wire.md` has the layout and the rules.
//!
//! At work: `cargo run -p presently-oob --example oob_link`.

mod counters;
mod frame;
pub mod fuzz;
mod heard;
mod link;
mod links;
mod outputs;
mod ring;
mod window;

pub use counters::Counters;
pub use frame::{
    DATAGRAM_MAX, Frame, FrameError, FrameKind, FrameWriter, Header, Item, ItemError, Items,
};
pub use links::Links;
pub use outputs::{Datagram, Event, Outputs};
