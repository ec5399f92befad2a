//! The unique value by which a session is resumed.

use presently_sip::Random;

/// The unique value that stands for a user (S9). It is no credential.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Uuid(u128);

impl Uuid {
    /// One of version 4 (RFC 9562 §5.4): 122 random bits.
    pub(crate) fn new(random: &mut Random) -> Self {
        let (high, low) = (random.next_u64(), random.next_u64());
        let bits = (u128::from(high) << 64) | u128::from(low);
        let bits = bits & !(0xf << 76) | (0x4 << 76);
        Self(bits & !(0x3 << 62) | (0x2 << 62))
    }

    /// Reads what [`Uuid`] displays as.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uuid = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
        (Self(uuid).to_string() == text).then_some(Self(uuid))
    }

    /// Whether `text`, as a client wrote it, names this one (RFC 9562 §4: in any case of letters).
    pub(crate) fn is_text(self, text: &str) -> bool {
        Self::parse(&text.to_ascii_lowercase()) == Some(self)
    }
}

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |from: u32, bits: u32| (self.0 >> from) & ((1 << bits) - 1);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 32),
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // S9
    #[test]
    fn a_uuid_has_its_form_and_is_read_back() {
        let mut random = Random::new([7; 16]);
        for _ in 0..100 {
            let uuid = Uuid::new(&mut random);
            let text = uuid.to_string();
            assert_eq!(text.len(), 36);
            assert_eq!(&text[14..15], "4", "{text}");
            assert!("89ab".contains(&text[19..20]), "{text}");
            assert_eq!(Uuid::parse(&text), Some(uuid));
        }
        let uuid = Uuid::new(&mut random);
        assert!(uuid.is_text(&uuid.to_string().to_uppercase()));
        assert!(!Uuid::new(&mut random).is_text(&uuid.to_string()));
        assert_eq!(Uuid::parse("1"), None);
        assert_eq!(Uuid::parse("4"), None);
    }

    // S9
    #[test]
    fn who_has_another_seed_finds_other_values() {
        let (mut one, mut other) = (Random::new([7; 16]), Random::new([8; 16]));
        assert_ne!(Uuid::new(&mut one), Uuid::new(&mut other));
        assert_ne!(Uuid::new(&mut one), Uuid::new(&mut one));
        let first = || Uuid::new(&mut Random::new([7; 16]));
        assert_eq!(first(), first());
    }
}
