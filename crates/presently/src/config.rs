//! What an operator decides about one process: from flags, from a file, or from code.
//!
//! [`Settings`] is what was said, on the command line or in the file; [`Config`] is what it comes
//! to, checked. A value of [`Config`] proves that its parts fit together, not that its ports are
//! free.

mod error;
mod file;
mod listen;
mod mistyped;
mod oob;
mod reload;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use presently_presence::Expires;
use presently_presence::package::Packages;
use presently_sip::Aor;

pub use self::error::ConfigError;
pub use self::file::FileError;
pub(crate) use self::file::{parse, read_file};
pub(crate) use self::listen::resolve;
pub use self::listen::{Advertise, InvalidHostPort, InvalidListen, Listen, host_port};
pub use self::oob::{InvalidOobAddress, OobAddress};
pub use self::settings::{
    Auth, ExpiresTable, FlowsTable, InvalidStore, LimitsTable, LogFormat, LogLevel, Role, Settings,
    StorePath,
};

/// What one process of a pool is and does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The balancer of this process, if it has one.
    pub balancer: Option<MemberConfig>,
    /// The servers of this process.
    pub servers: Vec<MemberConfig>,
    /// Where phones reach the balancer; empty without one.
    pub listen: Vec<Listen>,
    /// Whose addresses of record are served; empty for any.
    pub domains: Vec<String>,
    /// The store's file.
    pub store: PathBuf,
    /// Where metrics and health are served.
    pub admin: Option<SocketAddr>,
    /// The seconds granted to REGISTER, SUBSCRIBE and PUBLISH.
    pub expires: Expires,
    /// How long a phone whose connection is gone counts as there; 0 waits until its binding
    /// expires.
    pub flow_grace: Duration,
    /// How long the machine of a phone over TCP may acknowledge nothing; 0 leaves it to the system.
    pub flow_silence: Duration,
    /// After how much silence a phone is asked whether it is there; 0 asks none.
    pub ask_after: Duration,
    /// Bytes of the requests that may wait at the balancer.
    pub balancer_held_bytes: usize,
    /// Bytes of the requests that may wait at each server.
    pub server_held_bytes: usize,
    /// Connections that phones at one address may have at one time.
    pub connections_per_address: usize,
    /// The event packages served.
    pub packages: Arc<Packages>,
}

/// One member that this process hosts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberConfig {
    /// Its name, unique in the pool.
    pub name: String,
    /// Where it takes out-of-band datagrams.
    pub oob: OobAddress,
    /// Where a balancer of another process reaches it; absent when the balancer is in this one.
    pub sip: Option<SocketAddr>,
    /// Its share of the clients, relative to the other servers.
    pub weight: u32,
}

impl Config {
    /// What `settings` come to.
    ///
    /// # Errors
    ///
    /// They contradict each other, or lack something that cannot be guessed.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let role = settings.role.unwrap_or_default();
        check_flags_of(role, &settings)?;
        let (balancer, servers) = members(role, &settings)?;
        let listen = match role {
            Role::Server => Vec::new(),
            Role::All | Role::Balancer if settings.listen.is_empty() => default_listeners(),
            Role::All | Role::Balancer => settings.listen,
        };
        check_domains(&settings.domains)?;
        check_listeners(&listen, settings.auth, &settings.domains)?;
        let flows = settings.flows.unwrap_or_default().check()?;
        let limits = settings.limits.unwrap_or_default().check()?;
        Ok(Self {
            balancer,
            servers,
            listen,
            domains: settings.domains,
            store: settings.store.unwrap_or_default().0,
            admin: settings.admin,
            expires: settings.expires.unwrap_or_default().check()?,
            flow_grace: Duration::from_secs(flows.grace_secs.into()),
            flow_silence: Duration::from_secs(flows.silence_secs.into()),
            ask_after: Duration::from_secs(flows.ask_secs.into()),
            balancer_held_bytes: usize::from(limits.balancer_held_mib) << MIB_BITS,
            server_held_bytes: usize::from(limits.server_held_mib) << MIB_BITS,
            connections_per_address: limits.connections_per_address.into(),
            packages: Arc::default(),
        })
    }
}

impl Default for Config {
    /// A balancer and three servers on this machine: what `presently serve` starts.
    fn default() -> Self {
        Self::new(Settings::default()).expect("the defaults fit together, as a test shows")
    }
}

/// A flag that means nothing in the role is a mistake, not a wish to ignore.
fn check_flags_of(role: Role, settings: &Settings) -> Result<(), ConfigError> {
    let is_all = role == Role::All;
    let is_server = role == Role::Server;
    let misplaced = [
        ("name", settings.name.is_some() && is_all),
        ("oob", settings.oob.is_some() && is_all),
        ("sip", settings.sip.is_some() && !is_server),
        ("weight", settings.weight.is_some() && !is_server),
        ("servers", settings.servers.is_some() && !is_all),
        ("listen", !settings.listen.is_empty() && is_server),
        ("domain", !settings.domains.is_empty() && is_server),
    ];
    match misplaced
        .into_iter()
        .find(|(_, is_misplaced)| *is_misplaced)
    {
        Some((flag, _)) => Err(ConfigError::Misplaced { flag, role }),
        None => Ok(()),
    }
}

fn members(
    role: Role,
    settings: &Settings,
) -> Result<(Option<MemberConfig>, Vec<MemberConfig>), ConfigError> {
    if role == Role::All {
        let count = settings.servers.unwrap_or(SERVERS);
        if !(1..=SERVERS_MAX).contains(&count) {
            return Err(ConfigError::Servers { most: SERVERS_MAX });
        }
        let servers = (1..=count).map(|number| MemberConfig::here(format!("s{number}")));
        return Ok((Some(MemberConfig::here("b1".to_owned())), servers.collect()));
    }
    let name = settings
        .name
        .clone()
        .ok_or(ConfigError::Nameless { role })?;
    if !is_name(&name) {
        return Err(ConfigError::Name { name });
    }
    let oob = settings.oob.unwrap_or(ANY_PORT.into());
    let sip = settings.sip.unwrap_or(ANY_PORT);
    let oob_told = oob.advertise.unwrap_or(oob.bind);
    for (flag, address) in [("oob", oob_told), ("sip", sip)] {
        if address.ip().is_unspecified() {
            return Err(ConfigError::Unreachable { flag, address });
        }
    }
    let weight = settings.weight.unwrap_or(1);
    if weight == 0 {
        return Err(ConfigError::Weight);
    }
    let member = MemberConfig {
        name,
        oob,
        sip: (role == Role::Server).then_some(sip),
        weight,
    };
    Ok(match role {
        Role::Server => (None, vec![member]),
        Role::All | Role::Balancer => (Some(member), Vec::new()),
    })
}

impl MemberConfig {
    /// A member whose whole pool is in this process.
    fn here(name: String) -> Self {
        Self {
            name,
            oob: ANY_PORT.into(),
            sip: None,
            weight: 1,
        }
    }
}

/// A name stands in a Via as a host, so it is made like one (RFC 3261 §25.1).
pub(crate) fn is_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// What no URI can hold would leave every user a stranger.
fn check_domains(domains: &[String]) -> Result<(), ConfigError> {
    let is_domain = |domain: &str| {
        let has_port = domain.contains(':') && !domain.ends_with(']');
        let user = Aor::parse(&format!("sip:user@{domain}"));
        !has_port && user.is_ok_and(|user| user.host() == domain.to_ascii_lowercase())
    };
    match domains.iter().find(|domain| !is_domain(domain)) {
        Some(domain) => Err(ConfigError::Domain {
            domain: domain.clone(),
        }),
        None => Ok(()),
    }
}

fn check_listeners(
    listeners: &[Listen],
    auth: Option<Auth>,
    domains: &[String],
) -> Result<(), ConfigError> {
    if listeners.len() > LISTENERS_MAX {
        return Err(ConfigError::Listeners {
            most: LISTENERS_MAX,
        });
    }
    for listen in listeners {
        let text = || listen.to_string();
        let ip = listen.bind.ip();
        if ip.is_unspecified() && listen.advertise.is_none() {
            return Err(ConfigError::Wildcard { listen: text() });
        }
        if ip.is_loopback() {
            continue;
        }
        if auth.is_none() {
            return Err(ConfigError::Open { listen: text() });
        }
        if domains.is_empty() {
            return Err(ConfigError::AnyDomain { listen: text() });
        }
    }
    Ok(())
}

fn default_listeners() -> Vec<Listen> {
    let texts = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"];
    let listeners = texts.into_iter().map(str::parse);
    listeners
        .collect::<Result<_, _>>()
        .expect("both are listeners")
}

/// A MiB, as a shift.
const MIB_BITS: u32 = 20;
/// Three servers show what a pool does: one publishes, one is woken, one sleeps on.
const SERVERS: u16 = 3;
/// More servers in one loop only share its one core.
const SERVERS_MAX: u16 = 64;
/// A flow names its listener in one byte; nobody needs as many.
const LISTENERS_MAX: usize = 32;
/// The longest label of a host name.
const NAME_BYTES_MAX: usize = 63;
/// The members find each other's ports in the store.
pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[cfg(test)]
mod tests;
