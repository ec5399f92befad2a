//! SIP messages, values, transactions and dialogs, without input, output or a clock.
//!
//! Start at [`Index::read`]: it turns the bytes of one message into a [`Message`], an index of
//! header spans over those bytes. Values ([`NameAddr`], [`Via`], [`CSeq`], [`Uri`] …) are parsed
//! when asked for. [`Writer`] and [`Response`] build messages; [`Edits`] describes what a proxy
//! changes while it passes one on. [`Aor`] is the one spelling of an address of record that the
//! whole pool agrees on.
//!
//! At work: `cargo run -p presently-sip --example parse_a_message`.

mod aor;
mod base32;
mod date;
mod flow;
#[doc(hidden)]
pub mod fuzz;
mod mac;
mod message;
mod put;
mod spans;
mod text;
mod time;
pub mod transaction;
mod uri;
mod value;
mod wheel;
mod writer;

pub use aor::{Aor, InvalidAor};
pub use base32::{base32, from_base32};
pub use date::{Date, Timestamp};
pub use flow::{Flow, Protocol, source};
pub use mac::{MacKey, Random, request_key};
pub use message::{
    BUFFER_MAX, Defect, Edits, Framing, Index, Message, Method, Name, ReadError, Start, Stream,
};
pub use spans::Spans;
pub use time::{Moment, Now, WallTime};
pub use uri::{Host, InvalidUri, Scheme, Uri};
pub use value::{CSeq, EntityTag, InvalidEntityTag, NameAddr, Params, Via};
pub use wheel::{TimerId, Wheel};
pub use writer::{Response, Writer};
