//! What was said, on the command line or in the file: one struct for both, so that a key of the
//! file is always called like its flag.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use presently_presence::Expires;
use serde::Deserialize;

use super::listen::host_port_of_key;
use super::{ConfigError, Listen, OobAddress, host_port};

/// Settings as they were given; what is absent has its default in [`super::Config`].
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where phones reach the balancer; may be given several times. A wildcard address needs
    /// `,advertise=HOST[:PORT]`: what phones are told. [default: udp:127.0.0.1:5060 and
    /// tcp:127.0.0.1:5060]
    #[arg(
        long,
        value_name = "udp:HOST:PORT|tcp:HOST:PORT[,advertise=HOST[:PORT]]"
    )]
    pub listen: Vec<Listen>,
    /// A domain whose users are served; may be given several times. [default: any, on loopback
    /// only]
    #[arg(long = "domain", value_name = "NAME")]
    pub domains: Vec<String>,
    /// How many servers share the work in this process [default: 3]
    #[arg(long, value_name = "N")]
    pub servers: Option<u16>,
    /// Where the pool's state is kept [default: sqlite:presently.db]
    #[arg(long, value_name = "sqlite:PATH")]
    pub store: Option<StorePath>,
    /// Serves /metrics, /healthz, /readyz and, on loopback, /trace over HTTP; off by default
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    #[serde(deserialize_with = "host_port_of_key")]
    pub admin: Option<SocketAddr>,
    /// Who may log on. Demanded to listen beyond loopback, because nobody is asked for a password
    /// yet
    #[arg(long, value_enum)]
    pub auth: Option<Auth>,
    /// Which part of the pool this process is; the parts find each other through the store
    /// [default: all]
    #[arg(long, value_enum)]
    pub role: Option<Role>,
    /// The member's name, unique in the pool; for a process of one role
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where the member takes out-of-band datagrams; for a process of one role
    /// [default: 127.0.0.1 and any free port]. `,advertise=` is where the other members send them,
    /// when that is another address
    #[arg(long, value_name = "HOST:PORT[,advertise=HOST:PORT]")]
    pub oob: Option<OobAddress>,
    /// Where balancers reach the server; for `--role server` [default: 127.0.0.1 and any free port]
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    #[serde(deserialize_with = "host_port_of_key")]
    pub sip: Option<SocketAddr>,
    /// The server's share of the clients relative to other servers; for `--role server` [default:
    /// 1]
    #[arg(long, value_name = "N")]
    pub weight: Option<u32>,
    /// How log lines are written [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log: Option<LogFormat>,
    /// What is logged; `RUST_LOG` says it finer [default: warn]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// The table `[expires]` of the file; there are no flags for it.
    #[arg(skip)]
    pub expires: Option<ExpiresTable>,
    /// The table `[flows]` of the file; there are no flags for it.
    #[arg(skip)]
    pub flows: Option<FlowsTable>,
    /// The table `[limits]` of the file; there are no flags for it.
    #[arg(skip)]
    pub limits: Option<LimitsTable>,
}

impl Settings {
    /// These settings, and those of `below` where these say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let list = |above: Vec<_>, below| if above.is_empty() { below } else { above };
        Self {
            listen: if self.listen.is_empty() {
                below.listen
            } else {
                self.listen
            },
            domains: list(self.domains, below.domains),
            servers: self.servers.or(below.servers),
            store: self.store.or(below.store),
            admin: self.admin.or(below.admin),
            auth: self.auth.or(below.auth),
            role: self.role.or(below.role),
            name: self.name.or(below.name),
            oob: self.oob.or(below.oob),
            sip: self.sip.or(below.sip),
            weight: self.weight.or(below.weight),
            log: self.log.or(below.log),
            log_level: self.log_level.or(below.log_level),
            expires: self.expires.or(below.expires),
            flows: self.flows.or(below.flows),
            limits: self.limits.or(below.limits),
        }
    }
}

/// Who may log on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Everybody, under any name.
    Off,
}

/// Which part of a pool a process is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A balancer and servers, alone with their store
    #[default]
    All,
    /// A balancer, for servers in other processes
    Balancer,
    /// One server, for balancers in other processes
    Server,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Balancer => "balancer",
            Self::Server => "server",
        })
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// For people
    #[default]
    Text,
}

/// What is logged: this and what matters more.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What an operator should act upon
    Error,
    /// And bounds that were reached
    #[default]
    Warn,
    /// And changes of state
    Info,
    /// And each request
    Debug,
    /// And everything else
    Trace,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// Where the pool's state is kept: `sqlite:PATH`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct StorePath(pub PathBuf);

impl Default for StorePath {
    fn default() -> Self {
        Self("presently.db".into())
    }
}

/// The text is no store.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a store is sqlite:PATH")]
pub struct InvalidStore;

impl FromStr for StorePath {
    type Err = InvalidStore;

    fn from_str(text: &str) -> Result<Self, InvalidStore> {
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err(InvalidStore),
        }
    }
}

impl TryFrom<String> for StorePath {
    type Error = InvalidStore;

    fn try_from(text: String) -> Result<Self, InvalidStore> {
        text.parse()
    }
}

/// The table `[flows]`: what becomes of a phone whose connection is gone, or that says nothing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FlowsTable {
    /// How long it counts as there; 0 waits until its binding expires.
    pub grace_secs: u32,
    /// A phone over TCP whose machine acknowledges nothing for so long is taken for gone; 0 leaves
    /// that to the system, which takes hours.
    pub silence_secs: u32,
    /// A phone that says nothing for so long is asked whether it is there, and closed while it does
    /// not answer; 0 asks none, and waits until its binding expires.
    pub ask_secs: u32,
}

impl Default for FlowsTable {
    fn default() -> Self {
        // As an embedded server has it.
        Self {
            grace_secs: 30,
            silence_secs: 60,
            ask_secs: 0,
        }
    }
}

impl FlowsTable {
    pub(super) fn check(self) -> Result<Self, ConfigError> {
        // The system asks in whole seconds, three times in the half of it.
        let bounds = [self.silence_secs, self.ask_secs];
        let is_sound = bounds
            .iter()
            .all(|secs| *secs == 0 || (6..=7200).contains(secs));
        is_sound.then_some(self).ok_or(ConfigError::Flows)
    }
}

/// The table `[limits]`: the memory that requests may take while they wait for the store, and the
/// connections that one address may have.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsTable {
    /// Those at the balancer; what comes above them is refused with 503.
    pub balancer_held_mib: u16,
    /// Those at each server.
    pub server_held_mib: u16,
    /// Connections of phones from one address; more are closed at once.
    pub connections_per_address: u16,
}

impl Default for LimitsTable {
    fn default() -> Self {
        // As an embedded balancer and server have it.
        Self {
            balancer_held_mib: 32,
            server_held_mib: 64,
            connections_per_address: 2_048,
        }
    }
}

impl LimitsTable {
    pub(super) fn check(self) -> Result<Self, ConfigError> {
        let least = self.balancer_held_mib.min(self.server_held_mib);
        let is_sound = least.min(self.connections_per_address) > 0;
        is_sound.then_some(self).ok_or(ConfigError::Limits)
    }
}

/// The table `[expires]`: the seconds granted to REGISTER, SUBSCRIBE and PUBLISH alike.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ExpiresTable {
    /// Less is refused with 423 and this as Min-Expires.
    pub min_secs: u32,
    /// Granted when nothing was asked for.
    pub default_secs: u32,
    /// Granted at the most.
    pub max_secs: u32,
    /// By how many hundredths a first grant may be shortened, so that phones that came together
    /// do not refresh together; at most 50.
    pub jitter_percent: u8,
}

impl Default for ExpiresTable {
    fn default() -> Self {
        let Expires {
            min_secs,
            default_secs,
            max_secs,
            ..
        } = Expires::default();
        Self {
            min_secs,
            default_secs,
            max_secs,
            jitter_percent: JITTER_PERCENT,
        }
    }
}

impl ExpiresTable {
    pub(super) fn check(self) -> Result<Expires, ConfigError> {
        let Self {
            min_secs,
            default_secs,
            max_secs,
            jitter_percent,
        } = self;
        let is_ordered = 1 <= min_secs && min_secs <= default_secs && default_secs <= max_secs;
        let is_ordered = is_ordered && jitter_percent <= JITTER_PERCENT_MAX;
        let expires = Expires {
            min_secs,
            default_secs,
            max_secs,
            jitter_percent,
        };
        is_ordered.then_some(expires).ok_or(ConfigError::Expires)
    }
}

/// A tenth: after one round phones that came together are spread over six minutes of the hour.
const JITTER_PERCENT: u8 = 10;
const JITTER_PERCENT_MAX: u8 = 50;
