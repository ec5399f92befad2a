//! `presently drain` and `presently undrain`: emptying a server while the pool serves.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use presently_pool::{Member, MemberState, Role};
use presently_store::sqlite::{Inline, Settings};
use presently_store::{Operation, Outcome, Refused, Store, Ticket};
use serde_json::json;

use super::store;
use super::table::counted;
use crate::cli::{Drain, Undrain};

/// Marks a server to be emptied, and waits for it if that is wanted.
pub(crate) fn drain(args: &Drain) -> Result<(), Box<dyn Error>> {
    let mut store = open(&store::path(&args.store)?)?;
    let mut member = mark(&mut store, &args.name, true)?;
    let until = Instant::now() + Duration::from_secs(args.wait);
    while member.clients > 0 && Instant::now() < until {
        // Nobody tells a program that is no member: it looks.
        thread::park_timeout(LOOK_EVERY);
        member = mark(&mut store, &args.name, true)?;
    }
    tell(args.store.json, &member);
    if args.wait > 0 && member.clients > 0 {
        let clients = counted(member.clients, "client");
        return Err(format!("{} still has {clients}", member.name).into());
    }
    Ok(())
}

/// Makes a server an ordinary one again.
pub(crate) fn undrain(args: &Undrain) -> Result<(), Box<dyn Error>> {
    let mut store = open(&store::path(&args.store)?)?;
    let member = mark(&mut store, &args.name, false)?;
    tell(args.store.json, &member);
    Ok(())
}

fn tell(json: bool, member: &Member) {
    let Member {
        name,
        clients,
        is_draining,
        ..
    } = member;
    if json {
        let row = json!({"name": **name, "draining": is_draining, "clients": clients});
        println!("{row}");
        return;
    }
    let counted = counted(*clients, "client");
    match (is_draining, member.state) {
        (false, _) => println!("{name} takes clients again; it has {clients}"),
        (true, _) if *clients == 0 => println!("{name} is empty, and gets no clients"),
        (true, MemberState::Alive) => println!("{name} is being emptied: {counted} left"),
        (true, _) => println!("{name} does not run; it had {counted}, to be taken over"),
    }
}

/// Opens a store that is there: nothing is made by asking.
fn open(path: &Path) -> Result<Inline, Box<dyn Error>> {
    if !path.exists() {
        return Err(format!("there is no store {}", path.display()).into());
    }
    Ok(Inline::open(path, &Settings::default())?)
}

fn mark(store: &mut Inline, name: &str, is_draining: bool) -> Result<Member, Box<dyn Error>> {
    let name = Arc::<str>::from(name);
    let operation = Operation::Drain {
        name: Arc::clone(&name),
        is_draining,
    };
    store.submit(&mut vec![(Ticket(0), operation)]);
    let mut done = Vec::new();
    // Inline: what was submitted is done.
    let _ = store.poll(&mut Context::from_waker(Waker::noop()), &mut done);
    let result = done.pop().map(|completion| completion.result);
    match result.unwrap_or(Err(Refused::Unavailable))? {
        Outcome::Drained(Some(member)) if member.role == Role::Server => Ok(member),
        Outcome::Drained(Some(_)) => Err(format!("{name} is a balancer: it has no clients").into()),
        _ => Err(format!("no member is called {name}").into()),
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(250);
