//! Where a request says whose it is: one entry of the lists `user` and `device`.

use std::path::PathBuf;

use serde::Deserialize;

/// One place to look for a name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The user name of HTTP Basic (RFC 7617 §2). The password is the application's to check.
    Basic(bool),
    /// The cookie of this name.
    Cookie(String),
    /// The header of this name.
    Header(String),
    /// A claim of a signed token (RFC 7519 §4).
    Jwt(JwtSource),
    /// The parameter of this name in the query.
    Query(String),
}

/// A claim of a signed token.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct JwtSource {
    /// The claim that is the name.
    #[serde(default = "sub")]
    pub claim: String,
    /// The file with the key that signatures are checked with.
    pub key_file: PathBuf,
    /// The one algorithm that is taken, whatever the token says of itself (RFC 8725 §3.1).
    pub algorithm: JwtAlgorithm,
    /// Where the token stands.
    #[serde(default)]
    pub from: JwtWhere,
}

/// How a token is signed (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
}

/// Where a token stands.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum JwtWhere {
    /// In `Authorization: Bearer` (RFC 6750 §2.1).
    #[default]
    Bearer,
    /// In the cookie of this name.
    Cookie(String),
    /// In the parameter of this name in the query: for a WebSocket, which can set no header.
    Query(String),
}

fn sub() -> String {
    "sub".to_owned()
}
