//! PUBLISH: what it stores, refuses and lets watchers know (RFC 3903 §6).

use std::collections::BTreeSet;

use presently_sip::Aor;
use presently_store::{Operation, Outcome};

use crate::play::{Phone, Play, in_each, pidf, pidf_of, secs};
use crate::text::Text;

/// The body of the last NOTIFY that `phone` got.
fn told(play: &Play, phone: &Phone) -> String {
    let last = play.notifies(phone).pop().expect("a NOTIFY");
    last.body().to_owned()
}

fn bob_watches_alice(play: &mut Play) -> (Phone, Phone) {
    let mut bob = play.phone("bob");
    play.watch(&mut bob, "alice");
    (play.phone("alice"), bob)
}

fn if_match(tag: &str) -> String {
    format!("SIP-If-Match: {tag}")
}

/// Sends a PUBLISH and lets its NOTIFYs arrive.
fn publish(play: &mut Play, phone: &mut Phone, lines: &[&str], body: &str) -> Text {
    let text = phone.publish(lines, body);
    let answer = play.ask(phone, &text);
    play.settle();
    answer
}

// H1: RFC 3903 §6 step 1. A4: RFC 3261 §8.2.2.1. D4: RFC 3261 §16.5
#[test]
fn a_publication_about_somebody_elsewhere_is_refused() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        for (uri, status) in [
            ("sip:alice@elsewhere.example.net", 404),
            ("sip:example.com", 404),
            ("tel:+15551234", 416),
        ] {
            let lines = ["Event: presence", "Content-Type: application/pidf+xml"];
            let text = alice.request("PUBLISH", uri, &lines, &pidf("alice", "x"));
            assert_eq!(play.status(&alice, &text), status, "{uri}");
        }
    });
}

// H2: RFC 3903 §6 step 2
#[test]
fn a_publication_of_no_known_event_is_489() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        for event in ["Event: -", "Event: dialog", "Event: presence.winfo"] {
            let answer = publish(play, &mut alice, &[event], &pidf("alice", "x"));
            assert_eq!(answer.status(), Some(489), "{event}");
            assert_eq!(answer.header("Allow-Events"), Some("presence"));
        }
    });
}

// H3, H12: RFC 3903 §6 steps 3 and 6
#[test]
fn every_2xx_has_a_tag_that_never_was_before() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let mut seen = BTreeSet::new();
        let mut tag = play.publish(&mut alice, "first");
        for round in 0..4 {
            assert!(seen.insert(tag.clone()), "{tag} again");
            let condition = if_match(&tag);
            let body = match round % 2 {
                0 => String::new(),
                _ => pidf("alice", &format!("round {round}")),
            };
            let answer = publish(play, &mut alice, &[&condition], &body);
            assert_eq!(answer.status(), Some(200));
            assert!(answer.number("Expires").is_some());
            tag = answer.header("SIP-ETag").expect("a tag").to_owned();
        }
        let other = play.publish(&mut alice, "a second document");
        assert!(seen.insert(other));
    });
}

// H4, H5: RFC 3903 §6 step 3
#[test]
fn a_condition_that_cannot_hold_changes_nothing() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        let tag = play.publish(&mut alice, "stays");
        play.settle();
        let told_before = play.notifies(&bob).len();
        let (two, lines) = (
            format!("{tag}, {tag}"),
            format!("{tag}\r\nSIP-If-Match: {tag}"),
        );
        for (condition, status) in [
            ("0000", 412),
            (tag.to_uppercase().as_str(), 412),
            (&*two, 400),
            (&*lines, 400),
            ("*", 412),
        ] {
            if condition == tag {
                continue;
            }
            let condition = if_match(condition);
            let answer = publish(play, &mut alice, &[&condition], &pidf("alice", "changed"));
            assert_eq!(answer.status(), Some(status), "{condition}");
        }
        assert_eq!(play.notifies(&bob).len(), told_before);
        assert!(told(play, &bob).contains("stays"));
        let condition = if_match(&tag);
        let answer = publish(play, &mut alice, &[&condition], "");
        assert_eq!(answer.status(), Some(200), "the tag still holds");
    });
}

// H6: RFC 3903 §6 step 4
#[test]
fn the_time_granted_is_what_was_asked_within_bounds() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        for (asked, status, granted) in [
            ("Expires: -", 200, Some(3600)),
            ("Expires: 600", 200, Some(600)),
            ("Expires: 7200", 200, Some(3600)),
            ("Expires: 30", 200, Some(30)),
            ("Expires: 29", 423, None),
        ] {
            let answer = publish(play, &mut alice, &[asked], &pidf("alice", "x"));
            assert_eq!(answer.status(), Some(status), "{asked}");
            assert_eq!(answer.number("Expires"), granted, "{asked}");
            let floor = (status == 423).then_some("30");
            assert_eq!(answer.header("Min-Expires"), floor, "{asked}");
        }
    });
}

// H7: RFC 3903 §6 step 5. A7: RFC 3261 §8.2.3
#[test]
fn a_body_of_no_known_type_or_encoding_is_415() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        for (line, header) in [
            ("Content-Type: text/plain", "Accept"),
            ("Content-Type: -", "Accept"),
            ("Content-Encoding: gzip", "Accept-Encoding"),
            ("e: deflate", "Accept-Encoding"),
        ] {
            let answer = publish(play, &mut alice, &[line], &pidf("alice", "x"));
            assert_eq!(answer.status(), Some(415), "{line}");
            assert!(answer.header(header).is_some(), "{line}: {answer:?}");
        }
        for line in ["Content-Encoding: identity", "Content-Language: fi"] {
            let answer = publish(play, &mut alice, &[line], &pidf("alice", "x"));
            assert_eq!(answer.status(), Some(200), "{line}");
        }
    });
}

// H8: RFC 3903 §6 step 5
#[test]
fn a_first_publication_without_a_body_is_400() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let answer = publish(play, &mut alice, &[], "");
        assert_eq!(answer.status(), Some(400));
    });
}

// H9: RFC 3903 §6 step 5
#[test]
fn a_refresh_changes_no_state_and_tells_nobody() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        let tag = play.publish(&mut alice, "kept");
        play.settle();
        let count = play.notifies(&bob).len();
        let condition = if_match(&tag);
        let answer = publish(play, &mut alice, &[&condition, "Expires: 60"], "");
        assert_eq!(answer.status(), Some(200));
        play.run(secs(15));
        assert_eq!(play.notifies(&bob).len(), count);
        let condition = if_match(answer.header("SIP-ETag").unwrap());
        let body = pidf("alice", "kept");
        let answer = publish(play, &mut alice, &[&condition], &body);
        assert_eq!(
            answer.status(),
            Some(200),
            "a refresh may carry the same body"
        );
        play.run(secs(15));
        assert_eq!(play.notifies(&bob).len(), count);
    });
}

// H10: RFC 3903 §6 step 5
#[test]
fn a_body_with_a_tag_takes_the_place_of_the_one_before() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        let tag = play.publish(&mut alice, "before");
        let condition = if_match(&tag);
        let body = pidf_of("alice", "closed", "after");
        let answer = publish(play, &mut alice, &[&condition], &body);
        assert_eq!(answer.status(), Some(200));
        let told = told(play, &bob);
        assert!(told.contains("after") && !told.contains("before"), "{told}");
        let again = publish(play, &mut alice, &[&condition], &body);
        assert_eq!(again.status(), Some(412), "the old tag is gone");
    });
}

// H11: RFC 3903 §6 step 5
#[test]
fn expires_0_removes_at_once_and_stores_nothing_without_a_tag() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        let answer = publish(play, &mut alice, &["Expires: 0"], &pidf("alice", "never"));
        assert_eq!(answer.status(), Some(200));
        assert_eq!(answer.number("Expires"), Some(0));
        assert_eq!(play.notifies(&bob).len(), 1, "nothing was stored");
        let tag = play.publish(&mut alice, "brief");
        play.settle();
        let condition = if_match(&tag);
        let answer = publish(play, &mut alice, &[&condition, "Expires: 0"], "");
        assert_eq!(
            (answer.status(), answer.number("Expires")),
            (Some(200), Some(0))
        );
        assert!(told(play, &bob).contains("closed"));
        assert!(!told(play, &bob).contains("brief"));
        let gone = publish(play, &mut alice, &[&condition], "");
        assert_eq!(gone.status(), Some(412));
    });
}

// H13: RFC 3903 §6
#[test]
fn publications_are_done_in_the_order_they_came() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        let tag = play.publish(&mut alice, "start");
        let condition = if_match(&tag);
        let first = alice.publish(&[&condition], &pidf("alice", "first"));
        let second = alice.publish(&[&condition], &pidf("alice", "second"));
        play.send(&alice, &first);
        play.send(&alice, &second);
        play.run(secs(1));
        let statuses: Vec<_> = play
            .answers(&alice)
            .iter()
            .filter_map(Text::status)
            .collect();
        assert_eq!(statuses, [200, 200, 412], "the first takes the tag");
        assert!(told(play, &bob).contains("first"));
    });
}

/// Sends `text` at the times of Timer E up to `last` milliseconds, and waits out a second more.
fn repeat(play: &mut Play, phone: &Phone, text: &str, last: u64) {
    let start = play.world.now().moment;
    for at in [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500] {
        if at > last {
            break;
        }
        let now = play.world.now().moment.since(start);
        play.run(std::time::Duration::from_millis(at).saturating_sub(now));
        play.send(phone, text);
    }
    play.run(secs(1));
}

// H13: RFC 3903 §6. C9: RFC 3261 §10.3. B2: RFC 4320 §4.1
#[test]
fn while_the_store_is_away_a_request_waits_and_is_done_once_when_it_returns() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        let tag = play.publish(&mut alice, "before");
        play.settle();
        let known = play.answers(&alice).len();
        play.world.set_store_away(true);
        let condition = if_match(&tag);
        let text = alice.publish(&[&condition], &pidf("alice", "during"));
        repeat(play, &alice, &text, 3_500);
        let statuses = |play: &Play, alice: &Phone, known: usize| -> Vec<u16> {
            let answers = play.answers(alice).into_iter().skip(known);
            answers.filter_map(|answer| answer.status()).collect()
        };
        assert_eq!(statuses(play, &alice, known), [100], "held, not refused");
        play.world.set_store_away(false);
        play.run(secs(1));
        assert_eq!(
            statuses(play, &alice, known),
            [100, 200],
            "and done when it can be"
        );
        assert!(told(play, &bob).contains("during"));

        let tag = play.answers(&alice).pop().unwrap();
        let condition = if_match(tag.header("SIP-ETag").unwrap());
        let known = play.answers(&alice).len();
        play.world.set_store_away(true);
        let text = alice.publish(&[&condition], &pidf("alice", "late"));
        repeat(play, &alice, &text, 23_500);
        let heard = statuses(play, &alice, known);
        // A server that cannot reach the store may have been taken over: it says nothing, and what
        // it held too long is new again when it is repeated.
        assert!(heard.iter().all(|status| *status == 100), "{heard:?}");
        assert!(told(play, &bob).contains("during"), "nothing was changed");
        play.world.set_store_away(false);
        play.run(secs(1));
        assert_eq!(statuses(play, &alice, known).pop(), Some(200));
        assert!(told(play, &bob).contains("late"), "and done when it can be");
        let tag = play.answers(&alice).pop().unwrap();
        let condition = if_match(tag.header("SIP-ETag").unwrap());
        let answer = publish(play, &mut alice, &[&condition], "");
        assert_eq!(answer.status(), Some(200), "it was done once");
    });
}

// H14: RFC 3903 §6
#[test]
fn a_publish_makes_no_dialog() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let contact = alice.contact();
        let lines = ["Record-Route: <sip:192.0.2.77;lr>", contact.as_str()];
        let answer = publish(play, &mut alice, &lines, &pidf("alice", "x"));
        assert_eq!(answer.status(), Some(200));
        assert_eq!(answer.header("Record-Route"), None);
        assert_eq!(answer.header("Contact"), None);
    });
}

// H15: RFC 3903 §7. A27: RFC 3261 §11.2. G25: RFC 6665 §4.4.4
#[test]
fn options_lists_what_the_pool_can_do() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let text = alice.request("OPTIONS", "sip:example.com", &[], "");
        let answer = play.ask(&alice, &text);
        assert_eq!(answer.status(), Some(200));
        let allow = answer.header("Allow").unwrap();
        for method in ["REGISTER", "PUBLISH", "SUBSCRIBE", "OPTIONS", "MESSAGE"] {
            assert!(allow.contains(method), "{method} in {allow}");
        }
        assert!(
            answer
                .header("Accept")
                .unwrap()
                .contains("application/pidf+xml")
        );
        assert!(answer.header("Supported").unwrap().contains("path"));
        assert_eq!(answer.header("Allow-Events"), Some("presence"));
    });
}

// H17: RFC 3903 §3
#[test]
fn two_devices_publications_stand_beside_each_other() {
    in_each(|play| {
        let (mut desk, bob) = bob_watches_alice(play);
        let mut mobile = play.phone("alice");
        play.publish(&mut desk, "at the desk");
        play.publish(&mut mobile, "on the way");
        play.settle();
        let told = told(play, &bob);
        assert!(
            told.contains("at the desk") && told.contains("on the way"),
            "{told}"
        );
    });
}

// H18: RFC 3903 §6
#[test]
fn a_publication_that_is_not_refreshed_ends_and_watchers_are_told() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        let answer = publish(
            play,
            &mut alice,
            &["Expires: 30"],
            &pidf("alice", "soon over"),
        );
        let condition = if_match(answer.header("SIP-ETag").unwrap());
        play.run(secs(28));
        assert!(told(play, &bob).contains("soon over"));
        play.run(secs(4));
        assert!(!told(play, &bob).contains("soon over"));
        assert!(told(play, &bob).contains("closed"));
        let gone = publish(play, &mut alice, &[&condition], "");
        assert_eq!(gone.status(), Some(412));
    });
}

// H19: RFC 3903 §6, RFC 3261 §17.2.2
#[test]
fn a_repeated_publish_makes_one_document_and_gets_the_same_answer() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let text = alice.publish(&[], &pidf("alice", "once"));
        let first = play.ask(&alice, &text);
        let again = play.ask(&alice, &text);
        assert_eq!(first, again, "byte for byte");
        // Another branch: it is the same request all the same, by another way.
        let text = text.replace("branch=z9hG4bK", "branch=z9hG4bKother");
        let third = play.ask(&alice, &text);
        assert_eq!(third.header("SIP-ETag"), first.header("SIP-ETag"));
        let mut bob = play.phone("bob");
        play.watch(&mut bob, "alice");
        assert_eq!(told(play, &bob).matches("once").count(), 1);
    });
}

// H20: RFC 3903 §6; law 1 (the half without a dead server)
#[test]
fn a_tag_of_one_server_holds_at_the_next() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        let tag = play.publish(&mut alice, "from A");
        let client = Aor::parse("sip:alice@example.com").unwrap();
        let Outcome::Client(Some(state)) = play.world.ask(Operation::Show {
            client: client.clone(),
        }) else {
            panic!("alice is known");
        };
        let held = state.assignment.unwrap();
        let servers: Vec<_> = play
            .world
            .servers()
            .map(|server| server.membership())
            .collect();
        let other = servers
            .iter()
            .find(|one| one.member != held.server)
            .unwrap();
        let moved = play.world.ask(Operation::Reassign {
            client,
            from: held.server,
            epoch: held.epoch,
            to: Some(other.member),
        });
        assert!(matches!(moved, Outcome::Assigned(Some(now)) if now.server == other.member));
        let condition = if_match(&tag);
        let answer = publish(play, &mut alice, &[&condition], &pidf("alice", "from B"));
        assert_eq!(answer.status(), Some(200), "{answer:?}");
        let mut bob = play.phone("bob");
        play.watch(&mut bob, "alice");
        assert!(told(play, &bob).contains("from B"));
        assert!(!told(play, &bob).contains("from A"));
    });
}

// H23, I7: RFC 3863 §4.1; hostile documents
#[test]
fn a_hostile_document_is_refused_and_changes_nothing() {
    in_each(|play| {
        let (mut alice, bob) = bob_watches_alice(play);
        let deep = "<a>".repeat(10_000);
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>\
            <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">&b;\
            </presence>";
        let large = pidf("alice", &"x".repeat(64 * 1024));
        for (body, statuses) in [
            ("not xml", &[400][..]),
            ("<presence/>", &[400]),
            (bomb, &[400]),
            (&*deep, &[400, 413]),
            (&*large, &[413]),
            (&*pidf("alice", "\u{0}"), &[400]),
            (&pidf("alice", "x").replace("UTF-8", "UTF-7"), &[400, 415]),
        ] {
            let answer = publish(play, &mut alice, &[], body);
            let status = answer.status().unwrap();
            assert!(statuses.contains(&status), "{status} to {:.60}", body);
        }
        assert_eq!(play.notifies(&bob).len(), 1);
    });
}
