//! Goal: one link between two members that live, and whoever lost something by another is told.
//! Method: the table of links with flows that lead nowhere, and a twin of the far side.

use std::net::SocketAddr;

use presently_pool::Incarnation;

use super::*;

const KEY: [u8; 16] = [7; 16];
const NOW: Moment = Moment(1_000_000);
const BALANCER: MemberId = MemberId(1);
const SERVER: MemberId = MemberId(2);

fn life(member: MemberId, incarnation: u64) -> Membership {
    Membership {
        member,
        incarnation: Incarnation(incarnation),
    }
}

fn flow(listener: u8, slot: u32) -> Flow {
    let remote = SocketAddr::from(([127, 0, 0, 1], 5_060));
    Flow {
        protocol: presently_sip::Protocol::Tcp,
        slot,
        generation: 1,
        ..Flow::udp(listener, remote)
    }
}

/// The table of members: the server, in the life `incarnation`.
fn server(incarnation: u64) -> Arc<[Member]> {
    let row = Member {
        id: SERVER,
        name: "s1".into(),
        role: Role::Server,
        incarnation: Incarnation(incarnation),
        state: MemberState::Alive,
        beat: 1,
        sip: Some(([127, 0, 0, 1], 5_070).into()),
        oob: None,
        weight: 1,
        is_draining: false,
        clients: 0,
    };
    Arc::new([row])
}

fn transport() -> Transport {
    Transport::bind(&[]).expect("no listener at all")
}

fn link(own: Membership, peer: Membership, flow: Flow) -> Link {
    Link {
        own,
        peer: Some(peer),
        state: State::Open { flow },
    }
}

/// A connection that was just accepted.
fn stranger(own: Membership, flow: Flow) -> Link {
    Link {
        own,
        peer: None,
        state: State::Opening {
            flow,
            handshake: Handshake::accept(own, MacKey::new(KEY), [1; 16]),
            pause: PAUSE_MIN,
        },
    }
}

/// The balancer calls, and proves who it is; whose links broke by that.
fn prove(
    links: &mut PoolLinks,
    now: Moment,
    flow: Flow,
    transport: &mut Transport,
) -> Vec<MemberId> {
    let own = life(SERVER, 5);
    links.links.push(stranger(own, flow));
    // What the accepting side answers is what a twin of it would.
    let (mut hello, mut answer, mut proof) = (Vec::new(), Vec::new(), Vec::new());
    let (caller, key) = (life(BALANCER, 3), MacKey::new(KEY));
    let mut opener = Handshake::open(caller, SERVER, key.clone(), [2; 16], &mut hello);
    let mut twin = Handshake::accept(own, key, [1; 16]);
    let _ = twin.handle_bytes(&hello, &mut answer);
    let _ = opener.handle_bytes(&answer, &mut proof);
    assert_eq!(links.handle_raw(now, flow, &hello, transport), []);
    links.handle_raw(now, flow, &proof, transport)
}

#[test]
fn a_link_to_a_former_life_ends_and_the_present_one_is_called_at_once() {
    let (own, mut transport) = (life(BALANCER, 3), transport());
    let mut links = PoolLinks::new(KEY, Some(own), Vec::new());
    let old = link(own, life(SERVER, 5), flow(NO_LISTENER, 1));
    links.links.push(old);
    for (incarnation, broken) in [(5, Vec::new()), (6, vec![SERVER])] {
        let ended = links.set_members(NOW, &server(incarnation), &mut transport);
        assert_eq!(ended, broken, "{incarnation}");
    }
    assert_eq!(links.counters.broken, 1);
    assert_eq!(links.poll_timeout(), Some(NOW));
    let peers: Vec<_> = links.links.iter().map(|link| link.peer).collect();
    assert_eq!(peers, [Some(life(SERVER, 6))]);
}

#[test]
fn a_call_to_a_former_life_is_given_up_and_was_no_link() {
    let (own, mut transport) = (life(BALANCER, 3), transport());
    let mut links = PoolLinks::new(KEY, Some(own), Vec::new());
    let (key, mut hello) = (MacKey::new(KEY), Vec::new());
    let mut call = link(own, life(SERVER, 5), flow(NO_LISTENER, 1));
    call.state = State::Opening {
        flow: flow(NO_LISTENER, 1),
        handshake: Handshake::open(own, SERVER, key, [1; 16], &mut hello),
        pause: PAUSE_MAX,
    };
    links.links.push(call);
    let ended = links.set_members(NOW, &server(6), &mut transport);
    assert_eq!(ended, []);
    assert_eq!(
        (links.poll_timeout(), links.counters.broken),
        (Some(NOW), 0)
    );
}

#[test]
fn a_newer_link_of_a_pair_ends_the_one_before_and_outlives_its_end() {
    let (own, mut transport) = (life(SERVER, 5), transport());
    let mut links = PoolLinks::new(KEY, None, vec![(0, own)]);
    let (old, new) = (flow(0, 1), flow(0, 2));
    links.links.push(link(own, life(BALANCER, 3), old));
    let ended = prove(&mut links, NOW, new, &mut transport);
    // What was on the old one may be lost; that it ends is no news any more.
    assert_eq!(ended, [BALANCER]);
    assert_eq!(links.handle_closed(NOW, old), None);
    assert_eq!(links.ends(new), Some((BALANCER, SERVER)));
    assert_eq!(links.handle_closed(NOW, new), Some(BALANCER));
}

/// A process that stood still calls before the table shows that another lives under its name.
#[test]
fn a_call_of_a_former_life_does_not_displace_the_link_of_a_later_one() {
    let (own, mut transport) = (life(SERVER, 5), transport());
    let mut links = PoolLinks::new(KEY, None, vec![(0, own)]);
    let (present, late) = (flow(0, 1), flow(0, 2));
    links.links.push(link(own, life(BALANCER, 4), present));
    assert_eq!(prove(&mut links, NOW, late, &mut transport), []);
    assert_eq!(links.ends(late), None);
    assert_eq!(links.ends(present), Some((BALANCER, SERVER)));
    assert_eq!(links.counters.refused, 1);
}

#[test]
fn the_oldest_stranger_makes_room_for_a_member_and_links_do_not() {
    let mut transport = transport();
    for (strangers, expected) in [(2, 1), (0, 0)] {
        let own = life(SERVER, 5);
        let mut links = PoolLinks::new(KEY, None, vec![(0, own)]);
        let places = || (0..).take(LINKS_MAX);
        for place in places() {
            let member = MemberId(10 + place);
            links.links.push(link(own, life(member, 1), flow(0, place)));
        }
        for place in places().skip(3).take(strangers) {
            let place = usize::try_from(place).unwrap();
            links.links[place] = stranger(own, flow(0, u32::try_from(place).unwrap()));
        }
        let (new, mut hello) = (flow(0, 5_000), Vec::new());
        let (caller, key) = (life(BALANCER, 3), MacKey::new(KEY));
        let _ = Handshake::open(caller, SERVER, key, [2; 16], &mut hello);
        links.handle_raw(NOW, new, &hello, &mut transport);
        let is_here = |flow| links.links.iter().any(|link| link.flow() == Some(flow));
        assert_eq!(links.links.len(), LINKS_MAX);
        assert_eq!(usize::from(is_here(new)), expected);
        let gone: Vec<_> = places().filter(|place| !is_here(flow(0, *place))).collect();
        assert_eq!(gone, [3][..expected]);
    }
}

/// A NOTIFY by a stream is repeated by nobody, and neither is what a phone asked over one.
#[test]
fn a_link_that_opens_says_whether_something_for_it_was_dropped() {
    for (since, expected) in [(NOW, vec![]), (Moment(0), vec![BALANCER])] {
        let (own, mut transport) = (life(SERVER, 5), transport());
        let mut links = PoolLinks::new(KEY, None, vec![(0, own)]);
        links.send(since, SERVER, BALANCER, b"text", &mut transport);
        links.send(since, SERVER, MemberId(9), b"text", &mut transport);
        let now = NOW.after(Duration::from_millis(4_500));
        assert_eq!(prove(&mut links, now, flow(0, 1), &mut transport), expected);
        let again = prove(&mut links, now, flow(0, 2), &mut transport);
        assert_eq!(again, [BALANCER], "the link before it");
        links.handle_closed(now, flow(0, 2));
        let last = prove(&mut links, now, flow(0, 3), &mut transport);
        assert_eq!(last, [], "it is said once");
    }
}
