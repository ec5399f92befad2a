//! The loop that drives a host: its sockets, its clock, its store. It holds no rule of any
//! protocol.
//!
//! One task does everything, turn by turn: it takes what has arrived (a bounded share of it), lets
//! the host take its turn, sends what that wrote, and sleeps until a socket, the store or a timer
//! has something for it.

mod clock;
mod control;
mod links;
mod members;
mod oob;
mod rejoin;
mod shape;
mod sockets;
mod start;
mod traces;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use presently_balancer::Balancer;
use presently_pool::MemberId;
use presently_sip::{Moment, Now};
use presently_store::Operation;
use presently_store::sqlite::LockCounters;
use tokio::sync::mpsc;

use crate::host::Host;
use crate::metrics::{ServerSnapshot, Snapshot};

pub(crate) use self::clock::{Alarm, Clock};
pub use self::control::Control;
pub(crate) use self::control::TraceError;
use self::control::Wish;
pub use self::links::LinkCounters;
use self::members::Joiner;
pub(crate) use self::members::ask;
use self::shape::Shape;
use self::sockets::{Intake, Sockets};
pub use self::start::{Addresses, StartError};

/// The members of one process, joined to the pool and ready to run.
pub struct Pool {
    /// Boxed: it is large, and a pool is moved when it joins anew.
    host: Box<Host>,
    sockets: Sockets,
    clock: Clock,
    /// By how much the system's clock was set when that was last said, and when it was looked at.
    stepped: (i64, Moment),
    alarm: Alarm,
    /// The members here, with their names.
    own: Vec<(MemberId, Arc<str>)>,
    /// When the store last confirmed a beat of each of them.
    beaten: Vec<(u64, Moment)>,
    /// What the machines are told each time they begin.
    shape: Shape,
    /// The members as they join, in the order of `own`.
    joiners: Vec<Joiner>,
    /// How often they joined anew.
    rejoins: u64,
    wishes: mpsc::Receiver<Wish>,
    control: Control,
    addresses: Addresses,
    store_lock: Arc<LockCounters>,
}

/// Why a running pool ended without being asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another process has joined under the name of a member of this one.
    #[error("another process runs as {name} now: this one ends")]
    NameTaken {
        /// The name.
        name: Arc<str>,
    },
}

/// Why the loop stopped taking turns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stopped {
    /// It was asked to.
    Asked,
    /// The store has ended a life of this process.
    Fenced,
}

impl Pool {
    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(crate) fn note_admin(&mut self, address: std::net::SocketAddr) {
        self.addresses.admin = Some(address);
    }

    /// A handle by which other tasks and threads ask it something.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until `stop` is done; then finishes what is in flight, within 2 s, and leaves the
    /// pool. Subscriptions go on: phones find them at the next start. When a balancer took the
    /// process for dead, it joins anew.
    ///
    /// # Errors
    ///
    /// The store says that another process took this one's place.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let mut stop = std::pin::pin!(stop);
        while self.serve(stop.as_mut()).await == Stopped::Fenced {
            self = tokio::select! {
                joined = self.join_anew() => joined?,
                () = &mut stop => return Ok(()),
            };
        }
        let finishing = poll_fn(|context| self.poll_finished(context));
        let _ = tokio::time::timeout(STOP_WITHIN, finishing).await;
        let _ = tokio::time::timeout(STOP_WITHIN, self.leave()).await;
        Ok(())
    }

    /// Takes turns until `stop` is done or the store fences the process.
    async fn serve(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> Stopped {
        let stopped = poll_fn(|context| match stop.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Stopped::Asked),
            Poll::Pending => self.poll_turn(context, Intake::Open),
        });
        // The loop has bounds of its own; tokio's would only cut its turns short.
        tokio::task::unconstrained(stopped).await
    }

    /// Takes turns until there is nothing to do; ready only when it must stop.
    fn poll_turn(&mut self, context: &mut Context<'_>, intake: Intake) -> Poll<Stopped> {
        for _ in 0..TURNS_MAX {
            let now = self.clock.now();
            let host = &mut self.host;
            let mut is_busy = self.sockets.receive(now, context, host, intake);
            while let Poll::Ready(Some(wish)) = self.wishes.poll_recv(context) {
                self.grant(wish, now);
            }
            self.sockets.handle_timeout(now);
            if self.host.poll_timeout() <= now.moment {
                self.host.handle_timeout(now);
            }
            self.host.turn(now, context, &mut self.sockets);
            is_busy |= self.note_members(now);
            self.note_clock(now);
            if self.host.is_fenced() {
                return Poll::Ready(Stopped::Fenced);
            }
            is_busy |= self.poll_alarm(context).is_ready();
            if !is_busy {
                return Poll::Pending;
            }
        }
        // Other tasks get their turn, then this one goes on.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// What the host learnt of the members reaches the links; whether one ended by that, for which
    /// the host needs another turn.
    fn note_members(&mut self, now: Now) -> bool {
        let members = self.host.members();
        for ((own, _), (beat, at)) in self.own.iter().zip(&mut self.beaten) {
            let row = members.iter().find(|member| member.id == *own);
            if let Some(row) = row.filter(|row| row.beat != *beat) {
                (*beat, *at) = (row.beat, now.moment);
            }
        }
        let Sockets {
            transport, links, ..
        } = &mut self.sockets;
        let broken = links.set_members(now.moment, members, transport);
        for peer in &broken {
            self.host.handle_link_broken(now, *peer);
        }
        !broken.is_empty()
    }

    /// A system's clock that is set is an alarm and nothing else.
    fn note_clock(&mut self, now: Now) {
        let (said, looked) = self.stepped;
        if now.moment.since(looked) < LOOK_AT_CLOCK_EVERY {
            return;
        }
        let secs = self.clock.stepped_secs();
        self.stepped = (secs, now.moment);
        if secs.abs_diff(said) > CLOCK_STEP_SECS {
            tracing::warn!(
                secs,
                "the system's clock was set: this process goes on by the clock it began with"
            );
        }
    }

    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Sockets {
            transport, links, ..
        } = &self.sockets;
        let sockets = [transport.poll_timeout(), links.poll_timeout()];
        let due = sockets.into_iter().flatten();
        let due = due.fold(self.host.poll_timeout(), Moment::min);
        self.alarm.poll(due, context)
    }

    fn poll_finished(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.poll_turn(context, Intake::Ending) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending if self.host.in_flight() == 0 => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    async fn leave(self) {
        let lives: Vec<_> = self.host.own().collect();
        let (mut store, _) = self.host.end(self.clock.now());
        for by in lives {
            // A store that cannot be reached is told nothing: the standing beat says it too.
            let _ = members::ask(store.as_mut(), Operation::Leave { by }).await;
        }
    }

    fn grant(&mut self, wish: Wish, now: Now) {
        match wish {
            Wish::BreakOob(name) => {
                if let Some((id, _)) = self.own.iter().find(|(_, own)| **own == *name) {
                    self.sockets.oob.close(*id);
                }
            }
            Wish::Trace(tap, span, answer) => {
                let has_room = self.sockets.traces.add(tap, span);
                // Whoever asked may have gone.
                let _ = answer.send(has_room);
            }
            // Whoever asked has said by now that nothing is taken over.
            Wish::SetTerms(_, _, done) if done.is_closed() => {}
            Wish::SetTerms(domains, expires, done) => {
                self.host.set_terms(&domains, expires);
                self.shape.set_terms(&domains, expires);
                // Whoever asked may have gone.
                let _ = done.send(());
            }
            Wish::Snapshot(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.snapshot(now));
            }
        }
    }

    fn snapshot(&self, now: Now) -> Snapshot {
        let name = |id| {
            let own = self.own.iter().find(|(own, _)| *own == id);
            own.map_or_else(|| "".into(), |(_, name)| Arc::clone(name))
        };
        let servers = self.host.servers().map(|(server, links)| ServerSnapshot {
            name: name(server.membership().member),
            clients: server.clients(),
            subscriptions: server.subscriptions(),
            held_bytes: server.held_bytes(),
            counters: *server.counters(),
            links: *links,
        });
        let is_fresh =
            |(beat, at): &(u64, Moment)| *beat > 0 && now.moment.since(*at) <= BEAT_WITHIN;
        let balancer = self.host.balancer();
        Snapshot {
            balancer: balancer.map(|balancer| *balancer.counters()),
            balancer_held_bytes: balancer.map_or(0, Balancer::held_bytes),
            servers: servers.collect(),
            host: *self.host.counters(),
            operations_in_flight: self.host.in_flight(),
            links: *self.sockets.links.counters(),
            oob_datagrams_unsent: self.sockets.oob.unsent(),
            store_lock: Arc::clone(&self.store_lock),
            transport: *self.sockets.transport.counters(),
            connections: self.sockets.transport.connections(),
            members: Arc::clone(self.host.members()),
            rejoins: self.rejoins,
            stepped_secs: self.stepped.0,
            is_ready: self.beaten.iter().all(is_fresh),
        }
    }
}

/// Turns before other tasks of the process (the admin port) get theirs.
const TURNS_MAX: usize = 32;
/// How long a process that is told to stop finishes what is in flight.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// A member whose last confirmed beat is older is taken for dead by others.
const BEAT_WITHIN: Duration = Duration::from_millis(1_500);
/// How often the system's clock is compared with ours.
const LOOK_AT_CLOCK_EVERY: Duration = Duration::from_secs(1);
/// What a clock that is kept by small steps may differ from one look to the next.
const CLOCK_STEP_SECS: u64 = 1;
