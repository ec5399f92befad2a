//! One UDP socket.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use presently_sip::Flow;
use socket2::SockRef;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::{Arrivals, BindError, Counters, Listen, bind};

/// A listener for datagrams.
#[derive(Debug)]
pub(crate) struct Datagrams {
    socket: UdpSocket,
    listener: u8,
}

impl Datagrams {
    pub(crate) fn bind(listen: &Listen, listener: u8) -> Result<Self, BindError> {
        let socket = bind::udp(listen.address).and_then(UdpSocket::from_std);
        let socket = socket.map_err(|error| BindError::new(listen, error))?;
        Ok(Self { socket, listener })
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes datagrams until none is left, or enough for a turn; `true` when there may be more.
    pub(crate) fn receive(
        &self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        arrivals: &mut Arrivals,
        counters: &mut Counters,
    ) -> bool {
        for _ in 0..DATAGRAMS_A_TURN {
            let mut buffer = ReadBuf::new(scratch);
            match self.socket.poll_recv_from(cx, &mut buffer) {
                Poll::Pending => return false,
                // What the network says of datagrams sent before, to whomever.
                Poll::Ready(Err(_)) => counters.datagrams_undeliverable += 1,
                Poll::Ready(Ok(_)) if is_ping(buffer.filled()) => counters.pings += 1,
                Poll::Ready(Ok(from)) => {
                    counters.datagrams_received += 1;
                    let flow = Flow::udp(self.listener, from);
                    arrivals.push_message(flow, buffer.filled());
                }
            }
        }
        true
    }

    /// Sends one datagram, or drops it: who needs an answer will send again.
    pub(crate) fn send(&self, to: SocketAddr, bytes: &[u8], counters: &mut Counters) {
        // Past tokio, whose sockets can't send before they were polled for the first time.
        match SockRef::from(&self.socket).send_to(bytes, &to.into()) {
            Ok(_) => counters.datagrams_sent += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                counters.datagrams_dropped += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                counters.datagrams_undeliverable += 1;
            }
            Err(_) => counters.datagrams_refused += 1,
        }
    }
}

/// Whether a datagram only keeps a NAT open: nothing, line ends or zeros (phones send all of them).
fn is_ping(bytes: &[u8]) -> bool {
    bytes.len() <= 8 && bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// Then the other sockets have their turn.
const DATAGRAMS_A_TURN: usize = 64;
