//! What the tests of a group have in common.

use std::time::Duration;

use presently_agent::SubscriptionId;
use presently_pool::MemberId;
use presently_tests::world::{Arrangement, World};

/// Servers in the balancer's process, and each in one of its own.
pub(crate) const BOTH: [Arrangement; 2] = [Arrangement::Together, Arrangement::Apart];

/// Longer than anything takes that no message is lost of.
pub(crate) const SOON: Duration = Duration::from_millis(100);

/// A phone of `user` that is logged on.
pub(crate) fn log_on(world: &mut World, user: &str) -> usize {
    let place = world.add_phone(user);
    register(world, place);
    place
}

/// Logs a phone on, and waits.
pub(crate) fn register(world: &mut World, place: usize) {
    world.with_phone(place, |phone, now| phone.register(now, 3600));
    world.run_for(SOON);
}

/// Logs a phone off, and waits.
pub(crate) fn log_off(world: &mut World, place: usize) {
    world.with_phone(place, |phone, now| phone.unregister(now));
    world.run_for(SOON);
}

/// Publishes a note, and waits.
pub(crate) fn publish(world: &mut World, place: usize, note: &str) {
    world.with_phone(place, |phone, now| phone.publish(now, true, note));
    world.run_for(SOON);
}

/// Lets `place` watch `target`, and waits.
pub(crate) fn watch(world: &mut World, place: usize, target: usize) -> SubscriptionId {
    let target = world.phones[target].aor.clone();
    let id = world.with_phone(place, |phone, now| phone.subscribe(now, &target));
    world.run_for(SOON);
    id
}

/// The distinguished server of a user.
pub(crate) fn server(world: &mut World, user: &str) -> MemberId {
    world.server_of(user).expect("assigned")
}

/// A server that is none of `but`.
pub(crate) fn another(world: &World, but: &[MemberId]) -> MemberId {
    let mut servers = world.servers().map(|one| one.membership().member);
    servers
        .find(|one| !but.contains(one))
        .expect("enough servers")
}

/// Servers asked so far, by member: how many requests each has received.
pub(crate) fn received(world: &World) -> Vec<(MemberId, u64)> {
    let servers = world.servers();
    servers
        .map(|one| (one.membership().member, one.counters().requests_received))
        .collect()
}

/// No law is broken.
pub(crate) fn assert_lawful(world: &mut World) {
    assert_eq!(world.check(), Vec::<String>::new());
}
