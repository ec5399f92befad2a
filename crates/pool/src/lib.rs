//! The vocabulary of a presence pool: who its members are, which server a client has, how far a
//! resource's state has come, and what travels between members.
//!
//! Plain values; no input, no output. [`Member`] is a balancer or a server; [`Assignment`] names a
//! client's distinguished server; a [`Wake`] says that a [`ResourceId`] has reached a [`Version`];
//! [`Passage`] is what a balancer and a server say to each other about one SIP message, over a link
//! that a [`Handshake`] opened; a [`FlowToken`] names the flow by which a phone is reached,
//! and a [`ContactToken`] the client a dialog belongs to.
//!
//! At work: `cargo run -p presently-pool --example link_handshake`.

mod assignment;
mod flow_token;
mod link;
mod member;
mod passage;
mod resource;
mod token;

pub use assignment::{Assignment, ClientId, Epoch};
pub use flow_token::FlowToken;
pub use link::{Handshake, LinkProgress, LinkRefused};
pub use member::{Incarnation, Member, MemberId, MemberState, Membership, Role};
pub use passage::{InvalidPassage, Kind, Passage};
pub use resource::{PackageName, ResourceId, Version, Wake};
pub use token::{ContactToken, key_number};
