//! Keys that the signatures of tokens are checked with, each for one algorithm only (RFC 8725
//! §3.1).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{hmac, signature};

/// How tokens are signed (RFC 7518 §3.1). There is no `none`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JwtAlgorithm {
    /// ECDSA on the curve P-256, with SHA-256.
    Es256,
    /// HMAC with SHA-256: whoever can check a token can also make one.
    Hs256,
    /// RSA as in PKCS #1 v1.5, with SHA-256.
    Rs256,
}

/// A key and its algorithm. Its `Debug` hides it.
#[derive(Clone)]
pub struct JwtKey(Key);

#[derive(Clone)]
enum Key {
    Es256(Vec<u8>),
    Hs256(hmac::Key),
    Rs256(Vec<u8>),
}

/// Why bytes are no key for an algorithm.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// HS256 was given what public keys are written in, which everybody may know.
    #[error("a public key is no secret")]
    NotSecret,
    /// Not a PEM file with one public key of the algorithm.
    #[error("not a public key of that algorithm in PEM (-----BEGIN PUBLIC KEY-----)")]
    Pem,
    /// Fewer bits than the algorithm asks for (RFC 7518 §3.2, §3.3).
    #[error("the key is too short")]
    Short,
}

impl JwtKey {
    /// A key for `algorithm`: of HS256 the secret itself, 32 bytes at least; of the others a public
    /// key in PEM (RFC 7468 §13).
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn new(algorithm: JwtAlgorithm, bytes: &[u8]) -> Result<Self, InvalidKey> {
        Ok(Self(match algorithm {
            JwtAlgorithm::Es256 => Key::Es256(ec_point(bytes).ok_or(InvalidKey::Pem)?),
            JwtAlgorithm::Hs256 if contains(bytes, PEM) => return Err(InvalidKey::NotSecret),
            JwtAlgorithm::Hs256 if bytes.len() < SECRET_BYTES_MIN => {
                return Err(InvalidKey::Short);
            }
            JwtAlgorithm::Hs256 => Key::Hs256(hmac::Key::new(hmac::HMAC_SHA256, bytes)),
            JwtAlgorithm::Rs256 => {
                let key = rsa_key(bytes).ok_or(InvalidKey::Pem)?;
                if modulus_bytes(&key).ok_or(InvalidKey::Pem)? < MODULUS_BYTES_MIN {
                    return Err(InvalidKey::Short);
                }
                Key::Rs256(key)
            }
        }))
    }

    /// The algorithm as a token names it.
    pub(super) fn name(&self) -> &'static str {
        match self.0 {
            Key::Es256(_) => "ES256",
            Key::Hs256(_) => "HS256",
            Key::Rs256(_) => "RS256",
        }
    }

    /// Whether `signed` has this signature.
    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let verify = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            signature::UnparsedPublicKey::new(algorithm, key)
                .verify(signed, signature)
                .is_ok()
        };
        match &self.0 {
            Key::Es256(key) => verify(&signature::ECDSA_P256_SHA256_FIXED, key),
            Key::Hs256(key) => hmac::verify(key, signed, signature).is_ok(),
            Key::Rs256(key) => verify(&signature::RSA_PKCS1_2048_8192_SHA256, key),
        }
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwtKey({})", self.name())
    }
}

/// The point of a key on P-256, uncompressed (RFC 5480 §2.2).
fn ec_point(pem: &[u8]) -> Option<Vec<u8>> {
    let key = public_key(pem, &[EC_ON_P256])?;
    (key.len() == 65 && key.first() == Some(&4)).then_some(key)
}

/// An RSA public key as PKCS #1 has it (RFC 8017 §A.1.1).
fn rsa_key(pem: &[u8]) -> Option<Vec<u8>> {
    public_key(pem, &[RSA, RSA_WITHOUT_NULL])
}

/// How long the modulus of an RSA key is.
fn modulus_bytes(key: &[u8]) -> Option<usize> {
    let (sequence, _) = element(key, SEQUENCE)?;
    let (modulus, _) = element(sequence, INTEGER)?;
    Some(modulus.len() - usize::from(modulus.first() == Some(&0)))
}

/// The key in a `SubjectPublicKeyInfo` (RFC 5280 §4.1) of one of these algorithms.
fn public_key(pem: &[u8], algorithms: &[&[u8]]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?.trim();
    let text = text.strip_prefix("-----BEGIN PUBLIC KEY-----")?;
    let text = text.strip_suffix("-----END PUBLIC KEY-----")?;
    let der = STANDARD.decode(text.split_ascii_whitespace().collect::<String>());
    let der = der.ok()?;
    let (whole, rest) = element(&der, SEQUENCE)?;
    let (algorithm, key) = element(whole, SEQUENCE)?;
    let (bits, after) = element(key, BIT_STRING)?;
    let is_one = rest.is_empty() && after.is_empty() && algorithms.contains(&algorithm);
    // A bit string begins with how many bits of its last byte do not count.
    is_one.then(|| bits.strip_prefix(&[0]).map(Into::into))?
}

/// The content of a DER element of this type (X.690 §8.1), and what follows it.
fn element(der: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der {
        [tag, 0x82, high, low, rest @ ..] if *tag == kind => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        [tag, 0x81, length, rest @ ..] if *tag == kind => (usize::from(*length), rest),
        [tag, length @ ..=0x7f, rest @ ..] if *tag == kind => (usize::from(*length), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

const PEM: &[u8] = b"-----BEGIN";

/// As long as the hash (RFC 7518 §3.2).
const SECRET_BYTES_MIN: usize = 32;
/// 2048 bits (RFC 7518 §3.3).
const MODULUS_BYTES_MIN: usize = 256;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;

/// `id-ecPublicKey` with `secp256r1` (RFC 5480 §2.1.1).
const EC_ON_P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07,
];
/// `rsaEncryption` (RFC 3279 §2.3.1).
const RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// The same, as some write it.
const RSA_WITHOUT_NULL: &[u8] = RSA.split_at(RSA.len() - 2).0;
