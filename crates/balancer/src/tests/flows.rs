//! Goal: who is reached by a stream is told to their servers when it goes, and a dead balancer's
//! datagrams are sent here. Method: the balancer alone, connections closed by hand.

use presently_pool::{
    ClientId, ContactToken, Epoch, FlowToken, Kind, MemberId, MemberState, Passage,
};
use presently_sip::{Flow, MacKey};
use presently_store::Refused;

use super::play::{
    ALICE, BALANCER, KEY, OTHER, PHONE, Play, SECOND, SERVER, StoreMood, register, request, server,
    stream,
};

fn token(flow: Flow) -> FlowToken {
    FlowToken {
        balancer: BALANCER,
        flow,
    }
}

fn by_flow(balancer: MemberId, flow: Flow) -> Passage {
    Passage {
        kind: Kind::Forward,
        client: None,
        epoch: Epoch::default(),
        flow: Some(FlowToken { balancer, flow }),
        advertised: None,
    }
}

/// A NOTIFY to a phone of `client`.
fn notify(client: ClientId) -> String {
    let mut contact = String::from("Contact: <sip:");
    ContactToken(client).encode(&MacKey::new(KEY), &mut contact);
    contact.push_str("@sip.example.com:5060>");
    let via = "Via: SIP/2.0/TCP s1;branch=z9hG4bKn1";
    request("NOTIFY", "sip:alice@198.51.100.7:5070", &[via, &contact])
}

#[test]
fn the_server_of_a_client_is_told_that_its_stream_is_closed() {
    let mut play = Play::new();
    let alice = play.assign(ALICE, SERVER).client;
    play.arrive(stream(), register());
    play.closed(stream());
    assert_eq!(play.flows_gone(), [(SERVER, alice, token(stream()))]);
    play.closed(stream());
    assert_eq!(play.flows_gone(), [], "once");
    play.arrive(Flow::udp(0, PHONE.parse().unwrap()), register());
    play.closed(Flow::udp(0, PHONE.parse().unwrap()));
    assert_eq!(play.flows_gone(), [], "datagrams have no end");
    assert_eq!(play.balancer.counters().flows_lost, 1);
}

#[test]
fn a_stream_of_another_proxy_says_nothing_of_its_phones() {
    let mut play = Play::new();
    play.assign(ALICE, SERVER);
    let own = "Via: SIP/2.0/TCP 198.51.100.7:5070;branch=z9hG4bKproxy";
    let text = register().replacen("Via:", &format!("{own}\r\nVia:"), 1);
    assert_eq!(play.arrive(stream(), text).len(), 1);
    play.closed(stream());
    assert_eq!(play.flows_gone(), []);
}

/// A balancer that began anew does not know the streams of its former life, but servers do.
#[test]
fn a_stream_that_a_server_still_writes_to_is_told_too() {
    let mut play = Play::new();
    let alice = play.assign(ALICE, SERVER).client;
    play.phone(PHONE, register());
    let passage = by_flow(BALANCER, stream());
    assert_eq!(play.server(SERVER, &passage, &notify(alice), b"").len(), 1);
    play.closed(stream());
    assert_eq!(play.flows_gone(), [(SERVER, alice, token(stream()))]);
}

/// What its member knew of streams it goes on knowing, also what it was asking the store.
#[test]
fn a_balancer_in_a_new_life_tells_the_end_of_a_stream_of_the_former() {
    let mut play = Play::new();
    let alice = play.assign(ALICE, SERVER).client;
    let other = Flow {
        slot: 5,
        ..stream()
    };
    for flow in [stream(), other] {
        play.arrive(flow, register());
    }
    let now = play.now;
    play.balancer
        .handle_flow_gone_returned(now, alice, token(other));
    play.mood = StoreMood::Silent;
    play.pass(SECOND);
    assert_eq!(play.asked.len(), 1, "whose it is");
    play.begin_anew();
    play.mood = StoreMood::Answers;
    play.closed(stream());
    play.pass(2 * SECOND);
    let both = [stream(), other].map(|flow| (SERVER, alice, token(flow)));
    assert_eq!(play.flows_gone(), both);
}

#[test]
fn a_loss_that_comes_back_goes_to_whom_the_store_names() {
    let mut play = Play::new();
    let alice = play.assign(ALICE, SERVER).client;
    play.arrive(stream(), register());
    let token = token(stream());
    let returned = |play: &mut Play| {
        let now = play.now;
        play.balancer.handle_flow_gone_returned(now, alice, token);
    };
    play.moved(ALICE, OTHER);
    returned(&mut play);
    play.pass(SECOND / 2);
    assert_eq!(play.flows_gone(), [], "a takeover takes a while");
    play.pass(SECOND);
    assert_eq!(play.flows_gone(), [(OTHER, alice, token)]);

    play.mood = StoreMood::Refuses(Refused::Unavailable);
    returned(&mut play);
    play.pass(10 * SECOND);
    play.mood = StoreMood::Answers;
    play.pass(2 * SECOND);
    assert_eq!(play.flows_gone(), [(OTHER, alice, token)], "it is kept");

    play.assigned.clear();
    returned(&mut play);
    play.pass(5 * SECOND);
    assert_eq!(play.flows_gone(), []);
    assert_eq!(play.balancer.poll_timeout(), None, "nobody has to know");
}

#[test]
fn a_loss_waits_for_the_takeover_of_its_clients_server() {
    let mut play = Play::new();
    let alice = play.assign(ALICE, SERVER).client;
    play.arrive(stream(), register());
    play.balancer
        .set_members(&[server(OTHER, MemberState::Alive)]);
    play.closed(stream());
    play.pass(3 * SECOND);
    assert_eq!(play.flows_gone(), []);
    play.moved(ALICE, OTHER);
    play.pass(2 * SECOND);
    assert_eq!(play.flows_gone(), [(OTHER, alice, token(stream()))]);
}

#[test]
fn the_datagrams_of_another_balancer_leave_here_and_its_streams_do_not() {
    let mut play = Play::new();
    let alice = play.assign(ALICE, SERVER).client;
    let text = notify(alice);
    let udp = Flow::udp(0, PHONE.parse().unwrap());
    let sent = play.server(SERVER, &by_flow(MemberId(77), udp), &text, b"");
    assert_eq!(*sent[0].to_phone().0, udp);
    let no_listener = Flow::udp(9, udp.remote);
    let for_streams = Flow::udp(1, udp.remote);
    for flow in [stream(), no_listener, for_streams] {
        let sent = play.server(SERVER, &by_flow(MemberId(77), flow), &text, b"");
        assert!(sent.is_empty(), "{flow:?}");
    }
    let counters = play.balancer.counters();
    assert_eq!(counters.requests_sent_for_others, 1);
    assert_eq!(counters.undeliverable, 3);
}
