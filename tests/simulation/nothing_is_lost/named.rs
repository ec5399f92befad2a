//! One fault each, and what the design promises of it, in virtual time.

use std::time::Duration;

use presently_agent::{Event, SubscriptionId};
use presently_pool::Role::{self, Balancer as B, Server as S};
use presently_pool::{MemberId, MemberState};
use presently_tests::world::{Doom, Faults, StoreFaults, World};

use crate::play::{SOON, assert_lawful, log_on, publish, server, watch};

/// Two balancers and three servers, each in a process of its own.
pub(super) const APART: &[&[Role]] = &[&[B], &[B], &[S], &[S], &[S]];

// R21
#[test]
fn a_lost_wake_is_repaired_within_250_ms() {
    for seed in 0..50 {
        let mut world = World::of(seed, APART);
        let (bob, id) = watcher_elsewhere(&mut world);
        world.network.wakes.loss = 1_000;
        world.with_phone(0, |phone, now| phone.publish(now, true, "lost"));
        world.run_for(Duration::from_millis(30));
        assert_ne!(
            shown(&world, bob, id),
            "lost",
            "seed {seed}: nobody told it"
        );
        world.network.wakes.loss = 0;
        let is_shown = world.run_until(Duration::from_millis(250), |world| {
            shown(world, bob, id) == "lost"
        });
        assert!(is_shown, "seed {seed}");
        assert_lawful(&mut world);
    }
}

// R21
#[test]
fn wakes_of_another_pool_forged_or_long_past_are_harmless() {
    for seed in 0..20 {
        let mut world = World::of(seed, APART);
        let (bob, id) = watcher_elsewhere(&mut world);
        world.network.wakes = Faults {
            repeat: 300,
            late: 300,
            forged: 300,
            ..Faults::default()
        };
        for note in 0..20 {
            publish(&mut world, 0, &note.to_string());
        }
        world.run_for(Duration::from_secs(12));
        assert_eq!(shown(&world, bob, id), "19", "seed {seed}");
        let links = world.hosts().flat_map(presently::host::Host::servers);
        let dropped: u64 = links.map(|(_, links)| links.forged + links.repeated).sum();
        assert!(dropped > 0, "seed {seed}: they are counted");
        assert_lawful(&mut world);
    }
}

#[test]
fn a_server_takes_up_at_once_what_its_neighbour_in_the_process_hands_over() {
    let mut world = World::of(7, &[&[B], &[S, S]]);
    log_on(&mut world, "alice");
    let servers: Vec<MemberId> = clients(&mut world).iter().map(|(id, _)| *id).collect();
    for to in servers.iter().chain(&servers) {
        world.reassign("alice", *to);
        world.run_for(SOON);
        assert_lawful(&mut world);
    }
}

/// The wakes die with their server; who watches elsewhere need not wait for the slow sweep.
#[test]
fn the_end_of_a_peer_makes_the_others_read_the_store() {
    for seed in 0..20 {
        let mut world = World::of(seed, APART);
        let (bob, id) = watcher_elsewhere(&mut world);
        world.run_for(Duration::from_millis(500 * seed));
        let home = server(&mut world, "alice");
        let home = world.home(home);
        world.with_phone(0, |phone, now| phone.publish(now, true, "last words"));
        let is_written = world.run_until(SOON, |world| {
            let entries = world.journal.entries();
            entries
                .documents
                .iter()
                .any(|one| one.body.windows(10).any(|at| at == b"last words"))
        });
        assert!(is_written, "seed {seed}");
        world.kill(home);
        world.run_for(Duration::from_secs(3));
        assert_eq!(shown(&world, bob, id), "last words", "seed {seed}");
        assert_lawful(&mut world);
    }
}

// R22, R14
#[test]
fn a_dead_servers_clients_are_spread_by_count_and_none_is_lost() {
    for seed in 0..20 {
        let mut world = World::of(seed, APART);
        let alice = log_on(&mut world, "alice");
        let watchers = crowd(&mut world, 29, alice);
        let dead = server(&mut world, "alice");
        let before = clients(&mut world);
        world.with_phone(alice, |phone, now| phone.publish(now, true, "last words"));
        // Between its commit and its wakes, or the NOTIFYs, or the answer.
        let home = world.home(dead);
        world.doom(home, Doom::Ends(u32::try_from(seed % 4).expect("few")));
        world.run_for(Duration::from_secs(3));
        let after = clients(&mut world);
        let total = |counts: &[(MemberId, u64)]| counts.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(total(&after), total(&before), "seed {seed}: nobody is lost");
        let of = |member| after.iter().find(|(id, _)| *id == member);
        assert_eq!(
            of(dead).map_or(0, |(_, count)| *count),
            0,
            "its count is released"
        );
        let others = after.iter().filter(|(id, _)| *id != dead);
        let counts: Vec<u64> = others.map(|(_, count)| *count).collect();
        let (most, least) = (counts.iter().max(), counts.iter().min());
        assert!(
            most.unwrap() - least.unwrap() <= 1,
            "seed {seed}: {counts:?}"
        );
        // The PUBLISH is repeated until it is answered, and told to all in their dialogs.
        world.run_for(Duration::from_secs(5));
        assert_all_show(&world, &watchers, "last words");
        assert_eq!(world.mishaps(), Vec::new(), "seed {seed}");
        assert_lawful(&mut world);
    }
}

#[test]
fn requests_are_answered_within_three_seconds_of_a_servers_death() {
    for seed in 0..50 {
        let mut world = World::of(seed, APART);
        let alice = log_on(&mut world, "alice");
        let watchers = crowd(&mut world, 9, alice);
        let dead = server(&mut world, "alice");
        let home = world.home(dead);
        world.kill(home);
        let killed = world.now().moment;
        // Everybody wants something, at some time; a phone repeats what is not answered.
        for place in 0..=watchers.len() {
            world.with_phone(place, |phone, now| phone.publish(now, true, "still here"));
        }
        world.run_for(Duration::from_secs(8));
        for phone in &world.phones {
            let answered = phone.events.iter().rfind(|(_, event)| is_published(event));
            let (at, _) = answered.expect("answered");
            // The phone's repeats are up to 4 s apart; the pool holds and needs none.
            let took = at.since(killed);
            assert!(took <= Duration::from_secs(3), "seed {seed}: {took:?}");
        }
        assert_eq!(world.mishaps(), Vec::new(), "seed {seed}");
        assert_lawful(&mut world);
    }
}

// R23
#[test]
fn a_paused_server_that_resumes_neither_writes_nor_notifies_and_joins_anew() {
    for seed in 0..40 {
        let mut world = World::of(seed, APART);
        let alice = log_on(&mut world, "alice");
        let watchers = crowd(&mut world, 9, alice);
        let paused = server(&mut world, "alice");
        let home = world.home(paused);
        // With work in hand, between reading the clock and sending, or between two turns.
        world.with_phone(alice, |phone, now| phone.publish(now, true, "before"));
        if seed % 2 == 0 {
            world.doom(home, Doom::StandsStill);
        } else {
            world.run_for(Duration::from_micros(seed * 100));
            world.pause(home);
        }
        world.run_for(Duration::from_secs(30));
        assert_ne!(
            server(&mut world, "alice"),
            paused,
            "seed {seed}: taken over"
        );
        world.with_phone(alice, |phone, now| phone.publish(now, true, "meanwhile"));
        world.run_for(Duration::from_secs(5));
        world.resume(home);
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.begun(home), 2, "seed {seed}: a fresh member");
        let row = world
            .status()
            .members
            .into_iter()
            .find(|row| row.id == paused);
        assert_eq!(row.unwrap().state, MemberState::Alive);
        assert_all_show(&world, &watchers, "meanwhile");
        assert_eq!(world.mishaps(), Vec::new(), "seed {seed}");
        // Law 1 was checked at the wire and at every write.
        assert_lawful(&mut world);
    }
}

// R28
#[test]
fn a_second_logon_while_the_server_dies_is_delivered_by_exactly_one() {
    for seed in 0..40 {
        let mut world = World::of(seed, APART);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let id = watch(&mut world, bob, alice);
        let dead = server(&mut world, "alice");
        let home = world.home(dead);
        world.kill(home);
        // At some moment of its standstill, its end, or its takeover.
        world.run_for(Duration::from_millis(50 * seed));
        let second = world.add_phone("alice");
        world.with_phone(second, |phone, now| phone.register(now, 3_600));
        world.with_phone(second, |phone, now| phone.publish(now, true, "second"));
        world.run_for(Duration::from_secs(8));
        assert_ne!(server(&mut world, "alice"), dead, "seed {seed}");
        let state = world.show("alice").unwrap();
        assert_eq!(state.bindings.len(), 2, "seed {seed}: both devices");
        assert_eq!(shown(&world, bob, id), "second", "seed {seed}");
        let seen = world.phones[bob].notes(id);
        let times = seen.iter().filter(|note| *note == "second").count();
        assert_eq!(times, 1, "seed {seed}: told once");
        assert_eq!(world.mishaps(), Vec::new(), "seed {seed}");
        assert_lawful(&mut world);
    }
}

// R29
#[test]
fn a_store_that_is_gone_for_15_s_loses_no_phone() {
    for (seed, is_stuck) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut world = World::of(seed, APART);
        let (alice, watchers) = outage(&mut world, Duration::from_secs(15), is_stuck);
        world.run_for(Duration::from_secs(5));
        assert_all_show(&world, &watchers, "during");
        assert_eq!(world.mishaps(), Vec::new(), "seed {seed}, stuck {is_stuck}");
        let _ = alice;
        assert_lawful(&mut world);
    }
}

// R29
#[test]
fn a_store_that_is_gone_for_60_s_is_caught_up_with_in_5_s() {
    for (seed, is_stuck) in (0..10).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut world = World::of(seed, APART);
        let (alice, watchers) = outage(&mut world, Duration::from_secs(60), is_stuck);
        // What was asked in the outage was refused at the bound, so the phone asks once more.
        world.with_phone(alice, |phone, now| phone.publish(now, true, "after"));
        world.run_for(Duration::from_secs(5));
        assert_all_show(&world, &watchers, "after");
        let refused = world.mishaps();
        let is_bearable = |kind| {
            use presently_tests::world::MishapKind::{Refused, TimedOut};
            matches!(kind, Refused(503) | TimedOut)
        };
        assert!(
            refused.iter().all(|one| is_bearable(one.kind)),
            "{refused:?}"
        );
        let anew = refused.iter().filter(|one| one.place != alice).count();
        assert_eq!(anew, 0, "seed {seed}: no watcher had to subscribe anew");
        world.excuse_wakes();
        assert_lawful(&mut world);
    }
}

// R30
#[test]
fn two_balancers_that_race_one_logon_agree() {
    for seed in 0..100 {
        let mut world = World::of(seed, APART);
        // The addresses' last octets differ: each device comes by another balancer.
        let devices = [world.add_phone("alice"), world.add_phone("alice")];
        for place in devices {
            world.with_phone(place, |phone, now| phone.register(now, 3_600));
            let pause = Duration::from_micros(seed * 20);
            world.run_for(pause);
        }
        world.run_for(SOON);
        assert_eq!(
            world.show("alice").unwrap().bindings.len(),
            2,
            "seed {seed}"
        );
        let counted: u64 = clients(&mut world).iter().map(|(_, count)| count).sum();
        assert_eq!(counted, 1, "seed {seed}: one assignment");
        assert_lawful(&mut world);
    }
}

// R30
#[test]
fn a_dead_balancers_dialogs_go_on_by_another() {
    for seed in 0..20 {
        let mut world = World::of(seed, APART);
        let alice = log_on(&mut world, "alice");
        let watchers = crowd(&mut world, 9, alice);
        let dialogs = world.ledger.notifies.len();
        world.kill(0);
        world.run_for(Duration::from_millis(10 * seed));
        world.with_phone(alice, |phone, now| phone.publish(now, true, "by another"));
        // A NOTIFY that went to the dead one is repeated by the way of one that lives.
        world.run_for(Duration::from_secs(8));
        assert_all_show(&world, &watchers, "by another");
        assert_eq!(
            world.ledger.notifies.len(),
            dialogs,
            "seed {seed}: the dialogs"
        );
        assert_eq!(world.mishaps(), Vec::new(), "seed {seed}");
        world.begin_again(0);
        world.run_for(Duration::from_secs(3));
        publish(&mut world, alice, "both again");
        world.run_for(Duration::from_secs(5));
        assert_all_show(&world, &watchers, "both again");
        assert_lawful(&mut world);
    }
}

// R31
#[test]
fn a_flood_of_one_client_delays_no_other() {
    for seed in 0..5 {
        let mut world = World::of(seed, APART);
        let alice = log_on(&mut world, "alice");
        let flood = log_on(&mut world, "flood");
        let bob = log_on(&mut world, "bob");
        let id = watch(&mut world, bob, alice);
        world.run_for(SOON);
        let target = world.phones[alice].aor.clone();
        for round in 0..40 {
            for _ in 0..50 {
                world.with_phone(flood, |phone, now| {
                    phone.fetch(now, &target);
                });
            }
            let note = format!("in the flood {round}");
            world.with_phone(alice, |phone, now| phone.publish(now, true, &note));
            let is_shown = world.run_until(SOON, |world| shown(world, bob, id) == note);
            assert!(is_shown, "seed {seed} {round}");
        }
        let refused = world.ledger.answers.get(&("SUBSCRIBE".to_owned(), 503));
        assert!(
            refused.is_some(),
            "seed {seed}: past its queue it is told to wait"
        );
        assert_eq!(world.ledger.broken, Vec::<String>::new());
    }
}

// R31
#[test]
fn a_peer_that_cannot_be_reached_delays_no_other() {
    let mut world = World::of(3, APART);
    let alice = log_on(&mut world, "alice");
    let watchers = crowd(&mut world, 9, alice);
    let home = server(&mut world, "alice");
    let home = world.home(home);
    let cut = (2..5).find(|place| *place != home).expect("three servers");
    let now = world.now().moment;
    world.network.cut(now, (home, cut), true);
    for round in 0..50 {
        publish(&mut world, alice, &round.to_string());
    }
    let reached: Vec<_> = watchers
        .iter()
        .filter(|(place, _)| {
            let user = world.phones[*place].aor.user().to_owned();
            let at = world.server_of(&user).expect("assigned");
            world.home(at) != cut
        })
        .copied()
        .collect();
    assert!(reached.len() < watchers.len());
    assert_all_show(&world, &reached, "49");
    let now = world.now().moment;
    world.network.cut(now, (home, cut), false);
    world.run_for(Duration::from_secs(2));
    assert_all_show(&world, &watchers, "49");
    assert_lawful(&mut world);
}

// R36
#[test]
fn a_server_that_joins_gets_the_new_logons() {
    let mut world = World::of(4, APART);
    world.kill(4);
    world.run_for(Duration::from_secs(3));
    for user in 0..10 {
        log_on(&mut world, &format!("early{user}"));
    }
    world.begin_again(4);
    world.run_for(Duration::from_secs(3));
    for user in 0..5 {
        log_on(&mut world, &format!("late{user}"));
    }
    let counts: Vec<u64> = clients(&mut world)
        .iter()
        .map(|(_, count)| *count)
        .collect();
    assert_eq!(counts, [5, 5, 5]);
    assert_lawful(&mut world);
}

/// Alice and a phone that watches her from another server.
pub(super) fn watcher_elsewhere(world: &mut World) -> (usize, SubscriptionId) {
    let alice = log_on(world, "alice");
    let bob = log_on(world, "bob");
    assert_ne!(server(world, "alice"), server(world, "bob"));
    let id = watch(world, bob, alice);
    world.run_for(Duration::from_secs(1));
    (bob, id)
}

/// So many others, who watch `target`.
pub(super) fn crowd(
    world: &mut World,
    count: usize,
    target: usize,
) -> Vec<(usize, SubscriptionId)> {
    let mut watchers = Vec::new();
    for user in 0..count {
        let place = log_on(world, &format!("user{user}"));
        watchers.push((place, watch(world, place, target)));
    }
    world.run_for(Duration::from_secs(1));
    watchers
}

/// Alice publishes while the store is gone, in one way or the other.
fn outage(
    world: &mut World,
    lasts: Duration,
    is_stuck: bool,
) -> (usize, Vec<(usize, SubscriptionId)>) {
    let alice = log_on(world, "alice");
    let watchers = crowd(world, 9, alice);
    let faults = StoreFaults {
        is_away: !is_stuck,
        is_stuck,
        ..StoreFaults::default()
    };
    for place in 0..world.processes() {
        world.set_store_faults(place, faults);
    }
    world.run_for(Duration::from_secs(1));
    world.with_phone(alice, |phone, now| phone.publish(now, true, "during"));
    world.run_for(lasts - Duration::from_secs(1));
    for place in 0..world.processes() {
        world.set_store_faults(place, StoreFaults::default());
    }
    (alice, watchers)
}

pub(super) fn shown(world: &World, place: usize, id: SubscriptionId) -> String {
    let shows = world.phones[place].shows(id);
    shows.map(|(_, note)| note).unwrap_or_default()
}

fn assert_all_show(world: &World, watchers: &[(usize, SubscriptionId)], note: &str) {
    for (place, id) in watchers {
        assert_eq!(shown(world, *place, *id), note, "phone {place}");
    }
}

/// How many clients each server has.
fn clients(world: &mut World) -> Vec<(MemberId, u64)> {
    let members = world.status().members.into_iter();
    let servers = members.filter(|row| row.role == Role::Server);
    servers.map(|row| (row.id, row.clients)).collect()
}

fn is_published(event: &Event) -> bool {
    matches!(event, Event::Published { .. })
}
