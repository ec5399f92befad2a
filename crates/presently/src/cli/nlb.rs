//! What `presently nlb` and `presently nlb status` are told.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use presently::config::{LogLevel, host_port};

use super::NLB_HELP;

/// What `nlb` is told.
#[derive(Args, Debug)]
#[command(
    after_help = NLB_HELP,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Nlb {
    #[command(subcommand)]
    pub(crate) command: Option<NlbCommand>,
    /// Reads settings from a TOML file
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) config: Option<PathBuf>,
    /// Logs more: `-v` shows each step of each session, `-vv` is debug
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Nlb {
    /// The level that the flags ask for.
    pub(crate) fn level(&self) -> Option<LogLevel> {
        match self.verbose {
            0 => None,
            1 => Some(LogLevel::Info),
            2 => Some(LogLevel::Debug),
            _ => Some(LogLevel::Trace),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum NlbCommand {
    /// Shows the sessions of a running nlb: user, UUID, server, state, since, bytes, why
    Status(NlbStatus),
}

/// What `nlb status` is told.
#[derive(Args, Debug)]
pub(crate) struct NlbStatus {
    /// The admin port of the running nlb [default: 127.0.0.1:9091]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "config", value_parser = host_port)]
    pub(crate) admin: Option<SocketAddr>,
    /// Takes the admin port from this configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
