//! Responses, and requests of servers to phones.

use std::time::Duration;

use presently_pool::{FlowToken, MemberId, MemberState, Passage};
use presently_sip::{Flow, MacKey};

use super::play::{
    BALANCER, OTHER, PHONE, Play, SERVER, Sent, header, plain, register, response, server, stream,
};

const NOTIFY: &str = "NOTIFY sip:alice@198.51.100.7:5070 SIP/2.0\r\n\
    Via: SIP/2.0/TCP server-11.pool;branch=z9hG4bKsubscription\r\n\
    Max-Forwards: 70\r\n\
    Route: <sip:sip.example.com;lr>\r\n\
    From: <sip:bob@example.com>;tag=ours\r\n\
    To: <sip:alice@example.com>;tag=from\r\n\
    Call-ID: call@198.51.100.7\r\n\
    CSeq: 7 NOTIFY\r\n\
    Event: presence\r\n\
    Content-Type: application/pidf+xml\r\n\
    Content-Length: 11\r\n\r\n";

fn by_flow(balancer: MemberId, flow: Flow) -> Passage {
    Passage {
        flow: Some(FlowToken { balancer, flow }),
        ..plain()
    }
}

fn phone() -> Flow {
    Flow::udp(0, PHONE.parse().unwrap())
}

#[test]
fn a_notify_leaves_by_its_flow_and_its_answer_comes_back() {
    let mut play = Play::new();
    let sent = play.server(SERVER, &by_flow(BALANCER, phone()), NOTIFY, b"<presence/>");
    let [Sent::Phone { flow, text, body }] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!((*flow, &body[..]), (phone(), &b"<presence/>"[..]));
    assert_eq!(header(text, "Content-Length"), Some("11"));
    assert!(text.ends_with("\r\n\r\n"), "{text}");
    let vias: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("Via"))
        .collect();
    assert!(vias[0].starts_with("Via: SIP/2.0/UDP sip.example.com:5060;branch=z9hG4bK"));
    assert!(vias[0].ends_with(";rport"));
    assert_eq!(vias.len(), 2);
    assert_eq!(header(text, "Route"), None);
    assert_eq!(header(text, "Max-Forwards"), Some("69"));
    let route = header(text, "Record-Route").unwrap();
    assert!(route.ends_with("@sip.example.com:5060;lr>"), "{route}");

    let again = play.server(SERVER, &by_flow(BALANCER, phone()), NOTIFY, b"<presence/>");
    assert_eq!(again[0].to_phone().1, text, "a retransmission is the same");

    // The phone adds what it saw to our Via, and folds and spaces as it likes.
    let answer = response(text, "200 OK")
        .replace(";rport", ";rport=5060;received=192.0.2.1")
        .replace(
            "Via: SIP/2.0/TCP server-11.pool;",
            "v: SIP/2.0/tcp\r\n  SERVER-11.pool ; ",
        );
    let back = play.phone(PHONE, answer);
    let [
        Sent::Server {
            server,
            passage,
            vias_removed,
            ..
        },
    ] = &back[..]
    else {
        panic!("{back:?}");
    };
    assert_eq!((*server, *vias_removed), (SERVER, 1));
    assert_eq!(passage.flow, by_flow(BALANCER, phone()).flow);
}

#[test]
fn a_message_is_not_record_routed() {
    let mut play = Play::new();
    let text = NOTIFY.replace("NOTIFY", "MESSAGE");
    let sent = play.server(SERVER, &by_flow(BALANCER, phone()), &text, b"<presence/>");
    assert_eq!(header(sent[0].to_phone().1, "Record-Route"), None);
}

#[test]
fn a_request_without_a_flow_leaves_for_an_address() {
    type Row = (&'static str, &'static str, Option<(u8, &'static str)>);
    let contact = "sip:alice@198.51.100.7:5070";
    let table: [Row; 9] = [
        (contact, "<sip:sip.example.com;lr>", Some((0, PHONE))),
        (
            "sip:a@198.51.100.8",
            "<sip:sip.example.com;lr>",
            Some((0, "198.51.100.8:5060")),
        ),
        (
            contact,
            "<sip:198.51.100.9:5090;lr>",
            Some((0, "198.51.100.9:5090")),
        ),
        (
            "sip:a@[2001:db8::7]",
            "<sip:sip.example.com;lr>",
            Some((2, "[2001:db8::7]:5060")),
        ),
        (
            "sip:alice@phone.example.com",
            "<sip:sip.example.com;lr>",
            None,
        ),
        (
            "sip:a@198.51.100.7;transport=tcp",
            "<sip:sip.example.com;lr>",
            None,
        ),
        ("sips:a@198.51.100.7", "<sip:sip.example.com;lr>", None),
        ("sip:a@203.0.113.9:5080", "<sip:sip.example.com;lr>", None),
        (contact, "<sip:proxy.example.com;lr>", None),
    ];
    for (uri, route, expected) in table {
        let mut play = Play::new();
        let text = NOTIFY
            .replace(contact, uri)
            .replace("<sip:sip.example.com;lr>", route);
        let sent = play.server(SERVER, &plain(), &text, b"<presence/>");
        let flows: Vec<Flow> = sent.iter().map(|sent| *sent.to_phone().0).collect();
        let expected =
            expected.map(|(listener, remote)| Flow::udp(listener, remote.parse().unwrap()));
        assert_eq!(flows, Vec::from_iter(expected), "{uri} {route}");
        let lost = u64::from(expected.is_none());
        assert_eq!(play.balancer.counters().undeliverable, lost);
    }
}

#[test]
fn datagrams_leave_by_any_balancer_when_the_flows_own_is_gone() {
    let mut play = Play::new();
    let passage = by_flow(MemberId(99), phone());
    let sent = play.server(SERVER, &passage, NOTIFY, b"");
    assert_eq!(*sent[0].to_phone().0, phone());
}

#[test]
fn another_balancers_connection_is_not_used() {
    let mut play = Play::new();
    let passage = by_flow(MemberId(99), stream());
    assert!(play.server(SERVER, &passage, NOTIFY, b"").is_empty());
    let unknown = by_flow(BALANCER, Flow::udp(9, PHONE.parse().unwrap()));
    assert!(play.server(SERVER, &unknown, NOTIFY, b"").is_empty());
    assert_eq!(play.balancer.counters().undeliverable, 2);
}

#[test]
fn a_forged_or_alien_response_is_dropped() {
    let mut play = Play::new();
    let sent = play.phone(PHONE, register());
    let good = response(sent[0].to_server().2, "200 OK");
    let branch = good.split("branch=").nth(1).unwrap();
    let branch = &branch[..branch.find(['\r', ';']).unwrap()];
    let last = if branch.ends_with('a') { "b" } else { "a" };
    let forged = format!("{}{last}", &branch[..branch.len() - 1]);
    // Another flow under the same MAC.
    let (cut, letter) = (
        branch.len() / 2,
        &branch[branch.len() / 2..=branch.len() / 2],
    );
    let letter = if letter == "a" { "b" } else { "a" };
    let diverted = format!("{}{letter}{}", &branch[..cut], &branch[cut + 1..]);
    let changes = [
        (branch, forged.as_str()),
        (branch, diverted.as_str()),
        (branch, "z9hG4bKphone"),
        (branch, "z9hG4bK"),
        ("z9hG4bKphone", "z9hG4bKother"),
        ("received=198.51.100.7", "received=198.51.100.8"),
        ("rport=5070", "rport=5071"),
        ("CSeq: 1 ", "CSeq: 2 "),
        ("Call-ID: call", "Call-ID: Call"),
        ("tag=from", "tag=form"),
        ("/UDP 198.51.100.7:5070", "/TCP 198.51.100.7:5070"),
        ("UDP 198.51.100.7:5070", "UDP 198.51.100.7:5072"),
    ];
    for (from, to) in changes {
        let text = good.replace(from, to);
        assert_ne!(text, good, "{from}");
        assert!(play.server(SERVER, &plain(), &text, b"").is_empty(), "{to}");
    }
    let dropped = u64::try_from(changes.len()).unwrap();
    assert_eq!(play.balancer.counters().branches_refused, dropped);
    // A phone cannot send it either: the branch is for a server's response.
    assert!(play.phone(PHONE, &good).is_empty());
    assert_eq!(play.server(SERVER, &plain(), &good, b"").len(), 1);
}

#[test]
fn a_balancer_that_starts_with_the_same_key_sends_the_answer_home() {
    let forwarded = Play::new().phone(PHONE, register());
    let answer = response(forwarded[0].to_server().2, "200 OK");
    let answered = Play::new().server(OTHER, &plain(), &answer, b"");
    assert_eq!(*answered[0].to_phone().0, phone());
}

#[test]
fn a_branch_of_the_key_before_holds_for_64_t1() {
    let mut play = Play::new();
    let forwarded = play.phone(PHONE, register());
    let answer = response(forwarded[0].to_server().2, "200 OK");
    play.balancer.rotate(play.now, MacKey::new([9; 16]));
    play.pass(Duration::from_millis(31_999));
    assert_eq!(play.server(SERVER, &plain(), &answer, b"").len(), 1);
    play.pass(Duration::from_millis(1));
    assert!(play.server(SERVER, &plain(), &answer, b"").is_empty());
}

// A server that joined anew notifies before the balancer's next beat shows its new life.
#[test]
fn an_answer_goes_to_the_server_that_asked_before_the_table_shows_that_it_lives() {
    let mut play = Play::new();
    play.balancer
        .set_members(&[server(SERVER, MemberState::Ended)]);
    let sent = play.server(SERVER, &by_flow(BALANCER, phone()), NOTIFY, b"<presence/>");
    let answer = response(sent[0].to_phone().1, "200 OK");
    assert_eq!(play.phone(PHONE, answer)[0].to_server().0, SERVER);
}

#[test]
fn a_phone_over_ipv6_is_answered() {
    let mut play = Play::new();
    let flow = Flow::udp(2, "[2001:db8::7]:5070".parse().unwrap());
    let text = register().replace("UDP 198.51.100.7:5070", "UDP [2001:DB8:0::7]:5070");
    let sent = play.arrive(flow, text);
    let text = sent[0].to_server().2.to_owned();
    assert!(
        text.contains("Via: SIP/2.0/UDP [2001:db8::1]:5062;branch="),
        "{text}"
    );
    let answered = play.server(SERVER, &plain(), &response(&text, "200 OK"), b"");
    assert_eq!(*answered[0].to_phone().0, flow);
}
