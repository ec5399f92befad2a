//! The out-of-band sockets: one for each member of this process.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use presently_pool::MemberId;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// The sockets, and how many datagrams could not leave.
pub(super) struct OobSockets {
    sockets: Vec<(MemberId, UdpSocket)>,
    buffer: Vec<u8>,
    unsent: u64,
}

impl OobSockets {
    pub(super) fn new(sockets: Vec<(MemberId, UdpSocket)>) -> Self {
        Self {
            sockets,
            buffer: vec![0; DATAGRAM_BYTES],
            unsent: 0,
        }
    }

    /// Hands over what has arrived, a bounded share; whether there may be more.
    pub(super) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        mut take: impl FnMut(MemberId, SocketAddr, &[u8]),
    ) -> bool {
        let mut is_busy = false;
        for (member, socket) in &self.sockets {
            let mut left = SHARE;
            while left > 0 {
                let mut buffer = ReadBuf::new(&mut self.buffer);
                match socket.poll_recv_from(context, &mut buffer) {
                    Poll::Ready(Ok(from)) => take(*member, from, buffer.filled()),
                    // An ICMP answer to something sent: the next datagram is behind it.
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => break,
                }
                left -= 1;
            }
            is_busy |= left == 0;
        }
        is_busy
    }

    /// Sends, or drops what the kernel does not take: a wake is a hint, and links repair.
    pub(super) fn send(&mut self, from: MemberId, to: SocketAddr, datagram: &[u8]) {
        let socket = self.sockets.iter().find(|(member, _)| *member == from);
        let sent = match socket {
            Some((_, socket)) => socket.try_send_to(datagram, to),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        if sent.is_err() {
            self.unsent += 1;
        }
    }

    /// Closes the socket of `member`.
    pub(super) fn close(&mut self, member: MemberId) {
        self.sockets.retain(|(own, _)| *own != member);
    }

    pub(super) fn unsent(&self) -> u64 {
        self.unsent
    }
}

/// Datagrams taken from one socket in one turn.
const SHARE: usize = 64;
/// More than the largest frame of a link.
const DATAGRAM_BYTES: usize = 2_048;
