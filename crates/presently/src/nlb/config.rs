//! What an nlb's settings come to, checked: the parts fit together, its ports may still be taken.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;

use presently_sip::Aor;

use super::settings::{
    Anonymous, JwtSource, ListenKind, ListenTable, ServerTable, Settings, Source, TcpUser,
};
use super::{ConfigError, PresenceAddress};
use crate::config::{ANY_PORT, StorePath, is_name};

/// What one nlb is and does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Its own name.
    pub name: String,
    /// The presence domain.
    pub domain: String,
    /// The presence server.
    pub presence: PresenceAddress,
    /// The hosts whose SIP messages are taken.
    pub presence_from: Vec<IpAddr>,
    /// Where the presence server reaches it.
    pub sip: SocketAddr,
    /// The store's file.
    pub store: PathBuf,
    /// Metrics, health and sessions over HTTP.
    pub admin: Option<SocketAddr>,
    /// How many threads carry the bytes.
    pub threads: usize,
    /// How a user's name becomes an address of record: with `{user}` in it.
    pub aor: String,
    /// The keys that tokens are checked with, in the order in which `user` and `device` name them.
    pub keys: Vec<Vec<u8>>,
    /// The rest, as it was said.
    pub settings: Settings,
}

impl Config {
    /// What `settings` come to; reads the keys of tokens.
    ///
    /// # Errors
    ///
    /// They contradict each other, or lack something that cannot be guessed.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let name = settings.name.clone().unwrap_or_else(|| NAME.to_owned());
        check_name("name", &name)?;
        let domain = settings.domain.clone();
        let template = settings.aor.clone();
        let template = template.unwrap_or_else(|| format!("sip:{{user}}@{domain}"));
        check_aors(&name, &domain, &template)?;
        check_listeners(&settings)?;
        check_servers(&settings.server)?;
        check_numbers(&settings)?;
        let sip = settings.sip.map_or(ANY_PORT, |address| address.0);
        let is_far = !settings.presence.address.ip().is_loopback();
        if sip.ip().is_unspecified() || (is_far && sip.ip().is_loopback()) {
            return Err(ConfigError::Unreachable { address: sip });
        }
        let presence_from = match settings.presence_from.as_slice() {
            [] => vec![settings.presence.address.ip()],
            hosts => hosts.to_vec(),
        };
        Ok(Self {
            name,
            domain,
            presence: settings.presence,
            presence_from,
            sip,
            store: settings.store.clone().unwrap_or_else(store).0,
            admin: settings.admin,
            threads: usize::from(settings.threads.map_or_else(cores, NonZeroU16::get)),
            aor: template,
            keys: read_keys(&settings)?,
            settings,
        })
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), ConfigError> {
    let error = || ConfigError::Name {
        what,
        name: name.to_owned(),
    };
    is_name(name).then_some(()).ok_or_else(error)
}

/// What addresses of record are made of.
fn check_aors(name: &str, domain: &str, template: &str) -> Result<(), ConfigError> {
    let own = Aor::parse(&format!("sip:{name}@{domain}"));
    if own.map(|own| own.host() != domain.to_ascii_lowercase()) != Ok(false) {
        let text = domain.to_owned();
        return Err(ConfigError::Domain { text });
    }
    let one = Aor::parse(&template.replace(PLACE, "alice"));
    let other = Aor::parse(&template.replace(PLACE, "bob"));
    if one.is_err() || other.is_err() || one == other {
        let text = template.to_owned();
        return Err(ConfigError::Aor { text });
    }
    Ok(())
}

fn check_listeners(settings: &Settings) -> Result<(), ConfigError> {
    if settings.listen.is_empty() {
        return Err(ConfigError::NoListener);
    }
    for listen in &settings.listen {
        check_listener(listen)?;
    }
    let names_one = |listen: &ListenTable| match listen.kind {
        ListenKind::Http => !settings.user.is_empty(),
        ListenKind::Tcp => listen.user.is_some(),
    };
    let is_refused = settings.anonymous == Anonymous::Refuse;
    match settings.listen.iter().find(|listen| !names_one(listen)) {
        Some(listen) if is_refused => Err(ConfigError::AllRefused {
            address: listen.address.0,
        }),
        _ => Ok(()),
    }
}

fn check_listener(listen: &ListenTable) -> Result<(), ConfigError> {
    let address = listen.address.0;
    if listen.kind == ListenKind::Http && listen.user.is_some() {
        return Err(ConfigError::TcpUserOfHttp { address });
    }
    if listen.user == Some(TcpUser::Proxy) && !listen.proxy_protocol {
        return Err(ConfigError::NoProxyHeader { address });
    }
    let is_open = listen.proxy_from.is_empty() && !address.ip().is_loopback();
    if listen.proxy_protocol && is_open {
        return Err(ConfigError::OpenProxyHeader { address });
    }
    Ok(())
}

fn check_servers(servers: &[ServerTable]) -> Result<(), ConfigError> {
    if servers.is_empty() {
        return Err(ConfigError::NoServer);
    }
    in_range("the number of [[server]]", servers.len(), 1, SERVERS_MAX)?;
    let mut names = BTreeSet::new();
    for server in servers {
        check_name("server", &server.name)?;
        if !names.insert(&server.name) {
            let name = server.name.clone();
            return Err(ConfigError::Twice { name });
        }
    }
    Ok(())
}

fn check_numbers(settings: &Settings) -> Result<(), ConfigError> {
    let Settings {
        decision,
        guard,
        limits,
        ..
    } = settings;
    in_range("decision.using_ms", decision.using_ms, 100, HOUR_MS)?;
    in_range("decision.grace_ms", decision.grace_ms, 0, HOUR_MS)?;
    in_range("guard.share_percent", guard.share_percent, 1, 100)?;
    in_range("limits.sessions", limits.sessions, 1, SESSIONS_MAX)?;
    in_range(
        "limits.paths_per_session",
        limits.paths_per_session,
        1,
        PATHS_MAX,
    )?;
    let threads = settings.threads.map_or(1, NonZeroU16::get);
    in_range("threads", threads, 1, THREADS_MAX.into())
}

/// Whether `least` ≤ `value` ≤ `most`.
fn in_range(
    key: &'static str,
    value: impl TryInto<u64>,
    least: u64,
    most: u64,
) -> Result<(), ConfigError> {
    let value = value.try_into().unwrap_or(u64::MAX);
    let error = ConfigError::Range { key, least, most };
    (least..=most).contains(&value).then_some(()).ok_or(error)
}

/// The keys of the tokens in `user` and `device`, in their order.
fn read_keys(settings: &Settings) -> Result<Vec<Vec<u8>>, ConfigError> {
    let mut keys = Vec::new();
    for source in settings.user.iter().chain(&settings.device) {
        match source {
            Source::Basic(false) => return Err(ConfigError::BasicOff),
            Source::Jwt(jwt) => keys.push(read_key(jwt)?),
            _ => {}
        }
    }
    Ok(keys)
}

fn read_key(jwt: &JwtSource) -> Result<Vec<u8>, ConfigError> {
    let path = jwt.key_file.clone();
    let key = match std::fs::read(&path) {
        Ok(key) => key.trim_ascii().to_vec(),
        Err(source) => return Err(ConfigError::KeyFile { path, source }),
    };
    if key.len() < KEY_BYTES_MIN {
        return Err(ConfigError::KeyShort {
            path,
            bytes: key.len(),
            least: KEY_BYTES_MIN,
        });
    }
    Ok(key)
}

fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores).unwrap_or(u16::MAX).min(THREADS_MAX)
}

fn store() -> StorePath {
    StorePath("nlb.db".into())
}

/// What stands for the user's name in the template.
const PLACE: &str = "{user}";
/// As the first of its kind.
const NAME: &str = "nlb1";
/// Each choice of a server looks at every one of them.
const SERVERS_MAX: u64 = 1_000;
/// A thread more than cores only takes their time.
const THREADS_MAX: u16 = 256;
/// Above this a handle for each user is more than one presence server's addresses should be.
const SESSIONS_MAX: u64 = 2_000_000;
/// Nobody needs as many; each is looked at when its user leaves.
const PATHS_MAX: u64 = 10_000;
const HOUR_MS: u64 = 3_600_000;
/// A key shorter than the hash is weaker than it (RFC 7518 §3.2).
const KEY_BYTES_MIN: usize = 32;

#[cfg(test)]
mod tests;
