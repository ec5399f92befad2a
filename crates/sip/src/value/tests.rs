//! Values as phones and the RFCs write them.

use super::*;

#[test]
fn addresses_are_read_with_and_without_brackets() {
    #[rustfmt::skip] // A table reads better in columns.
    let table: [(&str, (&str, &str, &str)); 12] = [
        (r#""Bob" <sips:bob@biloxi.com> ;tag=a48s"#,
            (r#""Bob""#, "sips:bob@biloxi.com", "tag=a48s")),
        ("sip:+12125551212@phone2net.com;tag=887s",
            ("", "sip:+12125551212@phone2net.com", "tag=887s")),
        ("Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8",
            ("Anonymous", "sip:c8oqz84zk7z@privacy.org", "tag=hyh8")),
        ("<sip:a@x;transport=tcp>;q=0.5", ("", "sip:a@x;transport=tcp", "q=0.5")),
        (r#""A > B, \"C\" <" <sip:a@x>"#, (r#""A > B, \"C\" <""#, "sip:a@x", "")),
        ("Bell, Alexander <sip:a@x>", ("Bell, Alexander", "sip:a@x", "")),
        ("caller<sip:a@x>", ("caller", "sip:a@x", "")),
        ("J\u{f6}rg <sip:a@x>", ("J\u{f6}rg", "sip:a@x", "")),
        ("<sip:a@x>\r\n ;\r\n tag = 1", ("", "sip:a@x", "\r\n tag = 1")),
        ("sip:a@x ; tag=1", ("", "sip:a@x", " tag=1")),
        ("*", ("", "*", "")),
        ("<sip:a@x?Route=%3Csip:y%3E>", ("", "sip:a@x?Route=%3Csip:y%3E", "")),
    ];
    for (text, expected) in table {
        let address = NameAddr::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(
            (address.display, address.uri, address.params.0),
            expected,
            "{text}"
        );
    }
}

#[test]
fn what_is_no_address_is_refused() {
    let table = [
        "",
        "<>",
        ";tag=1",
        "<sip:a@x",
        "<sip:a@x> tag=1",
        r#""never closed <sip:a@x>"#,
        r#"a "b" <sip:a@x>"#,
        r#""a" b <sip:a@x>"#,
        "sip:a@x sip:b@x",
        "sip:a@x?b=c", // headers need brackets: RFC 3261 §20
    ];
    for text in table {
        assert!(NameAddr::parse(text).is_none(), "{text}");
    }
}

#[test]
fn a_tag_is_there_or_not() {
    let table = [
        ("<sip:a@x>;tag=1", Some("1")),
        ("<sip:a@x>; TAG = 1 ;x", Some("1")),
        ("sip:a@x;tag=1", Some("1")), // the header's, not the URI's
        ("<sip:a@x;tag=1>", None),
        ("<sip:a@x>;tag=", None),
        ("<sip:a@x>;tag", None),
    ];
    for (text, expected) in table {
        assert_eq!(NameAddr::parse(text).unwrap().tag(), expected, "{text}");
    }
}

#[test]
fn parameters_are_found_without_regard_to_case() {
    let params = Params(r#"Q=0.5; +sip.instance = "<urn:a;b>" ;ob;;empty=;q=1; n="a\"b""#);
    let all: Vec<_> = params.iter().collect();
    let expected = [
        ("Q", Some("0.5")),
        ("+sip.instance", Some("\"<urn:a;b>\"")),
        ("ob", None),
        ("empty", Some("")),
        ("q", Some("1")),
        ("n", Some(r#""a\"b""#)),
    ];
    assert_eq!(all, expected);
    assert_eq!(params.value("q"), Some("0.5")); // the first one
    assert_eq!(params.value("ob"), None);
    assert!(params.has("OB") && !params.has("o"));
    assert_eq!(params.unquoted("+SIP.instance"), Some("<urn:a;b>"));
    assert_eq!(params.unquoted("n"), Some(r#"a\"b"#));
    assert_eq!(params.unquoted("q"), Some("0.5"));
    assert_eq!(Params("\"").unquoted("\""), None);
}

#[test]
fn vias_are_read_however_they_are_spaced() {
    type Parts<'a> = (&'a str, &'a str, Option<u16>, Option<&'a str>);
    let table: [(&str, Parts<'_>); 8] = [
        (
            "SIP/2.0/UDP erlang.bell-telephone.com:5060;branch=z9hG4bK87asdks7",
            (
                "UDP",
                "erlang.bell-telephone.com",
                Some(5060),
                Some("z9hG4bK87asdks7"),
            ),
        ),
        (
            "SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7",
            ("UDP", "first.example.com", Some(4000), Some("z9hG4bKa7")),
        ),
        ("sip/2.0/tcp a", ("tcp", "a", None, None)), // pidgin-sipe, and no branch
        (
            "SIP/2.0/WSS a.invalid ; branch = x",
            ("WSS", "a.invalid", None, Some("x")),
        ),
        (
            "SIP/2.0/UDP [2001:db8::1]:5070;branch=x",
            ("UDP", "[2001:db8::1]", Some(5070), Some("x")),
        ),
        (
            "SIP/2.0/UDP [2001:db8::1]",
            ("UDP", "[2001:db8::1]", None, None),
        ),
        (
            "SIP/2.0\r\n /UDP\r\n a\r\n :\t5\r\n ;branch=x",
            ("UDP", "a", Some(5), Some("x")),
        ),
        ("SIP/7.0/UDP a", ("UDP", "a", None, None)), // who is answered with 505 is still found
    ];
    for (text, expected) in table {
        let via = Via::parse(text).unwrap_or_else(|| panic!("{text}"));
        let found = (via.transport, via.host.0, via.port, via.branch());
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_is_no_via_is_refused() {
    let table = [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0/UDP ;branch=x",
        "SIP/2.0 a",
        "HTTP/2.0/UDP a",
        "SIP/2.0/UD(P a",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP a:b",
        "SIP/2.0/UDP a:70000",
        "SIP/2.0/UDP 2001:db8::1",
        ";",
    ];
    for text in table {
        assert!(Via::parse(text).is_none(), "{text}");
    }
}

#[test]
fn a_cseq_is_a_number_and_a_method() {
    let cseq = |number, method| Some(CSeq { number, method });
    let table = [
        ("1 REGISTER", cseq(1, "REGISTER")),
        ("0009\r\n  INVITE", cseq(9, "INVITE")),
        ("7\tA", cseq(7, "A")),
        ("2147483647 A", cseq((1 << 31) - 1, "A")),
        ("2147483648 A", None), // RFC 3261 §8.1.1.5
        ("99999999999999999999 A", None),
        ("-1 A", None),
        ("1", None),
        ("A 1", None),
        ("1 A B", None),
        ("", None),
    ];
    for (text, expected) in table {
        assert_eq!(CSeq::parse(text), expected, "{text}");
    }
}

#[test]
fn only_tokens_are_entity_tags() {
    let table = [
        ("dx200xyz", true), // the shape used by RFC 3903 §15
        ("a.1795290929.16281.60.0", true),
        ("a.b-c_d~e", true),
        ("", false),
        ("two words", false),
        ("\"quoted\"", false),
        ("caf\u{e9}", false),
    ];
    for (text, expected) in table {
        assert_eq!(text.parse::<EntityTag>().is_ok(), expected, "{text:?}");
    }
}
