//! The nlb as a program: its configuration file, its loop, its admin port.

mod admin;
mod bound;
mod config;
mod control;
mod driver;
mod error;
mod line;
mod metrics;
mod name;
mod reload;
mod running;
mod sessions;
mod settings;
mod start;
mod steps;

pub use self::config::Config;
pub use self::control::Control;
pub use self::driver::{Addresses, Nlb, RunError};
pub use self::error::ConfigError;
pub use self::metrics::{HostCounters, Snapshot};
pub use self::name::NameLost;
pub use self::running::{Running, start};
pub use self::sessions::{ServerRow, SessionList, SessionRow};
pub use self::settings::{
    Address, Anonymous, AtStop, DecisionTable, Forwarding, GuardTable, HealthTable, InvalidAddress,
    JwtAlgorithm, JwtSource, JwtWhere, LimitsTable, ListenKind, ListenTable, PresenceAddress,
    ProxyProtocol, RefreshTable, ResumeTable, ServerTable, Settings, SignsOf, Source,
    TimeoutsTable, Trusted, WhenUnreachable,
};
pub use self::start::StartError;
pub use self::steps::StepRow;
