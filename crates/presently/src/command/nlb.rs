//! `presently nlb`: users balanced over application servers, by presence.

mod reload;
mod status;

use std::error::Error;
use std::path::PathBuf;

use presently::nlb::{Addresses, Config, Nlb, Settings};

use self::reload::Reload;
use super::signals::Signals;
use super::{in_runtime, limits};
use crate::cli::{self, NlbCommand};
use crate::log;

pub(crate) fn run(args: cli::Nlb) -> Result<(), Box<dyn Error>> {
    let level = args.level();
    match (args.command, args.config) {
        (Some(NlbCommand::Status(args)), _) => in_runtime(status::run(args)),
        (None, Some(file)) => in_runtime(serve(file, level)),
        (None, None) => Err("presently nlb needs --config FILE".into()),
    }
}

async fn serve(
    file: PathBuf,
    level: Option<presently::config::LogLevel>,
) -> Result<(), Box<dyn Error>> {
    let settings = Settings::read(&file)?;
    let present = level.or(settings.log_level).unwrap_or_default();
    let filter = log::install(settings.log.unwrap_or_default(), present);
    let config = Config::new(settings.clone())?;
    let (presence, servers) = (config.presence, settings.server.len());
    let (name, store) = (config.name.clone(), config.store.display().to_string());
    let Signals {
        hangup,
        mut stopped,
    } = Signals::listen()?;
    limits::raise_open_files();
    let nlb = tokio::select! {
        nlb = Nlb::open(config) => nlb?,
        () = &mut stopped => return Ok(()),
    };
    println!("presently {} nlb {name}", env!("CARGO_PKG_VERSION"));
    print_addresses(nlb.addresses());
    println!("  presence {presence}");
    println!("  servers  {servers}");
    println!("  store    {store}");
    let reload = Reload {
        file,
        level,
        present: settings,
        filter,
    };
    tokio::spawn(reload.run(hangup, nlb.control()));
    Ok(nlb.run(stopped).await?)
}

fn print_addresses(addresses: &Addresses) {
    for address in &addresses.listen {
        println!("  clients  {address}");
    }
    let (protocol, sip) = addresses.sip;
    println!("  sip      {protocol} {sip}");
    match addresses.admin {
        Some(admin) => println!("  admin    http://{admin}/metrics"),
        None => println!("  admin    off (admin = \"HOST:PORT\")"),
    }
}
