//! The steps of the method, in their order: at the presence server, in the store, at the proxy.

use super::presence_server::{body, header};
use super::*;

// S1
// S2
// S3
// S5
// S6
// S7
// S10
// S11
// S12
// S13
// S14
// S15
#[test]
fn a_user_who_uses_nothing_goes_through_every_step_in_order() {
    let mut world = World::new(config());
    world.set_open(AL, true);
    let path = world.enter(AL);
    world.run(secs(10));
    assert_eq!(world.rows.len(), 1);
    world.set_open(AL, false);
    world.run(secs(2));
    let steps = [
        "Placed",
        "Registered",
        "Announced",
        "Recorded",
        "Admitted",
        "Subscribed",
        "Notified",
        "Baseline",
        "Decided",
        "Notified",
        "Decided",
        "Cut",
        "Released",
        "Unsubscribed",
        "Terminated",
        "Unannounced",
        "Unregistered",
        "Purged",
    ];
    assert_eq!(names(&world.whats(AL)), steps);
    let own = "sip:nlb1@example.com";
    assert_eq!(names(&world.whats(own)), ["Registered", "Reachable"]);
    let log = [
        "REGISTER nlb1 3600",
        "REGISTER nlb1 3600",
        "PUBLISH nlb1 3600",
        "SUBSCRIBE al 1800",
        "SUBSCRIBE al 0",
        "PUBLISH nlb1 0",
        "REGISTER nlb1 0",
    ];
    assert_eq!(world.presence.log, log);
    assert_eq!(world.cut, [(path, CutReason::Left)]);
    assert!(world.rows.is_empty() && world.presence.watched().is_empty());
    assert_eq!(world.presence.registered.len(), 1, "only the own line");
    assert!(world.presence.published.is_empty());
}

// S1
// S3
#[test]
fn each_step_waits_for_the_answer_to_the_one_before() {
    let mut world = World::new(config());
    world.delay = |_| millis(100);
    let start = world.now.moment;
    world.enter(AL);
    world.run(secs(5));
    let moments = [
        world.when("sip:nlb1@example.com", |it| *it == What::Registered),
        world.when(AL, |it| *it == What::Registered),
        world.when(AL, |it| *it == What::Announced),
        world.when(AL, |it| *it == What::Recorded),
        world.when(AL, |it| matches!(it, What::Admitted { .. })),
        world.when(AL, |it| *it == What::Subscribed),
    ];
    let moments = moments.map(|it| it.since(start).as_millis());
    // A round trip each; the paced list adds up to 50 ms once, the store's answer is one way.
    let apart: Vec<u128> = moments.windows(2).map(|it| it[1] - it[0]).collect();
    assert!(
        moments[0] >= 200 && (200..=260).contains(&apart[0]),
        "{moments:?}"
    );
    assert_eq!(apart[1..], [200, 100, 0, 200]);
}

// S2
#[test]
fn the_announcement_is_about_the_handle_and_says_what_was_asked_for() {
    let mut world = World::new(config());
    let sent = world.sent_while(|world| {
        world.serve(AL);
    });
    let publish = sent.iter().find(|it| it.starts_with("PUBLISH")).unwrap();
    let handle = world.handle_of(AL);
    assert!(handle.starts_with("sip:nlb1."));
    assert!(publish.starts_with(&format!("PUBLISH {handle} SIP/2.0\r\n")));
    assert!(body(publish).contains("<basic>open</basic>"));
    assert!(body(publish).contains("app.example.com/desk"));
    assert!(
        !publish.contains("al@example.com"),
        "never the user's own presence"
    );
}

// S4
#[test]
fn what_moves_on_a_path_is_seen() {
    let mut world = World::new(config());
    let path = world.serve(AL);
    world.send(path);
    world.push(path);
    world.push(path);
    let sight = world.nlb.sessions().next().unwrap();
    assert_eq!((sight.from_user_bytes, sight.to_user_bytes), (10, 20));
    assert_eq!(sight.paths, 1);
    assert_eq!(sight.stage, crate::Stage::Serving);
    world.leave(path);
    let path = world.serve(AL);
    world.send(path);
    let sight = world.nlb.sessions().next().unwrap();
    let bytes = (sight.from_user_bytes, sight.to_user_bytes);
    assert_eq!(bytes, (20, 20), "of paths that are over too");
}

// S5
// S16
#[test]
fn one_feed_for_each_user_however_many_paths() {
    let mut world = World::new(config());
    world.set_open(AL, true);
    for user in [AL, AL, BO, AL] {
        world.serve(user);
    }
    assert_eq!(world.presence.watched(), [AL, BO]);
    assert_eq!(
        world.presence.registered.len(),
        3,
        "{:?}",
        world.presence.registered
    );
    assert_ne!(world.handle_of(AL), world.handle_of(BO));
    assert_eq!(
        world.nlb.counters().followed,
        1,
        "bo's feed has no word yet"
    );
}

// S8
// S9
#[test]
fn the_message_carries_the_uuid_and_goes_to_the_user() {
    let mut world = World::new(Config {
        resume_url: Some("https://app.example.com/resume".to_owned()),
        ..config()
    });
    let path = world.serve_open(AL);
    let uuid = world.nlb.sessions().next().unwrap().uuid;
    world.send(path);
    world.set_open(AL, false);
    world.run(millis(100));
    assert!(world.has(AL, &What::Decided(Decision::Reestablish)));
    assert!(world.has(AL, &What::Answered { status: 200 }));
    let [message] = &world.presence.messages[..] else {
        panic!("{:#?}", world.presence.messages);
    };
    assert!(message.starts_with("MESSAGE sip:al@example.com SIP/2.0\r\n"));
    assert_eq!(header(message, "Resume"), format!("UUID={uuid}"));
    assert_eq!(header(message, "Content-Type"), "text/plain");
    let text = format!("UUID={uuid}\r\nhttps://app.example.com/resume\r\n");
    assert_eq!(body(message), text);
}

// S9
// S26
#[test]
fn a_user_who_comes_again_finds_server_and_uuid_as_they_were() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    let server = world.admitted[&path].server.clone();
    let uuid = world.nlb.sessions().next().unwrap().uuid;
    world.leave(path);
    for _ in 0..3 {
        // Others make the other server the emptier one.
        world.serve(BO);
        let path = world.serve(AL);
        assert_eq!(world.admitted[&path].server, server);
        assert_eq!(world.nlb.sessions().next().unwrap().uuid, uuid);
        world.leave(path);
        world.run(secs(60));
    }
}

// S16
#[test]
fn at_the_end_everything_is_given_back_and_the_own_line_last() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.serve_open(BO);
    world.input(Input::Close);
    assert!(!world.nlb.is_idle());
    world.run(secs(1));
    assert!(world.nlb.is_idle());
    let whats = world.whats("sip:nlb1@example.com");
    assert_eq!(whats.last(), Some(&What::Unregistered));
    assert_eq!(world.presence.log.last().unwrap(), "REGISTER nlb1 0");
    assert!(world.presence.registered.is_empty() && world.rows.is_empty());
    assert!(world.has(AL, &What::Released { why: Why::Closed }));
    let path = world.enter(AL);
    assert_eq!(world.refused.last(), Some(&(path, Refusal::Full)));
}

// S18
// S28
// S30
#[test]
fn a_release_frees_everything_and_counts_what_it_saved() {
    let mut world = World::new(config());
    world.run(secs(1));
    let before = *world.nlb.counters();
    let path = world.serve_open(AL);
    assert_eq!(world.nlb.servers().live_in_all(), 1);
    world.set_open(AL, false);
    world.run(millis(600));
    assert!(!world.admitted.contains_key(&path));
    assert_eq!(world.nlb.servers().live_in_all(), 0);
    world.run(secs(1));
    let after = *world.nlb.counters();
    assert_eq!(
        after.sessions + after.paths + after.queued + after.leaving,
        0
    );
    assert_eq!(after.followed, before.followed);
    assert_eq!(world.nlb.sessions().count(), 0);
    assert!(
        world.presence.watched().is_empty(),
        "nobody is followed who is not served"
    );
    assert_eq!((after.released_by_presence, after.wrong_releases), (1, 0));
    // An hour of an idle path, less the ten seconds it was idle.
    assert!((3580..3600).contains(&after.saved_secs), "{after:?}");
    world.serve(AL);
    assert_eq!(world.nlb.counters().wrong_releases, 1, "it had not left");
}

#[test]
fn a_release_takes_the_grace_and_no_longer() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.set_open(AL, false);
    let said = world.now.moment;
    world.run(secs(2));
    let released = world.when(AL, |it| matches!(it, What::Released { .. }));
    let took = released.since(said);
    assert!((millis(500)..millis(520)).contains(&took), "{took:?}");
}

// S13
// S14
#[test]
fn the_record_says_what_the_decision_was_made_upon() {
    let mut world = World::new(config());
    world.serve_open(AL);
    let aor = presently_sip::Aor::parse(AL).unwrap();
    let row = &world.rows[&aor];
    assert_eq!((&*row.presence, &*row.nlb), ("open", "nlb1"));
    assert!(row.sent.is_some() && !row.feed.is_empty() && row.tag.is_some());
    let open = row.sent;
    world.set_open(AL, false);
    world.run(millis(3));
    let row = &world.rows[&aor];
    assert_eq!(&*row.presence, "closed");
    assert!(row.sent > open);
    assert!(world.has(AL, &What::Decided(Decision::Release)));
}

// S13
#[test]
fn the_lease_of_a_record_is_renewed_with_its_feed() {
    let mut world = World::new(config());
    let path = world.serve_open(AL);
    let aor = presently_sip::Aor::parse(AL).unwrap();
    for _ in 0..10 {
        for _ in 0..6 {
            world.run(secs(600));
            world.send(path);
        }
        let left = world.rows[&aor].until.since(world.now.wall);
        assert!(left > secs(1800), "{left:?}");
    }
}
