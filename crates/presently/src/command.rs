//! The commands of the program.

mod backup;
mod drain;
mod limits;
mod nlb;
mod phone;
mod reload;
mod serve;
mod show;
mod signals;
mod status;
mod store;
mod table;
mod trace;

use std::error::Error;

use tokio::runtime::Builder;

use crate::cli::{Cli, Command};

/// Does what the command line asks for.
///
/// # Errors
///
/// Whatever keeps it from being done; the caller prints it in one line.
pub(crate) fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    match cli.command {
        Command::Backup(args) => backup::run(&args),
        Command::Drain(args) => drain::drain(&args),
        Command::Nlb(args) => nlb::run(args),
        Command::Publish(args) => in_runtime(phone::publish(args)),
        Command::Serve(args) => in_runtime(serve::run(*args)),
        Command::Show(args) => show::run(&args),
        Command::Status(args) => status::run(&args.store),
        Command::Trace(args) => in_runtime(trace::run(args)),
        Command::Undrain(args) => drain::undrain(&args),
        Command::Watch(args) => in_runtime(phone::watch(args)),
    }
}

fn in_runtime(
    work: impl Future<Output = Result<(), Box<dyn Error>>>,
) -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}
