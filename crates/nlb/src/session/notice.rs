//! Notifications: read, written to the record, and only then decided upon (S13–S15).

use std::collections::VecDeque;
use std::sync::Arc;

use presently_agent::{Notified, SubscriptionState};
use presently_sip::Moment;

use super::Session;
use crate::release::{Decision, Held, Told, decide};
use crate::turn::Turn;
use crate::{Closure, Presence, Sent, State, What};

/// What one notification said.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) presence: Presence,
    pub(crate) sent: Sent,
    pub(super) is_baseline: bool,
}

/// Notifications that wait for their turn, and what is needed to read the next one.
#[derive(Debug, Default)]
pub(super) struct Notices {
    waiting: VecDeque<Notice>,
    is_settled: bool,
    /// A number for the Call-ID of the feed's dialog.
    dialog: u64,
    /// The last document, while it tells devices apart.
    document: Option<Box<Presence>>,
}

impl Notices {
    /// The next notification, and what waits, is a first word.
    pub(super) fn expect_baseline(&mut self) {
        self.is_settled = false;
        for notice in &mut self.waiting {
            notice.is_baseline = true;
        }
    }

    pub(super) fn next(&mut self) -> Option<Notice> {
        self.waiting.pop_front()
    }

    /// Whether one that waits says that the user is there.
    pub(super) fn has_open(&self) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|it| it.presence.state() == State::Open)
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.document = None;
    }

    /// Takes the newest. At the bound it takes the place of the one before: what it says is newer.
    fn push(&mut self, mut notice: Notice) {
        if self.waiting.len() >= WAITING_MAX {
            let replaced = self.waiting.pop_back();
            notice.is_baseline |= replaced.is_some_and(|it| it.is_baseline);
        }
        self.waiting.push_back(notice);
    }
}

impl Session {
    /// A NOTIFY came.
    pub(super) fn on_notified(&mut self, turn: &mut Turn<'_>, notified: &Notified) {
        turn.shared.counters.notified += 1;
        let is_active = notified.state == SubscriptionState::Active && !self.is_leaving();
        let presence = is_active.then(|| self.document(&notified.body)).flatten();
        let Some(presence) = presence.filter(|it| it.state() != State::Unknown) else {
            turn.shared.counters.ignored += 1;
            return;
        };
        let dialog = turn.shared.random.number_of(&notified.call_id);
        if self.notices.dialog != dialog {
            self.notices.dialog = dialog;
            self.notices.expect_baseline();
        }
        let date = notified.date.as_deref();
        let sent = turn.shared.clock.sent(turn.now, date, presence.newest());
        let is_open = presence.state() == State::Open;
        turn.step(&self.user, What::Notified { is_open, sent });
        let is_baseline = !self.notices.is_settled;
        self.notices.is_settled = true;
        self.notices.push(Notice {
            presence,
            sent,
            is_baseline,
        });
        self.flush(turn);
    }

    /// What the body of a NOTIFY in an active subscription says. Without one, after the user was
    /// there, it says that nobody is: so some servers tell the end of the last publication.
    fn document(&self, body: &[u8]) -> Option<Presence> {
        let was_open = self.presence == State::Open || self.notices.has_open();
        if body.is_empty() && was_open {
            return Some(Presence::nobody());
        }
        Presence::read(body)
    }

    /// The record holds `notice`: the decision.
    pub(super) fn on_noted(&mut self, turn: &mut Turn<'_>, notice: Notice) {
        if self.is_leaving() {
            return;
        }
        let told = Told {
            state: notice.presence.state(),
            sent: notice.sent,
        };
        let config = &turn.shared.config;
        let mut paths = self.uses(config.signs);
        // Whoever waits has just opened a path.
        paths.extend(self.waiting.iter().map(super::Waiting::used));
        let held = Held {
            presence: self.presence,
            is_baseline: notice.is_baseline,
            acted: self.acted,
            is_reachable: turn.shared.is_reachable(),
            paths: &paths,
        };
        let decision = decide(&held, &told, config.using_window);
        let decision = self.guarded(turn, decision);
        self.act(turn, decision, &told);
        if self.is_leaving() {
            return;
        }
        if decision == Decision::Unchanged && told.state == State::Open {
            self.compare_devices(turn, &notice);
        }
        if decision != Decision::Stale {
            let tells_devices = notice.presence.tuples.len() > 1
                || self.paths.iter().any(|path| path.device.is_some());
            self.notices.document = tells_devices.then(|| Box::new(notice.presence));
        }
    }

    /// Counts what would be acted on, and dismisses it when it is one of too many.
    fn guarded(&mut self, turn: &mut Turn<'_>, decision: Decision) -> Decision {
        if !matches!(decision, Decision::Reestablish | Decision::Release) {
            return decision;
        }
        let (now, shared) = (turn.now.moment, &mut *turn.shared);
        let followed = usize::try_from(shared.counters.followed).unwrap_or(usize::MAX);
        match shared.guard.closed(now, self.id, followed) {
            Closure::MayAct => decision,
            Closure::Held => Decision::Dismiss,
            Closure::Trips => {
                shared.counters.alarms += 1;
                let nlb = shared.config.aor.clone();
                turn.step(&nlb, What::Alarm);
                Decision::Dismiss
            }
        }
    }

    fn act(&mut self, turn: &mut Turn<'_>, decision: Decision, told: &Told) {
        let is_open = told.state == State::Open;
        if decision == Decision::Baseline {
            turn.step(&self.user, What::Baseline { is_open });
            self.set_followed(turn, true);
        }
        turn.step(&self.user, What::Decided(decision));
        match decision {
            Decision::NoWord | Decision::Stale | Decision::Unchanged => {
                turn.shared.counters.ignored += 1;
                return;
            }
            Decision::Baseline | Decision::Open if is_open => self.on_open(turn),
            Decision::Baseline | Decision::Open => {}
            Decision::Dismiss => {
                turn.shared.counters.dismissed += 1;
                self.why = "its closure was dismissed";
            }
            Decision::NewerPath => self.why = "a path is newer than its closure",
            Decision::Reestablish => self.call(turn),
            Decision::Release => self.wait_out(turn, told.sent),
        }
        self.presence = told.state;
        self.acted = Some(told.sent);
    }

    /// One device of several went offline: only its paths are in doubt (S19).
    fn compare_devices(&mut self, turn: &mut Turn<'_>, notice: &Notice) {
        let Some(before) = self.notices.document.take() else {
            return;
        };
        let mut devices: Vec<Arc<str>> = Vec::new();
        for path in &self.paths {
            let mut device = path.device.iter().filter(|it| !devices.contains(it));
            let device: Option<Arc<str>> = device.next().cloned();
            devices.extend(device);
        }
        for device in devices {
            let was = before.device_state(&device).unwrap_or(State::Unknown);
            // A device that is not told of any more is gone.
            let gone = match was {
                State::Open => State::Closed,
                _ => State::Unknown,
            };
            let state = notice.presence.device_state(&device).unwrap_or(gone);
            let told = Told {
                state,
                sent: notice.sent,
            };
            self.on_device(turn, &device, was, &told);
        }
    }

    fn on_device(&mut self, turn: &mut Turn<'_>, device: &str, was: State, told: &Told) {
        let (now, config) = (turn.now.moment, &turn.shared.config);
        let of_device = |path: &&mut super::Path| path.device.as_deref() == Some(device);
        let of = self.paths.iter_mut().filter(of_device);
        let paths: Vec<_> = of.map(|path| path.used(config.signs)).collect();
        let held = Held {
            presence: was,
            is_baseline: false,
            acted: None,
            is_reachable: turn.shared.is_reachable() && turn.shared.guard.may_act(now),
            paths: &paths,
        };
        let decision = decide(&held, told, config.using_window);
        let cut_from: Option<Moment> = match decision {
            Decision::Release => Some(now.after(config.grace)),
            // Nobody is called: the user is there, on another device.
            Decision::Reestablish => Some(now.after(config.try_within)),
            Decision::Open | Decision::Unchanged if told.state == State::Open => None,
            _ => return,
        };
        for path in self.paths.iter_mut().filter(of_device) {
            path.cut_from = cut_from;
        }
        if cut_from.is_some() {
            self.why = "one of its devices went offline";
            turn.step(&self.user, What::Decided(decision));
        }
    }
}

/// Notifications that wait for the store; a user who changes faster is decided upon less often.
const WAITING_MAX: usize = 4;
