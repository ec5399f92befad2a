//! One link: what goes to one peer and what comes from it.
//!
//! ```text
//!   pending ──flush──► ring, datagram      heartbeat: 5 at 100 ms after signals, else 500 ms
//!   datagram ──────► window ── a gap ─► repair request, every 50 ms ── 10 in vain ─► Gap
//!                       └── first heard of this incarnation ─► Reset
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use presently_pool::{
    ClientId, Epoch, FlowToken, MemberId, Membership, PackageName, ResourceId, Version, Wake,
};
use presently_sip::{Aor, MacKey, Moment};

use crate::heard::{Heard, heard};
use crate::ring::Ring;
use crate::{Counters, Datagram, Event, FrameKind, FrameWriter, Header, Item, Items, Outputs};

/// What a link needs of its member to act in one turn.
pub(crate) struct Turn<'a> {
    pub(crate) now: Moment,
    pub(crate) own: Membership,
    pub(crate) clients: u64,
    pub(crate) key: &'a MacKey,
    pub(crate) counters: &'a mut Counters,
    pub(crate) out: &'a mut Outputs,
}

/// The link to one peer, in both directions.
#[derive(Debug)]
pub(crate) struct Link {
    peer: Membership,
    address: SocketAddr,
    pending: Pending,
    ring: Ring,
    /// The sequence of the last control frame.
    controls_sent: u64,
    heartbeat_due: Moment,
    /// However much there is to signal, a heartbeat says by then that we live.
    heartbeat_latest: Moment,
    /// How many more heartbeats the last signals are owed in short order.
    heartbeats_soon: u32,
    /// With how often each was sent.
    unacknowledged: BTreeMap<(ClientId, FlowToken), u32>,
    repeat_due: Option<Moment>,
    heard: Option<Heard>,
    /// When something new came from this life of the peer, or it began.
    heard_at: Moment,
}

/// What is sent beside wakes, and must arrive as they must.
#[derive(Clone, Debug)]
pub(crate) enum Signal {
    Acknowledged(ClientId, FlowToken),
    FlowGone(ClientId, FlowToken),
    Moved {
        client: Aor,
        server: MemberId,
        epoch: Epoch,
    },
}

/// What the turn is to send.
#[derive(Debug, Default)]
struct Pending {
    signals: Vec<Signal>,
    wakes: BTreeMap<ResourceId, Version>,
    overflowed: bool,
}

impl Link {
    /// A link that counts from above `used`.
    pub(crate) fn new(now: Moment, peer: Membership, address: SocketAddr, used: u64) -> Self {
        Self {
            peer,
            address,
            pending: Pending::default(),
            ring: Ring::starting_after(used),
            controls_sent: used,
            // At once, so that both ends hear of each other and know from where they count.
            heartbeat_due: now,
            heartbeat_latest: now,
            heartbeats_soon: 0,
            unacknowledged: BTreeMap::new(),
            repeat_due: None,
            heard: None,
            heard_at: now,
        }
    }

    pub(crate) fn peer(&self) -> Membership {
        self.peer
    }

    /// The highest sequence it has used, of either kind.
    pub(crate) fn used(&self) -> u64 {
        self.ring.last().max(self.controls_sent)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes what the store says of the peer now. A new incarnation knows nothing of this link's
    /// past.
    pub(crate) fn update(&mut self, now: Moment, peer: Membership, address: SocketAddr) {
        self.address = address;
        if self.peer != peer {
            self.peer = peer;
            self.heard = None;
            self.heard_at = now;
            self.heartbeat_due = now;
        }
    }

    /// Takes back the flows whose loss nobody has acknowledged.
    pub(crate) fn take_unacknowledged(&mut self) -> impl Iterator<Item = (ClientId, FlowToken)> {
        self.repeat_due = None;
        std::mem::take(&mut self.unacknowledged).into_keys()
    }

    pub(crate) fn wake(&mut self, wake: &Wake, counters: &mut Counters) {
        if let Some(version) = self.pending.wakes.get_mut(&wake.resource) {
            *version = wake.version.max(*version);
            counters.items_replaced += 1;
        } else if self.pending.has_room(counters) {
            let resource = wake.resource.clone();
            self.pending.wakes.insert(resource, wake.version);
        }
    }

    pub(crate) fn signal(&mut self, signal: Signal, counters: &mut Counters) {
        if self.pending.has_room(counters) {
            self.pending.signals.push(signal);
        }
    }

    /// Sends that a flow is gone until it is acknowledged; `false` when there are too many already.
    pub(crate) fn flow_gone(
        &mut self,
        client: ClientId,
        flow: FlowToken,
        counters: &mut Counters,
    ) -> bool {
        if self.unacknowledged.len() >= UNACKNOWLEDGED_MAX {
            return false;
        }
        if self.unacknowledged.insert((client, flow), 1).is_none() {
            self.signal(Signal::FlowGone(client, flow), counters);
        }
        true
    }

    /// Packs what is pending into as few datagrams as it fits.
    pub(crate) fn flush(&mut self, turn: &mut Turn<'_>) {
        let pending = std::mem::take(&mut self.pending);
        let signals = pending.signals.iter().map(Signal::item);
        let wakes = pending.wakes.iter().map(wake_item);
        let mut items = signals.chain(wakes).peekable();
        while items.peek().is_some() {
            let header = self.header(turn, FrameKind::Signals, self.ring.next());
            let mut writer = FrameWriter::begin(turn.key, &header, &mut turn.out.arena);
            let mut count = 0;
            while let Some(item) = items.peek() {
                if writer.push(item) {
                    count += 1;
                } else if count > 0 {
                    break;
                } else {
                    // Fits no frame at all: left to the slow sweep.
                    turn.counters.items_dropped += 1;
                }
                items.next();
            }
            let range = writer.seal();
            if count == 0 {
                turn.out.arena.truncate(range.start);
                break;
            }
            self.ring
                .keep(turn.out.arena.get(range.clone()).unwrap_or_default());
            turn.counters.frames_sent += 1;
            turn.counters.items_sent += count;
            self.send(turn, range);
            let soon = turn.now.after(HEARTBEAT_SOON);
            self.heartbeat_due = soon.min(self.heartbeat_latest);
            self.heartbeats_soon = HEARTBEATS_SOON;
        }
        if pending.overflowed {
            self.ring.skip();
            self.heartbeat_due = turn.now;
            self.heartbeats_soon = HEARTBEATS_SOON;
        }
        if self.repeat_due.is_none() && !self.unacknowledged.is_empty() {
            self.repeat_due = Some(turn.now.after(FLOW_GONE_REPEAT));
        }
    }

    pub(crate) fn handle_signals(&mut self, turn: &mut Turn<'_>, sequence: u64, items: Items<'_>) {
        let peer = self.peer.member;
        let heard = heard(&mut self.heard, sequence - 1, peer, turn);
        if heard.window.has(sequence) {
            turn.counters.repeated += 1;
            return;
        }
        self.heard_at = turn.now;
        let before = turn.out.events.len();
        for item in items {
            let Some(event) = item.ok().and_then(|item| event(peer, item)) else {
                // Not noted as arrived: it is asked for again in vain, and then the server sweeps.
                turn.out.events.truncate(before);
                turn.counters.malformed += 1;
                heard.see_missing(turn.now);
                return;
            };
            if let Event::FlowGoneAcknowledged { client, flow, .. } = event {
                self.unacknowledged.remove(&(client, flow));
            }
            turn.out.events.push(event);
        }
        let taken = turn.out.events.len() - before;
        turn.counters.frames_taken += 1;
        turn.counters.items_taken += u64::try_from(taken).unwrap_or(u64::MAX);
        heard.note(sequence, peer, turn);
    }

    pub(crate) fn handle_control(&mut self, turn: &mut Turn<'_>, sequence: u64, items: &Items<'_>) {
        let is_known = |item| matches!(item, Ok(Item::Heartbeat { .. } | Item::Repair { .. }));
        let mut rest = items.clone();
        let Some(Ok(Item::Heartbeat {
            oldest,
            last,
            clients,
        })) = rest.next().filter(|_| items.clone().all(is_known))
        else {
            turn.counters.malformed += 1;
            return;
        };
        let peer = self.peer.member;
        let heard = heard(&mut self.heard, last, peer, turn);
        if sequence <= heard.control {
            turn.counters.repeated += 1;
            return;
        }
        heard.control = sequence;
        self.heard_at = turn.now;
        turn.out.events.push(Event::PeerHeard { peer, clients });
        let missing = heard.window.announce(oldest, last);
        heard.settle(missing, peer, turn);
        self.repair(turn, rest);
    }

    /// From when on the peer counts as unheard, if nothing new comes before.
    pub(crate) fn unheard_from(&self) -> Moment {
        self.heard_at.after(UNHEARD_AFTER)
    }

    /// When [`Link::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Moment {
        let repair_due = self.heard.as_ref().and_then(|heard| heard.repair_due);
        [repair_due, self.repeat_due]
            .into_iter()
            .flatten()
            .fold(self.heartbeat_due, Moment::min)
    }

    pub(crate) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        let is_due = |due: Option<Moment>| due.is_some_and(|due| due <= now);
        if is_due(self.repeat_due) {
            self.repeat_due = Some(turn.now.after(FLOW_GONE_REPEAT));
            self.repeat_flows_gone(turn);
        }
        let is_heartbeat_due = self.heartbeat_due <= turn.now;
        if is_heartbeat_due {
            self.heartbeats_soon = self.heartbeats_soon.saturating_sub(1);
            let is_soon = self.heartbeats_soon > 0;
            let pause = if is_soon { HEARTBEAT_SOON } else { HEARTBEAT };
            self.heartbeat_due = turn.now.after(pause);
            self.heartbeat_latest = turn.now.after(HEARTBEAT);
        }
        let peer = self.peer.member;
        let repairs = match &mut self.heard {
            Some(heard) if is_due(heard.repair_due) => heard.ask_again(peer, turn),
            _ => Vec::new(),
        };
        if is_heartbeat_due || !repairs.is_empty() {
            self.send_control(turn, &repairs);
        }
    }

    /// Says once more which flows are gone; who does not acknowledge is perhaps not the client's
    /// server any more.
    fn repeat_flows_gone(&mut self, turn: &mut Turn<'_>) {
        let peer = self.peer.member;
        let mut again = Vec::new();
        self.unacknowledged.retain(|(client, flow), sent| {
            let (client, flow) = (*client, *flow);
            *sent += 1;
            let goes_on = *sent <= FLOW_GONE_SENT_MAX;
            if goes_on {
                again.push(Signal::FlowGone(client, flow));
            } else {
                let event = Event::FlowGoneReturned { peer, client, flow };
                turn.out.events.push(event);
            }
            goes_on
        });
        for signal in again {
            self.signal(signal, turn.counters);
        }
    }

    /// Sends again what the peer asks for and is still there.
    fn repair(&mut self, turn: &mut Turn<'_>, requests: Items<'_>) {
        let mut budget = REPAIR_MAX;
        let mut is_forgotten = false;
        for item in requests.flatten() {
            let Item::Repair {
                incarnation,
                first,
                last,
            } = item
            else {
                continue;
            };
            // What a former incarnation of ours sent is not ours to repeat: the peer will reset.
            if incarnation != turn.own.incarnation {
                continue;
            }
            is_forgotten |= first < self.ring.oldest();
            for frame in self.ring.range(first, last).take(budget) {
                let start = turn.out.arena.len();
                turn.out.arena.extend_from_slice(frame);
                let range = start..turn.out.arena.len();
                let to = self.address;
                turn.out.datagrams.push(Datagram { to, range });
                turn.counters.frames_repaired += 1;
                budget -= 1;
            }
        }
        if is_forgotten {
            self.send_control(turn, &[]);
        }
    }

    fn send_control(&mut self, turn: &mut Turn<'_>, repairs: &[(u64, u64)]) {
        self.controls_sent += 1;
        let header = self.header(turn, FrameKind::Control, self.controls_sent);
        let mut writer = FrameWriter::begin(turn.key, &header, &mut turn.out.arena);
        let mut fits = writer.push(&Item::Heartbeat {
            oldest: self.ring.oldest(),
            last: self.ring.last(),
            clients: turn.clients,
        });
        for &(first, last) in repairs {
            fits &= writer.push(&Item::Repair {
                incarnation: self.peer.incarnation,
                first,
                last,
            });
        }
        assert!(fits, "a heartbeat and REPAIR_RANGES ranges fit a datagram");
        let range = writer.seal();
        turn.counters.controls_sent += 1;
        turn.counters.repairs_asked += u64::from(!repairs.is_empty());
        self.send(turn, range);
    }

    fn header(&self, turn: &Turn<'_>, kind: FrameKind, sequence: u64) -> Header {
        Header {
            kind,
            sender: turn.own,
            receiver: self.peer.member,
            sequence,
        }
    }

    fn send(&self, turn: &mut Turn<'_>, range: std::ops::Range<usize>) {
        let to = self.address;
        turn.out.datagrams.push(Datagram { to, range });
    }
}

impl Pending {
    /// Whether another item may wait. When not, the far end will find a gap, and sweep.
    fn has_room(&mut self, counters: &mut Counters) -> bool {
        let has_room = self.signals.len() + self.wakes.len() < PENDING_MAX;
        if !has_room {
            self.overflowed = true;
            counters.items_dropped += 1;
        }
        has_room
    }
}

impl Signal {
    fn item(&self) -> Item<'_> {
        match self {
            Self::Acknowledged(client, flow) => Item::FlowGoneAcknowledged(*client, *flow),
            Self::FlowGone(client, flow) => Item::FlowGone(*client, *flow),
            Self::Moved {
                client,
                server,
                epoch,
            } => Item::Moved {
                client: client.as_str(),
                server: *server,
                epoch: *epoch,
            },
        }
    }
}

fn wake_item<'a>((resource, version): (&'a ResourceId, &Version)) -> Item<'a> {
    Item::Wake {
        aor: resource.aor.as_str(),
        package: resource.package.as_str(),
        version: *version,
    }
}

/// What a signals item means to the member; `None` when it has no place in such a frame.
fn event(peer: MemberId, item: Item<'_>) -> Option<Event> {
    Some(match item {
        Item::FlowGone(client, flow) => Event::FlowGone { peer, client, flow },
        Item::FlowGoneAcknowledged(client, flow) => {
            Event::FlowGoneAcknowledged { peer, client, flow }
        }
        Item::Heartbeat { .. } | Item::Repair { .. } => return None,
        Item::Moved {
            client,
            server,
            epoch,
        } => Event::Moved {
            peer,
            client: Aor::from_key(client).ok()?,
            server,
            epoch,
        },
        Item::Wake {
            aor,
            package,
            version,
        } => Event::Woken(Wake {
            resource: ResourceId {
                aor: Aor::from_key(aor).ok()?,
                package: PackageName::new(package),
            },
            version,
        }),
    })
}

/// So soon after signals a heartbeat shows the peer the loss of the last of them.
const HEARTBEAT_SOON: Duration = Duration::from_millis(100);
/// So many heartbeats follow signals in short order: where 30 % is lost, one or two may be too.
const HEARTBEATS_SOON: u32 = 5;
/// Between heartbeats of a link with nothing to say.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Three heartbeats in a row are missed.
const UNHEARD_AFTER: Duration = Duration::from_millis(1_500);
/// The frames sent again for one request.
const REPAIR_MAX: usize = 256;
/// Until the loss of a flow is acknowledged.
const FLOW_GONE_REPEAT: Duration = Duration::from_millis(500);
/// How often the loss of a flow is said to one peer before it is returned.
const FLOW_GONE_SENT_MAX: u32 = 8;
/// Flows whose loss one peer has not acknowledged; another is returned at once.
const UNACKNOWLEDGED_MAX: usize = 4_096;
/// Items that wait for the end of the turn; another is dropped, and the peer sweeps.
const PENDING_MAX: usize = 8_192;
