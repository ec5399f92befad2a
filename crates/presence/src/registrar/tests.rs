//! Goal: the decision obeys RFC 3261 §10.3. Method: one table for what is decided, one for what is
//! read.

use std::net::SocketAddr;

use presently_pool::MemberId;
use presently_sip::{Edits, Flow, Framing, Index};

use super::*;

const AB: &[&str] = &["a", "b"];
const NOW: WallTime = WallTime(1_000_000_000);

fn flow() -> FlowToken {
    let remote: SocketAddr = ([192, 0, 2, 1], 5060).into();
    FlowToken {
        balancer: MemberId(1),
        flow: Flow::udp(0, remote),
    }
}

/// A contact; `instance` with reg-id 1 when it is not empty.
fn contact(uri: &str, instance: &str, expires_secs: Option<u32>) -> Contact {
    let has_instance = !instance.is_empty();
    Contact {
        uri: uri.into(),
        instance: has_instance.then(|| instance.into()),
        reg_id: has_instance.then_some(1),
        expires_secs,
        q: 1_000,
    }
}

fn request(contacts: Contacts, call_id: &str, cseq: u32) -> Register {
    Register {
        contacts,
        call_id: call_id.into(),
        cseq,
        path: Vec::new(),
        flow: flow(),
        is_proxied: false,
        user_agent: "".into(),
    }
}

/// A binding of `sip:NAME@h`, made by Call-ID `c` and CSeq 5.
fn held(name: &str) -> Binding {
    let contacts = vec![contact(&format!("sip:{name}@h"), "", Some(60))];
    let request = request(Contacts::Some(contacts), "c", 5);
    let expires = Expires::default();
    let made = decide(&request, &[], &Repeat::default(), NOW, &expires, 16);
    made.expect("a first binding").after.remove(0)
}

/// The outcome in words: what is put for how long, what goes, how many there are then.
fn told(outcome: Result<Registered, RegisterError>) -> String {
    let Registered {
        put,
        removed,
        after,
    } = match outcome {
        Ok(registered) => registered,
        Err(error) => return error.status().to_string(),
    };
    let mut words: Vec<String> = Vec::new();
    for binding in put {
        let secs = binding.expires_at.since(NOW).as_secs();
        words.push(format!("put {} {secs}", binding.contact));
    }
    words.extend(removed.iter().map(|key| format!("remove {}", key.0)));
    words.push(format!("{} then", after.len()));
    words.join(", ")
}

fn some(contacts: &[(&str, Option<u32>)]) -> Contacts {
    let contacts = contacts.iter();
    let contacts = contacts.map(|(uri, secs)| contact(&format!("sip:{uri}@h"), "", *secs));
    Contacts::Some(contacts.collect())
}

/// What, the bindings held, contacts, Call-ID, CSeq, outcome.
type Row = (
    &'static str,
    &'static [&'static str],
    Contacts,
    &'static str,
    u32,
    &'static str,
);

#[test]
fn every_row_of_the_registrars_table() {
    #[rustfmt::skip]
    let table: [Row; 22] = [
        // what, held, contacts, Call-ID, CSeq, outcome
        ("a query of nothing",            &[],     Contacts::Query,                            "c", 1, "0 then"),
        ("a query",                       AB,      Contacts::Query,                            "c", 1, "2 then"),
        ("a first binding",               &[],     some(&[("a", Some(60))]),                   "c", 1, "put sip:a@h 60, 1 then"),
        ("a second",                      &["a"],  some(&[("b", Some(60))]),                   "c", 1, "put sip:b@h 60, 2 then"),
        ("two at once",                   &[],     some(&[("a", Some(60)), ("b", Some(90))]),  "c", 1, "put sip:a@h 60, put sip:b@h 90, 2 then"),
        ("the default time",              &[],     some(&[("a", None)]),                       "c", 1, "put sip:a@h 3600, 1 then"),
        ("longer than granted",           &[],     some(&[("a", Some(9_999))]),                "c", 1, "put sip:a@h 3600, 1 then"),
        ("too brief",                     &[],     some(&[("a", Some(29))]),                   "c", 1, "423"),
        ("a refresh",                     &["a"],  some(&[("a", Some(90))]),                   "c", 6, "put sip:a@h 90, 1 then"),
        ("an old refresh",                &["a"],  some(&[("a", Some(90))]),                   "c", 4, "500"),
        ("the same number again",         &["a"],  some(&[("a", Some(90))]),                   "c", 5, "500"),
        ("another Call-ID may be lower",  &["a"],  some(&[("a", Some(90))]),                   "d", 1, "put sip:a@h 90, 1 then"),
        ("Call-IDs differ in case",       &["a"],  some(&[("a", Some(90))]),                   "C", 1, "put sip:a@h 90, 1 then"),
        ("a new one beside an old number",&["a"],  some(&[("b", Some(90))]),                   "c", 1, "put sip:b@h 90, 2 then"),
        ("removal",                       AB,      some(&[("a", Some(0))]),                    "c", 6, "remove sip:a@h, 1 then"),
        ("removal of what is not there",  &["a"],  some(&[("x", Some(0))]),                    "c", 6, "1 then"),
        ("an old removal",                &["a"],  some(&[("a", Some(0))]),                    "c", 4, "500"),
        ("one of two is too brief",       &["a"],  some(&[("b", Some(60)), ("x", Some(1))]),   "c", 6, "423"),
        ("one of two is old",             &["a"],  some(&[("b", Some(60)), ("a", Some(60))]),  "c", 5, "500"),
        ("all",                           AB,      Contacts::All,                              "c", 6, "remove sip:a@h, remove sip:b@h, 0 then"),
        ("all, too old for one",          AB,      Contacts::All,                              "c", 5, "500"),
        ("all of nothing",                &[],     Contacts::All,                              "c", 5, "0 then"),
    ];
    for (what, present, contacts, call_id, cseq, expected) in table {
        let present: Vec<Binding> = present.iter().map(|name| held(name)).collect();
        let request = request(contacts, call_id, cseq);
        let expires = Expires::default();
        let outcome = decide(&request, &present, &Repeat::default(), NOW, &expires, 16);
        assert_eq!(told(outcome), expected, "{what}");
    }
}

#[test]
fn an_instance_renews_its_binding_under_another_contact() {
    let first = contact("sip:a@old", "urn:uuid:1", Some(60));
    let first = request(Contacts::Some(vec![first]), "c", 1);
    let expires = Expires::default();
    let made = decide(&first, &[], &Repeat::default(), NOW, &expires, 16).unwrap();
    let second = contact("sip:a@new", "urn:uuid:1", Some(60));
    let second = request(Contacts::Some(vec![second]), "d", 1);
    let made = decide(&second, &made.after, &Repeat::default(), NOW, &expires, 16).unwrap();
    assert_eq!(made.after.len(), 1);
    assert_eq!(&*made.after[0].contact, "sip:a@new");
}

/// Linphone over TCP registers the port it listens on, learns from the answer the one it is seen
/// with, registers that, and logs off that one only.
#[test]
fn a_device_that_learns_its_address_leaves_no_binding_behind() {
    let at = |uri: &str, instance: &str, secs| Contact {
        reg_id: None,
        ..contact(uri, instance, Some(secs))
    };
    let expires = Expires::default();
    let first = request(
        Contacts::Some(vec![at("sip:a@h:1", "urn:uuid:1", 60)]),
        "c",
        20,
    );
    let held = decide(&first, &[], &Repeat::default(), NOW, &expires, 16).unwrap();
    #[rustfmt::skip]
    let table = [
        ("another address",      vec![at("sip:a@h:2", "urn:uuid:1", 60)], "c", 21, "put sip:a@h:2 60, remove sip:a@h:1, 1 then"),
        ("a late one",           vec![at("sip:a@h:2", "urn:uuid:1", 60)], "c", 19, "500"),
        ("another start of it",  vec![at("sip:a@h:2", "urn:uuid:1", 60)], "d", 21, "put sip:a@h:2 60, 2 then"),
        ("another device",       vec![at("sip:a@h:2", "urn:uuid:2", 60)], "c", 21, "put sip:a@h:2 60, 2 then"),
        ("a device without id",  vec![at("sip:a@h:2", "", 60)],           "c", 21, "put sip:a@h:2 60, 2 then"),
        ("a log-off elsewhere",  vec![at("sip:a@h:2", "urn:uuid:1", 0)],  "c", 21, "1 then"),
        ("two addresses at once", vec![at("sip:a@h:1", "urn:uuid:1", 60), at("sip:a@h:2", "urn:uuid:1", 60)], "c", 21,
         "put sip:a@h:1 60, put sip:a@h:2 60, 2 then"),
    ];
    for (what, contacts, call_id, cseq, expected) in table {
        let request = request(Contacts::Some(contacts), call_id, cseq);
        let outcome = decide(&request, &held.after, &Repeat::default(), NOW, &expires, 16);
        assert_eq!(told(outcome), expected, "{what}");
    }
}

#[test]
fn one_more_than_the_bound_is_refused_and_a_refresh_at_it_is_not() {
    let present: Vec<Binding> = ["a", "b"].iter().map(|name| held(name)).collect();
    for (name, expected) in [("b", "put sip:b@h 60, 2 then"), ("x", "403")] {
        let request = request(some(&[(name, Some(60))]), "c", 6);
        let expires = Expires::default();
        let outcome = decide(&request, &present, &Repeat::default(), NOW, &expires, 2);
        assert_eq!(told(outcome), expected, "{name}");
    }
}

/// What is read from the Contact and Expires lines: the seconds of each contact, or the refusal.
#[test]
fn contacts_are_read_as_written() {
    #[rustfmt::skip]
    let table = [
        ("",                                              "query"),
        ("Expires: 0\r\nContact: *\r\n",                  "all"),
        ("Contact: *\r\n",                                "400"),
        ("Expires: 1\r\nContact: *\r\n",                  "400"),
        ("Expires: 0\r\nContact: *, <sip:a@h>\r\n",       "400"),
        ("Contact: <sip:a@h>\r\n",                        "None"),
        ("Contact: sip:a@h;expires=7\r\n",                "Some(7)"),
        ("Expires: 9\r\nContact: <sip:a@h>;expires=7\r\n", "Some(7)"),
        ("Expires: 9\r\nContact: <sip:a@h>, <sip:b@h>;expires=8\r\n", "Some(9) Some(8)"),
        ("Contact: <sip:a@h>;expires=junk\r\n",           "Some(3600)"),
        ("Contact: <sip:a@h>;expires=99999999999\r\n",    "Some(4294967295)"),
        ("Contact: <:>\r\n",                              "400"),
        ("Contact:\r\n",                                  "400"),
    ];
    for (lines, expected) in table {
        let text = format!(
            "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n{lines}\r\n"
        );
        let mut index = Index::default();
        let message = index.read(text.as_bytes(), Framing::Datagram).unwrap();
        let read = match Register::read(&message, &Edits::default(), flow())
            .map(|register| register.contacts)
        {
            Ok(Contacts::Query) => "query".to_owned(),
            Ok(Contacts::All) => "all".to_owned(),
            Ok(Contacts::Some(contacts)) => {
                let secs = contacts.iter().map(|one| format!("{:?}", one.expires_secs));
                secs.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.status().to_string(),
        };
        assert_eq!(read, expected, "{lines:?}");
    }
}

#[test]
fn a_preference_is_thousandths_and_junk_is_the_highest() {
    for (text, expected) in [
        ("0", 0),
        ("0.5", 500),
        ("0.25", 250),
        ("0.1239", 123),
        ("1", 1_000),
        ("1.0", 1_000),
        ("7", 1_000),
        ("x", 1_000),
        ("", 0),
    ] {
        assert_eq!(thousandths(text), expected, "{text:?}");
    }
}
