//! A NOTIFY that is not answered yet: all that is needed to send it again byte for byte.

use std::sync::Arc;

use presently_sip::WallTime;
use presently_sip::transaction::ClientTransaction;

use super::SubscriptionSlot;
use super::resource::Pinned;

/// What is pinned until the answer (design: rendered again, not kept).
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) transaction: ClientTransaction,
    pub(crate) cseq: u32,
    /// The random part of the branch.
    pub(crate) key: u32,
    pub(crate) target: Arc<str>,
    pub(crate) date: WallTime,
    /// Seconds left when it was first sent; `None` says terminated.
    pub(crate) expires_secs: Option<u32>,
    pub(crate) document: Pinned,
    pub(crate) is_last: bool,
}

/// The branch of our NOTIFY names its subscription: no table, no hashing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Branch {
    pub(crate) slot: SubscriptionSlot,
    pub(crate) generation: u32,
    pub(crate) key: u32,
}

impl Branch {
    /// Appends the branch's text (RFC 3261 §8.1.1.7).
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(COOKIE);
        for number in [self.slot.0, self.generation, self.key] {
            out.extend_from_slice(&hex(number));
        }
    }

    /// Reads a branch back; `None` for any that is not a NOTIFY's of ours.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let digits = text.as_bytes().strip_prefix(COOKIE)?;
        if digits.len() != 24 {
            return None;
        }
        let number = |range: std::ops::Range<usize>| {
            let text = std::str::from_utf8(digits.get(range)?).ok()?;
            u32::from_str_radix(text, 16).ok()
        };
        Some(Self {
            slot: SubscriptionSlot(number(0..8)?),
            generation: number(8..16)?,
            key: number(16..24)?,
        })
    }
}

/// Eight lower-case digits: `format!` costs ten times as much, and this runs for each NOTIFY.
fn hex(number: u32) -> [u8; 8] {
    let mut digits = *b"00000000";
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        let nibble = (number >> (4 * place)) & 0xf;
        *digit = u8::try_from(nibble).map_or(b'0', |value| match value {
            0..=9 => b'0' + value,
            _ => b'a' + value - 10,
        });
    }
    digits
}

const COOKIE: &[u8] = b"z9hG4bKn";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_reads_back() {
        let branch = Branch {
            slot: SubscriptionSlot(7),
            generation: 0xdead_beef,
            key: u32::MAX,
        };
        let mut text = Vec::new();
        branch.write(&mut text);
        assert_eq!(text, b"z9hG4bKn00000007deadbeefffffffff");
        assert_eq!(
            Branch::read(std::str::from_utf8(&text).unwrap()),
            Some(branch)
        );
        for alien in [
            "",
            "z9hG4bKn",
            "z9hG4bK12",
            "z9hG4bKn0000000700000007é000000",
        ] {
            assert_eq!(Branch::read(alien), None, "{alien}");
        }
    }
}
