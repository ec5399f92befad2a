//! What a turn sends, handed to whoever has the sockets.

use std::net::SocketAddr;

use bytes::Bytes;
use presently_pool::MemberId;
use presently_sip::{Flow, Moment};

/// The world outside a host: sockets in the program, a virtual network in simulation.
pub trait Outside {
    /// The time, read again: a process may have been stopped since its turn began.
    fn now(&mut self) -> Moment;
    /// Sends a SIP message to a phone.
    fn to_phone(&mut self, flow: Flow, head: &[u8], body: &[u8]);
    /// Sends the text of a SIP message from one of the host's members to one elsewhere.
    fn to_link(&mut self, from: MemberId, to: MemberId, text: &[u8]);
    /// Sends an out-of-band datagram from one of the host's members.
    fn to_member(&mut self, from: MemberId, to: SocketAddr, datagram: &[u8]);
}

/// The text of a message for a member elsewhere.
#[derive(Debug)]
pub struct LinkMessage {
    /// Which of the host's members sends it.
    pub from: MemberId,
    /// To whom.
    pub to: MemberId,
    /// The text.
    pub text: Bytes,
    /// Whether it is a request that came as a datagram: its phone sends it again.
    pub is_repeated: bool,
}
