//! Goal: a user that an nlb serves keeps its server, and costs it nothing while it is away.
//! Method: a session is put into the store as an nlb does; the log-off's writes are counted.

use std::time::Duration;

use presently_sip::{Aor, WallTime};
use presently_store::{Operation, Outcome, Session, SessionState};
use presently_tests::world::World;

use super::play::{BOTH, SOON, assert_lawful, log_off, log_on, publish, register, server, watch};

// S12
#[test]
fn a_served_user_keeps_its_server_until_the_session_is_purged() {
    for arrangement in BOTH {
        let mut world = World::new(1, 3, arrangement);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let id = watch(&mut world, bob, alice);
        let owner = server(&mut world, "alice");
        keep(&mut world, "alice");
        log_off(&mut world, alice);
        let before = commits(&world);
        world.run_for(Duration::from_secs(290));
        assert_eq!(commits(&world), before, "nobody asks again and again");
        world.run_for(Duration::from_secs(20));
        assert_eq!(commits(&world), before + 1, "but now and then");
        assert_eq!(world.server_of("alice"), Some(owner));
        assert_eq!(world.status().clients, 2);
        // The user comes back, is seen, and goes.
        register(&mut world, alice);
        publish(&mut world, alice, "back");
        assert_eq!(world.phones[bob].shows(id), Some((true, "back".to_owned())));
        log_off(&mut world, alice);
        assert_eq!(world.server_of("alice"), Some(owner));
        assert!(purge(&mut world, "alice"));
        assert_eq!(world.server_of("alice"), None);
        assert_eq!(world.status().clients, 1);
        // Its server finds out by itself.
        world.run_for(Duration::from_secs(310));
        assert_lawful(&mut world);
    }
}

/// The server is not told that the session is over: the user must not find it in the way.
#[test]
fn a_user_whose_session_was_purged_logs_on_anew() {
    for wait in [Duration::ZERO, SOON, Duration::from_secs(310)] {
        for arrangement in BOTH {
            let mut world = World::new(2, 3, arrangement);
            let alice = log_on(&mut world, "alice");
            let bob = log_on(&mut world, "bob");
            let id = watch(&mut world, bob, alice);
            keep(&mut world, "alice");
            log_off(&mut world, alice);
            assert!(purge(&mut world, "alice"));
            world.run_for(wait);
            register(&mut world, alice);
            publish(&mut world, alice, "again");
            world.run_for(Duration::from_secs(2));
            let shown = Some((true, "again".to_owned()));
            assert_eq!(world.phones[bob].shows(id), shown, "{wait:?}");
            assert_eq!(world.status().clients, 2);
            assert_lawful(&mut world);
        }
    }
}

fn commits(world: &World) -> u64 {
    world.servers().map(|one| one.counters().commits).sum()
}

fn keep(world: &mut World, user: &str) {
    let session = Session {
        user: aor(user),
        nlb: "nlb1".into(),
        uuid: "uuid".into(),
        handle: aor("nlb1.1"),
        server: "app1".into(),
        state: SessionState::Serving,
        since: WallTime(0),
        presence: "open".into(),
        sent: None,
        feed: "".into(),
        tag: None,
        until: WallTime(i64::MAX.unsigned_abs()),
    };
    world.ask(Operation::KeepSession(Box::new(session)));
}

fn purge(world: &mut World, user: &str) -> bool {
    let operation = Operation::PurgeSession {
        user: aor(user),
        nlb: "nlb1".into(),
        release_at: WallTime(i64::MAX.unsigned_abs()),
    };
    match world.ask(operation) {
        Outcome::Purged { released } => released,
        other => panic!("not purged: {other:?}"),
    }
}

fn aor(user: &str) -> Aor {
    Aor::parse(&format!("sip:{user}@example.com")).expect("a user")
}
