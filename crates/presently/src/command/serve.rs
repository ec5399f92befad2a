//! `presently serve`: a pool, or one part of it.

use std::error::Error;

use presently::{Addresses, Config, Pool, Settings};

use super::limits;
use super::reload::Reload;
use super::signals::Signals;
use crate::cli::Serve;
use crate::log;

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
    print_summary(pool.addresses(), &store, &domains, open_files);
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
fn print_summary(addresses: &Addresses, store: &str, domains: &str, open_files: Option<u64>) {
    println!("presently {}", env!("CARGO_PKG_VERSION"));
    for (protocol, address) in &addresses.listen {
        println!("  phones   {} {address}", protocol.token().to_lowercase());
    }
    if !addresses.listen.is_empty() {
        let served = if domains.is_empty() { "any" } else { domains };
        println!("  domains  {served}");
        // Phones over TCP, and a few dozen for the pool itself.
        match open_files {
            Some(limit) => println!("  files    at most {limit} open, one for each phone over TCP"),
            None => println!("  files    any number open, one for each phone over TCP"),
        }
    }
    for (name, oob, sip) in &addresses.members {
        match sip {
            Some(sip) => println!("  member   {name}, out of band {oob}, link {sip}"),
            None => println!("  member   {name}, out of band {oob}"),
        }
    }
    println!("  store    {store}");
    match addresses.admin {
        Some(admin) => println!("  admin    http://{admin}/metrics"),
        None => println!("  admin    off (--admin HOST:PORT)"),
    }
}
