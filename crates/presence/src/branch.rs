//! The branch of a request of ours names what it is for: no table, no hashing.

/// Names the slot that a response belongs to (RFC 3261 §8.1.1.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Branch {
    pub(crate) purpose: Purpose,
    pub(crate) slot: u32,
    /// Which use of the slot.
    pub(crate) generation: u32,
    /// A random part: nobody can answer a request that never reached them.
    pub(crate) key: u32,
}

/// What a request of ours is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// A NOTIFY of a subscription.
    Notify,
    /// Whether a phone is there.
    Question,
    /// A relayed request.
    Relay,
}

impl Branch {
    /// Appends the branch's text.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(COOKIE);
        out.push(match self.purpose {
            Purpose::Notify => b'n',
            Purpose::Question => b'q',
            Purpose::Relay => b'r',
        });
        for number in [self.slot, self.generation, self.key] {
            out.extend_from_slice(&hex(number));
        }
    }

    /// Reads a branch back; `None` for any that is not ours.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (purpose, digits) = text.as_bytes().strip_prefix(COOKIE)?.split_first()?;
        if digits.len() != 24 {
            return None;
        }
        let number = |range: std::ops::Range<usize>| {
            let text = std::str::from_utf8(digits.get(range)?).ok()?;
            u32::from_str_radix(text, 16).ok()
        };
        Some(Self {
            purpose: match purpose {
                b'n' => Purpose::Notify,
                b'q' => Purpose::Question,
                b'r' => Purpose::Relay,
                _ => return None,
            },
            slot: number(0..8)?,
            generation: number(8..16)?,
            key: number(16..24)?,
        })
    }
}

/// Eight lower-case digits: `format!` costs ten times as much, and this runs for each NOTIFY.
fn hex(number: u32) -> [u8; 8] {
    let mut digits = *b"00000000";
    for (place, digit) in (0_u32..).zip(digits.iter_mut().rev()) {
        let nibble = (number >> (4 * place)) & 0xf;
        *digit = u8::try_from(nibble).map_or(b'0', |value| match value {
            0..=9 => b'0' + value,
            _ => b'a' + value - 10,
        });
    }
    digits
}

const COOKIE: &[u8] = b"z9hG4bK";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_reads_back() {
        let branch = Branch {
            purpose: Purpose::Notify,
            slot: 7,
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
