//! What settings are refused for.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU16;

use presently_sip::Aor;

use crate::config::is_name;
use crate::nlb::settings::{
    Anonymous, HealthTable, ListenKind, ListenTable, ProxyProtocol, ServerTable, Settings,
};
use crate::nlb::{ConfigError, PresenceAddress};

/// What the nlb's own addresses of record are made of.
pub(super) fn names(name: &str, domain: &str) -> Result<(), ConfigError> {
    name_of("name", name)?;
    let own = Aor::parse(&format!("sip:{name}@{domain}"));
    if own.map_or(true, |own| own.host() != domain.to_ascii_lowercase()) {
        let text = domain.to_owned();
        return Err(ConfigError::Domain { text });
    }
    Ok(())
}

/// Whether the presence server can answer to `sip`.
pub(super) fn address(sip: SocketAddr, presence: &PresenceAddress) -> Result<(), ConfigError> {
    let is_far = !presence.address.ip().is_loopback();
    let is_lost = sip.ip().is_unspecified() || (is_far && sip.ip().is_loopback());
    if is_lost || sip.is_ipv4() != presence.address.is_ipv4() {
        return Err(ConfigError::Unreachable { address: sip });
    }
    Ok(())
}

pub(super) fn settings(settings: &Settings) -> Result<(), ConfigError> {
    listeners(settings)?;
    servers(&settings.server)?;
    resume_url(settings.resume.url.as_deref())?;
    probe(&settings.health)?;
    numbers(settings)
}

/// The application servers alone: a reload brings new ones.
pub(crate) fn servers(servers: &[ServerTable]) -> Result<(), ConfigError> {
    if servers.is_empty() {
        return Err(ConfigError::NoServer);
    }
    let most = u64::try_from(presently_nlb::SERVERS_MAX).unwrap_or(u64::MAX);
    in_range("the number of [[server]]", servers.len(), 1, most)?;
    let mut names = BTreeSet::new();
    for server in servers {
        name_of("server", &server.name)?;
        if !names.insert(&server.name) {
            let name = server.name.clone();
            return Err(ConfigError::Twice { name });
        }
    }
    Ok(())
}

fn name_of(what: &'static str, name: &str) -> Result<(), ConfigError> {
    let error = || ConfigError::Name {
        what,
        name: name.to_owned(),
    };
    is_name(name).then_some(()).ok_or_else(error)
}

fn listeners(settings: &Settings) -> Result<(), ConfigError> {
    if settings.listen.is_empty() {
        return Err(ConfigError::NoListener);
    }
    for listen in &settings.listen {
        listener(listen, settings)?;
    }
    Ok(())
}

fn listener(listen: &ListenTable, settings: &Settings) -> Result<(), ConfigError> {
    let address = listen.address.0;
    let is_http = listen.kind == ListenKind::Http;
    if is_http && listen.first_word.is_some() {
        return Err(ConfigError::FirstWordOfHttp { address });
    }
    if let Some(word) = listen.first_word.clone().filter(|word| !is_word(word)) {
        return Err(ConfigError::FirstWord { address, word });
    }
    let has_header = listen.proxy_protocol != ProxyProtocol::Absent;
    if has_header && settings.trusted.is_empty() {
        return Err(ConfigError::Untrusted { address });
    }
    let names_users = if is_http {
        !settings.user.is_empty()
    } else {
        listen.first_word.is_some() || has_header || settings.by_address
    };
    if !names_users && settings.anonymous == Anonymous::Refuse {
        return Err(ConfigError::AllRefused { address });
    }
    Ok(())
}

/// Whether a client's first line can begin with it.
fn is_word(text: &str) -> bool {
    let has_length = (1..=WORD_MAX).contains(&text.len());
    has_length && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// It goes into the message to users as a line of its own (RFC 3986 §3: a scheme, then the rest).
fn resume_url(url: Option<&str>) -> Result<(), ConfigError> {
    let is_scheme = |text: &str| {
        let mut bytes = text.bytes();
        bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let is_url = |text: &str| {
        let is_clean = text.len() <= URL_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        is_clean && is_scheme(scheme) && !rest.is_empty()
    };
    match url.filter(|text| !is_url(text)) {
        Some(text) => Err(ConfigError::ResumeUrl { text: text.into() }),
        None => Ok(()),
    }
}

/// Both go into the request line and a header as they are (RFC 9112 §3.2, RFC 9110 §7.2).
fn probe(health: &HealthTable) -> Result<(), ConfigError> {
    let is_clean = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let path = health.path.as_deref();
    if let Some(path) = path.filter(|path| !path.starts_with('/') || !is_clean(path)) {
        return Err(ConfigError::HealthPath { path: path.into() });
    }
    let host = &health.host;
    if host.is_empty() || host.contains('/') || !is_clean(host) {
        return Err(ConfigError::HealthHost { host: host.clone() });
    }
    Ok(())
}

fn numbers(settings: &Settings) -> Result<(), ConfigError> {
    let Settings {
        decision,
        guard,
        refresh,
        limits,
        resume,
        timeouts,
        health,
        ..
    } = settings;
    let threads = settings.threads.map_or(1, NonZeroU16::get);
    // Most of them are of 32 bits in the file.
    let of = |key, value: u32, least, most| (key, u64::from(value), least, most);
    let table = [
        ("threads", threads.into(), 1, THREADS_MAX),
        ("decision.using_ms", decision.using_ms, 100, HOUR_MS),
        ("decision.grace_ms", decision.grace_ms, 0, HOUR_MS),
        ("resume.every_ms", resume.every_ms, 100, HOUR_MS),
        ("resume.within_ms", resume.within_ms, 100, HOUR_MS),
        ("guard.share_percent", guard.share_percent.into(), 1, 100),
        of("guard.at_least", guard.at_least, 1, SESSIONS_MAX),
        of("guard.within_secs", guard.within_secs, 1, HOUR_SECS),
        of("guard.hold_secs", guard.hold_secs, 0, DAY_SECS),
        ("health.every_ms", health.every_ms.get(), 10, HOUR_MS),
        ("health.timeout_ms", health.timeout_ms.get(), 10, HOUR_MS),
        of("health.rise", health.rise.get(), 1, PROBES_MAX),
        of("health.fall", health.fall.get(), 1, PROBES_MAX),
        ("timeouts.admit_ms", timeouts.admit_ms, 100, ADMIT_MS_MAX),
        of("timeouts.answer_secs", timeouts.answer_secs, 1, DAY_SECS),
        of("timeouts.stop_secs", timeouts.stop_secs, 0, HOUR_SECS),
        of(
            "timeouts.path_idle_secs",
            timeouts.path_idle_secs,
            1,
            IDLE_SECS_MAX,
        ),
        of(
            "timeouts.path_idle_open_secs",
            timeouts.path_idle_open_secs,
            1,
            IDLE_SECS_MAX,
        ),
        of(
            "timeouts.session_idle_secs",
            timeouts.session_idle_secs,
            1,
            IDLE_SECS_MAX,
        ),
        of("refresh.register_secs", refresh.register_secs, 60, DAY_SECS),
        of(
            "refresh.subscribe_secs",
            refresh.subscribe_secs,
            60,
            DAY_SECS,
        ),
        ("refresh.probe_ms", refresh.probe_ms, 100, HOUR_MS),
        of("limits.sessions", limits.sessions, 1, SESSIONS_MAX),
        of(
            "limits.paths_per_session",
            limits.paths_per_session,
            1,
            PATHS_MAX,
        ),
        of(
            "limits.waiting_per_session",
            limits.waiting_per_session,
            1,
            PATHS_MAX,
        ),
        of(
            "limits.connections_per_address",
            limits.connections_per_address,
            1,
            SESSIONS_MAX,
        ),
    ];
    let wrong = |(key, value, least, most)| in_range(key, value, least, most);
    table.into_iter().try_for_each(wrong)
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

/// A first line has 512 bytes, with a name in it.
const WORD_MAX: usize = 64;
/// A MESSAGE stays below 1,300 bytes (RFC 3428 §8).
const URL_MAX: usize = 512;
/// A thread more than cores only takes their time.
const THREADS_MAX: u64 = 256;
/// Above this, users are better served by two.
const SESSIONS_MAX: u64 = 2_000_000;
/// Nobody needs as many; each is looked at when its user leaves.
const PATHS_MAX: u64 = 10_000;
/// The proxy waits a little longer than that for a verdict.
const ADMIT_MS_MAX: u64 = 60_000;
/// More good or bad probes in a row tell nothing more.
const PROBES_MAX: u64 = 1_000;
/// A month.
const IDLE_SECS_MAX: u64 = 30 * DAY_SECS;
const HOUR_MS: u64 = 3_600_000;
const HOUR_SECS: u64 = 3_600;
const DAY_SECS: u64 = 86_400;
