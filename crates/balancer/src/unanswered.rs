//! Requests whose phones do not repeat them, or not soon enough, until they are answered: the
//! balancer repeats them when the life of the server they went to has ended. They came over a
//! stream (RFC 3261 §17.1.2.2 leaves repeats to it), or went to a server that was doubted.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use presently_pool::Membership;
use presently_sip::Moment;

use crate::Config;
use crate::decision::Named;
use crate::keys::BRANCH_LIFE;
use crate::waiting::Held;

/// A ring of requests: at its bound the oldest goes, and is not repeated.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// By place; an answered one leaves its place empty until the ring comes round.
    ring: Vec<Option<Entry>>,
    by_branch: HashMap<u64, usize, RandomState>,
    next: usize,
    bytes: usize,
    max: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry {
    server: Membership,
    client: Named,
    held: Held,
}

impl Unanswered {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            ring: Vec::new(),
            by_branch: HashMap::default(),
            next: 0,
            bytes: 0,
            max: config.unanswered_max.max(1),
            bytes_max: config.unanswered_bytes_max,
        }
    }

    /// Keeps a request that went to `server`; says whether one is lost for it, this one or an
    /// older.
    pub(crate) fn keep(&mut self, server: Membership, client: Named, held: Held) -> bool {
        let identity = held.arrival.branch.identity();
        self.answered(identity);
        if self.bytes + held.bytes.len() > self.bytes_max {
            return true;
        }
        let place = self.next;
        self.next = (place + 1) % self.max;
        let before = self.empty(place);
        self.bytes += held.bytes.len();
        self.by_branch.insert(identity, place);
        let entry = Some(Entry {
            server,
            client,
            held,
        });
        match self.ring.get_mut(place) {
            Some(slot) => *slot = entry,
            None => self.ring.push(entry),
        }
        before.is_some()
    }

    /// The request with that branch has its final answer.
    pub(crate) fn answered(&mut self, identity: u64) {
        // Most requests come over UDP to a server that is well: nothing is kept then.
        if self.by_branch.is_empty() {
            return;
        }
        if let Some(place) = self.by_branch.get(&identity).copied() {
            self.empty(place);
        }
    }

    /// Whether a request waits for a life that has ended.
    pub(crate) fn has_orphans(&self, lives: impl Fn(Membership) -> bool) -> bool {
        let mut entries = self.ring.iter().flatten();
        entries.any(|entry| !lives(entry.server))
    }

    /// Takes out the requests that went to a life that has ended, oldest first, without those whose
    /// phone has given up.
    pub(crate) fn orphans(
        &mut self,
        now: Moment,
        lives: impl Fn(Membership) -> bool,
    ) -> Vec<(Named, Held)> {
        let places = (self.next..self.ring.len()).chain(0..self.next);
        let mut orphans = Vec::new();
        for place in places {
            let entry = self.ring.get(place).and_then(Option::as_ref);
            if entry.is_none_or(|entry| lives(entry.server)) {
                continue;
            }
            let Some(Entry { client, held, .. }) = self.empty(place) else {
                continue;
            };
            if now.since(held.since) < PATIENCE {
                orphans.push((client, held));
            }
        }
        orphans
    }

    fn empty(&mut self, place: usize) -> Option<Entry> {
        let entry = self.ring.get_mut(place)?.take()?;
        self.bytes -= entry.held.bytes.len();
        self.by_branch.remove(&entry.held.arrival.branch.identity());
        Some(entry)
    }
}

/// How long a phone waits for an answer: 64·T1, as long as a branch lives.
const PATIENCE: Duration = BRANCH_LIFE;
