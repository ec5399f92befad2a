//! The steps of one session, S1 to S15, in their order, as the trace shows them.

use presently_nlb::{Decision, What, Why};

/// How far a session has come.
#[derive(Debug, Default)]
pub(super) struct Session {
    is_placed: bool,
    is_registered: bool,
    is_announced: bool,
    pub(super) has_access: bool,
    is_notified: bool,
    is_in_doubt: bool,
    is_restored: bool,
    given_back: Option<usize>,
}

impl Session {
    /// Takes the next step; `false` when another had to come before it. `is_own_registered` says
    /// whether the nlb itself is.
    pub(super) fn the_steps_are_in_order(&mut self, what: &What, is_own_registered: bool) -> bool {
        // Whoever found no slot was never placed.
        let why = Why::Unused;
        let begins = matches!(what, What::Placed { .. } | What::Queued);
        if self.is_leaving() && (begins || *what == What::Released { why }) {
            *self = Self::default();
        }
        match what {
            What::Placed { .. } | What::Moved { .. } => self.is_placed = true,
            What::Restored => {
                (self.is_placed, self.has_access) = (true, true);
                self.is_restored = true;
            }
            What::Registered => {
                let is_right = self.is_placed && is_own_registered && !self.is_leaving();
                self.is_registered = true;
                return is_right;
            }
            What::Announced => {
                self.is_announced = true;
                return self.is_registered && !self.is_leaving();
            }
            What::Recorded => {
                self.has_access = true;
                return self.is_announced && !self.is_leaving();
            }
            What::Admitted { .. } => return self.has_access && !self.is_leaving(),
            // What an earlier life was giving back is taken up only to be ended.
            What::Subscribed => {
                let is_known = self.has_access || self.is_restored;
                return self.has_access && self.is_announced || is_known && self.is_leaving();
            }
            What::Notified { .. } => {
                self.is_notified = true;
                return self.is_announced && !self.is_leaving();
            }
            What::Decided(decision) => {
                self.is_in_doubt |= *decision == Decision::Reestablish;
                return self.is_notified && !self.is_leaving();
            }
            What::Messaged { .. } => return self.has_access && !self.is_leaving(),
            What::Released { .. } => {
                let is_first = !self.is_leaving();
                self.given_back = Some(0);
                return is_first;
            }
            what => return self.is_given_back_in_order(what),
        }
        true
    }

    /// It was taken up from a record that says that an earlier life was giving it back: its
    /// announcement may be gone, so access comes with the next one (S3).
    pub(super) fn was_being_given_back(&mut self) {
        (self.is_placed, self.has_access) = (false, false);
    }

    fn is_given_back_in_order(&mut self, what: &What) -> bool {
        let place = match what {
            What::Unsubscribed => 1,
            What::Terminated => 2,
            What::Unannounced => 3,
            What::Unregistered => 4,
            What::Purged => 5,
            _ => return true,
        };
        let is_next = self.given_back.is_some_and(|before| before < place);
        // The end of the feed is awaited, whatever else may be left out when nobody answers.
        let is_awaited = place != 3 || self.given_back != Some(1);
        self.given_back = Some(place);
        is_next && is_awaited
    }

    fn is_leaving(&self) -> bool {
        self.given_back.is_some()
    }
}
