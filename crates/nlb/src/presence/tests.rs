//! What is read of documents, and what is refused.

use super::*;

const HEAD: &str =
    "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:al@example.test\">";

const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";

fn read(tuples: &str) -> Option<Presence> {
    Presence::read(format!("{HEAD}{tuples}</presence>").as_bytes())
}

fn tuple(id: &str, basic: &str, contact: &str) -> String {
    format!(
        "<tuple id=\"{id}\"><status><basic>{basic}</basic></status>\
         <contact priority=\"0.8\">{contact}</contact></tuple>"
    )
}

fn joined(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().concat()
}

#[test]
fn a_tuple_is_read_whole() {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><!-- by hand -->\
        <p:presence xmlns:p=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:al@example.test\">\
        <p:tuple id=\"t1\"><p:status><p:basic> open </p:basic></p:status>\
        <p:contact> sip:al@192.0.2.7:5062 </p:contact>\
        <p:note>at &lt;home&gt;</p:note><p:timestamp>2010-11-13T23:29:00Z</p:timestamp></p:tuple>\
        <p:tuple id=\"t2\"/><p:note>x</p:note></p:presence>";
    let presence = Presence::read(body.as_bytes()).expect("a document");
    let expected = [
        Tuple {
            id: "t1".into(),
            contact: Some("sip:al@192.0.2.7:5062".into()),
            state: State::Open,
            timestamp: Some(WallTime(1_289_690_940_000_000)),
        },
        Tuple {
            id: "t2".into(),
            contact: None,
            state: State::Unknown,
            timestamp: None,
        },
    ];
    assert_eq!(presence.tuples, expected);
    assert_eq!(presence.newest(), Some(WallTime(1_289_690_940_000_000)));
    let marked = format!("\u{feff}{body}");
    assert_eq!(Presence::read(marked.as_bytes()), Some(presence));
}

#[test]
fn a_user_is_open_when_any_tuple_is() {
    let tuple = |basic: &str| tuple("t", basic, "sip:al@example.test");
    let (open, closed, odd) = (tuple("open"), tuple("closed"), tuple("OPEN"));
    let bare = "<tuple id=\"t\"/>".to_owned();
    let foreign = "<tuple id=\"t\"><status><basic xmlns=\"urn:x\">open</basic></status></tuple>";
    let needed = "<tuple id=\"t\"><status><basic>closed</basic>\
        <x xmlns=\"urn:x\" mustUnderstand=\"1\"/></status></tuple>";
    let table = [
        (String::new(), State::Unknown),
        (open.clone(), State::Open),
        (closed.clone(), State::Closed),
        (format!("{open}{closed}"), State::Open),
        (format!("{closed}{open}"), State::Open),
        (format!("{closed}{closed}"), State::Closed),
        (format!("{bare}{closed}"), State::Closed),
        (format!("{bare}{open}"), State::Open),
        (bare, State::Unknown),
        (odd, State::Unknown),
        (foreign.to_owned(), State::Unknown),
        (needed.replace("urn:x", RPID), State::Closed),
        (needed.to_owned(), State::Unknown),
        (tuple("closed<!-- -->"), State::Closed),
        (tuple(""), State::Unknown),
    ];
    for (tuples, expected) in table {
        let presence = read(&tuples).expect("a document");
        assert_eq!(presence.state(), expected, "{tuples}");
    }
}

// S19
#[test]
fn a_device_is_known_by_id_contact_or_host() {
    let presence = read(
        &[
            tuple("desk", "open", "sip:al@192.0.2.7:5062;transport=tcp"),
            tuple("hand", "closed", "sip:al@[2001:db8::7]"),
            tuple("both", "closed", "tel:+15551"),
            tuple("lap-0123abcd", "closed", ""),
            tuple("lap-0123abcd-2", "closed", ""),
            tuple("lap-123-2", "open", ""),
            tuple("more", "open", "tel:+15551"),
            "<tuple id=\"mute\"><contact/></tuple>".to_owned(),
        ]
        .concat(),
    )
    .expect("a document");
    let table = [
        ("desk", Some(State::Open)),
        ("sip:al@192.0.2.7:5062;transport=tcp", Some(State::Open)),
        ("sip:al@192.0.2.7:5062", None), // another transport (RFC 3261 §19.1.4)
        ("192.0.2.7", Some(State::Open)),
        ("hand", Some(State::Closed)),
        ("[2001:DB8:0::7]", Some(State::Closed)),
        ("tel:+15551", Some(State::Open)), // two tuples, one open
        ("mute", Some(State::Unknown)),
        // Servers of the pool tell equal ids of two devices apart (docs/documents.md).
        ("lap", Some(State::Closed)),
        ("lap-1", None),
        ("Desk", None),
        ("192.0.2.8", None),
        ("al", None),
        ("", None),
    ];
    for (device, expected) in table {
        assert_eq!(presence.device_state(device), expected, "{device}");
    }
}

#[test]
fn hostile_bodies_are_refused() {
    let deep = format!("{}{}", "<a>".repeat(9_000), "</a>".repeat(9_000));
    let many = |count: usize| "<tuple id=\"t\"/>".repeat(count);
    let attributes = joined(200, |at| format!(" a{at}=\"\""));
    let spaces = |count| joined(count, |at| format!("<n xmlns:n{at}=\"urn:n\"/>"));
    let table = [
        (many(TUPLES_MAX), true),
        (many(TUPLES_MAX + 1), false),
        (deep.clone(), true),
        (format!("<note>{}</note>", "x".repeat(65 << 10)), false),
        (format!("<note{attributes}/>"), false),
        (spaces(NAMESPACES_MAX - 1), true),
        (spaces(NAMESPACES_MAX), false),
        ("<tuple/>".to_owned(), false),
        ("<tuple id=\"\"/>".to_owned(), false),
        ("<note>".to_owned(), false),
        ("&lol;".to_owned(), false),
        ("\u{1}".to_owned(), false),
    ];
    for (inside, is_read) in table {
        assert_eq!(read(&inside).is_some(), is_read, "{inside:.80}");
    }
    let dtd = format!("<!DOCTYPE presence [<!ENTITY lol \"lol\">]>{HEAD}</presence>");
    let table: [&[u8]; 6] = [
        b"",
        b"\xff\xfe<\0p\0",
        b"open",
        dtd.as_bytes(),
        b"<presence/>",
        b"<presence xmlns=\"urn:ietf:params:xml:ns:xpidf\"/>",
    ];
    for body in table {
        assert_eq!(Presence::read(body), None);
    }
}
