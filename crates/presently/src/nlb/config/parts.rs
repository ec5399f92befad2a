//! The configuration as the machine and the proxy want it.

use std::net::SocketAddr;
use std::time::Duration;

use presently_nlb::{GuardLimits, Server, ServerName, Servers, Signs};
use presently_proxy::{Carries, Limits, Listener, Probe, ProbeSettings, Probed, ProxyHeader};
use presently_sip::Aor;

use super::Config;
use crate::nlb::settings::{
    Anonymous, Forwarding, ListenKind, ListenTable, ProxyProtocol, ServerTable, SignsOf,
    WhenUnreachable,
};

impl Config {
    /// What the machine is told, once its SIP socket is at `sip`.
    pub(crate) fn machine(&self, sip: SocketAddr) -> presently_nlb::Config {
        let settings = &self.settings;
        let own = Aor::parse(&format!("sip:{}@{}", self.name, self.domain));
        let (decision, resume) = (&settings.decision, &settings.resume);
        let (refresh, limits) = (&settings.refresh, &settings.limits);
        let subscribe_for = secs(refresh.subscribe_secs);
        presently_nlb::Config {
            aor: own.expect("checked when the configuration was made"),
            protocol: self.presence.protocol,
            sent_by: sip.to_string(),
            register_secs: refresh.register_secs,
            subscribe_secs: refresh.subscribe_secs,
            // One refresh may fail.
            lease: subscribe_for + subscribe_for,
            admit_within: ms(settings.timeouts.admit_ms),
            when_unreachable: match settings.when_unreachable {
                WhenUnreachable::Refuse => presently_nlb::WhenUnreachable::Refuse,
                WhenUnreachable::Serve => presently_nlb::WhenUnreachable::Serve,
            },
            anonymous: match settings.anonymous {
                Anonymous::Pass => presently_nlb::Anonymous::Admit,
                Anonymous::Refuse => presently_nlb::Anonymous::Refuse,
            },
            signs: match decision.signs {
                SignsOf::Either => Signs::Either,
                SignsOf::User => Signs::FromUser,
            },
            using_window: ms(decision.using_ms),
            grace: ms(decision.grace_ms),
            tries: resume.tries.get(),
            try_every: ms(resume.every_ms),
            try_within: ms(resume.within_ms),
            resume_url: resume.url.clone(),
            guard: GuardLimits {
                share_percent: settings.guard.share_percent,
                at_least: count(settings.guard.at_least),
                within: secs(settings.guard.within_secs),
                hold: secs(settings.guard.hold_secs),
            },
            idle: secs(settings.timeouts.session_idle_secs),
            path_idle: secs(settings.timeouts.path_idle_secs),
            path_idle_open: secs(settings.timeouts.path_idle_open_secs),
            probe_every: ms(refresh.probe_ms),
            resume_per_sec: refresh.sessions_per_sec,
            sessions_max: count(limits.sessions),
            paths_max: count(limits.paths_per_session),
            waiting_max: count(limits.waiting_per_session),
            queue_max: count(limits.queue),
            anonymous_max: count(limits.anonymous),
        }
    }

    /// How the application servers are probed.
    pub(crate) fn probes(&self) -> ProbeSettings {
        let health = &self.settings.health;
        ProbeSettings {
            probe: match &health.path {
                Some(path) => Probe::Get {
                    path: path.as_str().into(),
                    host: health.host.as_str().into(),
                },
                None => Probe::Connect,
            },
            is_announced: self.settings.listen.iter().any(|listen| listen.send_proxy),
            every: ms(health.every_ms.get()),
            within: ms(health.timeout_ms.get()),
            rise: health.rise.get(),
            fall: health.fall.get(),
        }
    }

    /// What the proxy is told.
    pub(crate) fn proxy(&self) -> presently_proxy::Settings {
        let settings = &self.settings;
        presently_proxy::Settings {
            listeners: settings.listen.iter().map(listener).collect(),
            trusted: settings.trusted.iter().map(|one| one.0).collect(),
            forwarding: match settings.forwarding {
                Forwarding::Own => presently_proxy::Forwarding::Own,
                Forwarding::Untouched => presently_proxy::Forwarding::Untouched,
            },
            limits: Limits {
                // The machine answers in time; this is for a loop that stands still.
                verdict: ms(settings.timeouts.admit_ms) + VERDICT_LATER,
                answer: secs(settings.timeouts.answer_secs),
                drain: secs(settings.timeouts.stop_secs),
                per_source: count(settings.limits.connections_per_address),
                ..Limits::default()
            },
        }
    }
}

fn listener(table: &ListenTable) -> Listener {
    let word = table.first_word.clone();
    Listener {
        address: table.address.0,
        carries: match table.kind {
            ListenKind::Http => Carries::Http,
            ListenKind::Tcp => Carries::Tcp {
                first_word: word.map(String::into_boxed_str),
            },
        },
        arrives_with: match table.proxy_protocol {
            ProxyProtocol::Absent => ProxyHeader::Absent,
            ProxyProtocol::Optional => ProxyHeader::Optional,
            ProxyProtocol::Required => ProxyHeader::Required,
        },
        is_announced: table.send_proxy,
    }
}

/// The application servers, for the machine.
pub(crate) fn servers(tables: &[ServerTable]) -> Vec<Server> {
    let servers = tables.iter().map(|table| Server {
        name: table.name.as_str().into(),
        address: table.address.0,
        slots: table.slots.map(std::num::NonZeroU32::get),
        weight: table.weight,
    });
    servers.collect()
}

/// The application servers, for the probes: those that drain, too, until they are empty.
pub(crate) fn probed(servers: &Servers) -> Vec<Probed> {
    let probed = servers.iter().map(|standing| Probed {
        server: ServerName::clone(&standing.server.name),
        address: standing.server.address,
    });
    probed.collect()
}

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn secs(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const VERDICT_LATER: Duration = Duration::from_secs(5);
