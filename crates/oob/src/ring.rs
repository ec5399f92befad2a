//! What was sent on a link and may be asked for again.

use std::collections::VecDeque;

/// The last signals frames sent on one link, byte for byte.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    sent: VecDeque<Vec<u8>>,
    last: u64,
}

impl Ring {
    /// An empty one that counts from above `last`.
    pub(crate) fn starting_after(last: u64) -> Self {
        Self {
            sent: VecDeque::new(),
            last,
        }
    }

    /// The sequence of the frame that is kept next.
    pub(crate) fn next(&self) -> u64 {
        self.last.saturating_add(1)
    }

    /// The sequence of the last frame; what it began after before the first.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The oldest frame that is still here; one above the last when none is.
    pub(crate) fn oldest(&self) -> u64 {
        let kept = u64::try_from(self.sent.len()).unwrap_or(u64::MAX);
        self.next().saturating_sub(kept)
    }

    /// Keeps the frame with the next sequence; the oldest makes room for it.
    pub(crate) fn keep(&mut self, frame: &[u8]) {
        let mut place = Vec::new();
        if self.sent.len() == RING_FRAMES {
            place = self.sent.pop_front().unwrap_or_default();
        }
        place.clear();
        place.extend_from_slice(frame);
        self.sent.push_back(place);
        self.last = self.next();
    }

    /// Uses up a sequence without a frame and forgets the others: the far end is to see a gap that
    /// cannot be repaired.
    pub(crate) fn skip(&mut self) {
        self.sent.clear();
        self.last = self.next();
    }

    /// The frames from `first` to `last` that are still here.
    pub(crate) fn range(&self, first: u64, last: u64) -> impl Iterator<Item = &[u8]> {
        let oldest = self.oldest();
        let skipped = first.saturating_sub(oldest);
        let wanted = last.saturating_add(1).saturating_sub(first.max(oldest));
        let (skipped, wanted) = (places(skipped), places(wanted));
        self.sent
            .iter()
            .skip(skipped)
            .take(wanted)
            .map(Vec::as_slice)
    }
}

fn places(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A quarter of a second at a thousand frames a second: longer than a repair takes. At most 300 kB.
const RING_FRAMES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ring: &Ring, first: u64, last: u64) -> Vec<String> {
        ring.range(first, last)
            .map(|frame| String::from_utf8(frame.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn what_was_sent_can_be_asked_for_until_it_makes_room() {
        let mut ring = Ring::default();
        assert_eq!((ring.oldest(), ring.last()), (1, 0));
        for sequence in 1..=300_u64 {
            assert_eq!(ring.next(), sequence);
            ring.keep(sequence.to_string().as_bytes());
        }
        assert_eq!((ring.oldest(), ring.last()), (45, 300));
        assert_eq!(texts(&ring, 299, 400), ["299", "300"]);
        assert_eq!(texts(&ring, 40, 46), ["45", "46"]);
        assert_eq!(texts(&ring, 47, 47), ["47"]);
        assert_eq!(texts(&ring, 1, 44), [""; 0]);
        assert_eq!(texts(&ring, 0, u64::MAX).len(), 256);
    }

    #[test]
    fn a_skipped_sequence_leaves_nothing_to_ask_for() {
        let mut ring = Ring::default();
        ring.keep(b"1");
        ring.skip();
        assert_eq!((ring.oldest(), ring.last()), (3, 2));
        ring.keep(b"3");
        assert_eq!(texts(&ring, 1, 9), ["3"]);
    }
}
