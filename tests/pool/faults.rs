//! One fault at a time, under load: whatever dies, stands still, is cut off or comes back, every
//! watcher ends with the last state, in the dialogs it had, and no phone notices.

use std::time::{Duration, Instant};

use presently_tests::program::{
    Caller, Crowd, Plan, Pool, Process, Reply, Size, Trouble, presently, request, until, user_of,
};

/// Phones for three servers: each of them has some, and watchers of the others' users.
const SIZE: Size = Size {
    udp: 18,
    tcp: 6,
    watches: 3,
};

/// Seconds and less of waiting that no test may exceed, on a machine that does other things too.
const MOVED_WITHIN: Duration = Duration::from_secs(15);

/// Waits, under load, until the life `incarnation` of the server called `name` has no client.
fn until_moved(crowd: &mut Crowd, pool: &Pool, name: &str, incarnation: u64) {
    let what = format!("the clients of {name} to be moved");
    crowd.until(&what, |_| {
        let (clients, life) = pool.life_of(name);
        (clients == 0 || life != incarnation).then_some(())
    });
}

#[test]
fn a_killed_server_loses_nothing() {
    let mut pool = Pool::start();
    let mut crowd = Crowd::gather(&pool, SIZE);
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..4 {
        let clients = pool.clients();
        let victim = (0..3).max_by_key(|place| clients[*place]).unwrap();
        let name = format!("s{}", victim + 1);
        let (clients, life) = pool.life_of(&name);
        // Somewhere between a commit and its wakes, sooner or later.
        crowd.live(Duration::from_micros(random.u64(100_000..400_000)));
        pool.servers[victim].kill();
        until_moved(&mut crowd, &pool, &name, life);
        let told = crowd.settle();
        println!("round {round}: {clients} clients moved: {told:?}");
        pool.servers[victim].restart();
        pool.wait();
    }
}

/// Empties the fullest server under load and lets it have clients again.
fn drain_the_fullest(pool: &Pool, crowd: &mut Crowd) {
    let clients = pool.clients();
    let place = (0..clients.len()).max_by_key(|place| clients[*place]);
    let name = format!("s{}", place.unwrap() + 1);
    let store = pool.place.store();
    for command in ["drain", "undrain"] {
        let args = [command, &name, "--store", &store];
        let mut process = Process::spawn(&mut presently(args));
        let ended = crowd.until(command, |_| process.has_ended());
        assert!(ended.success(), "{:?}", process.said());
        crowd.until("nobody to be left", |_| {
            (pool.life_of(&name).0 == 0).then_some(())
        });
    }
}

#[test]
fn a_server_that_stood_still_comes_back_as_a_fresh_member() {
    let pool = Pool::start();
    let mut crowd = Crowd::gather(&pool, SIZE);
    crowd.live(Duration::from_millis(300));
    let (_, life) = pool.life_of("s2");
    let process = pool.servers[1].process.as_ref().unwrap();
    process.signal("STOP");
    until_moved(&mut crowd, &pool, "s2", life);
    crowd.live(Duration::from_secs(1));
    process.signal("CONT");
    // It joins by itself; what it still holds of its old life is not said.
    crowd.until("s2 to join anew", |_| {
        let (_, now) = pool.life_of("s2");
        (now != life).then_some(())
    });
    crowd.live(Duration::from_millis(500));
    let told = crowd.settle();
    println!("{told:?}");
    // And serves like any other.
    until("s2 to be ready", MOVED_WITHIN, || {
        let (status, _) = presently_tests::program::http(pool.servers[1].admin, "/readyz")?;
        (status == 200).then_some(())
    });
    drain_the_fullest(&pool, &mut crowd);
    crowd.live(Duration::from_millis(300));
    crowd.settle();
    assert!(pool.life_of("s2").0 > 0);
}

#[test]
fn a_server_started_while_its_former_process_stands_still_answers_new_phones() {
    let mut pool = Pool::start();
    let mut crowd = Crowd::gather(&pool, SIZE);
    crowd.live(Duration::from_millis(300));
    let (_, life) = pool.life_of("s1");
    // Until this value goes, its system acknowledges whatever it is sent.
    let mut frozen = pool.servers[0].process.take().unwrap();
    frozen.signal("STOP");
    until_moved(&mut crowd, &pool, "s1", life);
    pool.servers[0].restart();
    pool.wait();
    for user in ["anna", "bert", "cleo"] {
        let start = Instant::now();
        crowd.town.log_on(user, pool.udp());
        assert!(start.elapsed() < MOVED_WITHIN / 3, "{:?}", start.elapsed());
        assert_eq!(pool.server_of(user), "s1");
    }
    crowd.live(Duration::from_millis(500));
    let told = crowd.settle();
    println!("{told:?}");
    assert_eq!(frozen.has_ended(), None);
}

#[test]
fn a_short_standstill_changes_nothing() {
    let pool = Pool::start();
    let mut crowd = Crowd::gather(&pool, SIZE);
    let lives = ["s1", "s2", "s3"].map(|name| pool.life_of(name));
    for server in &pool.servers {
        let process = server.process.as_ref().unwrap();
        process.signal("STOP");
        crowd.live(Duration::from_millis(500));
        process.signal("CONT");
        crowd.live(Duration::from_millis(300));
    }
    crowd.settle();
    assert_eq!(["s1", "s2", "s3"].map(|name| pool.life_of(name)), lives);
}

#[test]
fn all_processes_killed_at_once_come_back_with_everything() {
    let mut pool = Pool::start();
    // A connection is gone with its balancer: what TCP phones see then is another test's.
    let size = Size {
        udp: 24,
        tcp: 0,
        ..SIZE
    };
    let mut crowd = Crowd::gather(&pool, size);
    crowd.live(Duration::from_millis(500));
    for member in pool.members() {
        member.kill();
    }
    crowd.live(Duration::from_millis(300));
    for member in pool.members() {
        member.restart();
    }
    pool.wait();
    crowd.live(Duration::from_millis(500));
    let told = crowd.settle();
    println!("{told:?}");
}

/// Two balancers that phones know by one name.
fn two_balancers() -> Pool {
    let listen = |protocol: &str| format!("{protocol}:127.0.0.1:0,advertise=sip.example.com:5060");
    Pool::with(&Plan {
        listen: vec![listen("udp"), listen("tcp")],
        second: vec![listen("udp"), listen("tcp")],
        ..Plan::default()
    })
}

#[test]
fn another_balancer_routes_the_dialogs_of_one_that_died() {
    let mut pool = two_balancers();
    let mut crowd = Crowd::gather(&pool, SIZE);
    crowd.live(Duration::from_millis(300));
    crowd.settle();
    pool.balancer.kill();
    // A connection is gone: the next request of each tells its new flow.
    crowd.move_to(pool.second.as_ref().unwrap());
    crowd.live(Duration::from_secs(1));
    let told = crowd.settle();
    println!("{told:?}");
}

#[test]
fn phones_over_udp_do_not_notice_that_their_balancer_died() {
    let mut pool = two_balancers();
    let mut crowd = Crowd::gather(&pool, Size { tcp: 0, ..SIZE });
    crowd.live(Duration::from_millis(300));
    pool.balancer.kill();
    crowd.led_to(pool.second.as_ref().unwrap());
    crowd.live(Duration::from_secs(1));
    let told = crowd.settle();
    println!("{told:?}");
}

#[test]
fn wakes_lost_repeated_and_out_of_order_cost_time_only() {
    let plan = Plan {
        is_relayed: true,
        ..Plan::default()
    };
    let pool = Pool::with(&plan);
    let mut crowd = Crowd::gather(&pool, SIZE);
    for relay in &pool.relays {
        relay.trouble(Trouble {
            lost: 30,
            repeated: 10,
            delayed: 30,
            delay: Duration::from_millis(50),
        });
    }
    crowd.live(Duration::from_secs(4));
    let told = crowd.settle();
    println!("{told:?}");
    assert!(told.converged_in < MOVED_WITHIN / 3, "{told:?}");
    for relay in &pool.relays {
        let relayed = relay.relayed();
        assert!(relayed.passed > 0 && relayed.lost > 0, "{relayed:?}");
    }
    // Nothing more reaches the first server for a while: it is told of others' users when it does.
    let cut = Trouble {
        lost: 100,
        ..Trouble::default()
    };
    pool.relays[0].trouble(cut);
    crowd.live(Duration::from_secs(3));
    for relay in &pool.relays {
        relay.trouble(Trouble::default());
    }
    let told = crowd.settle();
    println!("{told:?}");
    assert!(told.converged_in < MOVED_WITHIN / 3, "{told:?}");
    let lives = ["s1", "s2", "s3"].map(|name| pool.life_of(name).0);
    assert!(lives.iter().all(|clients| *clients > 0), "{lives:?}");
}

#[test]
fn a_store_that_is_locked_from_outside_loses_nothing() {
    let pool = Pool::start();
    let mut crowd = Crowd::gather(&pool, SIZE);
    crowd.live(Duration::from_millis(200));
    let lives = ["s1", "s2", "s3"].map(|name| pool.life_of(name));
    let lock = rusqlite::Connection::open(pool.place.path("pool.db")).unwrap();
    lock.busy_timeout(Duration::from_secs(5)).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    crowd.live(Duration::from_secs(3));
    lock.execute_batch("COMMIT").unwrap();
    drop(lock);
    let told = crowd.settle();
    println!("{told:?}");
    // A stalled store ends nobody.
    assert_eq!(["s1", "s2", "s3"].map(|name| pool.life_of(name)), lives);
}

#[test]
fn a_rolling_restart_under_load_loses_nothing() {
    let mut pool = Pool::start();
    let size = Size {
        udp: 24,
        tcp: 0,
        ..SIZE
    };
    let mut crowd = Crowd::gather(&pool, size);
    for place in 0..pool.members().count() {
        let member = pool.members().nth(place).unwrap();
        let name = member.name.clone();
        let mut process = member.process.take().unwrap();
        process.signal("TERM");
        crowd.until(&format!("{name} to end"), |_| process.has_ended());
        member.restart();
        // Ready before the next goes, as an operator waits for it.
        crowd.live(Duration::from_millis(500));
        pool.wait();
        crowd.live(Duration::from_millis(300));
    }
    let told = crowd.settle();
    println!("{told:?}");
}

#[test]
fn a_repeat_after_the_kill_gets_the_answer_that_was_lost() {
    let mut pool = Pool::start();
    let caller = Caller::new(pool.udp());
    let uri = user_of("alice");
    let body = "<?xml version='1.0'?><presence xmlns='urn:ietf:params:xml:ns:pidf' \
                entity='sip:alice@example.com'><tuple id='t'><status><basic>open</basic></status>\
                </tuple></presence>";
    let publish = [
        "Event: presence",
        "Expires: 600",
        "Content-Type: application/pidf+xml",
    ];
    let subscribe = [
        "Event: presence",
        "Expires: 600",
        "Accept: application/pidf+xml",
    ];
    let ask = |method: &str, lines: &[&str], body: &str| {
        request(method, &uri, caller.at(), "UDP", lines, body)
    };
    let requests = [
        ask("REGISTER", &["Expires: 600"], ""),
        ask("PUBLISH", &publish, body),
        ask("SUBSCRIBE", &subscribe, ""),
    ];
    let answers = |caller: &Caller| {
        let answers = requests.iter().map(|it| essence(&caller.ask(it)));
        answers.collect::<Vec<_>>()
    };
    let before = answers(&caller);
    assert!(
        before.iter().all(|answer| answer.0 == Some(200)),
        "{before:?}"
    );
    let home = pool.server_of("alice");
    let member = pool.servers.iter_mut().find(|it| it.name == home).unwrap();
    member.kill();
    let start = Instant::now();
    assert_eq!(answers(&caller), before);
    println!("answered again after {:?}", start.elapsed());
    assert_ne!(pool.server_of("alice"), home);
    let shown = pool.show("alice").unwrap();
    for what in ["bindings", "publications", "watches"] {
        let rows = shown[what].as_array().unwrap();
        assert_eq!(rows.len(), 1, "{what}: {shown}");
    }
}

/// What must be the same in the answer to a repeat: status, tag, entity-tag, what was granted.
fn essence(reply: &Reply) -> (Option<u16>, Vec<Option<String>>) {
    let headers = ["To", "SIP-ETag", "Expires", "CSeq", "Call-ID"];
    let values = headers.map(|name| reply.header(name).map(str::to_owned));
    (reply.status(), values.to_vec())
}
