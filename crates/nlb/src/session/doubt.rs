//! A user who went offline: waited for, asked to come back, and let go (S8, S17, S20).
//!
//! ```text
//!   was not using: Grace ─────────────► released
//!   was using:     Resuming ─► Ebbing ► released, once every path is idle
//!   a path opens, or the user is seen open: none of it
//! ```

use std::time::Duration;

use presently_agent::RequestId;
use presently_sip::Moment;

use super::Session;
use crate::release::is_using;
use crate::turn::Turn;
use crate::{Config, Sent, State, What, Why};

/// Whether, and how, it is in doubt that the user is there.
#[derive(Debug)]
pub(super) enum Doubt {
    /// It is not.
    None,
    /// The user went offline and used nothing.
    Grace {
        /// When that was said.
        sent: Sent,
        /// Until when a return is waited for.
        until: Moment,
    },
    /// The user went offline, was asked to come back and did not: released when nothing moves.
    Ebbing,
    /// The user is being asked to come back.
    Resuming(Box<Resuming>),
}

/// The tries to bring a user back.
#[derive(Debug)]
pub(super) struct Resuming {
    /// When the first message was sent.
    began: Moment,
    until: Moment,
    /// When the next try is due; `None` while one is on its way, or one was delivered.
    next: Option<Moment>,
    tries: u8,
    request: Option<RequestId>,
    is_delivered: bool,
    /// Whether the session ends when nobody comes; not for a user whom presence says to be there.
    releases: bool,
}

impl Session {
    /// The user left and used nothing: a return is waited for a little while.
    pub(super) fn wait_out(&mut self, turn: &mut Turn<'_>, sent: Sent) {
        let until = turn.now.moment.after(turn.shared.config.grace);
        self.doubt = Doubt::Grace { sent, until };
        self.why = "its user went offline";
        self.doubt_due(turn);
    }

    /// The user left in the midst of something: asked to come back.
    pub(super) fn call(&mut self, turn: &mut Turn<'_>) {
        self.why = "its user went offline while using it";
        self.ask_back(turn, true);
    }

    /// The user's server went down and presence says that the user is there: told where to come.
    pub(super) fn call_user(&mut self, turn: &mut Turn<'_>) {
        self.ask_back(turn, false);
    }

    /// The user is seen open.
    pub(super) fn on_open(&mut self, turn: &mut Turn<'_>) {
        turn.shared.guard.opened(self.id);
        self.why = "its user is online";
        let now = turn.now.moment;
        match &mut self.doubt {
            Doubt::Resuming(it) => {
                it.releases = false;
                if !it.is_delivered && it.request.is_none() {
                    // Phones are there again to take it.
                    it.next = Some(now);
                    it.tries = it.tries.min(turn.shared.config.tries.saturating_sub(1));
                }
                self.doubt_due(turn);
            }
            // Every try failed while nobody was there.
            Doubt::Ebbing => self.ask_back(turn, false),
            Doubt::Grace { .. } | Doubt::None => self.doubt = Doubt::None,
        }
    }

    /// A path of the user was opened: it is there, whatever was said before (S24).
    pub(super) fn on_path_opened(&mut self, turn: &mut Turn<'_>, has_uuid: bool) {
        match self.doubt {
            Doubt::None => {}
            Doubt::Grace { .. } => {
                self.doubt = Doubt::None;
                self.why = "its user opened a path";
            }
            Doubt::Ebbing | Doubt::Resuming(_) => self.on_resumed(turn, has_uuid),
        }
    }

    /// The message to the user was answered.
    pub(super) fn on_answered(&mut self, turn: &mut Turn<'_>, id: RequestId, status: u16) {
        let Doubt::Resuming(resuming) = &mut self.doubt else {
            return;
        };
        if resuming.request != Some(id) {
            return;
        }
        resuming.request = None;
        if (200..300).contains(&status) {
            resuming.is_delivered = true;
            turn.shared.counters.messages_delivered += 1;
        } else {
            let next = turn.now.moment.after(turn.shared.config.try_every);
            resuming.next = Some(next);
        }
        turn.step(&self.user, What::Answered { status });
        self.doubt_due(turn);
    }

    /// What is in doubt is so no more: ordinary time-outs only.
    pub(super) fn dismiss(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.doubt, Doubt::None) {
            self.doubt = Doubt::None;
            turn.shared.counters.dismissed += 1;
            self.why = "its closure was dismissed";
        }
        for path in &mut self.paths {
            path.cut_from = None;
        }
    }

    /// Goes on with what is in doubt.
    pub(super) fn doubt_due(&mut self, turn: &mut Turn<'_>) {
        if self.is_leaving() {
            return;
        }
        let now = turn.now.moment;
        match &self.doubt {
            Doubt::Grace { sent, until } if *until <= now => {
                let sent = *sent;
                self.on_grace_over(turn, sent);
            }
            Doubt::Resuming(_) => self.resuming_due(turn),
            Doubt::Ebbing => self.ebbing_due(turn),
            Doubt::Grace { .. } | Doubt::None => {}
        }
    }

    /// When [`Session::doubt_due`] has something to do.
    pub(super) fn doubt_at(&self, config: &Config) -> Option<Moment> {
        match &self.doubt {
            Doubt::None => None,
            Doubt::Grace { until, .. } => Some(*until),
            Doubt::Resuming(it) => Some(it.next.map_or(it.until, |next| next.min(it.until))),
            Doubt::Ebbing => Some(self.ebb_at(config)),
        }
    }

    /// The grace is over. What moved meanwhile was in use after all (S20).
    fn on_grace_over(&mut self, turn: &mut Turn<'_>, sent: Sent) {
        let config = &turn.shared.config;
        if !turn.shared.guard.may_act(turn.now.moment) {
            self.dismiss(turn);
        } else if self.is_told_open() {
            self.wait_for_store(turn, sent);
        } else if is_using(&self.uses(config.signs), sent, config.using_window) {
            self.call(turn);
        } else {
            self.release(turn, Why::Left);
        }
    }

    fn ask_back(&mut self, turn: &mut Turn<'_>, releases: bool) {
        let now = turn.now.moment;
        self.doubt = Doubt::Resuming(Box::new(Resuming {
            began: now,
            until: now.after(turn.shared.config.try_within),
            next: Some(now),
            tries: 0,
            request: None,
            is_delivered: false,
            releases,
        }));
        self.resuming_due(turn);
    }

    fn resuming_due(&mut self, turn: &mut Turn<'_>) {
        let Doubt::Resuming(it) = &mut self.doubt else {
            return;
        };
        let now = turn.now.moment;
        let came_back = |path: &super::Path| path.traffic.moved().from_user_at > it.began;
        let tries_max = turn.shared.config.tries;
        let is_exhausted = it.tries >= tries_max && it.request.is_none() && !it.is_delivered;
        if self.paths.iter().any(came_back) {
            self.on_resumed(turn, false);
        } else if it.until <= now || is_exhausted {
            self.on_not_resumed(turn);
        } else if it.next.is_some_and(|next| next <= now) {
            it.next = None;
            it.tries += 1;
            let number = it.tries;
            self.send_call(turn, number);
        }
    }

    /// Sends the message with the UUID (RFC 3428 §4), as `docs/nlb.md` describes it.
    fn send_call(&mut self, turn: &mut Turn<'_>, number: u8) {
        let parameter = format!("UUID={}", self.uuid);
        let body = match &turn.shared.config.resume_url {
            Some(url) => format!("{parameter}\r\n{url}\r\n"),
            None => format!("{parameter}\r\n"),
        };
        turn.shared.counters.messages += 1;
        turn.step(&self.user, What::Messaged { number });
        let id = self.agent.message_with(
            turn.now,
            &self.user,
            &[("Resume", &parameter)],
            "text/plain",
            body.as_bytes(),
            turn.agent,
        );
        if let Doubt::Resuming(it) = &mut self.doubt {
            it.request = Some(id);
        }
    }

    fn on_resumed(&mut self, turn: &mut Turn<'_>, has_uuid: bool) {
        self.doubt = Doubt::None;
        turn.shared.counters.resumed += 1;
        turn.shared.counters.resumed_with_uuid += u64::from(has_uuid);
        turn.step(&self.user, What::Resumed { has_uuid });
        self.why = "its user came back";
    }

    fn on_not_resumed(&mut self, turn: &mut Turn<'_>) {
        let releases = matches!(&self.doubt, Doubt::Resuming(it) if it.releases);
        if releases && self.presence == State::Closed {
            self.doubt = Doubt::Ebbing;
            self.why = "its user did not come back; waiting for its paths to fall idle";
            self.ebbing_due(turn);
        } else {
            self.doubt = Doubt::None;
        }
    }

    /// Every path must have been idle for the window: bytes that move are never cut (S20).
    fn ebbing_due(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.moment;
        if self.ebb_at(&turn.shared.config) > now {
            return;
        }
        if !turn.shared.guard.may_act(now) {
            self.dismiss(turn);
        } else if let Some(sent) = self.acted.filter(|_| self.is_told_open()) {
            self.wait_for_store(turn, sent);
        } else {
            self.release(turn, Why::NotResumed);
        }
    }

    /// Nothing is released while a word that the user is there waits to be written.
    fn wait_for_store(&mut self, turn: &Turn<'_>, sent: Sent) {
        let until = turn.now.moment.after(STORE_WAIT);
        self.doubt = Doubt::Grace { sent, until };
    }

    /// Whether it was said, and is only not written yet, that the user is there again.
    fn is_told_open(&self) -> bool {
        self.notices.has_open() || self.writing.has_open()
    }
}

/// How long to wait before looking again whether a record was written.
const STORE_WAIT: Duration = Duration::from_millis(100);
