//! What waits for links to open, bounded in size and in time; and between which two members some of
//! it was dropped, which they are told when they have a link.

use std::collections::VecDeque;
use std::time::Duration;

use presently_pool::MemberId;
use presently_sip::Moment;

/// Everything that waits.
#[derive(Default)]
pub(super) struct Waiting {
    pairs: Vec<Pair>,
}

/// What waits between a member of ours and another.
pub(super) struct Pair {
    from: MemberId,
    to: MemberId,
    /// The oldest first, each with when it came.
    pub(super) messages: VecDeque<(Moment, Vec<u8>)>,
    bytes: usize,
    /// Whether something was dropped.
    pub(super) has_lost: bool,
}

impl Waiting {
    /// Lets a message wait; `false` when there is no room.
    pub(super) fn push(&mut self, now: Moment, from: MemberId, to: MemberId, text: &[u8]) -> bool {
        let mut pairs = self.pairs.iter_mut();
        let pair = match pairs.find(|pair| (pair.from, pair.to) == (from, to)) {
            Some(pair) => pair,
            None => self.pairs.push_mut(Pair {
                from,
                to,
                messages: VecDeque::new(),
                bytes: 0,
                has_lost: false,
            }),
        };
        let has_room = pair.bytes + text.len() <= BYTES_MAX;
        if has_room {
            pair.bytes += text.len();
            pair.messages.push_back((now, text.to_vec()));
        }
        pair.has_lost |= !has_room;
        has_room
    }

    /// Takes out what waits for the link between the two that opens now.
    pub(super) fn take(&mut self, from: MemberId, to: MemberId) -> Option<Pair> {
        let mut pairs = self.pairs.iter();
        let place = pairs.position(|pair| (pair.from, pair.to) == (from, to))?;
        Some(self.pairs.swap_remove(place))
    }

    /// Drops what has waited longer than a link takes to open again where both ends live; how many
    /// messages those are.
    pub(super) fn forget_late(&mut self, now: Moment) -> u64 {
        let mut dropped = 0;
        for pair in &mut self.pairs {
            let is_late = |(since, _): &mut (Moment, _)| now.since(*since) > WAITS_FOR;
            while let Some((_, text)) = pair.messages.pop_front_if(is_late) {
                pair.bytes -= text.len();
                pair.has_lost = true;
                dropped += 1;
            }
        }
        dropped
    }

    /// Forgets what was dropped for members that are in the pool no more.
    pub(super) fn forget_gone(&mut self, is_known: impl Fn(MemberId) -> bool) {
        self.pairs
            .retain(|pair| !pair.messages.is_empty() || is_known(pair.to));
    }
}

/// What waits for one link: a burst for its clients while it is opened again.
const BYTES_MAX: usize = 4 << 20;
/// How long it waits: a link to who lives opens again within a second.
const WAITS_FOR: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: (MemberId, MemberId) = (MemberId(1), MemberId(2));

    fn at(millis: u64) -> Moment {
        Moment(millis * 1_000)
    }

    fn taken(mut waiting: Waiting) -> Option<(usize, bool)> {
        let pair = waiting.take(ENDS.0, ENDS.1)?;
        Some((pair.messages.len(), pair.has_lost))
    }

    #[test]
    fn each_message_waits_for_five_seconds_of_its_own() {
        for (late, dropped, left) in [
            (5_000, 0, (2, false)),
            (5_001, 1, (1, true)),
            (9_900, 1, (1, true)),
            (9_901, 2, (0, true)),
        ] {
            let mut waiting = Waiting::default();
            for came in [0, 4_900] {
                assert!(waiting.push(at(came), ENDS.0, ENDS.1, b"text"));
            }
            assert_eq!(waiting.forget_late(at(late)), dropped, "{late}");
            assert_eq!(waiting.forget_late(at(late)), 0, "once");
            assert_eq!(taken(waiting), Some(left), "{late}");
        }
    }

    #[test]
    fn what_finds_no_room_is_not_forgotten_and_others_have_theirs() {
        let mut waiting = Waiting::default();
        let half = vec![0; BYTES_MAX / 2];
        for has_room in [true, true, false] {
            assert_eq!(waiting.push(at(0), ENDS.0, ENDS.1, &half), has_room);
        }
        assert!(waiting.push(at(0), ENDS.0, MemberId(3), &half));
        assert_eq!(taken(waiting), Some((2, true)));
    }

    #[test]
    fn of_a_member_that_is_gone_nothing_stays() {
        let mut waiting = Waiting::default();
        waiting.push(at(0), ENDS.0, ENDS.1, b"text");
        waiting.forget_gone(|_| false);
        assert_eq!(waiting.pairs.len(), 1, "it may have just come");
        waiting.forget_late(at(6_000));
        waiting.forget_gone(|member| member == ENDS.1);
        assert_eq!(waiting.pairs.len(), 1);
        waiting.forget_gone(|_| false);
        assert_eq!(waiting.pairs.len(), 0);
    }
}
