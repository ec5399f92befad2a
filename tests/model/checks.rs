//! The checks: every state in a scope keeps the laws, and none of the rules is idle.

use std::env;

use stateright::{Checker, HasDiscoveries, Model};

use crate::lease::{self, Lease, OWN_BEATS};
use crate::pool::{self, Action, Pool};
use crate::rules::{Faults, Rule, Rules, Scope};

#[test]
fn a_server_is_late_and_a_balancer_dies() {
    let scope = Scope {
        balancers: 2,
        faults: Faults {
            balancers: 1,
            lates: 1,
            ..NONE
        },
        ..SMALL
    };
    all_hold(scope, 300_000);
}

#[test]
fn a_server_is_late_and_another_process_starts_under_its_name() {
    let faults = Faults {
        lates: 1,
        replies: 1,
        starts: 1,
        ..NONE
    };
    all_hold(Scope { faults, ..SMALL }, 500_000);
}

#[test]
fn a_late_server_hands_a_client_over() {
    let faults = Faults {
        lates: 1,
        moves: 1,
        ..NONE
    };
    all_hold(Scope { faults, ..SMALL }, 400_000);
}

#[test]
fn two_of_three_servers_are_killed() {
    let faults = Faults { kills: 2, ..NONE };
    all_hold(Scope { faults, ..THREE }, 150_000);
}

#[test]
fn a_client_is_handed_over_and_a_server_is_killed() {
    let faults = Faults {
        kills: 1,
        moves: 1,
        ..NONE
    };
    all_hold(Scope { faults, ..THREE }, 450_000);
}

#[test]
fn a_killed_server_starts_again_between_two_publications() {
    let faults = Faults {
        kills: 1,
        starts: 1,
        ..NONE
    };
    all_hold(Scope { faults, ..TWICE }, 600_000);
}

#[test]
fn a_server_is_killed_after_a_subscribe() {
    let faults = Faults {
        kills: 1,
        subscribes: 1,
        ..NONE
    };
    all_hold(Scope { faults, ..TWICE }, 100_000);
}

#[test]
fn a_server_leaves_after_handing_a_client_over() {
    let faults = Faults {
        leaves: 1,
        moves: 1,
        ..NONE
    };
    all_hold(Scope { faults, ..SMALL }, 25_000);
}

#[test]
fn larger_pools_when_asked_for() {
    if env::var("MODEL").is_err() {
        return;
    }
    let late_and_killed = Faults {
        kills: 1,
        lates: 1,
        starts: 1,
        ..NONE
    };
    let all_small = Faults {
        kills: 1,
        moves: 1,
        replies: 1,
        subscribes: 1,
        ..NONE
    };
    for (base, faults) in [
        (SMALL, late_and_killed),
        (THREE, all_small),
        (TWICE, Faults { lates: 1, ..NONE }),
        (SMALL, Faults { lates: 2, ..NONE }),
    ] {
        all_hold(Scope { faults, ..base }, 100_000);
    }
}

/// Looks at every state; each law holds in it.
fn all_hold(scope: Scope, states_min: usize) {
    let rules = Rules::default();
    let checker = Pool { rules, scope }
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    println!(
        "{states} states, {} steps deep: {scope:?}",
        checker.max_depth()
    );
    for (name, path) in checker.discoveries() {
        println!("{name}: {:?}", path.into_actions());
    }
    checker.assert_properties();
    assert!(states >= states_min, "no less than was once looked at");
}

/// Without one rule after another: the law that falls, and in how many steps.
#[test]
fn each_rule_is_needed() {
    for rule in Rule::ALL {
        let (law, steps) = match witness(rule) {
            Witness::Lease(faults, law) => {
                let actions = lease_fails(Rules::without(rule), OWN_BEATS, faults, law);
                (law, format!("{actions:?}"))
            }
            Witness::Pool(scope, law) => {
                let rules = Rules::without(rule);
                let actions = pool_fails(rules, scope, law);
                (law, format!("{actions:?}"))
            }
        };
        println!("without {rule:?} not {law:?}: {steps}");
    }
}

/// Where the fall of a law is seen.
enum Witness {
    Lease(lease::Faults, &'static str),
    Pool(Scope, &'static str),
}

fn witness(rule: Rule) -> Witness {
    let pool = |base: Scope, faults, law| Witness::Pool(Scope { faults, ..base }, law);
    let killed = Faults { kills: 1, ..NONE };
    let killed_twice = Faults { kills: 2, ..NONE };
    let late = Faults { lates: 1, ..NONE };
    match rule {
        Rule::ClearWhenCaughtUp | Rule::SettledFromSnapshot => pool(TWICE, killed, pool::TOLD),
        Rule::CommitFirst => pool(SMALL, NONE, pool::KEPT),
        Rule::CseqGrows => pool(TWICE, killed, pool::NEVER_BACKWARDS),
        Rule::EndCompares | Rule::MoveCompares | Rule::Mute => pool(SMALL, late, pool::ONE_ACTOR),
        Rule::EpochChecked => pool(SMALL, late, pool::OWN_EPOCH),
        Rule::JoinCompares => pool(SMALL, Faults { starts: 1, ..late }, pool::ONE_ACTOR),
        Rule::LeaverSilent => pool(SMALL, Faults { leaves: 1, ..NONE }, pool::ONE_ACTOR),
        Rule::MuteFirst | Rule::MuteFromSending => Witness::Lease(ONE_PAUSE, lease::SILENT),
        Rule::OwnerMoves => pool(TWICE, Faults { moves: 1, ..NONE }, pool::NEVER_BACKWARDS),
        Rule::SettledCoversStore | Rule::ToldForgotten | Rule::ToldOldest => {
            pool(THREE, killed_twice, pool::TOLD)
        }
        Rule::SubscribeOwes => pool(
            SMALL,
            Faults {
                subscribes: 1,
                ..killed
            },
            pool::TOLD,
        ),
        Rule::Sweep => pool(SMALL, NONE, pool::TOLD),
        Rule::SweepCompares | Rule::ToldKept => pool(SMALL, killed, pool::TOLD),
        Rule::UnknownDrops => pool(SMALL, Faults { replies: 1, ..NONE }, pool::APPLIED_ONCE),
    }
}

/// Two balancers that both see a standstill: without the comparison both end the life.
#[test]
fn without_its_comparison_two_balancers_end_a_life() {
    let scope = Scope {
        balancers: 2,
        faults: Faults { kills: 1, ..NONE },
        ..SMALL
    };
    pool_fails(Rules::without(Rule::EndCompares), scope, pool::ONE_WINNER);
}

/// A way to the fall of `law`, as short as there are.
fn pool_fails(rules: Rules, scope: Scope, law: &'static str) -> Vec<Action> {
    let checker = Pool { rules, scope }
        .checker()
        .finish_when(HasDiscoveries::AnyOf([law].into()))
        .spawn_bfs()
        .join();
    let path = checker.discovery(law);
    let path = path.unwrap_or_else(|| panic!("{law:?} stands under {rules:?}, {scope:?}"));
    path.into_actions()
}

/// Goal: no step undoes another for ever. Method: faults at random, then a fair way without new
/// ones; it ends, and where it ends the laws of a pool at rest hold.
#[test]
fn without_new_faults_the_pool_comes_to_rest() {
    let faults = Faults {
        balancers: 1,
        kills: 1,
        lates: 2,
        leaves: 0,
        moves: 2,
        replies: 2,
        starts: 2,
        subscribes: 2,
    };
    let pool = Pool {
        rules: Rules::default(),
        scope: Scope {
            members: 3,
            balancers: 2,
            publishes: 4,
            faults,
        },
    };
    for seed in 0..WALKS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let starts = pool.init_states();
        let mut state = starts[rng.usize(0..starts.len())];
        for step in 0.. {
            assert!(step < STEPS_MAX, "seed {seed} comes to no rest");
            let mut actions = Vec::new();
            pool.actions(&state, &mut actions);
            actions.retain(|action| step < STEPS_WITH_FAULTS || !action.is_fault());
            rng.shuffle(&mut actions);
            let mut next = actions
                .iter()
                .filter_map(|action| pool.next_state(&state, *action));
            let Some(next) = next.next() else {
                break;
            };
            state = next;
            for property in pool.properties() {
                let holds = (property.condition)(&pool, &state);
                assert!(
                    holds || property.name == pool::REST,
                    "seed {seed}: {}",
                    property.name
                );
            }
        }
    }
}

#[test]
fn a_life_that_was_ended_is_mute() {
    let faults = lease::Faults {
        kills: 1,
        pauses: 2,
        stalls: 2,
    };
    let lease = Lease {
        rules: Rules::default(),
        own_beats: OWN_BEATS,
        faults,
    };
    let checker = lease
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    println!(
        "{states} states, {} steps deep: {faults:?}",
        checker.max_depth()
    );
    checker.assert_properties();
    assert!(states >= 500_000, "no less than was once looked at");
}

/// What the four commits of a balancer's own are for, and how far they carry.
#[test]
fn a_healthy_life_is_ended_only_by_a_store_that_passes_over_it_thrice() {
    let rules = Rules::default();
    let stalls = |stalls| lease::Faults {
        kills: 0,
        pauses: 0,
        stalls,
    };
    for (own_beats, count) in [(1, 1), (2, 1), (3, 2), (OWN_BEATS, 3)] {
        let actions = lease_fails(rules, own_beats, stalls(count), lease::HEALTHY);
        println!("{own_beats} own beats do not bear {count} stalls: {actions:?}");
    }
}

fn lease_fails(
    rules: Rules,
    own_beats: u8,
    faults: lease::Faults,
    law: &'static str,
) -> Vec<lease::Action> {
    let lease = Lease {
        rules,
        own_beats,
        faults,
    };
    let checker = lease
        .checker()
        .finish_when(HasDiscoveries::AnyOf([law].into()))
        .spawn_bfs()
        .join();
    let path = checker.discovery(law);
    let path = path.unwrap_or_else(|| panic!("{law:?} stands under {rules:?}, {faults:?}"));
    path.into_actions()
}

const NONE: Faults = Faults {
    balancers: 0,
    kills: 0,
    lates: 0,
    leaves: 0,
    moves: 0,
    replies: 0,
    starts: 0,
    subscribes: 0,
};
const SMALL: Scope = Scope {
    members: 2,
    balancers: 1,
    publishes: 1,
    faults: NONE,
};
const THREE: Scope = Scope {
    members: 3,
    ..SMALL
};
const TWICE: Scope = Scope {
    publishes: 2,
    ..SMALL
};
const ONE_PAUSE: lease::Faults = lease::Faults {
    kills: 0,
    pauses: 1,
    stalls: 0,
};
const WALKS: u64 = 2_000;
const STEPS_WITH_FAULTS: usize = 150;
const STEPS_MAX: usize = 1_000;
