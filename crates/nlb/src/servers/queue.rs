//! Those who wait for a slot: first come, first served. How long each waits is its own matter.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A bounded queue. Leaving it takes no longer from the middle than from an end.
#[derive(Debug)]
pub struct Queue<K> {
    waiting: BTreeMap<u64, K>,
    place_of: HashMap<K, u64>,
    next_place: u64,
    len_max: usize,
}

impl<K: Copy + Eq + Hash> Queue<K> {
    /// An empty queue for at most `len_max`.
    pub fn new(len_max: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            place_of: HashMap::new(),
            next_place: 0,
            len_max,
        }
    }

    /// Puts `key` at the end; one that waits already keeps its place. False when the queue is full.
    pub fn push(&mut self, key: K) -> bool {
        if self.place_of.contains_key(&key) {
            return true;
        }
        if self.waiting.len() >= self.len_max {
            return false;
        }
        let place = self.next_place;
        self.next_place += 1;
        self.waiting.insert(place, key);
        self.place_of.insert(key, place);
        true
    }

    /// Who has waited longest.
    pub fn first(&self) -> Option<K> {
        self.waiting.first_key_value().map(|(_, key)| *key)
    }

    /// Takes out who has waited longest.
    pub fn pop(&mut self) -> Option<K> {
        let key = self.first()?;
        self.remove(key);
        Some(key)
    }

    /// Takes out `key`; false when it does not wait.
    pub fn remove(&mut self, key: K) -> bool {
        let place = self.place_of.remove(&key);
        place.is_some_and(|place| self.waiting.remove(&place).is_some())
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
