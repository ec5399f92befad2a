//! Who gets in, where, and when not: slots, the queue, servers that go, a presence server that
//! refuses.

use super::*;

#[test]
fn sessions_go_to_the_server_with_the_fewest() {
    let mut world = World::new(config());
    for number in 0..10 {
        world.serve(&format!("sip:u{number}@example.com"));
    }
    assert_eq!(world.nlb.servers().live("one"), 5);
    assert_eq!(world.nlb.servers().live("two"), 5);
}

#[test]
fn who_waits_for_a_slot_gets_the_next_one_in_order() {
    let mut world = World::narrow(config());
    let users = ["sip:a@example.com", "sip:b@example.com", AL, BO];
    world.set_open(users[0], true);
    let paths = users.map(|user| world.enter(user));
    world.run(secs(8));
    assert!(world.has(AL, &What::Queued) && world.has(BO, &What::Queued));
    assert_eq!(world.nlb.counters().queued, 2);
    // Nothing of who waits is told to the presence server.
    assert_eq!(world.presence.registered.len(), 3);
    world.set_open(users[0], false);
    world.run(secs(1));
    assert!(world.admitted.contains_key(&paths[2]));
    assert_eq!(world.nlb.counters().queued, 1);
    world.run(secs(10));
    assert_eq!(world.refused, [(paths[3], Refusal::NoSlot)]);
    assert_eq!(world.nlb.counters().queued, 0);
}

#[test]
fn the_queue_is_bounded() {
    let mut world = World::narrow(Config {
        queue_max: 1,
        ..config()
    });
    for user in ["sip:a@example.com", "sip:b@example.com", AL] {
        world.enter(user);
    }
    let path = world.enter(BO);
    assert_eq!(world.refused, [(path, Refusal::Full)]);
    assert_eq!(world.nlb.counters().sessions, 3);
}

#[test]
fn without_a_healthy_server_nobody_waits() {
    let mut world = World::new(config());
    for server in ["one", "two"] {
        let is_up = false;
        world.input(Input::Health { server, is_up });
    }
    let path = world.enter(AL);
    assert_eq!(world.refused, [(path, Refusal::NoServer)]);
    assert_eq!(world.nlb.counters().sessions, 0);
}

#[test]
fn the_users_of_a_server_that_goes_down_move_and_are_told() {
    let mut world = World::new(config());
    let paths = [AL, BO].map(|user| (user, world.serve_open(user)));
    world.set_open(BO, false);
    world.run(millis(50));
    let servers = paths.map(|(_, path)| world.admitted[&path].server.clone());
    assert_ne!(servers[0], servers[1]);
    world.input(Input::Health {
        server: &servers[0],
        is_up: false,
    });
    world.run(secs(1));
    assert!(world.cut.contains(&(paths[0].1, CutReason::ServerGone)));
    let server = servers[1].as_str().into();
    assert!(world.has(AL, &What::Moved { server }));
    assert_eq!(world.presence.messages.len(), 1, "al is online and is told");
    let path = world.serve(AL);
    assert_eq!(world.admitted[&path].server, servers[1]);
    world.run(secs(60));
    assert_eq!(world.nlb.counters().resumed, 1);
    let aor = presently_sip::Aor::parse(AL).unwrap();
    assert_eq!(*world.rows[&aor].server, *servers[1]);
}

#[test]
fn a_user_without_a_slot_elsewhere_waits_at_the_next_request() {
    let mut world = World::narrow(config());
    let paths = [AL, BO].map(|user| (user, world.serve_open(user)));
    let server = world.admitted[&paths[0].1].server.clone();
    let is_up = false;
    world.input(Input::Health {
        server: &server,
        is_up,
    });
    world.run(secs(1));
    assert!(world.presence.messages.is_empty(), "there is nowhere to go");
    let path = world.enter(AL);
    world.run(secs(1));
    assert!(world.has(AL, &What::Queued) && !world.admitted.contains_key(&path));
    let is_up = true;
    world.input(Input::Health {
        server: &server,
        is_up,
    });
    world.run(secs(1));
    assert_eq!(world.admitted[&path].server, server);
}

#[test]
fn an_announcement_that_is_refused_gives_no_access() {
    let mut world = World::new(config());
    world.presence.publish_status = 403;
    let path = world.enter(AL);
    world.run(secs(5));
    assert_eq!(world.refused, [(path, Refusal::Unannounced)]);
    assert_eq!(world.nlb.counters().sessions, 0);
    assert_eq!(world.presence.registered.len(), 1, "only the own line");
    assert!(world.rows.is_empty() && world.presence.watched().is_empty());
}

// S12
#[test]
fn who_comes_back_during_the_goodbye_begins_anew_after_it() {
    let mut world = World::new(config());
    world.serve_open(AL);
    let uuid = world.nlb.sessions().next().unwrap().uuid;
    world.set_open(AL, false);
    while world.nlb.counters().leaving == 0 {
        world.run(millis(1));
    }
    let path = world.enter(AL);
    world.run(secs(1));
    assert!(world.admitted.contains_key(&path));
    assert_eq!(world.nlb.counters().sessions, 1);
    assert_ne!(world.nlb.sessions().next().unwrap().uuid, uuid);
    let names = names(&world.whats(AL));
    let purged = names.iter().position(|it| it == "Purged").unwrap();
    let admitted = names.iter().rposition(|it| it == "Admitted").unwrap();
    assert!(purged < admitted, "{names:?}");
    assert_eq!(world.presence.watched(), [AL]);
}

#[test]
fn paths_without_a_user_are_refused_or_served_without_presence() {
    let mut world = World::new(config());
    let path = world.enter_from(None, None);
    assert_eq!(world.refused, [(path, Refusal::Anonymous)]);
    let mut world = World::new(Config {
        anonymous: Anonymous::Admit,
        anonymous_max: 2,
        ..config()
    });
    let paths = [0; 3].map(|_| world.enter_from(None, None));
    assert_eq!(world.refused, [(paths[2], Refusal::Full)]);
    world.run(secs(1800));
    world.send(paths[0]);
    world.run(secs(1900));
    assert_eq!(world.cut, [(paths[1], CutReason::Idle)]);
    assert_eq!(world.nlb.servers().live_in_all(), 1);
    world.leave(paths[0]);
    assert_eq!(world.nlb.servers().live_in_all(), 0);
    assert_eq!(world.nlb.counters().paths, 0);
    assert_eq!(
        world.presence.log, ["REGISTER nlb1 3600"; 7],
        "the own line alone"
    );
}

#[test]
fn a_session_without_a_path_ends_by_the_ordinary_timeout() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    world.leave(path);
    world.run(secs(1790));
    assert_eq!(world.nlb.counters().sessions, 1);
    world.run(secs(20));
    assert!(world.has(AL, &What::Released { why: Why::Idle }));
    assert_eq!(world.nlb.counters().released_by_timeout, 1);
    assert_eq!(world.nlb.counters().sessions, 0);
}

// S20
#[test]
fn who_is_online_may_be_silent_for_a_day() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    world.run(secs(4 * 3600));
    assert_eq!(world.cut, [], "the ordinary hour is for who may have gone");
    world.run(secs(20 * 3600 + 30));
    assert_eq!(world.cut, [(path, CutReason::Idle)]);
}

// S22
#[test]
fn who_is_online_by_the_word_of_a_server_that_is_away_has_the_ordinary_hour() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    world.presence.is_away = true;
    world.run(secs(3500));
    assert_eq!(world.cut, []);
    world.run(secs(3600));
    assert_eq!(world.cut, [(path, CutReason::Idle)]);
}

#[test]
fn a_client_that_gives_up_waiting_leaves_nothing() {
    let mut world = World::narrow(config());
    for user in ["sip:a@example.com", "sip:b@example.com"] {
        world.serve(user);
    }
    let path = world.enter(AL);
    world.leave(path);
    world.run(secs(1));
    assert_eq!(world.nlb.counters().queued, 0);
    assert_eq!(world.nlb.counters().sessions, 2);
}

/// Al has access and no slot: his server has gone down, and bo has the only other one. Gives the
/// name of the server that is down.
fn without_a_slot(config: Config) -> (World, String) {
    let mut world = World::narrow(config);
    let path = world.serve(AL);
    world.serve(BO);
    let server = world.admitted[&path].server.clone();
    set_health(&mut world, &server, false);
    world.run(secs(1));
    assert_eq!(world.nlb.counters().queued, 0, "nobody asks for a slot");
    (world, server)
}

fn set_health(world: &mut World, server: &str, is_up: bool) {
    world.input(Input::Health { server, is_up });
}

#[test]
fn a_slot_that_comes_free_goes_to_nobody_who_has_given_up_waiting() {
    let (mut world, server) = without_a_slot(config());
    let path = world.enter(AL);
    world.run(secs(5));
    assert_eq!(world.nlb.counters().queued, 1);
    world.run(secs(6));
    assert_eq!(world.refused, [(path, Refusal::NoSlot)]);
    assert_eq!(world.nlb.counters().queued, 0);
    let path = world.enter(AL);
    world.leave(path);
    assert_eq!(world.nlb.counters().queued, 0, "he hung up");
    set_health(&mut world, &server, true);
    assert_eq!(world.nlb.servers().live(&server), 0, "it is anybody's");
    world.serve("sip:cy@example.com");
    // Al is one session all the while, and waits again when he asks again.
    assert_eq!(world.nlb.counters().sessions, 3);
    let path = world.enter(AL);
    assert_eq!(world.nlb.counters().queued, 1);
    world.set_open(BO, true);
    world.run(secs(6));
    world.set_open(BO, false);
    world.run(secs(1));
    assert!(world.admitted.contains_key(&path), "in bo's place");
}

#[test]
fn who_has_given_up_waiting_takes_no_room_in_the_queue() {
    let (mut world, _) = without_a_slot(Config {
        queue_max: 1,
        ..config()
    });
    world.enter(AL);
    world.run(secs(11));
    world.forget_notes();
    let path = world.enter("sip:cy@example.com");
    assert_eq!(world.nlb.counters().queued, 1);
    world.run(secs(11));
    assert_eq!(world.refused, [(path, Refusal::NoSlot)], "and not at once");
}

#[test]
fn who_waits_when_the_last_server_goes_down_leaves_the_queue() {
    let (mut world, server) = without_a_slot(config());
    let other = ["one", "two"].into_iter().find(|it| *it != server).unwrap();
    let first = world.enter(AL);
    set_health(&mut world, other, false);
    let second = world.enter(AL);
    let no_server = [first, second].map(|path| (path, Refusal::NoServer));
    assert_eq!(world.refused, no_server);
    assert_eq!(world.nlb.counters().queued, 0);
    set_health(&mut world, other, true);
    assert_eq!(world.nlb.servers().live_in_all(), 0, "bo does not ask");
}

#[test]
fn a_session_without_a_slot_ends_by_the_ordinary_timeout() {
    let (mut world, _) = without_a_slot(config());
    world.run(secs(1795));
    // Who waits is not sent away for having been idle, nor looked at all the time.
    let path = world.enter(AL);
    world.run(secs(9));
    assert_eq!(world.refused, []);
    let due = world.nlb.poll_timeout().unwrap();
    assert!(due.since(world.now.moment) > millis(100), "{due:?}");
    world.run(secs(2));
    assert_eq!(world.refused, [(path, Refusal::NoSlot)]);
    assert!(world.has(AL, &What::Released { why: Why::Idle }));
    assert_eq!(world.nlb.counters().sessions, 1);
    assert_eq!(world.presence.watched(), [BO]);
    assert_eq!(world.rows.len(), 1);
}

#[test]
fn paths_follow_their_server_to_another_address() {
    let mut world = World::new(Config {
        anonymous: Anonymous::Admit,
        ..config()
    });
    for user in [AL, BO] {
        world.serve(user);
    }
    for _ in 0..2 {
        world.enter_from(None, None);
    }
    let servers = world.nlb.servers().iter();
    let mut list: Vec<_> = servers.map(|it| (it.server.clone(), it.live)).collect();
    assert!(list.iter().all(|(_, live)| *live == 2), "{list:?}");
    list[0].0.address = ([192, 0, 2, 7], 81).into();
    let list: Vec<_> = list.into_iter().map(|(server, _)| server).collect();
    let counted = *world.nlb.counters();
    world.input(Input::Servers(list.clone()));
    for path in world.admitted.values() {
        let server = list.iter().find(|it| *it.name == *path.server).unwrap();
        assert_eq!(path.address, server.address);
    }
    assert_eq!(*world.nlb.counters(), counted, "nobody is admitted twice");
    assert_eq!(world.cut, []);
}
