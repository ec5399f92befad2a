//! What the balancer answers itself.

use presently_pool::{Kind, MemberState, Passage};
use presently_sip::{Flow, MacKey};
use proptest::prelude::*;

use super::play::{KEY, PHONE, Play, SERVER, header, plain, register, request, response, server};
use crate::{Config, Domains};

#[test]
fn a_domain_that_was_taken_out_is_refused_however_well_it_was_known() {
    let mut play = Play::new();
    let contact = "Contact: <sip:alice@198.51.100.7:5070>";
    // A phone may name the balancer itself here, and its user only in To.
    let text = request("REGISTER", "sip:sip.example.com", &[contact]);
    for _ in 0..3 {
        play.phone(PHONE, &text)[0].to_server();
    }
    let domains = |name: &str| Domains::Listed(vec![name.into()]);
    play.balancer.set_domains(domains("elsewhere.org"));
    assert_eq!(play.phone(PHONE, &text)[0].status(), 404);
    let to = "To: <sip:alice@elsewhere.org>";
    let other = request("REGISTER", "sip:elsewhere.org", &[contact, to]);
    play.phone(PHONE, &other)[0].to_server();
    play.balancer.set_domains(domains("example.com"));
    play.phone(PHONE, &text)[0].to_server();
}

#[test]
fn each_wrong_request_gets_its_status() {
    let alice = "sip:alice@example.com";
    let allow = "Allow: MESSAGE, OPTIONS, PUBLISH, REGISTER, SUBSCRIBE";
    let forged = "Route: <sip:aaaabbbbccccddddeeeeffffgggghhhh@sip.example.com;lr>";
    let table: [(&str, &str, &[&str], u16, &str); 27] = [
        ("INVITE", alice, &[], 405, allow),
        ("BYE", alice, &[], 405, allow),
        ("INFO", alice, &[], 405, allow),
        ("UPDATE", alice, &[], 405, allow),
        ("REFER", alice, &[], 405, allow),
        ("publish", alice, &[], 405, allow),
        ("CANCEL", alice, &[], 481, ""),
        ("NOTIFY", alice, &[], 481, ""),
        ("PUBLISH", "sip:alice@elsewhere.org", &[], 404, ""),
        ("PUBLISH", "sip:alice@example.com:9999", &[], 404, ""),
        ("PUBLISH", "sip:example.com", &[], 404, ""),
        ("MESSAGE", "sip:alice@203.0.113.200", &[], 404, ""),
        ("SUBSCRIBE", "sip:alice@elsewhere.org", &[], 404, ""),
        ("OPTIONS", "sip:elsewhere.org", &[], 404, ""),
        ("REGISTER", "sip:elsewhere.org", &[], 404, ""),
        (
            "REGISTER",
            "sip:example.com",
            &["To: <sip:alice@elsewhere.org>"],
            404,
            "",
        ),
        (
            "REGISTER",
            "sip:example.com",
            &["To: <tel:+3585550100>"],
            416,
            "",
        ),
        ("PUBLISH", "tel:+3585550100", &[], 416, ""),
        ("PUBLISH", alice, &["Max-Forwards: 0"], 483, ""),
        ("PUBLISH", alice, &["Max-Forwards: many"], 400, ""),
        (
            "PUBLISH",
            alice,
            &["Proxy-Require: sec-agree, privacy"],
            420,
            "Unsupported: sec-agree",
        ),
        (
            "OPTIONS",
            alice,
            &["Require: path, 100rel"],
            420,
            "Unsupported: 100rel",
        ),
        ("PUBLISH", alice, &["Route: <sip:192.0.2.77;lr>"], 403, ""),
        (
            "PUBLISH",
            alice,
            &["Route: <sip:192.0.2.1;lr>, <sip:elsewhere.org;lr>"],
            403,
            "",
        ),
        ("PUBLISH", alice, &[forged], 403, ""),
        (
            "PUBLISH",
            "sip:alice@example.com;maddr=192.0.2.77",
            &[],
            403,
            "",
        ),
        ("PUBLISH", alice, &["CSeq: 1 MESSAGE"], 400, ""),
    ];
    for (method, uri, lines, status, line) in table {
        let mut play = Play::new();
        let text = request(method, uri, lines);
        let sent = play.phone(PHONE, &text);
        assert_eq!(sent.len(), 1, "{text}");
        let (flow, answer) = sent[0].to_phone();
        assert_eq!(sent[0].status(), status, "{text}");
        assert!(answer.contains(line), "{answer}");
        assert_eq!(*flow, Flow::udp(0, PHONE.parse().unwrap()));
        assert!(header(answer, "To").unwrap().contains(";tag="), "{answer}");
        // The same answer for the same request (RFC 3261 §8.2.7).
        assert_eq!(play.phone(PHONE, &text)[0].to_phone().1, answer);
    }
}

#[test]
fn options_says_what_the_pool_can_do() {
    let mut play = Play::new();
    let table: [(&str, &[&str]); 4] = [
        ("sip:example.com", &[]),
        ("sip:192.0.2.1:5060", &["Max-Forwards: 0"]),
        ("sip:sip.example.com", &["Route: <sip:sip.example.com;lr>"]),
        ("sip:alice@example.com", &["Require: path"]),
    ];
    for (uri, lines) in table {
        let sent = play.phone(PHONE, request("OPTIONS", uri, lines));
        assert_eq!(sent[0].status(), 200, "{uri}");
        let (_, answer) = sent[0].to_phone();
        for name in ["Allow", "Accept", "Supported", "Allow-Events"] {
            assert!(header(answer, name).is_some(), "{name}");
        }
    }
    play.balancer
        .set_members(&[server(SERVER, MemberState::Ended)]);
    let sent = play.phone(PHONE, request("OPTIONS", "sip:example.com", &[]));
    assert_eq!(sent[0].status(), 503);
    let secs = header(sent[0].to_phone().1, "Retry-After").and_then(|it| it.parse().ok());
    assert!(secs.is_some_and(|secs: u32| (5..=15).contains(&secs)));
}

#[test]
fn an_ack_is_dropped() {
    let mut play = Play::new();
    let sent = play.phone(PHONE, request("ACK", "sip:alice@example.com", &[]));
    assert!(sent.is_empty());
    assert_eq!(play.balancer.counters().acks_dropped, 1);
}

#[test]
fn a_request_that_was_here_before_is_a_loop() {
    let mut play = Play::new();
    let sent = play.phone(PHONE, register());
    let (_, _, text) = sent[0].to_server();
    let text = text.to_owned();
    assert_eq!(play.phone("192.0.2.50:5060", &text)[0].status(), 482);
    // Not ours, or not of this request: no loop.
    let alien = text.replace("CSeq: 1 ", "CSeq: 2 ");
    assert_eq!(
        play.phone("192.0.2.50:5060", alien)[0].to_server().0,
        SERVER
    );
    assert_eq!(play.balancer.counters().loops_refused, 1);
}

/// RFC 3261 §18.2.1 and §18.2.2, RFC 3581 §4; our own answers and forwarded ones go the same way.
#[test]
fn an_answer_goes_where_the_via_asks_for() {
    let table = [
        (
            "198.51.100.7:5070;rport",
            "198.51.100.7:40000",
            "rport=40000&received=198.51.100.7",
        ),
        (
            "10.1.1.1:5070;rport",
            "198.51.100.7:40000",
            "received=198.51.100.7",
        ),
        (
            "10.1.1.1:5070",
            "198.51.100.7:5070",
            "received=198.51.100.7",
        ),
        ("10.1.1.1", "198.51.100.7:5060", "received=198.51.100.7"),
        (
            "phone.local:6000",
            "198.51.100.7:6000",
            "received=198.51.100.7",
        ),
        (
            "198.51.100.7:5070",
            "198.51.100.7:5070",
            ";branch=z9hG4bKphone\r\n",
        ),
        (
            "10.1.1.1;maddr=192.0.2.99",
            "198.51.100.7:5060",
            "received=198.51.100.7",
        ),
        (
            "10.1.1.1;received=192.0.2.99",
            "198.51.100.7:5060",
            "received=198.51.100.7",
        ),
    ];
    for (sent_by, expected, param) in table {
        let mut play = Play::new();
        let via = format!("Via: SIP/2.0/UDP {sent_by};branch=z9hG4bKphone");
        let contact = "Contact: <sip:alice@198.51.100.7>";
        let text = request("REGISTER", "sip:example.com", &[&via, contact]);
        let sent = play.phone("198.51.100.7:40000", text);
        let text = sent[0].to_server().2.to_owned();
        assert!(param.split('&').all(|param| text.contains(param)), "{text}");
        assert!(!text.contains("received=192.0.2.99"), "{text}");
        let answered = play.server(SERVER, &plain(), &response(&text, "200 OK"), b"");
        assert_eq!(answered[0].to_phone().0.remote, expected.parse().unwrap());

        let text = request("OPTIONS", "sip:example.com", &[&via]);
        let sent = play.phone("198.51.100.7:40000", text);
        let (flow, answer) = sent[0].to_phone();
        assert_eq!(flow.remote, expected.parse().unwrap());
        assert!(
            param.split('&').all(|param| answer.contains(param)),
            "{answer}"
        );
    }
}

#[test]
fn with_any_domain_a_route_leads_no_further_than_the_request() {
    let mut play = Play::with(Config {
        domains: Domains::Any,
        ..super::play::config()
    });
    let uri = "sip:alice@whatever.test";
    let sent = play.phone(
        PHONE,
        request("PUBLISH", uri, &["Route: <sip:whatever.test;lr>"]),
    );
    assert_eq!(sent[0].to_server().0, SERVER);
    let sent = play.phone(
        PHONE,
        request("PUBLISH", uri, &["Route: <sip:other.test;lr>"]),
    );
    assert_eq!(sent[0].status(), 403);
}

/// A token signed with the key before this one stands in route sets until the next rotation.
#[test]
fn a_rotated_key_still_verifies_tokens() {
    let mut play = Play::new();
    let sent = play.phone(PHONE, request("SUBSCRIBE", "sip:bob@example.com", &[]));
    let route = header(sent[0].to_server().2, "Record-Route").unwrap();
    let text = request(
        "PUBLISH",
        "sip:bob@example.com",
        &[&format!("Route: {route}")],
    );
    assert_eq!(play.phone(PHONE, &text)[0].to_server().0, SERVER);
    play.balancer.rotate(play.now, MacKey::new([8; 16]));
    assert_eq!(play.phone(PHONE, &text)[0].to_server().0, SERVER);
    play.balancer.rotate(play.now, MacKey::new([9; 16]));
    assert_eq!(play.phone(PHONE, &text)[0].status(), 403);
    assert_ne!(KEY, [9; 16]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        Play::new().phone(PHONE, bytes);
    }

    /// Nearly right messages: a real one with pieces cut, doubled and overwritten.
    #[test]
    fn broken_requests_never_panic(
        which in 0..4_usize,
        at: prop::sample::Index,
        length in 0..40_usize,
        patch in "[ -~\r\n]{0,30}",
    ) {
        let mut play = Play::new();
        let text = match which {
            0 => register(),
            1 => request("SUBSCRIBE", "sip:bob@example.com", &["Route: <sip:192.0.2.1;lr>"]),
            2 => request("OPTIONS", "sip:example.com", &["Require: path"]),
            _ => {
                let sent = play.phone(PHONE, register());
                let text = sent[0].to_server().2.to_owned();
                response(&text, "200 OK")
            }
        };
        let mut bytes = text.into_bytes();
        let start = at.index(bytes.len());
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, patch.bytes());
        play.phone(PHONE, &bytes);
        play.try_server(SERVER, &plain(), &bytes, b"body");
        let handed_back = Passage { kind: Kind::HandBack, ..plain() };
        play.try_server(SERVER, &handed_back, &bytes, b"");
    }
}
