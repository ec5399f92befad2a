//! The nlb's own line: its registration, before anything else (S1), and whether the presence server
//! is there (S22).

use std::mem;
use std::time::Duration;

use presently_agent::{Agent, Event, Outputs, RequestId, Subject};
use presently_sip::{Aor, Moment, Now};

/// The own line as a machine. What it says is read with [`Reach::on_event`].
#[derive(Debug)]
pub(crate) struct Reach {
    agent: Agent,
    domain: Aor,
    register_secs: u32,
    probe_every: Duration,
    /// When the registration was last asked for.
    asked: Moment,
    register_at: Moment,
    probe_at: Moment,
    probe: Option<RequestId>,
    missed: u8,
    /// Whether a flow was lost since the registration was last answered.
    has_new_flow: bool,
    /// Answers to REGISTER in a row that were long in coming.
    slow: u8,
    state: Reached,
}

/// Whether the presence server is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reached {
    /// It was, and does not answer any more, or it refuses the registration.
    Lost,
    /// Nothing was heard yet.
    Unknown,
    /// It answers, and the own line is registered.
    Yes,
}

/// What the own line has found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// The presence server is there again, or for the first time.
    Here,
    /// The registration was answered at a moment by this Date.
    Date {
        /// When it was asked for.
        asked: Moment,
        /// What the answer said.
        date: Option<String>,
    },
    /// The presence server is lost.
    Lost,
    /// The own registration is gone.
    Unregistered,
}

impl Reach {
    pub(crate) fn new(now: Now, agent: Agent, register_secs: u32, probe_every: Duration) -> Self {
        let host = agent.config().aor.host();
        let domain = Aor::from_canonical(&format!("sip:{host}"));
        Self {
            agent,
            domain,
            register_secs,
            probe_every,
            asked: now.moment,
            register_at: now.moment,
            probe_at: now.moment.after(probe_every),
            probe: None,
            missed: 0,
            has_new_flow: false,
            slow: 0,
            state: Reached::Unknown,
        }
    }

    /// Takes a message for the own line, or for nobody: a NOTIFY for a handle that is no more gets
    /// 481, which ends its subscription (RFC 6665 §4.2.2).
    pub(crate) fn on_message(&mut self, now: Now, bytes: &[u8], out: &mut Outputs) {
        self.agent.handle_message(now, bytes, out);
    }

    pub(crate) fn poll_timeout(&self) -> Moment {
        let own = self.probe_at.min(self.register_at);
        self.agent.poll_timeout().map_or(own, |due| due.min(own))
    }

    /// Does what is due; what it finds by itself.
    pub(crate) fn on_timeout(&mut self, now: Now, out: &mut Outputs) -> Option<Found> {
        self.agent.handle_timeout(now, out);
        if self.register_at <= now.moment {
            self.register(now, out);
        }
        if self.probe_at > now.moment {
            return None;
        }
        self.missed = match self.probe {
            Some(_) => self.missed.saturating_add(1),
            None => 0,
        };
        self.probe_at = now.moment.after(self.probe_every);
        let domain = self.domain.clone();
        self.probe = Some(self.agent.options(now, &domain, out));
        (self.missed >= MISSED_MAX).then(|| self.lose()).flatten()
    }

    /// The flow closed: lost until it answers over the next one, which is made at once. When that
    /// one closes too, nobody listens: another is made with the next probe.
    pub(crate) fn on_flow_lost(&mut self, now: Now, out: &mut Outputs) -> Option<Found> {
        self.probe = None;
        self.has_new_flow = true;
        if self.state == Reached::Lost {
            self.probe_at = now.moment.after(self.probe_every.min(FLOW_EVERY));
            return None;
        }
        self.agent.handle_flow_lost(now, out);
        self.probe_at = now.moment;
        self.lose()
    }

    /// Reads what its agent says.
    pub(crate) fn on_event(&mut self, now: Now, event: Event, out: &mut Outputs) -> Vec<Found> {
        match event {
            Event::Registered { date, .. } => {
                let asked = self.asked;
                self.learn_again(now, date.is_some());
                let here = (self.state != Reached::Yes).then_some(Found::Here);
                self.state = Reached::Yes;
                self.missed = 0;
                self.has_new_flow = false;
                self.probe = None;
                let found = [Some(Found::Date { asked, date }), here];
                found.into_iter().flatten().collect()
            }
            Event::RegisterFailed { .. } | Event::TimedOut { .. } if self.is_ending() => {
                vec![Found::Unregistered]
            }
            Event::RegisterFailed { .. }
            | Event::TimedOut {
                what: Subject::Registration,
                ..
            } => self.lose().into_iter().collect(),
            Event::OptionsAnswered { id, status, .. } if self.probe == Some(id) => {
                self.on_probed(now, status, out);
                Vec::new()
            }
            Event::Unregistered => vec![Found::Unregistered],
            _ => Vec::new(),
        }
    }

    /// Gives the own registration back.
    pub(crate) fn unregister(&mut self, now: Now, out: &mut Outputs) {
        self.register_at = NEVER;
        self.agent.unregister(now, out);
    }

    /// Messages for nobody.
    pub(crate) fn dropped(&self) -> u64 {
        self.agent.dropped()
    }

    fn is_ending(&self) -> bool {
        self.register_at == NEVER
    }

    fn register(&mut self, now: Now, out: &mut Outputs) {
        self.note_asked(now);
        self.agent.register(now, self.register_secs, out);
    }

    fn note_asked(&mut self, now: Now) {
        self.asked = now.moment;
        self.register_at = now.moment.after(LEARN_EVERY);
    }

    /// An answer that was long in coming, to a repeat or to another try of the agent's own, says
    /// little about the server's clock: what it leaves open would count as use. The next may say
    /// more.
    fn learn_again(&mut self, now: Now, has_date: bool) {
        let is_slow = has_date && now.moment.since(self.asked) > LEARN_WITHIN;
        self.slow = if is_slow {
            self.slow.saturating_add(1)
        } else {
            0
        };
        if (1..=LEARN_AGAIN_MAX).contains(&self.slow) && !self.is_ending() {
            self.register_at = now.moment.after(LEARN_AGAIN);
        }
    }

    fn on_probed(&mut self, now: Now, status: u16, out: &mut Outputs) {
        // A balancer without servers answers as well, with 503: that is nobody to rely on.
        if matches!(status, 408 | 500 | 503 | 504) {
            return;
        }
        self.probe = None;
        self.missed = 0;
        if self.state == Reached::Yes || self.is_ending() {
            return;
        }
        // What was sent on the new flow while nobody was behind it yet is not sent again over TCP
        // (RFC 3261 §17.1.2.2), and would be waited for in vain.
        if mem::take(&mut self.has_new_flow) {
            self.note_asked(now);
            self.agent.handle_flow_lost(now, out);
        } else {
            self.register(now, out);
        }
    }

    fn lose(&mut self) -> Option<Found> {
        (self.state != Reached::Lost).then(|| {
            self.state = Reached::Lost;
            Found::Lost
        })
    }
}

/// When the own registration is refreshed once it was given back.
const NEVER: Moment = Moment(u64::MAX);

/// How often a flow is made anew that closes at once.
const FLOW_EVERY: Duration = Duration::from_secs(1);

/// Probes without an answer that say that nobody is there.
const MISSED_MAX: u8 = 2;

/// How often the own registration is refreshed: often enough to know the server's clock.
const LEARN_EVERY: Duration = Duration::from_mins(10);

/// An answer within this time tells the server's clock as well as its Date can.
const LEARN_WITHIN: Duration = Duration::from_millis(200);

/// When the registration is refreshed after an answer that told less, and how often in a row.
const LEARN_AGAIN: Duration = Duration::from_secs(1);
const LEARN_AGAIN_MAX: u8 = 5;
