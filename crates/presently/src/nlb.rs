//! The nlb as a program: its configuration file, its loop, its admin port.

mod config;
mod error;
mod settings;

pub use self::config::Config;
pub use self::error::ConfigError;
pub use self::settings::{
    Address, Anonymous, AtStop, DecisionTable, Forwarding, GuardTable, HealthTable, InvalidAddress,
    JwtAlgorithm, JwtSource, JwtWhere, LimitsTable, ListenKind, ListenTable, PresenceAddress,
    ProxyProtocol, RefreshTable, ResumeTable, ServerTable, Settings, SignsOf, Source,
    TimeoutsTable, Trusted, WhenUnreachable,
};
