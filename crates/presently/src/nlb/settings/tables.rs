//! The tables of the file with numbers in them. What the machine also has is defaulted as there.

use std::num::{NonZeroU8, NonZeroU32, NonZeroU64};
use std::time::Duration;

use presently_nlb::Signs;
use presently_proxy::{Limits, ProbeSettings};
use serde::Deserialize;

/// `[health]`: how the application servers are probed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HealthTable {
    /// What is asked for by GET; 2xx and 3xx are good. Absent: taking a connection is enough.
    pub path: Option<String>,
    /// Of which host it is asked for.
    pub host: String,
    /// Between two probes of one server.
    pub every_ms: NonZeroU64,
    /// How long an answer may take.
    pub timeout_ms: NonZeroU64,
    /// After so many good probes in a row a server is up.
    pub rise: NonZeroU32,
    /// After so many failed ones it is down.
    pub fall: NonZeroU32,
}

impl Default for HealthTable {
    fn default() -> Self {
        // Their reasons stand beside them in the proxy.
        let probes = ProbeSettings::default();
        Self {
            path: None,
            // Servers that tell hosts apart are told one.
            host: "localhost".to_owned(),
            every_ms: NonZeroU64::new(ms(probes.every)).unwrap_or(NonZeroU64::MIN),
            timeout_ms: NonZeroU64::new(ms(probes.within)).unwrap_or(NonZeroU64::MIN),
            rise: NonZeroU32::new(probes.rise).unwrap_or(NonZeroU32::MIN),
            fall: NonZeroU32::new(probes.fall).unwrap_or(NonZeroU32::MIN),
        }
    }
}

/// `[decision]`: how presence is judged.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionTable {
    /// A user whose bytes moved so shortly before a notification was sent was using.
    pub using_ms: u64,
    /// How long a user who was not using may come back before the slot is freed.
    pub grace_ms: u64,
    /// Which bytes show that a user is there.
    pub signs: SignsOf,
}

/// Which bytes show that a user is there.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum SignsOf {
    /// Those that the user's connection takes, too.
    Either,
    /// Only those that come from the user: for application servers that ping, whose bytes a kernel
    /// takes for a program that is dead.
    User,
}

/// `[resume]`: how a user who was using is called back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ResumeTable {
    /// How often the message with the UUID is sent.
    pub tries: NonZeroU8,
    /// Between two tries.
    pub every_ms: u64,
    /// After this nothing is tried any more.
    pub within_ms: u64,
    /// Where the user's client resumes, told in the message's body.
    pub url: Option<String>,
}

/// `[guard]`: when a wave of users leaving is taken for a fault of the presence server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GuardTable {
    /// More hundredths of the followed users than this (100 turns the guard off)…
    pub share_percent: u8,
    /// … but at least so many …
    pub at_least: u32,
    /// … leave within this time: nobody is released for it …
    pub within_secs: u32,
    /// … for so long.
    pub hold_secs: u32,
}

/// `[timeouts]`: what holds without presence.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsTable {
    /// How long a request waits for a slot, and for the presence server to take its announcement.
    pub admit_ms: u64,
    /// A path on which nothing moves ends after this.
    pub path_idle_secs: u32,
    /// The same while presence says that the user is there.
    pub path_idle_open_secs: u32,
    /// A session without a path ends after this.
    pub session_idle_secs: u32,
    /// An application server must have begun its answer by then.
    pub answer_secs: u32,
    /// What is still busy so long after SIGTERM is cut.
    pub stop_secs: u32,
}

/// `[refresh]`: how long the presence server is asked to keep things, and how often it is asked
/// whether it is there.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RefreshTable {
    /// Registrations and announcements.
    pub register_secs: u32,
    /// Feeds; a record in the store counts for twice as long.
    pub subscribe_secs: u32,
    /// Between two questions whether it is there; two misses say that it is not.
    pub probe_ms: u64,
    /// Sessions that are taken up again in a second, after a restart or an outage.
    pub sessions_per_sec: u32,
}

/// `[limits]`: what is held at the most; beyond it requests are refused with 503.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsTable {
    /// Users with a session.
    pub sessions: u32,
    /// Open connections of one user.
    pub paths_per_session: u32,
    /// Connections of one user that wait for access.
    pub waiting_per_session: u32,
    /// Users that wait for a slot; 0 refuses at once.
    pub queue: u32,
    /// Open connections that name no user.
    pub anonymous: u32,
    /// Open connections of one address that is not trusted; of IPv6 of one network of 64 bits.
    pub connections_per_address: u32,
}

impl Default for DecisionTable {
    fn default() -> Self {
        let machine = machine();
        Self {
            using_ms: ms(machine.using_window),
            grace_ms: ms(machine.grace),
            signs: match machine.signs {
                Signs::Either => SignsOf::Either,
                Signs::FromUser => SignsOf::User,
            },
        }
    }
}

impl Default for ResumeTable {
    fn default() -> Self {
        let machine = machine();
        Self {
            tries: NonZeroU8::new(machine.tries).unwrap_or(NonZeroU8::MIN),
            every_ms: ms(machine.try_every),
            within_ms: ms(machine.try_within),
            url: machine.resume_url,
        }
    }
}

impl Default for GuardTable {
    fn default() -> Self {
        let guard = machine().guard;
        Self {
            share_percent: guard.share_percent,
            at_least: count(guard.at_least),
            within_secs: secs(guard.within),
            hold_secs: secs(guard.hold),
        }
    }
}

impl Default for TimeoutsTable {
    fn default() -> Self {
        let (machine, proxy) = (machine(), Limits::default());
        Self {
            admit_ms: ms(machine.admit_within),
            path_idle_secs: secs(machine.path_idle),
            path_idle_open_secs: secs(machine.path_idle_open),
            session_idle_secs: secs(machine.idle),
            answer_secs: secs(proxy.answer),
            stop_secs: secs(proxy.drain),
        }
    }
}

impl Default for RefreshTable {
    fn default() -> Self {
        let machine = machine();
        Self {
            register_secs: machine.register_secs,
            subscribe_secs: machine.subscribe_secs,
            probe_ms: ms(machine.probe_every),
            sessions_per_sec: machine.resume_per_sec,
        }
    }
}

impl Default for LimitsTable {
    fn default() -> Self {
        let machine = machine();
        Self {
            sessions: count(machine.sessions_max),
            paths_per_session: count(machine.paths_max),
            waiting_per_session: count(machine.waiting_max),
            queue: count(machine.queue_max),
            anonymous: count(machine.anonymous_max),
            connections_per_address: count(Limits::default().per_source),
        }
    }
}

/// Its defaults are those of the file, and their reasons stand there.
fn machine() -> presently_nlb::Config {
    presently_nlb::Config::default()
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn secs(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
