//! Whom a request speaks for, by what it says itself: an ordered list of sources.
//!
//! The first source that the request has anything for decides, also when that is not to be
//! believed: two headers where there should be one, a token whose signature is wrong, an empty
//! name. Such a request speaks for nobody, and no later source is asked. Otherwise whoever can add
//! a second header beside that of a trusted proxy would silence it, and name somebody else further
//! down the list.

mod jwt;
mod key;
mod part;
mod template;

use std::time::SystemTime;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use presently_sip::{Aor, WallTime};

use crate::{Identify, Who};

pub use jwt::{Jwt, TokenPlace};
pub use key::{InvalidKey, JwtAlgorithm, JwtKey};
pub use template::{AorTemplate, InvalidTemplate};

pub(crate) use part::Found;
use part::Parts;

/// Where a request says a name.
#[derive(Clone, Debug)]
pub enum Source {
    /// The user name of HTTP Basic (RFC 7617 §2). The name only: the password is the application's
    /// to check, and until it has, anybody may come under any name.
    Basic,
    /// The cookie of this name, as it stands, without decoding.
    Cookie(Box<str>),
    /// The header of this name. Whoever can reach the listener can set it: it is for a proxy in
    /// front that removes what clients send.
    Header(HeaderName),
    /// A claim of a signed token.
    Jwt(Box<Jwt>),
    /// The parameter of this name in the query, percent-encoded as forms do.
    Query(Box<str>),
}

/// The sources of users and devices, in order, and how a name becomes an address of record.
#[derive(Clone, Debug)]
pub struct Identity {
    users: Vec<Source>,
    devices: Vec<Source>,
    aor: AorTemplate,
    headers: Vec<HeaderName>,
    challenges: Vec<HeaderValue>,
}

impl Identity {
    /// Users and devices named by the first of these sources that a request has anything for.
    pub fn new(users: Vec<Source>, devices: Vec<Source>, aor: AorTemplate) -> Self {
        let sources = users.iter().chain(&devices);
        let mut headers: Vec<HeaderName> = sources.filter_map(Source::header).collect();
        headers.push(RESUMES);
        headers.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        headers.dedup();
        let mut challenges = Vec::new();
        for challenge in users.iter().filter_map(Source::challenge) {
            let challenge = HeaderValue::from_static(challenge);
            if !challenges.contains(&challenge) {
                challenges.push(challenge);
            }
        }
        Self {
            users,
            devices,
            aor,
            headers,
            challenges,
        }
    }

    /// For whom a request with these headers and this query speaks at `now`: a token has its time.
    pub fn who_at(&self, now: WallTime, query: Option<&str>, headers: &HeaderMap) -> Who {
        let parts = Parts {
            now,
            headers,
            query: query.unwrap_or_default(),
        };
        Who {
            device: parts
                .first_name(&self.devices)
                .text()
                .filter(|name| is_printable(name) && name.len() <= DEVICE_BYTES_MAX)
                .map(Into::into),
            uuid: parts.uuid(),
            ..Who::named(parts.first_name(&self.users), |name| self.aor.aor(name))
        }
    }
}

impl Identify for Identity {
    fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    // Not for the UUID: a client that comes back says it in the first request of a connection.
    fn reads_query(&self) -> bool {
        let mut sources = self.users.iter().chain(&self.devices);
        sources.any(Source::is_in_query)
    }

    fn who(&self, target: &Uri, headers: &HeaderMap) -> Who {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        self.who_at(WallTime::default().after(since), target.query(), headers)
    }

    fn challenges(&self) -> &[HeaderValue] {
        &self.challenges
    }

    fn named(&self, name: &str) -> Option<Aor> {
        self.aor.aor(name)
    }
}

impl Source {
    /// The header it looks at, if it does.
    fn header(&self) -> Option<HeaderName> {
        match self {
            Self::Basic => Some(hyper::header::AUTHORIZATION),
            Self::Cookie(_) => Some(hyper::header::COOKIE),
            Self::Header(name) => Some(name.clone()),
            Self::Jwt(jwt) => jwt.from.header(),
            Self::Query(_) => None,
        }
    }

    /// How a client is asked for it, if HTTP has a way: only for what `Authorization` carries
    /// (RFC 7617 §2, RFC 6750 §3).
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Basic => Some(BASIC_CHALLENGE),
            Self::Jwt(jwt) if jwt.from == TokenPlace::Bearer => Some(BEARER_CHALLENGE),
            Self::Cookie(_) | Self::Header(_) | Self::Jwt(_) | Self::Query(_) => None,
        }
    }

    fn is_in_query(&self) -> bool {
        match self {
            Self::Basic | Self::Cookie(_) | Self::Header(_) => false,
            Self::Jwt(jwt) => matches!(jwt.from, TokenPlace::Query(_)),
            Self::Query(_) => true,
        }
    }
}

impl Parts<'_> {
    /// What the first of `sources` has that is not silent.
    fn first_name(&self, sources: &[Source]) -> Found {
        let mut found = sources.iter().map(|source| self.name(source));
        let first = found.find(|found| *found != Found::Absent);
        first.unwrap_or(Found::Absent)
    }

    fn name(&self, source: &Source) -> Found {
        match source {
            Source::Basic => self.basic(),
            Source::Cookie(name) => self.cookie(name),
            Source::Header(name) => self.header(name),
            Source::Jwt(jwt) => jwt.name(self),
            Source::Query(name) => self.parameter(name),
        }
    }

    /// The UUID that a returning client sends along: letters, digits and hyphens. It opens nothing
    /// by itself.
    fn uuid(&self) -> Option<Box<str>> {
        let uuid = match (self.header(&RESUMES), self.parameter(RESUMES_PARAMETER)) {
            (Found::Text(uuid), Found::Absent) | (Found::Absent, Found::Text(uuid)) => uuid,
            (Found::Text(uuid), Found::Text(other)) if uuid == other => uuid,
            _ => return None,
        };
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_uuid = (1..=UUID_BYTES_MAX).contains(&uuid.len()) && uuid.bytes().all(is_letter);
        is_uuid.then(|| uuid.into())
    }
}

fn is_printable(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// The header with the UUID of a session to be taken up again.
pub const RESUMES: HeaderName = HeaderName::from_static("presently-session");

/// The parameter of the query with it, for a WebSocket, whose page can set no header.
pub const RESUMES_PARAMETER: &str = "presently-uuid";

/// Names are read as UTF-8 (RFC 7617 §2.1).
const BASIC_CHALLENGE: &str = r#"Basic realm="presently", charset="UTF-8""#;
const BEARER_CHALLENGE: &str = r#"Bearer realm="presently""#;

/// The longest name of a device.
const DEVICE_BYTES_MAX: usize = 128;

/// The longest UUID; RFC 9562 §4 has 36 letters.
const UUID_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests;
