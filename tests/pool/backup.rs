//! `presently backup`: a pool goes on while its store is copied, and the copy serves.

use std::net::SocketAddr;
use std::time::Duration;

use presently_agent::Event;
use presently_tests::program::{Pool, Process, Town, presently, run};
use serde_json::Value;

/// Publishes again and again for everybody: `done` counts what was answered, by user.
fn keep_publishing(town: &mut Town, users: &[usize], done: &mut [usize]) {
    for (user, done) in users.iter().zip(done) {
        let phone = town.phone(*user);
        let answered = phone.count(|event| matches!(event, Event::Published { .. }));
        assert!(!phone.saw(|event| matches!(event, Event::PublishFailed { .. })));
        if answered > *done {
            *done = answered;
            phone.publish(true, &(answered + 1).to_string());
        }
    }
}

#[test]
fn a_backup_taken_under_load_serves_every_state_that_was_answered_before() {
    let pool = Pool::start();
    let mut town = Town::default();
    let names: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
    let place = |name: &String| town.udp(name, pool.udp());
    let users: Vec<usize> = names.iter().map(place).collect();
    for user in &users {
        town.phone(*user).publish(true, "1");
    }
    let mut done = vec![0; users.len()];
    town.until("some publications of each", |town| {
        keep_publishing(town, &users, &mut done);
        done.iter().all(|done| *done >= 3)
    });

    let before = done.clone();
    let copy = pool.place.path("copy.db").display().to_string();
    let store = pool.place.store();
    let backup = ["backup", &copy, "--store", &store, "--json"];
    let mut backup = Process::spawn(&mut presently(backup));
    let mut said: Option<Value> = None;
    town.until("the backup", |town| {
        keep_publishing(town, &users, &mut done);
        let lines = backup.said();
        said = lines
            .iter()
            .find_map(|line| serde_json::from_str(line).ok());
        said.is_some()
    });
    assert!(backup.ended(BOUND).success());
    let bytes = said.unwrap()["bytes"].as_u64();
    assert_eq!(bytes, std::fs::metadata(&copy).ok().map(|file| file.len()));
    let more: Vec<usize> = done.iter().map(|done| done + 2).collect();
    town.until("the pool to go on", |town| {
        keep_publishing(town, &users, &mut done);
        done.iter().zip(&more).all(|(done, more)| done >= more)
    });

    // The first pool still runs: what follows is seen in the copy alone.
    let copy = format!("sqlite:{copy}");
    let serve = ["serve", "--listen", "udp:127.0.0.1:0", "--store", &copy];
    let mut second = Process::spawn(&mut presently(serve));
    let at: SocketAddr = second.hear("a listener", |line| {
        line.trim_start()
            .strip_prefix("phones   udp ")?
            .parse()
            .ok()
    });
    let mut visitors = Town::default();
    let watcher = visitors.udp("visitor", at);
    for (name, before) in names.iter().zip(before) {
        let id = visitors.watch(watcher, name);
        let (open, note) = visitors.phone(watcher).shows(id).unwrap();
        let number: usize = note.parse().unwrap();
        assert!(open && number >= before, "{name}: {number}, not {before}");
    }
    assert!(second.stop().success());
}

#[test]
fn a_backup_that_is_refused_is_one_line_and_changes_nothing() {
    let pool = Pool::start();
    let store = pool.place.store();
    let there = pool.place.write("there.db", "a letter");
    let own = pool.place.path("pool.db").display().to_string();
    let none = format!("sqlite:{}", pool.place.path("none.db").display());
    let table: [(&[&str], &str); 4] = [
        (&[&there, "--store", &store], "the file is there already"),
        (&[&own, "--store", &store, "--force"], "the store itself"),
        (&["/nowhere/copy.db", "--store", &store], "/nowhere/copy.db"),
        (&["copy.db", "--store", &none], "no such file"),
    ];
    for (args, reason) in table {
        let output = run([&["backup"], args].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{args:?}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(reason), "{said}");
    }
    assert_eq!(std::fs::read(&there).unwrap(), b"a letter");
    assert_eq!(pool.status()["members"].as_array().unwrap().len(), 4);
    let output = run(["backup", &there, "--store", &store, "--force"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("backed up "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

const BOUND: Duration = Duration::from_secs(10);
