//! Numbers nobody can guess, from one seed: tags, entity-tags, the random part of branches.

use presently_sip::MacKey;

/// A seeded generator: a keyed hash of a counter. The same seed gives the same numbers, so a
/// simulation replays; the program seeds it from the system's entropy.
#[derive(Debug)]
pub(crate) struct Random {
    key: MacKey,
    counter: u64,
}

impl Random {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        Self {
            key: MacKey::new(seed),
            counter: 0,
        }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.counter += 1;
        self.key.mac64(&[&self.counter.to_be_bytes()])
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        u32::try_from(self.next_u64() >> 32).unwrap_or_default()
    }
}
