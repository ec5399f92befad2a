//! Connections between a balancer and servers of other processes: one for each pair, opened by the
//! balancer, proven by a handshake, and opened again when it breaks.

mod waiting;

use std::sync::Arc;
use std::time::Duration;

use presently_pool::{Handshake, LinkProgress, Member, MemberId, MemberState, Membership, Role};
use presently_sip::{Flow, MacKey, Moment};
use presently_transport::{NO_LISTENER, Transport};

use self::waiting::Waiting;

/// The links of this process's members.
pub(super) struct PoolLinks {
    key: MacKey,
    /// Who calls: the balancer of this process.
    caller: Option<Membership>,
    /// Who is called, by the listener: the servers of this process.
    called: Vec<(u8, Membership)>,
    /// The oldest first.
    links: Vec<Link>,
    waiting: Waiting,
    members: Arc<[Member]>,
    counters: LinkCounters,
}

/// One link, from its first attempt.
struct Link {
    own: Membership,
    /// Known from the beginning on the calling side.
    peer: Option<Membership>,
    state: State,
}

enum State {
    /// To be called again, after a growing pause.
    Broken {
        until: Moment,
        pause: Duration,
    },
    /// Both sides prove who they are.
    Opening {
        flow: Flow,
        handshake: Handshake,
        pause: Duration,
    },
    Open {
        flow: Flow,
    },
}

/// What the links have done.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "each field is the noun it counts")]
pub struct LinkCounters {
    pub opened: u64,
    pub broken: u64,
    pub refused: u64,
    pub messages_dropped: u64,
}

impl PoolLinks {
    pub(super) fn new(
        key: [u8; 16],
        caller: Option<Membership>,
        called: Vec<(u8, Membership)>,
    ) -> Self {
        Self {
            key: MacKey::new(key),
            caller,
            called,
            links: Vec::new(),
            waiting: Waiting::default(),
            members: Arc::new([]),
            counters: LinkCounters::default(),
        }
    }

    /// Whether `flow` is a link and not a phone's.
    pub(super) fn is_link(&self, flow: Flow) -> bool {
        let is_called = |listener: u8| self.called.iter().any(|(own, _)| *own == listener);
        flow.listener == NO_LISTENER || is_called(flow.listener)
    }

    /// Who is at the two ends of an open link: the far one and ours.
    pub(super) fn ends(&self, flow: Flow) -> Option<(MemberId, MemberId)> {
        let link = self.links.iter().find(|link| link.flow() == Some(flow))?;
        match link.state {
            State::Open { .. } => Some((link.peer?.member, link.own.member)),
            State::Broken { .. } | State::Opening { .. } => None,
        }
    }

    /// What a member is called; empty when it is not known.
    pub(super) fn name(&self, member: MemberId) -> &str {
        let row = self.members.iter().find(|row| row.id == member);
        row.map_or("", |row| &row.name)
    }

    /// Takes the table of members: servers that have come are called, links to former lives end.
    /// With whom those were open that ended.
    pub(super) fn set_members(
        &mut self,
        now: Moment,
        members: &Arc<[Member]>,
        transport: &mut Transport,
    ) -> Vec<MemberId> {
        if Arc::ptr_eq(&self.members, members) {
            return Vec::new();
        }
        self.members = Arc::clone(members);
        self.forget_late(now);
        self.waiting
            .forget_gone(|member| members.iter().any(|row| row.id == member));
        // A process that stands still closes nothing, and its system goes on acknowledging; who
        // lives under its name now is elsewhere.
        let is_former = |link: &Link| link.peer.is_some_and(|peer| !members.is_current(peer));
        let broken = self.end(now, is_former, transport);
        self.links.retain(|link| !is_former(link));
        self.call_servers(now, members);
        broken
    }

    /// Begins a link to each server that lives and has none.
    fn call_servers(&mut self, now: Moment, members: &[Member]) {
        let lives = |member: &&Member| member.state == MemberState::Alive;
        let Some(own) = self.caller else {
            return;
        };
        let servers = members
            .iter()
            .filter(lives)
            .filter(|member| member.role == Role::Server && member.sip.is_some());
        for server in servers {
            if !self.links.iter().any(|link| link.is_with(server.id)) {
                self.links.push(Link {
                    own,
                    peer: Some(server.membership()),
                    state: State::Broken {
                        until: now,
                        pause: PAUSE_MIN,
                    },
                });
            }
        }
        self.links.retain(|link| {
            let is_idle = matches!(link.state, State::Broken { .. });
            let mut alive = members.iter().filter(lives);
            !is_idle || alive.any(|member| link.is_with(member.id))
        });
    }

    /// Closes the links that are over; with whom those were that were open.
    fn end(
        &mut self,
        now: Moment,
        is_over: impl Fn(&Link) -> bool,
        transport: &mut Transport,
    ) -> Vec<MemberId> {
        let over = self.links.iter().filter(|link| is_over(link));
        let flows: Vec<Flow> = over.filter_map(Link::flow).collect();
        let end = |flow| {
            transport.close(flow);
            self.handle_closed(now, flow)
        };
        flows.into_iter().filter_map(end).collect()
    }

    /// When [`PoolLinks::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        let due = self.links.iter().filter_map(|link| match link.state {
            State::Broken { until, .. } => Some(until),
            State::Opening { .. } | State::Open { .. } => None,
        });
        due.min()
    }

    /// Calls the servers whose turn it is.
    pub(super) fn handle_timeout(&mut self, now: Moment, transport: &mut Transport) {
        for link in &mut self.links {
            let State::Broken { until, pause } = link.state else {
                continue;
            };
            let row = self.members.iter().find(|row| link.is_with(row.id));
            if until > now {
                continue;
            }
            let Some((row, address)) = row.and_then(|row| Some((row, row.sip?))) else {
                link.fail(now, pause);
                continue;
            };
            let flow = transport.connect_raw(now, address);
            let mut hello = Vec::new();
            let key = self.key.clone();
            let handshake = Handshake::open(link.own, row.id, key, rand::random(), &mut hello);
            transport.send(flow, &hello, &[]);
            link.state = State::Opening {
                flow,
                handshake,
                pause,
            };
        }
    }

    /// Takes bytes of a handshake. When that opens a link, the one before it between the same two
    /// is over: with whom that was; and with whom the new one is, if something for it was dropped.
    pub(super) fn handle_raw(
        &mut self,
        now: Moment,
        flow: Flow,
        bytes: &[u8],
        transport: &mut Transport,
    ) -> Vec<MemberId> {
        let Some(place) = self.place_of(flow, transport) else {
            self.counters.refused += 1;
            transport.close(flow);
            return Vec::new();
        };
        let Some(link) = self.links.get_mut(place) else {
            return Vec::new();
        };
        let State::Opening { handshake, .. } = &mut link.state else {
            return Vec::new();
        };
        let mut answer = Vec::new();
        let progress = handshake.handle_bytes(bytes, &mut answer);
        let own = link.own.member;
        let is_in_time = |peer| self.members.is_current(peer) && !self.is_outlived(own, peer);
        let is_taken = match &progress {
            Ok(LinkProgress::Established { peer, .. }) => is_in_time(*peer),
            Ok(LinkProgress::Waiting) | Err(_) => false,
        };
        let Some(link) = self.links.get_mut(place) else {
            return Vec::new();
        };
        match progress {
            Ok(LinkProgress::Waiting) => transport.send(flow, &answer, &[]),
            Ok(LinkProgress::Established { peer, taken }) if is_taken => {
                transport.send(flow, &answer, &[]);
                transport.start_messages(flow, bytes.get(taken..).unwrap_or_default());
                link.state = State::Open { flow };
                link.peer = Some(peer);
                self.counters.opened += 1;
                tracing::info!(peer = peer.member.0, "link to another member opened");
                let has_lost = self.send_waiting(now, flow, (own, peer.member), transport);
                // Its end may be seen late or never; what is on the new one is not lost by it.
                let is_before = |link: &Link| {
                    link.flow() != Some(flow) && link.own.member == own && link.is_with(peer.member)
                };
                let mut broken = self.end(now, is_before, transport);
                if has_lost && broken.is_empty() {
                    broken.push(peer.member);
                }
                return broken;
            }
            Ok(LinkProgress::Established { .. }) | Err(_) => {
                if let Err(reason) = progress {
                    tracing::warn!(remote = %flow.remote, %reason, "link refused");
                }
                self.counters.refused += 1;
                transport.close(flow);
                self.handle_closed(now, flow);
            }
        }
        Vec::new()
    }

    /// Whether `own` has an open link with a later life of `peer` than the table shows yet.
    fn is_outlived(&self, own: MemberId, peer: Membership) -> bool {
        let mut open = self.links.iter().filter(|link| {
            matches!(link.state, State::Open { .. })
                && link.own.member == own
                && link.is_with(peer.member)
        });
        open.any(|link| link.peer > Some(peer))
    }

    /// The connection of a link is gone; with whom, if it was open.
    pub(super) fn handle_closed(&mut self, now: Moment, flow: Flow) -> Option<MemberId> {
        let place = self
            .links
            .iter()
            .position(|link| link.flow() == Some(flow))?;
        let is_caller = flow.listener == NO_LISTENER;
        let is_open = |link: &Link| matches!(link.state, State::Open { .. });
        // A call that nobody took was no link yet.
        let was_open = self.links.get(place).is_some_and(is_open);
        self.counters.broken += u64::from(was_open);
        match self.links.get_mut(place) {
            Some(link) if is_caller => {
                let pause = match &link.state {
                    State::Opening { pause, .. } => *pause,
                    State::Open { .. } | State::Broken { .. } => PAUSE_MIN,
                };
                link.fail(now, pause);
                link.peer.filter(|_| was_open).map(|peer| peer.member)
            }
            Some(_) => {
                let link = self.links.remove(place);
                link.peer.filter(|_| was_open).map(|peer| peer.member)
            }
            None => None,
        }
    }

    /// Sends to another member, or lets it wait for a link. What finds no place or waits too long
    /// is dropped, which [`PoolLinks::handle_raw`] says when the link opens.
    pub(super) fn send(
        &mut self,
        now: Moment,
        from: MemberId,
        to: MemberId,
        text: &[u8],
        transport: &mut Transport,
    ) {
        let mut links = self.links.iter();
        let link = links.find(|link| link.own.member == from && link.is_with(to));
        if let Some(State::Open { flow }) = link.map(|link| &link.state) {
            transport.send(*flow, text, &[]);
            return;
        }
        let has_room = self.waiting.push(now, from, to, text);
        self.counters.messages_dropped += u64::from(!has_room);
    }

    /// Sends on `flow` what has waited for it; whether something was dropped before.
    fn send_waiting(
        &mut self,
        now: Moment,
        flow: Flow,
        (own, peer): (MemberId, MemberId),
        transport: &mut Transport,
    ) -> bool {
        self.forget_late(now);
        let Some(waiting) = self.waiting.take(own, peer) else {
            return false;
        };
        for (_, text) in &waiting.messages {
            transport.send(flow, text, &[]);
        }
        waiting.has_lost
    }

    /// Drops what has waited too long.
    fn forget_late(&mut self, now: Moment) {
        self.counters.messages_dropped += self.waiting.forget_late(now);
    }

    /// Closes every connection.
    pub(super) fn close(self, transport: &mut Transport) {
        for flow in self.links.iter().filter_map(Link::flow) {
            transport.close(flow);
        }
    }

    /// Goes on counting where `former` stopped; what was open there is closed.
    pub(super) fn take_counters(&mut self, former: &Self) {
        self.counters = former.counters;
        let links = former.links.iter();
        let open = links.filter(|link| matches!(link.state, State::Open { .. }));
        self.counters.broken += u64::try_from(open.count()).unwrap_or_default();
    }

    pub(super) fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    /// The link of `flow`; a connection just accepted becomes one, in the place of the oldest
    /// stranger's when there is no other.
    fn place_of(&mut self, flow: Flow, transport: &mut Transport) -> Option<usize> {
        let known = self.links.iter().position(|link| link.flow() == Some(flow));
        if known.is_some() {
            return known;
        }
        let called = self.called.iter();
        let (_, own) = called
            .into_iter()
            .find(|(listener, _)| *listener == flow.listener)?;
        let own = *own;
        if self.links.len() >= LINKS_MAX {
            let place = self.links.iter().position(Link::is_stranger)?;
            self.counters.refused += 1;
            if let Some(flow) = self.links.remove(place).flow() {
                transport.close(flow);
            }
        }
        self.links.push(Link {
            own,
            peer: None,
            state: State::Opening {
                flow,
                handshake: Handshake::accept(own, self.key.clone(), rand::random()),
                pause: PAUSE_MIN,
            },
        });
        Some(self.links.len() - 1)
    }
}

impl Link {
    fn is_with(&self, member: MemberId) -> bool {
        self.peer.is_some_and(|peer| peer.member == member)
    }

    fn flow(&self) -> Option<Flow> {
        match &self.state {
            State::Broken { .. } => None,
            State::Open { flow } | State::Opening { flow, .. } => Some(*flow),
        }
    }

    /// Whether it was accepted, and who called has not proven who it is.
    fn is_stranger(&self) -> bool {
        self.peer.is_none()
    }

    fn fail(&mut self, now: Moment, pause: Duration) {
        self.state = State::Broken {
            until: now.after(pause),
            pause: (pause * 2).min(PAUSE_MAX),
        };
    }
}

/// What the table of members says of a life.
trait Lives {
    /// Whether no later life of the member is known; one that is not known yet has just come.
    fn is_current(&self, life: Membership) -> bool;
}

impl Lives for [Member] {
    fn is_current(&self, life: Membership) -> bool {
        let row = self.iter().find(|member| member.id == life.member);
        row.is_none_or(|row| row.incarnation <= life.incarnation)
    }
}

/// The first pause before a broken link is called again; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// A server that is back is reached within this time.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Links of one process, strangers that never prove themselves among them.
const LINKS_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
