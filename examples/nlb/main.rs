//! The nlb at work: a presence pool, an nlb, two application servers and four users with phones,
//! who play a short story over real sockets. Afterwards everything stays up, with a page to open.
//!
//! `cargo run --release --example nlb` plays the story and stays. `-- --once` ends after it,
//! `-- --port 8090` starts the search for the page's port there (0 takes any); `-- --no-story` only
//! stays; `-- --silent` lets the presence server hear nothing of users who leave, so that the story
//! fails where its word would be needed.

mod application;
mod client;
mod desk;
mod network;
mod phone;
mod slots;
mod stage;
mod story;
mod websocket;

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::stage::Stage;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        eprintln!("usage: nlb [--once] [--port PORT] [--no-story] [--silent]");
        return ExitCode::FAILURE;
    };
    let folder = std::env::temp_dir().join(format!("presently-nlb-{}", std::process::id()));
    let played = match std::fs::create_dir_all(&folder) {
        Ok(()) => play(&options, &folder).await,
        Err(error) => Err(format!("{}: {error}", folder.display())),
    };
    // A folder of temporary files: what stays behind harms nobody.
    let _ = std::fs::remove_dir_all(&folder);
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
pub(crate) struct Options {
    is_once: bool,
    is_story_told: bool,
    port: u16,
    /// Whether users who leave say nothing to the presence server.
    is_silent: bool,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            is_once: false,
            is_story_told: true,
            port: 8080,
            is_silent: false,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--once" => options.is_once = true,
                "--no-story" => options.is_story_told = false,
                "--port" => options.port = arguments.next()?.parse().ok()?,
                "--silent" => options.is_silent = true,
                _ => return None,
            }
        }
        Some(options)
    }
}

async fn play(options: &Options, folder: &Path) -> Result<(), String> {
    // Before the start, so that Ctrl-C is not missed meanwhile.
    let interrupted = signal(SignalKind::interrupt());
    let mut interrupted = interrupted.map_err(|error| error.to_string())?;
    let mut stage = Stage::set(options.port, folder).await?;
    stage.print();
    let told = tokio::select! {
        told = tell(options, &mut stage) => told,
        _ = interrupted.recv() => Ok(()),
    };
    stage.strike()?;
    println!("\nThe nlb and the pool have stopped.");
    told
}

/// Tells the story; afterwards it goes on for ever, unless it is told once.
async fn tell(options: &Options, stage: &mut Stage) -> Result<(), String> {
    if options.is_silent {
        println!("the presence server hears of nobody who leaves: this story is going to fail");
    }
    if options.is_story_told {
        story::tell(stage, options.is_silent).await?;
    }
    if !options.is_once {
        stage.print_invitation();
        std::future::pending::<()>().await;
    }
    Ok(())
}
