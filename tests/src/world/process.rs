//! One process of a simulated pool: its members, its clocks, its store, and whether it lives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use presently::host::Host;
use presently_pool::{Incarnation, Member, MemberId, Membership, Role};
use presently_sip::{Moment, Now};

use super::Packet;
use super::clock::Clock;
use super::slow_store::StoreLine;

/// A member that a process is to have.
#[derive(Clone, Debug)]
pub struct Seat {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) weight: u32,
    pub(super) oob: SocketAddr,
}

/// A process, alive or not.
pub(super) struct Process {
    pub(super) seats: Vec<Seat>,
    pub(super) clock: Clock,
    pub(super) line: StoreLine,
    /// The lives of its members, this time or the last.
    pub(super) lives: Vec<Membership>,
    pub(super) state: State,
    pub(super) waker: Arc<Flag>,
    /// Whether something has arrived since its last turn.
    pub(super) is_touched: bool,
    /// What comes over it as soon as it has something to do.
    pub(super) doom: Option<Doom>,
    /// It was told to end, and will have by then.
    pub(super) leaves_by: Option<Moment>,
    /// How often it began.
    pub(super) begun: u32,
}

/// How a process stands.
pub(super) enum State {
    /// It is not there.
    Ended,
    /// It waits for its names.
    Joining(Joining),
    /// It stands still, and what arrives waits.
    Paused(Box<Paused>),
    /// It takes turns.
    Running(Box<Host>),
}

/// A start, before the members have joined.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) next_look: Moment,
    pub(super) looks: u32,
    /// Lives that stood there at the first look, with their beats.
    pub(super) formers: Vec<(MemberId, Incarnation, u64)>,
}

/// A process that stands still.
pub(super) struct Paused {
    pub(super) host: Host,
    pub(super) since: Moment,
    /// It stood still between reading the clock and sending: the time it believes in.
    pub(super) stale: Option<Now>,
    pub(super) inbox: Vec<Packet>,
}

/// What happens in the middle of a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Doom {
    /// It ends when so many of the turn's messages have left.
    Ends(u32),
    /// It stands still after it has read the clock, before anything of the turn has left.
    StandsStill,
}

/// Notes that a host wants another turn.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Seat {
    /// The `place`-th member of a pool, with its own address.
    pub(super) fn new(name: &str, role: Role, weight: u32, place: u16) -> Self {
        Self {
            name: name.to_owned(),
            role,
            weight,
            oob: SocketAddr::from(([10, 0, 0, 1], 7000 + place)),
        }
    }
}

impl Process {
    pub(super) fn host(&self) -> Option<&Host> {
        match &self.state {
            State::Running(host) => Some(host),
            _ => None,
        }
    }

    pub(super) fn host_mut(&mut self) -> Option<&mut Host> {
        match &mut self.state {
            State::Running(host) => Some(host),
            _ => None,
        }
    }

    /// Whether it has a balancer that phones' packets are sent to. Who stands still is noticed
    /// by the network after a while; who ends at once.
    pub(super) fn takes_phones(&self, now: Moment) -> bool {
        let is_balancer = self.seats.iter().any(|seat| seat.role == Role::Balancer);
        let is_there = match &self.state {
            State::Running(_) => self.leaves_by.is_none(),
            State::Paused(paused) => now.since(paused.since) < NOTICED_AFTER,
            State::Ended | State::Joining(_) => false,
        };
        is_balancer && is_there
    }

    /// When it has something to do by itself, in the world's time.
    pub(super) fn next_due(&self) -> Option<Moment> {
        match &self.state {
            State::Ended | State::Paused(_) => None,
            State::Joining(joining) => Some(joining.next_look),
            State::Running(_) if self.is_touched || self.waker.is_up() => Some(Moment(0)),
            State::Running(host) => {
                let timer = self.clock.global(host.poll_timeout());
                let due = self.line.next_due().into_iter().chain(self.leaves_by);
                Some(due.fold(timer, Moment::min))
            }
        }
    }

    /// Which of `members` are lives under this process's names.
    pub(super) fn formers(&self, members: &[Member]) -> Vec<(MemberId, Incarnation, u64)> {
        let is_ours = |member: &&Member| {
            let is_alive = member.state == presently_pool::MemberState::Alive;
            is_alive && self.seats.iter().any(|seat| *seat.name == *member.name)
        };
        let ours = members.iter().filter(is_ours);
        ours.map(|one| (one.id, one.incarnation, one.beat))
            .collect()
    }
}

/// After which the phones' packets go to another balancer than one that stands still: what VRRP or
/// the like takes.
const NOTICED_AFTER: std::time::Duration = std::time::Duration::from_secs(3);
