//! The document of a NOTIFY as a phone reads it (RFC 3856 §6, RFC 3863 §4).

use crate::play::{in_each, pidf_of};

// I6: RFC 3856 §6.7
#[test]
fn somebody_never_seen_is_closed_and_always_looks_the_same() {
    in_each(|play| {
        let mut bodies = Vec::new();
        for user in ["bob", "carol"] {
            let mut phone = play.phone(user);
            play.watch(&mut phone, "nobody");
            bodies.push(play.notifies(&phone).remove(0).body().to_owned());
        }
        assert!(bodies[0].contains("<basic>closed</basic>"), "{}", bodies[0]);
        assert_eq!(bodies[0], bodies[1]);
    });
}

// I7: RFC 3863 §4.1. I9: the watcher is nowhere in it
#[test]
fn the_document_is_the_presentitys_and_says_nothing_of_the_watcher() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        play.watch(&mut bob, "alice");
        let mut alice = play.phone("alice");
        play.register(&mut alice);
        play.publish(&mut alice, "x");
        play.settle();
        for notify in play.notifies(&bob) {
            let body = notify.body();
            assert!(body.contains("urn:ietf:params:xml:ns:pidf"), "{body}");
            assert!(body.contains("entity=\"sip:alice@example.com\""), "{body}");
            assert!(!body.contains("bob"), "{body}");
            let length = notify.number("Content-Length").unwrap();
            assert_eq!(usize::try_from(length).unwrap(), body.len());
        }
    });
}

// I12: the open device first, whatever the order of publications
#[test]
fn the_first_tuple_is_the_composed_state_in_any_order_of_publications() {
    in_each(|play| {
        for order in [["closed", "open"], ["open", "closed"]] {
            let user = format!("alice-{}", order[0]);
            for basic in order {
                let mut device = play.phone(&user);
                let text = device.publish(&[], &pidf_of(&user, basic, basic));
                assert_eq!(play.status(&device, &text), 200);
            }
            let mut bob = play.phone("bob");
            play.watch(&mut bob, &user);
            let notify = play.notifies(&bob).remove(0);
            let body = notify.body();
            let (open, closed) = (body.find("<basic>open"), body.find("<basic>closed"));
            assert!(open.is_some() && open < closed, "{body}");
        }
    });
}
