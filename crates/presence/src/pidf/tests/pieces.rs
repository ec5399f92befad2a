//! What stands beside the state, and that nothing loses its meaning by moving.

use super::*;

#[test]
fn a_person_described_twice_in_the_same_words_is_one() {
    let person = |id: &str, inside: &str| format!("<dm:person id=\"{id}\">{inside}</dm:person>");
    let note = "<dm:note>In a meeting</dm:note>";
    let device = |at, id: &str, inside: &str| {
        let tuple = tuple(&format!("t{at}"), OPEN);
        Device::new(at, document(&(tuple + &person(id, inside))))
    };
    let body = composed(&[
        device(1, "p1", note),
        device(2, "p2", "<rpid:activities/>"),
        device(3, "p3", note),
    ]);
    let at = |text: &str| body.find(text);
    assert!(at(&person("p3", note)).is_some(), "the newest: {body}");
    assert_eq!(at("p1"), None, "{body}");
    assert!(at("\"p3\"") < at("\"p2\""), "newest first: {body}");
}

/// A phone that lost its entity-tag publishes afresh; what it said before stays until it expires.
#[test]
fn a_tuple_published_twice_is_one() {
    let note = "<note>back at ten</note>";
    let body = composed(&[
        Device::new(1, document(&(tuple("a", OPEN) + note))),
        Device::new(
            2,
            document(&(tuple("a", OPEN) + note + "<dm:person id=\"p\"/>")),
        ),
    ]);
    assert_eq!(ids(&body), ["a"]);
    assert_eq!(body.matches(note).count(), 1, "{body}");
}

/// Goal: what a person sees is right too. Method: two real phones, every byte.
#[test]
fn two_real_phones_make_one_document() {
    let linphone = include_str!("../../../../../tests/data/pidf/linphone-open.xml");
    let pidgin = include_str!("../../../../../tests/data/pidf/purple-closed.xml");
    let body = composed(&[Device::new(1, linphone), Device::new(2, pidgin)]);
    let expected = concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"",
        " xmlns:im=\"urn:ietf:params:xml:ns:pidf:im\"",
        " xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\"",
        " xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\"",
        " xmlns:pidfonline=\"http://www.linphone.org/xsds/pidfonline.xsd\"",
        " entity=\"sip:alice@example.test\">\n",
        "<tuple id=\"uun.bv\">\n  <status>\n   <basic>open</basic>\n",
        "   <pidfonline:online/>\n  </status>\n",
        "  <contact priority=\"0.8\">sip:alice@example.test</contact>\n",
        "  <timestamp>2026-11-21T19:51:02Z</timestamp>\n </tuple>\n",
        "<tuple id=\"bs35r9f\">\n<status>\n<basic>closed</basic>\n</status>\n",
        "<note></note>\n</tuple>\n</presence>\n",
    );
    assert_eq!(body, expected);
}

#[test]
fn parts_stand_in_the_order_of_the_schema() {
    let parts = "<dm:device id=\"d\"/><note>b</note>".to_owned();
    let body = composed(&[
        Device::new(1, document(&(parts.clone() + &tuple("a", OPEN)))),
        Device::new(
            2,
            document(&("<note>c</note>".to_owned() + &tuple("e", CLOSED))),
        ),
    ]);
    let names: Vec<String> = read(body.as_bytes())
        .unwrap()
        .elements()
        .map(|element| element.tag_name().name().to_owned())
        .collect();
    assert_eq!(names, ["tuple", "tuple", "note", "note", "device"]);
}

/// Rich presence and what nobody knows are copied byte for byte; what they inherited is declared at
/// the root, or where two documents disagree, on the element itself.
#[test]
fn elements_are_copied_byte_for_byte() {
    let person = "<dm:person id='p' ><rpid:activities>\r\n\t<rpid:busy  /></rpid:activities>\
        <x:y z=\"&quot;\"><![CDATA[<]]></x:y><!-- kept --></dm:person>";
    let one =
        document(&(tuple("a", OPEN) + person)).replace(" entity", " xmlns:x=\"urn:1\" entity");
    let two =
        document(&(tuple("b", OPEN) + "<x:w/>")).replace(" entity", " xmlns:x=\"urn:2\" entity");
    let body = composed(&[Device::new(2, one), Device::new(1, two)]);
    assert!(body.contains(person), "{body}");
    assert!(body.contains("<x:w xmlns:x=\"urn:2\"/>"), "{body}");
    assert!(
        body.contains("<tuple id=\"b\" ") || body.contains("<tuple xmlns:x=\"urn:2\" id=\"b\"")
    );
}

#[test]
fn a_prefix_of_pidf_becomes_the_default() {
    let body = r#"<p:presence xmlns:p="urn:ietf:params:xml:ns:pidf" xmlns="urn:d"
        entity="sip:alice@example.test"><p:tuple id="a"><p:status><p:basic>open</p:basic>
        <mood p:mustUnderstand="0"><p:x/></mood></p:status></p:tuple></p:presence>"#;
    let body = composed(&[Device::new(1, body)]);
    let tuple = "<tuple id=\"a\"><status><basic>open</basic>\n        \
        <mood xmlns=\"urn:d\" p:mustUnderstand=\"0\">\
        <x xmlns=\"urn:ietf:params:xml:ns:pidf\"/></mood>\
        </status></tuple>";
    assert!(body.contains(tuple), "{body}");
}

#[test]
fn notes_keep_the_language_they_inherit() {
    let parts = tuple("a", CLOSED) + &tuple("b", OPEN) + "<note>hallo</note>";
    let body = document(&parts).replace(" entity", " xml:lang=\"de\" entity");
    let body = composed(&[Device::new(1, body)]);
    assert!(
        body.contains("<note xml:lang=\"de\">hallo</note>"),
        "{body}"
    );
}

/// As many prefixes as a document may have leave no room to share any: they go on the elements.
#[test]
fn prefixes_beyond_the_shared_ones_are_declared_where_they_are_used() {
    let declared = |from: usize| -> String {
        let declare = |n| format!(" xmlns:n{n}=\"urn:{n}\"");
        (from..from + 60).map(declare).collect()
    };
    let device = |at, from| {
        let body = document(&(tuple(&format!("t{at}"), OPEN) + "<n1:x/>"));
        let spelt = body.replace("n1:", &format!("n{from}:"));
        Device::new(at, spelt.replace(" entity", &(declared(from) + " entity")))
    };
    let body = composed(&[device(1, 100), device(2, 200)]);
    assert_eq!(tuples(&body).len(), 2);
}
