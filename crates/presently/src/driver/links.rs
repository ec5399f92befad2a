//! Connections between a balancer and servers of other processes: one for each pair, opened by the
//! balancer, proven by a handshake, and opened again when it breaks.

use std::sync::Arc;
use std::time::Duration;

use presently_pool::{Handshake, LinkProgress, Member, MemberId, MemberState, Membership, Role};
use presently_sip::{Flow, MacKey, Moment};
use presently_transport::{NO_LISTENER, Transport};

/// The links of this process's members.
pub(super) struct PoolLinks {
    key: MacKey,
    /// Who calls: the balancer of this process.
    caller: Option<Membership>,
    /// Who is called, by the listener: the servers of this process.
    called: Vec<(u8, Membership)>,
    links: Vec<Link>,
    /// What waits for a link to open, by its two ends.
    waiting: Vec<Waiting>,
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

/// Messages that wait for a link to open, one behind the other as they go onto the wire.
struct Waiting {
    from: MemberId,
    to: MemberId,
    since: Moment,
    text: Vec<u8>,
    messages: u64,
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
            waiting: Vec::new(),
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
    /// is over: with whom that was.
    pub(super) fn handle_raw(
        &mut self,
        now: Moment,
        flow: Flow,
        bytes: &[u8],
        transport: &mut Transport,
    ) -> Vec<MemberId> {
        let Some(place) = self.place_of(flow) else {
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
        match progress {
            Ok(LinkProgress::Waiting) => transport.send(flow, &answer, &[]),
            Ok(LinkProgress::Established { peer, taken }) if self.members.is_current(peer) => {
                transport.send(flow, &answer, &[]);
                transport.start_messages(flow, bytes.get(taken..).unwrap_or_default());
                link.state = State::Open { flow };
                link.peer = Some(peer);
                let own = link.own.member;
                self.counters.opened += 1;
                tracing::info!(peer = peer.member.0, "link to another member opened");
                self.forget_late(now);
                let is_theirs =
                    |waiting: &mut Waiting| (waiting.from, waiting.to) == (own, peer.member);
                for waiting in self.waiting.extract_if(.., is_theirs) {
                    transport.send(flow, &waiting.text, &[]);
                }
                // Its end may be seen late or never; what is on the new one is not lost by it.
                let is_before = |link: &Link| {
                    link.flow() != Some(flow) && link.own.member == own && link.is_with(peer.member)
                };
                return self.end(now, is_before, transport);
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
                let link = self.links.swap_remove(place);
                link.peer.filter(|_| was_open).map(|peer| peer.member)
            }
            None => None,
        }
    }

    /// Sends to another member, or lets it wait for a link. What finds no place or waits too long
    /// is dropped: phones repeat.
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
        let mut waiting = self.waiting.iter_mut();
        let waiting = match waiting.find(|one| (one.from, one.to) == (from, to)) {
            Some(waiting) => waiting,
            None => self.waiting.push_mut(Waiting {
                from,
                to,
                since: now,
                text: Vec::new(),
                messages: 0,
            }),
        };
        if waiting.text.len() + text.len() <= WAITING_BYTES_MAX {
            waiting.text.extend_from_slice(text);
            waiting.messages += 1;
        } else {
            self.counters.messages_dropped += 1;
        }
    }

    /// Drops what has waited longer than a link takes to open again where both ends live.
    fn forget_late(&mut self, now: Moment) {
        let is_late = |waiting: &mut Waiting| now.since(waiting.since) > WAITS_FOR;
        for late in self.waiting.extract_if(.., is_late) {
            self.counters.messages_dropped += late.messages;
        }
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

    /// The link of `flow`; a connection just accepted becomes one.
    fn place_of(&mut self, flow: Flow) -> Option<usize> {
        let known = self.links.iter().position(|link| link.flow() == Some(flow));
        if known.is_some() {
            return known;
        }
        let called = self.called.iter();
        let (_, own) = called
            .into_iter()
            .find(|(listener, _)| *listener == flow.listener)?;
        if self.links.len() >= LINKS_MAX {
            return None;
        }
        self.links.push(Link {
            own: *own,
            peer: None,
            state: State::Opening {
                flow,
                handshake: Handshake::accept(*own, self.key.clone(), rand::random()),
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
/// What waits for one link to open: half of what an open one may hold.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// How long it waits: a link to who lives opens again within a second.
const WAITS_FOR: Duration = Duration::from_secs(5);
/// Links of one process, strangers that never prove themselves among them.
const LINKS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use presently_pool::Incarnation;

    use super::*;

    const KEY: [u8; 16] = [7; 16];
    const NOW: Moment = Moment(1_000_000);
    const BALANCER: MemberId = MemberId(1);
    const SERVER: MemberId = MemberId(2);

    fn life(member: MemberId, incarnation: u64) -> Membership {
        Membership {
            member,
            incarnation: Incarnation(incarnation),
        }
    }

    fn flow(listener: u8, slot: u32) -> Flow {
        let remote = SocketAddr::from(([127, 0, 0, 1], 5_060));
        Flow {
            protocol: presently_sip::Protocol::Tcp,
            slot,
            generation: 1,
            ..Flow::udp(listener, remote)
        }
    }

    /// The table of members: the server, in the life `incarnation`.
    fn server(incarnation: u64) -> Arc<[Member]> {
        let row = Member {
            id: SERVER,
            name: "s1".into(),
            role: Role::Server,
            incarnation: Incarnation(incarnation),
            state: MemberState::Alive,
            beat: 1,
            sip: Some(([127, 0, 0, 1], 5_070).into()),
            oob: None,
            weight: 1,
            is_draining: false,
            clients: 0,
        };
        Arc::new([row])
    }

    fn transport() -> Transport {
        Transport::bind(&[]).expect("no listener at all")
    }

    fn link(own: Membership, peer: Membership, flow: Flow) -> Link {
        Link {
            own,
            peer: Some(peer),
            state: State::Open { flow },
        }
    }

    #[test]
    fn a_link_to_a_former_life_ends_and_the_present_one_is_called_at_once() {
        let (own, mut transport) = (life(BALANCER, 3), transport());
        let mut links = PoolLinks::new(KEY, Some(own), Vec::new());
        let old = link(own, life(SERVER, 5), flow(NO_LISTENER, 1));
        links.links.push(old);
        for (incarnation, broken) in [(5, Vec::new()), (6, vec![SERVER])] {
            let ended = links.set_members(NOW, &server(incarnation), &mut transport);
            assert_eq!(ended, broken, "{incarnation}");
        }
        assert_eq!(links.counters.broken, 1);
        assert_eq!(links.poll_timeout(), Some(NOW));
        let peers: Vec<_> = links.links.iter().map(|link| link.peer).collect();
        assert_eq!(peers, [Some(life(SERVER, 6))]);
    }

    #[test]
    fn a_call_to_a_former_life_is_given_up_and_was_no_link() {
        let (own, mut transport) = (life(BALANCER, 3), transport());
        let mut links = PoolLinks::new(KEY, Some(own), Vec::new());
        let (key, mut hello) = (MacKey::new(KEY), Vec::new());
        let mut call = link(own, life(SERVER, 5), flow(NO_LISTENER, 1));
        call.state = State::Opening {
            flow: flow(NO_LISTENER, 1),
            handshake: Handshake::open(own, SERVER, key, [1; 16], &mut hello),
            pause: PAUSE_MAX,
        };
        links.links.push(call);
        let ended = links.set_members(NOW, &server(6), &mut transport);
        assert_eq!(ended, []);
        assert_eq!(
            (links.poll_timeout(), links.counters.broken),
            (Some(NOW), 0)
        );
    }

    #[test]
    fn a_newer_link_of_a_pair_ends_the_one_before_and_outlives_its_end() {
        let (own, mut transport) = (life(SERVER, 5), transport());
        let mut links = PoolLinks::new(KEY, None, vec![(0, own)]);
        let (old, new) = (flow(0, 1), flow(0, 2));
        links.links.push(link(own, life(BALANCER, 3), old));
        let accept = || Handshake::accept(own, MacKey::new(KEY), [1; 16]);
        links.links.push(Link {
            own,
            peer: None,
            state: State::Opening {
                flow: new,
                handshake: accept(),
                pause: PAUSE_MIN,
            },
        });
        // What the accepting side answers is what a twin of it would.
        let (mut hello, mut answer, mut proof) = (Vec::new(), Vec::new(), Vec::new());
        let (caller, key) = (life(BALANCER, 3), MacKey::new(KEY));
        let mut opener = Handshake::open(caller, SERVER, key, [2; 16], &mut hello);
        let _ = accept().handle_bytes(&hello, &mut answer);
        let _ = opener.handle_bytes(&answer, &mut proof);
        assert_eq!(links.handle_raw(NOW, new, &hello, &mut transport), []);
        let ended = links.handle_raw(NOW, new, &proof, &mut transport);
        // What was on the old one may be lost; that it ends is no news any more.
        assert_eq!(ended, [BALANCER]);
        assert_eq!(links.handle_closed(NOW, old), None);
        assert_eq!(links.ends(new), Some((BALANCER, SERVER)));
        assert_eq!(links.handle_closed(NOW, new), Some(BALANCER));
    }
}
