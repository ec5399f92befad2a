//! The example nlb, run as people run it.
//!
//! Goal: its story ends well, and ends badly when the presence server hears of nobody who leaves.
//! Method: the program itself, as a child, at any free port.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn the_story_is_told_to_its_end() {
    let told = play(&["--once", "--port", "0"]);
    let text = text(&told);
    assert!(told.status.success(), "{text}");
    for line in [
        "alice  is greeted by a",
        "admitted     path",
        "after the presence server knew",
        "released     Left",
        "the pool keeps nothing of hers",
        "his phone was sent UUID=",
        "resumed",
        "where she was",
        "slots released early: 1",
        "wrong releases: 0",
        "have stopped",
    ] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}

#[test]
fn the_story_fails_when_the_presence_server_hears_nothing() {
    let told = play(&["--once", "--port", "0", "--silent"]);
    let text = text(&told);
    assert!(!told.status.success(), "{text}");
    let failure = "FAILED: alice's slot becomes free: not within 2s";
    assert!(text.contains(failure), "{text}");
}

/// The page as it is served, run by node.
#[test]
fn the_page_comes_back_on_the_message() {
    if Command::new("node").arg("--version").output().is_err() {
        println!("left out: node is not installed");
        return;
    }
    let nlb = Running::start("nlb", &["--port", "0", "--no-story"]);
    let page = nlb.hear(|line| line.trim().strip_prefix("http://").map(str::to_owned));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page.mjs");
    let told = Command::new("node")
        .args([script, &format!("http://{page}")])
        .output()
        .expect("node runs");
    let text = text(&told);
    assert!(told.status.success() && text.ends_with("DONE\n"), "{text}");
}

/// A program that runs, and what it has said; ended with the value.
struct Running {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(example(name));
        let command = command.args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the example can be started");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("nobody panics with it").push(line);
            }
        });
        Self { child, said }
    }

    /// What `find` makes of a line, once there is one.
    fn hear(&self, find: impl Fn(&str) -> Option<String>) -> String {
        let end = Instant::now() + WITHIN;
        loop {
            let said = self.said.lock().expect("nobody panics with it").clone();
            let found = said.iter().find_map(|line| find(line));
            if let Some(found) = found {
                return found;
            }
            assert!(Instant::now() < end, "{}", said.join("\n"));
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn play(arguments: &[&str]) -> Output {
    let program = example("nlb");
    let output = Command::new(&program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// `cargo test` builds the examples beside the folder of the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(|deps| deps.parent());
    let profile = profile.expect("a test is built into deps");
    profile.join("examples").join(name)
}

const WITHIN: Duration = Duration::from_secs(30);

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
