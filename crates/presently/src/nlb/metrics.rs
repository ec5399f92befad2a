//! Every metric of an nlb, by name, read from one [`Snapshot`].

use std::fmt;
use std::sync::Arc;

use presently_nlb::Counters;
use presently_store::sqlite::LockCounters;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::ServerRow;
use crate::metrics::{Metric, STORE_LOCK, TRANSPORT, text_of, write_all};

/// What an nlb had counted at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The machine.
    pub nlb: Counters,
    /// The application servers.
    pub servers: Vec<ServerRow>,
    /// The loop.
    pub host: HostCounters,
    /// The proxy.
    pub proxy: presently_proxy::Counters,
    /// The SIP socket.
    pub transport: presently_transport::Counters,
    /// Who kept the lock of the store's file.
    pub store_lock: Arc<LockCounters>,
    /// Whether the presence server answers.
    pub is_reachable: bool,
    /// Whether users are given access: the presence server answers, or is not waited for.
    pub is_ready: bool,
}

/// What the loop has counted since the start.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HostCounters {
    /// Turns.
    pub turns: u64,
    /// Operations given to the store.
    pub operations: u64,
    /// Connections of raw TCP whose user the store was asked for.
    pub bound_asked: u64,
    /// SIP messages from hosts that are not the presence server's.
    pub strangers: u64,
}

impl Snapshot {
    /// The metrics in the text format of Prometheus.
    #[must_use]
    pub fn encode(self) -> String {
        text_of(self)
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        write_all(&mut encoder, NLB, &self.nlb)?;
        write_all(&mut encoder, HOST, &self.host)?;
        write_all(&mut encoder, PROXY, &self.proxy)?;
        write_all(&mut encoder, TRANSPORT, &self.transport)?;
        write_all(&mut encoder, STORE_LOCK, &self.store_lock)?;
        for (name, help, read) in NOW {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            gauge(read(self)).encode(encoder)?;
        }
        for (name, help, read) in OF_SERVER {
            let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for server in &self.servers {
                let label = [("server", server.server.as_str())];
                gauge(read(server)).encode(encoder.encode_family(&label)?)?;
            }
        }
        Ok(())
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

#[rustfmt::skip]
const NLB: &[Metric<Counters>] = &[
    ("nlb_slots_released_early", "Slots released because presence said that the user left", |it| it.released_by_presence + it.released_not_resumed),
    ("nlb_slots_released_by_presence", "Of those, of users who were not using anything", |it| it.released_by_presence),
    ("nlb_slots_released_not_resumed", "Of those, of users who were asked to come back and did not", |it| it.released_not_resumed),
    ("nlb_slots_released_by_timeout", "Slots released by an ordinary time-out", |it| it.released_by_timeout),
    ("nlb_slots_saved_seconds", "What releases by presence saved against the ordinary time-outs", |it| it.saved_secs),
    ("nlb_releases_wrong", "Users who came back within seconds of a release by presence", |it| it.wrong_releases),
    ("nlb_devices_released", "Devices of several whose connections were cut", |it| it.devices_released),
    ("nlb_sessions_begun", "Sessions begun", |it| it.begun),
    ("nlb_sessions_restored", "Sessions taken up from their records", |it| it.restored),
    ("nlb_sessions_moved", "Sessions moved because their application server went down", |it| it.moved),
    ("nlb_sessions_resumed", "Users who came back after a message", |it| it.resumed),
    ("nlb_sessions_resumed_with_uuid", "Of those, over a connection that brought the UUID of the message", |it| it.resumed_with_uuid),
    ("nlb_paths_admitted", "Connections admitted", |it| it.admitted),
    ("nlb_paths_cut", "Connections cut", |it| it.cut),
    ("nlb_paths_refused_anonymous", "Connections refused that named nobody", |it| it.refused_anonymous),
    ("nlb_paths_refused_full", "Connections refused at a bound", |it| it.refused_full),
    ("nlb_paths_refused_no_server", "Connections refused because no application server was up", |it| it.refused_no_server),
    ("nlb_paths_refused_no_slot", "Connections refused because no slot became free", |it| it.refused_no_slot),
    ("nlb_paths_refused_unannounced", "Connections refused because the presence server did not answer", |it| it.refused_unannounced),
    ("nlb_notifications", "Notifications taken", |it| it.notified),
    ("nlb_notifications_ignored", "Notifications that changed nothing", |it| it.ignored),
    ("nlb_notifications_dismissed", "Closures dismissed by the guard or an outage", |it| it.dismissed),
    ("nlb_messages_sent", "Messages with the UUID sent", |it| it.messages),
    ("nlb_messages_delivered", "Of those, taken for a device", |it| it.messages_delivered),
    ("nlb_guard_alarms", "Times too many users left at once", |it| it.alarms),
    ("nlb_presence_losses", "Times the presence server was lost", |it| it.unreachable),
    ("nlb_store_refusals", "Writes that the store refused; they are tried again", |it| it.store_refused),
    ("nlb_messages_stray", "SIP messages of the presence server for nobody here", |it| it.strays),
];

const HOST: &[Metric<HostCounters>] = &[
    ("nlb_turns", "Turns of the loop", |it| it.turns),
    ("nlb_operations", "Operations given to the store", |it| {
        it.operations
    }),
    (
        "nlb_addresses_looked_up",
        "Connections of raw TCP whose user the store was asked for",
        |it| it.bound_asked,
    ),
    (
        "nlb_messages_strange",
        "SIP messages from hosts that are not the presence server's",
        |it| it.strangers,
    ),
];

#[rustfmt::skip]
const PROXY: &[Metric<presently_proxy::Counters>] = &[
    ("proxy_connections_accepted", "Connections of clients taken", |it| it.accepted),
    ("proxy_connections_closed", "Connections of clients that are over", |it| it.closed),
    ("proxy_connections_failed", "Connections of clients that could not be taken", |it| it.accept_failed),
    ("proxy_connections_crowded", "Connections closed at once, their address having too many", |it| it.crowded),
    ("proxy_requests", "Requests read", |it| it.requests),
    ("proxy_requests_refused", "Requests and connections refused", |it| it.refused),
    ("proxy_requests_failed", "Requests and connections whose application server did not answer", |it| it.failed),
    ("proxy_requests_retried", "Requests sent a second time", |it| it.retried),
    ("proxy_tunnels_opened", "Upgrades and connections of raw TCP carried", |it| it.tunnels),
    ("proxy_upstreams_opened", "Connections to application servers opened", |it| it.upstreams),
];

#[rustfmt::skip]
const NOW: &[Metric<Snapshot>] = &[
    ("nlb_sessions", "Sessions", |it| it.nlb.sessions),
    ("nlb_sessions_queued", "Sessions that wait for a slot", |it| it.nlb.queued),
    ("nlb_sessions_leaving", "Sessions that say good-bye to the presence server", |it| it.nlb.leaving),
    ("nlb_users_followed", "Users whose feed has spoken", |it| it.nlb.followed),
    ("nlb_paths", "Connections, waiting ones included", |it| it.nlb.paths),
    ("nlb_presence_reachable", "1 while the presence server answers", |it| u64::from(it.is_reachable)),
    ("nlb_ready", "1 while users are given access", |it| u64::from(it.is_ready)),
];

#[rustfmt::skip]
const OF_SERVER: &[Metric<ServerRow>] = &[
    ("nlb_server_sessions", "Live sessions of an application server", |it| it.sessions),
    ("nlb_server_up", "1 while it answers its health checks", |it| u64::from(it.state != "down")),
];
