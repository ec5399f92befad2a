//! A store that is gone for a minute, while phones go on asking for things.

use std::collections::BTreeSet;
use std::time::Duration;

use presently_agent::Event;
use presently_tests::world::{Mishap, MishapKind, StoreFaults, World};

use super::named::{APART, crowd, shown};
use crate::play::{assert_lawful, log_on};

// R29
#[test]
fn five_seconds_after_a_minute_without_the_store_all_is_done_that_somebody_waits_for() {
    let (mut anew, mut unanswered) = (0, 0);
    for (seed, is_stuck) in (0..10).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut world = World::of(seed, APART);
        let first = log_on(&mut world, "alice");
        crowd(&mut world, 40, first);
        let watches = watch_each_other(&mut world);
        set_store(&mut world, is_stuck, true);
        // What is on its way to the store by now is the store's to do; from here on servers are
        // mute, and what they hold is theirs.
        world.run_for(Duration::from_secs(2));
        // Every phone publishes twice in that minute, whenever it likes.
        let phones = world.phones.len();
        let mut asked = Vec::new();
        for turn in 0..2 * phones {
            let place = (turn * 7) % phones;
            let note = format!("{seed} {turn}");
            world.with_phone(place, |phone, now| phone.publish(now, true, &note));
            asked.push((world.now().moment, place, note));
            world.run_for(OUTAGE / u32::try_from(2 * phones).expect("few"));
        }
        set_store(&mut world, is_stuck, false);
        let back = world.now().moment;
        world.run_for(Duration::from_secs(5));

        // A phone gives up after 32 s; all that is younger is done, and shown.
        let waits = asked.iter();
        let waits = waits.filter(|(at, ..)| back.since(*at) < Duration::from_secs(26));
        let mut shown_last = BTreeSet::new();
        for (_, place, note) in waits
            .rev()
            .filter(|(_, place, _)| shown_last.insert(*place))
        {
            for (watcher, target, id) in &watches {
                if target == place {
                    let shows = shown(&world, *watcher, *id);
                    assert_eq!(shows, *note, "seed {seed}, stuck {is_stuck}: {watcher}");
                }
            }
        }
        assert!(shown_last.len() > phones / 2, "{}", shown_last.len());
        assert!(world.is_settled(), "seed {seed}, stuck {is_stuck}");
        for user in users(&world) {
            let rows = world.show(&user).unwrap().publications.len();
            assert!(
                rows <= 1,
                "seed {seed}, stuck {is_stuck}: {user} has {rows}"
            );
        }
        let mishaps = world.mishaps();
        let is_bearable =
            |one: &&Mishap| matches!(one.kind, MishapKind::Refused(503) | MishapKind::TimedOut);
        let others: Vec<_> = mishaps.iter().filter(|one| !is_bearable(one)).collect();
        assert_eq!(others, Vec::<&Mishap>::new(), "seed {seed}");
        unanswered += mishaps.len();
        anew += subscribed_anew(&world);
        world.excuse_wakes();
        assert_lawful(&mut world);
    }
    println!("{unanswered} requests given up or refused, {anew} subscriptions begun anew");
    assert_eq!(anew, 0);
}

/// Every phone watches the next one, and refreshes that within the minute.
fn watch_each_other(world: &mut World) -> Vec<(usize, usize, presently_agent::SubscriptionId)> {
    let phones = world.phones.len();
    let mut watches = Vec::new();
    for place in 0..phones {
        let target = (place + 1) % phones;
        let aor = world.phones[target].aor.clone();
        let id = world.with_phone(place, |phone, now| phone.subscribe_for(now, &aor, 90));
        watches.push((place, target, id));
        world.run_for(Duration::from_millis(200));
    }
    world.run_for(Duration::from_secs(2));
    watches
}

fn set_store(world: &mut World, is_stuck: bool, is_wrong: bool) {
    let faults = StoreFaults {
        is_away: is_wrong && !is_stuck,
        is_stuck: is_wrong && is_stuck,
        ..StoreFaults::default()
    };
    for place in 0..world.processes() {
        world.set_store_faults(place, faults);
    }
}

fn users(world: &World) -> BTreeSet<String> {
    let phones = world.phones.iter();
    phones.map(|phone| phone.aor.user().to_owned()).collect()
}

/// How many subscriptions ended without their phone's wish.
fn subscribed_anew(world: &World) -> usize {
    let events = world.phones.iter().flat_map(|phone| &phone.events);
    let ended = events.filter(|(_, event)| matches!(event, Event::SubscriptionEnded { .. }));
    ended.count()
}

const OUTAGE: Duration = Duration::from_mins(1);
