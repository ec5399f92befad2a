//! What is written, to the byte.

use proptest::prelude::*;

use super::*;
use crate::{Aor, Defect, Framing, Index, Start};

const SUBSCRIBE: &str = "SUBSCRIBE sip:a@x SIP/2.0\r\n\
    v: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;rport;received=10.0.0.1, SIP/2.0/TCP b\r\n\
    f: <sip:b@x>;tag=1\r\n\
    t: <sip:a@x>\r\n\
    i: c1\r\n\
    CSeq: 7 SUBSCRIBE\r\n\
    timestamp: 54.1\r\n\
    v: SIP/2.0/TCP c\r\n\
    l: 0\r\n\r\n";

fn respond(edits: &Edits<'_>, status: u16, request: &str) -> String {
    let mut index = Index::default();
    let message = index.read(request.as_bytes(), Framing::Datagram).unwrap();
    let mut out = Vec::new();
    Response::to(&mut out, &message, edits, status, "ours").end();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_response_goes_back_by_long_names() {
    let edits = Edits {
        source: Some(([198, 51, 100, 7], 40_000).into()),
        ..Edits::default()
    };
    assert_eq!(
        respond(&edits, 489, SUBSCRIBE),
        "SIP/2.0 489 Bad Event\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;rport=40000;received=198.51.100.7, \
         SIP/2.0/TCP b\r\n\
         Via: SIP/2.0/TCP c\r\n\
         From: <sip:b@x>;tag=1\r\n\
         To: <sip:a@x>;tag=ours\r\n\
         Call-ID: c1\r\n\
         CSeq: 7 SUBSCRIBE\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn a_100_has_no_tag_of_ours_and_carries_the_timestamp() {
    let text = respond(&Edits::default(), 100, SUBSCRIBE);
    assert!(text.starts_with("SIP/2.0 100 Trying\r\n"));
    assert!(!text.contains("ours"));
    assert!(text.contains("\r\nTimestamp: 54.1\r\n"));
    assert!(!respond(&Edits::default(), 200, SUBSCRIBE).contains("Timestamp"));
}

#[test]
fn a_to_with_a_tag_keeps_it() {
    let request = SUBSCRIBE.replace("t: <sip:a@x>", "t: <sip:a@x>;tag=theirs");
    let text = respond(&Edits::default(), 200, &request);
    assert!(text.contains("\r\nTo: <sip:a@x>;tag=theirs\r\n"));
}

#[test]
fn a_request_is_written_and_read() {
    let mut out = Vec::new();
    let mut writer = Writer::request(&mut out, "NOTIFY", "sip:a@x");
    writer
        .header("Via", "SIP/2.0/UDP h;branch=z9hG4bK1")
        .header("From", "<sip:b@x>;tag=1")
        .header("To", "<sip:a@x>;tag=2")
        .header("Call-ID", "c")
        .header("CSeq", format_args!("{} NOTIFY", 3));
    writer.body("application/pidf+xml", b"<presence/>");
    let mut index = Index::default();
    let message = index.read(&out, Framing::Stream).unwrap();
    assert_eq!(message.defect(), None);
    assert_eq!(message.body(), b"<presence/>");
    assert!(
        out.ends_with(
            b"Content-Type: application/pidf+xml\r\nContent-Length: 11\r\n\r\n<presence/>"
        )
    );
}

#[test]
fn a_shared_body_is_announced_and_not_written() {
    let mut out = Vec::new();
    Writer::request(&mut out, "NOTIFY", "sip:a@x").shared_body("text/plain", 5);
    assert!(out.ends_with(b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n"));
}

/// A display name or a reason that came from the network must not start a header of its own.
#[test]
fn no_value_ends_its_line() {
    let mut out = Vec::new();
    let mut writer = Writer::request(&mut out, "MESSAGE", "sip:a@x");
    writer.header("Subject", "a\r\nVia: evil\nb");
    writer.end();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\r\nSubject: a  Via: evil b\r\n"), "{text}");
}

#[test]
fn each_status_has_the_phrase_of_its_rfc() {
    let table = [
        (200, "OK"),
        (202, "Accepted"),
        (412, "Conditional Request Failed"),
        (416, "Unsupported URI Scheme"),
        (423, "Interval Too Brief"),
        (430, "Flow Failed"),
        (480, "Temporarily Unavailable"),
        (481, "Call/Transaction Does Not Exist"),
        (489, "Bad Event"),
        (503, "Service Unavailable"),
        (299, "OK"),          // of its class
        (499, "Bad Request"), // of its class
    ];
    for (status, phrase) in table {
        assert_eq!(Response::reason(status), phrase);
    }
    assert!(REASONS.is_sorted());
    let defects = [Defect::ContentLength, Defect::TooLarge, Defect::Version];
    let statuses = defects.map(|defect| Response::reason(defect.status()));
    let phrases = [
        "Bad Request",
        "Request Entity Too Large",
        "Version Not Supported",
    ];
    assert_eq!(statuses, phrases);
}

proptest! {
    #[test]
    fn what_is_written_reads_as_it_was_meant(
        user in "\\PC{1,20}",
        call_id in "[!-~]{1,40}",
        number in 0_u32..1 << 31,
        headers in prop::collection::vec(("X-[A-Za-z0-9.!%*_+`'~-]{1,20}", "\\PC{0,60}"), 0..20),
        body: Vec<u8>,
    ) {
        let aor = Aor::from_key(&format!("sip:{user}@example.com")).unwrap();
        let mut out = Vec::new();
        let mut writer = Writer::request(&mut out, "PUBLISH", &aor);
        writer
            .header("Via", "SIP/2.0/UDP h;branch=z9hG4bK1")
            .header("From", format_args!("<{aor}>;tag=1"))
            .header("To", format_args!("<{aor}>"))
            .header("Call-ID", &call_id)
            .header("CSeq", format_args!("{number} PUBLISH"));
        for (name, value) in &headers {
            writer.header(name, value);
        }
        writer.body("text/plain", &body);

        let mut index = Index::default();
        let message = index.read(&out, Framing::Stream).unwrap();
        prop_assert_eq!(message.defect(), None);
        let Start::Request { uri, .. } = message.start() else {
            panic!("a request");
        };
        prop_assert_eq!(Aor::parse(uri), Ok(aor.clone()));
        prop_assert_eq!(Aor::parse(message.from().unwrap().uri), Ok(aor));
        prop_assert_eq!(message.call_id(), Some(call_id.as_str()));
        prop_assert_eq!(message.cseq().unwrap().number, number);
        prop_assert_eq!(message.body(), body);
        let read: Vec<(&[u8], &[u8])> = message
            .headers()
            .filter(|(_, name, _)| name.starts_with(b"X-"))
            .map(|(_, name, value)| (name, value))
            .collect();
        let meant = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes().trim_ascii()));
        prop_assert_eq!(read, meant.collect::<Vec<_>>());
    }
}
