//! Non-INVITE server transactions, all of a loop together (RFC 3261 §17.2.2).
//!
//! ```text
//!            arrive            answer               64·T1 (Timer J), or room is needed
//!   unknown ───────► in progress ─────► finished ──────────────────────────────────────► unknown
//! ```
//!
//! A transaction is no object of its own: an entry in a table and, once finished, a record in a
//! ring of bytes. The ring has a bound; at the bound the oldest record goes and is counted.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use foldhash::fast::FixedState;

use super::{TRANSACTION, TransactionKey};
use crate::Moment;

/// Remembers which requests have arrived and how they were answered, so that a repeat gets the
/// identical answer and does nothing twice.
///
/// What an answer is, is the caller's: the whole response, or the few bytes from which it writes
/// the same response again. Over a reliable transport nothing is repeated: call
/// [`Answered::forget`] in place of [`Answered::answer`].
#[derive(Debug)]
pub struct Answered {
    // The keys are keyed hashes already, so their own bits serve the table.
    known: HashMap<TransactionKey, Known, FixedState>,
    /// In order of arrival; an entry may have been answered or forgotten since.
    unfinished: VecDeque<(Moment, TransactionKey)>,
    records: VecDeque<Record>,
    /// The number of the next record; the newest kept is one less, and so on back.
    next: u64,
    bytes: Vec<u8>,
    /// Where the next answer is written.
    head: usize,
    limits: Limits,
    forced_out: u64,
}

/// What an arriving request is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrival<'a> {
    /// A repeat of a request that is still being worked on: nothing to do, but a 100 when
    /// [`TRYING_AFTER`](super::TRYING_AFTER) has passed since it first arrived (RFC 4320 §4.1).
    InProgress {
        /// When it first arrived.
        since: Moment,
    },
    /// The first of its kind: act on it, then call [`Answered::answer`].
    New,
    /// A repeat of a finished one: send this answer again.
    Repeated(&'a [u8]),
}

impl Answered {
    /// Remembers finished transactions in at most about `limit_bytes`, and at most
    /// `limit_unfinished` that nobody has answered yet.
    pub fn new(limit_bytes: usize, limit_unfinished: usize) -> Self {
        Self {
            known: HashMap::default(),
            unfinished: VecDeque::new(),
            records: VecDeque::new(),
            next: 0,
            bytes: Vec::new(),
            head: 0,
            limits: Limits {
                bytes: limit_bytes.min(RING_MAX),
                unfinished: limit_unfinished,
            },
            forced_out: 0,
        }
    }

    /// Says what the request named `key` is, and remembers it when it is new.
    pub fn arrive(&mut self, now: Moment, key: TransactionKey) -> Arrival<'_> {
        self.expire(now);
        match self.known.get(&key) {
            Some(Known::Finished(number)) => Arrival::Repeated(self.text(*number)),
            Some(Known::Unfinished(since)) => Arrival::InProgress { since: *since },
            None => {
                self.begin(now, key);
                Arrival::New
            }
        }
    }

    /// Keeps the final answer to `key` for 64·T1. A second answer to one request is not kept: the
    /// first is the one that was sent (RFC 3261 §17.2.2).
    pub fn answer(&mut self, now: Moment, key: TransactionKey, answer: &[u8]) {
        self.expire(now);
        if let Some(Known::Finished(_)) = self.known.get(&key) {
            return;
        }
        let Some(space) = self.make_room(answer.len().max(SPACE_MIN)) else {
            self.forget(key);
            self.forced_out += 1;
            return;
        };
        if self.bytes.len() < space.end {
            self.bytes.resize(space.end, 0);
        }
        let text = space.start..space.start + answer.len();
        self.bytes
            .get_mut(text)
            .expect("resized to reach the end")
            .copy_from_slice(answer);
        self.head = space.end;
        self.known.insert(key, Known::Finished(self.next));
        self.next += 1;
        self.records.push_back(Record {
            key,
            until: now.after(TRANSACTION),
            start: small(space.start),
            length: small(answer.len()),
        });
    }

    /// Forgets an unfinished `key`: it was answered over a reliable transport, or handed to another
    /// server. A finished one stays.
    pub fn forget(&mut self, key: TransactionKey) {
        if let Some(Known::Unfinished(_)) = self.known.get(&key) {
            self.known.remove(&key);
        }
    }

    /// How many transactions are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many went before their time because a limit was reached.
    pub fn forced_out(&self) -> u64 {
        self.forced_out
    }

    fn begin(&mut self, now: Moment, key: TransactionKey) {
        let limit = self.limits.unfinished.max(1);
        while self.known.len() - self.records.len() >= limit {
            self.forced_out += u64::from(self.drop_unfinished());
        }
        if self.unfinished.len() >= 2 * limit {
            // At least half have been answered since, behind one that has not.
            let known = &self.known;
            self.unfinished
                .retain(|(since, key)| known.get(key) == Some(&Known::Unfinished(*since)));
        }
        self.unfinished.push_back((now, key));
        self.known.insert(key, Known::Unfinished(now));
    }

    /// Lets go of what is older than 64·T1. An unfinished one that old has no use: its asker has
    /// given up (Timer F).
    fn expire(&mut self, now: Moment) {
        while self
            .records
            .front()
            .is_some_and(|record| record.until <= now)
        {
            self.drop_record();
        }
        while self.unfinished.front().is_some_and(|(since, key)| {
            since.after(TRANSACTION) <= now || !self.is_unfinished(*since, key)
        }) {
            self.drop_unfinished();
        }
    }

    /// Takes the oldest from the list; whether nobody had answered or forgotten it.
    fn drop_unfinished(&mut self) -> bool {
        let Some((since, key)) = self.unfinished.pop_front() else {
            return false;
        };
        let was_unfinished = self.is_unfinished(since, &key);
        if was_unfinished {
            self.known.remove(&key);
        }
        was_unfinished
    }

    fn is_unfinished(&self, since: Moment, key: &TransactionKey) -> bool {
        self.known.get(key) == Some(&Known::Unfinished(since))
    }

    fn drop_record(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.known.remove(&record.key);
        }
    }

    /// A space of `length` bytes in one piece, after dropping the oldest that lie in it; `None`
    /// when it is longer than the whole ring.
    fn make_room(&mut self, length: usize) -> Option<Range<usize>> {
        let room = self.limits.bytes;
        if length > room {
            return None;
        }
        if self.head + length > room {
            // What lies from here to the end is of the lap before, so it is the oldest.
            let head = self.head;
            self.drop_records(|record| record.space().start >= head);
            self.head = 0;
        }
        let space = self.head..self.head + length;
        self.drop_records(|record| {
            let taken = record.space();
            taken.start < space.end && taken.end > space.start
        });
        Some(space)
    }

    fn drop_records(&mut self, in_the_way: impl Fn(&Record) -> bool) {
        while self.records.front().is_some_and(&in_the_way) {
            self.drop_record();
            self.forced_out += 1;
        }
    }

    fn text(&self, number: u64) -> &[u8] {
        usize::try_from(self.next - number)
            .ok()
            .and_then(|age| self.records.len().checked_sub(age))
            .and_then(|place| self.records.get(place))
            .and_then(|record| self.bytes.get(record.text()))
            .expect("a known number is that of a kept record")
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Known {
    Finished(u64),
    Unfinished(Moment),
}

#[derive(Debug)]
struct Record {
    key: TransactionKey,
    until: Moment,
    /// Where its answer lies in the ring, and how long it is.
    start: u32,
    length: u32,
}

impl Record {
    fn text(&self) -> Range<usize> {
        let start = large(self.start);
        start..start + large(self.length)
    }

    /// What it takes of the ring.
    fn space(&self) -> Range<usize> {
        let start = large(self.start);
        start..start + large(self.length).max(SPACE_MIN)
    }
}

#[derive(Debug)]
struct Limits {
    bytes: usize,
    unfinished: usize,
}

fn small(place: usize) -> u32 {
    u32::try_from(place).expect("a ring has less than 4 GiB")
}

fn large(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// Places in the ring are kept in 32 bits.
const RING_MAX: usize = 0xffff_ffff;
/// The least an answer takes in the ring, so that the bound in bytes bounds the records too.
const SPACE_MIN: usize = 64;

#[cfg(test)]
mod tests;
