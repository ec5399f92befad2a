//! `presently drain` and `undrain`: a server is emptied while phones publish and watch, one of them
//! deaf, and what nobody can do is said in a line.

use std::time::Duration;

use presently_agent::Event;
use presently_tests::program::{Caller, Pool, Process, Town, presently, run, until};
use rusqlite::Connection;
use serde_json::Value;

// R36
#[test]
fn a_server_is_drained_under_traffic_and_takes_clients_again() {
    let pool = Pool::start();
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    let watchers: Vec<_> = (0..24)
        .map(|n| {
            let place = town.udp(&format!("user{n}"), pool.udp());
            town.register(place);
            (place, town.watch(place, "alice"))
        })
        .collect();
    // A phone that subscribes and never answers a NOTIFY holds nothing up.
    let deaf = Caller::new(pool.udp());
    deaf.send(
        SUBSCRIBE
            .replace("PORT", &deaf.at().port().to_string())
            .as_bytes(),
    );
    town.publish(alice, true, "before");
    let from = pool.server_of("user0");

    let store = pool.place.store();
    let drain = ["drain", &from, "--wait", "20", "--store", &store, "--json"];
    let mut drain = Process::spawn(&mut presently(drain));
    let mut said: Option<Value> = None;
    let mut notes = 0;
    town.until("an empty server", |town| {
        let phone = town.phone(alice);
        if phone.count(|event| matches!(event, Event::Published { .. })) > notes {
            notes += 1;
            phone.publish(true, &format!("during {notes}"));
        }
        let lines = drain.said();
        said = lines
            .iter()
            .find_map(|line| serde_json::from_str(line).ok());
        said.is_some()
    });
    assert!(drain.ended(BOUND).success());
    let said = said.unwrap();
    assert_eq!(
        (&said["draining"], &said["clients"]),
        (&true.into(), &0.into())
    );
    let row = |pool: &Pool| {
        let status = pool.status();
        let members = status["members"].as_array().unwrap().iter();
        let mut rows = members.filter(|row| row["name"] == *from).cloned();
        rows.next().unwrap()
    };
    assert_eq!(row(&pool)["state"], "draining");

    town.until("the last publication", |town| {
        let phone = town.phone(alice);
        phone.count(|event| matches!(event, Event::Published { .. })) > notes
    });
    town.publish(alice, false, "after");
    for (place, id) in &watchers {
        town.until_shown(*place, *id, false, "after");
        let phone = town.phone(*place);
        let is_new = |event: &Event| matches!(event, Event::SubscriptionEnded { .. });
        assert!(!phone.saw(is_new), "no phone had to come again");
    }
    assert_eq!(row(&pool)["clients"], 0);

    let undrained = run(["undrain", &from, "--store", &store]);
    assert!(undrained.status.success());
    let fresh = town.udp("fresh", pool.udp());
    town.register(fresh);
    assert_eq!(pool.server_of("fresh"), from, "the emptiest takes it");
}

/// Goal: whoever undrains a server is obeyed, also while somebody waits for it to be empty. Method:
/// a pool that has stopped, so that its server keeps its client.
#[test]
fn a_wait_for_an_empty_server_ends_when_somebody_undrains_it() {
    let mut pool = Pool::start();
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    town.register(alice);
    let home = pool.server_of("alice");
    for member in pool.members() {
        member.process.take().unwrap().stop();
    }
    let store = pool.place.store();
    let drain = ["drain", &home, "--wait", "60", "--store", &store];
    let mut drain = Process::spawn(&mut presently(drain));
    let file = Connection::open(pool.place.path("pool.db")).unwrap();
    let is_draining = || {
        let sql = "SELECT draining FROM members WHERE name = ?1";
        let found = file.query_row(sql, [&home], |row| row.get::<_, bool>(0));
        found.unwrap()
    };
    until("a mark", BOUND, || is_draining().then_some(()));
    assert!(run(["undrain", &home, "--store", &store]).status.success());
    assert!(!drain.ended(BOUND).success());
    let said = drain.said();
    let expected = format!("presently: {home} is not drained any more: somebody undrained it");
    assert_eq!(said, [expected]);
    assert!(!is_draining(), "it was marked anew");
}

#[test]
fn what_cannot_be_drained_is_said_in_a_line() {
    let pool = Pool::start();
    let store = pool.place.store();
    for (args, said) in [
        (["drain", "nobody"], "no member is called nobody"),
        (["drain", "b1"], "b1 is a balancer: it has no clients"),
        (["undrain", "nobody"], "no member is called nobody"),
    ] {
        let output = run([&args[..], &["--store", &store]].concat());
        assert!(!output.status.success());
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(line, format!("presently: {said}\n"));
    }
    let status = pool.status();
    let mut members = status["members"].as_array().unwrap().iter();
    assert!(
        members.all(|row| row["state"] == "alive"),
        "what was refused changed something: {status}"
    );
    let missing = pool.place.path("missing.db");
    let missing = format!("sqlite:{}", missing.display());
    let output = run(["drain", "s1", "--store", &missing]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no store"));
}

const SUBSCRIBE: &str = "SUBSCRIBE sip:alice@example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bKdeaf;rport\r\n\
Max-Forwards: 70\r\n\
From: <sip:deaf@example.com>;tag=deaf\r\n\
To: <sip:alice@example.com>\r\n\
Call-ID: deaf\r\n\
CSeq: 1 SUBSCRIBE\r\n\
Contact: <sip:deaf@127.0.0.1:PORT>\r\n\
Event: presence\r\n\
Expires: 3600\r\n\
Content-Length: 0\r\n\r\n";
const BOUND: Duration = Duration::from_secs(30);
