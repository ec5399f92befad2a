//! Every metric of the program, by name: `<crate>_<noun>_<unit>`, read from one [`Snapshot`].

mod flows;
mod spans;
mod tables;

use std::fmt;
use std::sync::Arc;

use presently_pool::{Member, MemberState};
use presently_store::sqlite::LockCounters;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use self::tables::{BALANCER, HOST, LINKS, OOB, POOL, SERVER};
pub(crate) use self::tables::{STORE_LOCK, TRANSPORT};
use crate::LinkCounters;
use crate::host;

/// What a process had counted at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its balancer, if it has one.
    pub balancer: Option<presently_balancer::Counters>,
    /// Bytes of the requests that wait at it.
    pub balancer_held_bytes: usize,
    /// Its servers.
    pub servers: Vec<ServerSnapshot>,
    /// The loop.
    pub host: host::Counters,
    /// Operations given to the store and not finished.
    pub operations_in_flight: usize,
    /// The links to members of other processes.
    pub links: LinkCounters,
    /// Out-of-band datagrams that could not be sent.
    pub oob_datagrams_unsent: u64,
    /// Who kept the lock of the store's file.
    pub store_lock: Arc<LockCounters>,
    /// The SIP sockets.
    pub transport: presently_transport::Counters,
    /// Connections open now.
    pub connections: usize,
    /// The members of the pool, as the last beat read them.
    pub members: Arc<[Member]>,
    /// How often the process was taken for dead and joined anew.
    pub rejoins: u64,
    /// By how many seconds the system's clock was set since the start.
    pub stepped_secs: i64,
    /// Whether the store has confirmed a beat of each member here within 1.5 s.
    pub is_ready: bool,
}

/// What one server had counted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerSnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Clients with an actor in memory.
    pub clients: usize,
    /// Subscriptions held.
    pub subscriptions: usize,
    /// Bytes of the requests that wait.
    pub held_bytes: usize,
    /// The machine.
    pub counters: presently_presence::Counters,
    /// Its out-of-band links.
    pub links: presently_oob::Counters,
}

impl Snapshot {
    /// The metrics in the text format of Prometheus.
    #[must_use]
    pub fn encode(self) -> String {
        text_of(self)
    }
}

/// What `collector` has, in the text format of Prometheus.
pub(crate) fn text_of(collector: impl Collector) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(collector));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .expect("a String takes everything");
    text
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        write_all(&mut encoder, HOST, &self.host)?;
        write_all(&mut encoder, TRANSPORT, &self.transport)?;
        write_all(&mut encoder, LINKS, &self.links)?;
        write_all(&mut encoder, POOL, self)?;
        write_all(&mut encoder, STORE_LOCK, &self.store_lock)?;
        if let Some(balancer) = &self.balancer {
            write_all(&mut encoder, BALANCER, balancer)?;
            write_all(&mut encoder, flows::BALANCER, balancer)?;
        }
        let servers = &self.servers;
        write_family(&mut encoder, SERVER, servers, |server| &server.counters)?;
        write_family(&mut encoder, flows::SERVER, servers, |server| {
            &server.counters
        })?;
        write_family(&mut encoder, OOB, servers, |server| &server.links)?;
        let gauges: [Gauge; 3] = [
            ("presence_clients", "Clients in memory", |server| {
                server.clients
            }),
            ("presence_subscriptions", "Subscriptions held", |server| {
                server.subscriptions
            }),
            (
                "presence_requests_held_bytes",
                "Memory of requests that wait now",
                |server| server.held_bytes,
            ),
        ];
        for (name, help, read) in gauges {
            write_gauges(&mut encoder, name, help, servers, read)?;
        }
        spans::write(&mut encoder, self)?;
        write_gauge(&mut encoder, self)
    }
}

/// One counter: its name, what it counts, and where it stands.
pub(crate) type Metric<T> = (&'static str, &'static str, fn(&T) -> u64);
/// One gauge of each server.
type Gauge = (&'static str, &'static str, fn(&ServerSnapshot) -> usize);

pub(crate) fn write_all<T>(
    encoder: &mut DescriptorEncoder<'_>,
    metrics: &[Metric<T>],
    counters: &T,
) -> Result<(), fmt::Error> {
    for (name, help, read) in metrics {
        let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(read(counters)).encode(encoder)?;
    }
    Ok(())
}

fn write_family<T>(
    encoder: &mut DescriptorEncoder<'_>,
    metrics: &[Metric<T>],
    servers: &[ServerSnapshot],
    counters: fn(&ServerSnapshot) -> &T,
) -> Result<(), fmt::Error> {
    for (name, help, read) in metrics {
        let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for server in servers {
            let counter = ConstCounter::new(read(counters(server)));
            let label = [("server", &*server.name)];
            counter.encode(encoder.encode_family(&label)?)?;
        }
    }
    Ok(())
}

fn write_gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    servers: &[ServerSnapshot],
    read: fn(&ServerSnapshot) -> usize,
) -> Result<(), fmt::Error> {
    let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for server in servers {
        let gauge = ConstGauge::new(i64::try_from(read(server)).unwrap_or(i64::MAX));
        let label = [("server", &*server.name)];
        gauge.encode(encoder.encode_family(&label)?)?;
    }
    Ok(())
}

fn write_gauge(encoder: &mut DescriptorEncoder<'_>, now: &Snapshot) -> Result<(), fmt::Error> {
    let connections = i64::try_from(now.connections).unwrap_or(i64::MAX);
    let present = now.members.iter();
    let present = present.filter(|member| member.state != MemberState::Left);
    let members = i64::try_from(present.count()).unwrap_or(i64::MAX);
    let gauges = [
        (
            "balancer_requests_held_bytes",
            "Memory of requests that wait now for an assignment",
            i64::try_from(now.balancer_held_bytes).unwrap_or(i64::MAX),
        ),
        ("transport_connections", "Connections open", connections),
        ("pool_members", "Members that have not left", members),
        (
            "host_clock_stepped_seconds",
            "By how much the system's clock was set since the start",
            now.stepped_secs,
        ),
        (
            "host_operations_in_flight",
            "Operations the store has not finished",
            i64::try_from(now.operations_in_flight).unwrap_or(i64::MAX),
        ),
        (
            "pool_ready",
            "1 while the store confirms our beats",
            i64::from(now.is_ready),
        ),
    ];
    for (name, help, value) in gauges {
        let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)?;
    }
    Ok(())
}
