//! Goal: users who leave while everybody's registrations and feeds are refreshed are released in
//! time, and nobody else is.
//! Method: twenty thousand sessions whose leases end together, over a link that takes 6,667
//! messages a second each way and holds 2,000: all refreshes at once would be eighty thousand.

use std::collections::BTreeMap;

use presently_sip::Moment;

use super::world::{Link, Way};
use super::*;
use crate::Step;

/// A leaver for each hundred.
const USERS: u64 = 20_000;
const LEAVERS: u64 = 200;
/// What is asked for, and granted.
const LEASE_SECS: u32 = 60;

fn user(number: u64) -> String {
    format!("sip:u{number}@example.com")
}

/// Everybody is there, has entered within two seconds, and has moved no bytes since.
fn everybody_entered() -> World {
    let mut world = World::new(Config {
        register_secs: LEASE_SECS,
        subscribe_secs: LEASE_SECS,
        ..config()
    });
    world.run(secs(1));
    (0..USERS).for_each(|number| world.set_open(&user(number), true));
    for number in 0..USERS {
        world.enter(&user(number));
        world.run(Duration::from_micros(100));
    }
    world.run(secs(1));
    assert_eq!(world.nlb.counters().followed, USERS);
    world.forget_notes();
    world.steps.clear();
    world.link = Some(Link::default());
    world
}

/// When each user was released.
fn released(steps: &[Step]) -> BTreeMap<String, Moment> {
    let releases = steps
        .iter()
        .filter(|step| matches!(step.what, What::Released { .. }));
    releases
        .map(|step| (step.user.as_str().to_owned(), step.at.moment))
        .collect()
}

// S10, S29
#[test]
fn who_leaves_while_everybody_is_refreshed_is_released_in_time_and_nobody_else() {
    let mut world = everybody_entered();
    let begin = world.now.moment;
    while world.presence.log.is_empty() {
        world.run(millis(10));
    }
    let refreshing_after = world.now.moment.since(begin);
    assert!(
        refreshing_after < secs(LEASE_SECS.into()),
        "{refreshing_after:?}"
    );

    let mut left = BTreeMap::new();
    for number in 0..LEAVERS {
        let user = user(number * (USERS / LEAVERS) + 17);
        left.insert(user.clone(), world.now.moment);
        world.set_open(&user, false);
        world.run(millis(50));
    }
    let counted = |log: &[String], method: &str| {
        let of_method = log.iter().filter(|it| it.starts_with(method));
        u64::try_from(of_method.count()).unwrap()
    };
    let meanwhile = counted(&world.presence.log, "SUBSCRIBE");
    assert!(meanwhile > USERS / 2, "only {meanwhile} were refreshed");
    world.run(secs(10));

    let released = released(&world.steps);
    assert!(released.keys().eq(left.keys()), "{}", released.len());
    let grace = world.nlb.config().grace;
    for (user, at) in &released {
        let took = at.since(left[user]);
        assert!(took >= grace && took <= grace + secs(1), "{user}: {took:?}");
    }
    assert!(counted(&world.presence.log, "SUBSCRIBE") >= USERS);
    assert_eq!(world.nlb.counters().unreachable, 0);
    let Link { to_nlb, to_pool } = world.link.take().unwrap();
    for Way { lost, deepest, .. } in [to_nlb, to_pool] {
        assert!(lost == 0 && deepest < 300, "{lost} lost, {deepest} waited");
    }
}
