//! SUBSCRIBE: what it is answered, and what it begins, renews and ends (RFC 6665 §4.2.1, §4.4).

use crate::play::{Phone, Play, in_each, millis, secs};

/// Subscribes with the given lines and gives the answer; the phone is in the dialog then.
fn subscribe(play: &mut Play, phone: &mut Phone, lines: &[&str]) -> crate::text::Text {
    let text = phone.subscribe("alice", lines);
    let answer = play.ask(phone, &text);
    phone.to_tag = answer.tag("To").map(str::to_owned);
    play.settle();
    answer
}

// G1: RFC 6665 §4.2.1.1, §8.2.2. G25: RFC 6665 §4.4.4
#[test]
fn an_event_that_is_not_served_is_refused_with_those_that_are() {
    in_each(|play| {
        for event in [
            "Event: dialog",
            "Event: -",
            "Event: presence.winfo",
            "Event: ;id=1",
        ] {
            let mut bob = play.phone("bob");
            let text = bob.subscribe("alice", &[event]);
            let answer = play.ask(&bob, &text);
            assert_eq!(answer.status(), Some(489), "{event}");
            assert_eq!(answer.header("Allow-Events"), Some("presence"), "{event}");
        }
    });
}

// G2, G3: RFC 6665 §4.2.1.1, §8.3.1
#[test]
fn a_subscribe_is_answered_200_at_once_whoever_is_watched() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let before = play.world.now().moment;
        let text = bob.subscribe("nobody-ever-seen", &[]);
        assert_eq!(play.status(&bob, &text), 200);
        assert!(play.world.now().moment.since(before) < millis(200));
    });
}

// G4, I1: RFC 6665 §4.2.1.1, RFC 3856 §6.4
#[test]
fn the_answer_grants_no_more_than_was_asked_and_an_hour_by_default() {
    in_each(|play| {
        for (asked, granted) in [
            ("Expires: -", 3600),
            ("Expires: 600", 600),
            ("Expires: 30", 30),
            ("Expires: 7200", 3600),
            ("Expires: 99999999999", 3600),
        ] {
            let mut bob = play.phone("bob");
            let answer = subscribe(play, &mut bob, &[asked]);
            assert_eq!(answer.status(), Some(200), "{asked}");
            assert_eq!(answer.number("Expires"), Some(granted), "{asked}");
        }
    });
}

// G5: RFC 6665 §4.2.1.1
#[test]
fn only_an_interval_below_the_floor_is_too_brief() {
    in_each(|play| {
        for (asked, status) in [(1, 423), (29, 423), (30, 200), (0, 200)] {
            let mut bob = play.phone("bob");
            let answer = subscribe(play, &mut bob, &[&format!("Expires: {asked}")]);
            assert_eq!(answer.status(), Some(status), "{asked}");
            let floor = (status == 423).then_some("30");
            assert_eq!(answer.header("Min-Expires"), floor, "{asked}");
        }
    });
}

// A20: RFC 3261 §8.1.1.8, §12.1.1
#[test]
fn a_subscribe_has_exactly_one_sip_contact() {
    in_each(|play| {
        for contact in [
            "Contact: -",
            "Contact: *",
            "Contact: <sip:bob@192.0.2.1>, <sip:bob@192.0.2.2>",
            "Contact: <tel:+15551234>",
            "Contact: <mailto:bob@example.com>",
            "Contact: <sip:bob@192.0.2.1;x=\r\n y>",
            "Contact: <sip:bob@192.0.2.1 SIP/2.0>",
        ] {
            let mut bob = play.phone("bob");
            let text = bob.subscribe("alice", &[contact]);
            assert_eq!(play.status(&bob, &text), 400, "{contact}");
        }
    });
}

// G6, G7: RFC 6665 §4.2.1.2
#[test]
fn every_2xx_is_followed_by_a_notify_in_its_dialog() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        for (count, lines) in [(1, &[][..]), (2, &[]), (3, &["Expires: 0"])] {
            let known = play.heard.len();
            let answer = subscribe(play, &mut bob, lines);
            assert_eq!(answer.status(), Some(200));
            let notifies = play.notifies(&bob);
            assert_eq!(notifies.len(), count, "{lines:?}");
            let last = notifies.last().unwrap();
            assert_eq!(last.tag("From"), answer.tag("To"));
            assert_eq!(last.tag("To"), Some(&*bob.tag));
            let order: Vec<_> = play.heard.iter().skip(known).collect();
            assert!(
                order[0].2.status().is_some(),
                "the 2xx goes first: {order:?}"
            );
        }
    });
}

// G11: RFC 6665 §4.2.1.4, §4.1.2.3
#[test]
fn an_ended_subscription_is_told_so_and_gone() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        play.watch(&mut bob, "alice");
        let answer = subscribe(play, &mut bob, &["Expires: 0"]);
        assert_eq!(answer.number("Expires"), Some(0));
        let notifies = play.notifies(&bob);
        assert_eq!(notifies.len(), 2);
        assert_eq!(
            notifies[1].header("Subscription-State"),
            Some("terminated;reason=timeout")
        );
        let mut alice = play.phone("alice");
        play.publish(&mut alice, "unheard");
        play.settle();
        assert_eq!(play.notifies(&bob).len(), 2, "nothing after the end");
        let again = bob.subscribe("alice", &[]);
        assert_eq!(play.status(&bob, &again), 481);
    });
}

// G12: RFC 6665 §4.4.3
#[test]
fn a_fetch_is_told_the_state_once_and_leaves_nothing() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        play.publish(&mut alice, "fetched");
        let mut bob = play.phone("bob");
        let answer = subscribe(play, &mut bob, &["Expires: 0"]);
        assert_eq!(answer.status(), Some(200));
        assert_eq!(answer.number("Expires"), Some(0));
        let notifies = play.notifies(&bob);
        assert_eq!(notifies.len(), 1, "{notifies:?}");
        assert_eq!(notifies[0].state(), "terminated");
        assert_eq!(notifies[0].state_param("reason"), Some("timeout"));
        assert!(notifies[0].body().contains("fetched"), "{notifies:?}");
        play.publish(&mut alice, "later");
        play.run(secs(1));
        assert_eq!(play.notifies(&bob).len(), 1);
        let held: usize = play
            .world
            .servers()
            .map(|server| server.subscriptions())
            .sum();
        assert_eq!(held, 0);
    });
}

// G20: RFC 6665 §8.2.1
#[test]
fn an_event_matches_by_its_name_in_any_case_and_its_id() {
    in_each(|play| {
        for event in [
            "Event: Presence",
            "o: PRESENCE",
            "Event: presence;foo=bar",
            "Event: presence ; id=7",
        ] {
            let mut bob = play.phone("bob");
            let lines: &[&str] = match event.starts_with('o') {
                true => &["Event: -", event],
                false => &[event],
            };
            let answer = subscribe(play, &mut bob, lines);
            assert_eq!(answer.status(), Some(200), "{event}");
            let again = subscribe(play, &mut bob, lines);
            assert_eq!(again.status(), Some(200), "a refresh with {event}");
        }
        let mut bob = play.phone("bob");
        subscribe(play, &mut bob, &["Event: presence;id=7"]);
        for event in ["Event: presence", "Event: presence;id=8"] {
            let text = bob.subscribe("alice", &[event]);
            assert_eq!(
                play.status(&bob, &text),
                481,
                "{event} is another subscription"
            );
        }
    });
}

// G22: RFC 6665 §4.4.1
#[test]
fn a_refresh_may_come_before_the_notify_is_answered() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        play.replies(&bob, crate::play::Reply::Silence);
        let first = subscribe(play, &mut bob, &[]);
        let refresh = subscribe(play, &mut bob, &["Expires: 600"]);
        assert_eq!(refresh.status(), Some(200));
        assert_eq!(refresh.number("Expires"), Some(600));
        assert_eq!(refresh.tag("To"), first.tag("To"));
        play.replies(&bob, crate::play::Reply::default());
        play.run(secs(5));
        let last = play.notifies(&bob).pop().unwrap();
        let left: u32 = last.state_param("expires").unwrap().parse().unwrap();
        assert!(left <= 600, "the NOTIFY after the refresh: {last:?}");
    });
}

// G23, I2: RFC 6665 §5.4.5, RFC 3856 §6.5, RFC 3261 §20.1
#[test]
fn the_body_is_of_a_type_the_phone_accepts_or_the_answer_is_406() {
    in_each(|play| {
        for (accept, status) in [
            ("Accept: -", 200),
            ("Accept: application/pidf+xml", 200),
            ("Accept: application/xpidf+xml, application/pidf+xml", 200),
            ("Accept: */*", 200),
            ("Accept: text/plain", 406),
            ("Accept: application/pidf+xml;q=0", 406),
        ] {
            let mut bob = play.phone("bob");
            let answer = subscribe(play, &mut bob, &[accept]);
            assert_eq!(answer.status(), Some(status), "{accept}");
            if status == 200 {
                let notify = play.notifies(&bob).pop().unwrap();
                assert_eq!(notify.header("Content-Type"), Some("application/pidf+xml"));
            } else {
                let offered = answer.header("Accept").unwrap();
                assert!(offered.starts_with("application/pidf+xml"), "{offered}");
            }
        }
    });
}

// G25: RFC 6665 §4.4.4, §8.2.2
#[test]
fn allow_events_stands_in_the_answers_to_subscribe_and_options() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let answer = subscribe(play, &mut bob, &[]);
        assert_eq!(answer.header("Allow-Events"), Some("presence"));
        let options = bob.request("OPTIONS", "sip:example.com", &[], "");
        let answer = play.ask(&bob, &options);
        assert_eq!(answer.header("Allow-Events"), Some("presence"));
    });
}

// G34: RFC 6665 §4.2.1
#[test]
fn a_phone_may_watch_itself() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        play.register(&mut alice);
        play.watch(&mut alice, "alice");
        let mut publisher = play.phone("alice");
        play.publish(&mut publisher, "me");
        play.settle();
        let notifies = play.notifies(&alice);
        assert_eq!(notifies.len(), 2);
        assert!(notifies[1].body().contains("me"));
    });
}

// A22: RFC 3261 §12.2.2
#[test]
fn in_a_dialog_a_lower_cseq_is_500_and_a_gap_is_fine() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        play.watch(&mut bob, "alice");
        bob.cseq = 100;
        let text = bob.subscribe("alice", &[]);
        assert_eq!(play.status(&bob, &text), 200);
        bob.cseq = 49;
        let text = bob.subscribe("alice", &[]);
        assert_eq!(play.status(&bob, &text), 500);
        bob.cseq = 101;
        let text = bob.subscribe("alice", &[]);
        assert_eq!(
            play.status(&bob, &text),
            200,
            "the refused one changed nothing"
        );
    });
}

// A23: RFC 3261 §12.2.2
#[test]
fn a_dialog_that_is_not_known_is_481() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        bob.to_tag = Some("nobodys".to_owned());
        let text = bob.subscribe("alice", &[]);
        assert_eq!(play.status(&bob, &text), 481, "no subscription at all");
        let mut carol = play.phone("carol");
        play.watch(&mut carol, "alice");
        for (field, value) in [(0, "another"), (1, "another"), (2, "another")] {
            let mut other = carol.clone();
            match field {
                0 => other.call_id = value.to_owned(),
                1 => other.tag = value.to_owned(),
                _ => other.to_tag = Some(value.to_owned()),
            }
            let text = other.subscribe("alice", &[]);
            assert_eq!(play.status(&other, &text), 481, "{field}");
        }
    });
}

// A8: RFC 3261 §8.2.6.2, §12.1.1
#[test]
fn a_refresh_keeps_the_dialogs_tags_and_the_contact_names_the_pool() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let first = play.watch(&mut bob, "alice");
        let contact = first.headers("Contact");
        assert_eq!(contact.len(), 1);
        assert!(contact[0].starts_with("<sip:") && contact[0].contains("@10.0.0.1:5060"));
        let text = bob.subscribe("alice", &[]);
        let second = play.ask(&bob, &text);
        assert_eq!(
            second.header("To"),
            first.header("To").map(|_| second.header("To").unwrap())
        );
        assert_eq!(second.tag("To"), first.tag("To"));
        assert_eq!(second.headers("Contact"), contact);
    });
}

// D17: RFC 6665 §4.3
#[test]
fn a_refresh_by_the_dialogs_own_target_and_route_reaches_it() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let answer = play.watch(&mut bob, "alice");
        let contact = answer.header("Contact").unwrap();
        let target = contact.trim_matches(['<', '>']).to_owned();
        let routes = answer.headers("Record-Route");
        assert_eq!(routes.len(), 1, "the pool is in the route set once");
        assert!(routes[0].contains(";lr"));
        let route = format!("Route: {}", routes[0]);
        let to_tag = bob.to_tag.clone().unwrap();
        let to = format!("To: <sip:alice@example.com>;tag={to_tag}");
        let own = bob.contact();
        let lines = [&*route, &*to, &*own, "Event: presence", "Expires: 900"];
        let text = bob.request("SUBSCRIBE", &target, &lines, "");
        let refreshed = play.ask(&bob, &text);
        assert_eq!(refreshed.status(), Some(200));
        assert_eq!(refreshed.number("Expires"), Some(900));
    });
}
