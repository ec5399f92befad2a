//! The pool's key, the one before it, and what they authenticate.

use std::net::IpAddr;
use std::time::Duration;

use presently_pool::{ContactToken, FlowToken, key_number};
use presently_sip::{MacKey, Moment};

/// The keys that verify.
#[derive(Debug)]
pub(crate) struct Keys {
    current: Numbered,
    previous: Option<(Numbered, Moment)>,
}

/// A key and the number that branches name it by.
#[derive(Debug)]
struct Numbered {
    key: MacKey,
    number: u8,
}

impl Keys {
    pub(crate) fn new(key: MacKey) -> Self {
        Self {
            current: Numbered::new(key),
            previous: None,
        }
    }

    /// Signs with `key` from now on. Branches of the key before it are verified for 64·T1: no
    /// response comes later (RFC 3261 §17.1.2.2). Its tokens are verified until the next rotation,
    /// for they stand in the route sets of dialogs.
    pub(crate) fn rotate(&mut self, now: Moment, key: MacKey) {
        let before = std::mem::replace(&mut self.current, Numbered::new(key));
        self.previous = Some((before, now.after(BRANCH_LIFE)));
    }

    pub(crate) fn current(&self) -> &MacKey {
        &self.current.key
    }

    /// The number of the key that signs.
    pub(crate) fn number(&self) -> u8 {
        self.current.number
    }

    /// The flow that `text` names, if one of the keys signed it.
    pub(crate) fn flow(&self, text: &str) -> Option<FlowToken> {
        self.for_tokens()
            .find_map(|key| FlowToken::decode(text, key))
    }

    /// The client that `text` names, if one of the keys signed it.
    pub(crate) fn contact(&self, text: &str) -> Option<ContactToken> {
        self.for_tokens()
            .find_map(|key| ContactToken::decode(text, key))
    }

    /// The keys called `number` that a branch may have been signed with at `now`.
    pub(crate) fn for_branches(&self, now: Moment, number: u8) -> impl Iterator<Item = &MacKey> {
        let previous = self.previous.as_ref();
        let previous = previous
            .filter(move |(_, until)| now < *until)
            .map(|(numbered, _)| numbered);
        std::iter::once(&self.current)
            .chain(previous)
            .filter(move |numbered| numbered.number == number)
            .map(|numbered| &numbered.key)
    }

    fn for_tokens(&self) -> impl Iterator<Item = &MacKey> {
        let previous = self.previous.as_ref().map(|(numbered, _)| &numbered.key);
        std::iter::once(&self.current.key).chain(previous)
    }
}

impl Numbered {
    fn new(key: MacKey) -> Self {
        let number = key_number(&key);
        Self { key, number }
    }
}

/// What a MAC is made of: parts with their lengths, so that no two lists of parts give the same
/// bytes. Reused, to allocate nothing.
#[derive(Debug, Default)]
pub(crate) struct Parts(Vec<u8>);

impl Parts {
    /// Starts anew; `purpose` keeps a MAC made for one thing from standing for another.
    pub(crate) fn begin(&mut self, purpose: &[u8]) {
        self.0.clear();
        self.push(purpose);
    }

    pub(crate) fn push(&mut self, part: &[u8]) {
        self.push_length(part.len());
        self.0.extend_from_slice(part);
    }

    pub(crate) fn push_number(&mut self, number: u32) {
        self.push(&number.to_be_bytes());
    }

    pub(crate) fn push_address(&mut self, address: Option<IpAddr>) {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => self.push(&address.octets()),
            Some(IpAddr::V6(address)) => self.push(&address.octets()),
            None => self.push(&[]),
        }
    }

    /// A name in which case has no meaning.
    pub(crate) fn push_folded(&mut self, part: &str) {
        self.push_length(part.len());
        let folded = part.bytes().map(|byte| byte.to_ascii_lowercase());
        self.0.extend(folded);
    }

    /// The MAC of what was pushed.
    pub(crate) fn mac(&self, key: &MacKey) -> u64 {
        key.mac64(&[&self.0])
    }

    fn push_length(&mut self, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
    }
}

/// 64·T1 (RFC 3261 §17.1.2.2).
pub(crate) const BRANCH_LIFE: Duration = Duration::from_secs(32);
