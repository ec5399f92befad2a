//! The tables of the file with numbers in them; each default has its reason beside it.

use std::num::{NonZeroU8, NonZeroU32, NonZeroU64};

use serde::Deserialize;

/// `[health]`: how the application servers are probed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HealthTable {
    /// What is asked for by GET; a status below 400 is good. Absent: connecting is enough.
    pub path: Option<String>,
    /// Between two probes of one server.
    pub every_ms: NonZeroU64,
    /// How long an answer may take.
    pub timeout_ms: NonZeroU64,
    /// After so many good probes a server is up.
    pub rise: NonZeroU8,
    /// After so many failed probes it is down.
    pub fall: NonZeroU8,
}

impl Default for HealthTable {
    fn default() -> Self {
        Self {
            path: None,
            // With three failures a dead server is out after 6 s; two servers cost a probe a
            // second.
            every_ms: const { NonZeroU64::new(2_000).expect("it is not 0") },
            // Below the interval, so that probes of one server do not overlap.
            timeout_ms: const { NonZeroU64::new(1_000).expect("it is not 0") },
            // Once is chance.
            rise: const { NonZeroU8::new(2).expect("it is not 0") },
            fall: const { NonZeroU8::new(3).expect("it is not 0") },
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
}

impl Default for DecisionTable {
    fn default() -> Self {
        Self {
            // A page that polls, or a person who reads and clicks, moves bytes within this.
            using_ms: 10_000,
            // A phone that registers anew over another network is back within this; together with
            // the notification it stays below a second.
            grace_ms: 500,
        }
    }
}

/// `[resume]`: how a user who was using is called back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ResumeTable {
    /// How often the message with the UUID is sent.
    pub tries: NonZeroU32,
    /// Between two tries.
    pub every_ms: u64,
    /// After this nothing is tried any more.
    pub within_secs: u32,
    /// Where the user's client resumes, told in the message's body.
    pub url: Option<String>,
}

impl Default for ResumeTable {
    fn default() -> Self {
        Self {
            // One may be lost with the network it was sent into, one more with the next.
            tries: const { NonZeroU32::new(3).expect("it is not 0") },
            every_ms: 5_000,
            // Longer than it takes a phone to come back after a change of networks.
            within_secs: 30,
            url: None,
        }
    }
}

/// `[guard]`: when a wave of users leaving is taken for a fault of the presence server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GuardTable {
    /// More hundredths of the followed users than this…
    pub share_percent: u8,
    /// … but at least so many …
    pub at_least: u32,
    /// … leave within this time: nobody is released for it …
    pub within_secs: u32,
    /// … for so long.
    pub hold_secs: u32,
}

impl Default for GuardTable {
    fn default() -> Self {
        Self {
            // A presence server that fails takes nearly all of its users along; half of them do
            // not leave together, not even at the end of a shift.
            share_percent: 30,
            // A few users may well leave together.
            at_least: 10,
            // Longer than a server needs to tell everybody.
            within_secs: 10,
            // Phones that register afresh do so within a few minutes.
            hold_secs: 300,
        }
    }
}

/// `[timeouts]`: what holds without presence.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsTable {
    /// How long a request waits for the presence server to take its announcement.
    pub admit_ms: u64,
    /// A path on which nothing moves ends after this.
    pub path_idle_secs: u32,
    /// A session without a path ends after this.
    pub session_idle_secs: u32,
}

impl Default for TimeoutsTable {
    fn default() -> Self {
        Self {
            // Above the first repetitions of a lost datagram (0.5, 1.5 and 3.5 s).
            admit_ms: 5_000,
            // As other balancers have it for tunnels.
            path_idle_secs: 3_600,
            // A lunch break.
            session_idle_secs: 1_800,
        }
    }
}

/// `[queue]`: who waits for a slot.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct QueueTable {
    /// How many users may wait; 0 refuses at once.
    pub max: u32,
    /// How long each.
    pub wait_ms: u64,
}

impl Default for QueueTable {
    fn default() -> Self {
        Self {
            // More would wait in vain: a slot becomes free now and then, not by the thousand.
            max: 1_000,
            // Browsers and people give up later than that.
            wait_ms: 10_000,
        }
    }
}

/// `[limits]`: what is held at the most; beyond it requests are refused with 503.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsTable {
    /// Users with a session.
    pub sessions: u32,
    /// Open connections of one user.
    pub paths_per_session: u32,
}

impl Default for LimitsTable {
    fn default() -> Self {
        Self {
            // A session costs a few kilobytes here, and three registrations' worth of state at the
            // presence server.
            sessions: 200_000,
            // A browser opens six, some applications a few more.
            paths_per_session: 64,
        }
    }
}
