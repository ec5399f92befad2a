//! Bounds, each with its counter.

use super::*;

#[test]
fn sessions_are_bounded() {
    let mut world = World::new(Config {
        sessions_max: 1,
        ..config()
    });
    world.serve(AL);
    let path = world.enter(BO);
    assert_eq!(world.refused, [(path, Refusal::Full)]);
    world.serve(AL);
    assert_eq!(world.nlb.counters().refused_full, 1);
}

#[test]
fn paths_and_waiting_ones_of_a_session_are_bounded() {
    let mut world = World::new(Config {
        paths_max: 3,
        waiting_max: 2,
        ..config()
    });
    let paths = [0; 3].map(|_| world.enter(AL));
    assert_eq!(world.refused, [(paths[2], Refusal::Full)]);
    world.run(secs(1));
    assert_eq!(world.admitted.len(), 2);
    world.serve(AL);
    let path = world.enter(AL);
    assert_eq!(world.refused.last(), Some(&(path, Refusal::Full)));
    assert_eq!(world.nlb.counters().paths, 3);
}

#[test]
fn a_session_that_may_let_nobody_wait_does_not_stay() {
    let mut world = World::new(Config {
        waiting_max: 0,
        ..config()
    });
    let path = world.enter(AL);
    assert_eq!(world.refused, [(path, Refusal::Full)]);
    assert_eq!(world.nlb.counters().sessions, 0);
}

#[test]
fn hostile_bytes_do_nothing() {
    let mut world = World::new(config());
    world.serve_open(AL);
    let handle = world.handle_of(AL);
    let texts = [
        String::new(),
        "\r\n\r\n".to_owned(),
        "NOTIFY".to_owned(),
        format!("NOTIFY {handle} SIP/2.0\r\n\r\n"),
        format!("NOTIFY {handle} SIP/2.0\r\nTo: <{handle}>\r\nContent-Length: 9\r\n\r\n"),
        format!("SIP/2.0 200 OK\r\nFrom: <{handle}>;tag=1\r\n\r\n"),
        format!("SIP/2.0 999 \r\nFrom: <{handle}>\r\nVia: ;;;\r\n\r\n"),
        "BYE sip:nlb1.0000000000000000@x SIP/2.0\r\nTo: <sip:.@>\r\n\r\n".to_owned(),
    ];
    for text in texts {
        world.input(Input::Sip(text.as_bytes()));
        world.input(Input::Sip(&[text.as_bytes(), &[0xff, 0]].concat()));
    }
    world.run(secs(60));
    assert_eq!(world.nlb.counters().sessions, 1);
    assert!(world.cut.is_empty());
}

#[test]
fn users_who_change_faster_than_the_store_writes_end_where_they_are() {
    let mut world = World::new(config());
    world.serve_open(AL);
    world.is_store_away = true;
    for _ in 0..50 {
        world.set_open(AL, false);
        world.run(millis(10));
        world.set_open(AL, true);
        world.run(millis(10));
    }
    world.is_store_away = false;
    world.run(secs(30));
    assert_eq!(world.nlb.counters().sessions, 1);
    assert_eq!(world.nlb.sessions().next().unwrap().presence, State::Open);
    world.set_open(AL, false);
    world.run(secs(30));
    assert_eq!(world.nlb.counters().sessions, 0);
}
