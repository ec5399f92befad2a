//! The presence server away and back, presence that fails for all, a store that refuses.

use super::*;

/// Users who are online, idle, and served.
fn crowd(count: u32) -> (World, Vec<String>) {
    let mut world = World::new(config());
    let users: Vec<String> = (0..count)
        .map(|it| format!("sip:u{it}@example.com"))
        .collect();
    for user in &users {
        world.serve_open(user);
    }
    (world, users)
}

// S22
#[test]
fn while_the_presence_server_is_away_nobody_is_released_by_it() {
    let (mut world, users) = crowd(3);
    let own = "sip:nlb1@example.com";
    let closed = world.closed_later(&users[0]);
    world.presence.is_away = true;
    world.run(secs(20));
    assert!(world.has(own, &What::Unreachable));
    assert!(!world.nlb.is_reachable());
    // A word of it that was long on its way.
    world.input(Input::Sip(closed[0].as_bytes()));
    world.run(secs(600));
    assert!(world.has(&users[0], &What::Decided(Decision::Baseline)));
    assert_eq!(world.nlb.counters().sessions, 3);
    assert!(world.cut.is_empty());
    // Those who are known are served on.
    world.serve(&users[1]);
}

// S22
#[test]
fn what_was_pending_when_it_went_away_is_dismissed() {
    let (mut world, users) = crowd(2);
    let path = *world.admitted.keys().next().unwrap();
    world.presence.message_status = 480;
    world.push(path);
    world.set_open(&users[0], false);
    world.run(millis(100));
    assert!(world.has(&users[0], &What::Decided(Decision::Reestablish)));
    world.input(Input::FlowLost);
    world.presence.is_away = true;
    world.run(secs(600));
    assert!(world.cut.is_empty());
    assert_eq!(world.nlb.counters().dismissed, 1);
}

// S22
#[test]
fn when_it_is_back_every_feed_is_refreshed_before_anything_acts() {
    let (mut world, users) = crowd(3);
    world.presence.is_away = true;
    world.run(secs(30));
    world.set_open(&users[0], false);
    world.presence.is_away = false;
    world.run(secs(30));
    assert!(world.nlb.is_reachable());
    for (user, is_open) in [(&users[0], false), (&users[1], true)] {
        let baselines = world.whats(user);
        let mut baselines = baselines
            .iter()
            .filter(|it| matches!(it, What::Baseline { .. }));
        assert_eq!(baselines.next_back(), Some(&What::Baseline { is_open }));
    }
    assert!(world.cut.is_empty());
    // From here on it is believed again.
    world.set_open(&users[1], false);
    world.run(secs(2));
    assert!(world.has(&users[1], &What::Released { why: Why::Left }));
    assert!(!world.has(&users[0], &What::Released { why: Why::Left }));
    // And who is seen online again is followed as before.
    world.set_open(&users[0], true);
    world.run(secs(1));
    world.set_open(&users[0], false);
    world.run(secs(2));
    assert!(world.has(&users[0], &What::Released { why: Why::Left }));
}

// S22
#[test]
fn a_presence_server_that_forgot_everything_is_told_everything() {
    let (mut world, users) = crowd(3);
    world.presence.is_away = true;
    world.run(secs(30));
    world.presence.forget();
    world.presence.is_away = false;
    world.run(secs(60));
    assert_eq!(world.presence.watched().len(), users.len());
    assert_eq!(world.presence.registered.len(), users.len() + 1);
    assert_eq!(world.presence.published.len(), users.len());
}

// S7
// S22
#[test]
fn an_answer_that_was_long_in_coming_does_not_tell_the_servers_clock_for_long() {
    let mut world = World::new(config());
    world.delay = |_| secs(5);
    world.run(secs(11));
    world.delay = |_| millis(1);
    world.run(secs(60));
    world.serve_open(AL);
    world.set_open(AL, false);
    world.run(secs(1));
    // With five seconds left open it would count as use to have opened the path.
    assert!(world.has(AL, &What::Released { why: Why::Left }));
}

// S22
#[test]
fn new_users_are_refused_while_it_is_away_or_served_without_it() {
    let mut world = World::new(config());
    world.presence.is_away = true;
    let path = world.enter(AL);
    world.run(secs(11));
    assert_eq!(world.refused, [(path, Refusal::Unannounced)]);

    let mut world = World::new(Config {
        when_unreachable: WhenUnreachable::Serve,
        ..config()
    });
    world.presence.is_away = true;
    let path = world.enter(AL);
    world.run(secs(11));
    assert!(world.admitted.contains_key(&path));
    world.run(secs(40));
    let path = world.enter(BO);
    assert!(
        world.admitted.contains_key(&path),
        "at once, now that it is known"
    );
    assert!(world.rows.is_empty());
    // It is back: the steps begin, and presence counts.
    world.set_open(AL, true);
    world.presence.is_away = false;
    world.run(secs(60));
    assert!(world.has(AL, &What::Announced) && world.has(AL, &What::Subscribed));
    assert_eq!(world.rows.len(), 2);
    world.set_open(AL, true);
    world.run(secs(1));
    world.set_open(AL, false);
    world.run(secs(2));
    assert!(world.has(AL, &What::Released { why: Why::Left }));
    assert_eq!(world.nlb.counters().sessions, 1);
}

// S22
#[test]
fn a_goodbye_that_nobody_answers_ends_with_the_record_purged() {
    let (mut world, users) = crowd(1);
    world.set_open(&users[0], false);
    world.run(millis(500));
    world.presence.is_away = true;
    world.run(secs(1));
    assert_eq!(world.nlb.counters().leaving, 1);
    assert_eq!(
        world.nlb.servers().live_in_all(),
        0,
        "freed at once all the same"
    );
    world.run(secs(33));
    assert_eq!(world.nlb.counters().sessions, 0);
    assert!(world.rows.is_empty());
}

/// A user is being released when the flow closes, and the presence server with it.
fn a_flow_lost_while_leaving(when_unreachable: WhenUnreachable, step: &What) -> World {
    let mut world = World::new(Config {
        protocol: presently_sip::Protocol::Tcp,
        when_unreachable,
        ..config()
    });
    world.serve_open(AL);
    world.set_open(AL, false);
    while !world.has(AL, step) {
        world.run(millis(1));
    }
    world.presence.is_away = true;
    world.input(Input::FlowLost);
    world
}

// S10, S11
// S22
#[test]
fn a_goodbye_that_a_lost_flow_took_along_is_said_again() {
    for step in [What::Unsubscribed, What::Terminated, What::Unannounced] {
        let mut world = a_flow_lost_while_leaving(WhenUnreachable::Refuse, &step);
        world.run(secs(1));
        world.presence.is_away = false;
        let path = world.enter(AL);
        world.run(secs(5));
        assert!(
            world.admitted.contains_key(&path),
            "{:#?}",
            world.lately(AL)
        );
        world.run(secs(1));
        assert_eq!(world.presence.watched(), [AL], "one feed");
        assert_eq!(world.presence.published.len(), 1, "one announcement");
        assert_eq!(world.presence.registered.len(), 2, "one handle");
    }
}

// S22
#[test]
fn who_returns_during_a_goodbye_that_nobody_hears_is_served_where_users_are() {
    let serve = WhenUnreachable::Serve;
    let mut world = a_flow_lost_while_leaving(serve, &What::Unsubscribed);
    let path = world.enter(AL);
    world.run(millis(10));
    assert!(
        world.admitted.contains_key(&path),
        "{:#?}",
        world.lately(AL)
    );

    // It is not known yet that nobody hears it.
    let mut world = World::new(Config {
        when_unreachable: serve,
        ..config()
    });
    world.serve_open(AL);
    world.set_open(AL, false);
    world.run(millis(500));
    world.presence.is_away = true;
    world.run(millis(100));
    let path = world.enter(AL);
    world.run(secs(11));
    assert!(
        world.admitted.contains_key(&path),
        "{:#?}",
        world.lately(AL)
    );
}

// S23
#[test]
fn too_many_offline_at_once_are_a_failure_of_presence() {
    let (mut world, users) = crowd(30);
    for user in &users {
        world.set_open(user, false);
    }
    world.run(secs(60));
    assert_eq!(world.nlb.counters().alarms, 1);
    assert!(world.has("sip:nlb1@example.com", &What::Alarm));
    assert_eq!(world.nlb.counters().sessions, 30);
    assert!(world.cut.is_empty());
    // Even afterwards nobody goes whose closure was dismissed...
    world.run(secs(400));
    assert!(world.cut.is_empty());
    // ...before it was seen online again.
    world.set_open(&users[0], true);
    world.run(secs(1));
    world.set_open(&users[0], false);
    world.run(secs(2));
    assert_eq!(world.cut.len(), 1);
}

// S23
#[test]
fn a_failure_that_takes_its_time_is_stopped_at_the_bound() {
    let (mut world, users) = crowd(100);
    for user in &users {
        world.set_open(user, false);
        world.run(millis(50));
    }
    world.run(secs(10));
    // 30 % of those followed within ten seconds; some were released before it was clear.
    let released = world.cut.len();
    assert!((15..=30).contains(&released), "{released}");
    assert_eq!(world.nlb.counters().alarms, 1);
}

// S19
// S23
#[test]
fn an_alarm_also_spares_the_paths_of_a_device_that_had_just_gone() {
    let (mut world, users) = crowd(30);
    let devices = |desk| [("desk", desk), ("phone", true)];
    world.set_devices(AL, &devices(true));
    let path = world.enter_from(Some(AL), Some("desk"));
    world.run(secs(10));
    world.send(path);
    world.set_devices(AL, &devices(false));
    world.run(millis(100));
    for user in &users {
        world.set_open(user, false);
    }
    world.run(secs(60));
    assert_eq!(world.nlb.counters().alarms, 1);
    assert!(world.admitted.contains_key(&path));
}

// S23
#[test]
fn a_few_who_leave_together_are_let_go() {
    let (mut world, users) = crowd(30);
    for user in &users[..8] {
        world.set_open(user, false);
    }
    world.run(secs(2));
    assert_eq!(world.cut.len(), 8);
    assert_eq!(world.nlb.counters().alarms, 0);
}

// S14
#[test]
fn nothing_is_decided_before_the_record_is_written() {
    let (mut world, users) = crowd(1);
    world.is_store_away = true;
    world.set_open(&users[0], false);
    world.run(secs(60));
    assert!(world.cut.is_empty());
    assert!(world.nlb.counters().store_refused > 50);
    world.is_store_away = false;
    world.run(secs(3));
    assert!(world.has(&users[0], &What::Released { why: Why::Left }));
    assert!(world.rows.is_empty());
}

// S12
#[test]
fn a_record_is_purged_when_the_store_is_there_again() {
    let (mut world, users) = crowd(1);
    world.set_open(&users[0], false);
    world.run(millis(503));
    world.is_store_away = true;
    world.run(secs(60));
    assert_eq!(world.nlb.counters().leaving, 1);
    let path = world.enter(&users[0]);
    world.run(secs(5));
    world.is_store_away = false;
    world.run(secs(5));
    assert!(world.admitted.contains_key(&path));
    assert_eq!(world.nlb.counters().leaving, 0);
}

#[test]
fn a_feed_whose_refresh_is_refused_has_no_second_beside_it() {
    let (mut world, users) = crowd(1);
    world.presence.refresh_status = 403;
    world.run(secs(1800));
    assert!(world.has(&users[0], &What::Deaf { status: 403 }));
    world.presence.refresh_status = 200;
    world.run(secs(120));
    assert_eq!(world.presence.watched(), [&users[0]]);
    world.set_open(&users[0], false);
    world.run(secs(2));
    assert!(world.has(&users[0], &What::Released { why: Why::Left }));
    assert!(world.presence.watched().is_empty(), "no orphan is left");
}

#[test]
fn a_feed_that_is_refused_leaves_ordinary_timeouts() {
    let mut world = World::new(config());
    world.presence.subscribe_status = 403;
    let path = world.serve(AL);
    assert!(world.has(AL, &What::Deaf { status: 403 }));
    world.run(secs(30));
    assert!(world.admitted.contains_key(&path));
    // It is asked for again.
    world.presence.subscribe_status = 200;
    world.set_open(AL, true);
    world.run(secs(60));
    assert!(world.has(AL, &What::Baseline { is_open: true }));
}

// S22
/// The presence server takes the connection before it can do anything: over TCP nothing repeats
/// what it dropped.
#[test]
fn a_registration_that_a_new_flow_swallowed_goes_again_with_the_first_answer() {
    let mut world = World::new(Config {
        protocol: presently_sip::Protocol::Tcp,
        ..config()
    });
    world.serve_open(AL);
    let probe_every = world.nlb.config().probe_every;
    world.presence.is_away = true;
    world.input(Input::FlowLost);
    world.run(secs(1));
    assert!(!world.nlb.is_reachable());
    world.presence.is_away = false;
    world.run(probe_every);
    assert!(world.nlb.is_reachable(), "{:#?}", world.lately(AL));
    world.run(secs(1));
    let registers = world.presence.log.iter();
    let registers = registers.filter(|it| it.starts_with("REGISTER nlb1"));
    assert_eq!(
        registers.count(),
        2 + 2,
        "of the own line and of the handle"
    );
}

#[test]
fn a_flow_that_closes_at_once_is_not_made_in_a_circle() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.presence.is_away = true;
    let sent = world.sent_while(|world| {
        for _ in 0..1_000 {
            world.input(Input::FlowLost);
            world.run(Duration::from_millis(1));
        }
    });
    assert!((2..10).contains(&sent.len()), "{}", sent.len());
}
