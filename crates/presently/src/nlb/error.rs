//! Why settings of an nlb do not fit together, in one line that says what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use presently_proxy::identity::{InvalidKey, InvalidTemplate};

/// Settings that do not fit together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Every request would be refused.
    #[error(
        "listen {address}: nothing names a user there (user, first_word, by_address), and \
         anonymous = \"refuse\" then refuses all"
    )]
    AllRefused {
        /// The listener.
        address: SocketAddr,
    },
    /// A template for addresses of record that gives none, or one and the same to all.
    #[error("aor = {text:?}: it is a SIP URI with {{user}} in it, as in sip:{{user}}@example.com")]
    Aor {
        /// The template.
        text: String,
        /// Why.
        #[source]
        source: InvalidTemplate,
    },
    /// `basic = false` says nothing.
    #[error("basic = false names no place to look: leave it out")]
    BasicOff,
    /// The domain is none.
    #[error("domain = {text:?}: it is a host name, as in example.com")]
    Domain {
        /// What was written.
        text: String,
    },
    /// No line could begin with it.
    #[error("listen {address}: first_word = {word:?}: it is one word without spaces, as in USER")]
    FirstWord {
        /// The listener.
        address: SocketAddr,
        /// What was written.
        word: String,
    },
    /// The key says nothing for this kind of listener.
    #[error("listen {address}: first_word is for kind = \"tcp\"")]
    FirstWordOfHttp {
        /// The listener.
        address: SocketAddr,
    },
    /// The text is no header's name.
    #[error("{name:?} is no name of a header")]
    Header {
        /// What was written.
        name: String,
    },
    /// The key for tokens cannot be read.
    #[error("the key file {path} cannot be read")]
    KeyFile {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key is none for the algorithm.
    #[error("the key in {path} cannot be used")]
    Key {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: InvalidKey,
    },
    /// Nothing that a GET could ask for.
    #[error("health.path is {path:?} and must begin with / and have no blanks")]
    HealthPath {
        /// What was written.
        path: String,
    },
    /// No host that a GET could name.
    #[error("health.host is {host:?} and must be a host, perhaps with a port")]
    HealthHost {
        /// What was written.
        host: String,
    },
    /// A number is not in its range.
    #[error("{key} must be {least} to {most}")]
    Range {
        /// Which.
        key: &'static str,
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// The name cannot stand in a URI.
    #[error("{what} {name:?}: a name is 1 to 63 letters, digits and inner hyphens")]
    Name {
        /// Whose: `name` or `server`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Nowhere to listen.
    #[error("no [[listen]]: clients could not reach it")]
    NoListener,
    /// Nobody to give access to.
    #[error("no [[server]]: there is no application server")]
    NoServer,
    /// The message to users would carry something that nobody can open.
    #[error(
        "resume.url = {text:?}: it is a URL of up to 512 characters, as in https://example.com/desk"
    )]
    ResumeUrl {
        /// What was written.
        text: String,
    },
    /// Two application servers have one name.
    #[error("two [[server]] are called {name}")]
    Twice {
        /// The name.
        name: String,
    },
    /// The presence server could not answer.
    #[error(
        "sip = {address}: the presence server answers to this address, so it must be one that \
         leads here from there"
    )]
    Unreachable {
        /// The address.
        address: SocketAddr,
    },
    /// Nobody may write the header.
    #[error("listen {address}: proxy_protocol needs the hosts that may write it, in `trusted`")]
    Untrusted {
        /// The listener.
        address: SocketAddr,
    },
}
