//! Keyed MACs by SipHash-2-4: for branches, tokens, tags and the key of a request.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24x128};

use crate::Message;

/// A secret of the pool. Its `Debug` hides it.
#[derive(Clone)]
pub struct MacKey([u8; 16]);

impl MacKey {
    /// A key of these bytes, which must come from a random source.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A MAC of 64 bits over `parts`: moving a byte from one part to the next changes it.
    #[must_use]
    pub fn mac64(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        feed(&mut hasher, parts);
        hasher.finish()
    }

    /// As [`MacKey::mac64`], of 128 bits.
    #[must_use]
    pub fn mac128(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = SipHasher24x128::new_with_key(&self.0);
        feed(&mut hasher, parts);
        hasher.finish128().as_bytes()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(hidden)")
    }
}

/// Numbers nobody can guess, from one seed: a keyed hash of a counter. The same seed gives the same
/// numbers, so a simulation replays; the program seeds it from the system's entropy.
#[derive(Debug)]
pub struct Random {
    key: MacKey,
    counter: u64,
}

impl Random {
    /// A generator of this seed, which must come from a random source.
    #[must_use]
    pub fn new(seed: [u8; 16]) -> Self {
        Self {
            key: MacKey::new(seed),
            counter: 0,
        }
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.counter += 1;
        self.key.mac64(&[&self.counter.to_be_bytes()])
    }

    /// The next number, of 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        u32::try_from(self.next_u64() >> 32).unwrap_or_default()
    }

    /// A number for `text`, the same each time, that tells nothing about it to anybody without the
    /// seed.
    #[must_use]
    pub fn number_of(&self, text: &str) -> u64 {
        self.key.mac64(&[b"name", text.as_bytes()])
    }
}

/// Each part after its length, so that no two lists of parts are fed alike.
fn feed(hasher: &mut impl Hasher, parts: &[&[u8]]) {
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hasher.write(&length.to_le_bytes());
        hasher.write(part);
    }
}

/// Names a request whatever its branch and path: a repeat has the same key (Call-ID, From tag, From
/// and To URI, CSeq number, method).
///
/// `None` when one of these is missing. Call-ID alone would not do: two phones started in
/// the same second send equal Call-IDs, tags and numbers for different users.
#[must_use]
pub fn request_key(message: &Message<'_>, key: &MacKey) -> Option<[u8; 16]> {
    let (from, to, cseq) = (message.from()?, message.to()?, message.cseq()?);
    // The URIs are taken as written: a repeat is the same bytes, and `defect` has looked at them.
    let parts: [&[u8]; 6] = [
        message.call_id()?.as_bytes(),
        from.tag().unwrap_or_default().as_bytes(),
        from.uri.as_bytes(),
        to.uri.as_bytes(),
        &cseq.number.to_le_bytes(),
        cseq.method.as_bytes(),
    ];
    Some(key.mac128(&parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Framing, Index};

    const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    #[test]
    fn parts_are_told_apart_by_their_lengths() {
        let key = MacKey::new(KEY);
        let lists: [&[&[u8]]; 5] = [
            &[b"ab", b"c"],
            &[b"a", b"bc"],
            &[b"abc"],
            &[b"abc", b""],
            &[],
        ];
        for (at, one) in lists.iter().enumerate() {
            for other in &lists[at + 1..] {
                assert_ne!(key.mac64(one), key.mac64(other));
                assert_ne!(key.mac128(one), key.mac128(other));
            }
        }
    }

    /// Written into branches and rows: it changes only with a key's number.
    #[test]
    fn a_mac_has_this_value() {
        assert_eq!(MacKey::new(KEY).mac64(&[]), 0x726f_db47_dd0e_0e31);
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", MacKey::new(KEY)), "MacKey(hidden)");
    }

    fn key_of(text: &str) -> Option<[u8; 16]> {
        let mut index = Index::default();
        let message = index.read(text.as_bytes(), Framing::Datagram).unwrap();
        request_key(&message, &MacKey::new(KEY))
    }

    #[test]
    fn a_request_key_sees_what_makes_a_request_and_nothing_else() {
        let request = "PUBLISH sip:a@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
            From: <sip:a@x>;tag=1\r\nTo: <sip:a@x>\r\nCall-ID: c\r\nCSeq: 1 PUBLISH\r\n\r\n";
        let key = key_of(request);
        assert!(key.is_some());
        assert_eq!(key_of(&request.replace("bK1", "bK2")), key);
        let changes = [
            ("tag=1", "tag=2"),
            ("Call-ID: c", "Call-ID: d"),
            ("CSeq: 1", "CSeq: 2"),
            ("1 PUBLISH", "1 MESSAGE"),
            ("From: <sip:a@x>", "From: <sip:b@x>"),
            ("To: <sip:a@x>", "To: <sip:b@x>"),
        ];
        for (from, to) in changes {
            assert_ne!(key_of(&request.replace(from, to)), key, "{to}");
        }
        assert_eq!(key_of(&request.replace("CSeq", "X-CSeq")), None);
    }
}
