//! What its agent has to do in time, and its turn to refresh what the presence server holds.

use presently_sip::Moment;

use super::{Line, Session};
use crate::turn::Turn;

/// How it stands with its refresh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refresh {
    /// Nothing is to be refreshed.
    No,
    /// Requests are under way.
    UnderWay,
    /// It waits for its turn.
    Waits,
}

impl Session {
    /// Requests under way are repeated at once; what keeps up a user's feed waits for its turn.
    pub(super) fn agent_due(&mut self, turn: &mut Turn<'_>) {
        let is_due = |due: Option<Moment>| due.is_some_and(|due| due <= turn.now.moment);
        if is_due(self.agent.poll_repeat()) {
            self.agent.handle_repeats(turn.now, turn.agent);
        }
        if is_due(self.agent.poll_refresh()) {
            match (self.line, self.refresh) {
                (Line::Following, Refresh::Waits) => {}
                (Line::Following, Refresh::No) => {
                    self.refresh = Refresh::Waits;
                    turn.shared.refreshes.ask(self.id);
                }
                _ => self.agent.handle_timeout(turn.now, turn.agent),
            }
        }
        self.settle(turn);
    }

    /// When [`Session::agent_due`] has something to do.
    pub(super) fn agent_at(&self) -> Option<Moment> {
        match (self.line, self.refresh) {
            (Line::Following, Refresh::Waits) => self.agent.poll_repeat(),
            _ => self.agent.poll_timeout(),
        }
    }

    /// Its turn has come.
    pub(crate) fn on_refresh(&mut self, turn: &mut Turn<'_>) {
        self.refresh = Refresh::No;
        if self.is_leaving() {
            return;
        }
        self.agent.handle_timeout(turn.now, turn.agent);
        if self.agent.is_asking() {
            self.refresh = Refresh::UnderWay;
            turn.shared.refreshes.began(turn.now.moment, self.id);
        }
    }

    /// Whether what it refreshes is answered and recorded: then it is the next one's turn.
    pub(crate) fn end_refresh(&mut self, turn: &mut Turn<'_>) {
        let is_busy = self.agent.is_asking() || self.is_writing();
        if self.refresh == Refresh::UnderWay && (self.is_leaving() || !is_busy) {
            self.refresh = Refresh::No;
            turn.shared.refreshes.ended(self.id);
        }
    }
}
