//! Why a configuration is refused, in one line that says what to do.

use std::net::SocketAddr;

use super::Role;

/// Settings that do not fit together.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Whoever finds the port could use any domain.
    #[error("{listen} can be reached from outside, so the domains must be named (--domain NAME)")]
    AnyDomain {
        /// The listener.
        listen: String,
    },
    /// No address of record can be of it.
    #[error("--domain {domain:?}: a domain is the part behind the @, as in example.com")]
    Domain {
        /// What was written.
        domain: String,
    },
    /// The bounds are not in order.
    #[error(
        "expires: 1 <= min_secs <= default_secs <= max_secs and jitter_percent <= 50 must hold"
    )]
    Expires,
    /// The bound is out of range.
    #[error("flows: silence_secs and ask_secs must be 0, or 6 to 7200")]
    Flows,
    /// A bound of 0 would refuse everything.
    #[error("limits: each must be 1 to 65535")]
    Limits,
    /// Too many listeners.
    #[error("at most {most} --listen")]
    Listeners {
        /// The bound.
        most: usize,
    },
    /// The flag says nothing in this role.
    #[error("--{flag} has no meaning with --role {role}")]
    Misplaced {
        /// The flag.
        flag: &'static str,
        /// The role.
        role: Role,
    },
    /// The name cannot stand in a Via.
    #[error("--name {name}: a name is 1 to 63 letters, digits and inner hyphens")]
    Name {
        /// The name.
        name: String,
    },
    /// A process of one role has no name to go by.
    #[error("--role {role} needs a --name that no other member of the pool has")]
    Nameless {
        /// The role.
        role: Role,
    },
    /// Nobody is asked for a password yet.
    #[error(
        "{listen} can be reached from outside, and nobody is asked for a password: \
         say --auth off if that is meant"
    )]
    Open {
        /// The listener.
        listen: String,
    },
    /// Too few or too many servers.
    #[error("--servers must be 1 to {most}")]
    Servers {
        /// The bound.
        most: u16,
    },
    /// Other members could not reach it.
    #[error("--{flag} {address}: other members are told this address, so it cannot be a wildcard")]
    Unreachable {
        /// The flag.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// A server of no weight would never get a client.
    #[error("--weight must be 1 or more")]
    Weight,
    /// Phones could not be told where to answer.
    #[error(
        "{listen} listens on every address: say which one phones are told, \
         as in {listen},advertise=192.0.2.1"
    )]
    Wildcard {
        /// The listener.
        listen: String,
    },
}
