//! Those who wait for a slot: first come, first served, and nobody for ever.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use presently_sip::Moment;

/// A bounded queue in which each waits until a deadline of its own. Leaving it takes no longer from
/// the middle than from an end.
#[derive(Debug)]
pub struct Queue<K> {
    waiting: BTreeMap<u64, (K, Moment)>,
    place_of: HashMap<K, u64>,
    deadlines: BTreeSet<(Moment, u64)>,
    next_place: u64,
    len_max: usize,
}

impl<K: Copy + Eq + Hash> Queue<K> {
    /// An empty queue for at most `len_max`.
    pub fn new(len_max: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            place_of: HashMap::new(),
            deadlines: BTreeSet::new(),
            next_place: 0,
            len_max,
        }
    }

    /// Puts `key` at the end, to wait until `deadline`. One that waits already keeps its place and
    /// its deadline. False when the queue is full.
    pub fn push(&mut self, key: K, deadline: Moment) -> bool {
        if self.place_of.contains_key(&key) {
            return true;
        }
        if self.waiting.len() >= self.len_max {
            return false;
        }
        let place = self.next_place;
        self.next_place += 1;
        self.waiting.insert(place, (key, deadline));
        self.place_of.insert(key, place);
        self.deadlines.insert((deadline, place));
        true
    }

    /// Who has waited longest.
    pub fn first(&self) -> Option<K> {
        self.waiting.first_key_value().map(|(_, (key, _))| *key)
    }

    /// Takes out who has waited longest.
    pub fn pop(&mut self) -> Option<K> {
        let key = self.first()?;
        self.remove(key);
        Some(key)
    }

    /// Takes out `key`; false when it does not wait.
    pub fn remove(&mut self, key: K) -> bool {
        let Some(place) = self.place_of.remove(&key) else {
            return false;
        };
        if let Some((_, deadline)) = self.waiting.remove(&place) {
            self.deadlines.remove(&(deadline, place));
        }
        true
    }

    /// Takes out one whose deadline has come by `now`, the earliest first.
    pub fn pop_expired(&mut self, now: Moment) -> Option<K> {
        let (deadline, place) = self.deadlines.first().copied()?;
        let (key, _) = self.waiting.get(&place).filter(|_| deadline <= now)?;
        let key = *key;
        self.remove(key);
        Some(key)
    }

    /// When the next deadline comes.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Whether `key` waits.
    pub fn contains(&self, key: K) -> bool {
        self.place_of.contains_key(&key)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
