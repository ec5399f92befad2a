//! Goal: everybody logs on at once and nobody is lost (R33).
//! Method: more phones than the balancer lets wait register within a second, while the store is
//! away as after a power cut; those that are refused come again when they are told to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use presently_presence::Expires;
use presently_sip::Protocol;
use presently_tests::world::{Arrangement, Heard, StoreFaults, World};

use super::play::{SOON, log_on, publish, register as register_again, watch};

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

// R33
#[test]
fn the_first_grant_of_each_method_is_spread_and_no_later_one() {
    let mut world = World::new(34, 3, Arrangement::Together);
    world.set_expires(Expires {
        jitter_percent: 10,
        ..Expires::default()
    });
    world.ledger.kept = Some(Vec::new());
    for n in 0..16 {
        let place = log_on(&mut world, &format!("user{n}"));
        publish(&mut world, place, "first");
        watch(&mut world, place, 0);
    }
    let grants = grants(&mut world);
    for (method, secs) in &grants {
        assert_eq!(secs.len(), 16, "{method}");
        assert!(secs.iter().all(|secs| (3_240..=3_600).contains(secs)));
        let different: BTreeSet<_> = secs.iter().collect();
        assert!(different.len() > 12, "{method}: {secs:?}");
    }
    assert_eq!(grants.len(), 3, "{grants:?}");
    for place in 0..16 {
        publish(&mut world, place, "second");
        register_again(&mut world, place);
    }
    let again = self::grants(&mut world);
    assert_eq!(again["PUBLISH"], [3_600; 16]);
    assert_eq!(again["REGISTER"], [3_600; 16]);
}

/// A disk that is full keeps nobody from being heard, so servers hold what they cannot write.
#[test]
fn a_server_holds_requests_up_to_a_bound_of_bytes_and_does_what_it_holds() {
    let mut world = World::new(35, 1, Arrangement::Together);
    for n in 0..20 {
        register(&mut world, n, 1);
    }
    world.run_for(Duration::from_secs(1));
    // Some may have been asked whether they are there.
    let heard = world.take_heard();
    let answered = heard.iter().filter(|one| one.text.starts_with("SIP/2.0 "));
    assert_eq!(answered.count(), 20);
    let is_full = true;
    world.set_store_faults(
        0,
        StoreFaults {
            is_full,
            ..StoreFaults::default()
        },
    );
    let body = "x".repeat(60 << 10);
    for cseq in 2..62 {
        for n in 0..20 {
            register_with(&mut world, n, cseq, &body);
        }
        world.run_for(Duration::from_millis(10));
    }
    let refused = refused(&world.take_heard()).len();
    let held = 1_200 - refused;
    let bytes = held * body.len();
    assert!((60 << 20..=65 << 20).contains(&bytes), "{held} are held");
    let said = |world: &World| world.servers().map(|it| it.held_bytes()).sum::<usize>();
    assert!(
        (bytes..=66 << 20).contains(&said(&world)),
        "{}",
        said(&world)
    );
    world.set_store_faults(0, StoreFaults::default());
    world.run_for(Duration::from_secs(3));
    let heard = world.take_heard();
    let done = heard.iter();
    let done = done.filter(|one| one.text.starts_with("SIP/2.0 200"));
    assert_eq!(done.count(), held);
    assert_eq!(said(&world), 0);
    // What was held is let go of.
    register_with(&mut world, 0, 62, &body);
    world.run_for(SOON);
    assert!(world.take_heard()[0].text.starts_with("SIP/2.0 200"));
    assert_eq!(world.ledger.broken, Vec::<String>::new());
}

/// What 200s have granted since this was last asked, by method.
fn grants(world: &mut World) -> BTreeMap<String, Vec<u32>> {
    let mut grants = BTreeMap::<_, Vec<_>>::new();
    for bytes in world.ledger.kept.replace(Vec::new()).unwrap_or_default() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
        let (true, Some(cseq)) = (text.starts_with("SIP/2.0 200"), after("\nCSeq: ")) else {
            continue;
        };
        let method = cseq.split_whitespace().nth(1).unwrap().to_owned();
        let secs = after("\nExpires: ").or_else(|| after(";expires="));
        let secs = secs.and_then(|rest| rest.split(['\r', ';']).next());
        let secs = secs.expect("a 200 says it").parse().unwrap();
        grants.entry(method).or_default().push(secs);
    }
    grants
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
    register_with(world, n, cseq, "");
}

fn register_with(world: &mut World, n: u32, cseq: u32, body: &str) {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP {at};branch=z9hG4bKstorm{n}x{cseq}\r\n\
Max-Forwards: 70\r\n\
From: <sip:storm{n}@example.com>;tag=s{n}\r\n\
To: <sip:storm{n}@example.com>\r\n\
Call-ID: storm{n}\r\n\
CSeq: {cseq} REGISTER\r\n\
Contact: <sip:storm{n}@{at}>;expires=3600\r\n\
Content-Disposition: render;handling=optional\r\n\
Content-Length: {length}\r\n\r\n{body}",
        at = address(n),
        length = body.len(),
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
