//! What of changed settings a running process takes over, and what needs a restart.

use super::{ANY_PORT, OobAddress, SERVERS, Settings, default_listeners};

impl Settings {
    /// The keys whose value differs from that in `other` and that only a restart puts into force.
    /// A default that is spelt out is no difference.
    #[must_use]
    pub fn needing_restart(&self, other: &Self) -> Vec<&'static str> {
        let (one, other) = (Started::of(self), Started::of(other));
        let differs = [
            ("listen", one.listen != other.listen),
            ("servers", one.servers != other.servers),
            ("store", one.store != other.store),
            ("admin", one.admin != other.admin),
            ("auth", one.auth != other.auth),
            ("role", one.role != other.role),
            ("name", one.name != other.name),
            ("oob", one.oob != other.oob),
            ("sip", one.sip != other.sip),
            ("weight", one.weight != other.weight),
            ("log", one.log != other.log),
            ("flows", one.flows != other.flows),
            ("limits", one.limits != other.limits),
        ];
        let changed = differs.into_iter().filter(|(_, differs)| *differs);
        changed.map(|(key, _)| key).collect()
    }
}

/// The settings that are used once, at the start, with their defaults.
struct Started<'a> {
    listen: Vec<super::Listen>,
    servers: u16,
    store: super::StorePath,
    admin: Option<std::net::SocketAddr>,
    auth: Option<super::Auth>,
    role: super::Role,
    name: Option<&'a str>,
    oob: OobAddress,
    sip: std::net::SocketAddr,
    weight: u32,
    log: super::LogFormat,
    flows: super::FlowsTable,
    limits: super::LimitsTable,
}

impl<'a> Started<'a> {
    fn of(settings: &'a Settings) -> Self {
        // Each by its name: a new key must be put on one of the two sides.
        let Settings {
            listen,
            domains: _,
            servers,
            store,
            admin,
            auth,
            role,
            name,
            oob,
            sip,
            weight,
            log,
            log_level: _,
            expires: _,
            flows,
            limits,
        } = settings;
        Self {
            listen: match listen.as_slice() {
                [] => default_listeners(),
                listen => listen.to_vec(),
            },
            servers: servers.unwrap_or(SERVERS),
            store: store.clone().unwrap_or_default(),
            admin: *admin,
            auth: *auth,
            role: role.unwrap_or_default(),
            name: name.as_deref(),
            oob: oob.unwrap_or_else(|| ANY_PORT.into()),
            sip: sip.unwrap_or(ANY_PORT),
            weight: weight.unwrap_or(1),
            log: log.unwrap_or_default(),
            flows: flows.unwrap_or_default(),
            limits: limits.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ExpiresTable, LogLevel};
    use super::*;

    #[test]
    fn what_a_running_process_takes_over_needs_no_restart() {
        let changed = Settings {
            domains: vec!["example.com".to_owned()],
            expires: Some(ExpiresTable {
                min_secs: 1,
                ..ExpiresTable::default()
            }),
            log_level: Some(LogLevel::Debug),
            ..Settings::default()
        };
        assert!(changed.needing_restart(&Settings::default()).is_empty());
    }

    #[test]
    fn what_is_used_at_the_start_is_named() {
        let changed = Settings {
            listen: vec!["udp:127.0.0.1:5070".parse().unwrap()],
            servers: Some(4),
            admin: Some("127.0.0.1:9090".parse().unwrap()),
            ..Settings::default()
        };
        let keys = changed.needing_restart(&Settings::default());
        assert_eq!(keys, ["listen", "servers", "admin"]);
    }

    #[test]
    fn a_default_that_is_spelt_out_is_no_difference() {
        let spelt = Settings {
            listen: default_listeners(),
            servers: Some(SERVERS),
            store: Some(super::super::StorePath::default()),
            weight: Some(1),
            ..Settings::default()
        };
        assert!(spelt.needing_restart(&Settings::default()).is_empty());
    }
}
