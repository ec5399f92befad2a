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
    /// Who must have issued it (`iss`); absent for anybody.
    pub issuer: Option<String>,
    /// For whom it must be (`aud`); absent for anybody.
    pub audience: Option<String>,
}

/// How a token is signed (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum JwtAlgorithm {
    /// ECDSA on P-256 with SHA-256; the file has a public key in PEM.
    #[serde(rename = "ES256")]
    Es256,
    /// HMAC with SHA-256; the file has the secret.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256; the file has a public key in PEM.
    #[serde(rename = "RS256")]
    Rs256,
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
    /// In the header of this name.
    Header(String),
    /// In the parameter of this name in the query: for a WebSocket, which can set no header.
    Query(String),
}

fn sub() -> String {
    "sub".to_owned()
}
