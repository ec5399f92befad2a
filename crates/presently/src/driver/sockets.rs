//! Everything that leads out of the process: SIP, links to other members, out-of-band datagrams.

use std::net::SocketAddr;
use std::task::Context;

use presently_pool::MemberId;
use presently_sip::{Flow, Framing, Moment, Now, Protocol};
use presently_transport::{Arrival, Arrivals, Transport};

use super::clock::Clock;
use super::links::PoolLinks;
use super::oob::OobSockets;
use super::traces::Traces;
use crate::host::{Host, Outside};
use crate::trace::Way;

/// The sockets of one process.
pub(super) struct Sockets {
    pub(super) transport: Transport,
    pub(super) arrivals: Arrivals,
    pub(super) links: PoolLinks,
    pub(super) oob: OobSockets,
    pub(super) clock: Clock,
    pub(super) traces: Traces,
}

/// Whether requests of phones are still taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Intake {
    /// Everything is.
    Open,
    /// Only answers are: a phone repeats its request to whoever comes next.
    Ending,
}

impl Sockets {
    /// Gives the host what has arrived, a bounded share of it; whether there may be more.
    pub(super) fn receive(
        &mut self,
        now: Now,
        context: &mut Context<'_>,
        host: &mut Host,
        intake: Intake,
    ) -> bool {
        self.traces.now = now;
        let mut is_busy = self.oob.poll_receive(context, |to, from, bytes| {
            host.handle_datagram(now, to, from, bytes);
        });
        let arrivals = &mut self.arrivals;
        let polled = self.transport.poll_receive(context, now.moment, arrivals);
        is_busy |= polled.is_ready();
        for arrival in &self.arrivals.items {
            match arrival {
                Arrival::Closed { flow } => {
                    if let Some(peer) = self.links.handle_closed(now.moment, *flow) {
                        host.handle_link_broken(now, peer);
                    }
                    host.handle_closed(now, *flow);
                }
                Arrival::Message { flow, range } => {
                    let bytes = self.arrivals.bytes(range);
                    if !self.traces.is_idle() {
                        show_arrival(&mut self.traces, &self.links, *flow, bytes);
                    }
                    if let Some((from, to)) = self.links.ends(*flow) {
                        host.handle_link(now, from, to, bytes);
                    } else if !self.links.is_link(*flow) && intake.admits(bytes) {
                        host.handle_phone(now, *flow, bytes, framing(*flow));
                    }
                }
                Arrival::Raw { flow, range } => {
                    let bytes = self.arrivals.bytes(range);
                    let transport = &mut self.transport;
                    let broken = self.links.handle_raw(now.moment, *flow, bytes, transport);
                    for peer in broken {
                        host.handle_link_broken(now, peer);
                    }
                }
            }
        }
        is_busy
    }

    /// Begins with new links to other members: those of former lives are closed.
    pub(super) fn replace_links(&mut self, mut links: PoolLinks) {
        links.take_counters(&self.links);
        std::mem::replace(&mut self.links, links).close(&mut self.transport);
    }

    /// Does what time has come for.
    pub(super) fn handle_timeout(&mut self, now: Now) {
        let is_due = |due: Option<_>| due.is_some_and(|due| due <= now.moment);
        if is_due(self.transport.poll_timeout()) {
            self.transport.handle_timeout(now.moment);
        }
        if is_due(self.links.poll_timeout()) {
            self.links.handle_timeout(now.moment, &mut self.transport);
        }
    }
}

fn show_arrival(traces: &mut Traces, links: &PoolLinks, flow: Flow, bytes: &[u8]) {
    match links.ends(flow) {
        Some((from, to)) => {
            let names = (links.name(to), links.name(from));
            traces.show_link(Way::Received, names, bytes);
        }
        None if links.is_link(flow) => {}
        None => traces.show_phone(Way::Received, flow, [bytes, &[]]),
    }
}

impl Intake {
    fn admits(self, bytes: &[u8]) -> bool {
        self == Self::Open || bytes.starts_with(b"SIP/2.0 ")
    }
}

impl Outside for Sockets {
    fn now(&mut self) -> Moment {
        self.clock.now().moment
    }

    fn to_phone(&mut self, flow: Flow, head: &[u8], body: &[u8]) {
        if !self.traces.is_idle() {
            self.traces.show_phone(Way::Sent, flow, [head, body]);
        }
        self.transport.send(flow, head, body);
    }

    fn to_link(&mut self, from: MemberId, to: MemberId, text: &[u8]) {
        if !self.traces.is_idle() {
            let names = (self.links.name(from), self.links.name(to));
            self.traces.show_link(Way::Sent, names, text);
        }
        let now = self.clock.now().moment;
        self.links.send(now, from, to, text, &mut self.transport);
    }

    fn to_member(&mut self, from: MemberId, to: SocketAddr, datagram: &[u8]) {
        self.oob.send(from, to, datagram);
    }
}

fn framing(flow: Flow) -> Framing {
    match flow.protocol {
        Protocol::Tcp => Framing::Stream,
        Protocol::Udp => Framing::Datagram,
    }
}
