//! A restart: what the records bring back.

use super::*;

// S25
#[test]
fn a_restart_goes_on_with_slots_uuids_and_feeds() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    world.serve_open(BO);
    let server = world.admitted[&path].server.clone();
    let uuid = world.nlb.sessions().next().unwrap().uuid;
    let feeds: Vec<_> = world.rows.values().map(|it| it.feed.clone()).collect();
    world.input(Input::Stop);
    world.run(millis(10));
    assert!(world.nlb.is_idle());
    let call_ids = world.presence.call_ids();
    world.restart();
    world.run(secs(1));
    assert!(world.has(AL, &What::Restored) && world.has(AL, &What::Subscribed));
    assert_eq!(world.presence.call_ids(), call_ids, "in the old dialogs");
    assert_eq!(feeds.len(), 2);
    assert_eq!(
        world.presence.published.len(),
        2,
        "no announcement is left over"
    );
    assert_eq!(world.nlb.counters().restored, 2);
    assert_eq!(world.nlb.sessions().next().unwrap().uuid, uuid);
    let path = world.serve(AL);
    assert_eq!(world.admitted[&path].server, server);
    // The first word is a baseline; the next change acts.
    assert!(world.has(AL, &What::Baseline { is_open: true }));
    world.run(secs(10));
    world.set_open(AL, false);
    world.run(secs(2));
    assert!(world.has(AL, &What::Released { why: Why::Left }));
}

// S25
#[test]
fn a_word_before_its_feed_is_taken_up_does_not_end_it() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.restart();
    let early = world.closed_later(AL);
    let sent = world.sent_while(|world| world.input(Input::Sip(early[0].as_bytes())));
    let is_answer = |message: &String| message.starts_with("SIP/2.0");
    assert!(!sent.iter().any(is_answer), "{sent:#?}");
    let call_ids = world.presence.call_ids();
    world.run(secs(1));
    assert!(world.has(AL, &What::Baseline { is_open: false }));
    assert_eq!(world.presence.call_ids(), call_ids, "in the old dialog");
}

// S5
// S25
#[test]
fn who_went_offline_during_the_restart_gets_ordinary_timeouts() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.restart();
    world.set_open(AL, false);
    world.run(secs(1700));
    assert!(world.has(AL, &What::Baseline { is_open: false }));
    assert_eq!(world.nlb.counters().sessions, 1);
    world.run(secs(200));
    assert!(world.has(AL, &What::Released { why: Why::Idle }));
}

// S25
#[test]
fn a_dialog_that_the_server_has_lost_is_begun_anew() {
    let mut world = World::new(config());
    world.serve_open(AL);
    let call_ids = world.presence.call_ids();
    world.presence.forget();
    world.restart();
    world.run(secs(2));
    assert_eq!(world.presence.watched(), [AL]);
    assert_ne!(world.presence.call_ids(), call_ids);
    assert!(world.has(AL, &What::Baseline { is_open: true }));
}

// S3
#[test]
fn who_returned_to_a_goodbye_that_a_restart_interrupted_has_no_access_after_another() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.set_open(AL, false);
    while !world.has(AL, &What::Unannounced) {
        world.run(millis(1));
    }
    world.presence.is_away = true;
    for _ in 0..3 {
        world.restart();
        let path = world.enter(AL);
        world.run(secs(1));
        assert!(!world.admitted.contains_key(&path));
        assert!(!world.rows.is_empty());
    }
}

// S3
#[test]
fn an_announcement_is_not_taken_back_before_the_record_says_so() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.set_open(AL, false);
    world.run(millis(100));
    world.is_store_away = true;
    let sent = world.sent_while(|world| world.run(secs(5)));
    assert!(world.has(AL, &What::Terminated), "{:#?}", world.lately(AL));
    assert!(!sent.iter().any(|text| text.starts_with("PUBLISH ")));
    assert!(!world.has(AL, &What::Unannounced));
    world.is_store_away = false;
    world.run(secs(2));
    assert!(world.has(AL, &What::Purged), "{:#?}", world.lately(AL));
}

// S25
#[test]
fn a_goodbye_that_a_restart_interrupts_is_finished() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.set_open(AL, false);
    while world.nlb.counters().leaving == 0 {
        world.run(millis(1));
    }
    assert_eq!(world.presence.watched(), [AL]);
    world.restart();
    world.run(secs(2));
    assert!(world.has(AL, &What::Released { why: Why::Earlier }));
    assert!(world.presence.watched().is_empty(), "no orphan is left");
    assert_eq!(world.presence.registered.len(), 1);
    assert!(world.presence.published.is_empty() && world.rows.is_empty());
}

// S2
// S3
#[test]
fn who_returns_while_an_earlier_life_was_giving_up_is_announced_before_access() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.set_open(AL, false);
    while !world.has(AL, &What::Unannounced) {
        world.run(millis(1));
    }
    assert!(world.presence.published.is_empty() && !world.rows.is_empty());
    world.restart();
    let path = world.enter(AL);
    assert!(
        !world.admitted.contains_key(&path),
        "{:#?}",
        world.lately(AL)
    );
    world.run(millis(50));
    assert!(world.admitted.contains_key(&path));
    let steps = names(&world.whats(AL));
    assert_eq!(
        steps[..6],
        [
            "Restored",
            "Placed",
            "Registered",
            "Announced",
            "Recorded",
            "Admitted"
        ]
    );
    assert_eq!(world.rows.len(), 1);
}

// S25
#[test]
fn a_goodbye_that_a_restart_interrupts_is_finished_also_when_its_user_finds_no_server() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.set_open(AL, false);
    while world.nlb.counters().leaving == 0 {
        world.run(millis(1));
    }
    world.restart_with(&[]);
    let path = world.enter(AL);
    assert_eq!(world.refused, [(path, Refusal::NoServer)]);
    assert!(!world.has(AL, &What::Released { why: Why::Unused }));
    world.run(secs(2));
    assert!(world.has(AL, &What::Released { why: Why::Earlier }));
    assert!(world.presence.watched().is_empty() && world.rows.is_empty());
}

// S3
// S25
#[test]
fn who_had_access_before_a_restart_keeps_it_while_the_nlb_registers() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.restart();
    world.presence.is_away = true;
    let path = world.enter(AL);
    assert!(world.admitted.contains_key(&path));
    let other = world.enter(BO);
    world.run(secs(11));
    assert_eq!(world.refused, [(other, Refusal::Unannounced)]);
}

// S25
#[test]
fn a_record_whose_lease_is_over_is_purged() {
    let mut world = World::new(config());
    world.serve_open(AL);
    let aor = presently_sip::Aor::parse(AL).unwrap();
    world.rows.get_mut(&aor).unwrap().until = world.now.wall;
    world.restart();
    world.run(secs(1));
    assert!(world.rows.is_empty());
    assert_eq!(world.nlb.counters().restored, 0);
}

// S25
#[test]
fn a_record_lives_as_long_as_its_session_whatever_the_presence_server_grants() {
    let lease = secs(120);
    for is_away in [false, true] {
        let mut world = World::new(Config { lease, ..config() });
        world.serve_open(AL);
        world.presence.is_away = is_away;
        for restarts in 0..3 {
            let uuid = world.nlb.sessions().next().unwrap().uuid;
            world.run(secs(600));
            world.restart();
            world.run(secs(1));
            assert_eq!(world.nlb.counters().restored, 1, "{is_away} {restarts}");
            assert_eq!(world.nlb.sessions().next().unwrap().uuid, uuid);
        }
        assert_eq!(world.presence.watched(), [AL], "in one feed");
    }
}

// S25
#[test]
fn records_of_an_outage_are_not_renewed_at_once() {
    let mut world = World::new(config());
    let users: Vec<String> = (0..200)
        .map(|it| format!("sip:u{it}@example.com"))
        .collect();
    for user in &users {
        world.enter(user);
    }
    world.run(secs(1));
    world.presence.is_away = true;
    let until = |world: &World| world.rows.values().map(|row| row.until).collect::<Vec<_>>();
    let begin = until(&world);
    let mut most = 0;
    for _ in 0..2_800 {
        let before = until(&world);
        world.run(secs(1));
        let after = until(&world);
        let written = before.iter().zip(&after).filter(|(was, is)| was != is);
        most = most.max(written.count());
    }
    let renewed = begin.iter().zip(until(&world)).all(|(was, is)| *was < is);
    assert!(renewed && most < 20, "{most} in one second");
}

// S25
#[test]
fn a_session_whose_server_is_gone_finds_another_at_the_next_request() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    let server = world.admitted[&path].server.clone();
    let other = if server == "one" { "two" } else { "one" };
    world.restart_with(&[(other, None)]);
    world.run(secs(1));
    let path = world.serve(AL);
    assert_eq!(world.admitted[&path].server, other);
}

#[test]
fn a_session_whose_slot_is_gone_waits_only_while_its_user_does() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.serve_open(BO);
    world.restart_with(&[("one", Some(1))]);
    world.run(secs(1));
    let [placed, other] = if world.nlb.sessions().next().unwrap().server.is_some() {
        [AL, BO]
    } else {
        [BO, AL]
    };
    let path = world.enter(other);
    world.run(secs(11));
    assert_eq!(world.refused, [(path, Refusal::NoSlot)]);
    assert_eq!(world.nlb.counters().queued, 0);
    world.set_open(placed, false);
    world.run(secs(2));
    assert_eq!(world.nlb.servers().live_in_all(), 0, "it is anybody's");
    world.serve(other);
    assert!(world.has(other, &What::Subscribed));
}

// S16
// S25
#[test]
fn whom_a_close_had_no_time_for_the_next_start_gives_back() {
    let mut world = World::new(Config {
        resume_per_sec: 20,
        ..config()
    });
    let users: Vec<String> = (0..40).map(|it| format!("sip:u{it}@example.com")).collect();
    for user in &users {
        world.serve(user);
    }
    world.input(Input::Close);
    world.run(millis(500));
    assert!(world.rows.len() > 20, "most had to wait");
    world.restart();
    assert_eq!(world.nlb.servers().live_in_all(), 0);
    let path = world.enter(&users[39]);
    assert!(!world.admitted.contains_key(&path));
    world.run(secs(5));
    assert_eq!(world.rows.len(), 1);
    assert!(world.admitted.contains_key(&path));
    assert!(world.has(&users[39], &What::Announced));
    assert_eq!(world.presence.watched(), [&users[39]], "no orphan is left");
    assert_eq!(world.presence.registered.len(), 2);
}

#[test]
fn a_stop_admits_nobody_and_keeps_everything() {
    let mut world = World::new(config());
    let served = world.serve_open(AL);
    world.input(Input::Stop);
    let path = world.enter(BO);
    assert_eq!(world.refused, [(path, Refusal::Full)]);
    world.run(secs(1));
    assert!(world.admitted.contains_key(&served));
    assert_eq!(world.rows.len(), 1);
    assert_eq!(world.presence.watched(), [AL]);
}

// S16
#[test]
fn a_stop_without_sessions_gives_the_own_line_back() {
    let mut world = World::new(config());
    world.run(secs(1));
    world.input(Input::Stop);
    world.run(secs(1));
    assert!(world.nlb.is_idle() && world.presence.registered.is_empty());
}
