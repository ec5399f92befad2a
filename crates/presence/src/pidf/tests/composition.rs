//! What the document is: registration, publications, order.

use super::*;

/// The first table of `docs/documents.md`.
#[test]
fn registration_and_publications_make_the_document() {
    let table = [
        // registered  published       shown
        (false, None, "closed"),
        (true, None, "open"),
        (false, Some(OPEN), "open"),
        (true, Some(OPEN), "open"),
        (false, Some(CLOSED), "closed"),
        (true, Some(CLOSED), "closed"),
    ];
    for (is_registered, published, expected) in table {
        let devices: Vec<Device> = published
            .map(|status| Device::new(1, document(&tuple("t", status))))
            .into_iter()
            .collect();
        let (body, dropped) = compose_with(&devices, is_registered);
        assert_eq!(shown(&body), expected, "{is_registered} {published:?}");
        assert_eq!((tuples(&body).len(), dropped), (1, 0));
    }
}

#[test]
fn nothing_known_is_one_closed_tuple_about_the_presentity() {
    assert_eq!(
        composed(&[]),
        concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.test\">\n",
            "<tuple id=\"registration\"><status><basic>closed</basic></status>",
            "<contact>sip:alice@example.test</contact></tuple>\n",
            "</presence>\n",
        )
    );
}

/// Lessons 62: what a document names is the presentity, in a form that can stand in XML.
#[test]
fn an_address_with_markup_in_it_is_escaped() {
    let aor = Aor::parse("sip:a%26b%22%3cc@example.test").unwrap();
    let (body, _) = compose(&aor, &[], true);
    let text = std::str::from_utf8(&body).unwrap();
    let source = read(&body).unwrap();
    let entity = source.root().attribute("entity").unwrap();
    assert_eq!(Aor::parse(entity).unwrap(), aor, "{text}");
}

#[test]
fn a_document_without_tuples_gets_the_one_of_the_registration() {
    let person = "<dm:person id=\"p\"><rpid:activities/></dm:person>";
    for (is_registered, expected) in [(false, "closed"), (true, "open")] {
        let device = Device::new(1, document(person));
        let (body, _) = compose_with(&[device], is_registered);
        assert_eq!(tuples(&body), [("registration".into(), expected.into())]);
        assert!(body.contains(person), "{body}");
    }
}

#[test]
fn one_closed_device_never_masks_another_open_one() {
    let table = [
        // older   newer   shown
        (OPEN, OPEN, "open"),
        (OPEN, CLOSED, "open"),
        (CLOSED, OPEN, "open"),
        (CLOSED, CLOSED, "closed"),
        (OPEN, "<status/>", "open"),
        ("", OPEN, "open"),
    ];
    for (older, newer, expected) in table {
        let body = composed(&[
            Device::new(1, document(&tuple("a", older))),
            Device::new(2, document(&tuple("b", newer))),
        ]);
        assert_eq!(shown(&body), expected, "{older} {newer}");
        assert_eq!(tuples(&body).len(), 2, "both are told");
    }
}

#[test]
fn open_tuples_come_first_then_the_newest() {
    let one = tuple("a", CLOSED) + &tuple("b", OPEN) + &tuple("c", OPEN);
    let two = tuple("d", CLOSED) + &tuple("e", "") + &tuple("f", OPEN);
    let body = composed(&[
        Device::new(1, document(&one)),
        Device::new(2, document(&two)),
    ]);
    assert_eq!(ids(&body), ["f", "b", "c", "d", "e", "a"]);
}

#[test]
fn at_equal_times_the_tag_decides() {
    let mut first = Device::new(1, document(&tuple("a", OPEN)));
    let mut second = Device::new(1, document(&tuple("b", OPEN)));
    (first.tag, second.tag) = ("x1", "x2");
    let body = composed(&[first, second]);
    assert_eq!(ids(&body), ["a", "b"]);
}

/// Real documents, and the words of a phone that lost its tag and published again.
#[test]
fn a_publication_that_obeys_is_the_document() {
    let real = [
        include_str!("../../../../../tests/data/pidf/baresip-closed.xml"),
        include_str!("../../../../../tests/data/pidf/baresip-open.xml"),
        include_str!("../../../../../tests/data/pidf/linphone-open.xml"),
        include_str!("../../../../../tests/data/pidf/pjsua2-busy.xml"),
        include_str!("../../../../../tests/data/pidf/pjsua2-closed.xml"),
        include_str!("../../../../../tests/data/pidf/purple-available.xml"),
        include_str!("../../../../../tests/data/pidf/purple-closed.xml"),
        include_str!("../../../../../tests/data/pidf/sipjs-open.xml"),
        include_str!("../../../../../tests/data/pidf/sofia-open.xml"),
        include_str!("../../../../../tests/data/pidf/twinkle-closed.xml"),
        include_str!("../../../../../tests/data/pidf/twinkle-open.xml"),
    ];
    for body in real {
        assert_eq!(composed(&[Device::new(1, body)]), body);
        let copies = [Device::new(1, body), Device::new(2, body)];
        assert_eq!(compose_with(&copies, true), (body.to_owned(), 0));
    }
}

/// The second table of `docs/documents.md`.
#[test]
fn a_publication_that_breaks_a_rule_is_written_anew() {
    let good = document(&(tuple("a", OPEN) + &tuple("b", CLOSED)));
    let closed_first = document(&(tuple("a", CLOSED) + &tuple("b", OPEN)));
    let equal_ids = document(&(tuple("a", OPEN) + &tuple("a", CLOSED)));
    let person = "<dm:person id=\"a\"/>";
    let padding = format!("<!--{}-->", " ".repeat(COMPOSED_BYTES_MAX));
    let prefixed = good
        .replace("xmlns=", "xmlns:p=")
        .replace("<presence", "<p:presence")
        .replace("</presence", "</p:presence")
        .replace("<tuple", "<p:tuple")
        .replace("</tuple", "</p:tuple")
        .replace("<status><basic>", "<p:status><p:basic>")
        .replace("</basic></status>", "</p:basic></p:status>");
    let table = [
        // why                          the document
        ("byte order mark", format!("\u{feff}{good}")),
        ("PIDF has a prefix", prefixed),
        ("another's name", good.replace("alice", "mallory")),
        ("no SIP address", good.replace("sip:alice", "pres:alice")),
        ("no entity", good.replace("entity=", "entities=")),
        ("closed before open", closed_first),
        ("equal ids", equal_ids),
        (
            "a person with a tuple's id",
            document(&(tuple("a", OPEN) + person)),
        ),
        (
            "too large for a datagram",
            document(&(padding + &tuple("a", OPEN))),
        ),
    ];
    assert_eq!(composed(&[Device::new(1, good.clone())]), good);
    for (why, body) in table {
        let written = composed(&[Device::new(1, body.clone())]);
        assert_ne!(written, body, "{why}");
        let source = read(written.as_bytes()).unwrap();
        assert!(source.obeys(&alice()), "{why}: {written}");
        assert_eq!(shown(&written), "open", "{why}: {written}");
        // It obeys now, so it is left alone from here on.
        assert_eq!(composed(&[Device::new(1, written.clone())]), written);
    }
}

#[test]
fn entities_are_compared_as_addresses_of_record() {
    for entity in [
        "sip:alice@EXAMPLE.test",
        "sips:alice@example.test",
        "sip:%61lice@example.test",
    ] {
        let body = document(&tuple("a", OPEN)).replace("sip:alice@example.test", entity);
        assert_eq!(composed(&[Device::new(1, body.clone())]), body);
    }
}

/// RFC 3863 §4.2. Dropping the element would change what is said; taking it along would make
/// watchers that do not know it ignore the other devices too.
#[test]
fn what_must_be_understood_is_passed_on_whole_or_not_at_all() {
    let must = |name: &str| format!("<x:{name} xmlns:x=\"urn:x\" p:mustUnderstand=\"1\"/>");
    let declared = |parts: &str| {
        document(parts).replace(" entity", " xmlns:p=\"urn:ietf:params:xml:ns:pidf\" entity")
    };
    let strange = tuple("s", &(OPEN.to_owned() + &must("mode")));
    let plain = || Device::new(1, document(&tuple("a", OPEN)));

    // In a tuple: the tuple stays whole, behind those whose state we can read.
    let body = composed(&[plain(), Device::new(2, declared(&strange))]);
    assert_eq!(ids(&body), ["a", "s"]);
    assert!(body.contains(&must("mode")), "{body}");

    // About the document: passed on alone, left out beside others, and counted.
    let whole = declared(&(tuple("s", OPEN) + &must("scope")));
    assert_eq!(composed(&[Device::new(2, whole.clone())]), whole);
    let (body, dropped) = compose_with(&[plain(), Device::new(2, whole.clone())], false);
    assert_eq!((ids(&body), dropped), (vec!["a".to_owned()], 1));
    let older = whole.replace("\"s\"", "\"r\"");
    let two = [Device::new(1, older), Device::new(2, whole.clone())];
    assert_eq!(compose_with(&two, false), (whole, 1));
}

#[test]
fn a_body_that_cannot_be_read_is_left_out_and_counted() {
    let body = document(&tuple("a", OPEN));
    let devices = [Device::new(1, body.clone()), Device::new(2, "<presence")];
    assert_eq!(compose_with(&devices, false), (body, 1));
}

#[test]
fn at_the_limit_the_oldest_closed_tuples_go_first() {
    let fill = |name: &str| format!("<note>{name}{}</note>", "x".repeat(12 * 1024));
    let device = |at, id: &str, status: &str| {
        Device::new(at, document(&tuple(id, &(status.to_owned() + &fill(id)))))
    };
    let (body, dropped) = compose_with(
        &[
            device(1, "a", OPEN),
            device(2, "b", CLOSED),
            device(3, "c", CLOSED),
            device(4, "d", CLOSED),
            device(5, "e", OPEN),
        ],
        false,
    );
    assert_eq!(
        (ids(&body), dropped),
        (vec!["e".into(), "a".into(), "d".into()], 2)
    );
}

#[test]
fn a_state_is_told_however_large_its_tuple_is() {
    let large = format!("<note>{}</note>", "x".repeat(50 * 1024));
    for (status, expected) in [(OPEN, "open"), (CLOSED, "closed")] {
        let body = document(&(tuple("a", &(status.to_owned() + &large)) + &tuple("b", CLOSED)));
        let (body, dropped) = compose_with(&[Device::new(1, body)], false);
        let expected = [("registration", expected), ("b", "closed")]
            .map(|(id, basic)| (id.to_owned(), basic.to_owned()));
        assert_eq!((tuples(&body), dropped), (expected.to_vec(), 1));
    }
}

#[test]
fn what_is_read_for_one_document_is_bounded() {
    let devices: Vec<Device> = (1..=32)
        .map(|at| {
            let padding = format!("<!--{at}{}-->", " ".repeat(60 * 1024));
            Device::new(at, document(&(padding + &tuple(&format!("t{at}"), OPEN))))
        })
        .collect();
    let (body, dropped) = compose_with(&devices, false);
    assert_eq!((ids(&body).len(), dropped), (3, 29), "the newest three");
}
