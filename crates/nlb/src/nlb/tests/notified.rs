//! What notifications do, and what they do not do.

use super::presence_server::header;
use super::*;

#[track_caller]
fn assert_released(world: &World, user: &str, why: Why) {
    assert!(
        world.has(user, &What::Released { why }),
        "{:#?}",
        world.whats(user)
    );
}

#[track_caller]
fn assert_served(world: &World, user: &str) {
    let whats = world.whats(user);
    let is_released = whats.iter().any(|it| matches!(it, What::Released { .. }));
    assert!(!is_released, "{whats:#?}");
    assert!(world.cut.is_empty());
}

// S17
// S26
#[test]
fn a_user_who_is_called_and_comes_back_goes_on_at_the_same_server() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    let server = world.admitted[&path].server.clone();
    world.send(path);
    world.set_open(AL, false);
    world.run(secs(1));
    world.leave(path);
    world.serve(BO);
    let path = world.serve(AL);
    assert!(world.has(AL, &What::Resumed { has_uuid: false }));
    assert_eq!(world.admitted[&path].server, server);
    // It is there although presence says otherwise: ordinary time-outs.
    world.run(secs(600));
    assert_served(&world, AL);
    assert_eq!(world.nlb.counters().resumed, 1);
}

// S8, S9
#[test]
fn who_brings_the_uuid_of_the_message_is_told_apart_and_treated_alike() {
    for (is_own, has_uuid) in [(true, true), (false, false)] {
        let mut world = World::new(config());
        let path = world.serve_open(AL);
        let own = world.nlb.sessions().next().unwrap().uuid;
        world.serve(BO);
        let other = world.nlb.sessions().nth(1).unwrap().uuid;
        world.send(path);
        world.set_open(AL, false);
        world.run(secs(1));
        assert!(world.presence.messages[0].contains(&own));
        world.leave(path);
        world.brings = Some(if is_own { own.to_uppercase() } else { other });
        world.serve(AL);
        assert!(world.has(AL, &What::Resumed { has_uuid }));
        let counters = world.nlb.counters();
        let resumed = (counters.resumed, counters.resumed_with_uuid);
        assert_eq!(resumed, (1, u64::from(has_uuid)));
    }
}

// S17
#[test]
fn a_byte_from_the_user_after_the_message_is_a_return() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    world.push(path);
    world.set_open(AL, false);
    world.run(secs(1));
    world.send(path);
    world.run(secs(60));
    assert!(world.has(AL, &What::Resumed { has_uuid: false }));
    assert_served(&world, AL);
}

// S8
// S17
#[test]
fn tries_are_bounded_and_failure_releases_once_nothing_moves() {
    for status in [480, 415, 404, 500] {
        let mut world = World::new(config());
        world.presence.message_status = status;
        let path = world.serve_open(AL);
        world.push(path);
        world.set_open(AL, false);
        let said = world.now.moment;
        world.run(secs(60));
        assert_eq!(world.presence.messages.len(), 3, "{status}");
        assert_released(&world, AL, Why::NotResumed);
        let released = world.when(AL, |it| matches!(it, What::Released { .. }));
        let took = released.since(said);
        // Three tries, 2 s apart; the last fails after 4 s, the window ends after 5 s.
        assert!((millis(4990)..millis(5020)).contains(&took), "{took:?}");
        let counters = world.nlb.counters();
        let released = (counters.released_not_resumed, counters.released_by_presence);
        assert_eq!(released, (1, 0), "each release is counted once");
    }
}

// S17
#[test]
fn a_message_that_was_delivered_is_waited_for_and_not_repeated() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    world.push(path);
    world.set_open(AL, false);
    let said = world.now.moment;
    world.run(secs(60));
    assert_eq!(world.presence.messages.len(), 1);
    let released = world.when(AL, |it| matches!(it, What::Released { .. }));
    let took = released.since(said);
    assert!((secs(10)..millis(10_050)).contains(&took), "{took:?}");
}

// S8
#[test]
fn a_message_without_an_answer_is_a_failed_try() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    world.send(path);
    world.presence.message_status = 100;
    world.set_open(AL, false);
    world.run(secs(60));
    assert_eq!(world.presence.messages.len(), 1);
    assert_released(&world, AL, Why::NotResumed);
}

// S8
// S17
#[test]
fn a_try_that_failed_is_repeated_at_once_when_the_user_is_seen_open() {
    let mut world = World::new(config());
    world.presence.message_status = 480;
    let path = world.serve_open(AL);
    world.push(path);
    world.set_open(AL, false);
    world.run(millis(500));
    assert_eq!(world.presence.messages.len(), 1);
    world.presence.message_status = 200;
    world.set_open(AL, true);
    world.run(millis(100));
    assert_eq!(world.presence.messages.len(), 2);
    world.run(secs(60));
    assert_eq!(world.presence.messages.len(), 2);
    assert_served(&world, AL);
}

// S8
#[test]
fn a_user_seen_open_after_every_try_failed_is_told_again() {
    let mut world = World::new(config());
    world.presence.message_status = 480;
    let path = world.serve_open(AL);
    world.push(path);
    world.set_open(AL, false);
    world.run(millis(4_500));
    assert_eq!(world.presence.messages.len(), 3);
    world.presence.message_status = 200;
    world.set_open(AL, true);
    world.run(secs(60));
    assert_eq!(world.presence.messages.len(), 4);
    assert_served(&world, AL);
}

// S20
#[test]
fn a_path_that_moves_bytes_is_never_cut_on_presence() {
    for signs in [crate::Signs::Either, crate::Signs::FromUser] {
        let mut world = World::new(Config { signs, ..config() });
        world.presence.message_status = 480;
        let path = world.serve_open(AL);
        world.send(path);
        world.set_open(AL, false);
        for _ in 0..1000 {
            world.run(secs(4));
            world.send(path);
        }
        assert_served(&world, AL);
    }
}

// S20
#[test]
fn bytes_to_the_user_count_unless_servers_ping() {
    for (signs, is_kept) in [
        (crate::Signs::Either, true),
        (crate::Signs::FromUser, false),
    ] {
        let mut world = World::new(Config { signs, ..config() });
        let path = world.serve_open(AL);
        world.push(path);
        world.set_open(AL, false);
        for _ in 0..10 {
            if world.admitted.contains_key(&path) {
                world.push(path);
            }
            world.run(secs(2));
        }
        assert_eq!(world.admitted.contains_key(&path), is_kept, "{signs:?}");
    }
}

// S20
#[test]
fn what_moves_in_the_grace_was_in_use_after_all() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    world.set_open(AL, false);
    world.run(millis(400));
    world.send(path);
    world.run(millis(200));
    assert!(world.has(AL, &What::Messaged { number: 1 }));
    assert_served(&world, AL);
}

// S20
#[test]
fn a_flap_within_the_grace_does_nothing() {
    let mut world = World::new(config());
    world.serve_open(AL);
    for _ in 0..20 {
        world.set_open(AL, false);
        world.run(millis(400));
        world.set_open(AL, true);
        world.run(millis(400));
    }
    world.run(secs(60));
    assert_served(&world, AL);
    assert!(world.presence.messages.is_empty());
}

// S24
#[test]
fn a_path_in_the_grace_keeps_the_session() {
    let mut world = World::new(config());
    let first = world.serve_open(AL);
    world.leave(first);
    world.set_open(AL, false);
    world.run(millis(400));
    world.serve(AL);
    world.run(secs(600));
    assert_served(&world, AL);
}

// S24
#[test]
fn a_connection_newer_than_the_notification_beats_it() {
    let mut world = World::new(config());
    let first = world.serve_open(AL);
    // Written now, and long on its way.
    let notifies = world.closed_later(AL);
    world.leave(first);
    world.run(secs(3));
    world.serve(AL);
    world.run(secs(10));
    world.deliver(notifies);
    world.run(secs(60));
    assert!(world.has(AL, &What::Decided(Decision::NewerPath)));
    assert_served(&world, AL);
}

// S7
#[test]
fn a_late_notification_is_judged_by_when_it_was_sent() {
    // In use when it was sent, lost since: called, not released.
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    world.send(path);
    let notifies = world.closed_later(AL);
    world.run(secs(8));
    world.leave(path);
    world.run(secs(8));
    world.deliver(notifies);
    world.run(millis(50));
    assert!(
        world.has(AL, &What::Decided(Decision::Reestablish)),
        "{:#?}",
        world.whats(AL)
    );

    // Used long before it was sent.
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    world.run(secs(8));
    let notifies = world.closed_later(AL);
    world.leave(path);
    world.run(secs(8));
    world.deliver(notifies);
    world.run(millis(50));
    assert!(world.has(AL, &What::Decided(Decision::Release)));
}

// S7
#[test]
fn a_server_without_date_is_taken_at_the_moment_of_arrival() {
    let mut world = World::new(config());
    world.presence.has_date = false;
    let path = world.serve_open(AL);
    world.send(path);
    let notifies = world.closed_later(AL);
    world.run(secs(8));
    world.deliver(notifies);
    world.run(millis(50));
    assert!(world.has(AL, &What::Decided(Decision::Release)));
}

// S19
#[test]
fn one_device_of_several_takes_only_its_own_paths_along() {
    let mut world = World::new(config());
    let devices = |desk, cell| [("desk", desk), ("cell", cell)];
    world.set_devices(AL, &devices(true, true));
    world.run(millis(50));
    let [desk, cell, other] = [Some("desk"), Some("cell"), None].map(|device| {
        let path = world.enter_from(Some(AL), device);
        world.run(millis(50));
        path
    });
    world.run(secs(10));
    world.set_devices(AL, &devices(false, true));
    world.run(secs(2));
    assert_eq!(world.cut, [(desk, CutReason::Left)]);
    assert!(world.admitted.contains_key(&cell) && world.admitted.contains_key(&other));
    assert_eq!(world.nlb.counters().devices_released, 1);
    // The last one is the user.
    world.set_devices(AL, &devices(false, false));
    world.run(secs(2));
    assert_released(&world, AL, Why::Left);
}

// S19
// S20
#[test]
fn a_device_that_moves_bytes_or_comes_back_keeps_its_paths() {
    let mut world = World::new(config());
    let devices = |desk| [("desk", desk), ("cell", true)];
    world.set_devices(AL, &devices(true));
    let path = world.enter_from(Some(AL), Some("desk"));
    world.run(secs(10));
    world.set_devices(AL, &devices(false));
    world.run(millis(400));
    world.set_devices(AL, &devices(true));
    world.run(secs(60));
    assert_served(&world, AL);
    world.send(path);
    world.set_devices(AL, &devices(false));
    for _ in 0..100 {
        world.run(secs(4));
        world.send(path);
    }
    assert_served(&world, AL);
    world.run(secs(20));
    assert_eq!(world.cut, [(path, CutReason::Left)], "once it is idle");
}

// S19
#[test]
fn a_device_that_vanishes_from_the_document_is_offline() {
    let mut world = World::new(config());
    world.set_devices(AL, &[("desk", true), ("cell", true)]);
    let path = world.enter_from(Some(AL), Some("desk"));
    world.run(secs(10));
    world.set_devices(AL, &[("cell", true)]);
    world.run(secs(2));
    assert_eq!(world.cut, [(path, CutReason::Left)]);
}

// S21
#[test]
fn repeats_and_old_words_change_nothing() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    let old = world.closed_later(AL);
    world.run(secs(3));
    world.set_open(AL, true);
    world.run(millis(50));
    let open = world.presence.tell(world.now.moment, AL);
    for _ in 0..3 {
        world.deliver(open.clone());
        world.deliver(old.clone());
        world.run(secs(5));
    }
    assert_served(&world, AL);
    assert!(world.admitted.contains_key(&path));
    // Repeats of the word that acts act once.
    let closed = world.closed_later(AL);
    for _ in 0..3 {
        world.deliver(closed.clone());
    }
    world.run(secs(5));
    let whats = world.whats(AL);
    let releases = whats
        .iter()
        .filter(|it| matches!(it, What::Released { .. }));
    assert_eq!(releases.count(), 1);
}

// S5
#[test]
fn a_user_who_was_never_seen_online_gets_ordinary_timeouts() {
    let mut world = World::new(config());
    world.set_open(AL, false);
    let path = world.serve(AL);
    assert!(world.has(AL, &What::Baseline { is_open: false }));
    world.set_open(AL, false);
    world.run(secs(3590));
    assert_served(&world, AL);
    world.run(secs(20));
    assert_eq!(world.cut, [(path, CutReason::Idle)]);
    assert_released(&world, AL, Why::Idle);
}

// S5
#[test]
fn a_feed_that_begins_anew_begins_with_a_baseline() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.presence.forget();
    world.set_open(AL, false);
    // The refresh finds no dialog (481) and subscribes anew: closed is its first word.
    world.run(secs(1800));
    assert!(
        world.has(AL, &What::Baseline { is_open: false }),
        "{:#?}",
        world.whats(AL)
    );
    assert_served(&world, AL);
}

#[test]
fn what_is_no_presence_document_is_answered_and_ignored() {
    let mut world = World::new(config());
    world.serve_open(AL);
    let told = world.nlb.counters().ignored;
    for text in world.closed_later(AL) {
        let at = text.find("<presence").unwrap();
        let broken = format!("{}{}", &text[..at], "<".repeat(text.len() - at));
        world.deliver(vec![broken]);
    }
    let sent = world.sent_while(|world| world.run(secs(5)));
    assert!(sent[0].starts_with("SIP/2.0 200 "), "{sent:?}");
    assert_eq!(world.nlb.counters().ignored, told + 1);
    assert_served(&world, AL);
}

#[test]
fn a_notify_for_a_handle_that_is_gone_ends_its_subscription() {
    let mut world = World::new(config());
    world.serve_open(AL);
    let late = world.presence.tell(world.now.moment, AL);
    world.set_open(AL, false);
    world.run(secs(5));
    let sent = world.sent_while(|world| {
        world.deliver(late);
        world.run(millis(100));
    });
    assert!(sent[0].starts_with("SIP/2.0 481 "), "{sent:?}");
    assert!(header(&sent[0], "CSeq").ends_with("NOTIFY"));
}
