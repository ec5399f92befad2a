//! `presently serve`: a pool, or one part of it.

use std::error::Error;

use presently::{Addresses, Config, Pool, Settings};

use super::limits;
use super::reload::Reload;
use super::signals::Signals;
use crate::cli::Serve;
use crate::log;
use crate::output;

pub(crate) async fn run(args: Serve) -> Result<(), Box<dyn Error>> {
    let file = match &args.config {
        Some(path) => Settings::read(path)?,
        None => Settings::default(),
    };
    let settings = args.flags().over(file);
    let level = settings.log_level.unwrap_or_default();
    let filter = log::install(settings.log.unwrap_or_default(), level);
    let config = Config::new(settings.clone())?;
    let store = config.store.display().to_string();
    let domains = config.domains.join(", ");
    let Signals {
        hangup,
        mut stopped,
    } = Signals::listen()?;
    let open_files = limits::raise_open_files();
    let pool = tokio::select! {
        pool = Pool::open_with_admin(config) => pool?,
        () = &mut stopped => return Ok(()),
    };
    let lines = summary(pool.addresses(), &store, &domains, open_files);
    // Whoever started it may not read: it serves all the same.
    let _ = output::line(lines.join("\n"));
    let reload = Reload {
        flags: args.flags(),
        file: args.config,
        present: settings,
        filter,
    };
    tokio::spawn(reload.run(hangup, pool.control()));
    pool.run(stopped).await?;
    Ok(())
}

/// One line for everything that listens; then silence.
fn summary(
    addresses: &Addresses,
    store: &str,
    domains: &str,
    open_files: Option<u64>,
) -> Vec<String> {
    let mut lines = vec![format!("presently {}", env!("CARGO_PKG_VERSION"))];
    for (protocol, address) in &addresses.listen {
        let protocol = protocol.token().to_lowercase();
        lines.push(format!("  phones   {protocol} {address}"));
    }
    if !addresses.listen.is_empty() {
        let served = if domains.is_empty() { "any" } else { domains };
        lines.push(format!("  domains  {served}"));
        // Phones over TCP, and a few dozen for the pool itself.
        let limit = open_files.map_or("any number".to_owned(), |limit| format!("at most {limit}"));
        lines.push(format!(
            "  files    {limit} open, one for each phone over TCP"
        ));
    }
    for (name, oob, sip) in &addresses.members {
        let link = sip.map_or_else(String::new, |sip| format!(", link {sip}"));
        lines.push(format!("  member   {name}, out of band {oob}{link}"));
    }
    lines.push(format!("  store    {store}"));
    lines.push(match addresses.admin {
        Some(admin) => format!("  admin    http://{admin}/metrics"),
        None => "  admin    off (--admin HOST:PORT)".to_owned(),
    });
    lines
}
