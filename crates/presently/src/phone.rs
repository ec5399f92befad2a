//! A phone: a user agent on a UDP socket of its own.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use presently_agent::{Agent, Config, Event, Outputs};
use presently_sip::{Aor, Now, Protocol};
use tokio::net::UdpSocket;

use crate::driver::Clock;

/// One user agent that reaches a pool over UDP. Its owner asks things of it ([`Phone::ask`]) and
/// takes what happened ([`Phone::next_event`]).
#[derive(Debug)]
pub struct Phone {
    agent: Agent,
    socket: UdpSocket,
    clock: Clock,
    out: Outputs,
    events: VecDeque<Event>,
    buffer: Vec<u8>,
}

impl Phone {
    /// A phone of `aor` that sends everything to `pool`. Within a tokio runtime.
    ///
    /// # Errors
    ///
    /// No socket towards `pool` can be had.
    pub async fn open(aor: Aor, pool: SocketAddr) -> io::Result<Self> {
        let any = match pool {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(pool).await?;
        // Until the runtime has seen the socket once, it takes nothing to send.
        socket.writable().await?;
        let sent_by = socket.local_addr()?.to_string();
        let config = Config::new(aor, Protocol::Udp, &sent_by, rand::random());
        Ok(Self {
            agent: Agent::new(config),
            socket,
            clock: Clock::new(),
            out: Outputs::default(),
            events: VecDeque::new(),
            buffer: vec![0; DATAGRAM_BYTES],
        })
    }

    /// Lets `work` ask the agent for something, and sends what comes of it.
    pub fn ask<T>(&mut self, work: impl FnOnce(&mut Agent, Now, &mut Outputs) -> T) -> T {
        let now = self.clock.now();
        let answer = work(&mut self.agent, now, &mut self.out);
        self.flush();
        answer
    }

    /// The next thing that happens. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// Nobody listens at the pool's address, or the socket broke.
    pub async fn next_event(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let due = self.agent.poll_timeout();
            let due = due.map(|due| self.clock.instant(due));
            tokio::select! {
                received = self.socket.recv(&mut self.buffer) => {
                    let length = received?;
                    let bytes = self.buffer.get(..length).unwrap_or_default();
                    let now = self.clock.now();
                    self.agent.handle_message(now, bytes, &mut self.out);
                }
                () = until(due) => {
                    self.agent.handle_timeout(self.clock.now(), &mut self.out);
                }
            }
            self.flush();
        }
    }

    fn flush(&mut self) {
        for datagram in self.out.datagrams.drain(..) {
            // What the socket does not take now is repeated by the agent.
            let _ = self.socket.try_send(&datagram);
        }
        self.events.extend(self.out.events.drain(..));
    }
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The largest datagram there is.
const DATAGRAM_BYTES: usize = 65_536;
