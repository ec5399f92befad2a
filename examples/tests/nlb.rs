//! The example nlb, run as people run it.
//!
//! Goal: its story ends well, and ends badly when the presence server hears of nobody who leaves.
//! Method: the program itself, as a child, at any free port.

use std::path::PathBuf;
use std::process::{Command, Output};

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
    profile.join("examples").join("nlb")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
