//! Who the user is, by each way that the configuration file knows; seen in `/sessions`.

use presently_tests::program::{Application, Guest, Nlb, Place, Plan, Pool, Town, run};

fn pool() -> Pool {
    Pool::with(&Plan {
        weights: vec![1],
        ..Plan::default()
    })
}

/// A file's path in the tests' data.
fn key(name: &str) -> String {
    format!("{}/data/jwt/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The signed token called `name`.
fn token(name: &str) -> &'static str {
    let lines = include_str!("../data/jwt/tokens.tsv").lines();
    let mut tokens = lines.filter_map(|line| line.split_once('\t'));
    let found = tokens.find(|(found, _)| *found == name);
    found.expect("it is in the file").1
}

/// Settings whose users are named in every way that HTTP has.
fn by_http(settings: &str) -> String {
    let jwt = |algorithm: &str, file: &str, from: &str| {
        let file = key(file);
        format!("{{ jwt = {{ key_file = \"{file}\", algorithm = \"{algorithm}\"{from} }} }}")
    };
    let sources = [
        "{ header = \"X-User\" }".to_owned(),
        "{ cookie = \"user\" }".to_owned(),
        jwt("HS256", "hs256.key", ""),
        jwt("ES256", "es256.pem", ", from = { cookie = \"token\" }"),
        jwt(
            "RS256",
            "rs256.pem",
            ", from = { query = \"token\" }, issuer = \"us\", audience = \"nlb\"",
        ),
        "{ basic = true }".to_owned(),
        "{ query = \"user\" }".to_owned(),
    ];
    let sources = format!("user = [\n{},\n]", sources.join(",\n"));
    settings.replace("user = [{ header = \"X-User\" }]", &sources)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn each_way_of_naming_a_user_over_http_gives_the_session_its_user() {
    let pool = pool();
    let server = Application::start("a1");
    let settings = by_http(&Nlb::settings(&pool.place, pool.udp(), &[&server]));
    let nlb = Nlb::start(&pool.place, &settings);
    let in_query = |name: &str| format!("/desk?token={}", token(name));
    let in_cookie = |name: &str| format!("Cookie: token={}\r\n", token(name));
    let named = [
        ("header", "/".to_owned(), "X-User: header\r\n".to_owned()),
        ("cookie", "/".into(), "Cookie: a=b; user=cookie\r\n".into()),
        ("hs256", "/".into(), bearer(token("hs256"))),
        ("es256", "/".into(), in_cookie("es256")),
        ("rs256", in_query("rs256"), String::new()),
        // basic:secret
        (
            "basic",
            "/".into(),
            "Authorization: Basic YmFzaWM6c2VjcmV0\r\n".into(),
        ),
        ("query", "/?user=query".into(), String::new()),
    ];
    let guests = named.map(|(user, target, headers)| {
        let guest = Guest::ask(nlb.http, &target, &headers);
        let guest = guest.unwrap_or_else(|status| panic!("{user}: {status}"));
        let session = nlb.session(user).expect(user);
        assert_eq!((session.paths, &*session.state), (1, "serving"), "{user}");
        guest
    });
    let refused = [
        ("nobody", "/".to_owned(), String::new()),
        ("over", "/".into(), bearer(token("hs256-over"))),
        ("not yet", "/".into(), bearer(token("hs256-early"))),
        ("unsigned", "/".into(), bearer(token("none"))),
        ("other key", "/".into(), bearer(token("rs256"))),
        ("over", "/".into(), in_cookie("es256-over")),
        ("not yet", "/".into(), in_cookie("es256-early")),
        ("other key", "/".into(), in_cookie("hs256")),
        ("over", in_query("rs256-over"), String::new()),
        ("not yet", in_query("rs256-early"), String::new()),
        ("another issuer", in_query("rs256-theirs"), String::new()),
        // Signed with the public key as if it were a secret (RFC 8725 §2.1).
        ("confused", in_query("confused"), String::new()),
        // The first way that says something decides, and here it is not to be believed.
        ("refused", "/?user=query".into(), bearer(token("none"))),
    ];
    for (what, target, headers) in &refused {
        let status = Guest::ask(nlb.http, target, headers).unwrap_err();
        assert_eq!(status, 401, "{what}");
    }
    let count = i64::try_from(refused.len()).unwrap();
    assert_eq!(nlb.metrics().get("nlb_paths_refused_anonymous"), count);
    assert_eq!(nlb.sessions().sessions_total, 7, "{}", guests.len());
}

#[test]
fn who_names_nobody_passes_with_a_slot_and_without_a_session_when_told_so() {
    let pool = pool();
    let server = Application::start("a1");
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    let settings = settings.replace("slots = 10", "slots = 3");
    let nlb = Nlb::start(&pool.place, &format!("anonymous = \"pass\"\n{settings}"));
    let mut guests = [(); 2].map(|()| Guest::ask(nlb.http, "/", "").unwrap());
    assert_eq!(nlb.sessions().sessions_total, 0);
    let mut alice = Guest::open(nlb.http, "alice", None).expect("a slot is free");
    assert_eq!(nlb.session("alice").unwrap().paths, 1);
    assert!(alice.echo() && guests.iter_mut().all(Guest::echo));
    let metrics = nlb.metrics();
    let counted = ["nlb_paths", "nlb_server_sessions", "nlb_sessions"];
    assert_eq!(counted.map(|name| metrics.get(name)), [3, 3, 1]);
    assert_eq!(Guest::ask(nlb.http, "/", "").unwrap_err(), 503);
}

#[test]
fn a_key_that_cannot_be_used_is_one_clear_line() {
    let place = Place::new();
    let server = Application::start("a1");
    let settings = Nlb::settings(&place, "127.0.0.1:9".parse().unwrap(), &[&server]);
    let short = place.write("short.key", "not long enough\n");
    let no_pem = "not a public key of that algorithm in PEM";
    let table = [
        ("HS256", key("none.key"), "cannot be read: No such file"),
        ("HS256", short, "cannot be used: the key is too short"),
        ("HS256", key("rs256.pem"), "a public key is no secret"),
        ("ES256", key("rs256.pem"), no_pem),
        ("ES256", key("p-384.pem"), no_pem),
        ("ES256", key("hs256.key"), no_pem),
        ("RS256", key("es256.pem"), no_pem),
        ("RS256", key("rsa-1024.pem"), "the key is too short"),
        ("none", key("hs256.key"), "unknown variant `none`"),
    ];
    for (algorithm, file, expected) in table {
        let jwt = format!("jwt = {{ key_file = \"{file}\", algorithm = \"{algorithm}\" }}");
        let text = settings.replace("header = \"X-User\"", &jwt);
        let path = place.write("nlb.toml", &text);
        let output = run(["nlb", "--config", &path]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{algorithm} {file}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(expected), "{said}");
        let is_named = algorithm == "none" || said.contains(&file);
        assert!(is_named, "{said}");
    }
}

/// A PROXY header of version 2 for a connection from `host`, with the user's name if there is one.
fn proxy_v2(host: [u8; 4], user: Option<&str>) -> Vec<u8> {
    let user = user.map_or(Vec::new(), |user| {
        let length = u8::try_from(user.len()).unwrap();
        [&[0xe0, 0, length], user.as_bytes()].concat()
    });
    let length = u8::try_from(12 + user.len()).unwrap();
    let head = [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, 0x11, 0, length][..]].concat();
    let ports = [0x9c, 0x40, 0, 80];
    [&head[..], &host, &[127, 0, 0, 1], &ports, &user].concat()
}

#[test]
fn each_way_of_naming_a_user_over_raw_tcp_gives_the_session_its_user() {
    let pool = pool();
    let server = Application::start("a1");
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    let listen = "[[listen]]\nkind = \"http\"\naddress = \"127.0.0.1:0\"\n";
    let tcp = listen.replace("http", "tcp");
    let listeners = format!("{tcp}first_word = \"USER\"\n{tcp}proxy_protocol = \"required\"\n");
    let settings = settings.replace(listen, &listeners);
    let settings = settings.replace("nlb.db", "pool.db");
    let head = "by_address = true\ntrusted = [\"127.0.0.1/32\"]\n";
    let nlb = Nlb::start(&pool.place, &format!("{head}{settings}"));
    let [by_word, by_header] = nlb.listeners().try_into().expect("two listeners");
    let mut town = Town::default();
    for (user, host) in [("one", "127.0.0.2"), ("two", "127.0.0.3")] {
        let phone = town.udp_at(user, pool.udp(), host);
        town.register(phone);
    }
    let table = [
        ("word", by_word, b"USER word\n".to_vec()),
        ("tlv", by_header, proxy_v2([192, 0, 2, 1], Some("tlv"))),
        // The source that the header names is where a phone is registered from.
        (
            "one",
            by_header,
            b"PROXY TCP4 127.0.0.2 127.0.0.1 4000 80\r\n".to_vec(),
        ),
        ("two", by_header, proxy_v2([127, 0, 0, 3], None)),
    ];
    let guests = table.map(|(user, listener, opening)| {
        let mut guest = Guest::try_open(listener, &opening).expect(user);
        assert!(guest.echo(), "{user}");
        assert_eq!(nlb.session(user).expect(user).paths, 1);
        guest
    });
    let refused: [(_, &[u8]); 5] = [
        (by_word, b"USER\nalone\n"),
        (by_word, b"user word\n"),
        (by_header, b""),
        (by_header, b"PROXY TCP4 127.0.0.9 127.0.0.1 4000 80\r\n"),
        (by_header, &proxy_v2([127, 0, 0, 9], None)),
    ];
    for (listener, opening) in refused {
        let opened = Guest::try_open(listener, opening);
        assert!(opened.is_none(), "{}", String::from_utf8_lossy(opening));
    }
    let total = u64::try_from(guests.len()).unwrap();
    assert_eq!(nlb.sessions().sessions_total, total);
}
