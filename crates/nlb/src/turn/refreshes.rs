//! Whose turn it is to refresh what the presence server holds: a few sessions at a time.
//!
//! Very many that refresh together would fill the sockets between here and the presence server, and
//! the word that a user has left would wait behind them, or be lost with them. What is under way is
//! bounded, so that word never waits for more than a few hundred messages.

use std::collections::VecDeque;
use std::time::Duration;

use presently_sip::Moment;

use crate::SessionId;

/// The sessions that are to refresh, in the order in which that became due.
#[derive(Debug, Default)]
pub(crate) struct Refreshes {
    waiting: VecDeque<SessionId>,
    /// Since when each refreshes, the oldest first.
    under_way: VecDeque<(Moment, SessionId)>,
}

impl Refreshes {
    /// `session` has something to refresh. A session asks once until its turn comes.
    pub(crate) fn ask(&mut self, session: SessionId) {
        self.waiting.push_back(session);
    }

    /// Whose turn it is, if there is room for one more.
    pub(crate) fn next(&mut self, now: Moment) -> Option<SessionId> {
        while let Some((since, _)) = self.under_way.front()
            && since.after(PATIENCE) <= now
        {
            self.under_way.pop_front();
        }
        self.has_room().then(|| self.waiting.pop_front()).flatten()
    }

    /// `session` has begun: it takes up room until [`Refreshes::ended`], or for a second.
    pub(crate) fn began(&mut self, now: Moment, session: SessionId) {
        self.under_way.push_back((now, session));
    }

    /// Everything that `session` asked for was answered and is recorded.
    pub(crate) fn ended(&mut self, session: SessionId) {
        self.under_way.retain(|(_, it)| *it != session);
    }

    /// When [`Refreshes::next`] has an answer, if nothing ends before.
    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        let oldest = self.under_way.front();
        let room_at = match oldest.filter(|_| !self.has_room()) {
            Some((since, _)) => since.after(PATIENCE),
            None => Moment::default(),
        };
        (!self.waiting.is_empty()).then_some(room_at)
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < UNDER_WAY_MAX
    }
}

/// The most sessions that refresh at one time: some 250 messages, which a socket's buffer holds,
/// and which take an nlb some 25 ms. A presence server 10 ms away still takes 6,000 in a second,
/// more than a million users come to.
pub(crate) const UNDER_WAY_MAX: usize = 64;

/// After so long without an answer another has its turn: requests that are lost are repeated after
/// half a second (RFC 3261 §17.1.2.2), and those that nobody answers must not stop everybody.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn begin_all(refreshes: &mut Refreshes, now: Moment) -> Vec<u64> {
        let mut begun = Vec::new();
        while let Some(id) = refreshes.next(now) {
            refreshes.began(now, id);
            begun.push(id.0);
        }
        begun
    }

    #[test]
    fn a_few_refresh_at_a_time_in_the_order_in_which_they_asked() {
        let now = Moment(7_000_000);
        let mut refreshes = Refreshes::default();
        assert_eq!(refreshes.poll_timeout(), None);
        (1..=100).for_each(|id| refreshes.ask(SessionId(id)));
        assert!(refreshes.poll_timeout().is_some_and(|due| due <= now));
        assert_eq!(begin_all(&mut refreshes, now), (1..=64).collect::<Vec<_>>());
        refreshes.ended(SessionId(3));
        refreshes.ended(SessionId(3));
        assert_eq!(begin_all(&mut refreshes, now), [65]);
    }

    #[test]
    fn whoever_gets_no_answer_holds_nobody_up_for_longer_than_a_second() {
        let now = Moment(7_000_000);
        let mut refreshes = Refreshes::default();
        (1..=100).for_each(|id| refreshes.ask(SessionId(id)));
        begin_all(&mut refreshes, now);
        let due = refreshes.poll_timeout().expect("others wait");
        assert_eq!(due, now.after(PATIENCE));
        assert_eq!(
            begin_all(&mut refreshes, due),
            (65..=100).collect::<Vec<_>>()
        );
        assert_eq!(refreshes.poll_timeout(), None);
    }
}
