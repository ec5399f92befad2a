//! Messages to and from other phones, junk, quirks, and the seed.

use super::*;
use crate::Quirk;
use crate::tokens::Tokens;

const MESSAGE: &str = "MESSAGE sip:phone@192.0.2.7:5060 SIP/2.0\r\n\
    Via: SIP/2.0/UDP pool.example.com;branch=z9hG4bKm1\r\n\
    From: <sip:bo@example.com>;tag=b\r\nTo: <sip:al@example.com>\r\n\
    Call-ID: m\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\n\
    Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_message_is_taken_once_and_its_repeat_answered_alike() {
    let mut bench = Bench::new();
    bench.receive(MESSAGE);
    let answer = bench.sent_one();
    assert!(answer.starts_with("SIP/2.0 200 "));
    let received = Event::MessageReceived {
        from: "sip:bo@example.com".to_owned(),
        content_type: "text/plain".to_owned(),
        body: "hi".into(),
    };
    assert_eq!(bench.event(), received);
    bench.wait(4000);
    bench.receive(MESSAGE);
    assert_eq!(bench.sent_one(), answer);
    assert_eq!(bench.events(), []);
}

#[test]
fn each_request_has_its_answer() {
    let table = [
        ("OPTIONS", Some("SIP/2.0 200 ")),
        ("NOTIFY", Some("SIP/2.0 481 ")),
        ("CANCEL", Some("SIP/2.0 481 ")),
        ("INVITE", Some("SIP/2.0 405 ")),
        ("FROB", Some("SIP/2.0 405 ")),
        ("ACK", None),
    ];
    for (method, expected) in table {
        let mut bench = Bench::new();
        bench.receive(&MESSAGE.replace("MESSAGE", method));
        let answer = bench.sent().pop();
        let start = answer.as_deref().and_then(|it| it.get(..12));
        assert_eq!(start, expected, "{method}");
        assert_eq!(bench.events(), []);
    }
}

#[test]
fn a_broken_request_is_refused_and_junk_is_dropped() {
    let mut bench = Bench::new();
    bench.receive(&MESSAGE.replace("Content-Length: 2", "Content-Length: 9"));
    assert!(bench.sent_one().starts_with("SIP/2.0 400 "));
    bench.receive("hello");
    bench.receive("SIP/2.0 2000 OK\r\n\r\n");
    bench.receive("\r\n\r\n");
    bench.receive("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1.x\r\n\r\n");
    assert_eq!((bench.sent().len(), bench.agent.dropped()), (0, 3));
    assert_eq!(bench.events(), []);
}

#[test]
fn a_message_and_an_options_are_sent_and_their_answers_told() {
    let mut bench = Bench::new();
    let bo = aor("sip:bo@example.com");
    let now = bench.now;
    let id = bench
        .agent
        .message(now, &bo, "text/plain", b"hi", &mut bench.out);
    let message = bench.sent_one();
    assert!(message.starts_with("MESSAGE sip:bo@example.com SIP/2.0\r\n"));
    assert_eq!(body(&message), "hi");
    bench.answer(&message, 404, &[]);
    assert_eq!(bench.event(), Event::MessageAnswered { id, status: 404 });

    let id = bench.agent.options(now, &bo, &mut bench.out);
    let options = bench.sent_one();
    bench.answer(&options, 200, &[("Allow-Events", "presence, dialog")]);
    let answered = Event::OptionsAnswered {
        id,
        status: 200,
        packages: vec!["presence".to_owned(), "dialog".to_owned()],
    };
    assert_eq!(bench.event(), answered);

    bench
        .agent
        .message(now, &bo, "text/plain", b"hi", &mut bench.out);
    bench.wait(60_000);
    assert!(matches!(
        bench.event(),
        Event::TimedOut { again_in: None, .. }
    ));
}

#[test]
fn one_seed_gives_one_phone_and_two_users_with_it_collide() {
    let first_request = |user, seed| {
        let mut bench = Bench::with(config(user, seed));
        bench.agent.register(bench.now, 600, &mut bench.out);
        bench.sent_one()
    };
    let (al, bo) = ("sip:al@example.com", "sip:bo@example.com");
    assert_eq!(first_request(al, 7), first_request(al, 7));
    let (one, other) = (first_request(al, 7), first_request(bo, 7));
    for name in ["Via", "Call-ID", "CSeq"] {
        assert_eq!(header(&one, name), header(&other, name), "{name}");
    }
    assert_eq!(tag(header(&one, "From")), tag(header(&other, "From")));
    assert_ne!(header(&one, "From"), header(&other, "From"));
    assert_ne!(header(&one, "Via"), header(&first_request(al, 8), "Via"));
}

#[test]
fn a_phone_of_quirks_is_still_a_phone() {
    let mut config = config("sip:al@example.com", 1);
    config.display = "Al \"A\"".to_owned();
    config.route = Some("<sip:edge.example.com;lr>".to_owned());
    config.quirks = vec![Quirk::BareFrom, Quirk::NoContentLength, Quirk::NoRport];
    let mut bench = Bench::with(config);
    let bo = aor("sip:bo@example.com");
    let accept = ["application/pidf+xml"];
    let now = bench.now;
    bench
        .agent
        .subscribe(now, &bo, "presence", 600, &accept, &mut bench.out);
    let subscribe = bench.sent_one();
    assert!(header(&subscribe, "From").starts_with("sip:al@example.com;tag="));
    assert_eq!(header(&subscribe, "Route"), "<sip:edge.example.com;lr>");
    assert_eq!(header(&subscribe, "Accept"), "application/pidf+xml");
    assert!(!subscribe.contains("Content-Length") && !subscribe.contains("rport"));
    bench.agent.behave(vec![Quirk::NoAccept]);
    bench
        .agent
        .subscribe(now, &bo, "presence", 600, &accept, &mut bench.out);
    let subscribe = bench.sent_one();
    assert!(header(&subscribe, "From").starts_with("\"Al \\\"A\\\"\" <sip:al@example.com>;tag="));
    assert!(!subscribe.contains("Accept"));
}

/// Any datagram: no panic, and the phone goes on.
#[test]
fn no_bytes_from_the_network_stop_a_phone() {
    let bo = aor("sip:bo@example.com");
    for seed in 0..300 {
        let mut bench = Bench::new();
        let now = bench.now;
        bench.agent.register(now, 600, &mut bench.out);
        bench
            .agent
            .subscribe(now, &bo, "presence", 600, &[], &mut bench.out);
        let sent = bench.sent();
        let state = "terminated;reason=probation;retry-after=3";
        let good = [
            response(&sent[0], 200, &[("Contact", "<sip:a@b>;expires=60")]),
            response(&sent[1], 200, &[("Record-Route", "<sip:r;lr>, <sip:s;lr>")]),
            notify(&sent[1], "pool", 1, "active;expires=60", "<one/>"),
            notify(&sent[1], "pool", 2, state, ""),
            MESSAGE.to_owned(),
        ];
        let mut random = Tokens::new(seed);
        for text in good.iter().cycle().take(50) {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..random.number() % 4 {
                let length = u64::try_from(bytes.len()).unwrap();
                let at = usize::try_from(random.number() % length).unwrap();
                match random.number() % 4 {
                    0 => bytes[at] = random.number().to_le_bytes()[0],
                    1 => bytes.truncate(at + 1),
                    2 => bytes[at] = b"\r\n ;,<>\"="[at % 9],
                    _ => drop(bytes.remove(at)),
                }
                bytes.push(b'x');
            }
            bench
                .agent
                .handle_message(bench.now, &bytes, &mut bench.out);
            bench.wait(100);
            assert!(bench.out.datagrams.len() < 20, "seed {seed}");
            bench.out.datagrams.clear();
        }
        bench.events();
        bench.agent.options(bench.now, &bo, &mut bench.out);
        let options = bench.sent_one();
        bench.answer(&options, 200, &[]);
        assert!(
            matches!(bench.event(), Event::OptionsAnswered { .. }),
            "seed {seed}"
        );
    }
}
