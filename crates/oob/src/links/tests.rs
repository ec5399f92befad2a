//! Goal: what one member says reaches the other, in as few datagrams as it fits, and nothing that
//! the network does is taken for it. Method: two or three members in memory under virtual time;
//! `simulation` has the lossy network.

use presently_pool::{Incarnation, PackageName, ResourceId, Version};
use presently_sip::Flow;

use super::*;

mod simulation;

pub(super) fn key() -> MacKey {
    MacKey::new([7; 16])
}

pub(super) fn membership(id: u32, incarnation: u64) -> Membership {
    Membership {
        member: MemberId(id),
        incarnation: Incarnation(incarnation),
    }
}

pub(super) fn address(id: u32) -> SocketAddr {
    ([127, 0, 0, 1], u16::try_from(id).unwrap()).into()
}

pub(super) fn wake_of(user: usize, version: u64) -> Wake {
    Wake {
        resource: ResourceId {
            aor: Aor::parse(&format!("sip:user{user}@example.com")).unwrap(),
            package: PackageName::new("presence"),
        },
        version: Version(version),
    }
}

const HEARTBEAT: Duration = Duration::from_millis(500);
const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);

/// A member 1 and a member 2 that have heard each other.
struct Pair {
    now: Moment,
    a: Links,
    b: Links,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self::strangers();
        pair.run_until(Moment(1_000_000));
        pair
    }

    fn strangers() -> Self {
        let now = Moment(1_000_000);
        let (mut a, mut b) = (
            Links::new(membership(1, 10), key()),
            Links::new(membership(2, 20), key()),
        );
        a.set_peers(now, &[(membership(2, 20), address(2))]);
        b.set_peers(now, &[(membership(1, 10), address(1))]);
        Self { now, a, b }
    }

    /// Lets both act until nothing is due any more; what each heard.
    fn run_until(&mut self, end: Moment) -> (Vec<Event>, Vec<Event>) {
        let mut heard = (Vec::new(), Vec::new());
        for _ in 0..100_000 {
            let from_a = turn(&mut self.a, self.now, &mut heard.0);
            let from_b = turn(&mut self.b, self.now, &mut heard.1);
            let mut on_the_way = (from_a, from_b);
            let is_quiet = on_the_way.0.is_empty() && on_the_way.1.is_empty();
            while !(on_the_way.0.is_empty() && on_the_way.1.is_empty()) {
                let (to_b, to_a) = std::mem::take(&mut on_the_way);
                for bytes in &to_b {
                    on_the_way
                        .1
                        .extend(answer(&mut self.b, self.now, bytes, &mut heard.1));
                }
                for bytes in &to_a {
                    on_the_way
                        .0
                        .extend(answer(&mut self.a, self.now, bytes, &mut heard.0));
                }
            }
            let due = self.a.poll_timeout().min(self.b.poll_timeout()).unwrap();
            if is_quiet {
                if due > end {
                    self.now = end;
                    return heard;
                }
                self.now = due.max(self.now);
            }
        }
        panic!("it does not come to rest");
    }

    fn run_for(&mut self, millis: u64) -> (Vec<Event>, Vec<Event>) {
        self.run_until(Moment(self.now.0 + millis * 1_000))
    }
}

/// One turn; the datagrams it sends.
fn turn(links: &mut Links, now: Moment, heard: &mut Vec<Event>) -> Vec<Vec<u8>> {
    let mut out = Outputs::default();
    if links.poll_timeout().is_some_and(|due| due <= now) {
        links.handle_timeout(now, &mut out);
    }
    links.flush(now, &mut out);
    heard.append(&mut out.events);
    out.transmits().map(|(_, bytes)| bytes.to_vec()).collect()
}

/// Delivers one datagram; what it says.
fn hear(links: &mut Links, now: Moment, bytes: &[u8]) -> Vec<Event> {
    let mut heard = Vec::new();
    answer(links, now, bytes, &mut heard);
    heard
}

/// Delivers one datagram; what is sent at once because of it.
fn answer(links: &mut Links, now: Moment, bytes: &[u8], heard: &mut Vec<Event>) -> Vec<Vec<u8>> {
    let mut out = Outputs::default();
    links.handle_datagram(now, bytes, address(9), &mut out);
    heard.append(&mut out.events);
    out.transmits().map(|(_, bytes)| bytes.to_vec()).collect()
}

fn without_heartbeats(events: Vec<Event>) -> Vec<Event> {
    let is_other = |event: &Event| !matches!(event, Event::PeerHeard { .. });
    events.into_iter().filter(is_other).collect()
}

#[test]
fn many_wakes_travel_in_one_datagram() {
    let mut pair = Pair::new();
    for user in 0..20 {
        pair.a.wake(B, &wake_of(user, 1));
    }
    let sent = turn(&mut pair.a, pair.now, &mut Vec::new());
    assert_eq!(sent.len(), 1); // R15
    assert!(sent[0].len() <= crate::DATAGRAM_MAX);
    let woken = hear(&mut pair.b, pair.now, &sent[0]);
    assert_eq!(woken.len(), 20);
    for user in 0..20 {
        assert!(woken.contains(&Event::Woken(wake_of(user, 1))));
    }
}

#[test]
fn a_later_wake_of_a_turn_replaces_the_earlier() {
    let mut pair = Pair::new();
    for version in [1, 3, 2] {
        pair.a.wake(B, &wake_of(0, version));
    }
    let (_, heard) = pair.run_for(1);
    assert_eq!(heard, [Event::Woken(wake_of(0, 3))]); // R16
    assert_eq!(pair.a.counters().items_replaced, 2);
    assert_eq!(pair.a.counters().items_sent, 1);
}

#[test]
fn wakes_that_do_not_fit_one_datagram_fill_several() {
    let mut pair = Pair::new();
    for user in 0..1_000 {
        pair.a.wake(B, &wake_of(user, 1));
    }
    let sent = turn(&mut pair.a, pair.now, &mut Vec::new());
    let item = 12 + "presencesip:user999@example.com".len();
    for (place, bytes) in sent.iter().enumerate() {
        let is_full = bytes.len() + item > crate::DATAGRAM_MAX;
        assert!(
            is_full || place == sent.len() - 1,
            "room was left in {place}"
        );
    }
    assert!(sent.iter().all(|bytes| bytes.len() <= crate::DATAGRAM_MAX));
}

#[test]
fn a_lost_wake_is_repaired_within_a_quarter_of_a_second() {
    let mut pair = Pair::new();
    pair.a.wake(B, &wake_of(0, 1));
    let start = pair.now;
    let lost = turn(&mut pair.a, pair.now, &mut Vec::new());
    assert_eq!(lost.len(), 1);
    let (_, heard) = pair.run_for(250); // R21
    assert!(
        heard.contains(&Event::Woken(wake_of(0, 1))),
        "{start:?} {heard:?}"
    );
    assert_eq!(pair.a.counters().frames_repaired, 1);
    assert_eq!(pair.b.counters().repairs_asked, 1);
    assert_eq!(pair.b.counters().gaps, 0);
}

#[test]
fn heartbeats_follow_a_wake_every_100_ms_and_then_each_other_every_500() {
    let mut pair = Pair::new();
    pair.run_for(200);
    pair.a.wake(B, &wake_of(0, 1));
    let start = pair.now;
    turn(&mut pair.a, pair.now, &mut Vec::new());
    let mut beats = Vec::new();
    while beats.len() < 7 {
        let now = pair.a.poll_timeout().unwrap();
        if !turn(&mut pair.a, now, &mut Vec::new()).is_empty() {
            beats.push(now.since(start).as_millis());
        }
    }
    assert_eq!(beats, [100, 200, 300, 400, 500, 1_000, 1_500]);
}

#[test]
fn a_peer_that_never_stops_waking_is_heard_of_all_the_same() {
    let mut pair = Pair::new();
    let mut beats = 0;
    for version in 0..100 {
        pair.a.wake(B, &wake_of(0, version));
        let (_, heard) = pair.run_for(50);
        beats += heard.len()
            - heard
                .iter()
                .filter(|e| matches!(e, Event::Woken(_)))
                .count();
    }
    assert!((9..=11).contains(&beats), "{beats} in five seconds");
}

/// A cut one way: its own datagrams go out, and the store says that the peer lives.
#[test]
fn a_living_peer_that_is_not_heard_is_told_of_each_second() {
    let mut pair = Pair::new();
    let start = pair.now;
    let mut said = Vec::new();
    let mut until = |pair: &mut Pair, millis: u64, is_cut: bool| {
        while pair.now < start.after(Duration::from_millis(millis)) {
            pair.now = pair.now.after(Duration::from_millis(10));
            for bytes in turn(&mut pair.a, pair.now, &mut Vec::new()) {
                if !is_cut {
                    hear(&mut pair.b, pair.now, &bytes);
                }
            }
            let mut events = Vec::new();
            turn(&mut pair.b, pair.now, &mut events);
            if !events.is_empty() {
                assert_eq!(events, [Event::Unheard { peers: 1 }]);
                said.push(pair.now.since(start).as_millis());
            }
        }
        std::mem::take(&mut said)
    };
    assert_eq!(until(&mut pair, 10_000, false), [0; 0], "it is heard");
    let heard = pair.b.peers[&A].unheard_from().since(start).as_millis();
    assert!((11_000..=11_500).contains(&heard), "{heard}");
    let expected: Vec<u128> = (0..5).map(|second| heard + second * 1_000).collect();
    assert_eq!(until(&mut pair, 16_000, true), expected);
    assert_eq!(until(&mut pair, 20_000, false), [0; 0], "it is heard again");
    pair.b.set_peers(pair.now, &[]);
    assert_eq!(until(&mut pair, 25_000, true), [0; 0], "it has ended");
}

/// What is played back does not count as word of it.
#[test]
fn repeats_of_what_was_heard_do_not_make_a_peer_heard() {
    let mut pair = Pair::new();
    pair.a.wake(B, &wake_of(0, 1));
    let wake = turn(&mut pair.a, pair.now, &mut Vec::new()).remove(0);
    let mut now = pair.now.after(Duration::from_millis(500));
    let beat = turn(&mut pair.a, now, &mut Vec::new()).remove(0);
    hear(&mut pair.b, pair.now, &wake);
    hear(&mut pair.b, now, &beat);
    let due = now.after(Duration::from_millis(1_500));
    let mut events = Vec::new();
    while now < due {
        assert_eq!(events, [], "at {now:?}");
        now = now.after(Duration::from_millis(100));
        hear(&mut pair.b, now, &wake);
        hear(&mut pair.b, now, &beat);
        turn(&mut pair.b, now, &mut events);
    }
    assert_eq!(events, [Event::Unheard { peers: 1 }]);
}

#[test]
fn the_load_of_a_peer_is_heard() {
    let mut pair = Pair::strangers();
    pair.a.set_clients(42);
    let (_, heard) = pair.run_for(0);
    let expected = [
        Event::Reset { peer: A },
        Event::PeerHeard {
            peer: A,
            clients: 42,
        },
    ];
    assert_eq!(heard, expected);
}

#[test]
fn a_repeated_datagram_says_nothing_new() {
    let mut pair = Pair::new();
    pair.a.wake(B, &wake_of(0, 1));
    let sent = turn(&mut pair.a, pair.now, &mut Vec::new());
    assert_eq!(hear(&mut pair.b, pair.now, &sent[0]).len(), 1);
    for _ in 0..3 {
        assert_eq!(hear(&mut pair.b, pair.now, &sent[0]), []);
    }
    assert_eq!(pair.b.counters().repeated, 3);
}

#[test]
fn a_repeated_repair_request_sends_nothing_again() {
    let mut pair = Pair::new();
    pair.a.wake(B, &wake_of(0, 1));
    turn(&mut pair.a, pair.now, &mut Vec::new());
    pair.a.wake(B, &wake_of(0, 2));
    let sent = turn(&mut pair.a, pair.now, &mut Vec::new());
    hear(&mut pair.b, pair.now, &sent[0]);
    let due = pair.b.poll_timeout().unwrap();
    let request = turn(&mut pair.b, due, &mut Vec::new());
    for answers in [1, 0, 0] {
        let mut out = Outputs::default();
        pair.a
            .handle_datagram(due, &request[0], address(2), &mut out);
        assert_eq!(out.datagrams.len(), answers);
    }
}

/// Each is dropped, counted under its own name, and says nothing.
#[test]
fn what_is_not_for_us_is_dropped_and_counted() {
    let mut pair = Pair::new();
    pair.a.wake(B, &wake_of(0, 1));
    let good = turn(&mut pair.a, pair.now, &mut Vec::new()).remove(0);
    let from = |own: Membership, key: MacKey, to: Membership| {
        let mut links = Links::new(own, key);
        links.set_peers(Moment(0), &[(to, address(2))]);
        links.wake(to.member, &wake_of(0, 1));
        turn(&mut links, Moment(0), &mut Vec::new()).remove(0)
    };
    let b = membership(2, 20);
    let mut altered = good.clone();
    altered[30] ^= 1;
    let table = [
        ("malformed", b"hello".to_vec()),
        ("malformed", vec![0; 2_000]),
        ("malformed", altered_version(&good)),
        ("forged", altered),
        ("forged", from(membership(1, 10), MacKey::new([8; 16]), b)),
        (
            "misdirected",
            from(membership(1, 10), key(), membership(3, 20)),
        ),
        ("unknown_sender", from(membership(5, 10), key(), b)),
        ("unknown_sender", from(membership(1, 11), key(), b)),
        ("old_incarnation", from(membership(1, 9), key(), b)),
    ];
    for (counter, bytes) in table {
        let before = *pair.b.counters();
        assert_eq!(hear(&mut pair.b, pair.now, &bytes), [], "{counter}");
        let after = *pair.b.counters();
        let counts = |of: Counters| match counter {
            "malformed" => of.malformed,
            "forged" => of.forged,
            "misdirected" => of.misdirected,
            "unknown_sender" => of.unknown_sender,
            _ => of.old_incarnation,
        };
        assert_eq!(counts(after), counts(before) + 1, "{counter}");
    }
    assert_eq!(hear(&mut pair.b, pair.now, &good).len(), 1);
}

fn altered_version(good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    bytes[0] = 2;
    bytes
}

#[test]
fn a_new_incarnation_of_a_peer_is_a_reset() {
    let mut pair = Pair::new();
    pair.a = Links::new(membership(1, 30), key());
    pair.a
        .set_peers(pair.now, &[(membership(2, 20), address(2))]);
    pair.b
        .set_peers(pair.now, &[(membership(1, 30), address(1))]);
    pair.a.wake(B, &wake_of(0, 1));
    let (_, heard) = pair.run_for(600);
    let resets = heard
        .iter()
        .filter(|event| **event == Event::Reset { peer: A });
    assert_eq!(resets.count(), 1);
    assert!(heard.contains(&Event::Woken(wake_of(0, 1))));
}

/// A member that begins a new life hears us before we know of it, then we take it for ended.
#[test]
fn a_peer_that_is_back_hears_what_follows_and_sweeps_for_what_it_was_not_told() {
    for heard_before in [true, false] {
        let mut pair = Pair::new();
        pair.a.wake(B, &wake_of(0, 1));
        pair.run_for(10_000);
        let (back, us) = (membership(2, 21), membership(1, 10));
        pair.b = Links::new(back, key());
        pair.b.set_peers(pair.now, &[(us, address(1))]);
        if heard_before {
            let beat = turn(&mut pair.a, pair.now.after(HEARTBEAT), &mut Vec::new());
            let resets = without_heartbeats(hear(&mut pair.b, pair.now, &beat[0]));
            assert_eq!(resets, [Event::Reset { peer: A }]);
        }
        pair.a.set_peers(pair.now, &[]);
        pair.a.wake(B, &wake_of(0, 2));
        pair.a.set_peers(pair.now, &[(back, address(2))]);
        let (_, heard) = pair.run_for(100);
        let sweep = if heard_before {
            Event::Gap { peer: A }
        } else {
            Event::Reset { peer: A }
        };
        assert_eq!(without_heartbeats(heard), [sweep]);
        pair.a.wake(B, &wake_of(0, 3));
        let (_, heard) = pair.run_for(3_000);
        let woken = [Event::Woken(wake_of(0, 3))];
        assert_eq!(without_heartbeats(heard), woken);
        assert_eq!(pair.b.counters().repeated, 0);
    }
}

#[test]
fn what_the_ring_no_longer_holds_is_a_gap() {
    let mut pair = Pair::new();
    for version in 0..300 {
        pair.a.wake(B, &wake_of(0, version));
        turn(&mut pair.a, pair.now, &mut Vec::new());
    }
    let (_, heard) = pair.run_for(1_000);
    let gaps = heard
        .iter()
        .filter(|event| **event == Event::Gap { peer: A });
    assert_eq!(gaps.count(), 1);
    let woken = heard
        .iter()
        .filter(|event| matches!(event, Event::Woken(_)));
    assert_eq!(woken.count(), 256, "what it still holds is repaired");
}

#[test]
fn a_full_link_makes_the_peer_sweep() {
    let mut pair = Pair::new();
    for user in 0..8_193 {
        pair.a.wake(B, &wake_of(user, 1));
    }
    let (_, heard) = pair.run_for(200);
    assert!(heard.contains(&Event::Gap { peer: A }));
    assert_eq!(pair.a.counters().items_dropped, 1);
    let woken = heard
        .iter()
        .filter(|event| matches!(event, Event::Woken(_)));
    assert_eq!(woken.count(), 8_192);
}

#[test]
fn a_silent_peer_costs_heartbeats_and_nothing_else() {
    let mut pair = Pair::new();
    let mut sent = 0;
    let end = Moment(pair.now.0 + 10_000_000);
    while pair.now < end {
        pair.now = pair.a.poll_timeout().unwrap();
        sent += turn(&mut pair.a, pair.now, &mut Vec::new()).len();
    }
    assert_eq!(sent, 20);
}

#[test]
fn a_move_is_heard() {
    let mut pair = Pair::new();
    let client = Aor::parse("sip:alice@example.com").unwrap();
    pair.a.moved(B, &client, MemberId(3), Epoch(77));
    let (_, heard) = pair.run_for(1);
    let moved = Event::Moved {
        peer: A,
        client,
        server: MemberId(3),
        epoch: Epoch(77),
    };
    assert_eq!(heard, [moved]);
}

fn flow() -> FlowToken {
    FlowToken {
        balancer: A,
        flow: Flow::udp(0, address(9)),
    }
}

#[test]
fn a_flow_gone_is_repeated_until_it_is_acknowledged() {
    let mut pair = Pair::new();
    let client = ClientId(5);
    let flow = flow();
    pair.a.flow_gone(B, client, flow);
    let (_, heard) = pair.run_for(1_700);
    let gone = Event::FlowGone {
        peer: A,
        client,
        flow,
    };
    assert_eq!(without_heartbeats(heard), vec![gone; 4]);
    pair.b.acknowledge(A, client, flow);
    let (heard, again) = pair.run_for(1_700);
    let noted = Event::FlowGoneAcknowledged {
        peer: B,
        client,
        flow,
    };
    assert_eq!(without_heartbeats(heard), [noted]);
    assert_eq!(without_heartbeats(again), []);
}

/// Who does not acknowledge may not be the client's server any more, and live all the same.
#[test]
fn a_flow_gone_that_nobody_acknowledges_comes_back_after_four_seconds() {
    let mut pair = Pair::new();
    let (client, flow) = (ClientId(5), flow());
    pair.a.flow_gone(B, client, flow);
    let (returned, heard) = pair.run_for(3_900);
    assert_eq!(without_heartbeats(returned), []);
    assert_eq!(without_heartbeats(heard).len(), 8);
    let (returned, heard) = pair.run_for(5_000);
    let event = Event::FlowGoneReturned {
        peer: B,
        client,
        flow,
    };
    assert_eq!(without_heartbeats(returned), [event]);
    assert_eq!(without_heartbeats(heard), []);
}

#[test]
fn a_flow_gone_comes_back_when_its_server_does_not_last() {
    let returned = Event::FlowGoneReturned {
        peer: B,
        client: ClientId(5),
        flow: flow(),
    };
    let nobody: &[(Membership, SocketAddr)] = &[];
    for peers in [nobody, &[(membership(2, 21), address(2))]] {
        let mut pair = Pair::new();
        pair.a.flow_gone(B, ClientId(5), flow());
        pair.run_for(10);
        pair.a.set_peers(pair.now, peers);
        let mut heard = Vec::new();
        turn(&mut pair.a, pair.now, &mut heard);
        assert_eq!(heard, std::slice::from_ref(&returned));
    }
    let mut pair = Pair::new();
    pair.a.flow_gone(MemberId(9), ClientId(5), flow());
    let mut heard = Vec::new();
    turn(&mut pair.a, pair.now, &mut heard);
    assert_eq!(heard.len(), 1, "a member that is no peer cannot take it");
}

#[test]
fn our_own_row_is_no_peer() {
    let mut pair = Pair::new();
    let all = [
        (membership(1, 10), address(1)),
        (membership(2, 20), address(2)),
    ];
    pair.a.set_peers(pair.now, &all);
    pair.a.wake(A, &wake_of(0, 1));
    let sent = turn(&mut pair.a, pair.now, &mut Vec::new());
    assert_eq!((sent.len(), pair.a.counters().items_dropped), (0, 1)); // R17
}

/// A newer release may send items we cannot read: the server must not stay ignorant of them.
#[test]
fn items_that_cannot_be_read_end_in_a_gap() {
    let mut pair = Pair::new();
    let header = crate::Header {
        kind: FrameKind::Signals,
        sender: membership(1, 10),
        receiver: B,
        sequence: 1,
    };
    let (mut bytes, key) = (Vec::new(), key());
    crate::FrameWriter::begin(&key, &header, &mut bytes).seal_raw(b"\x63");
    assert_eq!(hear(&mut pair.b, pair.now, &bytes), []);
    assert_eq!(pair.b.counters().malformed, 1);
    pair.a.wake(B, &wake_of(0, 1));
    turn(&mut pair.a, pair.now, &mut Vec::new());
    pair.a.wake(B, &wake_of(0, 2));
    let (_, heard) = pair.run_for(1_000);
    assert!(
        heard.contains(&Event::Woken(wake_of(0, 1))),
        "repaired by the real one"
    );
}

#[test]
fn the_corpus_of_datagrams_is_harmless() {
    let mut corpus: Vec<Vec<u8>> = vec![vec![], vec![0; 34], vec![0xff; 1_200], vec![1; 1_300]];
    let mut pair = Pair::strangers();
    pair.a.wake(B, &wake_of(0, 1));
    pair.a.flow_gone(B, ClientId(1), flow());
    corpus.extend(turn(&mut pair.a, pair.now, &mut Vec::new()));
    // Every prefix, and every byte turned over.
    for bytes in corpus.clone() {
        for place in 0..bytes.len().min(200) {
            corpus.push(bytes[..place].to_vec());
            let mut turned = bytes.clone();
            turned[place] ^= 0xff;
            corpus.push(turned);
        }
    }
    for bytes in corpus {
        crate::fuzz::datagram(&bytes);
    }
}
