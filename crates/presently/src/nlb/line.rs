//! The one SIP flow to the presence server: a UDP socket, or a TCP connection made when there is
//! something to say.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use bytes::Bytes;
use presently_nlb::{Input, Nlb as Machine, Outputs};
use presently_sip::{Flow, Moment, Now, Protocol};
use presently_transport::{Arrival, Arrivals, BindError, Listen, Transport};

use super::{Config, PresenceAddress};

/// The socket, and who may speak on it.
#[derive(Debug)]
pub(super) struct Line {
    transport: Transport,
    arrivals: Arrivals,
    presence: PresenceAddress,
    from: Vec<IpAddr>,
    /// The connection that was last sent on; `None` for UDP, and before the first message.
    flow: Option<Flow>,
    strangers: u64,
}

impl Line {
    /// Opens the socket. Within a tokio runtime.
    pub(super) fn open(config: &Config) -> Result<Self, BindError> {
        let listen = Listen::sip(config.presence.protocol, config.sip);
        Ok(Self {
            transport: Transport::bind(&[listen])?,
            arrivals: Arrivals::default(),
            presence: config.presence,
            from: config.presence_from.clone(),
            flow: None,
            strangers: 0,
        })
    }

    /// Where it is, once the system has chosen the port.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        let addresses = self.transport.local_addresses()?;
        let first = addresses.first().copied();
        first.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Hands `machine` what has arrived from the presence server; whether there was something.
    pub(super) fn receive(
        &mut self,
        now: Now,
        cx: &mut Context<'_>,
        machine: &mut Machine,
        out: &mut Outputs,
    ) -> bool {
        let polled = self
            .transport
            .poll_receive(cx, now.moment, &mut self.arrivals);
        if polled == Poll::Pending {
            return false;
        }
        for place in 0..self.arrivals.items.len() {
            match self.arrivals.items.get(place) {
                Some(Arrival::Message { flow, range }) => {
                    let flow = *flow;
                    if !self.from.contains(&flow.remote.ip().to_canonical()) {
                        self.strangers += 1;
                        continue;
                    }
                    let bytes = self.arrivals.bytes(range);
                    machine.handle_input(now, Input::Sip(bytes), out);
                    self.answer(now.moment, flow, &mut out.messages);
                }
                Some(Arrival::Closed { flow }) if Some(*flow) == self.flow => {
                    self.flow = None;
                    machine.handle_input(now, Input::FlowLost, out);
                }
                Some(Arrival::Closed { .. } | Arrival::Raw { .. }) | None => {}
            }
        }
        true
    }

    /// Sends all of `messages` to the presence server.
    pub(super) fn send(&mut self, now: Moment, messages: &mut Vec<Bytes>) {
        for message in messages.drain(..) {
            let flow = self.flow(now);
            self.transport.send(flow, &message, &[]);
        }
    }

    /// Sends what a message made of `messages`: a response goes back by the flow that its request
    /// came by (RFC 3261 §18.2.2).
    fn answer(&mut self, now: Moment, by: Flow, messages: &mut Vec<Bytes>) {
        for message in messages.drain(..) {
            let is_response = message.starts_with(b"SIP/2.0 ");
            let flow = if is_response { by } else { self.flow(now) };
            self.transport.send(flow, &message, &[]);
        }
    }

    fn flow(&mut self, now: Moment) -> Flow {
        let PresenceAddress { protocol, address } = self.presence;
        match protocol {
            Protocol::Udp => Flow::udp(0, address),
            Protocol::Tcp => {
                let flow = self.transport.connect(now, 0, address);
                self.flow = Some(flow);
                flow
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.transport.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Moment) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.transport.handle_timeout(now);
        }
    }

    pub(super) fn counters(&self) -> presently_transport::Counters {
        *self.transport.counters()
    }

    /// Messages from hosts that are not the presence server's.
    pub(super) fn strangers(&self) -> u64 {
        self.strangers
    }
}
