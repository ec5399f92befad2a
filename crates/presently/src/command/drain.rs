//! `presently drain` and `presently undrain`: emptying a server while the pool serves.

use std::error::Error;
use std::path::Path;
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
use crate::output::{self, Untold};

/// Marks a server to be emptied, and waits for it if that is wanted.
pub(crate) fn drain(args: &Drain) -> Result<(), Box<dyn Error>> {
    let mut store = open(&store::path(&args.store)?)?;
    let mut member = mark(&mut store, &args.name, true)?;
    let until = Instant::now() + Duration::from_secs(args.wait);
    while member.clients > 0 && Instant::now() < until {
        // Nobody tells a program that is no member: it looks.
        thread::park_timeout(LOOK_EVERY);
        member = look(&mut store, &args.name)?;
        if !member.is_draining {
            return Err(format!(
                "{} is not drained any more: somebody undrained it",
                args.name
            )
            .into());
        }
    }
    let told = tell(args.store.json, &member);
    if args.wait > 0 && member.clients > 0 {
        let clients = counted(member.clients, "client");
        return Err(format!("{} still has {clients}", member.name).into());
    }
    Ok(told?)
}

/// Makes a server an ordinary one again.
pub(crate) fn undrain(args: &Undrain) -> Result<(), Box<dyn Error>> {
    let mut store = open(&store::path(&args.store)?)?;
    let member = mark(&mut store, &args.name, false)?;
    Ok(tell(args.store.json, &member)?)
}

fn tell(json: bool, member: &Member) -> Result<(), Untold> {
    let Member {
        name,
        clients,
        is_draining,
        ..
    } = member;
    if json {
        let row = json!({"name": **name, "draining": is_draining, "clients": clients});
        return output::line(row);
    }
    let counted = counted(*clients, "client");
    output::line(match (is_draining, member.state) {
        (false, _) => format!("{name} takes clients again; it has {clients}"),
        (true, _) if *clients == 0 => format!("{name} is empty, and gets no clients"),
        (true, MemberState::Alive) => format!("{name} is being emptied: {counted} left"),
        (true, _) => format!("{name} does not run; it had {counted}, to be taken over"),
    })
}

/// Opens a store that is there: nothing is made by asking.
fn open(path: &Path) -> Result<Inline, Box<dyn Error>> {
    if !path.exists() {
        return Err(format!("there is no store {}", path.display()).into());
    }
    Ok(Inline::open(path, &Settings::default())?)
}

fn mark(store: &mut Inline, name: &str, is_draining: bool) -> Result<Member, Box<dyn Error>> {
    let operation = Operation::Drain {
        name: name.into(),
        is_draining,
    };
    match ask(store, operation)? {
        Outcome::Drained(Some(member)) if member.role == Role::Server => Ok(member),
        Outcome::Drained(Some(_)) => Err(format!("{name} is a balancer: it has no clients").into()),
        _ => Err(unknown(name)),
    }
}

/// The server as it is now; whoever undrains it meanwhile is obeyed.
fn look(store: &mut Inline, name: &str) -> Result<Member, Box<dyn Error>> {
    let Outcome::Status(status) = ask(store, Operation::Status)? else {
        return Err(unknown(name));
    };
    let mut members = status.members.into_iter();
    let found = members.find(|member| *member.name == *name);
    found.ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Box<dyn Error> {
    format!("no member is called {name}").into()
}

fn ask(store: &mut Inline, operation: Operation) -> Result<Outcome, Refused> {
    store.submit(&mut vec![(Ticket(0), operation)]);
    let mut done = Vec::new();
    // Inline: what was submitted is done.
    let _ = store.poll(&mut Context::from_waker(Waker::noop()), &mut done);
    let result = done.pop().map(|completion| completion.result);
    result.unwrap_or(Err(Refused::Unavailable))
}

const LOOK_EVERY: Duration = Duration::from_millis(250);
