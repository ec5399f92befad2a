//! Each key of the file, and the line that a mistake is named with.

use super::*;
use crate::config::parse;

const WHOLE: &str = r#"
name = "nlb7"
domain = "example.com"
presence = "tcp:192.0.2.1:5060"
presence_from = ["192.0.2.1", "192.0.2.2"]
sip = "192.0.2.7:5080"
when_unreachable = "serve"
store = "sqlite:/var/lib/presently/nlb.db"
admin = "127.0.0.1:9091"
threads = 4
aor = "sip:{user}@people.example.com"
anonymous = "pass"
at_stop = "release"
trusted = ["10.0.0.0/8"]
forwarding = "untouched"
by_address = true
log = "json"
log_level = "info"
user = [
  { header = "X-User" }, { cookie = "user" }, { basic = true }, { query = "user" },
  { jwt = { claim = "name", key_file = "key", algorithm = "HS256", from = { cookie = "t" } } },
]
device = [{ jwt = { key_file = "key", algorithm = "HS256" } }]

[[listen]]
kind = "http"
address = "127.0.0.1:8080"

[[listen]]
kind = "tcp"
address = "127.0.0.1:3389"
proxy_protocol = "required"
send_proxy = true
first_word = "USER"

[[server]]
name = "a1"
address = "127.0.0.1:9001"
slots = 100
weight = 2

[[server]]
name = "a2"
address = "127.0.0.1:9002"

[health]
path = "/up"
[decision]
grace_ms = 700
[resume]
tries = 2
url = "https://example.com/desk"
[guard]
share_percent = 40
[timeouts]
session_idle_secs = 60
[refresh]
probe_ms = 700
[limits]
sessions = 100
queue = 3
"#;

#[test]
fn each_key_is_read() {
    let settings: Settings = parse("f", WHOLE).unwrap();
    assert_eq!(settings.presence.to_string(), "tcp:192.0.2.1:5060");
    assert_eq!(settings.presence_from.len(), 2);
    assert_eq!(settings.sip.unwrap().0.port(), 5080);
    assert_eq!(settings.when_unreachable, WhenUnreachable::Serve);
    assert_eq!(settings.anonymous, Anonymous::Pass);
    assert_eq!(settings.user[0], Source::Header("X-User".to_owned()));
    let Source::Jwt(jwt) = &settings.user[4] else {
        panic!("{:?}", settings.user)
    };
    assert_eq!(jwt.from, JwtWhere::Cookie("t".to_owned()));
    let Source::Jwt(jwt) = &settings.device[0] else {
        panic!("{:?}", settings.device)
    };
    assert_eq!((jwt.claim.as_str(), &jwt.from), ("sub", &JwtWhere::Bearer));
    assert_eq!(settings.at_stop, AtStop::Release);
    assert_eq!(settings.forwarding, Forwarding::Untouched);
    assert!(settings.by_address && settings.trusted.len() == 1);
    let tcp = &settings.listen[1];
    assert_eq!(
        (tcp.kind, tcp.proxy_protocol),
        (ListenKind::Tcp, ProxyProtocol::Required)
    );
    assert_eq!(
        (tcp.send_proxy, tcp.first_word.as_deref()),
        (true, Some("USER"))
    );
    let [one, other] = settings.server.as_slice() else {
        panic!("{:?}", settings.server)
    };
    assert_eq!((one.slots, one.weight), (NonZeroU32::new(100), 2));
    assert_eq!((other.slots, other.weight), (None, 1));
    assert_eq!(settings.health.path.as_deref(), Some("/up"));
    assert_eq!(settings.decision.grace_ms, 700);
    assert_eq!(settings.resume.tries.get(), 2);
    assert_eq!(settings.guard.share_percent, 40);
    assert_eq!(settings.guard.at_least, GuardTable::default().at_least);
    assert_eq!(settings.timeouts.session_idle_secs, 60);
    assert_eq!(settings.refresh.probe_ms, 700);
    assert_eq!((settings.limits.queue, settings.limits.sessions), (3, 100));
}

#[test]
fn a_mistake_is_named_with_its_line() {
    let head = "domain = \"example.com\"\npresence = \"udp:127.0.0.1:5060\"\n";
    let table = [
        ("nmae = \"x\"\n", "f:3: unknown field `nmae`"),
        ("sip = \"here\"\n", "f:3: \"here\" is no HOST:PORT"),
        (
            "\nwhen_unreachable = \"hope\"\n",
            "f:4: unknown variant `hope`",
        ),
        (
            "[[server]]\nname = \"a\"\nadress = \"\"\n",
            "f:5: unknown field `adress`",
        ),
        (
            "[[server]]\naddress = \"127.0.0.1:1\"\n",
            "f:3: missing field `name`",
        ),
        (
            "user = [{ hedder = \"X\" }]\n",
            "f:3: unknown variant `hedder`",
        ),
        ("user = [{ header = \"X\", cookie = \"Y\" }]\n", "f:3: "),
        (
            "user = [{ jwt = { key_file = \"k\", algorithm = \"none\" } }]\n",
            "f:3: unknown variant `none`",
        ),
        ("[[listen]]\nkind = \"udp\"\n", "f:4: unknown variant `udp`"),
        (
            "[health]\nrise = 0\n",
            "f:4: rise must be a whole number from 1 to ",
        ),
        (
            "by_address = \"yes\"\n",
            "f:3: by_address must be true or false, not \"yes\"",
        ),
        (
            "[[server]]\nslots = 1.5\n",
            "f:4: slots must be a whole number from 1 to 4294967295",
        ),
        (
            "user = [{ header = 3 }]\n",
            "f:3: header must be a text in quotes",
        ),
        ("[guard]\nshare = 3\n", "f:4: unknown field `share`"),
        (
            "threads = 0\n",
            "f:3: threads must be a whole number from 1 to 65535",
        ),
    ];
    for (text, expected) in table {
        let error = parse::<Settings>("f", &format!("{head}{text}")).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let error = parse::<Settings>("f", "domain = \"a.example\"\npresence = \"127.0.0.1:1\"\n");
    let error = error.unwrap_err().to_string();
    let expected = "f:2: a presence server is udp:HOST:PORT or tcp:HOST:PORT";
    assert!(error.starts_with(expected), "{error}");
}

/// The keys that a table of the file may have, as the error for another one lists them.
fn keys(head: &str) -> Vec<String> {
    let error = parse::<Settings>("f", &format!("{head}\nno_such_key = 1\n")).unwrap_err();
    let error = error.to_string();
    let (_, list) = error.split_once(", expected one of ").expect(&error);
    let names = list
        .split(", ")
        .map(|name| name.trim_matches('`').to_owned());
    names.collect()
}

#[test]
fn the_manual_names_each_key() {
    let manual = include_str!("../../../../../docs/nlb.md");
    let tables = [
        "",
        "[[listen]]",
        "[[server]]",
        "[health]",
        "[decision]",
        "[resume]",
        "[guard]",
        "[timeouts]",
        "[refresh]",
        "[limits]",
    ];
    for table in tables {
        for key in keys(table) {
            let is_named = ["`", "`[", "`[["]
                .iter()
                .any(|mark| manual.contains(&format!("{mark}{key}")));
            assert!(is_named, "{table} {key}");
        }
    }
}
