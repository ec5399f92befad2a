//! NOTIFY: when it goes, what it says, and what its answer means (RFC 6665 §4.2.2).

use crate::play::{Phone, Play, Reply, in_each, millis, secs};

fn bob_watches_alice(play: &mut Play) -> (Phone, Phone) {
    let mut bob = play.phone("bob");
    play.watch(&mut bob, "alice");
    let alice = play.phone("alice");
    (alice, bob)
}

// G8, G9: RFC 6665 §4.2.2
#[test]
fn an_active_subscriptions_expires_only_falls() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        for note in ["one", "two", "three"] {
            play.run(secs(20));
            play.publish(&mut alice, note);
            play.settle();
        }
        let notifies = play.notifies(&bob);
        assert_eq!(notifies.len(), 4);
        let mut last = 3601;
        for notify in notifies {
            assert_eq!(notify.state(), "active");
            let left: u32 = notify.state_param("expires").unwrap().parse().unwrap();
            assert!(left < last, "{left} after {last}");
            last = left;
        }
        assert!(last <= 3540);
    });
}

// G10, G13: RFC 6665 §4.2.2, §4.2.1.4
#[test]
fn a_subscription_that_is_not_refreshed_ends_with_a_word() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let text = bob.subscribe("alice", &["Expires: 30"]);
        let answer = play.ask(&bob, &text);
        bob.to_tag = answer.tag("To").map(str::to_owned);
        play.run(secs(29));
        assert_eq!(play.notifies(&bob).len(), 1);
        play.run(secs(3));
        let notifies = play.notifies(&bob);
        assert_eq!(notifies.len(), 2);
        assert_eq!(
            notifies[1].header("Subscription-State"),
            Some("terminated;reason=timeout")
        );
        let text = bob.subscribe("alice", &[]);
        assert_eq!(play.status(&bob, &text), 481);
    });
}

// G13: RFC 6665 §4.2.1.4
#[test]
fn a_refreshed_subscription_lives_on() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        for _ in 0..4 {
            let text = bob.subscribe("alice", &["Expires: 30"]);
            let answer = play.ask(&bob, &text);
            assert_eq!(answer.status(), Some(200));
            bob.to_tag = answer.tag("To").map(str::to_owned);
            play.run(secs(25));
        }
        assert!(
            play.notifies(&bob)
                .iter()
                .all(|notify| notify.state() == "active")
        );
    });
}

// G14: RFC 6665 §4.2.2. A15: RFC 3261 §17.1.2.2
#[test]
fn an_unanswered_notify_is_repeated_by_timer_e_and_given_up_after_three() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        play.replies(&bob, Reply::Silence);
        let text = bob.subscribe("alice", &[]);
        let answer = play.ask(&bob, &text);
        bob.to_tag = answer.tag("To").map(str::to_owned);
        play.run(secs(40));
        let sent = play.timed_notifies(&bob);
        let first = sent[0].0;
        let times: Vec<u128> = sent
            .iter()
            .map(|(at, _)| at.since(first).as_millis())
            .collect();
        let timer_e = [
            0_u128, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500,
        ];
        assert_eq!(times.len(), timer_e.len());
        for (time, due) in times.into_iter().zip(timer_e) {
            assert!(time.abs_diff(due) < 100, "at {time} ms, due at {due} ms");
        }
        assert!(
            sent.iter().all(|(_, text)| *text == sent[0].1),
            "byte for byte"
        );
        // Three in a row of 32 s, with a pause of 30 s after each of the first two.
        play.run(secs(32 * 2 + 30 * 2));
        let held: usize = play
            .world
            .servers()
            .map(|server| server.subscriptions())
            .sum();
        assert_eq!(held, 0);
        let text = bob.subscribe("alice", &[]);
        assert_eq!(play.status(&bob, &text), 481);
    });
}

// G14: a refresh shows that the phone is there.
#[test]
fn a_refresh_revives_a_subscription_whose_notifies_went_unanswered() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        play.replies(&bob, Reply::Silence);
        let text = bob.subscribe("alice", &[]);
        let answer = play.ask(&bob, &text);
        bob.to_tag = answer.tag("To").map(str::to_owned);
        play.run(secs(70));
        play.replies(&bob, Reply::default());
        let known = play.notifies(&bob).len();
        let text = bob.subscribe("alice", &[]);
        assert_eq!(play.status(&bob, &text), 200);
        play.run(secs(5));
        assert!(play.notifies(&bob).len() > known);
        let mut alice = play.phone("alice");
        play.publish(&mut alice, "back");
        play.settle();
        assert!(play.notifies(&bob).pop().unwrap().body().contains("back"));
    });
}

// G15: RFC 6665 §4.2.2
#[test]
fn each_answer_of_the_closed_list_ends_the_subscription() {
    in_each(|play| {
        for status in ENDING {
            let mut bob = play.phone("bob");
            play.replies(&bob, Reply::With(status, &[]));
            let text = bob.subscribe("alice", &[]);
            let answer = play.ask(&bob, &text);
            bob.to_tag = answer.tag("To").map(str::to_owned);
            play.run(secs(1));
            assert_eq!(
                play.notifies(&bob).len(),
                1,
                "{status}: nothing more is sent"
            );
            let text = bob.subscribe("alice", &[]);
            assert_eq!(play.status(&bob, &text), 481, "{status}");
        }
    });
}

// G16: RFC 6665 §4.2.2
#[test]
fn no_other_failure_ends_it_and_the_newest_state_is_tried_again() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        for (status, lines) in KEEPING {
            let mut bob = play.phone("bob");
            play.replies(&bob, Reply::With(status, lines));
            let text = bob.subscribe("alice", &[]);
            let answer = play.ask(&bob, &text);
            bob.to_tag = answer.tag("To").map(str::to_owned);
            play.settle();
            play.replies(&bob, Reply::default());
            play.publish(&mut alice, status);
            play.run(secs(31));
            let last = play.notifies(&bob).pop().unwrap();
            assert!(last.body().contains(status), "{status}: {last:?}");
            let text = bob.subscribe("alice", &[]);
            assert_eq!(play.status(&bob, &text), 200, "{status}");
        }
    });
}

// G19, I5: RFC 6665 §4.2.2; a departure from RFC 3856 §6.10: no five seconds between two
#[test]
fn each_change_is_told_at_once_and_the_last_is_always_told() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        for number in 1..=5 {
            play.publish(&mut alice, &format!("note {number}"));
            play.settle();
            let last = play.notifies(&bob).pop().unwrap();
            assert!(
                last.body().contains(&format!("note {number}")),
                "within 0.1 s"
            );
        }
        // Faster than they can be told: some fall out, the last does not.
        for number in 6..=30 {
            let text = alice.publish(&[], &crate::play::pidf("alice", &format!("note {number}")));
            play.send(&alice, &text);
        }
        play.run(secs(2));
        assert!(
            play.notifies(&bob)
                .pop()
                .unwrap()
                .body()
                .contains("note 30")
        );
    });
}

// G24: RFC 6665 §4.2.2
#[test]
fn a_notify_repeats_the_event_with_its_id() {
    in_each(|play| {
        for (event, told) in [
            ("presence", "presence"),
            ("presence;id=a7", "presence;id=a7"),
        ] {
            let mut bob = play.phone("bob");
            let text = bob.subscribe("alice", &[&format!("Event: {event}")]);
            assert_eq!(play.status(&bob, &text), 200);
            play.settle();
            assert_eq!(play.notifies(&bob)[0].header("Event"), Some(told));
        }
    });
}

// G30: RFC 6665 §4.2.2. A25: RFC 3261 §12.2.1.1, as design.md narrows it: gaps are legal
#[test]
fn one_notify_is_in_flight_and_newer_states_collapse_into_the_next() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        play.replies(&bob, Reply::Silence);
        for number in 1..=5 {
            play.publish(&mut alice, &format!("note {number}"));
        }
        play.run(millis(400));
        let notifies = play.notifies(&bob);
        assert_eq!(notifies.len(), 2, "the second is unanswered");
        assert!(notifies[1].body().contains("note 1"));
        play.replies(&bob, Reply::default());
        play.run(secs(1));
        let notifies = play.notifies(&bob);
        assert!(notifies.last().unwrap().body().contains("note 5"));
        assert_eq!(
            notifies.len(),
            4,
            "one repeat of note 1, then note 5: {notifies:?}"
        );
        let numbers: Vec<u32> = notifies
            .iter()
            .map(|text| text.number("CSeq").unwrap())
            .collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    });
}

// G32: RFC 6665 §4.2.2; law 1
#[test]
fn a_change_is_told_once_though_its_watchers_sit_on_three_servers() {
    in_each(|play| {
        let mut watchers = Vec::new();
        for user in ["bob", "carol", "dave", "erin", "frank", "grace"] {
            let mut phone = play.phone(user);
            play.watch(&mut phone, "alice");
            watchers.push(phone);
        }
        let mut alice = play.phone("alice");
        play.publish(&mut alice, "once");
        play.run(secs(15));
        for phone in &watchers {
            let told = play.notifies(phone);
            assert_eq!(told.len(), 2, "{}: the first, and the change", phone.user);
        }
        let holding = play
            .world
            .servers()
            .filter(|server| server.subscriptions() > 0);
        assert_eq!(holding.count(), 3);
    });
}

// G33: law 7
#[test]
fn a_dead_watcher_delays_nobody() {
    in_each(|play| {
        let mut dead = play.phone("dead");
        play.watch(&mut dead, "alice");
        play.replies(&dead, Reply::Silence);
        let (mut alice, bob) = bob_watches_alice(play);
        for number in 0..10 {
            play.publish(&mut alice, &format!("note {number}"));
            play.settle();
            let last = play.notifies(&bob).pop().unwrap();
            assert!(last.body().contains(&format!("note {number}")));
        }
    });
}

// G35: RFC 6665 §4.1.3
#[test]
fn a_notify_to_the_pool_is_481() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let lines = [
            "Event: presence",
            "Subscription-State: active",
            "Contact: <sip:bob@192.0.2.1>",
        ];
        let text = bob.request("NOTIFY", "sip:alice@example.com", &lines, "");
        assert_eq!(play.status(&bob, &text), 481);
    });
}

// A19: RFC 3261 §8.1.1.6. A20: RFC 3261 §8.1.1.8. A24: RFC 3261 §12.2.1.1. B8: RFC 3581 §3
#[test]
fn a_notify_is_a_request_of_the_dialog() {
    in_each(|play| {
        let (_, bob) = bob_watches_alice(play);
        let notify = play.notifies(&bob).remove(0);
        assert_eq!(
            notify.uri(),
            format!("sip:bob@{}", bob.at),
            "the remote target"
        );
        // One less than the server's 70: the balancer is a hop.
        assert_eq!(notify.number("Max-Forwards"), Some(69));
        let contact = notify.headers("Contact");
        assert_eq!(contact.len(), 1);
        assert!(contact[0].starts_with("<sip:") && contact[0].contains("@10.0.0.1:5060"));
        let from = notify.header("From").unwrap();
        assert!(from.starts_with("<sip:alice@example.com>;tag="), "{from}");
        assert_eq!(
            notify.header("To"),
            Some(&*format!("<sip:bob@example.com>;tag={}", bob.tag))
        );
        assert_eq!(notify.headers("Route"), Vec::<&str>::new());
        let via = notify.headers("Via");
        assert!(
            via[0].starts_with("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK"),
            "{via:?}"
        );
        assert!(via[0].ends_with(";rport"), "{via:?}");
    });
}

// A26: RFC 3261 §12.2.2, RFC 6665 §4.4.1
#[test]
fn a_refresh_moves_the_remote_target() {
    in_each(|play| {
        let (mut alice, mut bob) = bob_watches_alice(play);
        let contact = "Contact: <sip:elsewhere@198.51.100.9:5099;x=1>";
        let text = bob.subscribe("alice", &[contact]);
        assert_eq!(play.status(&bob, &text), 200);
        play.settle();
        play.publish(&mut alice, "moved");
        play.settle();
        let last = play.notifies(&bob).pop().unwrap();
        assert_eq!(last.uri(), "sip:elsewhere@198.51.100.9:5099;x=1");
        assert!(last.body().contains("moved"));
    });
}

// A26: RFC 3261 §12.1.1; A24: RFC 3261 §12.2.1.1
#[test]
fn behind_a_proxy_the_route_set_is_followed_in_order() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let vias = format!(
            "Via: SIP/2.0/UDP {};branch=z9hG4bKedge, SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKphone",
            bob.at
        );
        let near = format!("Record-Route: <sip:{};lr>", bob.at);
        let lines = [&*vias, &*near, "Record-Route: <sip:far.example.net;lr>"];
        let text = bob.subscribe("alice", &lines);
        assert_eq!(play.status(&bob, &text), 200);
        play.settle();
        let notify = play.notifies(&bob).remove(0);
        assert_eq!(
            notify.headers("Route"),
            [&*format!("<sip:{};lr>", bob.at), "<sip:far.example.net;lr>"]
        );
        assert_eq!(notify.uri(), format!("sip:bob@{}", bob.at));
    });
}

// D7: RFC 3261 §16.6 step 6. A24: RFC 3261 §12.2.1.1
#[test]
fn a_strict_first_hop_gets_a_request_uri_of_its_own() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let vias = format!(
            "Via: SIP/2.0/UDP {};branch=z9hG4bKedge, SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKphone",
            bob.at
        );
        let near = format!("Record-Route: <sip:{}>", bob.at);
        let contact = "Contact: <sip:bob@198.51.100.1>";
        let lines = [
            &*vias,
            &*near,
            "Record-Route: <sip:far.example.net;lr>",
            contact,
        ];
        let text = bob.subscribe("alice", &lines);
        assert_eq!(play.status(&bob, &text), 200);
        play.settle();
        let notify = play.notifies(&bob).remove(0);
        assert_eq!(notify.uri(), format!("sip:{}", bob.at));
        let routes = notify.headers("Route");
        assert_eq!(
            routes,
            ["<sip:far.example.net;lr>", "<sip:bob@198.51.100.1>"]
        );
    });
}

// D17: RFC 6665 §4.3
#[test]
fn the_balancer_record_routes_each_notify() {
    in_each(|play| {
        let (_, bob) = bob_watches_alice(play);
        let notify = play.notifies(&bob).remove(0);
        let routes = notify.headers("Record-Route");
        assert_eq!(routes.len(), 1);
        assert!(routes[0].contains("@10.0.0.1:5060;lr"), "{routes:?}");
    });
}

// A16: RFC 3261 §17.1.2.2
#[test]
fn over_a_stream_a_notify_is_not_repeated_and_still_times_out() {
    in_each(|play| {
        let mut bob = play.stream_phone("bob");
        play.replies(&bob, Reply::Silence);
        let text = bob.subscribe("alice", &[]);
        let answer = play.ask(&bob, &text);
        bob.to_tag = answer.tag("To").map(str::to_owned);
        play.run(secs(31));
        assert_eq!(play.notifies(&bob).len(), 1);
        play.run(secs(33));
        assert_eq!(play.notifies(&bob).len(), 2, "tried again after the pause");
    });
}

const ENDING: [&str; 13] = [
    "404 Not Found",
    "405 Method Not Allowed",
    "410 Gone",
    "416 Unsupported URI Scheme",
    "480 Temporarily Unavailable",
    "481 Subscription Does Not Exist",
    "482 Loop Detected",
    "483 Too Many Hops",
    "484 Address Incomplete",
    "485 Ambiguous",
    "489 Bad Event",
    "501 Not Implemented",
    "604 Does Not Exist Anywhere",
];

const KEEPING: [(&str, &[&str]); 6] = [
    ("401 Unauthorized", &[]),
    ("408 Request Timeout", &[]),
    ("500 Server Internal Error", &[]),
    ("503 Service Unavailable", &["Retry-After: 5"]),
    ("403 Forbidden", &[]),
    ("600 Busy Everywhere", &[]),
];
