//! REGISTER: which bindings a client has afterwards (RFC 3261 §10.3, RFC 3327 §5.3).

use crate::play::{Phone, Play, in_each, pidf, secs};
use crate::text::Text;

fn register(play: &mut Play, phone: &mut Phone, lines: &[&str]) -> Text {
    let text = phone.register(lines);
    let answer = play.ask(phone, &text);
    play.settle();
    answer
}

/// The URIs of the bindings that a REGISTER without Contact lists, in order.
fn bindings(play: &mut Play, user: &str) -> Vec<String> {
    let mut asker = play.phone(user);
    let answer = register(play, &mut asker, &[]);
    assert_eq!(answer.status(), Some(200));
    let mut uris: Vec<String> = answer
        .headers("Contact")
        .iter()
        .map(|value| value.split(['<', '>']).nth(1).unwrap().to_owned())
        .collect();
    uris.sort();
    uris
}

/// The `expires` of a listed contact.
fn left(answer: &Text, uri: &str) -> u32 {
    let contacts = answer.headers("Contact");
    let contact = contacts
        .iter()
        .find(|value| value.contains(uri))
        .expect(uri);
    let value = contact.split(";expires=").nth(1).expect("expires");
    value.split(';').next().unwrap().parse().unwrap()
}

// C1, C3: RFC 3261 §10.3 steps 1 and 5. A4: RFC 3261 §8.2.2.1
#[test]
fn an_address_of_record_elsewhere_is_refused() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let contact = alice.contact();
        let foreign = ["To: <sip:alice@elsewhere.example.net>", &contact];
        for (uri, lines, status) in [
            ("sip:elsewhere.example.net", &[&*contact][..], 404),
            ("sip:example.com", &foreign, 404),
            ("sip:example.com", &["To: <sip:example.com>", &contact], 404),
            ("sip:example.com", &["To: <tel:+15551234>", &contact], 416),
        ] {
            let text = alice.request("REGISTER", uri, lines, "");
            assert_eq!(play.status(&alice, &text), status, "{uri} {lines:?}");
        }
        assert_eq!(bindings(play, "alice"), Vec::<String>::new());
    });
}

// C4: RFC 3261 §10.3 step 6
#[test]
fn a_star_stands_alone_with_expires_0_and_removes_all() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let mut mobile = play.phone("alice");
        play.register(&mut alice);
        play.register(&mut mobile);
        let contact = alice.contact();
        for lines in [
            &["Contact: *"][..],
            &["Contact: *", "Expires: 60"],
            &["Contact: *", "Expires: 0", &contact],
            &["Contact: *, <sip:alice@192.0.2.9>", "Expires: 0"],
        ] {
            let text = alice.request("REGISTER", "sip:example.com", lines, "");
            assert_eq!(play.status(&alice, &text), 400, "{lines:?}");
        }
        assert_eq!(bindings(play, "alice").len(), 2);
        let answer = register(play, &mut alice, &["Contact: *", "Expires: 0"]);
        assert_eq!(answer.status(), Some(200));
        assert_eq!(answer.headers("Contact"), Vec::<&str>::new());
        assert_eq!(bindings(play, "alice"), Vec::<String>::new());
    });
}

// C4, C8: RFC 3261 §10.3 steps 6 and 7
#[test]
fn a_star_with_an_old_cseq_removes_nothing() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        alice.cseq = 10;
        play.register(&mut alice);
        alice.cseq = 4;
        let answer = register(play, &mut alice, &["Contact: *", "Expires: 0"]);
        assert_eq!(answer.status(), Some(500));
        assert_eq!(bindings(play, "alice").len(), 1);
    });
}

// C5: RFC 3261 §10.3 step 7
#[test]
fn without_a_contact_the_bindings_are_listed_and_left_alone() {
    in_each(|play| {
        assert_eq!(bindings(play, "alice"), Vec::<String>::new());
        let mut alice = play.phone("alice");
        play.register(&mut alice);
        let uri = format!("sip:alice@{}", alice.at);
        assert_eq!(bindings(play, "alice"), std::slice::from_ref(&uri));
        assert_eq!(bindings(play, "alice"), [uri]);
    });
}

// C6: RFC 3261 §10.3 step 7
#[test]
fn the_contacts_own_expires_goes_before_the_requests_and_the_default() {
    in_each(|play| {
        for (contact, expires, granted) in [
            (";expires=100", "Expires: 200", 100),
            ("", "Expires: 200", 200),
            ("", "Expires: -", 3600),
            (";expires=7200", "Expires: -", 3600),
            (";expires=junk", "Expires: 200", 3600),
        ] {
            let mut alice = play.phone("alice");
            let line = format!("{}{contact}", alice.contact());
            let answer = register(play, &mut alice, &[&line, expires]);
            assert_eq!(answer.status(), Some(200));
            let uri = alice.at.to_string();
            assert_eq!(left(&answer, &uri), granted, "{contact:?} {expires}");
        }
    });
}

// C7: RFC 3261 §10.3 step 7
#[test]
fn only_an_interval_below_the_floor_is_too_brief() {
    in_each(|play| {
        for (asked, status) in [(1, 423), (29, 423), (30, 200), (0, 200)] {
            let mut alice = play.phone("alice");
            let contact = alice.contact();
            let answer = register(play, &mut alice, &[&contact, &format!("Expires: {asked}")]);
            assert_eq!(answer.status(), Some(status), "{asked}");
            let floor = (status == 423).then_some("30");
            assert_eq!(answer.header("Min-Expires"), floor, "{asked}");
        }
    });
}

// C8, C9: RFC 3261 §10.3 step 7
#[test]
fn an_old_cseq_or_one_bad_contact_fails_the_whole_request() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        alice.cseq = 10;
        play.register(&mut alice);
        let before = bindings(play, "alice");
        let own = alice.contact();
        alice.cseq = 9;
        let lines = [&*own, "Contact: <sip:alice@192.0.2.200>"];
        // The same number again is no retransmission: it asks for something else.
        alice.cseq = 5;
        let answer = register(play, &mut alice, &lines);
        assert_eq!(answer.status(), Some(500));
        alice.cseq = 20;
        for bad in [
            "Contact: <sip:alice@192.0.2.201>;expires=5",
            "Contact: <:>",
            "Contact: <sip:alice@192.0.2.201;x=\r\n y>",
        ] {
            let lines = [&*own, "Contact: <sip:a@192.0.2.202>", bad];
            let answer = register(play, &mut alice, &lines);
            assert!(matches!(answer.status(), Some(423 | 400)), "{bad}");
        }
        assert_eq!(bindings(play, "alice"), before);
    });
}

// C10: RFC 3261 §10.3 step 8
#[test]
fn the_answer_lists_every_binding_with_what_is_left_of_it() {
    in_each(|play| {
        let mut desk = play.phone("alice");
        let contact = desk.contact();
        register(play, &mut desk, &[&contact, "Expires: 100"]);
        play.run(secs(10));
        let mut mobile = play.phone("alice");
        let contact = mobile.contact();
        let answer = register(play, &mut mobile, &[&contact, "Expires: 200"]);
        assert_eq!(answer.headers("Contact").len(), 2);
        assert!((85..=90).contains(&left(&answer, &desk.at.to_string())));
        assert_eq!(left(&answer, &mobile.at.to_string()), 200);
        assert!(answer.header("Date").is_some());
    });
}

// C10: RFC 3261 §10.3 step 8
#[test]
fn a_binding_that_is_not_refreshed_goes() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let contact = alice.contact();
        register(play, &mut alice, &[&contact, "Expires: 30"]);
        play.run(secs(29));
        assert_eq!(bindings(play, "alice").len(), 1);
        play.run(secs(3));
        assert_eq!(bindings(play, "alice"), Vec::<String>::new());
    });
}

// C12: RFC 3261 §10.2.1.2
#[test]
fn a_preference_is_kept_and_listed() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let answer = register(play, &mut alice, &["Contact: <sip:alice@192.0.2.9>;q=0.5"]);
        assert!(
            answer.header("Contact").unwrap().contains(";q=0.5"),
            "{answer:?}"
        );
    });
}

// C13: RFC 3261 §10.3, §19.1.4
#[test]
fn contacts_are_compared_as_uris() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        register(
            play,
            &mut alice,
            &["Contact: <sip:alice@host.example.net;a=1;b=2>"],
        );
        let same = ["Contact: <sip:%61lice@HOST.example.net;b=2;a=1>"];
        register(play, &mut alice, &same);
        assert_eq!(
            bindings(play, "alice").len(),
            1,
            "equal by RFC 3261 §19.1.4"
        );
        for other in [
            "Contact: <sip:Alice@host.example.net;a=1;b=2>",
            "Contact: <sip:alice@host.example.net:5060;a=1;b=2>",
            "Contact: <sip:alice@host.example.net;a=1;b=2;transport=tcp>",
        ] {
            let before = bindings(play, "alice").len();
            register(play, &mut alice, &[other]);
            assert_eq!(bindings(play, "alice").len(), before + 1, "{other}");
        }
    });
}

// C14, C15: RFC 3327 §5.3; a Path without `Supported: path` is taken by policy
#[test]
fn path_is_kept_and_told() {
    in_each(|play| {
        for supported in ["Supported: path", "Supported: -"] {
            let mut alice = play.phone("alice");
            let contact = alice.contact();
            let lines = [
                "Path: <sip:p1.example.net;lr>, <sip:p2.example.net;lr>",
                &contact,
                supported,
            ];
            let answer = register(play, &mut alice, &lines);
            assert_eq!(answer.status(), Some(200), "{supported}");
            let told = answer.headers("Path").join(", ");
            assert_eq!(told, "<sip:p1.example.net;lr>, <sip:p2.example.net;lr>");
        }
    });
}

// C16: RFC 3327 §5.4
#[test]
fn a_message_follows_the_path_of_the_binding_in_order() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let contact = alice.contact();
        let lines = [
            "Path: <sip:p1.example.net;lr>, <sip:p2.example.net;lr>",
            &contact,
        ];
        register(play, &mut alice, &lines);
        let mut bob = play.phone("bob");
        let lines = ["Content-Type: text/plain"];
        let text = bob.request("MESSAGE", "sip:alice@example.com", &lines, "hello");
        assert_eq!(play.status(&bob, &text), 200);
        let message = play.requests(&alice, "MESSAGE").remove(0);
        let routes = message.headers("Route").join(", ");
        assert_eq!(routes, "<sip:p1.example.net;lr>, <sip:p2.example.net;lr>");
    });
}

// C11: RFC 3261 §10.3
#[test]
fn requests_of_one_client_are_done_in_the_order_they_came() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let contact = alice.contact();
        let on = alice.register(&[&contact]);
        let off = alice.register(&[&contact, "Expires: 0"]);
        let query = alice.register(&[]);
        for text in [&on, &off, &query] {
            play.send(&alice, text);
        }
        play.run(secs(1));
        let counts: Vec<_> = play
            .answers(&alice)
            .iter()
            .map(|answer| {
                (
                    answer.number("CSeq").unwrap(),
                    answer.headers("Contact").len(),
                )
            })
            .collect();
        assert_eq!(counts, [(1, 1), (2, 0), (3, 0)]);
    });
}

// C20, I15: a registration at A is seen by a watcher at B at once
#[test]
fn a_logon_is_told_to_watchers_everywhere_within_200_ms() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        play.watch(&mut bob, "alice");
        assert!(
            play.notifies(&bob)[0]
                .body()
                .contains("<basic>closed</basic>")
        );
        let mut alice = play.phone("alice");
        let contact = alice.contact();
        let text = alice.register(&[&contact]);
        let start = play.world.now().moment;
        assert_eq!(play.status(&alice, &text), 200);
        play.settle();
        let (at, last) = play.timed_notifies(&bob).pop().unwrap();
        assert!(last.body().contains("<basic>open</basic>"));
        assert!(at.since(start).as_millis() < 200);
        register(play, &mut alice, &[&contact, "Expires: 0"]);
        let last = play.notifies(&bob).pop().unwrap();
        assert!(last.body().contains("<basic>closed</basic>"));
    });
}

// C19: the publication of a flow goes with its last binding
#[test]
fn a_logoff_takes_the_publication_of_its_flow_along() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        play.watch(&mut bob, "alice");
        let mut alice = play.phone("alice");
        play.register(&mut alice);
        let text = alice.publish(&[], &pidf("alice", "mine"));
        assert_eq!(play.status(&alice, &text), 200);
        let mut gateway = play.phone("alice");
        play.publish(&mut gateway, "theirs");
        let contact = alice.contact();
        register(play, &mut alice, &[&contact, "Expires: 0"]);
        let last = play.notifies(&bob).pop().unwrap();
        assert!(
            !last.body().contains("mine") && last.body().contains("theirs"),
            "{last:?}"
        );
    });
}

// A6: RFC 3261 §8.2.2.3
#[test]
fn a_required_extension_that_is_not_there_is_named() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let contact = alice.contact();
        let answer = register(play, &mut alice, &[&contact, "Require: path, gruu, foo"]);
        assert_eq!(answer.status(), Some(420));
        assert_eq!(answer.headers("Unsupported").join(", "), "gruu, foo");
        let answer = register(play, &mut alice, &[&contact, "Require: path"]);
        assert_eq!(answer.status(), Some(200));
    });
}
