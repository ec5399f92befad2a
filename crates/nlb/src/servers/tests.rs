//! Who is given which server, over health, limits, weights and reloads.

use proptest::prelude::*;

use super::*;

fn server(name: &str, slots: Option<u32>, weight: u32) -> Server {
    Server {
        name: name.into(),
        address: ([192, 0, 2, 1], 8080).into(),
        slots,
        weight,
    }
}

fn servers(list: &[(&str, Option<u32>, u32)]) -> Servers {
    let list = list
        .iter()
        .map(|(name, slots, weight)| server(name, *slots, *weight));
    Servers::new(list.collect())
}

/// Lets sessions `0..count` choose, each for a user of its own.
fn fill(servers: &mut Servers, count: u64) {
    for id in 0..count {
        servers.choose(SessionId(id), &format!("sip:user{id}@example.test"));
    }
}

#[test]
fn sessions_go_where_the_fewest_live_for_the_weight() {
    let table: [(&[_], u64, &[usize]); 7] = [
        (&[("a", None, 1), ("b", None, 1)], 10, &[5, 5]),
        (&[("a", None, 1), ("b", None, 3)], 12, &[3, 9]),
        (&[("a", None, 0), ("b", None, 1)], 4, &[0, 4]),
        (&[("a", Some(2), 1), ("b", None, 1)], 10, &[2, 8]),
        (&[("a", Some(2), 1), ("b", Some(1), 1)], 10, &[2, 1]),
        (&[("a", Some(0), 1), ("b", Some(1), 9)], 10, &[0, 1]),
        (&[("a", None, u32::MAX), ("b", None, u32::MAX)], 6, &[3, 3]),
    ];
    for (list, count, expected) in table {
        let mut servers = servers(list);
        fill(&mut servers, count);
        let live: Vec<usize> = servers.iter().map(|standing| standing.live).collect();
        assert_eq!(live, expected, "{list:?}");
        assert_eq!(servers.live_in_all(), expected.iter().sum());
    }
}

#[test]
fn no_room_and_no_server_are_told_apart() {
    let (mut down, mut drained) = (servers(&[("a", None, 1)]), servers(&[("a", Some(1), 1)]));
    down.set_health("a", false);
    fill(&mut drained, 1);
    drained.set_list(Vec::new());
    let table = [
        (servers(&[]), Choice::NoServer),
        (servers(&[("a", None, 0)]), Choice::NoServer),
        (down, Choice::NoServer),
        (drained, Choice::NoServer),
        (servers(&[("a", Some(0), 1)]), Choice::Full),
    ];
    for (mut servers, expected) in table {
        let choice = servers.choose(SessionId(9), "sip:al@example.test");
        assert_eq!(choice, expected, "{servers:?}");
        assert_eq!(servers.server_of(SessionId(9)), None);
    }
}

// S26
#[test]
fn a_session_keeps_its_server() {
    let mut servers = servers(&[("a", None, 1), ("b", None, 1)]);
    let first = servers.choose(SessionId(1), "sip:al@example.test");
    for id in 2..9 {
        servers.choose(SessionId(id), "sip:al@example.test");
        let again = servers.choose(SessionId(1), "sip:bo@example.test");
        assert_eq!(again, first);
    }
    assert_eq!(servers.live_in_all(), 8);
}

#[test]
fn equal_servers_are_told_apart_by_the_user() {
    let list: Vec<_> = ["a", "b", "c", "d"].map(|name| (name, None, 1)).into();
    let chosen = |user: &str| servers(&list).choose(SessionId(1), user);
    let users: Vec<String> = (0..64).map(|id| format!("sip:{id}@example.test")).collect();
    for (name, ..) in &list {
        let choice = Choice::Taken((*name).into());
        let count = users.iter().filter(|user| chosen(user) == choice).count();
        assert!((4..32).contains(&count), "{count} of 64 users on {name}");
    }
    for user in users {
        assert_eq!(chosen(&user), chosen(&user));
    }
}

#[test]
fn a_slot_is_taken_only_where_there_is_one() {
    let mut servers = servers(&[("a", Some(1), 1), ("b", None, 0), ("down", None, 1)]);
    servers.set_health("down", false);
    assert!(servers.take(SessionId(1), "a"));
    assert!(servers.take(SessionId(1), "a"), "it is there already");
    assert!(!servers.take(SessionId(2), "a"), "no room");
    assert!(!servers.take(SessionId(2), "down"));
    assert!(!servers.take(SessionId(2), "unknown"));
    assert!(servers.take(SessionId(2), "b"), "weight is for new ones");
    assert!(!servers.take(SessionId(2), "a"), "no room");
    assert_eq!(
        servers.server_of(SessionId(2)).map(|name| &**name),
        Some("b"),
        "it stays where it was"
    );
    assert!(servers.take(SessionId(1), "b"), "it moves");
    assert_eq!((servers.live("a"), servers.live("b")), (0, 2));
}

#[test]
fn a_server_that_is_down_loses_its_sessions() {
    let mut servers = servers(&[("a", None, 1), ("b", None, 1)]);
    fill(&mut servers, 6);
    let lost = servers.set_health("a", false);
    assert_eq!((lost.len(), servers.live("a")), (3, 0));
    assert!(lost.iter().all(|id| servers.server_of(*id).is_none()));
    assert!(
        servers.set_health("a", false).is_empty(),
        "they lost it before"
    );
    assert!(servers.set_health("unknown", false).is_empty());
    for id in lost {
        assert_eq!(
            servers.choose(id, "sip:al@example.test"),
            Choice::Taken("b".into())
        );
    }
    assert!(servers.set_health("a", true).is_empty());
    assert_eq!(servers.live("b"), 6, "nobody moves back");
    assert_eq!(servers.choose(SessionId(9), ""), Choice::Taken("a".into()));
}

#[test]
fn a_server_taken_from_the_list_drains() {
    let mut servers = servers(&[("a", None, 1), ("b", None, 1)]);
    assert!(servers.take(SessionId(1), "a") && servers.take(SessionId(2), "b"));
    servers.set_list(vec![server("b", None, 1)]);
    let draining: Vec<bool> = servers
        .iter()
        .map(|standing| standing.is_draining)
        .collect();
    assert_eq!(draining, [true, false]);
    assert_eq!(servers.choose(SessionId(3), ""), Choice::Taken("b".into()));
    assert!(!servers.take(SessionId(3), "a"));
    assert_eq!(servers.choose(SessionId(1), ""), Choice::Taken("a".into()));
    assert!(servers.address("a").is_some(), "it still has a session");
    assert_eq!(servers.free(SessionId(1)).as_deref(), Some("a"));
    assert_eq!((servers.address("a"), servers.iter().count()), (None, 1));
}

#[test]
fn a_reload_changes_servers_in_place() {
    let mut servers = servers(&[("a", Some(9), 1), ("b", None, 1)]);
    fill(&mut servers, 6);
    servers.set_health("b", false);
    let mut moved = server("a", Some(1), 5);
    moved.address = ([192, 0, 2, 7], 81).into();
    let readdressed = servers.set_list(vec![moved.clone(), server("b", None, 1)]);
    assert_eq!(readdressed.len(), 3, "those on a");
    assert_eq!(servers.address("a"), Some(moved.address));
    assert_eq!(servers.live("a"), 3, "above the new limit they stay");
    assert_eq!(
        servers.choose(SessionId(9), ""),
        Choice::Full,
        "b is still down"
    );
    servers.set_list(Vec::new());
    assert!(servers.set_list(vec![moved]).is_empty());
    assert_eq!(servers.live("a"), 3, "back before it was empty");
    assert_eq!(
        servers
            .iter()
            .filter(|standing| standing.is_draining)
            .count(),
        0
    );
}

#[test]
fn a_list_is_bounded_and_a_name_counts_once() {
    let many = (0..SERVERS_MAX + 5).map(|id| server(&format!("{id:05}"), None, 1));
    assert_eq!(Servers::new(many.collect()).iter().count(), SERVERS_MAX);
    let twice = Servers::new(vec![server("a", Some(1), 1), server("a", Some(2), 1)]);
    let slots: Vec<_> = twice.iter().map(|standing| standing.server.slots).collect();
    assert_eq!(slots, [Some(2)]);
}

#[test]
fn the_queue_is_first_come_first_served() {
    let mut queue = Queue::new(3);
    for key in ['a', 'b', 'c'] {
        assert!(queue.push(key));
    }
    assert!(!queue.push('d'), "it is full");
    assert!(queue.push('b'), "it waits already");
    assert_eq!((queue.len(), queue.first()), (3, Some('a')));
    assert!(queue.remove('a') && !queue.remove('a') && !queue.contains('a'));
    assert!(queue.push('d') && queue.contains('d'));
    let popped = [0; 4].map(|_| queue.pop());
    assert_eq!(popped, [Some('b'), Some('c'), Some('d'), None]);
    assert!(queue.is_empty());
}

#[derive(Clone, Debug)]
enum Act {
    Choose(u64),
    Free(u64),
    Health(usize, bool),
    List(Vec<(usize, Option<u32>, u32)>),
    Take(u64, usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let server = || (0..4_usize, proptest::option::of(0..4_u32), 0..3_u32);
    let act = prop_oneof![
        8 => (0..20_u64).prop_map(Act::Choose),
        4 => (0..20_u64).prop_map(Act::Free),
        1 => (0..4_usize, any::<bool>()).prop_map(|(at, is_up)| Act::Health(at, is_up)),
        1 => proptest::collection::vec(server(), 0..5).prop_map(Act::List),
        3 => (0..20_u64, 0..4_usize).prop_map(|(id, at)| Act::Take(id, at)),
    ];
    proptest::collection::vec(act, 0..80)
}

proptest! {
    // S18: opensips#2102 and #3294 are what counters do.
    #[test]
    fn whatever_happens_the_sets_agree(acts in acts()) {
        let names = ["a", "b", "c", "d"];
        let mut servers = servers(&[("a", Some(2), 1), ("b", None, 1)]);
        for act in acts {
            match act {
                Act::Choose(id) => _ = servers.choose(SessionId(id), "sip:al@example.test"),
                Act::Free(id) => _ = servers.free(SessionId(id)),
                Act::Health(at, is_up) => _ = servers.set_health(names[at], is_up),
                Act::List(list) => {
                    let list = list.into_iter();
                    let list = list.map(|(at, slots, weight)| server(names[at], slots, weight));
                    servers.set_list(list.collect());
                }
                Act::Take(id, at) => _ = servers.take(SessionId(id), names[at]),
            }
            for held in servers.by_name.values() {
                prop_assert!(held.is_up || held.live.is_empty());
                prop_assert!(!held.is_draining || !held.live.is_empty());
                for id in &held.live {
                    prop_assert_eq!(servers.server_of(*id), Some(&held.server.name));
                }
            }
            let live: usize = servers.iter().map(|standing| standing.live).sum();
            prop_assert_eq!(live, servers.live_in_all());
        }
        for id in 0..20 {
            servers.free(SessionId(id));
        }
        prop_assert_eq!(servers.live_in_all(), 0);
    }
}
