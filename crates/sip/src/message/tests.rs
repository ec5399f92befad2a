//! What is read, answered and dropped, over small messages written here.

use super::index::{HEAD_MAX, HEADERS_MAX, START_LINE_MAX};
use super::*;

pub(super) const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice, A.\" <sip:alice@example.com>;tag=a1\r\n\
    To: <sip:alice@example.com>\r\n\
    Call-ID: c1@192.0.2.1\r\n\
    CSeq: 7 REGISTER\r\n\
    Contact: <sip:alice@192.0.2.1:5070>;q=0.5, <sip:b@[2001:db8::1]>\r\n\
    Expires: 600\r\n\
    Content-Length: 0\r\n\r\n";

fn defect(text: &str) -> Option<Defect> {
    let mut index = Index::default();
    let message = index.read(text.as_bytes(), Framing::Datagram).unwrap();
    message.defect()
}

#[test]
fn a_whole_request_has_no_defect() {
    let mut index = Index::default();
    let message = index.read(REGISTER.as_bytes(), Framing::Stream).unwrap();
    assert_eq!(message.defect(), None);
    assert_eq!(message.number(Name::Expires), Some(600));
    assert_eq!(message.values(Name::Contact).count(), 2);
    assert_eq!(message.from().unwrap().tag(), Some("a1"));
    assert_eq!(message.via().unwrap().port, Some(5070));
}

#[test]
fn what_is_wrong_is_told() {
    let table = [
        (
            "Max-Forwards: 70",
            "Max-Forwards: x",
            Defect::Header(Name::MaxForwards),
        ),
        ("From", "X", Defect::Header(Name::From)),
        (
            "Call-ID: c1@192.0.2.1",
            "Call-ID:",
            Defect::Header(Name::CallId),
        ),
        ("7 REGISTER", "7 PUBLISH", Defect::Header(Name::CSeq)),
        (
            "Content-Length: 0",
            "Content-Length: 9",
            Defect::ContentLength,
        ),
        (
            "Content-Length: 0",
            "Content-Length: -1",
            Defect::ContentLength,
        ),
        ("Content-Length: 0", "l: 1\r\nl: 2", Defect::ContentLength),
        (
            "Content-Length: 0",
            "Content-Length: 99999",
            Defect::TooLarge,
        ),
        (
            "sip:example.com SIP/2.0",
            "example.com SIP/2.0",
            Defect::Uri,
        ),
        (
            "example.com SIP/2.0",
            "example.com SIP/3.0",
            Defect::Version,
        ),
    ];
    for (from, to, expected) in table {
        assert_eq!(
            defect(&REGISTER.replacen(from, to, 1)),
            Some(expected),
            "{to}"
        );
    }
}

/// Reads `text`, which must be readable, and runs `check` on it.
pub(super) fn with(text: impl AsRef<[u8]>, check: impl FnOnce(Message<'_>)) {
    let mut index = Index::default();
    check(index.read(text.as_ref(), Framing::Datagram).unwrap());
}

#[test]
fn lenient_shapes_are_read() {
    let table = [
        ("bare line feeds", REGISTER.replace("\r\n", "\n")),
        ("leading line ends", format!("\r\n\r\n\n{REGISTER}")),
        ("blanks before the colon", REGISTER.replace(": ", " \t: ")),
        ("no blank after it", REGISTER.replace(": ", ":")),
        (
            "blanks at the ends of lines",
            REGISTER
                .replace("\r\n", " \t\r\n")
                .replace("\r\n \t\r\n", "\r\n\r\n"),
        ),
        ("folds", REGISTER.replace(": ", ":\r\n\t")),
        (
            "upper case",
            REGISTER.replace("Via", "VIA").replace("CSeq", "CSEQ"),
        ),
        (
            "a version in lower case",
            REGISTER.replace(" SIP/2.0\r\n", " sip/2.0\r\n"),
        ),
        (
            "no Max-Forwards",
            REGISTER.replace("Max-Forwards: 70\r\n", ""),
        ),
        (
            "no Content-Length",
            REGISTER.replace("Content-Length: 0\r\n", ""),
        ),
        (
            "the same Content-Length twice",
            REGISTER.replace("\r\n\r\n", "\r\nl:0\r\n\r\n"),
        ),
        ("bytes after the body", format!("{REGISTER}garbage")),
        (
            "compact names",
            [
                ("Via", "v"),
                ("From", "F"),
                ("To", "t"),
                ("Call-ID", "i"),
                ("Contact", "m"),
            ]
            .iter()
            .fold(REGISTER.to_owned(), |text, (long, short)| {
                text.replace(&format!("{long}:"), &format!("{short}:"))
            }),
        ),
    ];
    for (what, text) in table {
        with(&text, |message| {
            assert_eq!(message.defect(), None, "{what}");
            assert_eq!(
                message.from().unwrap().uri,
                "sip:alice@example.com",
                "{what}"
            );
            assert_eq!(message.call_id(), Some("c1@192.0.2.1"), "{what}");
            assert_eq!(message.number(Name::Expires), Some(600), "{what}");
            assert_eq!(message.values(Name::Contact).count(), 2, "{what}");
        });
    }
}

#[test]
fn what_nobody_could_answer_is_dropped() {
    let table = [
        ("", ReadError::Ping),
        ("\r\n\r\n", ReadError::Ping),
        ("\0\0\0\0", ReadError::Syntax),
        ("jaK", ReadError::Syntax),
        ("REGISTER sip:x SIP/2.0\r\n\r\n", ReadError::Syntax), // no Via
        ("REGISTER sip:x SIP/2.0\r\nVia: x", ReadError::Syntax), // no end
        (
            "REGISTER sip:x HTTP/1.1\r\nVia: x\r\n\r\n",
            ReadError::Syntax,
        ),
        ("REGISTER\r\nVia: x\r\n\r\n", ReadError::Syntax),
        (
            "RE(GISTER sip:x SIP/2.0\r\nVia: x\r\n\r\n",
            ReadError::Syntax,
        ),
        ("SIP/2.0 099 x\r\nVia: x\r\n\r\n", ReadError::Syntax),
        ("SIP/2.0 700 x\r\nVia: x\r\n\r\n", ReadError::Syntax),
        ("SIP/2.0 2000 x\r\nVia: x\r\n\r\n", ReadError::Syntax),
        ("SIP/2.0 20 x\r\nVia: x\r\n\r\n", ReadError::Syntax),
        ("SIP/3.0 200 x\r\nVia: x\r\n\r\n", ReadError::Syntax),
        ("SIP/2.0\r\nVia: x\r\n\r\n", ReadError::Syntax),
    ];
    for (text, expected) in table {
        let mut index = Index::default();
        let error = index.read(text.as_bytes(), Framing::Datagram).unwrap_err();
        assert_eq!(error, expected, "{text:?}");
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let read = |text: &str| {
        Index::default()
            .read(text.as_bytes(), Framing::Datagram)
            .map(drop)
    };
    let with_start = |length: usize| {
        let uri = "a".repeat(length - "REGISTER sip: SIP/2.0".len());
        REGISTER.replacen("example.com", &uri, 1)
    };
    assert_eq!(read(&with_start(START_LINE_MAX)), Ok(()));
    assert_eq!(read(&with_start(START_LINE_MAX + 1)), Err(ReadError::Limit));

    let with_headers = |count: usize| {
        let count = count - REGISTER.lines().count() + 2;
        REGISTER.replacen("\r\n", &format!("\r\n{}", "X: y\r\n".repeat(count)), 1)
    };
    assert_eq!(read(&with_headers(HEADERS_MAX)), Ok(()));
    assert_eq!(read(&with_headers(HEADERS_MAX + 1)), Err(ReadError::Limit));

    let with_head = |length: usize| {
        let value = "a".repeat(length - REGISTER.len() - "X: \r\n".len());
        REGISTER.replacen("\r\n", &format!("\r\nX: {value}\r\n"), 1)
    };
    assert_eq!(read(&with_head(HEAD_MAX)), Ok(()));
    assert_eq!(read(&with_head(HEAD_MAX + 3)), Err(ReadError::Limit));
    // A line that never ends costs no more than the limit.
    assert_eq!(read(&"a".repeat(10 * HEAD_MAX)), Err(ReadError::Limit));
}

#[test]
fn one_part_of_another_encoding_spoils_no_other() {
    let mut bytes = REGISTER.as_bytes().to_vec();
    let at = REGISTER.find("Alice").unwrap();
    bytes[at] = 0xe4; // Latin-1 in the display name of From
    with(&bytes, |message| {
        assert_eq!(message.defect(), None);
        let from = message.from().unwrap();
        assert_eq!((from.display, from.tag()), ("", Some("a1")));
    });
    let at = REGISTER.find("q=0.5").unwrap();
    bytes[at] = 0xff; // in the first Contact
    with(&bytes, |message| {
        let contacts: Vec<&str> = message.values(Name::Contact).collect();
        assert_eq!(contacts, ["<sip:b@[2001:db8::1]>"]);
    });
    let at = REGISTER.find("c1@").unwrap();
    bytes[at] = 0xff;
    with(&bytes, |message| {
        assert_eq!(message.defect(), Some(Defect::Header(Name::CallId)));
    });
}

#[test]
fn lines_that_are_no_headers_are_a_defect() {
    let table = [
        "no colon",
        ": no name",
        "two words: x",
        "X: a\rVia: hidden",
        "a\r\n\t: b",
    ];
    for line in table {
        let text = REGISTER.replacen("\r\n", &format!("\r\n{line}\r\n"), 1);
        assert_eq!(defect(&text), Some(Defect::Header(Name::Other)), "{line:?}");
    }
    let folded_first = REGISTER.replacen("\r\n", "\r\n \tx\r\n", 1);
    assert_eq!(defect(&folded_first), Some(Defect::Header(Name::Other)));
}

#[test]
fn a_repeated_header_is_a_defect() {
    for (line, name) in [
        ("From: <sip:a@x>;tag=2", Name::From),
        ("t: <sip:a@x>", Name::To),
        ("i: c2", Name::CallId),
        ("CSeq: 7 REGISTER", Name::CSeq),
        ("Max-Forwards: 70", Name::MaxForwards),
    ] {
        let text = REGISTER.replacen("\r\n", &format!("\r\n{line}\r\n"), 1);
        assert_eq!(defect(&text), Some(Defect::Header(name)), "{line}");
    }
}

#[test]
fn every_name_is_found_by_its_spelling() {
    let mut all = vec![Name::Accept];
    while let Some(next) = following(all[all.len() - 1]) {
        all.push(next);
    }
    assert_eq!(all.len(), 34);
    for name in all {
        let spelling = name.as_str();
        for text in [
            spelling.to_owned(),
            spelling.to_lowercase(),
            spelling.to_uppercase(),
        ] {
            assert_eq!(Name::from_text(text.as_bytes()), name, "{text}");
        }
        let other = spelling.replacen(char::is_alphanumeric, "_", 1);
        assert_eq!(Name::from_text(other.as_bytes()), Name::Other);
    }
    let compact = [
        ("c", Name::ContentType),
        ("E", Name::ContentEncoding),
        ("f", Name::From),
        ("I", Name::CallId),
        ("k", Name::Supported),
        ("l", Name::ContentLength),
        ("m", Name::Contact),
        ("o", Name::Event),
        ("t", Name::To),
        ("u", Name::AllowEvents),
        ("V", Name::Via),
        ("s", Name::Other), // Subject
        ("x", Name::Other), // Session-Expires: RFC 4028 §4
        ("", Name::Other),
    ];
    for (text, name) in compact {
        assert_eq!(Name::from_text(text.as_bytes()), name, "{text}");
    }
}

/// The names in order, so that a new one cannot be left out of the test above.
fn following(name: Name) -> Option<Name> {
    Some(match name {
        Name::Accept => Name::AcceptEncoding,
        Name::AcceptEncoding => Name::Allow,
        Name::Allow => Name::AllowEvents,
        Name::AllowEvents => Name::Authorization,
        Name::Authorization => Name::CSeq,
        Name::CSeq => Name::CallId,
        Name::CallId => Name::Contact,
        Name::Contact => Name::ContentDisposition,
        Name::ContentDisposition => Name::ContentEncoding,
        Name::ContentEncoding => Name::ContentLength,
        Name::ContentLength => Name::ContentType,
        Name::ContentType => Name::Date,
        Name::Date => Name::Event,
        Name::Event => Name::Expires,
        Name::Expires => Name::From,
        Name::From => Name::MaxForwards,
        Name::MaxForwards => Name::MinExpires,
        Name::MinExpires => Name::Path,
        Name::Path => Name::Presently,
        Name::Presently => Name::ProxyAuthorization,
        Name::ProxyAuthorization => Name::ProxyRequire,
        Name::ProxyRequire => Name::RecordRoute,
        Name::RecordRoute => Name::Require,
        Name::Require => Name::RetryAfter,
        Name::RetryAfter => Name::Route,
        Name::Route => Name::SipEtag,
        Name::SipEtag => Name::SipIfMatch,
        Name::SipIfMatch => Name::SubscriptionState,
        Name::SubscriptionState => Name::Supported,
        Name::Supported => Name::To,
        Name::To => Name::Unsupported,
        Name::Unsupported => Name::UserAgent,
        Name::UserAgent => Name::Via,
        Name::Via | Name::Other => return None,
    })
}

#[test]
fn a_count_of_seconds_is_read_where_there_is_one() {
    let table = [
        ("Expires: 3600", Name::Expires, Some(3600)),
        ("Expires: 3600;x", Name::Expires, None),
        (
            "Expires: Thu, 01 Dec 1994 16:00:00 GMT",
            Name::Expires,
            None,
        ), // once allowed
        (
            "Retry-After: 18000;duration=3600",
            Name::RetryAfter,
            Some(18_000),
        ),
        (
            "Retry-After: 120 (I'm in a meeting)",
            Name::RetryAfter,
            Some(120),
        ),
        ("Retry-After: soon", Name::RetryAfter, None),
        ("Min-Expires: 99999999999", Name::MinExpires, Some(u32::MAX)),
    ];
    for (line, name, expected) in table {
        let text = format!("SIP/2.0 503 x\r\nVia: SIP/2.0/UDP a\r\n{line}\r\n\r\n");
        with(&text, |message| {
            assert_eq!(message.number(name), expected, "{line}");
        });
    }
}
