//! A pool inside another program: started, asked, and stopped by its library.
//!
//! `cargo run --example embed_server`

use std::error::Error;

use presently::config::StorePath;
use presently::{Config, Phone, Reading, Settings};
use presently_agent::Event;
use presently_sip::Aor;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = std::env::temp_dir().join(format!("presently-embedded-{}.db", std::process::id()));
    // Two servers, and any free port: what a configuration file would say.
    let config = Config::new(Settings {
        listen: vec!["udp:127.0.0.1:0".parse()?],
        servers: Some(2),
        store: Some(StorePath(store.clone())),
        ..Settings::default()
    })?;
    // The pool has a thread of its own; this one stays free.
    let pool = presently::start(config)?;
    let (_, address) = pool.addresses().listen.first().ok_or("no listener")?;
    println!("the pool listens at {address}");

    // A phone of this program logs on.
    let alice = Aor::parse("sip:alice@127.0.0.1")?;
    let mut phone = Phone::open(alice.clone(), *address).await?;
    phone.ask(|agent, now, out| agent.register(now, 600, out));
    while !matches!(phone.next_event().await?, Event::Registered { .. }) {}

    // What the pool keeps, and what it has counted.
    let state = Reading::open(&store)?.client(&alice)?;
    let server = state.and_then(|state| state.server);
    println!("alice is at {}", server.as_deref().unwrap_or("no server"));
    let snapshot = pool
        .control()
        .snapshot()
        .await
        .ok_or("the pool has ended")?;
    for server in &snapshot.servers {
        println!("{} has {} clients in memory", server.name, server.clients);
    }

    pool.stop()?;
    for suffix in ["", "-wal", "-shm"] {
        let mut file = store.clone().into_os_string();
        file.push(suffix);
        // SQLite removes the last two itself when it closes the file.
        let _ = std::fs::remove_file(file);
    }
    Ok(())
}
