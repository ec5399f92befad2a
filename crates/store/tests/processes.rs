//! Several processes on one file: one that is paused is killed, one that is not ours is left alone.
//!
//! Each test starts this program again as the other process, which plays one part and says how far
//! it is in lines.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod asking;
mod place;

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use presently_pool::Membership;
use presently_store::Refused;
use presently_store::sqlite::{LockCounters, Process, Settings, Threaded};
use rusqlite::Connection;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use asking::{ask, assign, beat, clients, join, join_as};
use place::Place;

#[test]
fn a_member_paused_in_a_transaction_is_killed_and_writing_goes_on() {
    let place = Place::new();
    let (mut store, counters, by) = open(&place, &Settings::default());
    let mut other = Other::start("transaction", &place);
    join_as(&mut store, "other", other.process());
    other.hold();
    other.pause();
    let began = Instant::now();
    let results = ask(&mut store, vec![assign(by, 0)]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(began.elapsed() >= Duration::from_millis(700), "{began:?}");
    assert!(!other.end().success());
    assert_eq!((counters.killed(), counters.kept()), (1, 0));
    assert_eq!(clients(&mut store), 1, "what the other began is gone");
}

#[test]
fn a_member_paused_as_the_next_in_line_is_killed() {
    let place = Place::new();
    let (mut store, counters, by) = open(&place, &Settings::default());
    let mut other = Other::start("turn", &place);
    join_as(&mut store, "other", other.process());
    other.hold();
    other.pause();
    for number in 0..3 {
        assert!(
            ask(&mut store, vec![assign(by, number)])
                .pop()
                .unwrap()
                .is_ok()
        );
    }
    assert!(!other.end().success());
    assert_eq!((counters.killed(), counters.kept()), (1, 0));
}

#[test]
fn a_line_that_a_living_process_blocks_is_left() {
    let place = Place::new();
    let (mut store, counters, by) = open(&place, &Settings::default());
    let mut other = Other::start("turn", &place);
    join_as(&mut store, "other", other.process());
    other.hold();
    let began = Instant::now();
    for number in 0..20 {
        assert!(
            ask(&mut store, vec![assign(by, number)])
                .pop()
                .unwrap()
                .is_ok()
        );
    }
    assert_eq!((counters.killed(), counters.kept()), (0, 0));
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "only the first waits"
    );
    assert!(other.end().success());
}

#[test]
fn a_process_that_is_no_member_is_left_alone_and_counted() {
    let place = Place::new();
    let (mut store, counters, by) = open(&place, &short());
    let mut other = Other::start("transaction", &place);
    other.hold();
    other.pause();
    let refused = ask(&mut store, vec![assign(by, 0)]).pop().unwrap().err();
    assert_eq!(refused, Some(Refused::Unavailable));
    assert_eq!(counters.killed(), 0);
    assert!(counters.kept() >= 1);
    other.resume();
    assert!(other.end().success());
    assert!(ask(&mut store, vec![assign(by, 0)]).pop().unwrap().is_ok());
}

#[test]
fn a_process_with_the_id_of_a_dead_member_is_left_alone() {
    let place = Place::new();
    let (mut store, counters, by) = open(&place, &short());
    let mut other = Other::start("transaction", &place);
    let mut dead = other.process();
    dead.started -= 1;
    join_as(&mut store, "earlier", dead);
    let mut elsewhere = other.process();
    elsewhere.host = "elsewhere".into();
    join_as(&mut store, "elsewhere", elsewhere);
    other.hold();
    other.pause();
    assert!(ask(&mut store, vec![assign(by, 0)]).pop().unwrap().is_err());
    assert_eq!(counters.killed(), 0);
    other.resume();
    assert!(other.end().success());
}

#[test]
fn a_member_that_commits_again_and_again_is_not_killed() {
    let place = Place::new();
    let (mut store, counters, by) = open(&place, &Settings::default());
    let mut other = Other::start("commits", &place);
    join_as(&mut store, "other", other.process());
    other.hold();
    let results = ask(&mut store, vec![assign(by, 0)]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!((counters.killed(), counters.kept()), (0, 0));
    assert!(other.end().success());
}

#[test]
fn a_file_locked_for_three_seconds_is_waited_for() {
    let place = Place::new();
    let (mut store, counters, by) = open(&place, &Settings::default());
    let mut other = Other::start("three seconds", &place);
    other.hold();
    let results = ask(&mut store, vec![assign(by, 0), beat(by)]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(counters.kept() >= 2);
    assert!(other.end().success());
}

#[test]
fn what_waits_behind_a_lock_is_refused_soon_and_not_one_patience_after_the_other() {
    let place = Place::new();
    let settings = Settings {
        patience: Duration::from_secs(3),
        ..Settings::default()
    };
    let (mut store, _, by) = open(&place, &settings);
    let mut other = Other::start("transaction", &place);
    other.hold();
    let began = Instant::now();
    // Five transactions of the writer: one is waited for, the others briefly.
    let results = ask(&mut store, (0..500).map(|n| assign(by, n)).collect());
    assert!(results.iter().all(Result::is_err));
    assert!(began.elapsed() < Duration::from_secs(5), "{began:?}");
    assert!(other.end().success());
    assert!(ask(&mut store, vec![assign(by, 0)]).pop().unwrap().is_ok());
}

#[test]
fn a_commit_whose_write_fails_is_unknown_and_the_next_one_is_done() {
    let place = Place::new();
    drop(open(&place, &Settings::default()));
    let mut other = Other::start("limited", &place);
    other.hold();
    assert_eq!(other.line(), "first: true");
    let log = fs::metadata(place.path().with_extension("db-wal")).unwrap();
    other.limit(Some(log.len()));
    other.cue();
    assert_eq!(other.line(), "second: Some(Unknown)");
    other.limit(None);
    other.cue();
    assert_eq!(other.line(), "third: true");
    assert!(other.end().success());
}

/// Not a test of its own: what the other process does.
#[test]
fn the_other_process_plays_its_part() {
    let Ok(part) = env::var(PART) else {
        return;
    };
    let path = env::var_os(PLACE).unwrap();
    play(&part, Path::new(&path));
}

fn play(part: &str, path: &Path) {
    let mut cues = std::io::stdin().lines();
    let mut cue = || drop(cues.next());
    say("started");
    cue();
    match part {
        "transaction" => {
            let connection = begun(path);
            say("ready");
            cue();
            drop(connection);
        }
        "three seconds" => {
            let connection = begun(path);
            say("ready");
            std::thread::park_timeout(Duration::from_secs(3));
            drop(connection);
        }
        "turn" => {
            let mut line = path.as_os_str().to_owned();
            line.push("-turn");
            let line = fs::File::options().write(true).open(line).unwrap();
            fcntl_lock(&line, FlockOperation::LockExclusive).unwrap();
            say("ready");
            cue();
        }
        "commits" => {
            let connection = Connection::open(path).unwrap();
            let change = "COMMIT; BEGIN IMMEDIATE; UPDATE counter SET walked = walked + 1";
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            say("ready");
            for _ in 0..20 {
                connection.execute_batch(change).unwrap();
                std::thread::park_timeout(Duration::from_millis(100));
            }
        }
        "limited" => limited(path, cue),
        other => panic!("no part called {other}"),
    }
}

fn limited(path: &Path, mut cue: impl FnMut()) {
    let mut store = Threaded::open(path, &Settings::default()).unwrap();
    let by = join(&mut store, "limited");
    let mut write = |from: u64| {
        let operations = (from..from + 50).map(|number| assign(by, number)).collect();
        ask(&mut store, operations).pop().unwrap()
    };
    say("ready");
    say(&format!("first: {}", write(0).is_ok()));
    cue();
    say(&format!("second: {:?}", write(1_000).err()));
    cue();
    say(&format!("third: {}", write(2_000).is_ok()));
}

fn begun(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("BEGIN IMMEDIATE; UPDATE counter SET walked = walked + 1")
        .unwrap();
    connection
}

fn say(line: &str) {
    // Past the harness, which keeps what is printed.
    let mut out = std::io::stderr();
    writeln!(out, "{line}").unwrap();
}

/// The other process.
struct Other {
    child: Child,
    cues: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Other {
    fn start(part: &str, place: &Place) -> Self {
        // A write above its limit is an error to it then, and not the end.
        let script = "trap '' XFSZ; exec \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(env::current_exe().unwrap())
            .args(["--exact", "the_other_process_plays_its_part", "--nocapture"])
            .env(PART, part)
            .env(PLACE, place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let cues = child.stdin.take();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut other = Self { child, cues, lines };
        assert_eq!(other.line(), "started");
        other
    }

    /// As the members' table should know it.
    fn process(&self) -> Process {
        let pid = self.child.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        Process {
            host: Process::own().host,
            pid,
            started: fields.split_whitespace().nth(19).unwrap().parse().unwrap(),
        }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// Lets it do the next step.
    fn cue(&mut self) {
        writeln!(self.cues.as_mut().unwrap()).unwrap();
    }

    /// Lets it take what it is to hold, and waits until it does.
    fn hold(&mut self) {
        self.cue();
        assert_eq!(self.line(), "ready");
    }

    fn pause(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    fn resume(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// Lets its files grow to this length.
    fn limit(&self, bytes: Option<u64>) {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).unwrap();
    }

    /// Waits for its end.
    fn end(&mut self) -> ExitStatus {
        drop(self.cues.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A patience that ends soon after a look has found somebody to keep the lock.
fn short() -> Settings {
    Settings {
        patience: Duration::from_millis(1_500),
        ..Settings::default()
    }
}

fn open(place: &Place, settings: &Settings) -> (Threaded, Arc<LockCounters>, Membership) {
    let mut store = Threaded::open(&place.path(), settings).unwrap();
    let counters = store.lock_counters();
    let by = join(&mut store, "own");
    (store, counters, by)
}

const PART: &str = "PRESENTLY_TEST_PART";
const PLACE: &str = "PRESENTLY_TEST_PLACE";
