//! What every request is held to, whatever its method (RFC 3261 §7, §8.2, §17.2, §18; RFC 3581 §4).

use std::net::SocketAddr;

use crate::play::{Play, in_each, millis, pidf, secs};
use crate::text::Text;

// A1: RFC 3261 §7.3.1, §7.3.3
#[test]
fn header_names_have_no_case_and_compact_forms_are_read() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let text = bob.subscribe("alice", &["Expires: 600", "Content-Length: 0"]);
        let compact = [
            ("Via:", "v:"),
            ("From:", "f:"),
            ("To:", "t:"),
            ("Call-ID:", "i:"),
            ("Contact:", "m:"),
            ("Event:", "o:"),
            ("Content-Length:", "l:"),
            ("Expires:", "eXPIRES:"),
            ("CSeq:", "cseq:"),
        ];
        let text = compact.iter().fold(text, |text, (long, short)| {
            text.replace(&format!("\n{long}"), &format!("\n{short}"))
        });
        let answer = play.ask(&bob, &long_forms(&text, &compact));
        assert_eq!(answer.status(), Some(200));
        let mut carol = play.phone("carol");
        let text = carol.subscribe("alice", &["Expires: 600"]);
        let text = compact.iter().fold(text, |text, (long, short)| {
            text.replace(&format!("\n{long}"), &format!("\n{short}"))
        });
        play.send(&carol, &text);
        play.settle();
        let answers = play.answers(&carol);
        assert_eq!(answers[0].status(), Some(200), "{answers:?}");
        assert_eq!(answers[0].number("Expires"), Some(600));
        assert!(
            answers[0].header("Via").is_some(),
            "answers have the long forms"
        );
        assert_eq!(play.requests(&carol, "NOTIFY").len(), 1);
    });
}

/// The text with every header written out: what the answer to a compact request is compared with.
fn long_forms(text: &str, compact: &[(&str, &str)]) -> String {
    compact.iter().fold(text.to_owned(), |text, (long, short)| {
        text.replace(&format!("\n{short}"), &format!("\n{long}"))
    })
}

// A2: RFC 3261 §7.3.1
#[test]
fn folded_lines_white_space_and_lists_are_read() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let (one, two) = ("<sip:alice@192.0.2.91>", "<sip:alice@192.0.2.92>");
        let list = format!("Contact:   {one} ,\r\n  {two}");
        let text = alice.register(&[&list, "Expires  :\r\n\t60"]);
        let answer = play.ask(&alice, &text);
        assert_eq!(answer.status(), Some(200));
        assert_eq!(answer.headers("Contact").len(), 2);
        assert!(
            answer
                .headers("Contact")
                .iter()
                .all(|line| line.contains("expires=60"))
        );
        let (one, two) = (
            format!("Contact: {one};expires=0"),
            format!("Contact: {two};expires=0"),
        );
        let text = alice.register(&[&one, &two]);
        let answer = play.ask(&alice, &text);
        assert_eq!(
            answer.headers("Contact").len(),
            0,
            "two lines are a list too"
        );
    });
}

// A3: RFC 3261 §8.2.1
#[test]
fn a_method_that_is_not_served_is_405_with_those_that_are() {
    in_each(|play| {
        for method in [
            "INVITE", "BYE", "INFO", "REFER", "UPDATE", "PRACK", "NONSENSE", "register",
        ] {
            let mut bob = play.phone("bob");
            let text = bob.request(method, "sip:alice@example.com", &[], "");
            let answer = play.ask(&bob, &text);
            assert_eq!(answer.status(), Some(405), "{method}");
            let allow = answer.header("Allow").unwrap();
            assert!(
                allow.contains("SUBSCRIBE") && !allow.contains("INVITE"),
                "{allow}"
            );
        }
    });
}

// A3: an ACK is answered with nothing. G28: RFC 6665 §4.6
#[test]
fn an_ack_is_dropped_and_a_cancel_is_481() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let ack = bob.request("ACK", "sip:alice@example.com", &[], "");
        play.send(&bob, &ack);
        play.settle();
        assert_eq!(play.answers(&bob).len(), 0);
        let cancel = bob.request("CANCEL", "sip:alice@example.com", &[], "");
        assert_eq!(play.status(&bob, &cancel), 481);
    });
}

// A5: RFC 3261 §8.2.2.2, as design.md §5 narrows it: an equal request by another way gets the same
// answer
#[test]
fn an_equal_request_with_another_body_or_target_is_482() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let text = alice.publish(&[], &pidf("alice", "one"));
        assert_eq!(play.status(&alice, &text), 200);
        let other = text.replace("-call", "-way-call").replace(">one<", ">two<");
        assert_eq!(play.status(&alice, &other), 482);
        let mut bob = play.phone("bob");
        let text = bob.subscribe("alice", &[]);
        assert_eq!(play.status(&bob, &text), 200);
        let other = text.replace("-call", "-way-call");
        let other = other.replace("SUBSCRIBE sip:alice", "SUBSCRIBE sip:carol");
        assert_eq!(play.status(&bob, &other), 482);
        play.settle();
        let mut watcher = play.phone("watcher");
        play.watch(&mut watcher, "alice");
        assert!(play.notifies(&watcher)[0].body().contains(">one<"));
    });
}

// A5: two phones that chose alike in the same second stay two
#[test]
fn two_phones_with_equal_branch_call_id_tag_and_cseq_stay_two() {
    in_each(|play| {
        let mut one = play.phone("alice");
        let mut two = play.phone("bob");
        two.call_id.clone_from(&one.call_id);
        two.tag.clone_from(&one.tag);
        let contact = (one.contact(), two.contact());
        let first = one.register(&[&contact.0]);
        let second = two.register(&[&contact.1]);
        play.send(&one, &first);
        play.send(&two, &second);
        play.settle();
        for (phone, other) in [(&one, &two), (&two, &one)] {
            let answers = play.answers(phone);
            assert_eq!(answers.len(), 1);
            assert!(
                answers[0]
                    .header("Contact")
                    .unwrap()
                    .contains(&phone.at.to_string())
            );
            assert!(
                !answers[0]
                    .header("Contact")
                    .unwrap()
                    .contains(&other.at.to_string())
            );
        }
    });
}

// A7: RFC 3261 §8.2.3
#[test]
fn a_body_where_none_is_read_is_415_unless_it_is_optional() {
    in_each(|play| {
        for (disposition, status) in [
            ("Content-Disposition: -", 415),
            ("Content-Disposition: render;handling=required", 415),
            ("Content-Disposition: render;handling=optional", 200),
        ] {
            let mut bob = play.phone("bob");
            let contact = bob.contact();
            let lines = [
                "Event: presence",
                &contact,
                "Content-Type: text/plain",
                disposition,
            ];
            let text = bob.request("SUBSCRIBE", "sip:alice@example.com", &lines, "a filter");
            let answer = play.ask(&bob, &text);
            assert_eq!(answer.status(), Some(status), "{disposition}");
            assert_eq!(answer.header("Accept").is_some(), status == 415);
        }
    });
}

// A8: RFC 3261 §8.2.6.2
#[test]
fn an_answer_copies_what_names_the_request_and_adds_a_tag() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let contact = alice.contact();
        let via = [
            &format!("Via: SIP/2.0/UDP {};branch=z9hG4bKtop;x=1", alice.at),
            "Via: SIP/2.0/TCP a.example.net;branch=z9hG4bKb, SIP/2.0/UDP c.example.net;branch=z9hG4bKc",
        ]
        .join("\r\n");
        let from = "From: \"Alice; <A>\" <sip:alice@example.com>;x=y;tag=f";
        let text = alice.register(&[&via, from, &contact]);
        play.send(&alice, &text);
        play.settle();
        let answer = play.answers(&alice).remove(0);
        let vias = answer.headers("Via").join(", ");
        let order =
            ["z9hG4bKtop;x=1", "a.example.net", "c.example.net"].map(|text| vias.find(text));
        assert!(order.is_sorted() && order[0].is_some(), "{vias}");
        assert_eq!(answer.header("From"), from.strip_prefix("From: "));
        assert_eq!(answer.header("Call-ID"), Some(&*alice.call_id));
        assert_eq!(answer.header("CSeq"), Some("1 REGISTER"));
        assert!(answer.tag("To").is_some_and(|tag| tag.len() >= 8));
        play.send(&alice, &text);
        play.settle();
        assert_eq!(play.answers(&alice)[1], answer, "a repeat gets the same");
    });
}

// A9: RFC 3261 §16.3, §8.1.1
#[test]
fn a_missing_or_broken_mandatory_header_is_400() {
    in_each(|play| {
        for (line, status) in [
            ("From: -", 400),
            ("From: <:>;tag=x", 400),
            ("To: -", 400),
            ("Call-ID: -", 400),
            ("CSeq: -", 400),
            ("CSeq: x REGISTER", 400),
            ("CSeq: 1 PUBLISH", 400),
            ("Max-Forwards: many", 400),
            ("Content-Length: many", 400),
        ] {
            let mut alice = play.phone("alice");
            let contact = alice.contact();
            let text = alice.register(&[&contact, line]);
            play.send(&alice, &text);
            play.settle();
            let answers = play.answers(&alice);
            assert_eq!(answers.len(), 1, "{line}");
            assert_eq!(answers[0].status(), Some(status), "{line}");
        }
        let mut alice = play.phone("alice");
        let text = alice.register(&["Via: -"]);
        play.send(&alice, &text);
        play.send(&alice, "hello\r\n\r\n");
        play.settle();
        assert_eq!(play.answers(&alice).len(), 0, "nobody to answer");
        play.register(&mut alice);
    });
}

// A10: RFC 3261 §18.3
#[test]
fn a_datagram_is_cut_to_its_length_and_a_short_one_is_400() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let body = pidf("alice", "cut");
        let length = format!("Content-Length: {}", body.len());
        let text = alice.publish(&[&length], &format!("{body}<surplus>"));
        assert_eq!(play.status(&alice, &text), 200);
        let mut bob = play.phone("bob");
        play.watch(&mut bob, "alice");
        let told = play.notifies(&bob).remove(0);
        assert!(told.body().contains("cut") && !told.body().contains("surplus"));
        let length = format!("Content-Length: {}", body.len() + 1);
        let text = alice.publish(&[&length], &body);
        assert_eq!(play.status(&alice, &text), 400);
    });
}

/// Where the only answer to `phone`'s request with this Via went, and the Via in it.
fn answered(play: &mut Play, via: &str) -> (SocketAddr, Text) {
    let mut phone = play.phone("alice");
    phone.call_id = format!("call-{via}").replace([' ', '/', ':', ';'], "-");
    let via = via.replace("SOURCE", &phone.at.to_string());
    let text = phone.register(&[&via]);
    let known = play.heard.len();
    play.send(&phone, &text);
    play.settle();
    let new: Vec<_> = play.heard.iter().skip(known).collect();
    assert_eq!(new.len(), 1, "{via}");
    (new[0].1, new[0].2.clone())
}

// A12: RFC 3261 §18.2.1. A13: RFC 3261 §18.2.2
#[test]
fn without_rport_the_answer_goes_to_the_source_address_and_the_vias_port() {
    in_each(|play| {
        for (via, port, is_told) in [
            (
                "Via: SIP/2.0/UDP 192.0.2.1:5099;branch=z9hG4bK1",
                5099,
                false,
            ),
            ("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2", 5060, false),
            ("Via: SIP/2.0/UDP 10.9.9.9:5098;branch=z9hG4bK3", 5098, true),
            (
                "Via: SIP/2.0/UDP phone.invalid:5097;branch=z9hG4bK4",
                5097,
                true,
            ),
        ] {
            let (to, answer) = answered(play, via);
            assert_eq!(to, SocketAddr::from(([192, 0, 2, 1], port)), "{via}");
            let received = answer
                .header("Via")
                .unwrap()
                .contains(";received=192.0.2.1");
            assert_eq!(received, is_told, "{via}");
        }
    });
}

// B7: RFC 3581 §4
#[test]
fn with_rport_the_answer_goes_back_where_the_request_came_from() {
    in_each(|play| {
        for via in [
            "Via: SIP/2.0/UDP 10.9.9.9:5098;branch=z9hG4bK1;rport",
            "Via: SIP/2.0/UDP SOURCE;rport;branch=z9hG4bK2",
        ] {
            let (to, answer) = answered(play, via);
            let told = answer.header("Via").unwrap();
            assert!(told.contains(";received=192.0.2.1"), "{told}");
            assert!(told.contains(&format!(";rport={}", to.port())), "{told}");
            assert!((5061..5090).contains(&to.port()), "{to}");
        }
    });
}

// A13: RFC 3261 §18.2.2
#[test]
fn over_a_connection_the_answer_and_the_notify_go_by_the_same() {
    in_each(|play| {
        let mut bob = play.stream_phone("bob");
        let via = "Via: SIP/2.0/TCP 10.9.9.9:5098;branch=z9hG4bKs";
        let text = bob.subscribe("alice", &[via]);
        assert_eq!(play.status(&bob, &text), 200);
        play.settle();
        let notify = play.notifies(&bob).remove(0);
        assert!(notify.header("Via").unwrap().starts_with("SIP/2.0/TCP "));
    });
}

// A14: RFC 3261 §17.2.2
#[test]
fn a_repeat_gets_the_identical_answer_for_32_s() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let contact = alice.contact();
        let text = alice.register(&[&contact]);
        let first = play.ask(&alice, &text);
        for wait in [millis(400), secs(10), secs(20)] {
            play.run(wait);
            assert_eq!(play.ask(&alice, &text), first);
        }
    });
}

// A17: RFC 3261 §17.2.3
#[test]
fn a_branch_without_the_cookie_is_served_and_its_repeat_absorbed() {
    in_each(|play| {
        for (at, branch) in [(1, ";branch=1"), (2, "")] {
            let mut alice = play.phone("alice");
            let contact = alice.contact();
            let via = format!("Via: SIP/2.0/UDP {}{branch}", alice.at);
            let text = alice.register(&[&via, &contact]);
            let first = play.ask(&alice, &text);
            assert_eq!(first.status(), Some(200), "{at}");
            assert_eq!(play.ask(&alice, &text), first);
            let other = alice.register(&[&via, &contact]);
            let second = play.ask(&alice, &other);
            assert_eq!(second.number("CSeq"), Some(2), "the next is another");
        }
    });
}

// RFC 3261 §21.5.4, §20.33: a bound is a 503 with a time, and costs nobody else anything
#[test]
fn a_flood_of_one_client_is_503_with_retry_after_and_nobody_else_feels_it() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        for number in 0..200 {
            let text = bob.subscribe(&format!("user{number}"), &[]);
            play.send(&bob, &text);
        }
        let mut alice = play.phone("alice");
        play.register(&mut alice);
        play.run(secs(3));
        let mut counts = [0; 2];
        let mut seen = std::collections::BTreeSet::new();
        for answer in play.answers(&bob) {
            assert!(
                seen.insert(answer.header("CSeq").unwrap().to_owned()),
                "one answer each"
            );
            match answer.status() {
                Some(200) => counts[0] += 1,
                Some(503) => {
                    assert!(answer.number("Retry-After").is_some_and(|secs| secs > 0));
                    counts[1] += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(counts[0] + counts[1], 200);
        assert!(counts[0] >= 32 && counts[1] > 0, "{counts:?}");
    });
}

// A30: RFC 4475, RFC 5118
#[test]
fn no_torture_message_stops_the_pool() {
    in_each(|play| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/torture");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let stranger = play.phone("stranger");
            play.world.raw_send(stranger.at, stranger.protocol, &bytes);
            play.settle();
            count += 1;
        }
        assert!(count > 40);
        let mut alice = play.phone("alice");
        play.register(&mut alice);
    });
}
