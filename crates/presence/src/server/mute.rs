//! When this server's word counts.
//!
//! A balancer may give its clients to others once its beat has stood still for 1.5 s. So it falls
//! silent before that, at a moment reckoned from the sending of its last committed beat: it sends
//! no NOTIFY and no answer but 100, decides nothing, and lets nothing expire, until the next beat
//! commits.

use std::time::Duration;

use presently_pool::Passage;
use presently_sip::{Moment, Now};

use super::{Server, send};
use crate::Outputs;
use crate::actor::State;

/// Until when a server speaks, and what waits meanwhile.
#[derive(Debug)]
pub(super) struct Speech {
    until: Moment,
    /// Final answers to what was committed before, in order.
    held: Vec<(Passage, Vec<u8>)>,
    held_bytes: usize,
}

impl Default for Speech {
    /// Without a store's word on it a server is not mute: who embeds it alone has no takeover.
    fn default() -> Self {
        Self {
            until: Moment(u64::MAX),
            held: Vec::new(),
            held_bytes: 0,
        }
    }
}

impl Speech {
    pub(super) fn is_mute(&self, now: Moment) -> bool {
        now >= self.until
    }
}

impl Server {
    /// Whether it must not speak at `now`.
    #[must_use]
    pub fn is_mute(&self, now: Moment) -> bool {
        self.speech.is_mute(now)
    }

    /// A beat has committed: the server may speak until `until`. What waited goes out.
    pub fn speak_until(&mut self, now: Now, until: Moment, out: &mut Outputs) {
        let was_mute = self.is_mute(now.moment);
        self.speech.until = until;
        if was_mute && !self.is_mute(now.moment) {
            self.speak_again(now, out);
        }
    }

    fn speak_again(&mut self, now: Now, out: &mut Outputs) {
        self.speech.held_bytes = 0;
        for (passage, text) in std::mem::take(&mut self.speech.held) {
            let start = out.text.len();
            out.text.extend_from_slice(&text);
            send(&passage, start, out);
        }
        // Phones could not refresh: they get the time that they get after a restart.
        let grace = now.wall.after(GRACE);
        let mut slots = Vec::with_capacity(self.actors.len());
        for (slot, actor) in &mut self.actors {
            for binding in &mut actor.bindings {
                binding.expires_at = binding.expires_at.max(grace);
            }
            for publication in &mut actor.publications {
                publication.expires_at = publication.expires_at.max(grace);
            }
            if matches!(actor.state, State::Idle) {
                slots.push(slot);
            }
        }
        let grace = now.moment.after(GRACE);
        self.with_bench(now, out, |notifier, bench| {
            notifier.speak_again(grace, bench);
        });
        for slot in slots {
            self.advance(now, slot, out);
        }
    }

    /// Sends the final answer written since `start`, or keeps it while mute; past the bound it is
    /// lost, and the phone's repeat gets it.
    pub(super) fn reply(&mut self, now: Now, passage: &Passage, start: usize, out: &mut Outputs) {
        if !self.speech.is_mute(now.moment) {
            send(passage, start, out);
            return;
        }
        let text = out.text.split_off(start);
        let bytes = self.speech.held_bytes + text.len();
        if self.speech.held.len() < HELD_MAX && bytes <= HELD_BYTES_MAX {
            self.counters.answers_held += 1;
            self.speech.held_bytes = bytes;
            self.speech.held.push((passage.clone(), text));
        }
    }
}

/// After a restart, a takeover or a silence nothing expires for this long.
pub(super) const GRACE: Duration = Duration::from_mins(1);
/// Answers kept: a few seconds of a busy server.
const HELD_MAX: usize = 10_000;
/// And their bytes: ten times what so many usually have, for a request's Vias are in its answer.
const HELD_BYTES_MAX: usize = 16 << 20;
