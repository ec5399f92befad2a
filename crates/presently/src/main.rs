//! The program `presently`: a SIP/SIMPLE presence pool, and tools to look at one and to try it.

#![warn(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "these panic when nobody reads: `output` does not"
)]

mod cli;
mod command;
mod log;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::output::Untold;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::tell(&error),
    };
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if matches!(error.downcast_ref(), Some(Untold::Gone)) => ExitCode::SUCCESS,
        Err(error) => {
            output::aside(format_args!("presently: {}", log::chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}
