//! One user, one spelling.

use proptest::prelude::*;

use super::*;

#[test]
fn an_address_of_record_has_one_spelling() {
    let table = [
        // URI, canonical text, as a URI again
        ("sip:alice@example.com", "sip:alice@example.com", None),
        ("SIPS:alice@Example.COM", "sip:alice@example.com", None),
        (
            "sip:alice@example.com;transport=tcp?a=b",
            "sip:alice@example.com",
            None,
        ),
        (
            "sip:alice:secret@example.com",
            "sip:alice@example.com",
            None,
        ),
        ("sip:alice@example.com:5060", "sip:alice@example.com", None), // ours
        (
            "sip:alice@example.com:5070",
            "sip:alice@example.com:5070",
            None,
        ), // another's
        ("sip:alice@example.com.", "sip:alice@example.com", None),
        ("sip:Alice@example.com", "sip:Alice@example.com", None), // a user has case
        ("sip:%61lice@example.com", "sip:alice@example.com", None),
        (
            "sip:a%40b@example.com",
            "sip:a@b@example.com",
            Some("sip:a%40b@example.com"),
        ),
        (
            "sip:a%3ab@example.com",
            "sip:a:b@example.com",
            Some("sip:a%3Ab@example.com"),
        ),
        (
            "sip:a%2525@example.com",
            "sip:a%25@example.com",
            Some("sip:a%2525@example.com"),
        ),
        (
            "sip:a%20b@example.com",
            "sip:a b@example.com",
            Some("sip:a%20b@example.com"),
        ),
        ("sip:caf%C3%A9@x", "sip:café@x", Some("sip:caf%C3%A9@x")),
        ("sip:café@x", "sip:café@x", Some("sip:caf%C3%A9@x")),
        ("sip:a;ext=1@x", "sip:a;ext=1@x", None),
        ("sip:a@[2001:DB8:0:0::1]:5060", "sip:a@[2001:db8::1]", None),
        ("sip:a@[2001:db8::1]:99", "sip:a@[2001:db8::1]:99", None),
        ("sip:example.com", "sip:example.com", None),
    ];
    for (text, canonical, again) in table {
        let aor = Aor::from_uri(&Uri::parse(text).unwrap(), &[5060, 5061]).unwrap();
        assert_eq!(aor.as_str(), canonical, "{text}");
        assert_eq!(aor.to_string(), again.unwrap_or(canonical), "{text}");
        assert_eq!(Aor::from_key(canonical), Ok(aor), "{text}");
    }
}

#[test]
fn user_and_host_are_told_apart() {
    let table = [
        ("sip:alice@example.com", "alice", "example.com"),
        ("sip:a%40b@example.com:7", "a@b", "example.com:7"),
        ("sip:a@[2001:db8::1]", "a", "[2001:db8::1]"),
        ("sip:example.com", "", "example.com"),
    ];
    for (text, user, host) in table {
        let aor = Aor::parse(text).unwrap();
        assert_eq!((aor.user(), aor.host()), (user, host), "{text}");
    }
}

#[test]
fn what_names_nobody_is_refused() {
    let long = format!("sip:{}@example.com", "a".repeat(AOR_MAX));
    let table = [
        ("tel:+1", InvalidAor::Scheme),
        ("alice", InvalidAor::Syntax),
        ("sip:a%00b@x", InvalidAor::Syntax),
        ("sip:a%0d%0aVia:%20x@x", InvalidAor::Syntax), // nothing that could end a line
        ("sip:a%7f@x", InvalidAor::Syntax),
        ("sip:a%C2%85@x", InvalidAor::Syntax), // nor what Unicode calls a control
        ("sip:a%ff@x", InvalidAor::Syntax),    // not UTF-8
        (&long, InvalidAor::Syntax),
    ];
    for (text, expected) in table {
        assert_eq!(Aor::parse(text), Err(expected), "{text}");
    }
    for key in [
        "",
        "sip:",
        "sip:@x",
        "SIP:a@x",
        "sip:a@X",
        "sip:a@x;p",
        "sip:a@",
    ] {
        assert!(Aor::from_key(key).is_err(), "{key}");
    }
}

proptest! {
    #[test]
    fn any_user_comes_back(user in "\\PC{1,40}", host in "[a-z]{1,9}(\\.[a-z0-9]{1,9}){0,2}") {
        let key = format!("sip:{user}@{host}");
        let aor = Aor::from_key(&key).unwrap();
        prop_assert_eq!(aor.user(), &user);
        let written = aor.to_string();
        prop_assert!(written.is_ascii() && !written.contains(' '));
        prop_assert_eq!(Aor::parse(&written), Ok(aor));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "sip:\\PC{0,60}") {
        if let Ok(aor) = Aor::parse(&text) {
            prop_assert_eq!(Aor::from_key(aor.as_str()), Ok(aor.clone()));
            prop_assert_eq!(Aor::parse(&aor.to_string()), Ok(aor));
        }
    }
}
