//! Reading, defects, edits and framing, over small messages written here.

use super::*;

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice, A.\" <sip:alice@example.com>;tag=a1\r\n\
    To: <sip:alice@example.com>\r\n\
    Call-ID: c1@192.0.2.1\r\n\
    CSeq: 7 REGISTER\r\n\
    Contact: <sip:alice@192.0.2.1:5070>;q=0.5, <sip:b@[2001:db8::1]>\r\n\
    Expires: 600\r\n\
    Content-Length: 0\r\n\r\n";

fn defect(text: &str) -> Option<Defect> {
    let mut index = Index::default();
    let message = index.read(text.as_bytes(), Framing::Datagram).unwrap();
    message.defect()
}

#[test]
fn a_whole_request_has_no_defect() {
    let mut index = Index::default();
    let message = index.read(REGISTER.as_bytes(), Framing::Stream).unwrap();
    assert_eq!(message.defect(), None);
    assert_eq!(message.number(Name::Expires), Some(600));
    assert_eq!(message.values(Name::Contact).count(), 2);
    assert_eq!(message.from().unwrap().tag(), Some("a1"));
    assert_eq!(message.via().unwrap().port, Some(5070));
}

#[test]
fn what_is_wrong_is_told() {
    let table = [
        (
            "Max-Forwards: 70",
            "Max-Forwards: x",
            Defect::Header(Name::MaxForwards),
        ),
        ("From", "X", Defect::Header(Name::From)),
        (
            "Call-ID: c1@192.0.2.1",
            "Call-ID:",
            Defect::Header(Name::CallId),
        ),
        ("7 REGISTER", "7 PUBLISH", Defect::Header(Name::CSeq)),
        (
            "Content-Length: 0",
            "Content-Length: 9",
            Defect::ContentLength,
        ),
        (
            "Content-Length: 0",
            "Content-Length: -1",
            Defect::ContentLength,
        ),
        ("Content-Length: 0", "l: 1\r\nl: 2", Defect::ContentLength),
        (
            "Content-Length: 0",
            "Content-Length: 99999",
            Defect::TooLarge,
        ),
        (
            "sip:example.com SIP/2.0",
            "example.com SIP/2.0",
            Defect::Uri,
        ),
        (
            "example.com SIP/2.0",
            "example.com SIP/3.0",
            Defect::Version,
        ),
    ];
    for (from, to, expected) in table {
        assert_eq!(
            defect(&REGISTER.replacen(from, to, 1)),
            Some(expected),
            "{to}"
        );
    }
}

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

#[test]
fn a_stream_is_cut_in_any_segmentation() {
    let text = format!("\r\n\r\n{REGISTER}\r\n\r\n{REGISTER}");
    for size in 1..text.len() {
        let (mut stream, mut pings, mut messages) = (Stream::default(), 0, 0);
        for segment in text.as_bytes().chunks(size) {
            stream.push(segment);
            while let Some(message) = stream.next_message(&mut pings).unwrap() {
                assert_eq!(message, REGISTER);
                messages += 1;
            }
        }
        assert_eq!((messages, pings), (2, 2), "in pieces of {size}");
    }
}
