//! What an operator may set about a server.

use std::sync::Arc;
use std::time::Duration;

use presently_store::RequestKey;

use crate::package::Packages;

/// What a server must know and nobody may see.
#[derive(Clone, Copy)]
pub struct Secrets {
    /// The pool's key: tags, tokens and request keys are made with it, the same on every server.
    pub pool: [u8; 16],
    /// Fresh random bytes for this life: entity-tags and branches come from them.
    pub seed: [u8; 16],
}

/// Shows nothing of itself.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// Settings of one server; each default has its reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The server's name in its Via: never its address.
    pub name: Arc<str>,
    /// Ports of the pool's listeners: dropped from an address of record.
    pub own_ports: Arc<[u16]>,
    /// The event packages served.
    pub packages: Arc<Packages>,
    /// The seconds granted to REGISTER, SUBSCRIBE and PUBLISH.
    pub expires: Expires,
    /// Bindings a client may have. A user has a handful of devices; 16 leaves room.
    pub bindings_max: usize,
    /// Publications a resource may have.
    pub publications_max: usize,
    /// Subscriptions a client may have: the largest buddy lists and attendant consoles stay below.
    pub subscriptions_max: usize,
    /// Requests of one client that wait for the one before.
    pub queue_max: usize,
    /// Bytes of all requests that wait, and of those being written; what comes above them is
    /// refused. 64 MiB hold some 20,000: what a busy server is asked while the store is gone for
    /// 20 s.
    pub held_bytes_max: usize,
    /// How long a request waits for the store before it is refused: below the phone's own 32 s.
    pub hold: Duration,
    /// How many clients a second are activated after a start or a takeover, those aside that ask
    /// for something: the pace at which their watchers are told what they may have missed.
    pub activations_per_sec: u32,
    /// How often the store is swept for what a wake should have said.
    pub sweep_every: Duration,
    /// Least time between two NOTIFYs of a subscription; 0 sends every change at once (a departure
    /// from RFC 3856 §6.10, because a lamp that lags five seconds is taken for broken).
    pub notify_min_interval: Duration,
    /// How long a phone whose connection is gone, or that does not answer when it is asked, counts
    /// as there; 0 waits until its binding expires.
    pub flow_grace: Duration,
    /// A phone of which nothing was heard for so long is asked whether it is there; 0 asks none.
    pub ask_after: Duration,
}

impl Config {
    /// The defaults for a server called `name`.
    #[must_use]
    pub fn new(name: &str, packages: Arc<Packages>) -> Self {
        Self {
            name: name.into(),
            own_ports: Arc::new([5060]),
            packages,
            expires: Expires::default(),
            bindings_max: 16,
            publications_max: 32,
            subscriptions_max: 2_000,
            queue_max: 64,
            held_bytes_max: 64 << 20,
            hold: Duration::from_secs(20),
            activations_per_sec: 4_000,
            sweep_every: Duration::from_secs(10),
            notify_min_interval: Duration::ZERO,
            // Longer than a phone needs to change from one network to another.
            flow_grace: Duration::from_secs(30),
            // One that is out of reach for longer than its grace is closed until it answers again:
            // that is for an operator to choose.
            ask_after: Duration::ZERO,
        }
    }

    /// Whether phones that say nothing are asked.
    pub(crate) fn asks(&self) -> bool {
        !self.ask_after.is_zero() && !self.flow_grace.is_zero()
    }
}

/// Bounds of what is granted, in seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Expires {
    /// Below it a request is refused with 423 (RFC 3261 §21.4.17). 30 s stops a flood of refreshes
    /// and suits every phone seen.
    pub min_secs: u32,
    /// Granted when nothing was asked (RFC 3856 §6.4).
    pub default_secs: u32,
    /// Granted at the most: an hour bounds how long a vanished phone is believed.
    pub max_secs: u32,
    /// By how many hundredths the first grant of a binding, publication or subscription may be
    /// shortened, so that phones that came together (after a power cut) do not refresh together
    /// for ever. 0 shortens none; later grants are as asked.
    pub jitter_percent: u8,
}

impl Default for Expires {
    fn default() -> Self {
        Self {
            min_secs: 30,
            default_secs: 3_600,
            max_secs: 3_600,
            jitter_percent: 0,
        }
    }
}

impl Expires {
    /// What is granted to a request that asks for `asked` seconds; 0 stays 0.
    ///
    /// # Errors
    ///
    /// The least that would be granted, when less was asked: 423 with Min-Expires. The RFC lets
    /// only intervals below an hour be refused (RFC 3261 §10.3 step 7, RFC 6665 §4.2.1.1).
    pub fn grant(&self, asked: Option<u32>) -> Result<u32, u32> {
        match asked {
            None => Ok(self.default_secs.min(self.max_secs)),
            Some(0) => Ok(0),
            Some(secs) if secs < self.min_secs && secs < HOUR_SECS => Err(self.min_secs),
            Some(secs) => Ok(secs.min(self.max_secs)),
        }
    }

    /// The first grant of something that was granted `secs`: shortened by a share that the request
    /// decides, so that a repeat is told the same, and never below the least.
    #[must_use]
    pub fn first_grant(&self, secs: u32, request: &RequestKey) -> u32 {
        let share = u64::from(secs) * u64::from(self.jitter_percent.min(100)) / 100;
        let spread = share.min(secs.saturating_sub(self.min_secs).into());
        let [a, b, c, d, ..] = request.0;
        let drawn = u64::from(u32::from_be_bytes([a, b, c, d])) % (spread + 1);
        secs - u32::try_from(drawn).unwrap_or_default()
    }
}

const HOUR_SECS: u32 = 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_grants_are_spread_and_a_repeat_is_told_the_same() {
        let expires = Expires {
            jitter_percent: 10,
            ..Expires::default()
        };
        let key = |n: u8| RequestKey([n.wrapping_mul(37); 16]);
        let grants: Vec<u32> = (0..100)
            .map(|n| expires.first_grant(3_600, &key(n)))
            .collect();
        assert!(grants.iter().all(|secs| (3_240..=3_600).contains(secs)));
        let mut different = grants.clone();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() > 90, "{} values", different.len());
        assert_eq!(grants[7], expires.first_grant(3_600, &key(7)));
        for secs in [0, 1, 30, 31] {
            assert!(expires.first_grant(secs, &key(9)) >= secs.min(30));
        }
        assert_eq!(Expires::default().first_grant(3_600, &key(9)), 3_600);
    }

    #[test]
    fn granted_is_never_more_than_asked_nor_less_than_the_floor() {
        let expires = Expires::default();
        let table = [
            (None, Ok(3_600)),
            (Some(0), Ok(0)),
            (Some(1), Err(30)),
            (Some(29), Err(30)),
            (Some(30), Ok(30)),
            (Some(600), Ok(600)),
            (Some(u32::MAX), Ok(3_600)),
        ];
        for (asked, expected) in table {
            assert_eq!(expires.grant(asked), expected, "{asked:?}");
        }
    }
}
