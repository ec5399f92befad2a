//! What the nlb does when something dies: itself, an application server, the presence server.

use std::time::Duration;

use presently_agent::Event;
use presently_tests::program::{Application, Guest, Nlb, Plan, Pool, Town, run, until};

fn pool() -> Pool {
    Pool::with(&Plan {
        weights: vec![1],
        ..Plan::default()
    })
}

/// Subscriptions that the pool holds.
fn subscriptions(pool: &Pool) -> u64 {
    let status = pool.status();
    let members = status["members"].as_array().expect("a list");
    let counts = members
        .iter()
        .map(|member| member["subscriptions"].as_u64());
    counts.map(Option::unwrap_or_default).sum()
}

// S25 S26
#[test]
fn a_killed_nlb_takes_its_sessions_up_again_and_leaves_no_orphans() {
    let pool = pool();
    let servers = [Application::start("a1"), Application::start("a2")];
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&servers[0], &servers[1]]);
    let mut nlb = Nlb::start(&pool.place, &settings);
    let mut town = Town::default();
    let phones = ["alice", "bob"].map(|name| town.log_on(name, pool.udp()));
    let guests = ["alice", "bob"].map(|name| Guest::open(nlb.http, name, None).unwrap());
    for name in ["alice", "bob"] {
        nlb.until_steps(name, &["baseline"]);
    }
    let uuid = nlb.session("alice").unwrap().uuid;
    let before = subscriptions(&pool);
    nlb.process.kill();
    nlb.restart();
    for name in ["alice", "bob"] {
        nlb.until_steps(name, &["restored", "baseline"]);
    }
    assert_eq!(nlb.session("alice").unwrap().uuid, uuid);
    assert_eq!(subscriptions(&pool), before, "an orphan");
    let again = Guest::open(nlb.http, "alice", None).unwrap();
    assert_eq!(again.server, guests[0].server);
    // Who leaves after the restart is released by presence, with a connection or without.
    town.live(Duration::from_millis(3_500));
    for phone in phones {
        town.log_off(phone);
    }
    town.until("both to be released", |_| {
        nlb.sessions().sessions_total == 0
    });
    assert_eq!(nlb.metrics().get("nlb_slots_released_early"), 2);
    town.until("no subscription to be left", |_| subscriptions(&pool) == 0);
}

// S25
#[test]
fn of_two_nlbs_of_one_name_one_runs_and_the_other_takes_over() {
    let pool = pool();
    let server = Application::start("a1");
    let settings = || Nlb::settings(&pool.place, pool.udp(), &[&server]);
    let mut first = Nlb::start(&pool.place, &settings());
    let mut guest = Guest::open(first.http, "alice", None).unwrap();
    first.until_steps("alice", &["baseline"]);
    let uuid = first.session("alice").unwrap().uuid;
    let output = run([
        "nlb",
        "--config",
        &pool.place.write("other.toml", &settings()),
    ]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{said}"
    );
    let line = "presently: an nlb called nlb1 runs on this store: each needs a name of its own\n";
    assert_eq!(said, line);
    assert!(guest.echo());
    assert_eq!(first.session("alice").unwrap().uuid, uuid);
    // It stands still for longer than its lease.
    first.process.signal("STOP");
    let second = Nlb::start(&pool.place, &settings());
    second.until_steps("alice", &["restored", "baseline"]);
    assert_eq!(second.session("alice").unwrap().uuid, uuid);
    first.process.signal("CONT");
    let ended = first.process.ended(Duration::from_secs(10));
    assert!(!ended.success());
    let line = "presently: another nlb runs as nlb1 now: this one ends";
    let said = first.process.said();
    assert!(said.iter().any(|said| said == line), "{said:?}");
    assert_eq!(second.records().len(), 1);
}

#[test]
fn the_users_of_a_dead_application_server_move_and_are_told() {
    let pool = pool();
    let servers = [Application::start("a1"), Application::start("a2")];
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&servers[0], &servers[1]]);
    let nlb = Nlb::start(&pool.place, &settings);
    let mut town = Town::default();
    let alice = town.log_on("alice", pool.udp());
    let mut guest = Guest::open(nlb.http, "alice", None).unwrap();
    nlb.until_steps("alice", &["baseline"]);
    let dead = servers.iter().find(|server| server.name == guest.server);
    dead.unwrap().die();
    guest.until_closed();
    nlb.until_steps("alice", &["moved"]);
    town.until("alice to be told", |town| {
        let said = |event: &Event| matches!(event, Event::MessageReceived { .. });
        town.phone(alice).saw(said)
    });
    let again = Guest::open(nlb.http, "alice", None).unwrap();
    assert_ne!(again.server, guest.server);
    let row = nlb
        .sessions()
        .servers
        .into_iter()
        .find(|row| row.server == guest.server);
    assert_eq!(row.unwrap().state, "down");
}

// S22
#[test]
fn nobody_is_released_while_the_presence_server_is_away() {
    let mut pool = pool();
    let server = Application::start("a1");
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    let nlb = Nlb::start(&pool.place, &settings);
    let mut town = Town::default();
    town.log_on("alice", pool.udp());
    let mut guest = Guest::open(nlb.http, "alice", None).unwrap();
    nlb.until_steps("alice", &["baseline"]);
    for member in pool.members() {
        member.stop();
    }
    nlb.until_ready(503);
    assert_eq!(Guest::open(nlb.http, "bob", None).unwrap_err(), 503);
    assert!(
        guest.echo(),
        "a user was cut because the presence server is away"
    );
    for member in pool.members() {
        member.restart();
    }
    pool.wait();
    nlb.until_ready(200);
    assert!(guest.echo());
    assert_eq!(nlb.metrics().get("nlb_slots_released_early"), 0);
    until("bob to get a server", Duration::from_secs(15), || {
        Guest::open(nlb.http, "bob", None).ok()
    });
}
