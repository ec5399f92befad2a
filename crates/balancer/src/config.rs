//! What a balancer is told at its start.

use std::net::SocketAddr;
use std::sync::Arc;

use presently_sip::Protocol;

/// A balancer's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose addresses of record the pool serves.
    pub domains: Domains,
    /// The listeners, in the order that [`presently_sip::Flow::listener`] counts.
    pub listeners: Vec<Listener>,
    /// The value of Allow-Events: every event package of the pool (RFC 6665 §8.2.2).
    pub allow_events: Arc<str>,
    /// The value of Accept in an answer to OPTIONS (RFC 3261 §11.2).
    pub accept: Arc<str>,
    /// The option tags the pool's servers know, comma-joined (RFC 3261 §20.37).
    pub supported: Arc<str>,
    /// Requests that may wait for an assignment; one more is answered 503.
    pub waiting_max: usize,
    /// The bytes those may hold together; one more is answered 503.
    pub waiting_bytes_max: usize,
    /// Requests of one client that may wait; one more is answered 503.
    pub waiting_per_client_max: usize,
    /// Assignments remembered; at the bound the oldest goes, and is asked for again when needed.
    pub cache_max: usize,
    /// Requests over streams, or to a server in doubt, remembered until they are answered; at the
    /// bound the oldest is not repeated when its server dies.
    pub unanswered_max: usize,
    /// The bytes those may hold together; one more is not remembered.
    pub unanswered_bytes_max: usize,
    /// Refusals remembered for late copies of what was refused; at the bound the oldest goes.
    pub refusals_max: usize,
    /// The least seconds of Retry-After in a 503 (RFC 3261 §20.33); at most three times that is
    /// told, so that those refused together do not come back together.
    pub retry_after_secs: u32,
}

/// Whose addresses of record the pool serves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Domains {
    /// Every domain that a phone names: for a trial on one machine.
    Any,
    /// These hosts, and the listeners' own addresses.
    Listed(Vec<Box<str>>),
}

/// One SIP socket towards phones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// What it carries.
    pub protocol: Protocol,
    /// The host that phones are told: a name or an address, an IPv6 one with or without brackets.
    pub advertised_host: Box<str>,
    /// The port that phones are told.
    pub advertised_port: u16,
    /// Where the socket is bound.
    pub bound: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // A first trial should answer whatever domain the phone was set up with.
            domains: Domains::Any,
            listeners: Vec::new(),
            allow_events: "presence".into(),
            accept: "application/pidf+xml".into(),
            // The registrar keeps Path (RFC 3327 §5.3).
            supported: "path".into(),
            // A site that logs on at once while the store is away, or 10,000 clients that ask for
            // something while they are taken over: thousands, not millions.
            waiting_max: 16_384,
            // 16,384 requests of 2 KiB.
            waiting_bytes_max: 32 << 20,
            // A phone starts with about five requests; a flood of one client stops here.
            waiting_per_client_max: 32,
            // About 250 bytes each: 50 MB when full.
            cache_max: 200_000,
            // Answers take milliseconds: these are what the clients of a server ask between its
            // death and its takeover.
            unanswered_max: 16_384,
            // 16,384 requests of 2 KiB.
            unanswered_bytes_max: 32 << 20,
            // In a storm some seconds of them, which is as late as a copy comes; 4 MiB.
            refusals_max: 65_536,
            // Longer than a takeover, shorter than a phone's patience.
            retry_after_secs: 5,
        }
    }
}
