//! What an nlb's settings come to, checked: the parts fit together, its ports may still be taken.

mod check;
mod parts;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;

use super::settings::{JwtSource, Settings, Source};
use super::{ConfigError, PresenceAddress};
use crate::config::{ANY_PORT, StorePath};

pub(crate) use self::check::servers as check_servers;
pub(crate) use self::parts::servers;

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
    /// Where the presence server reaches it; port 0 for any free one.
    pub sip: SocketAddr,
    /// The store's file.
    pub store: PathBuf,
    /// Metrics, health and sessions over HTTP.
    pub admin: Option<SocketAddr>,
    /// How many threads carry the bytes.
    pub threads: NonZeroU16,
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
        let domain = settings.domain.clone();
        let template = settings.aor.clone();
        let aor = template.unwrap_or_else(|| format!("sip:{PLACE}@{domain}"));
        let sip = settings.sip.map_or(ANY_PORT, |address| address.0);
        check::names(&name, &domain, &aor)?;
        check::address(sip, &settings.presence)?;
        check::settings(&settings)?;
        let presence_from = match settings.presence_from.as_slice() {
            [] => vec![settings.presence.address.ip()],
            hosts => hosts.to_vec(),
        };
        let store = settings.store.clone();
        Ok(Self {
            name,
            domain,
            presence: settings.presence,
            presence_from,
            sip,
            store: store.unwrap_or_else(|| StorePath(STORE.into())).0,
            admin: settings.admin,
            threads: settings.threads.unwrap_or_else(cores),
            aor,
            keys: read_keys(&settings)?,
            settings,
        })
    }
}

/// The keys of the tokens in `user` and `device`, in their order.
fn read_keys(settings: &Settings) -> Result<Vec<Vec<u8>>, ConfigError> {
    let sources = settings.user.iter().chain(&settings.device);
    let tokens = sources.filter_map(|source| match source {
        Source::Jwt(jwt) => Some(jwt),
        _ => None,
    });
    tokens.map(read_key).collect()
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

fn cores() -> NonZeroU16 {
    let cores = std::thread::available_parallelism().ok();
    let cores = cores.and_then(|cores| NonZeroU16::try_from(cores).ok());
    cores.unwrap_or(NonZeroU16::MIN)
}

/// What stands for the user's name in the template.
const PLACE: &str = "{user}";
/// As the first of its kind.
const NAME: &str = "nlb1";
const STORE: &str = "nlb.db";
/// A key shorter than the hash is weaker than it (RFC 7518 §3.2).
const KEY_BYTES_MIN: usize = 32;

#[cfg(test)]
mod tests;
