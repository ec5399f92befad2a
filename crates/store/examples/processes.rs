//! How long a process waits to write to a file that others write to back to back: for 1, 2 and 4
//! others, standing in line and not, in one run. One more process writes four times a second, as a
//! member's beat does; its waits are those that must not be long.
//!
//! `cargo run --release -p presently-store --features sqlite --example processes [SECONDS]`

#![allow(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "figures for people, from tables made here"
)]

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use presently_pool::{Membership, Role};
use presently_sip::{Aor, WallTime};
use presently_store::sqlite::{Order, Process, Settings, Threaded};
use presently_store::{Completion, Operation, Outcome, Store, Ticket};

/// Operations a transaction; a busy writer merges up to a hundred.
const OPERATIONS: u64 = 30;
const BEAT_EVERY: Duration = Duration::from_millis(250);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [part, path, order, seconds] = arguments.as_slice() {
        return play(part, Path::new(path), order, seconds.parse()?);
    }
    let seconds = arguments.first().map_or("10", String::as_str);
    let place = env::temp_dir().join(format!("presently-processes-{}", process::id()));
    fs::create_dir_all(&place)?;
    println!("waits for a commit, ms; a busy process commits {OPERATIONS} operations at a time");
    println!("others  order      who    commits      p50      p99    worst");
    for busy in [1, 2, 4] {
        for order in ["unordered", "in-turn"] {
            let path = place.join(format!("{busy}-{order}.db"));
            drop(Threaded::open(&path, &Settings::default())?);
            measure(&path, busy, order, seconds)?;
        }
    }
    fs::remove_dir_all(&place)?;
    Ok(())
}

fn measure(path: &Path, busy: usize, order: &str, seconds: &str) -> Result<(), Box<dyn Error>> {
    let start = |part: &str| -> Result<Child, Box<dyn Error>> {
        let child = Command::new(env::current_exe()?)
            .arg(part)
            .arg(path)
            .args([order, seconds])
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(child)
    };
    let others: Vec<_> = (0..busy).map(|_| start("busy")).collect();
    let beating = start("beat")?;
    for child in others.into_iter().chain([Ok(beating)]) {
        let said = child?.wait_with_output()?;
        print!("{busy:>6}  {order:9}  {}", String::from_utf8(said.stdout)?);
    }
    Ok(())
}

/// One process: `busy` writes back to back, `beat` four times a second.
fn play(part: &str, path: &Path, order: &str, seconds: u64) -> Result<(), Box<dyn Error>> {
    let settings = Settings {
        order: match order {
            "unordered" => Order::Unordered,
            _ => Order::InTurn,
        },
        // An assignment that is there already would write nothing.
        max_clients: u64::from(u32::MAX),
        ..Settings::default()
    };
    let mut store = Threaded::open(path, &settings)?;
    let by = join(&mut store)?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut waits = Vec::new();
    let mut round = 0;
    while Instant::now() < end {
        let began = Instant::now();
        let operations = match part {
            "busy" => (0..OPERATIONS).map(|n| assign(by, round, n)).collect(),
            _ => vec![beat(by)],
        };
        ask(&mut store, operations);
        waits.push(began.elapsed());
        round += 1;
        if part == "beat" {
            // Nothing wakes this thread but the end of the time.
            thread::park_timeout(BEAT_EVERY.saturating_sub(began.elapsed()));
        }
    }
    waits.sort();
    let ms = |wait: Duration| wait.as_secs_f64() * 1_000.0;
    let worst = waits.len() - 1;
    println!(
        "{part:5}  {:>7}  {:>7.2}  {:>7.2}  {:>7.2}",
        waits.len(),
        ms(waits[worst / 2]),
        ms(waits[worst * 99 / 100]),
        ms(waits[worst]),
    );
    Ok(())
}

fn join(store: &mut Threaded) -> Result<Membership, Box<dyn Error>> {
    let own = Process::own();
    let operation = Operation::Join {
        name: own.pid.to_string().into(),
        over: None,
        role: Role::Server,
        host: own.host,
        pid: own.pid,
        started: own.started,
        sip: None,
        oob: None,
        weight: 1,
        seed: [0; 16],
    };
    match ask(store, vec![operation]).pop().map(|done| done.result) {
        Some(Ok(Outcome::Joined { membership, .. })) => Ok(membership),
        other => Err(format!("not joined: {other:?}").into()),
    }
}

fn assign(by: Membership, round: u64, number: u64) -> Operation {
    let number = round * OPERATIONS + number;
    Operation::Assign {
        by,
        client: Aor::from_canonical(&format!("sip:{}-{number}@example.com", by.member.0)),
        create: true,
        now: WallTime(round),
    }
}

fn beat(by: Membership) -> Operation {
    Operation::Beat {
        by,
        settled: None,
        now: WallTime(0),
    }
}

fn ask(store: &mut Threaded, operations: Vec<Operation>) -> Vec<Completion> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let count = operations.len();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    store.submit(&mut (0..).map(Ticket).zip(operations).collect());
    let mut done = Vec::new();
    while done.len() < count {
        if store.poll(&mut context, &mut done).is_pending() {
            thread::park();
        }
    }
    done
}
