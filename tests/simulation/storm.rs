//! Goal: everybody logs on at once and nobody is lost (R33).
//! Method: more phones than the balancer lets wait register within a second, while the store is
//! away as after a power cut; those that are refused come again when they are told to.

use std::net::SocketAddr;
use std::time::Duration;

use presently_sip::Protocol;
use presently_tests::world::{Arrangement, Heard, World};

use super::play::{SOON, log_on, publish, watch};

// R33
#[test]
fn a_storm_of_logons_is_admitted_by_bounds_and_everybody_gets_on() {
    let mut world = World::new(33, 3, Arrangement::Together);
    let alice = log_on(&mut world, "alice");
    let bob = log_on(&mut world, "bob");
    let id = watch(&mut world, bob, alice);
    world.set_store_away(true);
    for n in 0..PHONES {
        register(&mut world, n, 1);
    }
    world.run_for(Duration::from_secs(1));
    let refused = refused(&world.take_heard());
    let waited = PHONES - u32::try_from(refused.len()).unwrap();
    assert_eq!(waited, WAITING, "as many wait as there is room for");
    let mut pauses: Vec<u64> = refused.iter().map(|(_, pause)| *pause).collect();
    pauses.sort_unstable();
    pauses.dedup();
    assert!(
        pauses.len() > 8,
        "they do not come back together: {pauses:?}"
    );

    world.raw_send(address(0), Protocol::Udp, OPTIONS.as_bytes());
    world.run_for(SOON);
    let heard = world.take_heard();
    assert!(
        heard[0].text.starts_with("SIP/2.0 200"),
        "it answers: {heard:?}"
    );

    world.set_store_away(false);
    world.run_for(Duration::from_secs(3));
    publish(&mut world, alice, "in the storm");
    let shown = world.phones[bob].shows(id);
    assert_eq!(shown, Some((true, "in the storm".to_owned())));
    let answers = world.take_heard();
    let done = answers
        .iter()
        .filter(|one| one.text.starts_with("SIP/2.0 200"));
    assert_eq!(done.count(), usize::try_from(WAITING).unwrap());

    for pause in pauses {
        world.run_for(Duration::from_secs(1));
        for (n, _) in refused.iter().filter(|(_, told)| *told == pause) {
            register(&mut world, *n, 2);
        }
    }
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.status().clients, u64::from(PHONES) + 2);
    assert_eq!(world.ledger.broken, Vec::<String>::new());
}

/// Who was refused, and for how long.
fn refused(heard: &[Heard]) -> Vec<(u32, u64)> {
    let refused = heard
        .iter()
        .filter(|one| one.text.starts_with("SIP/2.0 503"));
    refused
        .map(|one| {
            let mut lines = one.text.lines();
            let pause = lines.find_map(|line| line.strip_prefix("Retry-After: "));
            let pause = pause
                .expect("a refused phone is told when")
                .parse()
                .unwrap();
            assert!((5..=15).contains(&pause), "{pause}");
            (u32::from(one.to.port()) - 1024, pause)
        })
        .collect()
}

fn register(world: &mut World, n: u32, cseq: u32) {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP {at};branch=z9hG4bKstorm{n}x{cseq}\r\n\
Max-Forwards: 70\r\n\
From: <sip:storm{n}@example.com>;tag=s{n}\r\n\
To: <sip:storm{n}@example.com>\r\n\
Call-ID: storm{n}\r\n\
CSeq: {cseq} REGISTER\r\n\
Contact: <sip:storm{n}@{at}>;expires=3600\r\n\
Content-Length: 0\r\n\r\n",
        at = address(n),
    );
    world.raw_send(address(n), Protocol::Udp, text.as_bytes());
}

fn address(n: u32) -> SocketAddr {
    let port = u16::try_from(n + 1024).expect("fewer than there are ports");
    SocketAddr::from(([192, 0, 2, 33], port))
}

const OPTIONS: &str = "OPTIONS sip:example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.33:1024;branch=z9hG4bKoptions\r\n\
Max-Forwards: 70\r\n\
From: <sip:storm0@example.com>;tag=o\r\n\
To: <sip:example.com>\r\n\
Call-ID: options\r\n\
CSeq: 1 OPTIONS\r\n\
Content-Length: 0\r\n\r\n";
/// Ten times what a pool of this size is asked in an ordinary second.
const PHONES: u32 = 18_000;
/// What the balancer lets wait.
const WAITING: u32 = 16_384;
