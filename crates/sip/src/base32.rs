//! Bytes as lower-case text that survives folding: tokens stand in user parts and branches, which
//! some elements compare without regard to case.

/// Appends `bytes` in base32 (RFC 4648 §6), in lower case and without padding.
pub fn base32(bytes: &[u8], out: &mut String) {
    out.reserve(bytes.len().div_ceil(5) * 8);
    for group in bytes.chunks(5) {
        let mut bits: u64 = 0;
        for at in 0..5 {
            bits = bits << 8 | u64::from(group.get(at).copied().unwrap_or(0));
        }
        let digits = (group.len() * 8).div_ceil(5);
        for at in 0..digits {
            let digit = bits >> (35 - 5 * at) & 31;
            let digit = usize::try_from(digit)
                .ok()
                .and_then(|digit| ALPHABET.get(digit));
            out.extend(digit.copied().map(char::from));
        }
    }
}

/// Appends the bytes that `text` spells, in either case, and says whether it was base32 as
/// [`base32`] writes it; when it was not, `out` holds junk behind its former end.
#[must_use]
pub fn from_base32(text: &str, out: &mut Vec<u8>) -> bool {
    text.as_bytes().chunks(8).all(|group| {
        let mut bits: u64 = 0;
        for byte in group {
            let Some(digit) = digit(byte.to_ascii_lowercase()) else {
                return false;
            };
            bits = bits << 5 | u64::from(digit);
        }
        let (length, spare) = (group.len() * 5 / 8, group.len() * 5 % 8);
        // Only these lengths are written, and the spare bits are zero: one text for one value.
        if !matches!(group.len(), 2 | 4 | 5 | 7 | 8) || bits & ((1 << spare) - 1) != 0 {
            return false;
        }
        let bytes = (bits >> spare).to_be_bytes();
        out.extend(bytes.iter().skip(8 - length));
        true
    })
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'a'..=b'z' => Some(byte - b'a'),
        b'2'..=b'7' => Some(byte - b'2' + 26),
        _ => None,
    }
}

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_vectors_of_rfc_4648_section_10_hold() {
        let table = [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ];
        for (bytes, text) in table {
            let mut written = String::new();
            base32(bytes.as_bytes(), &mut written);
            assert_eq!(written, text);
            let mut read = Vec::new();
            assert!(from_base32(&text.to_uppercase(), &mut read));
            assert_eq!(read, bytes.as_bytes());
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["m", "mzx", "mzxw6y", "my======", "mz", "m1", "m y", "mé"] {
            assert!(!from_base32(text, &mut Vec::new()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads(bytes: Vec<u8>) {
            let (mut text, mut read) = (String::new(), Vec::new());
            base32(&bytes, &mut text);
            prop_assert!(from_base32(&text, &mut read));
            prop_assert_eq!(read, bytes);
        }

        #[test]
        fn what_reads_is_written_alike(text in "[a-z2-7]{0,20}") {
            let (mut again, mut read) = (String::new(), Vec::new());
            if from_base32(&text, &mut read) {
                base32(&read, &mut again);
                prop_assert_eq!(again, text);
            }
        }
    }
}
