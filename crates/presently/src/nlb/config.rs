//! What an nlb's settings come to, checked: the parts fit together, its ports may still be taken.

mod check;
mod identity;
mod parts;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;

use presently_proxy::identity::Identity;

use super::settings::Settings;
use super::{ConfigError, PresenceAddress};
use crate::config::{ANY_PORT, StorePath};

pub(crate) use self::check::servers as check_servers;
pub(crate) use self::parts::{probed, servers};

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
    /// Whom a request speaks for.
    pub identity: Identity,
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
        let template = template.unwrap_or_else(|| format!("sip:{{user}}@{domain}"));
        let sip = settings.sip.map_or(ANY_PORT, |address| address.0);
        check::names(&name, &domain)?;
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
            identity: identity::new(&settings, &template)?,
            settings,
        })
    }
}

fn cores() -> NonZeroU16 {
    let cores = std::thread::available_parallelism().ok();
    let cores = cores.and_then(|cores| NonZeroU16::try_from(cores).ok());
    cores.unwrap_or(NonZeroU16::MIN)
}

/// As the first of its kind.
const NAME: &str = "nlb1";
const STORE: &str = "nlb.db";
#[cfg(test)]
mod tests;
