//! After a restart: a dialog and a publication are taken up again, or begun anew where the pool has
//! lost them; and a MESSAGE with headers of its own.

use bytes::Bytes;

use super::*;
use crate::{Ended, SavedFeed, SubscriptionId};

const ACTIVE: &str = "active;expires=600";

/// A phone that has sent one refresh in its dialog, its first SUBSCRIBE, and what it saves.
fn saved() -> (SubscriptionId, String, SavedFeed) {
    let mut bench = Bench::new();
    let (now, bo) = (bench.now, aor("sip:bo@example.com"));
    let accept = ["application/pidf+xml", "multipart/related"];
    let id = bench
        .agent
        .subscribe(now, &bo, "presence", 600, &accept, &mut bench.out);
    assert_eq!(bench.agent.saved(id), None, "nothing to go on with");
    let subscribe = bench.sent_one();
    let headers = [
        ("Contact", "<sip:owner@pool.example.com>"),
        ("Record-Route", "<sip:inner;lr>, <sip:outer;lr>"),
        ("Expires", "600"),
    ];
    bench.answer(&subscribe, 200, &headers);
    assert_eq!(bench.agent.saved(id), None, "nobody has said anything yet");
    bench.receive(&notify(&subscribe, "pool", 7, ACTIVE, "<one/>"));
    bench.sent();
    bench.skip();
    let refresh = bench.sent_one();
    bench.answer(&refresh, 200, &headers);
    let saved = bench.agent.saved(id).expect("a dialog with a NOTIFY");
    (id, subscribe, saved)
}

/// Another life of the phone, which has gone on with what the first one saved.
fn resumed(saved: &SavedFeed) -> (Bench, SubscriptionId, String) {
    let mut bench = Bench::with(config("sip:al@example.com", 99));
    let text = saved.to_string();
    let saved = SavedFeed::parse(&text).expect("it was written");
    let id = bench.agent.resume(bench.now, &saved, 600, &mut bench.out);
    let refresh = bench.sent_one();
    (bench, id, refresh)
}

// S25
#[test]
fn a_saved_subscription_goes_on_in_its_dialog() {
    let (first_id, subscribe, saved) = saved();
    let (mut bench, id, refresh) = resumed(&saved);
    assert_eq!(id, first_id);
    assert!(refresh.starts_with("SUBSCRIBE sip:owner@pool.example.com SIP/2.0\r\n"));
    assert_eq!(header(&refresh, "To"), "<sip:bo@example.com>;tag=pool");
    for name in ["From", "Call-ID", "Accept", "Event"] {
        assert_eq!(header(&refresh, name), header(&subscribe, name), "{name}");
    }
    assert_eq!(header(&refresh, "Expires"), "600");
    assert_eq!(header(&refresh, "Route"), "<sip:outer;lr>");
    // Above what the first life may have sent after it was saved.
    assert_eq!(header(&refresh, "CSeq"), "259 SUBSCRIBE");
    bench.answer(&refresh, 200, &[("Expires", "600")]);
    bench.receive(&notify(&subscribe, "pool", 8, ACTIVE, "<now/>"));
    assert!(bench.sent_one().starts_with("SIP/2.0 200 "));
    let events = bench.events();
    assert!(
        matches!(&events[..], [Event::Subscribed { .. }, Event::Notified(told)]
        if told.body == "<now/>")
    );
    // A NOTIFY from before the restart is out of order.
    bench.receive(&notify(&subscribe, "pool", 7, ACTIVE, "<then/>"));
    assert!(bench.sent_one().starts_with("SIP/2.0 500 "));
    assert!(matches!(bench.event(), Event::OutOfOrder { .. }));
    assert_eq!(bench.skip(), 540_000, "and it is kept up as before");
}

// S25
#[test]
fn a_dialog_the_pool_has_lost_is_begun_anew() {
    let (_, subscribe, saved) = saved();
    let (mut bench, id, refresh) = resumed(&saved);
    bench.answer(&refresh, 481, &[]);
    let ended = Event::SubscriptionEnded {
        id,
        reason: Ended::Refused { status: 481 },
        again_in: Some(Duration::ZERO),
    };
    assert_eq!(bench.event(), ended);
    let anew = bench.sent_one();
    assert!(anew.starts_with("SUBSCRIBE sip:bo@example.com SIP/2.0\r\n"));
    assert_eq!(header(&anew, "To"), "<sip:bo@example.com>");
    assert_ne!(header(&anew, "Call-ID"), header(&subscribe, "Call-ID"));
    assert_eq!(header(&anew, "Accept"), header(&subscribe, "Accept"));
}

/// The NOTIFY that follows tells the present state: without it nothing is known.
#[test]
fn a_resumed_dialog_that_stays_silent_is_begun_anew() {
    let (_, _, saved) = saved();
    let (mut bench, id, refresh) = resumed(&saved);
    bench.answer(&refresh, 200, &[("Expires", "600")]);
    assert!(matches!(bench.event(), Event::Subscribed { .. }));
    bench.wait(32_000);
    let Event::SubscriptionEnded { id: of, reason, .. } = bench.event() else {
        panic!("not ended");
    };
    assert_eq!((of, reason), (id, Ended::Unanswered));
}

#[test]
fn a_resumed_subscription_is_ended_in_its_dialog() {
    let (_, subscribe, saved) = saved();
    let (mut bench, id, refresh) = resumed(&saved);
    bench.agent.unsubscribe(bench.now, id, &mut bench.out);
    bench.answer(&refresh, 200, &[("Expires", "600")]);
    let last = bench.sent_one();
    assert_eq!(header(&last, "Expires"), "0");
    assert_eq!(header(&last, "CSeq"), "260 SUBSCRIBE");
    bench.answer(&last, 200, &[]);
    bench.events();
    bench.receive(&notify(&subscribe, "pool", 8, "terminated", ""));
    let ended = Event::SubscriptionEnded {
        id,
        reason: Ended::Unsubscribed,
        again_in: None,
    };
    assert_eq!(bench.events().pop(), Some(ended));
}

#[test]
fn a_number_in_use_makes_a_saved_subscription_begin_anew() {
    let (first_id, subscribe, saved) = saved();
    let (mut bench, _, _) = resumed(&saved);
    let again = bench.agent.resume(bench.now, &saved, 600, &mut bench.out);
    assert_ne!(again, first_id);
    let anew = bench.sent_one();
    assert_ne!(header(&anew, "Call-ID"), header(&subscribe, "Call-ID"));
    // And what is subscribed to later has numbers of its own.
    let (now, cy) = (bench.now, aor("sip:cy@example.com"));
    let other = bench
        .agent
        .subscribe(now, &cy, "presence", 600, &[], &mut bench.out);
    assert!(![first_id, again].contains(&other));
}

#[test]
fn what_is_no_saved_subscription_is_not_read() {
    let (_, _, saved) = saved();
    let good = saved.to_string();
    assert_eq!(SavedFeed::parse(&good), Some(saved));
    let field = |place: usize, value: &str| {
        let mut fields: Vec<&str> = good.split('\t').collect();
        fields[place] = value;
        fields.join("\t")
    };
    let table = [
        String::new(),
        good.split('\t').take(10).collect::<Vec<_>>().join("\t"),
        field(0, "2"),
        field(1, "x"),
        field(1, "18446744073709551615"),
        field(2, "mailto:bo@example.com"),
        field(7, "-1"),
        field(7, "2147483647"),
        field(10, ""),
        field(9, &"x".repeat(2048)),
    ];
    for text in table {
        assert_eq!(SavedFeed::parse(&text), None, "{text}");
    }
}

/// What the other side may write into the dialog, and whether it can be saved.
#[test]
fn a_dialog_that_does_not_read_back_is_not_saved() {
    let long = format!("<sip:{};lr>", "x".repeat(2048));
    let table = [
        ("<sip:a;lr>", true),
        ("<sip:a;lr>;x=\"1\t2\"", false),
        (&long, false),
    ];
    for (route, is_saved) in table {
        let mut bench = Bench::new();
        let (now, bo) = (bench.now, aor("sip:bo@example.com"));
        let out = &mut bench.out;
        let id = bench.agent.subscribe(now, &bo, "presence", 600, &[], out);
        let subscribe = bench.sent_one();
        let text = notify(&subscribe, "pool", 1, ACTIVE, "");
        let with_route = format!("Record-Route: {route}\r\nMax-");
        bench.receive(&text.replace("Max-", &with_route));
        assert_eq!(bench.agent.saved(id).is_some(), is_saved, "{route}");
    }
}

fn publish(bench: &mut Bench) {
    let (now, body) = (bench.now, Bytes::from_static(b"<again/>"));
    let content_type = "application/pidf+xml";
    bench
        .agent
        .publish(now, "presence", content_type, body, 600, &mut bench.out);
}

// S25
#[test]
fn a_publication_is_taken_up_by_its_entity_tag() {
    let mut bench = Bench::new();
    bench
        .agent
        .resume_publication("presence", "old".parse().unwrap());
    assert_eq!((bench.sent().len(), bench.agent.poll_timeout()), (0, None));
    publish(&mut bench);
    let request = bench.sent_one();
    assert_eq!(header(&request, "SIP-If-Match"), "old");
    assert_eq!(body(&request), "<again/>");
    bench.answer(&request, 200, &[("SIP-ETag", "new"), ("Expires", "600")]);
    // A late word about the old one changes nothing.
    bench
        .agent
        .resume_publication("presence", "old".parse().unwrap());
    bench.agent.unpublish(bench.now, "presence", &mut bench.out);
    assert_eq!(header(&bench.sent_one(), "SIP-If-Match"), "new");
}

#[test]
fn a_publication_the_pool_has_lost_is_published_anew() {
    let mut bench = Bench::new();
    bench
        .agent
        .resume_publication("presence", "old".parse().unwrap());
    publish(&mut bench);
    let request = bench.sent_one();
    bench.answer(&request, 412, &[]);
    let anew = bench.sent_one();
    assert_eq!(header(&anew, "SIP-If-Match"), "");
    assert_eq!(body(&anew), "<again/>");
}

// S8
#[test]
fn a_message_carries_headers_of_its_own() {
    let mut bench = Bench::new();
    let (now, bo) = (bench.now, aor("sip:bo@example.com"));
    let headers = [("Resume", "UUID=1\r\nEvil: yes"), ("Subject", "come back")];
    let body = b"UUID=1";
    bench
        .agent
        .message_with(now, &bo, &headers, "text/plain", body, &mut bench.out);
    let message = bench.sent_one();
    assert_eq!(header(&message, "Resume"), "UUID=1  Evil: yes");
    assert_eq!(header(&message, "Subject"), "come back");
    assert_eq!(header(&message, "Evil"), "");
    assert_eq!(super::body(&message), "UUID=1");
}
