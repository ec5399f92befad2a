//! Subscriptions: dialogs made, kept, lost and begun anew (RFC 6665 §4.1).

use super::*;
use crate::{Ended, Quirk, SubscriptionId, SubscriptionState};

const ACTIVE: &str = "active;expires=600";

/// A phone that has just sent this SUBSCRIBE.
fn subscribing(expires_secs: u32) -> (Bench, SubscriptionId, String) {
    let mut bench = Bench::new();
    let (now, bo) = (bench.now, aor("sip:bo@example.com"));
    let out = &mut bench.out;
    let id = bench
        .agent
        .subscribe(now, &bo, "presence", expires_secs, &[], out);
    let subscribe = bench.sent_one();
    (bench, id, subscribe)
}

/// A phone whose SUBSCRIBE was accepted for 600 s and followed by a NOTIFY with CSeq 1.
fn subscribed() -> (Bench, SubscriptionId, String) {
    let (mut bench, id, subscribe) = subscribing(600);
    let headers = [
        ("Contact", "<sip:owner@pool.example.com>"),
        ("Record-Route", "<sip:inner;lr>, <sip:outer;lr>"),
        ("Expires", "600"),
    ];
    bench.answer(&subscribe, 200, &headers);
    let expires_secs = 600;
    assert_eq!(bench.event(), Event::Subscribed { id, expires_secs });
    bench.receive(&notify(&subscribe, "pool", 1, ACTIVE, "<one/>"));
    assert!(bench.sent_one().starts_with("SIP/2.0 200 "));
    assert!(matches!(bench.event(), Event::Notified(_)));
    (bench, id, subscribe)
}

#[track_caller]
fn assert_status(message: &str, status: u16) {
    assert!(
        message.starts_with(&format!("SIP/2.0 {status} ")),
        "{message}"
    );
}

#[test]
fn a_notify_is_answered_and_told() {
    let (mut bench, id, subscribe) = subscribing(600);
    assert!(subscribe.starts_with("SUBSCRIBE sip:bo@example.com SIP/2.0\r\n"));
    assert_eq!(header(&subscribe, "To"), "<sip:bo@example.com>");
    bench.answer(&subscribe, 202, &[]);
    bench.events();
    let text = notify(&subscribe, "pool", 7, "Pending;expires=599", "<one/>");
    bench.receive(&text.replace("Max-", "Date: today\r\nMax-"));
    assert_status(&bench.sent_one(), 200);
    let Event::Notified(told) = bench.event() else {
        panic!("nothing told");
    };
    assert_eq!((told.id, &*told.package), (id, "presence"));
    assert_eq!(told.state, SubscriptionState::Pending);
    assert_eq!((told.cseq, told.expires_secs), (7, Some(599)));
    assert_eq!(told.body, "<one/>");
    assert_eq!(told.content_type, "application/pidf+xml");
    assert_eq!(told.call_id, header(&subscribe, "Call-ID"));
    assert_eq!(told.date.as_deref(), Some("today"));
}

#[test]
fn a_refresh_goes_in_the_dialog_along_the_route_set() {
    let (mut bench, id, first) = subscribed();
    assert_eq!(bench.skip(), 540_000);
    let refresh = bench.sent_one();
    assert!(refresh.starts_with("SUBSCRIBE sip:owner@pool.example.com SIP/2.0\r\n"));
    assert_eq!(header(&refresh, "To"), "<sip:bo@example.com>;tag=pool");
    for name in ["From", "Call-ID"] {
        assert_eq!(header(&refresh, name), header(&first, name));
    }
    assert_eq!(header(&refresh, "CSeq"), "2 SUBSCRIBE");
    let routes: Vec<&str> = refresh
        .lines()
        .filter_map(|line| line.strip_prefix("Route: "))
        .collect();
    assert_eq!(routes, ["<sip:outer;lr>", "<sip:inner;lr>"]);
    let headers = [
        ("Expires", "16"),
        ("Contact", "<sip:other@pool.example.com>"),
    ];
    bench.answer(&refresh, 200, &headers);
    let expires_secs = 16;
    assert_eq!(bench.event(), Event::Subscribed { id, expires_secs });
    assert_eq!(bench.skip(), 14_400);
    let again = bench.sent_one();
    assert!(again.starts_with("SUBSCRIBE sip:other@pool.example.com "));
    assert_eq!(header(&again, "Expires"), "600");
}

#[test]
fn a_notify_before_the_answer_makes_the_dialog() {
    let (mut bench, id, subscribe) = subscribing(600);
    let early = notify(&subscribe, "early", 1, ACTIVE, "");
    bench.receive(&early.replace("Max-", "Record-Route: <sip:edge;lr>\r\nMax-"));
    assert_status(&bench.sent_one(), 200);
    assert!(matches!(bench.event(), Event::Notified(_)));
    bench.answer(&subscribe, 200, &[("Expires", "600")]);
    assert!(matches!(bench.event(), Event::Subscribed { .. }));
    bench.agent.unsubscribe(bench.now, id, &mut bench.out);
    let last = bench.sent_one();
    assert_eq!(header(&last, "To"), "<sip:bo@example.com>;tag=early");
    assert_eq!(header(&last, "Route"), "<sip:edge;lr>");
}

#[test]
fn a_repeated_notify_gets_the_same_answer_and_says_nothing_twice() {
    let (mut bench, _, subscribe) = subscribed();
    let text = notify(&subscribe, "pool", 2, ACTIVE, "<two/>");
    bench.receive(&text);
    let answer = bench.sent_one();
    bench.wait(500);
    bench.receive(&text);
    assert_eq!(bench.sent_one(), answer);
    assert!(matches!(bench.event(), Event::Notified(_)));
}

#[test]
fn a_notify_out_of_order_is_refused_and_told() {
    let (mut bench, id, subscribe) = subscribed();
    bench.receive(&notify(&subscribe, "pool", 5, ACTIVE, "<five/>"));
    bench.sent();
    bench.events();
    for (cseq, text) in [(4, "<four/>"), (5, "<another/>")] {
        bench.receive(&notify(&subscribe, "pool", cseq, ACTIVE, text));
        assert_status(&bench.sent_one(), 500);
        let last = 5;
        assert_eq!(bench.event(), Event::OutOfOrder { id, cseq, last });
    }
}

#[test]
fn a_notify_of_no_subscription_gets_481() {
    let (mut bench, _, subscribe) = subscribed();
    let good = notify(&subscribe, "pool", 2, ACTIVE, "");
    let from_tag = tag(header(&subscribe, "From"));
    let table = [
        ("tag=pool", "tag=fork"),             // another fork of the SUBSCRIBE
        (from_tag, "1.0"),                    // another tag of ours
        (from_tag, "x"),                      // not a tag of ours
        ("Event: presence", "Event: dialog"), // another package
        ("Event: presence", "Event: presence;id=2"),
        (header(&subscribe, "Call-ID"), "other"),
    ];
    // Each under a branch of its own: it is not to be taken for a repeat of the one before.
    for (row, (old, new)) in table.iter().enumerate() {
        let branch = format!("branch=z9hG4bK{row}");
        bench.receive(&good.replace(old, new).replace("branch=z9hG4bK", &branch));
        assert_status(&bench.sent_one(), 481);
    }
    bench.receive(&good.replace("Subscription-State", "X-State"));
    assert_status(&bench.sent_one(), 400);
    assert_eq!(bench.events(), []);
}

/// What each reason asks for (RFC 6665 §4.1.3), for a subscription that has lived a minute.
#[test]
fn each_reason_of_an_end_is_obeyed() {
    let table = [
        // reason and parameters        again after, in ms
        ("deactivated", Some(0)),
        ("timeout", Some(0)),
        ("probation;retry-after=5", Some(5000)),
        ("giveup;retry-after=7", Some(7000)),
        ("somethingelse;retry-after=9", Some(9000)),
        ("rejected", None),
        ("noresource", None),
        ("invariant", None),
    ];
    for (text, again_millis) in table {
        let (mut bench, id, subscribe) = subscribed();
        bench.wait(60_000);
        let state = format!("terminated;reason={text}");
        bench.receive(&notify(&subscribe, "pool", 2, &state, ""));
        let mut sent = bench.sent();
        assert_status(&sent.remove(0), 200);
        let events = bench.events();
        assert!(matches!(events[0], Event::Notified(_)));
        let reason = text.split(';').next().unwrap().to_owned();
        let ended = Event::SubscriptionEnded {
            id,
            reason: Ended::Terminated { reason },
            again_in: again_millis.map(Duration::from_millis),
        };
        assert_eq!(events[1..], [ended], "{text}");
        match again_millis {
            None => assert_eq!(bench.agent.poll_timeout(), None, "{text}"),
            Some(millis) => {
                if millis > 0 {
                    assert_eq!(bench.skip(), millis, "{text}");
                    sent = bench.sent();
                }
                assert_eq!(sent.len(), 1, "{text}");
                assert_ne!(header(&sent[0], "Call-ID"), header(&subscribe, "Call-ID"));
                assert_eq!(header(&sent[0], "To"), "<sip:bo@example.com>");
            }
        }
    }
}

#[test]
fn an_end_without_time_is_followed_after_a_while() {
    for reason in ["probation", "giveup", "other"] {
        let (mut bench, _, subscribe) = subscribed();
        let state = format!("terminated;reason={reason}");
        bench.receive(&notify(&subscribe, "pool", 2, &state, ""));
        bench.sent();
        let millis = bench.skip();
        assert!((3000..=4000).contains(&millis), "{reason}: {millis}");
        assert_eq!(method(&bench.sent_one()), "SUBSCRIBE");
    }
}

#[test]
fn a_pool_that_keeps_ending_it_is_not_asked_in_a_circle() {
    let (mut bench, _, mut subscribe) = subscribed();
    let mut count = 0;
    let end = bench.now.moment.after(Duration::from_mins(10));
    while bench.now.moment < end {
        let state = "terminated;reason=deactivated";
        bench.receive(&notify(&subscribe, "pool", 2, state, ""));
        let mut sent = bench.sent();
        assert_status(&sent.remove(0), 200);
        if sent.is_empty() {
            bench.skip();
            sent = bench.sent();
        }
        subscribe = sent.remove(0);
        bench.answer(&subscribe, 200, &[]);
        count += 1;
    }
    assert!((5..20).contains(&count), "{count}");
}

#[test]
fn a_refresh_answered_481_begins_anew_at_once() {
    let (mut bench, id, first) = subscribed();
    bench.skip();
    let refresh = bench.sent_one();
    bench.answer(&refresh, 481, &[]);
    let ended = Event::SubscriptionEnded {
        id,
        reason: Ended::Refused { status: 481 },
        again_in: Some(Duration::ZERO),
    };
    assert_eq!(bench.event(), ended);
    let anew = bench.sent_one();
    assert_ne!(header(&anew, "Call-ID"), header(&first, "Call-ID"));
    assert_eq!(header(&anew, "CSeq"), "1 SUBSCRIBE");
    // The old dialog is known no more, the new one is.
    bench.receive(&notify(&first, "pool", 9, ACTIVE, ""));
    assert_status(&bench.sent_one(), 481);
    bench.receive(&notify(&anew, "pool", 1, ACTIVE, ""));
    assert_status(&bench.sent_one(), 200);
}

#[test]
fn some_refusals_of_a_refresh_end_it_and_others_leave_it() {
    for (status, ends) in [(404, true), (489, true), (403, false), (503, false)] {
        let (mut bench, id, first) = subscribed();
        bench.skip();
        let refresh = bench.sent_one();
        bench.answer(&refresh, status, &[]);
        let event = bench.event();
        bench.receive(&notify(&first, "pool", 9, ACTIVE, ""));
        let answer = bench.sent_one();
        if ends {
            let ended = Event::SubscriptionEnded {
                id,
                reason: Ended::Refused { status },
                again_in: None,
            };
            assert_eq!(event, ended);
            assert_status(&answer, 481);
        } else {
            assert!(matches!(event, Event::SubscribeFailed { .. }), "{status}");
            assert_status(&answer, 200);
        }
    }
}

#[test]
fn a_pool_that_is_silent_keeps_its_dialog_until_it_expires() {
    let (mut bench, _, first) = subscribed();
    let mut calls = Vec::new();
    while bench.now.moment < at(700_000).moment {
        bench.skip();
        for text in bench.sent() {
            let is_old = header(&text, "Call-ID") == header(&first, "Call-ID");
            let millis = bench.now.moment.since(at(0).moment).as_millis();
            calls.push((millis, is_old));
        }
    }
    assert!(calls.iter().any(|(_, is_old)| !is_old));
    for (millis, is_old) in calls {
        // The last request in the dialog may still be resent for 32 s.
        assert!(!is_old || millis < 632_000, "{millis}");
        assert!(is_old || millis >= 600_000, "{millis}");
    }
}

#[test]
fn an_accepted_subscribe_that_no_notify_follows_is_begun_anew() {
    let (mut bench, id, subscribe) = subscribing(600);
    bench.answer(&subscribe, 200, &[]);
    bench.events();
    assert_eq!(bench.skip(), 32_000);
    let Event::SubscriptionEnded {
        reason, again_in, ..
    } = bench.event()
    else {
        panic!("not ended");
    };
    assert_eq!((reason, again_in.is_some()), (Ended::Unanswered, true));
    bench.skip();
    let anew = bench.sent_one();
    assert_ne!(header(&anew, "Call-ID"), header(&subscribe, "Call-ID"));
    bench.agent.unsubscribe(bench.now, id, &mut bench.out);
}

#[test]
fn an_unsubscribe_ends_with_its_notify() {
    let (mut bench, id, subscribe) = subscribed();
    bench.agent.unsubscribe(bench.now, id, &mut bench.out);
    let last = bench.sent_one();
    assert_eq!(header(&last, "Expires"), "0");
    assert_eq!(header(&last, "CSeq"), "2 SUBSCRIBE");
    bench.answer(&last, 200, &[("Expires", "0")]);
    assert_eq!(bench.events(), []);
    bench.receive(&notify(
        &subscribe,
        "pool",
        2,
        "terminated;reason=timeout",
        "",
    ));
    assert_status(&bench.sent_one(), 200);
    let ended = Event::SubscriptionEnded {
        id,
        reason: Ended::Unsubscribed,
        again_in: None,
    };
    assert_eq!(bench.events()[1..], [ended]);
    assert_eq!(bench.agent.poll_timeout(), None);
    bench.agent.unsubscribe(bench.now, id, &mut bench.out);
    assert_eq!(bench.sent(), Vec::<String>::new());
}

#[test]
fn an_unsubscribe_ends_without_its_notify_too() {
    let (mut bench, id, _) = subscribed();
    bench.agent.unsubscribe(bench.now, id, &mut bench.out);
    let last = bench.sent_one();
    bench.answer(&last, 200, &[]);
    bench.wait(31_999);
    assert_eq!(bench.events(), []);
    bench.wait(1);
    let (reason, again_in) = (Ended::Unanswered, None);
    let ended = Event::SubscriptionEnded {
        id,
        reason,
        again_in,
    };
    assert_eq!(bench.event(), ended);
    assert_eq!(bench.agent.poll_timeout(), None);
}

/// Only the NOTIFY that terminates the dialog makes it `Unsubscribed`.
#[test]
fn an_unsubscribe_that_fails_says_how() {
    let table = [
        (Some(481), Ended::Refused { status: 481 }),
        (Some(503), Ended::Refused { status: 503 }),
        (None, Ended::Unanswered),
    ];
    for (status, reason) in table {
        let (mut bench, id, subscribe) = subscribed();
        bench.agent.unsubscribe(bench.now, id, &mut bench.out);
        let last = bench.sent_one();
        // A NOTIFY that crossed it ends nothing.
        bench.receive(&notify(&subscribe, "pool", 2, ACTIVE, "<late/>"));
        assert!(matches!(bench.event(), Event::Notified(_)));
        match status {
            Some(status) => bench.answer(&last, status, &[]),
            None => bench.wait(32_000),
        }
        let again_in = None;
        let ended = Event::SubscriptionEnded {
            id,
            reason,
            again_in,
        };
        assert_eq!(bench.event(), ended);
        assert_eq!(bench.agent.poll_timeout(), None);
    }
}

#[test]
fn without_a_dialog_there_is_nothing_to_end() {
    let (mut bench, id, subscribe) = subscribing(600);
    bench.answer(&subscribe, 503, &[("Retry-After", "60")]);
    assert!(matches!(bench.event(), Event::SubscribeFailed { .. }));
    bench.agent.unsubscribe(bench.now, id, &mut bench.out);
    let (reason, again_in) = (Ended::Unbegun, None);
    let ended = Event::SubscriptionEnded {
        id,
        reason,
        again_in,
    };
    assert_eq!(bench.event(), ended);
    assert_eq!(bench.sent(), Vec::<String>::new());
}

#[test]
fn an_unsubscribe_meanwhile_follows_the_answer() {
    let (mut bench, id, subscribe) = subscribing(600);
    bench.agent.unsubscribe(bench.now, id, &mut bench.out);
    assert_eq!(bench.sent(), Vec::<String>::new());
    bench.answer(&subscribe, 200, &[]);
    let last = bench.sent_one();
    assert_eq!(header(&last, "Expires"), "0");
    assert_eq!(header(&last, "To"), "<sip:bo@example.com>;tag=pool");
}

#[test]
fn a_fetch_is_one_subscribe_and_one_notify() {
    let (mut bench, id, fetch) = subscribing(0);
    assert_eq!(header(&fetch, "Expires"), "0");
    bench.answer(&fetch, 200, &[("Expires", "0")]);
    bench.receive(&notify(
        &fetch,
        "pool",
        1,
        "terminated;reason=timeout",
        "<now/>",
    ));
    bench.sent();
    let events = bench.events();
    assert!(matches!(&events[0], Event::Notified(told) if told.body == "<now/>"));
    let reason = Ended::Terminated {
        reason: "timeout".to_owned(),
    };
    let again_in = None;
    assert_eq!(
        events[1..],
        [Event::SubscriptionEnded {
            id,
            reason,
            again_in
        }]
    );
    assert_eq!(bench.agent.poll_timeout(), None);
}

#[test]
fn a_fetch_that_is_refused_is_told() {
    let (mut bench, id, fetch) = subscribing(0);
    bench.answer(&fetch, 404, &[]);
    let failed = Event::SubscribeFailed {
        id,
        status: 404,
        again_in: None,
    };
    assert_eq!(bench.event(), failed);
    assert_eq!(bench.agent.poll_timeout(), None);
}

#[test]
fn a_first_subscribe_refused_is_tried_as_the_refusal_says() {
    let (mut bench, id, first) = subscribing(600);
    bench.answer(&first, 423, &[("Min-Expires", "900")]);
    let second = bench.sent_one();
    assert_eq!(header(&second, "Expires"), "900");
    assert_eq!(header(&second, "Call-ID"), header(&first, "Call-ID"));
    assert_eq!(header(&second, "CSeq"), "2 SUBSCRIBE");
    bench.answer(&second, 503, &[("Retry-After", "3")]);
    bench.events();
    assert_eq!(bench.skip(), 3000);
    let third = bench.sent_one();
    assert_ne!(header(&third, "Call-ID"), header(&first, "Call-ID"));
    bench.answer(&third, 403, &[]);
    let failed = Event::SubscribeFailed {
        id,
        status: 403,
        again_in: None,
    };
    assert_eq!(bench.event(), failed);
    assert_eq!(bench.agent.poll_timeout(), None);
}

#[test]
fn a_shorter_time_told_by_a_notify_counts_and_rounding_does_not() {
    let (mut bench, _, subscribe) = subscribed();
    bench.wait(300_000);
    bench.receive(&notify(&subscribe, "pool", 2, "active;expires=299", ""));
    bench.receive(&notify(&subscribe, "pool", 3, "active;expires=300", ""));
    assert_eq!(bench.skip(), 240_000);
    let refresh = bench.sent().pop().unwrap();
    bench.answer(&refresh, 200, &[("Expires", "600")]);
    bench.receive(&notify(&subscribe, "pool", 4, "active;expires=100", ""));
    assert_eq!(bench.skip(), 90_000);
}

#[test]
fn a_phone_may_be_silent_to_a_notify_or_refuse_it() {
    let (mut bench, _, subscribe) = subscribed();
    bench.agent.behave(vec![Quirk::SilentToNotify]);
    let text = notify(&subscribe, "pool", 2, ACTIVE, "<two/>");
    bench.receive(&text);
    bench.receive(&text);
    assert_eq!(bench.sent(), Vec::<String>::new());
    assert!(matches!(bench.event(), Event::Notified(_)));
    bench.agent.behave(vec![Quirk::NotifyStatus(480)]);
    bench.receive(&notify(&subscribe, "pool", 3, ACTIVE, "<three/>"));
    assert_status(&bench.sent_one(), 480);
    assert!(matches!(bench.event(), Event::Notified(_)));
}

#[test]
fn a_lost_flow_refreshes_the_dialog() {
    let (mut bench, _, first) = subscribed();
    bench.agent.handle_flow_lost(bench.now, &mut bench.out);
    let refresh = bench.sent_one();
    assert_eq!(header(&refresh, "Call-ID"), header(&first, "Call-ID"));
    assert_eq!(header(&refresh, "CSeq"), "2 SUBSCRIBE");
}

#[test]
fn a_lost_flow_repeats_the_end_that_was_asked_for() {
    for is_answered in [false, true] {
        let (mut bench, id, first) = subscribed();
        bench.agent.unsubscribe(bench.now, id, &mut bench.out);
        let last = bench.sent_one();
        if is_answered {
            // The NOTIFY that tells the end is what the flow took along.
            bench.answer(&last, 200, &[]);
        }
        bench.agent.handle_flow_lost(bench.now, &mut bench.out);
        assert_eq!(bench.events(), []);
        let again = bench.sent_one();
        assert_eq!(header(&again, "Call-ID"), header(&first, "Call-ID"));
        assert_eq!(header(&again, "CSeq"), "3 SUBSCRIBE");
        assert_eq!(header(&again, "Expires"), "0");
        bench.answer(&again, 481, &[]);
        let reason = Ended::Refused { status: 481 };
        let again_in = None;
        assert_eq!(
            bench.event(),
            Event::SubscriptionEnded {
                id,
                reason,
                again_in
            }
        );
    }
}

#[test]
fn the_contact_of_a_notify_is_the_next_target() {
    let (mut bench, id, subscribe) = subscribed();
    let text = notify(&subscribe, "pool", 2, ACTIVE, "");
    bench.receive(&text.replace("sip:owner@", "sip:heir@"));
    bench.sent();
    bench.agent.unsubscribe(bench.now, id, &mut bench.out);
    let last = bench.sent_one();
    assert!(last.starts_with("SUBSCRIBE sip:heir@pool.example.com "));
}

#[test]
fn a_notify_that_does_not_end_it_does_not_keep_an_unsubscribed_one() {
    let (mut bench, id, subscribe) = subscribed();
    bench.agent.unsubscribe(bench.now, id, &mut bench.out);
    let last = bench.sent_one();
    bench.answer(&last, 200, &[]);
    bench.receive(&notify(&subscribe, "pool", 2, ACTIVE, ""));
    bench.sent();
    bench.events();
    bench.wait(32_000);
    assert!(matches!(
        bench.event(),
        Event::SubscriptionEnded { again_in: None, .. }
    ));
    assert_eq!(bench.sent(), Vec::<String>::new());
}
