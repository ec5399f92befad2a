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
use crate::output;

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
    let mut lines = vec![format!(
        "presently {} nlb {name}",
        env!("CARGO_PKG_VERSION")
    )];
    lines.extend(places(nlb.addresses()));
    lines.push(format!("  presence {presence}"));
    lines.push(format!("  servers  {servers}"));
    lines.push(format!("  store    {store}"));
    // Whoever started it may not read: it serves all the same.
    let _ = output::line(lines.join("\n"));
    let reload = Reload {
        file,
        level,
        present: settings,
        filter,
    };
    tokio::spawn(reload.run(hangup, nlb.control()));
    Ok(nlb.run(stopped).await?)
}

fn places(addresses: &Addresses) -> Vec<String> {
    let clients = addresses.listen.iter();
    let mut lines: Vec<_> = clients
        .map(|address| format!("  clients  {address}"))
        .collect();
    let (protocol, sip) = addresses.sip;
    lines.push(format!("  sip      {protocol} {sip}"));
    lines.push(match addresses.admin {
        Some(admin) => format!("  admin    http://{admin}/metrics"),
        None => "  admin    off (admin = \"HOST:PORT\")".to_owned(),
    });
    lines
}
