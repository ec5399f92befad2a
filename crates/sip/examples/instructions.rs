//! Does one thing N times, for counting instructions: the difference between two runs under
//! callgrind, divided by the difference of their N, is the cost of one.
//!
//! ```sh
//! cargo build --release --example instructions
//! valgrind --tool=callgrind target/release/examples/instructions register 1000
//! valgrind --tool=callgrind target/release/examples/instructions register 3000
//! ```
//!
//! What can be done: `register` (index it), `checked` (index it and look for defects), `response`
//! (a 200 to an indexed REGISTER), `forward` (splice it), `key` (the request's key).

use std::hint::black_box;

use presently_sip::{Edits, Framing, Index, MacKey, Response, request_key};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "register".to_owned());
    let times: u64 = arguments
        .next()
        .map_or(1000, |text| text.parse().expect("a number"));

    let edits = Edits {
        via: Some("SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKabcdefghijklmnop"),
        source: Some(([192, 0, 2, 1], 5062).into()),
        max_forwards: Some(69),
        ..Edits::default()
    };
    let key = MacKey::new([7; 16]);
    let (mut index, mut out) = (Index::default(), Vec::with_capacity(4096));
    for _ in 0..times {
        let read = index.read(black_box(REGISTER.as_bytes()), Framing::Datagram);
        let message = read.expect("the message is whole");
        out.clear();
        match what.as_str() {
            "checked" => assert_eq!(black_box(message.defect()), None),
            "response" => {
                let mut response = Response::to(&mut out, &message, &edits, 200, "abcdefgh");
                response.header("Contact", "<sip:alice@192.0.2.1:5062>;expires=300");
                response.end();
            }
            "forward" => edits.write(&message, &mut out),
            "key" => assert!(black_box(request_key(&message, &key)).is_some()),
            _ => {}
        }
        black_box(&out);
    }
}

/// 758 bytes, the shape of a phone's REGISTER behind digest.
const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK-524287-1---0123456789abcdef;rport\r\n\
    Max-Forwards: 70\r\n\
    Contact: <sip:alice@192.0.2.1:5062;transport=udp>;\
    +sip.instance=\"<urn:uuid:fd1d9f43-916f-00b8-a522-b105b3a1e9d9>\";reg-id=1\r\n\
    To: <sip:alice@example.com>\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=0123abcd\r\n\
    Call-ID: 84710YzA4ZmE3YjQ3ZDk4NWY2OGE1ZGQyYTRhMGE2ZTE\r\n\
    CSeq: 2 REGISTER\r\n\
    Expires: 300\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE\r\n\
    User-Agent: phone\r\n\
    Supported: path, outbound\r\n\
    Allow-Events: presence, message-summary\r\n\
    Authorization: Digest username=\"alice\", realm=\"example.com\", nonce=\"0123\", \
    uri=\"sip:example.com\", response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5\r\n\
    Content-Length: 0\r\n\r\n";
