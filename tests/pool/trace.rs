//! `presently trace`: whole messages of one address or Call-ID as they pass, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use presently_tests::program::{
    Caller, Place, Pool, Process, Town, http, presently, request, run, until, user_of,
};
use serde_json::Value;

/// A running `presently trace` of `of` at `admins`.
fn trace(of: &str, admins: &[SocketAddr], more: &[&str]) -> Process {
    let mut args = vec!["trace".to_owned(), of.to_owned()];
    for admin in admins {
        args.extend(["--admin".to_owned(), admin.to_string()]);
    }
    args.extend(more.iter().map(|word| (*word).to_owned()));
    let mut process = Process::spawn(&mut presently(args));
    process.hear("the trace", |line| {
        line.starts_with("tracing ").then_some(())
    });
    process
}

/// What it has shown with `--json`.
fn shown(process: &Process) -> Vec<Value> {
    let lines = process.said();
    let lines = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}

/// Waits for a message that starts with `start`, by `direction` and `transport`.
fn seen(process: &Process, direction: &str, transport: &str, start: &str) -> Value {
    until(&format!("{direction} {transport} {start}"), BOUND, || {
        shown(process).into_iter().find(|line| {
            line["direction"] == direction
                && line["transport"] == transport
                && line["message"]
                    .as_str()
                    .is_some_and(|text| text.starts_with(start))
        })
    })
}

#[test]
fn a_trace_shows_whole_messages_of_an_address_in_every_process_and_of_no_other() {
    let mut pool = Pool::start();
    let admins: Vec<SocketAddr> = pool.members().map(|member| member.admin).collect();
    let tracing = trace("sip:alice@example.com", &admins, &["--json"]);
    let mut town = Town::default();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| town.udp(user, pool.udp()));
    let watch = town.watch(bob, "alice");
    town.register(carol);
    town.watch(carol, "bob");
    town.publish(alice, true, "a note to be seen");
    town.until_shown(bob, watch, true, "a note to be seen");

    let publish = seen(
        &tracing,
        "received",
        "udp",
        "PUBLISH sip:alice@example.com SIP/2.0\r\n",
    );
    assert!(
        publish["message"]
            .as_str()
            .unwrap()
            .contains("a note to be seen")
    );
    assert_eq!(publish["local"], pool.udp().to_string());
    assert_eq!(publish["missed"], 0);
    let time = publish["time"].as_str().unwrap();
    assert!(
        time.len() == 24 && time.ends_with('Z') && time.starts_with("20"),
        "{time}"
    );
    let home = pool.server_of("alice");
    let link = seen(&tracing, "sent", "link", "PUBLISH ");
    assert_eq!(
        (&link["local"], &link["remote"]),
        (&"b1".into(), &home.as_str().into())
    );
    let link = seen(&tracing, "received", "link", "PUBLISH ");
    assert_eq!(
        (&link["local"], &link["remote"]),
        (&home.as_str().into(), &"b1".into())
    );
    let notify = until("the NOTIFY with a body", BOUND, || {
        shown(&tracing).into_iter().find(|line| {
            let text = line["message"].as_str().unwrap_or_default();
            line["transport"] == "udp"
                && text.starts_with("NOTIFY ")
                && text.contains("a note to be seen")
        })
    });
    assert_eq!(notify["direction"], "sent");
    assert_ne!(notify["remote"], publish["remote"]);
    seen(&tracing, "received", "udp", "SIP/2.0 200");
    for line in shown(&tracing) {
        let text = line["message"].as_str().unwrap();
        assert!(text.contains("alice@example.com"), "{text}");
    }
}

#[test]
fn a_call_id_is_traced_with_its_credentials_masked() {
    let pool = Pool::start();
    let admin = [pool.balancer.admin];
    let machine = trace("one-call@here", &admin, &["--json"]);
    let person = trace("one-call@here", &admin, &[]);
    let caller = Caller::new(pool.udp());
    let digest = "Authorization: Digest username=\"alice\", response=\"5ec2e7\"";
    let more = [
        "Call-ID: one-call@here",
        digest,
        "Subject: \u{1b}[2Jcleared",
    ];
    let uri = user_of("alice");
    caller.ask(&request("REGISTER", &uri, caller.at(), "UDP", &more, ""));
    let other = ["Call-ID: another-call@here"];
    caller.ask(&request("REGISTER", &uri, caller.at(), "UDP", &other, ""));
    let received = seen(&machine, "received", "udp", "REGISTER ");
    let text = received["message"].as_str().unwrap();
    assert!(text.contains("\r\nAuthorization: Digest ***\r\n"), "{text}");
    assert_eq!(received["remote"], caller.at().to_string());
    seen(&machine, "sent", "udp", "SIP/2.0 200 ");
    until("the answer", BOUND, || {
        person
            .said()
            .iter()
            .any(|line| line.starts_with("SIP/2.0 200 "))
            .then_some(())
    });
    for said in [machine.said(), person.said()] {
        let said = said.join("\n");
        assert!(
            !said.contains("5ec2e7") && !said.contains("another-call"),
            "{said}"
        );
        assert!(!said.contains('\u{1b}'), "{said}");
    }
    let flow = format!(" received udp {} from {}", pool.udp(), caller.at());
    let said = person.said();
    let at = said.iter().position(|line| line.ends_with(&flow)).unwrap();
    assert!(said[at + 1].starts_with("REGISTER "), "{said:?}");
}

#[test]
fn no_more_than_four_run_at_once_and_each_ends_in_time() {
    let pool = Pool::start();
    let admin = [pool.balancer.admin];
    let mut running: Vec<Process> = (0..4).map(|_| trace("a@b", &admin, &[])).collect();
    let at = admin[0].to_string();
    let fifth = run(["trace", "a@b", "--admin", &at, "--for", "1"]);
    let said = String::from_utf8(fifth.stderr).unwrap();
    assert!(!fifth.status.success());
    assert!(said.contains("as many traces as there may be"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    running[0].signal("INT");
    assert!(running[0].ended(BOUND).success());
    until("a place to be free", BOUND, || {
        run(["trace", "a@b", "--admin", &at, "--for", "1"])
            .status
            .success()
            .then_some(())
    });
}

#[test]
fn a_trace_whose_process_ends_says_so() {
    let mut pool = Pool::start();
    let mut tracing = trace("a@b", &[pool.balancer.admin], &[]);
    assert!(pool.balancer.stop());
    assert!(!tracing.ended(BOUND).success());
    assert!(
        tracing
            .said()
            .iter()
            .any(|line| line.ends_with("has ended")),
        "{:?}",
        tracing.said()
    );
}

#[test]
fn a_trace_is_served_on_loopback_only() {
    let place = Place::new();
    let store = place.store();
    let args = ["--listen", "udp:127.0.0.1:0", "--store", &store];
    let serve = [&["serve", "--admin", "0.0.0.0:0"], &args[..]].concat();
    let mut process = Process::spawn(&mut presently(serve));
    let port: u16 = process.hear("admin port", |line| {
        let (_, rest) = line.split_once("http://0.0.0.0:")?;
        rest.strip_suffix("/metrics")?.parse().ok()
    });
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(http(at, "/healthz").unwrap().0, 200);
    let (status, text) = http(at, "/trace?of=a@b&secs=1").unwrap();
    assert_eq!(status, 403);
    assert!(text.contains("loopback"), "{text}");
    let output = run(["trace", "a@b", "--admin", &at.to_string()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("loopback"),
        "{said}"
    );
}

#[test]
fn what_asks_for_no_trace_is_refused() {
    let pool = Pool::start();
    for query in ["", "?of=", "?of=a@b&secs=0", "?secs=1", "?of=%zz"] {
        let (status, _) = http(pool.balancer.admin, &format!("/trace{query}")).unwrap();
        assert_eq!(status, 400, "{query}");
    }
    let (status, text) = http(pool.balancer.admin, "/trace?of=a@b&secs=1").unwrap();
    assert_eq!(status, 200);
    assert!(text.contains("\"ended\":true"), "{text}");
    let output = run(["trace", "a@b"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("--admin"),
        "{said}"
    );
}

const BOUND: Duration = Duration::from_secs(10);
