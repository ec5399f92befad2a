//! What is written of a message, to the byte.

use super::super::tests::{REGISTER, with};
use super::super::{Framing, Index};
use super::*;

#[test]
fn a_proxy_splices() {
    let edits = Edits {
        via: Some("SIP/2.0/UDP pool;branch=z9hG4bKp"),
        source: Some("203.0.113.9:1234".parse().unwrap()),
        max_forwards: Some(69),
        ..Edits::default()
    };
    let mut index = Index::default();
    let message = index.read(REGISTER.as_bytes(), Framing::Datagram).unwrap();
    let mut out = Vec::new();
    edits.write(&message, &mut out);
    let expected = REGISTER
        .replace(
            "Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n",
            "Via: SIP/2.0/UDP pool;branch=z9hG4bKp\r\nVia: SIP/2.0/UDP 192.0.2.1:5070;\
             branch=z9hG4bK1;rport=1234;received=203.0.113.9\r\n",
        )
        .replace(
            "Content-Length: 0\r\n",
            "Content-Length: 0\r\nMax-Forwards: 69\r\n",
        );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

fn written(edits: &Edits<'_>, text: &str) -> String {
    let mut out = Vec::new();
    with(text, |message| edits.write(&message, &mut out));
    String::from_utf8(out).unwrap()
}

const ROUTED: &str = "MESSAGE sip:a@x SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;rport=9;received=10.9.9.9;branch=1, SIP/2.0/TCP b\r\n\
    presently: forged\r\n\
    Route: <sip:r1;lr>, <sip:r2;lr>\r\n\
    Record-Route: <sip:rr1;lr>\r\n\
    Route: <sip:r3;lr>\r\n\
    X-Odd :  kept  as\r\n\tit was\r\n\
    Content-Length: 2\r\n\r\nhi";

#[test]
fn routes_are_taken_from_the_top() {
    let table = [
        (0, Some("Route: <sip:r1;lr>, <sip:r2;lr>\r\n"), true),
        (1, Some("Route: <sip:r2;lr>\r\n"), true),
        (2, None, true),
        (3, None, false),
        (9, None, false),
    ];
    for (routes_removed, first, third) in table {
        let edits = Edits {
            routes_removed,
            ..Edits::default()
        };
        let text = written(&edits, ROUTED);
        let line = text
            .lines()
            .find(|line| line.starts_with("Route: <sip:r") && !line.contains("r3"));
        assert_eq!(line.map(|line| format!("{line}\r\n")).as_deref(), first);
        assert_eq!(text.contains("Route: <sip:r3;lr>\r\n"), third);
    }
}

#[test]
fn a_proxy_says_what_it_adds_and_nobody_else_can() {
    let edits = Edits {
        presently: Some("ours"),
        via: Some("SIP/2.0/UDP pool;branch=p"),
        source: Some("[2001:db8::7]:5555".parse().unwrap()),
        record_route: Some("<sip:pool;lr>"),
        request_uri: Some("sip:a@192.0.2.8:5062"),
        ..Edits::default()
    };
    assert_eq!(
        written(&edits, ROUTED),
        "MESSAGE sip:a@192.0.2.8:5062 SIP/2.0\r\n\
         Presently: ours\r\n\
         Via: SIP/2.0/UDP pool;branch=p\r\n\
         Record-Route: <sip:pool;lr>\r\n\
         Via: SIP/2.0/UDP 192.0.2.1;rport=9;branch=1;received=2001:db8::7, SIP/2.0/TCP b\r\n\
         Route: <sip:r1;lr>, <sip:r2;lr>\r\n\
         Record-Route: <sip:rr1;lr>\r\n\
         Route: <sip:r3;lr>\r\n\
         X-Odd :  kept  as\r\n\tit was\r\n\
         Content-Length: 2\r\n\r\nhi"
    );
    with(ROUTED, |message| {
        let routes: Vec<&str> = edits.record_routes(&message).collect();
        assert_eq!(routes, ["<sip:pool;lr>", "<sip:rr1;lr>"]);
    });
}

/// RFC 3261 §18.2.1 and RFC 3581 §4.
#[test]
fn the_source_is_written_where_it_says_something() {
    let table = [
        ("192.0.2.1:5070;branch=1", "192.0.2.1:5070;branch=1"), // it is where it says
        ("192.0.2.1;rport", "192.0.2.1;rport=5070;received=192.0.2.1"),
        (
            "192.0.2.1;RPORT=",
            "192.0.2.1;RPORT=5070;received=192.0.2.1",
        ),
        ("192.0.2.1;rport=1", "192.0.2.1;rport=1"),
        ("10.0.0.1;branch=1", "10.0.0.1;branch=1;received=192.0.2.1"),
        ("10.0.0.1;received=6.6.6.6", "10.0.0.1;received=192.0.2.1"),
        ("a.invalid;x=\";\"", "a.invalid;x=\";\";received=192.0.2.1"),
    ];
    for source in ["192.0.2.1:5070", "[::ffff:192.0.2.1]:5070"] {
        let edits = Edits {
            source: Some(source.parse().unwrap()),
            ..Edits::default()
        };
        for (sent, expected) in table {
            let request = format!("OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP {sent}\r\n\r\n");
            let text = written(&edits, &request);
            let via = format!("\r\nVia: SIP/2.0/UDP {expected}\r\n");
            assert!(text.contains(&via), "{text}");
        }
    }
}

#[test]
fn a_response_is_passed_back_without_the_vias_of_the_way() {
    let response = "SIP/2.0 200 G\u{fc}t\r\nv: SIP/2.0/UDP p1, SIP/2.0/UDP p2\r\n\
        Presently: forged\r\nVia: SIP/2.0/UDP phone\r\nFrom: x\r\n\r\n";
    let table = [
        (
            0,
            "v: SIP/2.0/UDP p1, SIP/2.0/UDP p2\r\nVia: SIP/2.0/UDP phone\r\n",
        ),
        (1, "Via: SIP/2.0/UDP p2\r\nVia: SIP/2.0/UDP phone\r\n"),
        (2, "Via: SIP/2.0/UDP phone\r\n"),
        (3, ""),
    ];
    for (vias_removed, vias) in table {
        let mut out = Vec::new();
        with(response, |message| {
            Edits::default().write_response(&message, vias_removed, &mut out);
        });
        let expected =
            format!("SIP/2.0 200 G\u{fc}t\r\n{vias}From: x\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
