//! All links of one member: the machine that the member's loop drives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use presently_pool::{ClientId, Epoch, FlowToken, MemberId, Membership, Wake};
use presently_sip::{Aor, MacKey, Moment};

use crate::link::{Link, Signal, Turn};
use crate::{Counters, Event, Frame, FrameError, FrameKind, Outputs};

/// The out-of-band links between one member, in one life, and all its peers.
///
/// In each turn the loop gives it what arrived ([`Links::handle_datagram`],
/// [`Links::handle_timeout`]) and what is to be told ([`Links::wake`] and its kin), and ends with
/// one [`Links::flush`].
#[derive(Debug)]
pub struct Links {
    own: Membership,
    key: MacKey,
    clients: u64,
    peers: BTreeMap<MemberId, Link>,
    /// The highest sequence that a link which ended may have used, and one more.
    used: u64,
    returned: Vec<Event>,
    /// Before then nothing more is said of peers that are not heard.
    unheard_again: Moment,
    counters: Counters,
}

impl Links {
    /// No peers yet. `key` is the pool's; a frame made with another is dropped.
    #[must_use]
    pub fn new(own: Membership, key: MacKey) -> Self {
        Self {
            own,
            key,
            clients: 0,
            peers: BTreeMap::new(),
            used: 0,
            returned: Vec::new(),
            unheard_again: Moment::default(),
            counters: Counters::default(),
        }
    }

    /// Takes the members that the store knows now, with the addresses of their out-of-band sockets;
    /// our own row is passed over. A link to a member that is not among them ends: what is told to
    /// it from then on is dropped, and is a gap to it when it comes back.
    pub fn set_peers(&mut self, now: Moment, peers: &[(Membership, SocketAddr)]) {
        let peers: BTreeMap<_, _> = peers
            .iter()
            .filter(|(peer, _)| peer.member != self.own.member)
            .map(|&(peer, address)| (peer.member, (peer, address)))
            .collect();
        for (&member, link) in &mut self.peers {
            let now_is = peers.get(&member).map(|&(peer, _)| peer);
            if now_is != Some(link.peer()) {
                let flows = link.take_unacknowledged();
                self.returned
                    .extend(flows.map(|(client, flow)| returned(member, client, flow)));
            }
        }
        let is_over = |member: &MemberId, _: &mut Link| !peers.contains_key(member);
        for (_, ended) in self.peers.extract_if(.., is_over) {
            self.used = self.used.max(ended.used() + 1);
        }
        for (member, (peer, address)) in peers {
            self.peers
                .entry(member)
                .or_insert_with(|| Link::new(now, peer, address, self.used))
                .update(now, peer, address);
        }
    }

    /// What the heartbeats say of this member's load.
    pub fn set_clients(&mut self, clients: u64) {
        self.clients = clients;
    }

    /// Wakes `to`: the resource has reached the version. Returns once the item is queued; within a
    /// turn a later wake of the same resource replaces the earlier one.
    pub fn wake(&mut self, to: MemberId, wake: &Wake) {
        match self.peers.get_mut(&to) {
            Some(link) => link.wake(wake, &mut self.counters),
            None => self.counters.items_dropped += 1,
        }
    }

    /// Tells `to` that a client has another distinguished server.
    pub fn moved(&mut self, to: MemberId, client: &Aor, server: MemberId, epoch: Epoch) {
        let client = client.clone();
        let signal = Signal::Moved {
            client,
            server,
            epoch,
        };
        self.signal(to, signal);
    }

    /// Tells `to` that a flow of its client is gone, again and again until it acknowledges; comes
    /// back as [`Event::FlowGoneReturned`] when it can't.
    pub fn flow_gone(&mut self, to: MemberId, client: ClientId, flow: FlowToken) {
        let is_taken = self
            .peers
            .get_mut(&to)
            .is_some_and(|link| link.flow_gone(client, flow, &mut self.counters));
        if !is_taken {
            self.returned.push(returned(to, client, flow));
        }
    }

    /// Acknowledges [`Event::FlowGone`] of `to`, once it is noted.
    pub fn acknowledge(&mut self, to: MemberId, client: ClientId, flow: FlowToken) {
        self.signal(to, Signal::Acknowledged(client, flow));
    }

    /// Ends a turn: packs everything that waits into as few datagrams for each peer as it fits.
    pub fn flush(&mut self, now: Moment, out: &mut Outputs) {
        out.events.append(&mut self.returned);
        self.each_link(now, out, Link::flush);
    }

    /// Takes one datagram. What is not authentic, not for us, from no peer, from a former
    /// incarnation, repeated or unreadable is dropped and counted.
    pub fn handle_datagram(
        &mut self,
        now: Moment,
        bytes: &[u8],
        from: SocketAddr,
        out: &mut Outputs,
    ) {
        let counters = &mut self.counters;
        let frame = match Frame::open(bytes, &self.key) {
            Ok(frame) => frame,
            Err(FrameError::Forged) => return counters.forged += 1,
            Err(_) => return counters.malformed += 1,
        };
        let header = frame.header();
        if header.receiver != self.own.member {
            return counters.misdirected += 1;
        }
        let Some(link) = self.peers.get_mut(&header.sender.member) else {
            return counters.unknown_sender += 1;
        };
        if header.sender.incarnation < link.peer().incarnation {
            return counters.old_incarnation += 1;
        }
        if header.sender != link.peer() {
            return counters.unknown_sender += 1;
        }
        // A member with several addresses may send from any: the MAC says who it is.
        counters.other_address += u64::from(from != link.address());
        let mut turn = Turn {
            now,
            own: self.own,
            clients: self.clients,
            key: &self.key,
            counters,
            out,
        };
        match header.kind {
            FrameKind::Control => link.handle_control(&mut turn, header.sequence, &frame.items()),
            FrameKind::Signals => link.handle_signals(&mut turn, header.sequence, frame.items()),
        }
    }

    /// When [`Links::handle_timeout`] is due; `None` without peers.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        let links = self.peers.values().map(Link::poll_timeout);
        links.chain(self.unheard_due()).min()
    }

    /// Sends the heartbeats and repair requests that are due, and says when living peers are not
    /// heard. [`Links::flush`] follows, as in any turn.
    pub fn handle_timeout(&mut self, now: Moment, out: &mut Outputs) {
        self.each_link(now, out, Link::handle_timeout);
        if self.unheard_due().is_some_and(|due| due <= now) {
            self.unheard_again = now.after(UNHEARD_EVERY);
            self.counters.unheard += 1;
            let unheard = self.peers.values().filter(|it| it.unheard_from() <= now);
            let peers = unheard.count();
            out.events.push(Event::Unheard { peers });
        }
    }

    /// What was done and dropped so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// When it is to be said that peers are not heard.
    fn unheard_due(&self) -> Option<Moment> {
        let first = self.peers.values().map(Link::unheard_from).min()?;
        Some(first.max(self.unheard_again))
    }

    fn signal(&mut self, to: MemberId, signal: Signal) {
        match self.peers.get_mut(&to) {
            Some(link) => link.signal(signal, &mut self.counters),
            None => self.counters.items_dropped += 1,
        }
    }

    fn each_link(
        &mut self,
        now: Moment,
        out: &mut Outputs,
        act: impl Fn(&mut Link, &mut Turn<'_>),
    ) {
        let mut turn = Turn {
            now,
            own: self.own,
            clients: self.clients,
            key: &self.key,
            counters: &mut self.counters,
            out,
        };
        for link in self.peers.values_mut() {
            act(link, &mut turn);
        }
    }
}

fn returned(peer: MemberId, client: ClientId, flow: FlowToken) -> Event {
    Event::FlowGoneReturned { peer, client, flow }
}

/// How often it is said that peers are not heard: each time the server reads what has changed.
const UNHEARD_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
