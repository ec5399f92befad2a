//! R1 to R14 at the wire, in the store, and in what each process counts.

use std::time::Duration;

use presently_agent::Event;
use presently_tests::program::{Caller, Metrics, Plan, Pool, Town, request, until, user_of};
use serde_json::Value;

/// What each server counts, by the order of their names.
fn count(pool: &Pool) -> Vec<Metrics> {
    pool.servers.iter().map(|server| server.metrics()).collect()
}

/// By how much each server's `name` has grown.
fn grown(pool: &Pool, before: &[Metrics], name: &str) -> Vec<i64> {
    let now = count(pool);
    let pairs = now.iter().zip(before);
    pairs.map(|(now, before)| now.grown(name, before)).collect()
}

/// The place of a server in the order of names.
fn place(name: &str) -> usize {
    let number: usize = name[1..].parse().unwrap();
    number - 1
}

/// Three users on three servers: (place of the phone, its server), in the order alice, bob, carol.
fn three_users(pool: &Pool, town: &mut Town) -> [(usize, usize); 3] {
    ["alice", "bob", "carol"].map(|user| {
        let phone = town.udp(user, pool.udp());
        town.register(phone);
        (phone, place(&pool.server_of(user)))
    })
}

/// One where `at` says, zero elsewhere.
fn only(at: usize) -> Vec<i64> {
    (0..3).map(|place| i64::from(place == at)).collect()
}

// R1
#[test]
fn a_phone_hears_from_nobody_but_the_balancer() {
    let pool = Pool::start();
    let mut town = Town::default();
    let [(alice, _), (bob, _), _] = three_users(&pool, &mut town);
    let watch = town.watch(bob, "alice");
    town.publish(alice, true, "here");
    town.until_shown(bob, watch, true, "here");
    let hidden: Vec<String> = pool.status()["members"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| [&row["sip"], &row["oob"]])
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    assert!(hidden.len() >= 6, "{hidden:?}");
    for phone in &town.phones {
        assert!(!phone.heard.is_empty());
        for (from, text) in &phone.heard {
            assert_eq!(*from, pool.udp());
            for address in &hidden {
                assert!(!text.contains(address), "{address} in\n{text}");
            }
        }
    }
}

// R2
#[test]
fn a_logon_goes_to_the_server_with_the_fewest_clients() {
    let pool = Pool::start();
    let mut town = Town::default();
    let users: Vec<String> = (0..9).map(|number| format!("user{number}")).collect();
    for (number, user) in users.iter().enumerate() {
        let phone = town.udp(user, pool.udp());
        town.register(phone);
        let clients = pool.clients();
        let spread = clients.iter().max().unwrap() - clients.iter().min().unwrap();
        assert!(spread <= 1, "{clients:?} after {} logons", number + 1);
    }
    let of_s2 = |user: &&String| pool.server_of(user) == "s2";
    let leaving: Vec<String> = users.iter().filter(of_s2).cloned().collect();
    assert_eq!(leaving.len(), 3);
    for user in &leaving {
        let phone = users.iter().position(|it| it == user).unwrap();
        town.phone(phone).register(0);
        town.until("unregistered", |town| {
            town.phone(phone).saw(|event| *event == Event::Unregistered)
        });
    }
    assert_eq!(pool.clients(), [3, 0, 3]);
    for user in ["new0", "new1", "new2"] {
        let phone = town.udp(user, pool.udp());
        town.register(phone);
        assert_eq!(pool.server_of(user), "s2");
    }
}

// R2
#[test]
fn logons_are_shared_out_by_weight() {
    let weights = vec![2, 1];
    let pool = Pool::with(&Plan {
        weights,
        ..Plan::default()
    });
    let mut town = Town::default();
    for number in 0..9 {
        let phone = town.udp(&format!("user{number}"), pool.udp());
        town.register(phone);
    }
    assert_eq!(pool.clients(), [6, 3]);
}

// R3
#[test]
fn an_assignment_is_in_the_store_before_the_answer_and_outlives_the_balancer() {
    let mut pool = Pool::start();
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    town.phone(alice).register(600);
    town.until("a 200", |town| {
        let heard = &town.phone(alice).heard;
        heard
            .iter()
            .any(|(_, text)| text.starts_with("SIP/2.0 200"))
    });
    // What was confirmed survives the worst.
    pool.balancer.kill();
    let shown = pool.show("alice").unwrap();
    let server = shown["server"].as_str().unwrap().to_owned();
    assert_eq!(shown["bindings"].as_array().unwrap().len(), 1);
    pool.balancer.restart();
    pool.wait();
    let before = count(&pool);
    town.publish(alice, true, "still there");
    assert_eq!(
        grown(&pool, &before, "presence_requests_received"),
        only(place(&server))
    );
    let again = pool.show("alice").unwrap();
    assert_eq!(again["server"], Value::from(server));
    assert_eq!(again["epoch"], shown["epoch"]);
}

// R4, R6
#[test]
fn an_update_arrives_at_the_balancer_and_goes_to_one_server() {
    let pool = Pool::start();
    let mut town = Town::default();
    let [(alice, home), ..] = three_users(&pool, &mut town);
    let (balancer, servers) = (pool.balancer.metrics(), count(&pool));
    town.publish(alice, true, "here");
    let now = pool.balancer.metrics();
    assert_eq!(now.grown("balancer_requests_forwarded", &balancer), 1);
    assert_eq!(
        grown(&pool, &servers, "presence_requests_received"),
        only(home)
    );
    assert_eq!(
        grown(&pool, &servers, "presence_documents_written"),
        only(home)
    );
}

// R5
#[test]
fn an_update_after_a_move_goes_to_the_new_server() {
    let pool = Pool::start();
    let mut town = Town::default();
    let [(alice, home), ..] = three_users(&pool, &mut town);
    town.publish(alice, true, "one");
    let next = (home + 1) % 3;
    pool.reassign("alice", &format!("s{}", next + 1));
    let before = count(&pool);
    town.publish(alice, true, "two");
    assert_eq!(
        grown(&pool, &before, "presence_documents_written"),
        only(next)
    );
    assert_eq!(place(&pool.server_of("alice")), next);
    let shown = pool.show("alice").unwrap();
    let body = shown["documents"][0]["body"].as_str().unwrap();
    assert!(body.contains("two"), "{body}");
    assert_eq!(shown["publications"].as_array().unwrap().len(), 1);
}

// R7
#[test]
fn an_update_is_in_the_store_where_any_server_reads_it() {
    let pool = Pool::start();
    let mut town = Town::default();
    let [(alice, _), (bob, _), (carol, _)] = three_users(&pool, &mut town);
    town.publish(alice, false, "gone fishing");
    let shown = pool.show("alice").unwrap();
    let document = &shown["documents"][0];
    assert!(document["version"].as_u64().unwrap() > 0);
    assert!(document["body"].as_str().unwrap().contains("gone fishing"));
    // Bob and carol are on the two other servers.
    for phone in [bob, carol] {
        let watch = town.watch(phone, "alice");
        let shown = town.phone(phone).shows(watch);
        assert_eq!(shown, Some((false, "gone fishing".to_owned())));
    }
}

// R8, R10, R12, R13
#[test]
fn a_subscription_made_elsewhere_is_found_in_the_store_and_woken_once() {
    let pool = Pool::start();
    let mut town = Town::default();
    let [(alice, a), (bob, b), _] = three_users(&pool, &mut town);
    let quiet = count(&pool);
    let watch = town.watch(bob, "alice");
    let second = town.watch(bob, "alice");
    let none = [0; 3];
    assert_eq!(
        grown(&pool, &quiet, "oob_items_sent"),
        none,
        "SUBSCRIBE wakes nobody"
    );

    let before = count(&pool);
    let links = before.iter().map(|it| it.get("link_connections_opened"));
    let links: i64 = links.sum();
    town.publish(alice, true, "here");
    town.until_shown(bob, watch, true, "here");
    town.until_shown(bob, second, true, "here");
    assert_eq!(grown(&pool, &before, "presence_wakes_sent"), only(a));
    assert_eq!(grown(&pool, &before, "oob_frames_sent"), only(a));
    assert_eq!(grown(&pool, &before, "oob_items_taken"), only(b));
    assert_eq!(grown(&pool, &before, "presence_documents_read"), only(b));
    let notified = grown(&pool, &before, "presence_notifies_sent");
    assert_eq!(notified[b], 2);
    assert_eq!(notified.iter().sum::<i64>(), 2);
    // No SIP between servers: each has the balancer's link and no other.
    assert!(links <= 3, "{links} links of three servers");
    let requests = grown(&pool, &before, "presence_requests_received");
    assert_eq!(requests, only(a), "one PUBLISH, and nothing passed on");
}

// R9
#[test]
fn an_update_reaches_a_subscriber_where_it_was_moved_to() {
    let pool = Pool::start();
    let mut town = Town::default();
    let [(alice, a), (bob, b), (_, c)] = three_users(&pool, &mut town);
    let watch = town.watch(bob, "alice");
    pool.reassign("bob", &format!("s{}", c + 1));
    // Bob's next request finds its way; where bob is, alice's server reads in the store alone.
    let is_answer = |event: &Event| matches!(event, Event::Registered { .. });
    town.phone(bob).register(600);
    town.until("registered again", |town| {
        town.phone(bob).count(is_answer) > 1
    });
    let before = count(&pool);
    town.publish(alice, true, "found you");
    town.until_shown(bob, watch, true, "found you");
    let mut woken = [0; 3];
    woken[c] = 1;
    assert_eq!(grown(&pool, &before, "oob_items_taken"), woken);
    let notified = grown(&pool, &before, "presence_notifies_sent");
    assert_eq!([notified[a], notified[b]], [0, 0]);
    assert!(notified[c] >= 1);
    // The same dialog, and its numbers went up.
    let told = town
        .phone(bob)
        .count(|event| matches!(event, Event::OutOfOrder { .. }));
    assert_eq!(told, 0);
}

// R11, R13
#[test]
fn a_wake_says_whom_to_tell() {
    let pool = Pool::start();
    let mut town = Town::default();
    let [(alice, a), (bob, b), (carol, _)] = three_users(&pool, &mut town);
    // Dave comes to bob's server, for the others are moved off it.
    let dave = town.udp("dave", pool.udp());
    town.register(dave);
    if place(&pool.server_of("dave")) != b {
        pool.reassign("dave", &format!("s{}", b + 1));
    }
    let of_alice = town.watch(bob, "alice");
    let of_carol = town.watch(dave, "carol");
    let before = count(&pool);
    town.publish(alice, true, "for bob");
    town.until_shown(bob, of_alice, true, "for bob");
    town.live(Duration::from_millis(300));
    assert_eq!(grown(&pool, &before, "presence_notifies_sent")[b], 1);
    assert_eq!(grown(&pool, &before, "presence_documents_read")[b], 1);
    assert_eq!(town.phone(dave).notified(of_carol), 1);
    assert_eq!(grown(&pool, &before, "presence_notifies_sent")[a], 0);
    town.publish(carol, true, "for dave");
    town.until_shown(dave, of_carol, true, "for dave");
    assert_eq!(town.phone(bob).notified(of_alice), 2);
}

// R14
#[test]
fn no_committed_state_is_lost_with_a_server() {
    let mut pool = Pool::start();
    let mut town = Town::default();
    let [(alice, _), (bob, _), _] = three_users(&pool, &mut town);
    let watch = town.watch(bob, "alice");
    town.publish(alice, true, "before");
    town.until_shown(bob, watch, true, "before");
    let kept = |pool: &Pool| {
        let mut shown = [pool.show("alice").unwrap(), pool.show("bob").unwrap()];
        for part in &mut shown {
            forget_times(part);
        }
        shown
    };
    let before = kept(&pool);
    for server in &mut pool.servers {
        server.kill();
    }
    assert_eq!(kept(&pool), before);
    for server in &mut pool.servers {
        server.restart();
    }
    pool.wait();
    // The entity-tag still holds: a phone that got 412 would have to publish anew.
    town.phone(alice)
        .ask(|agent, now, out| agent.refresh_publication(now, "presence", out));
    town.publish(alice, true, "after");
    assert!(
        !town
            .phone(alice)
            .saw(|event| matches!(event, Event::PublishFailed { .. }))
    );
    town.until_shown(bob, watch, true, "after");
}

/// Takes out what runs by itself.
fn forget_times(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(forget_times),
        Value::Object(map) => {
            map.remove("expires_in_secs");
            map.values_mut().for_each(forget_times);
        }
        _ => {}
    }
}

// R7, R26
#[test]
fn a_log_off_is_told_and_leaves_no_client() {
    let pool = Pool::start();
    let mut town = Town::default();
    let [(alice, _), (bob, _), _] = three_users(&pool, &mut town);
    let watch = town.watch(bob, "alice");
    assert_eq!(town.phone(bob).shows(watch), Some((true, String::new())));
    town.phone(alice).register(0);
    town.until_shown(bob, watch, false, "");
    assert_eq!(pool.clients().iter().sum::<u64>(), 2);
}

// R6
#[test]
fn a_request_of_nobody_known_is_assigned_and_a_refused_one_leaves_nothing() {
    let pool = Pool::start();
    let caller = Caller::new(pool.udp());
    let uri = user_of("nobody");
    let lines = [
        "Event: presence",
        "SIP-If-Match: never-given",
        "Expires: 600",
    ];
    let publish = request("PUBLISH", &uri, caller.at(), "UDP", &lines, "");
    assert_eq!(caller.ask(&publish).status(), Some(412));
    // The release follows the answer.
    until(
        "the assignment to be released",
        Duration::from_secs(5),
        || (pool.clients() == [0, 0, 0]).then_some(()),
    );
}
