//! What the nlb is told about itself.

use std::time::Duration;

use presently_sip::{Aor, Protocol};

use crate::GuardLimits;

/// How the nlb behaves. [`Config::default`] is what a small installation wants; each value has its
/// reason beside it there.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its own address of record; the user part is the nlb's name, and the handles' prefix.
    pub aor: Aor,
    /// What carries SIP to the presence server.
    pub protocol: Protocol,
    /// Host and port of its SIP socket, for Via and Contact.
    pub sent_by: String,
    /// How long registrations and announcements are asked for.
    pub register_secs: u32,
    /// How long feeds are asked for.
    pub subscribe_secs: u32,
    /// How long a record counts without being renewed.
    pub lease: Duration,
    /// How long a path waits for a slot and the steps before access.
    pub admit_within: Duration,
    /// What happens to users while the presence server cannot be reached.
    pub when_unreachable: WhenUnreachable,
    /// What happens to paths that name no user.
    pub anonymous: Anonymous,
    /// Which bytes show that a user is there.
    pub signs: Signs,
    /// How long after its last byte a path still counts as used.
    pub using_window: Duration,
    /// How long an offline user is waited for before the release.
    pub grace: Duration,
    /// How often a user is asked to come back.
    pub tries: u8,
    /// The time between two tries.
    pub try_every: Duration,
    /// How long coming back may take in all.
    pub try_within: Duration,
    /// Where a user's program finds its way back; sent with the UUID.
    pub resume_url: Option<String>,
    /// When closures are too many to be true.
    pub guard: GuardLimits,
    /// How long a session without a path is kept.
    pub idle: Duration,
    /// How long a path on which nothing moves is kept.
    pub path_idle: Duration,
    /// The same while presence says that the user is there.
    pub path_idle_open: Duration,
    /// How often the presence server is asked whether it is there; two misses say that it is not.
    pub probe_every: Duration,
    /// How many sessions are taken up again in a second, after a restart or an outage.
    pub resume_per_sec: u32,
    /// The most sessions.
    pub sessions_max: usize,
    /// The most paths of one session.
    pub paths_max: usize,
    /// The most paths of one session that wait.
    pub waiting_max: usize,
    /// The most sessions that wait for a slot.
    pub queue_max: usize,
    /// The most paths without a user.
    pub anonymous_max: usize,
}

/// What happens to users while the presence server cannot be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenUnreachable {
    /// New ones are refused.
    Refuse,
    /// They are served under ordinary time-outs, and announced once it is there again.
    Serve,
}

/// What happens to paths that name no user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Anonymous {
    /// They are served under ordinary time-outs.
    Admit,
    /// They are refused.
    Refuse,
}

/// Which bytes show that a user is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signs {
    /// Either direction: a connection that takes bytes counts as its user.
    Either,
    /// Only what comes from the user: for application servers that ping, whose bytes a kernel takes
    /// for a program that is dead.
    FromUser,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            aor: Aor::parse("sip:nlb@localhost").expect("a literal address is one"),
            protocol: Protocol::Udp,
            sent_by: "127.0.0.1:5062".to_owned(),
            // What the presence servers we know grant without asking for less.
            register_secs: 3600,
            subscribe_secs: 1800,
            // Twice what a feed is asked for: one refresh may fail.
            lease: Duration::from_hours(1),
            // Below what people and health checks wait for a page.
            admit_within: Duration::from_secs(10),
            when_unreachable: WhenUnreachable::Refuse,
            anonymous: Anonymous::Refuse,
            signs: Signs::Either,
            // Longer than a person's pause between two clicks is too long to tell anything.
            using_window: Duration::from_secs(5),
            // A phone that changes its flow is back sooner; the release is still below a second.
            grace: Duration::from_millis(500),
            tries: 3,
            try_every: Duration::from_secs(2),
            try_within: Duration::from_secs(10),
            resume_url: None,
            guard: GuardLimits::default(),
            idle: Duration::from_mins(30),
            path_idle: Duration::from_hours(1),
            // Who is online may be silent; a day bounds what a phone left behind can hold.
            path_idle_open: Duration::from_hours(24),
            probe_every: Duration::from_secs(5),
            // A tenth of what one presence server takes.
            resume_per_sec: 1_000,
            sessions_max: 1_000_000,
            paths_max: 64,
            waiting_max: 64,
            queue_max: 1_000,
            anonymous_max: 10_000,
        }
    }
}
