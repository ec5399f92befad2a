//! What an operator says about one nlb: the keys of its configuration file.

mod address;
mod source;
mod tables;

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

pub use self::address::{Address, InvalidAddress, PresenceAddress, Trusted};
pub use self::source::{JwtAlgorithm, JwtSource, JwtWhere, Source};
pub use self::tables::{
    DecisionTable, GuardTable, HealthTable, LimitsTable, RefreshTable, ResumeTable, SignsOf,
    TimeoutsTable,
};
use crate::config::{self, FileError, LogFormat, LogLevel, StorePath};

/// The configuration file of an nlb, as written; [`super::Config`] is what it comes to.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its own name: the user part of its address of record, and of those of its handles.
    pub name: Option<String>,
    /// The presence domain in which it and its handles are registered.
    pub domain: String,
    /// The presence server.
    pub presence: PresenceAddress,
    /// The hosts whose SIP messages are taken; empty for that of the presence server alone.
    #[serde(default)]
    pub presence_from: Vec<IpAddr>,
    /// Where the presence server reaches it; what it writes into Via and Contact.
    pub sip: Option<Address>,
    /// What becomes of requests while the presence server does not answer.
    #[serde(default)]
    pub when_unreachable: WhenUnreachable,
    /// What becomes of its sessions when it is stopped.
    #[serde(default)]
    pub at_stop: AtStop,
    /// Where its sessions are kept.
    pub store: Option<StorePath>,
    /// Metrics, health and sessions over HTTP.
    pub admin: Option<SocketAddr>,
    /// How many threads carry the bytes.
    pub threads: Option<NonZeroU16>,
    /// The hosts that may say on whose behalf a connection comes: their PROXY headers are read, and
    /// their forwarding headers kept.
    #[serde(default)]
    pub trusted: Vec<Trusted>,
    /// Whether clients' own forwarding headers reach the application servers.
    #[serde(default)]
    pub forwarding: Forwarding,
    /// How a user's name becomes an address of record.
    pub aor: Option<String>,
    /// What becomes of requests that name no user.
    #[serde(default)]
    pub anonymous: Anonymous,
    /// How log lines are written.
    pub log: Option<LogFormat>,
    /// What is logged.
    pub log_level: Option<LogLevel>,
    /// Where clients reach it.
    #[serde(default)]
    pub listen: Vec<ListenTable>,
    /// Whether raw TCP that names no user belongs to the one user whose phone is registered from
    /// the same host; the store is then the pool's.
    #[serde(default)]
    pub by_address: bool,
    /// Where the user's name is taken from: the first that has one.
    #[serde(default)]
    pub user: Vec<Source>,
    /// Where the device's name is taken from: the first that has one.
    #[serde(default)]
    pub device: Vec<Source>,
    /// The application servers.
    #[serde(default)]
    pub server: Vec<ServerTable>,
    /// How the application servers are probed.
    #[serde(default)]
    pub health: HealthTable,
    /// How presence is judged.
    #[serde(default)]
    pub decision: DecisionTable,
    /// How a user who was using is called back.
    #[serde(default)]
    pub resume: ResumeTable,
    /// When a wave of users leaving is taken for a fault of the presence server.
    #[serde(default)]
    pub guard: GuardTable,
    /// The ordinary time-outs.
    #[serde(default)]
    pub timeouts: TimeoutsTable,
    /// How long the presence server is asked to keep things, and how often it is asked whether it
    /// is there.
    #[serde(default)]
    pub refresh: RefreshTable,
    /// What is held at the most.
    #[serde(default)]
    pub limits: LimitsTable,
}

/// What becomes of requests while the presence server does not answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum WhenUnreachable {
    /// They are refused: nobody gets access who was not announced.
    #[default]
    Refuse,
    /// They are served under the ordinary time-outs, and announced once it answers again.
    Serve,
}

/// What becomes of sessions when the nlb is stopped.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum AtStop {
    /// They stay in the store, for the next start to take up.
    #[default]
    Keep,
    /// They are released, each with its good-bye to the presence server.
    Release,
}

/// What becomes of requests that name no user.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// They pass, to the server with the fewest sessions, each connection with a slot of its own.
    Pass,
    /// They are refused.
    #[default]
    Refuse,
}

/// Whether clients' own forwarding headers reach the application servers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Forwarding {
    /// Those of trusted hosts do; others are replaced by what is known here.
    #[default]
    Own,
    /// All do, as they came.
    Untouched,
}

/// One `[[listen]]`: where clients reach it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ListenTable {
    /// What clients speak there.
    pub kind: ListenKind,
    /// Its address; port 0 for any free one.
    pub address: Address,
    /// Whether connections begin with a PROXY header, from trusted hosts.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// Whether connections from here to application servers begin with a PROXY header, version 2.
    #[serde(default)]
    pub send_proxy: bool,
    /// The word that opens the first line of raw TCP, followed by the user's name.
    pub first_word: Option<String>,
}

/// What clients speak.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ListenKind {
    /// HTTP/1.1 and what it is upgraded to.
    Http,
    /// Anything over TCP.
    Tcp,
}

/// Whether connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Absent,
    /// Those from trusted hosts may.
    Optional,
    /// They all do; others are closed.
    Required,
}

/// One `[[server]]`: an application server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ServerTable {
    /// Its name: what sessions are bound to, so it stays when the address changes.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// How many live sessions it takes; absent for any number.
    pub slots: Option<NonZeroU32>,
    /// Its share of the sessions, relative to the other servers; 0 gives it no new ones.
    #[serde(default = "one")]
    pub weight: u32,
}

impl Settings {
    /// The settings in the file at `path`.
    ///
    /// # Errors
    ///
    /// There is no such file, or a key or value in it is not one of a setting: the error names its
    /// line.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        config::read_file(path)
    }
}

/// The text of a file, for programs that have none.
impl FromStr for Settings {
    type Err = FileError;

    fn from_str(text: &str) -> Result<Self, FileError> {
        config::parse("the configuration", text)
    }
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests;
