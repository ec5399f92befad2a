//! `presently nlb`: users balanced over application servers, by presence.

use std::error::Error;

use presently::nlb::{Config, Settings};

use crate::cli::Nlb;

pub(crate) fn run(args: Nlb) -> Result<(), Box<dyn Error>> {
    let path = args
        .config
        .as_deref()
        .expect("demanded by the command line");
    let settings = Settings::read(path)?;
    let _config = Config::new(settings)?;
    Ok(())
}
