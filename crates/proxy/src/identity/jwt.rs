//! A name as a claim of a signed token (RFC 7519 §4), in its compact form (RFC 7515 §7.1).
//!
//! Read here, its signature checked by `ring`: with one key, one algorithm and the time as an
//! argument, what a library for tokens adds are the choices that must not be left to a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderName};
use presently_sip::WallTime;
use serde_json::{Map, Value};

use super::key::JwtKey;
use super::part::{Found, Parts};

/// A claim of a signed token, and what the token must be.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// The claim that is the name: a text, or a whole number.
    pub claim: Box<str>,
    /// What the signature is checked with; with it, which algorithm is taken.
    pub key: JwtKey,
    /// Where the token stands.
    pub from: TokenPlace,
    /// Who must have issued it (`iss`), if that is to be checked (RFC 8725 §3.8).
    pub issuer: Option<Box<str>>,
    /// For whom it must be (`aud`), if that is to be checked (RFC 8725 §3.9).
    pub audience: Option<Box<str>>,
}

/// Where a token stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TokenPlace {
    /// In `Authorization: Bearer` (RFC 6750 §2.1).
    Bearer,
    /// In the cookie of this name.
    Cookie(Box<str>),
    /// In the header of this name.
    Header(HeaderName),
    /// In the parameter of this name in the query: for a WebSocket, whose page can set no header.
    Query(Box<str>),
}

impl TokenPlace {
    /// The header it is in, if it is.
    pub(super) fn header(&self) -> Option<HeaderName> {
        match self {
            Self::Bearer => Some(AUTHORIZATION),
            Self::Cookie(_) => Some(COOKIE),
            Self::Header(name) => Some(name.clone()),
            Self::Query(_) => None,
        }
    }
}

impl Jwt {
    /// The name that the request's token gives.
    pub(super) fn name(&self, parts: &Parts<'_>) -> Found {
        let token = match &self.from {
            TokenPlace::Bearer => parts.bearer(),
            TokenPlace::Cookie(name) => parts.cookie(name),
            TokenPlace::Header(name) => parts.header(name),
            TokenPlace::Query(name) => parts.parameter(name),
        };
        token.map(|token| {
            let claims = self.claims(token)?;
            let is_ours = self.is_for_us(&claims) && is_in_time(&claims, parts.now)?;
            match claims.get(&*self.claim)? {
                Value::String(name) if is_ours => Some(name.clone()),
                Value::Number(name) if is_ours && !name.is_f64() => Some(name.to_string()),
                _ => None,
            }
        })
    }

    /// The claims of a token whose signature is right, and made as configured: what the token says
    /// of its algorithm is compared, never followed (RFC 8725 §3.1).
    fn claims(&self, token: &str) -> Option<Map<String, Value>> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = object(header)?;
        let is_algorithm = header.get("alg")?.as_str()? == self.key.name();
        // Extensions that must be understood (RFC 7515 §4.1.11): none is, here.
        if !is_algorithm || header.contains_key("crit") {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let is_genuine = self.key.verifies(signed.as_bytes(), &signature);
        is_genuine.then(|| object(claims))?
    }

    fn is_for_us(&self, claims: &Map<String, Value>) -> bool {
        let is_issued = self
            .issuer
            .as_deref()
            .is_none_or(|issuer| claims.get("iss").and_then(Value::as_str) == Some(issuer));
        let is_meant = self.audience.as_deref().is_none_or(|audience| {
            let named = claims.get("aud");
            let list = named
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            let mut all = named.into_iter().chain(list);
            all.any(|one| one.as_str() == Some(audience))
        });
        is_issued && is_meant
    }
}

/// Whether `now` is before `exp` and not before `nbf` (RFC 7519 §4.1.4, §4.1.5), as far as the
/// token has them. `None` when one is no number.
fn is_in_time(claims: &Map<String, Value>, now: WallTime) -> Option<bool> {
    let time = |name| match claims.get(name) {
        Some(value) => value.as_f64().map(Some),
        None => Some(None),
    };
    let now = std::time::Duration::from_micros(now.0).as_secs_f64();
    let is_begun = time("nbf")?.is_none_or(|begins| begins <= now + LEEWAY_SECS);
    let is_over = time("exp")?.is_some_and(|ends| ends <= now - LEEWAY_SECS);
    Some(is_begun && !is_over)
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The longest token read.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// How far the issuer's clock may be from ours.
const LEEWAY_SECS: f64 = 30.0;
