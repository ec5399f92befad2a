//! The release: what is held here is freed at once, then the presence server is told, step by step
//! and in order: unsubscribed, unannounced, unregistered, purged (S10–S12, S18).

use std::mem;
use std::time::Duration;

use presently_agent::Subject;
use presently_sip::transaction::TRANSACTION;

use super::doubt::Doubt;
use super::{Line, Session, cut_reason, with_bytes_of};
use crate::reach::Reached;
use crate::turn::Turn;
use crate::{Refusal, State, What, WhenUnreachable, Why};

impl Session {
    /// Frees everything the session holds here and begins the good-bye.
    pub(crate) fn release(&mut self, turn: &mut Turn<'_>, why: Why) {
        if self.is_leaving() {
            return;
        }
        self.count_release(turn, why);
        for path in mem::take(&mut self.paths) {
            self.moved = with_bytes_of(self.moved, &path);
            turn.cut(&self.user, path.id, cut_reason(why));
        }
        turn.shared.servers.free(self.id);
        turn.shared.queue.remove(self.id);
        turn.shared.counters.leaving += 1;
        self.set_followed(turn, false);
        self.server = None;
        self.doubt = Doubt::None;
        self.presence = State::Unknown;
        self.lost = None;
        self.notices.clear();
        self.repair_at = None;
        self.farewell_by = turn.now.moment.after(TRANSACTION);
        self.why = "is being given back";
        turn.step(&self.user, What::Released { why });
        self.line = Line::Unsubscribing;
        if self.has_row() {
            // A restart goes on with the good-bye.
            self.write(turn);
        }
        if why == Why::Closed {
            self.refuse_waiting(turn, Refusal::Full);
        }
        self.unsubscribe(turn);
    }

    /// The good-bye takes too long: what the presence server still holds ends by its expiry.
    pub(super) fn farewell_due(&mut self, turn: &mut Turn<'_>) {
        if self.line < Line::Purging && self.farewell_by <= turn.now.moment {
            self.purge_record(turn);
        }
    }

    /// Where users are served without presence, whoever waits for the user's next session does not
    /// wait for a presence server that is away: the good-bye ends, and what is still held there
    /// ends by its expiry.
    pub(super) fn farewell_is_waited_for(&mut self, turn: &mut Turn<'_>) {
        let config = &turn.shared.config;
        if config.when_unreachable != WhenUnreachable::Serve || self.waiting.is_empty() {
            return;
        }
        let patience = match turn.shared.reached {
            Reached::Lost => Duration::ZERO,
            // That it is away may not be known yet.
            _ => config.admit_within / 2,
        };
        self.farewell_by = self.farewell_by.min(turn.now.moment.after(patience));
        self.farewell_due(turn);
    }

    /// The presence server gave back, or refused to, what `subject` says.
    pub(super) fn on_given_back(&mut self, turn: &mut Turn<'_>, subject: &Subject) {
        match (self.line, subject) {
            (Line::Unsubscribing, Subject::Subscription(id)) if self.feed == Some(*id) => {
                self.feed = None;
                turn.step(&self.user, What::Terminated);
                self.unannounce_once_recorded(turn);
            }
            (Line::Unannouncing, Subject::Publication(_)) => {
                turn.step(&self.user, What::Unannounced);
                self.unregister(turn);
            }
            (Line::Unregistering, Subject::Registration) => {
                turn.step(&self.user, What::Unregistered);
                self.purge_record(turn);
            }
            _ => {}
        }
    }

    /// The record is gone, and with it the last of the session.
    pub(super) fn on_purged(&mut self, turn: &mut Turn<'_>) {
        turn.step(&self.user, What::Purged);
        self.end(turn);
    }

    fn unsubscribe(&mut self, turn: &mut Turn<'_>) {
        if let Some(saved) = self.saved.take() {
            // Taken up only to be ended.
            let secs = turn.shared.config.subscribe_secs;
            self.feed = Some(self.agent.resume(turn.now, &saved, secs, turn.agent));
        }
        let Some(feed) = self.feed else {
            self.unannounce_once_recorded(turn);
            return;
        };
        turn.step(&self.user, What::Unsubscribed);
        self.agent.unsubscribe(turn.now, feed, turn.agent);
    }

    /// The announcement stays until the record says that the session is being given back: a
    /// restart before that gives access on it (S3).
    pub(super) fn unannounce_once_recorded(&mut self, turn: &mut Turn<'_>) {
        let is_due = self.line == Line::Unsubscribing && self.feed.is_none();
        if is_due && !self.is_behind() {
            self.unannounce(turn);
        }
    }

    fn unannounce(&mut self, turn: &mut Turn<'_>) {
        self.line = Line::Unannouncing;
        if let Some(tag) = self.tag.take() {
            self.agent.resume_publication(super::steps::PACKAGE, tag);
        }
        if self.asked.announcement {
            self.agent
                .unpublish(turn.now, super::steps::PACKAGE, turn.agent);
        } else {
            self.unregister(turn);
        }
    }

    fn unregister(&mut self, turn: &mut Turn<'_>) {
        self.line = Line::Unregistering;
        if self.asked.registration {
            self.agent.unregister(turn.now, turn.agent);
        } else {
            self.purge_record(turn);
        }
    }

    fn purge_record(&mut self, turn: &mut Turn<'_>) {
        self.line = Line::Purging;
        if self.has_row() {
            self.flush(turn);
        } else {
            self.end(turn);
        }
    }

    fn end(&mut self, turn: &mut Turn<'_>) {
        self.line = Line::Gone;
        let leaving = &mut turn.shared.counters.leaving;
        *leaving = leaving.saturating_sub(1);
    }

    fn count_release(&mut self, turn: &mut Turn<'_>, why: Why) {
        let shared = &mut *turn.shared;
        match why {
            Why::Closed | Why::Earlier | Why::Unused => return,
            Why::Idle => {
                shared.counters.released_by_timeout += 1;
                return;
            }
            Why::Left => shared.counters.released_by_presence += 1,
            Why::NotResumed => shared.counters.released_not_resumed += 1,
        }
        let name = shared.random.number_of(self.user.as_str());
        shared.recent.released(turn.now.moment, name);
        // Without presence the paths would have stood until the time-out, or the empty session.
        let config = &shared.config;
        let ends = match self.paths_at(shared) {
            Some(due) => due,
            None => self.idle_from.after(config.idle),
        };
        shared.counters.saved_secs += ends.since(turn.now.moment).as_secs();
    }
}
