//! MESSAGE, relayed to the recipient's bindings (RFC 3428 §7, RFC 3261 §16.6, §16.7).

use crate::play::{Phone, Play, Reply, in_each, secs};
use crate::text::Text;

fn write(play: &mut Play, bob: &mut Phone, body: &str) -> Text {
    let text = message(bob, body);
    play.ask(bob, &text)
}

fn message(bob: &mut Phone, body: &str) -> String {
    let lines = [
        "Content-Type: text/plain",
        "X-Kept: as:  it was",
        "x-kept: twice",
    ];
    bob.request("MESSAGE", "sip:alice@example.com", &lines, body)
}

/// A phone of alice's that is registered with the given contact parameters and answers so.
fn alices(play: &mut Play, params: &str, reply: Reply) -> Phone {
    let mut phone = play.phone("alice");
    let contact = format!("{}{params}", phone.contact());
    let text = phone.register(&[&contact]);
    assert_eq!(play.status(&phone, &text), 200);
    play.replies(&phone, reply);
    phone
}

// D5, D16: RFC 3261 §16.6
#[test]
fn a_message_reaches_every_binding_as_it_was_written() {
    in_each(|play| {
        let desk = alices(play, "", Reply::default());
        let mobile = alices(play, "", Reply::default());
        let mut bob = play.phone("bob");
        assert_eq!(
            write(play, &mut bob, "hello\r\n\r\nthere").status(),
            Some(200)
        );
        for phone in [&desk, &mobile] {
            let got = play.requests(phone, "MESSAGE");
            assert_eq!(got.len(), 1);
            assert_eq!(got[0].uri(), format!("sip:alice@{}", phone.at));
            assert_eq!(got[0].body(), "hello\r\n\r\nthere");
            assert_eq!(got[0].headers("X-Kept"), ["as:  it was", "twice"]);
            let vias = got[0].headers("Via");
            assert!(vias[0].contains("branch=z9hG4bK"), "{vias:?}");
            assert!(vias.last().unwrap().contains("z9hG4bK-call"), "{vias:?}");
            assert!(got[0].number("Max-Forwards").unwrap() < 70);
        }
    });
}

// RFC 5626 §7: two flows of one instance ring once
#[test]
fn an_instance_is_a_target_once() {
    in_each(|play| {
        let mut phones = Vec::new();
        for number in [1, 2] {
            let params = format!(";+sip.instance=\"<urn:uuid:1>\";reg-id={number}");
            phones.push(alices(play, &params, Reply::default()));
        }
        let mut bob = play.phone("bob");
        assert_eq!(write(play, &mut bob, "once").status(), Some(200));
        let got = phones
            .iter()
            .map(|phone| play.requests(phone, "MESSAGE").len());
        assert_eq!(got.sum::<usize>(), 1);
    });
}

// RFC 3261 §21.4.18: nobody is there
#[test]
fn a_message_to_nobody_is_480() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        assert_eq!(write(play, &mut bob, "anybody?").status(), Some(480));
    });
}

// D8: RFC 3261 §16.7 step 6. D9: RFC 3261 §16.7 step 6
#[test]
fn one_best_final_answer_goes_back() {
    in_each(|play| {
        for (first, second, best) in [
            ("486 Busy Here", "200 OK", 200),
            ("503 Service Unavailable", "486 Busy Here", 486),
            ("500 Server Internal Error", "404 Not Found", 404),
            ("486 Busy Here", "603 Decline", 603),
            ("503 Service Unavailable", "500 Server Internal Error", 500),
        ] {
            let mut bob = play.phone("bob");
            let one = alices(play, "", Reply::With(first, &[]));
            let two = alices(play, "", Reply::With(second, &[]));
            let answer = write(play, &mut bob, "best?");
            assert_eq!(answer.status(), Some(best), "{first} {second}");
            play.run(secs(1));
            let finals = play.answers(&bob);
            assert_eq!(finals.len(), 1, "{finals:?}");
            for mut phone in [one, two] {
                let contact = phone.contact();
                let text = phone.register(&[&contact, "Expires: 0"]);
                assert_eq!(play.status(&phone, &text), 200);
            }
        }
    });
}

// D9: RFC 3261 §16.7 step 6
#[test]
fn a_503_that_is_the_only_answer_keeps_its_retry_after() {
    in_each(|play| {
        let reply = Reply::With("503 Service Unavailable", &["Retry-After: 77"]);
        alices(play, "", reply);
        let mut bob = play.phone("bob");
        let answer = write(play, &mut bob, "later");
        assert!(matches!(answer.status(), Some(500 | 503)), "{answer:?}");
        assert_eq!(answer.header("Retry-After"), Some("77"));
    });
}

// B3: RFC 4320 §4.2; B2: RFC 4320 §4.1. B1: RFC 4320 §4.1
#[test]
fn no_408_is_ever_sent_and_a_100_not_before_3_5_s() {
    in_each(|play| {
        alices(play, "", Reply::Silence);
        let mut bob = play.phone("bob");
        let text = message(&mut bob, "silence");
        let start = play.world.now().moment;
        // The repeats of Timer E.
        for at in [0, 500, 1500, 3500, 7500] {
            let now = play.world.now().moment.since(start).as_millis();
            play.run(crate::play::millis(u64::try_from(at - now).unwrap()));
            play.send(&bob, &text);
        }
        play.run(secs(60));
        let heard = play.heard.iter().filter(|(_, to, _)| *to == bob.at);
        let answers: Vec<_> = heard
            .filter_map(|(at, _, text)| Some((at.since(start).as_millis(), text.status()?)))
            .collect();
        assert!(!answers.is_empty(), "a 100 is due");
        for (at, status) in answers {
            assert_eq!(status, 100);
            assert!(at >= 3500, "at {at} ms");
        }
    });
}

// B4: RFC 4320 §4.2
#[test]
fn a_late_answer_goes_nowhere() {
    in_each(|play| {
        let alice = alices(play, "", Reply::Silence);
        let mut bob = play.phone("bob");
        let text = message(&mut bob, "late");
        play.send(&bob, &text);
        play.run(secs(40));
        let got = play.requests(&alice, "MESSAGE").remove(0);
        let answer = crate::text::response(&got, "200 OK", &[]);
        play.send(&alice, &answer);
        play.run(secs(1));
        assert_eq!(play.answers(&bob).len(), 0);
    });
}

// D11: RFC 3261 §16.10, as a MESSAGE needs it
#[test]
fn a_cancel_finds_no_transaction_of_a_message() {
    in_each(|play| {
        alices(play, "", Reply::Silence);
        let mut bob = play.phone("bob");
        let text = message(&mut bob, "wait");
        play.send(&bob, &text);
        play.settle();
        let cancel = text
            .replace("MESSAGE sip", "CANCEL sip")
            .replace("1 MESSAGE", "1 CANCEL");
        assert_eq!(play.status(&bob, &cancel), 481);
    });
}
