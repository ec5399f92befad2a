//! What a session has to do at the presence server after a restart, an outage, or a move: a few
//! sessions at a time, when [`crate::Nlb`] says that it is their turn.

use presently_store::{Session as Record, SessionState};

use super::{Line, Session};
use crate::turn::{Ending, Turn};
use crate::{State, What, Why};

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Duty {
    /// Whether it stands in the list.
    is_listed: bool,
    /// Everything is refreshed, the feed's next word counts as its first.
    refreshes: bool,
    /// The user is told to come back.
    calls: bool,
}

impl Session {
    /// Takes up what `record` says; `has_slot` when its slot could be taken again. Who had access
    /// keeps it: a restart cuts nobody.
    pub(crate) fn restore(&mut self, turn: &mut Turn<'_>, record: &Record, has_slot: bool) {
        turn.step(&self.user, What::Restored);
        self.server = has_slot.then(|| record.server.clone());
        self.since = record.since;
        self.tag.clone_from(&record.tag);
        self.saved = presently_agent::SavedFeed::parse(&record.feed).map(Box::new);
        self.ends = record.state == SessionState::Releasing;
        // Whose announcement is being taken back, or is, gets access with the next one (S3).
        self.has_access = !self.ends;
        self.idle_from = turn.now.moment;
        let left = record.until.since(turn.now.wall);
        self.writing.found(self.renew_at(turn.now.moment, left));
        self.asked.registration = true;
        self.asked.announcement = record.tag.is_some();
        self.why = "was taken up from its record";
        self.enlist(turn);
    }

    /// The presence server is lost: nothing it said before counts (S22).
    pub(crate) fn on_lost(&mut self, turn: &mut Turn<'_>) {
        if self.is_leaving() {
            self.farewell_is_waited_for(turn);
            return;
        }
        self.notices.expect_baseline();
        self.writing.expect_baseline();
        self.dismiss(turn);
        if self.line < Line::Recording {
            self.serve_unannounced(turn);
        }
    }

    /// The presence server is there again, over another flow perhaps.
    pub(crate) fn on_found(&mut self, turn: &mut Turn<'_>) {
        self.duty.refreshes = !matches!(self.line, Line::Idle | Line::Purging);
        self.enlist(turn);
    }

    /// The nlb ends for good.
    pub(crate) fn on_close(&mut self, turn: &mut Turn<'_>) {
        self.enlist(turn);
    }

    /// The nlb ends for good, and perhaps before its turn comes: that is written.
    pub(crate) fn note_close(&mut self, turn: &mut Turn<'_>) {
        if !self.is_leaving() {
            self.write(turn);
        }
    }

    /// Its turn has come.
    pub(crate) fn on_duty(&mut self, turn: &mut Turn<'_>) {
        self.duty.is_listed = false;
        if self.is_leaving() {
            // What it did not hear of the good-bye it is told again.
            if turn.shared.is_reachable() && std::mem::take(&mut self.duty.refreshes) {
                self.agent.handle_flow_lost(turn.now, turn.agent);
            }
            return;
        }
        if turn.shared.ending == Ending::Close {
            self.release(turn, Why::Closed);
            return;
        }
        if !turn.shared.is_reachable() {
            return;
        }
        if self.ends {
            self.release(turn, Why::Earlier);
            return;
        }
        if std::mem::take(&mut self.duty.refreshes) {
            self.agent.handle_flow_lost(turn.now, turn.agent);
            self.agent
                .refresh_publication(turn.now, super::steps::PACKAGE, turn.agent);
        }
        if std::mem::take(&mut self.duty.calls) {
            self.call_user(turn);
        }
        self.begin(turn);
    }

    /// Whether the user is told to come back, when its turn has come.
    pub(super) fn call_back(&mut self, turn: &mut Turn<'_>) {
        if self.is_followed_open() && self.server.is_some() {
            self.duty.calls = true;
            self.enlist(turn);
        }
    }

    pub(super) fn is_followed_open(&self) -> bool {
        self.presence == State::Open && self.is_announced()
    }

    /// Puts it on the list of those that have something to do. A good-bye has little time; who is
    /// served has as much as it takes.
    pub(crate) fn enlist(&mut self, turn: &mut Turn<'_>) {
        if self.duty.is_listed {
            return;
        }
        self.duty.is_listed = true;
        if self.is_leaving() {
            turn.shared.todo.push_front(self.id);
        } else {
            turn.shared.todo.push_back(self.id);
        }
    }
}
