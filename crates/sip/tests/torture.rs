//! Goal: the messages that RFC 4475 §3 and RFC 5118 §4 wrote to torture a parser come to the end
//! that we mean, each for a reason.
//! Method: one row a message. Bodies that say nothing about SIP are ours.

use std::collections::BTreeSet;
use std::path::PathBuf;

use presently_sip::{
    Aor, CSeq, Date, Defect, Edits, Framing, Host, Index, InvalidAor, Message, Method, Name,
    NameAddr, ReadError, Response, Scheme, Start, Stream, Uri, Via,
};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// A request that is answered with an error before anything else, or a response that is
    /// ignored.
    Defect(Defect),
    /// Nobody is answered.
    Dropped(ReadError),
    /// Read as it was meant.
    Whole,
}
use End::{Dropped, Whole};

const fn broken(name: Name) -> End {
    End::Defect(Defect::Header(name))
}

#[rustfmt::skip] // A table reads better in columns.
const TABLE: [(&str, End); 60] = [
    // RFC 4475 §3.1.1: valid, however it looks
    ("wsinv", Whole),
    ("intmeth", Whole),
    ("esc01", Whole),
    ("escnull", Whole),
    ("esc02", Whole),
    ("lwsdisp", Whole),
    ("longreq", Whole),
    ("dblreq", Whole),                  // what follows the first request in the datagram is cut
    ("semiuri", Whole),
    ("transports", Whole),
    ("mpart01", Whole),
    ("unreason", Whole),
    ("noreason", Whole),
    // RFC 4475 §3.1.2: broken
    ("badinv01", broken(Name::Via)),    // a Via value without a sent-by
    ("clerr", End::Defect(Defect::ContentLength)),
    ("ncl", End::Defect(Defect::ContentLength)),
    ("scalar02", broken(Name::CSeq)),   // 2⁶⁵
    ("scalarlg", broken(Name::CSeq)),   // a response: ignored
    ("quotbal", broken(Name::To)),      // the quote never ends
    ("ltgtruri", End::Defect(Defect::Uri)),
    ("lwsruri", End::Defect(Defect::Uri)),
    ("lwsstart", End::Defect(Defect::Uri)),
    ("trws", Whole),                    // lenient: the blanks mean nothing
    ("escruri", End::Defect(Defect::Uri)),
    ("baddate", Whole),                 // who reads Date finds none
    ("regbadct", Whole),                // who reads Contact finds it broken
    ("badaspec", broken(Name::To)),     // blanks inside the brackets
    ("baddn", Whole),                   // lenient: From and To are no lists, the comma is harmless
    ("badvers", End::Defect(Defect::Version)),
    ("mismatch01", broken(Name::CSeq)),
    ("mismatch02", broken(Name::CSeq)),
    ("bigcode", Dropped(ReadError::Syntax)),
    // RFC 4475 §3.2 and §3.3: for the layers above
    ("badbranch", Whole),               // who matches transactions takes it for none
    ("insuf", broken(Name::From)),
    ("unkscm", Whole),                  // 416, said by who serves
    ("novelsc", Whole),                 // 416
    ("unksm2", Whole),                  // 416
    ("bext01", Whole),                  // 420
    ("invut", Whole),
    ("regaut01", Whole),
    ("multi01", broken(Name::From)),    // repeated
    ("mcl01", End::Defect(Defect::ContentLength)),
    ("bcast", Whole),                   // two Vias: dropped by who has no such transaction
    ("zeromf", Whole),                  // 483, said by a proxy
    ("cparam01", Whole),
    ("cparam02", Whole),
    ("regescrt", Whole),
    ("sdp01", Whole),
    // RFC 4475 §3.4
    ("inv2543", Whole),                 // neither tag, Max-Forwards nor Content-Length
    // RFC 5118 §4
    ("v6-good", Whole),
    ("v6-bad", End::Defect(Defect::Uri)),   // an IPv6 address without brackets
    ("v6-port-ambiguous", Whole),           // the port is part of the address
    ("v6-port-unambiguous", Whole),
    ("v6-received-delimited", Whole),
    ("v6-received-bare", Whole),
    ("v6-in-sdp", Whole),
    ("v6-many-in-header", Whole),
    ("v6-many-in-sdp", Whole),
    ("v6-mapped-ipv4", Whole),
    ("v6-three-colons", Whole),
];

#[test]
fn each_message_comes_to_its_end() {
    for (name, expected) in TABLE {
        let bytes = torture(name);
        let mut index = Index::default();
        let end = match index.read(&bytes, Framing::Datagram) {
            Ok(message) => message.defect().map_or(Whole, End::Defect),
            Err(error) => Dropped(error),
        };
        assert_eq!(end, expected, "{name}");
    }
}

#[test]
fn each_file_has_a_row() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let rows: BTreeSet<String> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, rows);
}

#[test]
fn whatever_is_answered_is_answered_readably() {
    for (name, _) in TABLE {
        let bytes = torture(name);
        let mut index = Index::default();
        let Ok(message) = index.read(&bytes, Framing::Datagram) else {
            continue;
        };
        let (mut out, edits) = (Vec::new(), Edits::default());
        let expected = message.defect().map_or(200, Defect::status);
        Response::to(&mut out, &message, &edits, expected, "t").end();
        let mut answer = Index::default();
        let answer = answer.read(&out, Framing::Stream).unwrap();
        let Start::Response { status, .. } = answer.start() else {
            panic!("{name} is answered with a request");
        };
        assert_eq!(status, expected, "{name}");
        assert_eq!(
            answer.via().unwrap().branch(),
            message.via().unwrap().branch()
        );
    }
}

#[test]
fn the_tortuous_invite_is_understood() {
    with("wsinv", |message| {
        let (from, to) = (message.from().unwrap(), message.to().unwrap());
        assert_eq!(from.display, r#""J Rosenberg \\\"""#);
        assert_eq!(from.uri, "sip:jdrosen@example.com");
        assert_eq!(from.tag(), Some("98asjd8"));
        assert_eq!((to.display, to.tag()), ("", Some("1918181833n")));
        assert_eq!(message.number(Name::MaxForwards), Some(68));
        let method = "INVITE";
        assert_eq!(message.cseq(), Some(CSeq { number: 9, method }));
        assert_eq!(message.body().len(), 150);

        let vias: Vec<_> = message
            .values(Name::Via)
            .filter_map(Via::parse)
            .map(|via| (via.transport, via.host.0, via.branch().unwrap()))
            .collect();
        let expected = [
            ("UDP", "192.0.2.2", "390skdjuw"),
            ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
            ("UDP", "192.168.255.111", "z9hG4bK30239"),
        ];
        assert_eq!(vias, expected);

        let params = contact(&message).unwrap().params;
        assert_eq!(params.value("newparam"), Some("newvalue"));
        assert_eq!(params.value("q"), Some("0.33"));
        assert!(params.has("secondparam"));

        let value = |wanted: &[u8]| {
            let mut headers = message.headers();
            headers.find(|(_, name, _)| *name == wanted).unwrap().2
        };
        let folded = b"newfangled value\r\n continued newfangled value";
        assert_eq!(value(b"NewFangledHeader"), folded);
        assert_eq!(value(b"s"), b"");
    });
}

#[test]
fn unusual_characters_are_kept() {
    with("intmeth", |message| {
        let Start::Request {
            method,
            method_text,
            ..
        } = message.start()
        else {
            panic!("a request");
        };
        assert_eq!(method, Method::Other);
        assert_eq!(method_text, "!interesting-Method0123456789_*+`.%indeed'~");
        let uri = Uri::parse(request_uri(&message)).unwrap();
        let user = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*";
        assert_eq!(uri.user, Some(user));
        let password = "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)";
        assert_eq!(uri.password, Some(password));
        assert_eq!(uri.host.0, "example.com");
        let (from, to) = (message.from().unwrap(), message.to().unwrap());
        assert_eq!(to.display, "\"BEL:\\\u{7} NUL:\\\0 DEL:\\\u{7f}\"");
        assert_eq!(from.display, "token1~` token2'+_ token3*%!.-");
        assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
        let param = from.params.unquoted("fromParam''~+*_!.-%");
        assert_eq!(param, Some("работающий"));
        let call_id = "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{";
        assert_eq!(message.call_id(), Some(call_id));
    });
}

#[test]
fn escapes_are_undone_once_and_only_in_uris() {
    with("esc01", |message| {
        let aor = Aor::parse(request_uri(&message)).unwrap();
        assert_eq!(aor.user(), "sips:user@example.com");
        assert_eq!(aor.host(), "example.net");
        assert_eq!(aor.to_string(), "sip:sips%3Auser%40example.com@example.net");
        let to = Aor::parse(message.to().unwrap().uri).unwrap();
        assert_eq!(to.as_str(), "sip:user@example.com");
        let from = Aor::parse(message.from().unwrap().uri).unwrap();
        assert_eq!(from.user(), "I have spaces");
    });
    with("esc02", |message| {
        assert_eq!(message.to().unwrap().display, "\"%Z%45\"");
        assert_eq!(message.values(Name::Contact).count(), 2);
    });
    with("escnull", |message| {
        let mut contacts = message.values(Name::Contact).filter_map(NameAddr::parse);
        let mut next = || Uri::parse(contacts.next().unwrap().uri).unwrap();
        assert!(!next().is_equal(&next()));
        // A NUL ends a key in some store or log: such a user is nobody here.
        let to = Aor::parse(message.to().unwrap().uri);
        assert_eq!(to, Err(InvalidAor::Syntax));
    });
}

#[test]
fn one_datagram_is_one_message_and_a_stream_is_two() {
    let bytes = torture("dblreq");
    let mut index = Index::default();
    let message = index.read(&bytes, Framing::Datagram).unwrap();
    assert_eq!(message.body(), b"");
    let mut stream = Stream::default();
    stream.push(&bytes);
    let mut pings = 0;
    let starts: Vec<_> = std::iter::from_fn(|| stream.next_message(&mut pings).unwrap())
        .map(|message| message.slice(..8))
        .collect();
    assert_eq!(starts, ["REGISTER", "INVITE s"]);
}

#[test]
fn what_is_valid_and_rare_is_understood() {
    with("semiuri", |message| {
        let aor = Aor::parse(request_uri(&message)).unwrap();
        assert_eq!(aor.user(), "user;par=u@example.net");
    });
    with("transports", |message| {
        let vias = message.values(Name::Via).filter_map(Via::parse);
        let transports: Vec<&str> = vias.map(|via| via.transport).collect();
        assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    });
    with("longreq", |message| {
        assert_eq!(message.values(Name::Via).count(), 34);
        assert_eq!(message.from().unwrap().tag().unwrap().len(), 155);
    });
    with("mpart01", |message| assert!(message.body().contains(&0)));
    with("unreason", |message| {
        let Start::Response { status, reason } = message.start() else {
            panic!("a response");
        };
        assert_eq!(status, 200);
        assert!(std::str::from_utf8(reason).unwrap().ends_with("простое"));
    });
    with("noreason", |message| {
        let Start::Response { status, reason } = message.start() else {
            panic!("a response");
        };
        assert_eq!((status, reason), (100, b"".as_slice()));
    });
}

#[test]
fn what_others_refuse_they_are_shown() {
    with("baddate", |message| {
        assert_eq!(Date::parse(message.text(Name::Date).unwrap()), None);
    });
    with("regbadct", |message| assert!(contact(&message).is_none()));
    with("unkscm", |message| {
        let uri = request_uri(&message);
        assert_eq!(Uri::parse(uri).unwrap().scheme, Scheme::Other);
        assert_eq!(Aor::parse(uri), Err(InvalidAor::Scheme));
    });
    with("bext01", |message| {
        let tags: Vec<&str> = message.require_tags().collect();
        assert_eq!(tags, ["nothingSupportsThis", "nothingSupportsThisEither"]);
    });
    with("scalar02", |message| {
        assert_eq!(message.number(Name::Expires), Some(u32::MAX));
    });
    for (name, in_uri) in [("cparam01", false), ("cparam02", true)] {
        with(name, |message| {
            let contact = contact(&message).unwrap();
            let uri = Uri::parse(contact.uri).unwrap();
            assert_eq!(uri.params.has("unknownparam"), in_uri);
            assert_eq!(contact.params.has("unknownparam"), !in_uri);
        });
    }
}

#[test]
fn ipv6_is_read_wherever_it_stands() {
    let table = [
        ("v6-good", "2001:db8::10", None),
        ("v6-port-ambiguous", "2001:db8::10:5070", None),
        ("v6-port-unambiguous", "2001:db8::10", Some(5070)),
        ("v6-three-colons", "2001:db8::c000:201", None),
    ];
    for (name, address, port) in table {
        with(name, |message| {
            let uri = Uri::parse(request_uri(&message)).unwrap();
            assert_eq!(uri.host.address(), Some(address.parse().unwrap()), "{name}");
            assert_eq!(uri.port, port, "{name}");
        });
    }
    for name in ["v6-received-bare", "v6-received-delimited"] {
        with(name, |message| {
            let via = message.via().unwrap();
            let received = Host(via.params.value("received").unwrap());
            assert_eq!(received.address(), Some("2001:db8::9:255".parse().unwrap()));
        });
    }
    with("v6-mapped-ipv4", |message| {
        let via = message.via().unwrap();
        assert_eq!((via.host.0, via.port), ("[::ffff:192.0.2.10]", Some(19823)));
    });
}

/// Runs `check` on one message.
fn with(name: &str, check: impl FnOnce(Message<'_>)) {
    let bytes = torture(name);
    let mut index = Index::default();
    check(
        index
            .read(&bytes, Framing::Datagram)
            .expect("a readable message"),
    );
}

fn contact<'a>(message: &Message<'a>) -> Option<NameAddr<'a>> {
    message
        .values(Name::Contact)
        .next()
        .and_then(NameAddr::parse)
}

fn request_uri<'a>(message: &Message<'a>) -> &'a str {
    match message.start() {
        Start::Request { uri, .. } => uri,
        Start::Response { .. } => panic!("not a request"),
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/torture")
}

fn torture(name: &str) -> Vec<u8> {
    let path = folder().join(name).with_extension("sip");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
