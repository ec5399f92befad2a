//! A pool at work: a balancer, three servers, a store, and four demo phones that play a short story
//! over real sockets. Afterwards it stays up, so that a softphone can join.
//!
//! `cargo run --release --example pool` plays the story and stays. `-- --once` ends after the
//! story, `-- --port 5070` starts the search for a port there (0 takes any); `-- --break-oob s2`
//! closes the out-of-band socket of a server first, so that the story fails where its wakes would
//! be needed.

mod cast;
mod scene;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use presently::config::{Listen, StorePath};
use presently::{Config, Running, Settings, StartError};
use tokio::signal::unix::{SignalKind, signal};

use crate::scene::Scene;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        eprintln!("usage: pool [--once] [--port PORT] [--break-oob SERVER]");
        return ExitCode::FAILURE;
    };
    let folder = std::env::temp_dir().join(format!("presently-example-{}", std::process::id()));
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
struct Options {
    is_once: bool,
    port: u16,
    broken: Option<String>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            is_once: false,
            port: 5060,
            broken: None,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--break-oob" => options.broken = Some(arguments.next()?),
                "--once" => options.is_once = true,
                "--port" => options.port = arguments.next()?.parse().ok()?,
                _ => return None,
            }
        }
        Some(options)
    }
}

async fn play(options: &Options, folder: &Path) -> Result<(), String> {
    let store = folder.join("pool.db");
    // Before the start, so that Ctrl-C is not missed meanwhile.
    let interrupted = signal(SignalKind::interrupt());
    let mut interrupted = interrupted.map_err(|error| error.to_string())?;
    let pool = start(options.port, &store)?;
    print_pool(&pool, &store);
    if let Some(name) = &options.broken {
        pool.control().break_oob(name).await;
        println!("the out-of-band socket of {name} is closed: this story is going to fail");
    }
    let told = tokio::select! {
        told = tell(options, &pool, &store) => told,
        _ = interrupted.recv() => Ok(()),
    };
    pool.stop().map_err(|error| error.to_string())?;
    println!("\nThe pool has stopped.");
    told
}

/// Tells the story; afterwards it goes on for ever, unless it is told once.
async fn tell(options: &Options, pool: &Running, store: &Path) -> Result<(), String> {
    let (_, address) = pool.addresses().listen.first().ok_or("no listener")?;
    let mut scene = Scene::open(*address, store, pool.control()).await?;
    story::tell(&mut scene).await?;
    if !options.is_once {
        print_invitation(address.port(), store);
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Starts the pool at `port`, or the next one that is free for UDP and TCP.
fn start(port: u16, store: &Path) -> Result<Running, String> {
    let last = port.saturating_add(PORTS_TRIED);
    for candidate in port..=last {
        match presently::start(config(candidate, store)) {
            Ok(pool) => return Ok(pool),
            Err(error) if error.is_address_taken() => {
                println!(
                    "127.0.0.1:{candidate} is taken by another program; trying the next port."
                );
            }
            Err(error) => return Err(describe(&error)),
        }
    }
    Err(format!("no port from {port} to {last} is free"))
}

fn config(port: u16, store: &Path) -> Config {
    let listen = |protocol: &str| -> Listen {
        let text = format!("{protocol}:127.0.0.1:{port}");
        text.parse().expect("a port makes a listener")
    };
    let settings = Settings {
        listen: vec![listen("udp"), listen("tcp")],
        store: Some(StorePath(PathBuf::from(store))),
        admin: Some(([127, 0, 0, 1], 0).into()),
        ..Settings::default()
    };
    Config::new(settings).expect("these settings fit together")
}

fn describe(error: &StartError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn print_pool(pool: &Running, store: &Path) {
    let addresses = pool.addresses();
    println!("The pool is running:");
    for (protocol, address) in &addresses.listen {
        println!(
            "  phones reach the balancer by {} at {address}",
            protocol.token()
        );
    }
    for (name, oob, _) in &addresses.members {
        println!("  {name} hears out of band at {oob}");
    }
    println!("  the store is {}", store.display());
    if let Some(admin) = addresses.admin {
        println!("  metrics are at http://{admin}/metrics");
    }
}

fn print_invitation(port: u16, store: &Path) {
    let outbound = format!("outbound=\"sip:127.0.0.1:{port};transport=udp\"");
    let parameters = "regint=600;pubint=600;mwi=no;auth_pass=none";
    println!(
        "
The pool stays up: join it with a softphone on this machine. alice is online, carol is not.

baresip: put these lines into its files, start it, and look at its contacts (key C)
  ~/.baresip/accounts   <sip:eve@example.com>;{outbound};{parameters}
  ~/.baresip/contacts   \"Alice\" <sip:alice@example.com>;presence=p2p
  ~/.baresip/config     module_app contact.so
                        module_app presence.so

Linphone: add an account and a contact
  SIP address sip:eve@example.com, no password, publish presence on
  server address sip:127.0.0.1:{port};transport=udp, outbound proxy on
  contact sip:alice@example.com, show presence status

From another terminal (`presently` is `cargo run --release -p presently --`)
  presently watch sip:alice@example.com --pool 127.0.0.1:{port} --as sip:eve@example.com
  presently publish sip:eve@example.com --pool 127.0.0.1:{port} --open --note hello
  presently status --store sqlite:{store}

Ctrl-C ends it.",
        store = store.display()
    );
}

/// Ports tried behind the first one.
const PORTS_TRIED: u16 = 50;
