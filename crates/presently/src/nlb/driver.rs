//! The loop that drives the nlb's machine: its line to the presence server, the proxy, the store,
//! the clock. It holds no rule of any protocol.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use presently_nlb::{Input, Nlb as Machine, Outputs};
use presently_proxy::{Asked, Health, Probes, Proxy, Questions};
use presently_sip::{Moment, Now, Protocol};
use presently_store::sqlite::LockCounters;
use presently_store::{Completion, Store};
use tokio::sync::mpsc;

use super::bound::Bound;
use super::config::probed;
use super::control::Wish;
use super::line::Line;
use super::metrics::{HostCounters, Snapshot};
use super::name::{Name, NameLost};
use super::sessions::Part;
use super::settings::{AtStop, WhenUnreachable};
use super::steps::Steps;
use super::{Config, Control, ServerRow};
use crate::driver::{Alarm, Clock};

/// An nlb with its sockets, ready to run.
pub struct Nlb {
    pub(super) machine: Machine,
    pub(super) out: Outputs,
    pub(super) steps: Steps,
    pub(super) line: Line,
    pub(super) proxy: Proxy,
    pub(super) questions: Questions,
    /// Whether the proxy's threads have ended.
    pub(super) is_drained: bool,
    /// Whether one of them has failed.
    pub(super) has_proxy_failed: bool,
    pub(super) store: Box<dyn Store>,
    pub(super) store_lock: Arc<LockCounters>,
    pub(super) done: Vec<Completion>,
    pub(super) bound: Bound,
    pub(super) name: Name,
    pub(super) probes: Probes,
    /// How many servers are probed.
    pub(super) probed: usize,
    pub(super) clock: Clock,
    pub(super) alarm: Alarm,
    pub(super) wishes: mpsc::Receiver<Wish>,
    pub(super) control: Control,
    pub(super) addresses: Addresses,
    pub(super) counters: HostCounters,
    pub(super) config: Config,
}

/// Where an nlb listens, once the system has chosen what was left to it.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Towards clients, in the order of the configuration.
    pub listen: Vec<SocketAddr>,
    /// Towards the presence server.
    pub sip: (Protocol, SocketAddr),
    /// Metrics, health and sessions.
    pub admin: Option<SocketAddr>,
}

/// Why an nlb has ended that nobody told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It may not write any more.
    #[error(transparent)]
    NameLost(#[from] NameLost),
    /// The connections of that thread stand still: another start serves them all.
    #[error("a thread that carries bytes has failed (a fault of this program): it ends")]
    ProxyFailed,
}

impl Nlb {
    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// A handle by which other tasks and threads ask it something.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until `stop` is done. Then connections end; sessions stay in the store for the next
    /// start or are released, as configured, within a bound.
    ///
    /// # Errors
    ///
    /// Another process has taken its name in the store, or a thread of the proxy has panicked: it
    /// ends at once, and writes no more.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let mut stop = pin!(stop);
        // The loop has bounds of its own; tokio's would only cut its turns short.
        let serving = poll_fn(|cx| match stop.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.poll_turns(cx).map(Err),
        });
        tokio::task::unconstrained(serving).await?;
        let settings = &self.config.settings;
        let busy = Duration::from_secs(settings.timeouts.stop_secs.into());
        let (input, within) = match settings.at_stop {
            AtStop::Keep => (Input::Stop, busy + CUT_WITHIN),
            AtStop::Release => (Input::Close, busy.max(RELEASE_WITHIN)),
        };
        self.machine
            .handle_input(self.clock.now(), input, &mut self.out);
        self.proxy.stop();
        let finishing = poll_fn(|cx| {
            if let Poll::Ready(error) = self.poll_turns(cx) {
                return Poll::Ready(Err(error));
            }
            if self.machine.is_idle() && self.is_drained {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        });
        // What the presence server does not hear now it forgets when it expires.
        let finished = tokio::time::timeout(within, finishing).await;
        finished.unwrap_or(Ok(()))?;
        self.name.leave(self.store.as_mut()).await;
        Ok(())
    }

    /// Takes turns until there is nothing to do; ready when it cannot go on.
    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<RunError> {
        for _ in 0..TURNS_MAX {
            let now = self.clock.now();
            self.counters.turns += 1;
            let mut is_busy = self.line.receive(now, cx, &mut self.machine, &mut self.out);
            is_busy |= self.take_questions(now, cx);
            is_busy |= self.take_completions(now, cx);
            if let Some(lost) = self.name.lost() {
                return Poll::Ready(lost.into());
            }
            if self.has_proxy_failed {
                return Poll::Ready(RunError::ProxyFailed);
            }
            is_busy |= self.take_health(now, cx);
            while let Poll::Ready(Some(wish)) = self.wishes.poll_recv(cx) {
                self.grant(wish, now);
            }
            self.line.handle_timeout(now.moment);
            if self
                .machine
                .poll_timeout()
                .is_some_and(|due| due <= now.moment)
            {
                self.machine.handle_timeout(now, &mut self.out);
            }
            if self.machine.servers().count() != self.probed {
                // One that was taken off the list is empty.
                self.probe_all();
            }
            self.out.operations.extend(self.name.beat(now.moment));
            self.flush(now);
            is_busy |= self.poll_alarm(cx).is_ready();
            if !is_busy {
                return Poll::Pending;
            }
        }
        // Other tasks get their turn, then this one goes on.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes a turn's share of what the proxy asks.
    fn take_questions(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        for _ in 0..QUESTIONS_A_TURN {
            if self.is_drained {
                return false;
            }
            let Poll::Ready(asked) = pin!(self.questions.next()).poll(cx) else {
                return false;
            };
            match asked {
                Some(asked) => self.take_question(now, asked),
                None => self.is_drained = true,
            }
        }
        true
    }

    fn take_question(&mut self, now: Now, asked: Asked) {
        let by_address = self.config.settings.by_address;
        match asked {
            Asked::Enter {
                entering,
                is_refused: false,
            } if by_address && self.bound.is_asked(&entering) => {
                self.counters.bound_asked += 1;
                let question = self.bound.ask(entering, now.wall);
                self.out.operations.push(question);
            }
            Asked::Enter { entering, .. } => self.hand(now, Input::Enter(entering)),
            Asked::Failed => self.has_proxy_failed = true,
            Asked::Left { path } if self.bound.left(path) => {}
            Asked::Left { path } => self.hand(now, Input::Left { path }),
        }
    }

    fn take_completions(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        if self.store.poll(cx, &mut self.done).is_pending() {
            return false;
        }
        let mut done = std::mem::take(&mut self.done);
        for completion in done.drain(..) {
            if Name::is_own(&completion) {
                self.name.on_beaten(now.moment, &completion);
            } else if Bound::is_own(&completion) {
                if let Some(entering) = self.bound.answered(completion) {
                    self.hand(now, Input::Enter(entering));
                }
            } else {
                self.hand(now, Input::Stored(completion));
            }
        }
        self.done = done;
        true
    }

    fn take_health(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        let mut is_busy = false;
        loop {
            let polled = pin!(self.probes.next()).poll(cx);
            let Poll::Ready(health) = polled else {
                return is_busy;
            };
            is_busy = true;
            log_health(&health);
            let (server, is_up) = (&*health.server, health.is_up);
            self.hand(now, Input::Health { server, is_up });
        }
    }

    fn hand(&mut self, now: Now, input: Input<'_>) {
        self.machine.handle_input(now, input, &mut self.out);
    }

    /// Carries out what the machine wants done.
    fn flush(&mut self, now: Now) {
        let Outputs {
            messages,
            operations,
            verdicts,
            steps,
        } = &mut self.out;
        self.line.send(now.moment, messages);
        self.counters.operations += u64::try_from(operations.len()).unwrap_or(u64::MAX);
        if !operations.is_empty() {
            self.store.submit(operations);
        }
        for verdict in verdicts.drain(..) {
            self.proxy.tell(verdict);
        }
        for step in steps.drain(..) {
            self.steps.note(step);
        }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = [
            self.machine.poll_timeout(),
            self.line.poll_timeout(),
            self.name.poll_timeout(),
        ];
        let due = due.into_iter().flatten().min();
        self.alarm.poll(due.unwrap_or(Moment(u64::MAX)), cx)
    }

    fn grant(&mut self, wish: Wish, now: Now) {
        // Whoever asked may have gone.
        match wish {
            // And has said by then that nothing is taken over.
            Wish::Servers(_, done) if done.is_closed() => {}
            Wish::Servers(servers, done) => {
                self.hand(now, Input::Servers(servers));
                self.probe_all();
                let _ = done.send(());
            }
            Wish::Sessions(user, after, answer) => {
                let _ = answer.send(Part::of(&self.machine, &user, after));
            }
            Wish::Steps(part, answer) => {
                let _ = answer.send(self.steps.rows(&part));
            }
            Wish::Snapshot(answer) => {
                let _ = answer.send(self.snapshot());
            }
        }
    }

    /// Probes the servers that the machine has. One that was taken off the list is probed until it
    /// is empty: its users move when it dies.
    fn probe_all(&mut self) {
        let servers = self.machine.servers();
        self.probed = servers.count();
        self.probes.replace(probed(servers));
    }

    fn snapshot(&self) -> Snapshot {
        let is_reachable = self.machine.is_reachable();
        let is_waited_for = self.config.settings.when_unreachable == WhenUnreachable::Refuse;
        let servers = ServerRow::all(&self.machine);
        let is_any_up = servers.iter().any(|server| server.state == "up");
        Snapshot {
            nlb: *self.machine.counters(),
            servers,
            host: HostCounters {
                strangers: self.line.strangers(),
                ..self.counters
            },
            proxy: self.proxy.counters(),
            transport: self.line.counters(),
            store_lock: Arc::clone(&self.store_lock),
            is_reachable,
            is_ready: is_any_up && (is_reachable || !is_waited_for),
        }
    }
}

fn log_health(health: &Health) {
    let server = &health.server;
    if health.is_up {
        tracing::info!(%server, "the application server is up");
    } else {
        tracing::warn!(%server, "the application server is down: its sessions move");
    }
}

/// Turns before other tasks of the process (the admin port, the probes) get theirs.
const TURNS_MAX: usize = 32;
/// Then the presence server and the store have their turn.
const QUESTIONS_A_TURN: usize = 256;
/// How long it waits for what it cut to be closed.
const CUT_WITHIN: Duration = Duration::from_millis(500);
/// How long it says good-bye for everybody.
const RELEASE_WITHIN: Duration = Duration::from_secs(10);
