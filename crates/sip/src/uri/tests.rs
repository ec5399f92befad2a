//! Reading and comparing URIs, with the examples of RFC 3261 §19.1.

use super::*;

#[test]
fn uris_are_taken_apart() {
    type Parts<'a> = (
        Scheme,
        Option<&'a str>,
        &'a str,
        Option<u16>,
        &'a str,
        Option<&'a str>,
    );
    #[rustfmt::skip] // A table reads better in columns.
    let table: [(&str, Parts<'_>); 15] = [
        ("sip:alice@atlanta.com", (Scheme::Sip, Some("alice"), "atlanta.com", None, "", None)),
        ("sip:alice:secretword@atlanta.com;transport=tcp",
            (Scheme::Sip, Some("alice"), "atlanta.com", None, "transport=tcp", None)),
        ("SIPS:alice@atlanta.com?subject=project%20x&priority=urgent",
            (Scheme::Sips, Some("alice"), "atlanta.com", None, "",
                Some("subject=project%20x&priority=urgent"))),
        ("sip:+1-212-555-1212:1234@gateway.com;user=phone",
            (Scheme::Sip, Some("+1-212-555-1212"), "gateway.com", None, "user=phone", None)),
        ("sips:1212@gateway.com", (Scheme::Sips, Some("1212"), "gateway.com", None, "", None)),
        ("sip:alice@192.0.2.4", (Scheme::Sip, Some("alice"), "192.0.2.4", None, "", None)),
        ("sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
            (Scheme::Sip, None, "atlanta.com", None, "method=REGISTER",
                Some("to=alice%40atlanta.com"))),
        ("sip:alice;day=tuesday@atlanta.com",
            (Scheme::Sip, Some("alice;day=tuesday"), "atlanta.com", None, "", None)),
        ("sip:alice.smith@atlanta.com:5070", // the dot belongs to the user
            (Scheme::Sip, Some("alice.smith"), "atlanta.com", Some(5070), "", None)),
        ("sip:a?b@x", (Scheme::Sip, Some("a?b"), "x", None, "", None)),
        ("sip:[2001:db8::1]:5060;lr", (Scheme::Sip, None, "[2001:db8::1]", Some(5060), "lr", None)),
        ("sip:a@h.;x=\u{e9}", (Scheme::Sip, Some("a"), "h.", None, "x=\u{e9}", None)),
        ("sip:under_score", (Scheme::Sip, None, "under_score", None, "", None)),
        ("tel:+358-555-1234567", (Scheme::Other, None, "+358-555-1234567", None, "", None)),
        ("urn:service:sos", (Scheme::Other, None, "service:sos", None, "", None)),
    ];
    for (text, expected) in table {
        let uri = Uri::parse(text).unwrap_or_else(|_| panic!("{text}"));
        let host = uri.host.0;
        let found = (
            uri.scheme,
            uri.user,
            host,
            uri.port,
            uri.params.0,
            uri.headers,
        );
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_is_no_uri_is_refused() {
    let table = [
        "",
        "*",
        "alice@atlanta.com",       // no scheme
        "sip:",                    // nothing after it
        "sip:@atlanta.com",        // an empty user
        "sip:alice@",              // no host
        "sip:alice@b@c",           // an @ in the host
        "sip:alice@b;x=a@c",       // or in a parameter
        "sip:alice@at lanta.com",  // a blank
        "sip:alice@atlanta.com ",  // also behind
        "sip:alice%4@atlanta.com", // half an escape
        "sip:alice%zz@atlanta.com",
        "sip:alice@atlanta.com:",
        "sip:alice@atlanta.com:65536",
        "sip:alice@atlanta.com:+1",
        "sip:2001:db8::1", // brackets are missing
        "sip:[2001:db8::1",
        "sip:[example.com]",
        "sip:[]",
        "sip:alice@atlanta..com", // an empty label
        "sip:alice@.",
        "sip:al\"ice@atlanta.com",
        "<sip:alice@atlanta.com>",
        "sip:alice@atlanta.com\r\n",
        "si p:alice@atlanta.com",
        "1sip:alice@atlanta.com",
    ];
    for text in table {
        assert!(Uri::parse(text).is_err(), "{text:?}");
    }
}

fn are_equal(one: &str, other: &str) -> bool {
    let (one, other) = (Uri::parse(one).unwrap(), Uri::parse(other).unwrap());
    assert_eq!(one.is_equal(&other), other.is_equal(&one));
    one.is_equal(&other)
}

#[test]
fn equal_uris_are_equal() {
    let table = [
        // RFC 3261 §19.1.4
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtlanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        // ours
        ("sip:a@[2001:DB8::0:1]", "sip:a@[2001:db8::1]"),
        ("TEL:+1", "tel:+1"),
    ];
    for (one, other) in table {
        assert!(are_equal(one, other), "{one} and {other}");
    }
}

#[test]
fn different_uris_differ() {
    let table = [
        // RFC 3261 §19.1.4
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
        // ours
        ("sip:a@x", "sips:a@x"),
        ("sip:a@x", "sip:x"),
        ("sip:a:b@x", "sip:a@x"),
        ("sip:a@x;maddr=y", "sip:a@x"),
        ("sip:a@x;user=phone", "sip:a@x"),
        ("sip:a%3Bb@x", "sip:a;b@x"), // an escaped reserved character is another one
        ("sip:a@x?a=1", "sip:a@x?a=2"),
        ("sip:a@x?a=1&a=1", "sip:a@x?a=1"),
        ("tel:+1", "urn:+1"),
    ];
    for (one, other) in table {
        assert!(!are_equal(one, other), "{one} and {other}");
    }
}

/// Equality is quadratic in what the network sends: past a bound a URI equals only its own text.
#[test]
fn a_uri_with_very_many_parts_equals_its_own_text_only() {
    let many = |count: usize, last: &str| format!("sip:a@x{};{last}", ";p".repeat(count));
    assert!(are_equal(&many(60, "q"), &many(60, "Q")));
    assert!(!are_equal(&many(70, "q"), &many(70, "Q")));
    assert!(are_equal(&many(70, "q"), &many(70, "q")));
}

#[test]
fn a_host_is_an_address_or_a_name() {
    let table = [
        ("192.0.2.1", Some("192.0.2.1")),
        ("[2001:db8::1]", Some("2001:db8::1")),
        ("2001:db8::1", Some("2001:db8::1")), // as `received` may have it
        ("[2001:db8:::192.0.2.1]", Some("2001:db8::c000:201")),
        ("example.com", None),
        ("192.0.2.256", None),
    ];
    for (text, expected) in table {
        let expected: Option<IpAddr> = expected.map(|address| address.parse().unwrap());
        assert_eq!(Host(text).address(), expected, "{text}");
    }
    assert!(Host("Example.COM").is_equal("example.com"));
    assert!(Host("[2001:DB8:0::1]").is_equal("2001:db8::1"));
    assert!(!Host("192.0.2.1").is_equal("example.com"));
}
