//! A contact token: the user part of the Contact that the pool gives in a dialog. It names the
//! client's row, so that any balancer finds the client's server from the Request-URI alone
//! (RFC 3261 §12.2.1.1 puts the Contact there).
//!
//! ```text
//! base32( key number:1  client:8  mac:6 )     24 letters and digits
//! ```

use presently_sip::{MacKey, base32, from_base32};

use crate::ClientId;

/// Names a client in a Contact of the pool.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ContactToken(pub ClientId);

impl ContactToken {
    /// Appends the token as text: letters and digits for a SIP user part, that only a holder of
    /// `key` can make.
    pub fn encode(self, key: &MacKey, out: &mut String) {
        let mut bytes = [0; TOKEN_BYTES];
        let [number, fields @ ..] = &mut bytes;
        *number = key_number(key);
        let (client, mac) = fields.split_at_mut(CLIENT_BYTES);
        client.copy_from_slice(&self.0.0.to_be_bytes());
        mac.copy_from_slice(&self.mac(key));
        base32(&bytes, out);
    }

    /// Reads a token back; `None` when it is no token, was altered, or is of another key.
    #[must_use]
    pub fn decode(text: &str, key: &MacKey) -> Option<Self> {
        if text.len() != TOKEN_LETTERS {
            return None;
        }
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        if !from_base32(text, &mut bytes) {
            return None;
        }
        let (number, fields) = bytes.split_first()?;
        let (client, mac) = fields.split_first_chunk::<CLIENT_BYTES>()?;
        let token = Self(ClientId(u64::from_be_bytes(*client)));
        (*number == key_number(key) && mac == token.mac(key)).then_some(token)
    }

    /// Forty-eight bits: a forged token is worth no more than a request to a client's server, which
    /// the dialog's tags are still to be known for.
    fn mac(self, key: &MacKey) -> [u8; MAC_BYTES] {
        let mac = key.mac64(&[LABEL, &self.0.0.to_be_bytes()]).to_be_bytes();
        let [mac @ .., _, _] = mac;
        mac
    }
}

/// The number that branches and tokens call a key by. It is drawn from the key itself, so every
/// member and every life of one gives a key the same number; two keys that share one cost a second
/// try.
#[must_use]
pub fn key_number(key: &MacKey) -> u8 {
    let [number, ..] = key.mac64(&[b"key number"]).to_be_bytes();
    number
}

const LABEL: &[u8] = b"contact token";
const CLIENT_BYTES: usize = 8;
const MAC_BYTES: usize = 6;
const TOKEN_BYTES: usize = 1 + CLIENT_BYTES + MAC_BYTES;
const TOKEN_LETTERS: usize = TOKEN_BYTES * 8 / 5;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(client: u64, key: &MacKey) -> String {
        let mut text = String::new();
        ContactToken(ClientId(client)).encode(key, &mut text);
        text
    }

    proptest! {
        #[test]
        fn a_token_reads_as_its_client_whatever_its_case(client: u64, key: [u8; 16]) {
            let key = MacKey::new(key);
            let text = text(client, &key);
            prop_assert_eq!(text.len(), TOKEN_LETTERS);
            let expected = Some(ContactToken(ClientId(client)));
            prop_assert_eq!(ContactToken::decode(&text, &key), expected);
            prop_assert_eq!(ContactToken::decode(&text.to_uppercase(), &key), expected);
        }

        #[test]
        fn a_changed_letter_is_refused(client: u64, at in 0..TOKEN_LETTERS, letter in "[a-z2-7]") {
            let key = MacKey::new([7; 16]);
            let text = text(client, &key);
            let mut forged = text.clone();
            forged.replace_range(at..=at, &letter);
            prop_assume!(forged != text);
            prop_assert_eq!(ContactToken::decode(&forged, &key), None);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = ContactToken::decode(&text, &MacKey::new([7; 16]));
        }
    }

    #[test]
    fn a_token_of_another_key_is_refused() {
        let text = text(1, &MacKey::new([1; 16]));
        assert_eq!(ContactToken::decode(&text, &MacKey::new([2; 16])), None);
    }
}
