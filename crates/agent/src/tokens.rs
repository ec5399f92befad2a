//! Tags, branches and Call-IDs, all from one seed.

/// A sequence of identifiers (`SplitMix64`).
#[derive(Debug)]
pub(crate) struct Tokens {
    state: u64,
}

impl Tokens {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A Call-ID. It has no host on purpose: equal seeds are to give equal Call-IDs.
    pub(crate) fn call_id(&mut self) -> String {
        format!("{:016x}{:016x}", self.number(), self.number())
    }

    /// A tag that starts with the number of what it belongs to, so that no table is needed to find
    /// it.
    pub(crate) fn tag(&mut self, number: u64) -> String {
        tag(number, self.number())
    }

    /// A branch, in the same way (RFC 3261 §8.1.1.7).
    pub(crate) fn branch(&mut self, number: u64) -> String {
        format!("{COOKIE}{number:x}.{:016x}", self.number())
    }
}

/// The tag that [`Tokens::tag`] makes of these.
pub(crate) fn tag(number: u64, random: u64) -> String {
    format!("{number:x}.{random:016x}")
}

/// The number a tag starts with.
pub(crate) fn number_of_tag(tag: &str) -> Option<u64> {
    let (number, _) = tag.split_once('.')?;
    u64::from_str_radix(number, 16).ok()
}

/// The number a branch starts with.
pub(crate) fn number_of_branch(branch: &str) -> Option<u64> {
    number_of_tag(branch.strip_prefix(COOKIE)?)
}

const COOKIE: &str = "z9hG4bK";
