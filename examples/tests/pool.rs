//! The example pool, run as people run it.
//!
//! Goal: its story ends well, and ends badly when a server cannot be woken. Method: the program
//! itself, as a child, at any free port.

use std::path::PathBuf;
use std::process::{Command, Output};

#[test]
fn the_story_is_told_to_its_end() {
    let told = play(&["--once", "--port", "0"]);
    let text = text(&told);
    assert!(told.status.success(), "{text}");
    for line in [
        "alice  is at s1",
        "clients: s1 2, s2 1, s3 1",
        "woken: s1 by none, s2 by 1 datagram, s3 by 1 datagram",
        "alice  at s1 was told after",
        "woken: s1 by 1 datagram, s2 by none, s3 by none",
        ": closed",
        "clients: s1 2, s2 1, s3 0",
        "The pool has stopped.",
    ] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}

#[test]
fn the_story_fails_when_a_server_cannot_be_woken() {
    let told = play(&["--once", "--port", "0", "--break-oob", "s2"]);
    let text = text(&told);
    assert!(!told.status.success(), "{text}");
    // Its own look into the store may come within the bound or behind it.
    let failures = [
        "within 2 s nobody told bob",
        "within 2 s no datagram woke the server of bob",
    ];
    let failed = failures.map(|failure| format!("FAILED: alice publishes: {failure}"));
    let is_said = failed.iter().any(|failure| text.contains(failure));
    assert!(is_said, "{text}");
}

fn play(arguments: &[&str]) -> Output {
    let program = example();
    let output = Command::new(&program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// `cargo test` builds the examples beside the folder of the tests.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(|deps| deps.parent());
    let profile = profile.expect("a test is built into deps");
    profile.join("examples").join("pool")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
