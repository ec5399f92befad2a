//! Goal: the hot path allocates nothing once its memory has grown.
//! Method: count allocations around it; one test only, so that nothing else of this process counts.

use std::alloc::System;

use presently_sip::{Edits, Framing, Index, MacKey, Moment, Name, Response, Wheel, request_key};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REGISTER: &[u8] = b"REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/WS 9a1b.invalid;branch=z9hG4bK-524287-1;rport, SIP/2.0/UDP [2001:db8::1]\r\n\
    Route: <sip:192.0.2.9;lr>\r\n\
    Max-Forwards: 70\r\n\
    Contact: \"a, b\" <sip:alice@192.0.2.1:5062>;+sip.instance=\"<urn:uuid:1>\", <sip:b@c>\r\n\
    To: <sip:alice@example.com>\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=0123abcd\r\n\
    Call-ID: 84710YzA4ZmE3YjQ3ZDk4NWY2OGE1ZGQyYTRhMGE2ZTE\r\n\
    CSeq: 2 REGISTER\r\n\
    Expires: 300\r\n\
    Content-Length: 0\r\n\r\n";

#[test]
fn a_warm_hot_path_allocates_nothing() {
    let edits = Edits {
        via: Some("SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKabc"),
        source: Some(([192, 0, 2, 1], 5062).into()),
        max_forwards: Some(69),
        routes_removed: 1,
        ..Edits::default()
    };
    let key = MacKey::new([7; 16]);
    let (mut index, mut out) = (Index::default(), Vec::new());
    let mut wheel = Wheel::new(Moment(0));
    let mut turn = || {
        let message = index
            .read(REGISTER, Framing::Datagram)
            .expect("a whole message");
        assert_eq!(message.defect(), None);
        assert_eq!(message.values(Name::Contact).count(), 2);
        assert!(request_key(&message, &key).is_some());
        out.clear();
        edits.write(&message, &mut out);
        out.clear();
        let mut response = Response::to(&mut out, &message, &edits, 200, "tag");
        response.header("Expires", 300);
        response.end();
        let timer = wheel.arm(Moment(500_000), ());
        wheel.cancel(timer);
    };
    turn();
    let region = Region::new(ALLOCATOR);
    for _ in 0..100 {
        turn();
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
}
