//! `presently watch`, `publish`, `status` and `show`, for people and with `--json`.

use std::fs::File;
use std::io::pipe;
use std::process::Stdio;

use presently_tests::program::{Place, Pool, Process, Town, presently, run, until};
use serde_json::Value;

fn json(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

#[test]
fn what_one_command_publishes_another_sees() {
    let pool = Pool::start();
    let at = pool.udp().to_string();
    let watch = [
        "watch",
        "sip:alice@example.com",
        "--as",
        "sip:bob@example.com",
        "--pool",
        &at,
    ];
    let mut people = Process::spawn(&mut presently(watch));
    let mut machines = Process::spawn(&mut presently([&watch[..], &["--json"]].concat()));
    people.hear("the first state", |line| {
        (line.contains("sip:alice@example.com") && line.contains("closed")).then_some(())
    });
    let first = machines.hear("the first state", json);
    assert_eq!(first["state"], "closed");

    let publish = [
        "publish",
        "sip:alice@example.com",
        "--open",
        "--note",
        "at lunch",
        "--pool",
        &at,
    ];
    let mut publisher = Process::spawn(&mut presently([&publish[..], &["--json"]].concat()));
    let published = publisher.hear("the answer", json);
    assert_eq!(published["state"], "open");
    assert!(published["entity_tag"].is_string(), "{published}");
    people.hear("the note", |line| {
        (line.contains("open") && line.contains("at lunch")).then_some(())
    });
    let is_open = |line: &str| json(line).filter(|it| it["state"] == "open");
    let told = machines.hear("the note", is_open);
    assert_eq!(told["presentity"], "sip:alice@example.com");
    assert_eq!(told["notes"][0], "at lunch");
    assert_eq!(told["subscription"], "active");

    // Ctrl-C takes the publication back.
    publisher.signal("INT");
    assert!(publisher.ended(BOUND).success());
    let shown = pool.show("alice").unwrap();
    assert_eq!(shown["publications"].as_array().unwrap().len(), 0);
    let is_closed_again = |lines: Vec<String>| {
        let states: Vec<_> = lines.iter().filter_map(|line| json(line)).collect();
        states.len() >= 3 && states.last().is_some_and(|it| it["state"] == "closed")
    };
    until("closed again", BOUND, || {
        is_closed_again(machines.said()).then_some(())
    });

    // It unsubscribes a watcher, and one that looks once never was one.
    for mut watcher in [people, machines] {
        watcher.signal("INT");
        assert!(watcher.ended(BOUND).success());
    }
    let once = run([&watch[..], &["--once"]].concat());
    let said = String::from_utf8(once.stdout).unwrap();
    assert_eq!(said.trim(), "sip:alice@example.com is closed");
    let shown = pool.show("alice");
    let watchers = shown
        .as_ref()
        .and_then(|shown| shown["watchers"].as_array());
    assert!(watchers.is_none_or(Vec::is_empty), "{shown:?}");
}

#[test]
fn status_tells_members_clients_and_subscriptions() {
    let pool = Pool::start();
    let mut town = Town::default();
    let bob = town.udp("bob", pool.udp());
    town.register(bob);
    town.watch(bob, "alice");
    let home = pool.server_of("bob");
    let status = pool.status();
    let rows = status["members"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    let row = rows.iter().find(|row| row["name"] == *home).unwrap();
    assert_eq!(row["role"], "server");
    assert_eq!(row["state"], "alive");
    assert_eq!(row["clients"], 1);
    assert_eq!(row["subscriptions"], 1);
    assert_eq!(status["clients"], 1);
    let output = run(["status", "--store", &pool.place.store()]);
    let text = String::from_utf8(output.stdout).unwrap();
    for word in [
        "b1",
        "s1",
        "s2",
        "s3",
        "balancer",
        "server",
        "clients",
        "subscriptions",
    ] {
        assert!(text.contains(word), "{text}");
    }
    assert!(text.ends_with("\n1 client\n"), "{text}");
}

#[test]
fn show_tells_all_of_a_user() {
    let pool = Pool::start();
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    let bob = town.udp("bob", pool.udp());
    town.register(alice);
    town.register(bob);
    town.watch(bob, "alice");
    town.publish(alice, true, "here");
    let shown = pool.show("alice").unwrap();
    assert_eq!(shown["client"], "sip:alice@example.com");
    assert!(shown["epoch"].as_u64().unwrap() > 0);
    let contact = shown["bindings"][0]["contact"].as_str().unwrap();
    assert!(contact.contains("sip:phone@127.0.0.1"), "{contact}");
    assert_eq!(shown["bindings"][0]["is_silent"], false);
    let publication = &shown["publications"][0];
    assert_eq!(publication["package"], "presence");
    assert_eq!(publication["content_type"], "application/pidf+xml");
    let left = publication["expires_in_secs"].as_u64().unwrap();
    // A first grant is up to a tenth shorter than what is asked for.
    assert!((530..=600).contains(&left), "{left}");
    assert_eq!(shown["watchers"][0]["watcher"], "sip:bob@example.com");
    let watching = pool.show("bob").unwrap();
    assert_eq!(
        watching["watches"][0]["presentity"],
        "sip:alice@example.com"
    );

    let output = run([
        "show",
        "sip:alice@example.com",
        "--store",
        &pool.place.store(),
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    for word in [
        "sip:alice@example.com",
        "epoch",
        "binding",
        "publication",
        "sip:bob@",
    ] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

#[test]
fn a_question_without_an_answer_is_one_line() {
    let pool = Pool::start();
    let store = pool.place.store();
    let none = format!("sqlite:{}", pool.place.path("none.db").display());
    for args in [
        vec!["show", "sip:nobody@example.com", "--store", &store],
        vec!["status", "--store", &none],
        vec!["show", "sip:alice@example.com", "--store", &none],
    ] {
        let output = run(&args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{args:?}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(
        !pool.place.path("none.db").exists(),
        "looking makes nothing"
    );
}

/// A reader that has enough is no failure, a full disk is one; neither is a crash, and whoever
/// serves goes on.
#[test]
fn a_gone_reader_ends_a_question_quietly_and_no_pool() {
    let place = Place::new();
    let store = place.store();
    let serve = ["serve", "--listen", "udp:127.0.0.1:0", "--store", &store];
    let mut serving = presently(serve).stdout(gone()).spawn().unwrap();
    let status = ["status", "--store", &store];
    let said = until("a pool", BOUND, || {
        let said = String::from_utf8(run(status).stdout).unwrap();
        said.contains("alive").then_some(said)
    });
    assert!(said.ends_with(" clients\n"), "{said}");
    let unread = presently(status).stdout(gone()).output().unwrap();
    assert!(unread.status.success(), "{unread:?}");
    assert!(unread.stderr.is_empty(), "{unread:?}");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let full = presently(status).stdout(full).output().unwrap();
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    let line = String::from_utf8(full.stderr).unwrap();
    assert!(line.starts_with("presently: the output cannot"), "{line}");
    assert!(serving.try_wait().unwrap().is_none(), "it ended");
    serving.kill().unwrap();
    serving.wait().unwrap();
}

/// What is said beside the output is worth less than what is done; the two say here that they have
/// met.
#[test]
fn a_gone_reader_of_standard_error_changes_no_end_and_ends_no_pool() {
    let place = Place::new();
    let store = place.store();
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = free.local_addr().unwrap().to_string();
    drop(free);
    let listen = format!("udp:{at}");
    let serving = [("balancer", &["--listen", &listen][..]), ("server", &[])];
    let mut serving = serving.map(|(role, more)| {
        let serve = ["serve", "--role", role, "--name", role, "--store", &store];
        let log = ["--log-level", "info"];
        let mut process = presently([&serve[..], &log, more].concat());
        process.stdout(Stdio::null()).stderr(gone());
        process.spawn().unwrap()
    });
    let watch = ["watch", "sip:alice@example.com", "--once", "--pool", &at];
    until("an answer through both", BOUND, || {
        run(watch).status.success().then_some(())
    });
    let none = format!("sqlite:{}", place.path("none.db").display());
    for (args, code) in [
        (vec!["status", "--store", &none], 1),
        (vec!["serve", "--server", "3"], 2),
    ] {
        let ended = presently(&args).stderr(gone()).output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{args:?}");
    }
    for process in &mut serving {
        assert!(process.try_wait().unwrap().is_none(), "it ended");
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

/// A pipe that nobody reads.
fn gone() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

/// No server is there to ask, or none that answers.
#[test]
fn a_pool_that_does_not_serve_ends_the_command() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = closed.local_addr().unwrap().to_string();
    drop(closed);
    let output = run(["watch", "sip:alice@example.com", "--pool", &at]);
    assert!(!output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
}

const BOUND: std::time::Duration = std::time::Duration::from_secs(10);
