//! What has come from a peer, and what is asked for again.

use std::time::Duration;

use presently_pool::MemberId;
use presently_sip::Moment;

use crate::Event;
use crate::link::Turn;
use crate::window::{Missing, Window};

/// What has come from this incarnation of the peer.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) window: Window,
    /// The last control frame; older ones are of no interest.
    pub(crate) control: u64,
    pub(crate) repair_due: Option<Moment>,
    tries: u32,
}

impl Heard {
    pub(crate) fn note(&mut self, sequence: u64, peer: MemberId, turn: &mut Turn<'_>) {
        let before = self.window.floor();
        let missing = self.window.arrive(sequence);
        if self.window.floor() > before {
            self.tries = 0;
        }
        self.settle(missing, peer, turn);
    }

    pub(crate) fn settle(&mut self, missing: Missing, peer: MemberId, turn: &mut Turn<'_>) {
        if missing == Missing::Lost {
            turn.counters.gaps += 1;
            turn.out.events.push(Event::Gap { peer });
        }
        self.see_missing(turn.now);
    }

    pub(crate) fn see_missing(&mut self, now: Moment) {
        if self.window.is_whole() {
            (self.repair_due, self.tries) = (None, 0);
        } else if self.repair_due.is_none() {
            self.repair_due = Some(now.after(REPAIR_DELAY));
        }
    }

    /// What to ask for; nothing when asking was in vain too often, and then the server is told.
    pub(crate) fn ask_again(&mut self, peer: MemberId, turn: &mut Turn<'_>) -> Vec<(u64, u64)> {
        self.tries += 1;
        if self.tries > REPAIR_TRIES {
            self.window.give_up();
            self.settle(Missing::Lost, peer, turn);
            return Vec::new();
        }
        self.repair_due = Some(turn.now.after(REPAIR_INTERVAL));
        let missing = self.window.missing().take(REPAIR_RANGES);
        missing
            .map(|range| (*range.start(), *range.end()))
            .collect()
    }
}

/// What was heard of the peer; when this is the first of it, counting starts after `sequence`.
pub(crate) fn heard<'a>(
    place: &'a mut Option<Heard>,
    sequence: u64,
    peer: MemberId,
    turn: &mut Turn<'_>,
) -> &'a mut Heard {
    place.get_or_insert_with(|| {
        turn.out.events.push(Event::Reset { peer });
        Heard {
            window: Window::starting_after(sequence),
            control: 0,
            repair_due: None,
            tries: 0,
        }
    })
}

/// A frame that was overtaken gets this long to arrive by itself.
const REPAIR_DELAY: Duration = Duration::from_millis(10);
/// Between repair requests for the same frames.
const REPAIR_INTERVAL: Duration = Duration::from_millis(50);
/// So many requests in vain, then the server sweeps: at 30 % loss one frame in a thousand.
const REPAIR_TRIES: u32 = 10;
/// The runs of missing frames in one request; others wait for the next.
const REPAIR_RANGES: usize = 16;
