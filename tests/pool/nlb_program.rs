//! `presently nlb` as a program: what it refuses, what it shows, what it takes over while it runs.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use presently::nlb::SessionList;
use presently_tests::program::{Application, Guest, Nlb, Place, Plan, Pool, Town, run, until};

fn pool() -> Pool {
    Pool::with(&Plan {
        weights: vec![1],
        ..Plan::default()
    })
}

#[test]
fn a_bad_configuration_is_one_clear_line() {
    let place = Place::new();
    let head = "domain = \"example.com\"\npresence = \"udp:127.0.0.1:5060\"\n";
    let listen = "[[listen]]\nkind = \"http\"\naddress = \"127.0.0.1:0\"\n";
    let server = "[[server]]\nname = \"a1\"\naddress = \"127.0.0.1:9001\"\n";
    let user = "user = [{ header = \"X-User\" }]\n";
    let table = [
        ("", ":1: missing field `domain`"),
        (
            "domain = \"example.com\"\npresence = \"here\"\n",
            ":2: a presence server is udp:",
        ),
        (
            &format!("{head}wehn_unreachable = \"serve\"\n"),
            ":3: unknown field `wehn_unreachable`",
        ),
        (
            &format!("{head}[[server]]\nname = \"a1\"\n"),
            ":3: missing field `address`",
        ),
        (
            &format!("{head}[guard]\nshare_percent = \"x\"\n"),
            ":4: share_percent must be a whole number from 0 to 255",
        ),
        (&format!("{head}{user}{server}"), "no [[listen]]"),
        (&format!("{head}{user}{listen}"), "no [[server]]"),
        (
            &format!("{head}{listen}{server}"),
            "nothing names a user there",
        ),
        (
            &format!("{head}{user}{listen}{server}{server}"),
            "two [[server]] are called a1",
        ),
        (
            &format!("{head}sip = \"0.0.0.0:1\"\n{user}{listen}{server}"),
            "sip = 0.0.0.0:1",
        ),
        (
            &format!("{head}store = \"sqlite:/\"\n{user}{listen}{server}"),
            "store /: ",
        ),
    ];
    for (text, expected) in table {
        let file = place.write("nlb.toml", text);
        let output = run(["nlb", "--config", &file]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{text}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.starts_with("presently: ") && said.contains(expected),
            "{said}"
        );
    }
    assert!(!run(["nlb"]).status.success());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let place = Place::new();
    let server = Application::start("a1");
    let settings = Nlb::settings(&place, "127.0.0.1:9".parse().unwrap(), &[&server]);
    let taken = server.address.to_string();
    let http = "address = \"127.0.0.1:0\"\n[health]";
    let sip = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sip_taken = sip.local_addr().unwrap().to_string();
    let own_sip = settings
        .lines()
        .find(|line| line.starts_with("sip"))
        .unwrap();
    let table = [
        (
            settings.replace(http, &format!("address = \"{taken}\"\n[health]")),
            &taken,
        ),
        (
            settings.replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{taken}\"")),
            &taken,
        ),
        (
            settings.replace(own_sip, &format!("sip = \"{sip_taken}\"")),
            &sip_taken,
        ),
    ];
    for (text, address) in table {
        let file = place.write("nlb.toml", &text);
        let output = run(["nlb", "--config", &file]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(address.as_str()),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn status_shows_who_is_served_and_where() {
    let pool = pool();
    let server = Application::start("a1");
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    let nlb = Nlb::start(&pool.place, &settings);
    let mut guest = Guest::open(nlb.http, "alice", None).unwrap();
    assert!(guest.echo());
    nlb.until_steps("alice", &["baseline"]);
    let admin = nlb.admin.to_string();
    let output = run(["nlb", "status", "--admin", &admin]);
    let text = String::from_utf8(output.stdout).unwrap();
    let uuid = nlb.session("alice").unwrap().uuid;
    for part in [
        "sip:alice@example.com",
        "a1",
        "serving",
        &uuid,
        "1 session\n",
        "up",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let output = run(["nlb", "status", "--admin", &admin, "--json"]);
    let list: SessionList = serde_json::from_slice(&output.stdout).unwrap();
    let [row] = list.sessions.try_into().expect("one session");
    assert_eq!((row.user.as_str(), row.paths), ("sip:alice@example.com", 1));
    assert_eq!(row.server.as_deref(), Some("a1"));
    assert!(
        row.from_user_bytes > 0 && row.to_user_bytes > 0 && !row.why.is_empty(),
        "{row:?}"
    );
    let output = run(["nlb", "status", "--admin", &pool.balancer.admin.to_string()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("is no nlb") && said.lines().count() == 1,
        "{said}"
    );
}

/// Has `nlb` read its file again, which now says `text`, and waits until it has said `line`.
fn reload(nlb: &Nlb, pool: &Pool, text: &str, line: &str) {
    pool.place.write("nlb.toml", text);
    nlb.process.signal("HUP");
    until(line, Duration::from_secs(10), || {
        let said = nlb.process.said();
        said.iter().any(|said| said.contains(line)).then_some(())
    });
}

#[test]
fn a_reload_changes_the_servers_and_says_what_needs_a_restart() {
    let pool = pool();
    let servers = [Application::start("a1"), Application::start("a2")];
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&servers[0]]);
    let nlb = Nlb::start(&pool.place, &settings);
    let mut alice = Guest::open(nlb.http, "alice", None).unwrap();
    assert_eq!(alice.server, "a1");
    let reload = |text: &str, line: &str| reload(&nlb, &pool, text, line);
    let second = settings.replace(&Nlb::servers(&[&servers[0]]), &Nlb::servers(&[&servers[1]]));
    reload(&second, "nlb.toml: server");
    let bob = Guest::open(nlb.http, "bob", None).unwrap();
    assert_eq!(bob.server, "a2");
    assert!(
        alice.echo(),
        "the user of a server that was taken from the list was cut"
    );
    let states = nlb.sessions().servers;
    let states: Vec<_> = states
        .iter()
        .map(|row| (&*row.server, &*row.state))
        .collect();
    assert_eq!(states, [("a1", "draining"), ("a2", "up")]);
    reload(
        &second.replace("threads = 1", "threads = 2"),
        "needs a restart",
    );
    reload("domain = 3\n", "the configuration stays as it was");
    assert!(alice.echo() && Guest::open(nlb.http, "carol", None).is_ok());
}

#[test]
fn the_users_of_a_server_that_was_taken_off_the_list_move_when_it_dies() {
    let pool = pool();
    let servers = [Application::start("a1"), Application::start("a2")];
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&servers[0]]);
    let nlb = Nlb::start(&pool.place, &settings);
    let mut alice = Guest::open(nlb.http, "alice", None).unwrap();
    let second = settings.replace(&Nlb::servers(&[&servers[0]]), &Nlb::servers(&[&servers[1]]));
    reload(&nlb, &pool, &second, "nlb.toml: server");
    assert!(alice.echo());
    assert_eq!(nlb.metrics().get("nlb_server_up"), 2, "of two");
    servers[0].die();
    alice.until_closed();
    nlb.until_steps("alice", &["moved"]);
    let again = Guest::open(nlb.http, "alice", None).unwrap();
    assert_eq!(again.server, "a2");
    let rows = nlb.sessions().servers;
    assert!(rows.iter().all(|row| row.server == "a2"), "{rows:?}");
    assert_eq!(nlb.metrics().get("nlb_server_up"), 1, "of one");
}

#[test]
fn open_connections_ask_at_the_address_that_a_reload_gives_their_server() {
    let pool = pool();
    let (asked, seen) = mpsc::channel();
    let servers = ["old", "new"].map(|which| {
        let asked = asked.clone();
        Application::start_with("a1", move |_| asked.send(which).unwrap())
    });
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&servers[0]]);
    let nlb = Nlb::start(&pool.place, &settings);
    let mut client = TcpStream::connect(nlb.http).unwrap();
    let mut ask = || {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-User: alice\r\n\r\n";
        client.write_all(request).unwrap();
        seen.recv_timeout(Duration::from_secs(10)).unwrap()
    };
    assert_eq!(ask(), "old");
    let second = settings.replace(&Nlb::servers(&[&servers[0]]), &Nlb::servers(&[&servers[1]]));
    reload(&nlb, &pool, &second, "nlb.toml: server");
    assert_eq!(ask(), "new");
    assert_eq!(nlb.session("alice").unwrap().paths, 1);
}

#[test]
fn sip_of_other_hosts_is_counted_and_not_taken() {
    let pool = pool();
    let server = Application::start("a1");
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    let nlb = Nlb::start(&pool.place, &settings);
    let sip = settings
        .lines()
        .find_map(|line| line.strip_prefix("sip = "))
        .unwrap();
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    let text = "OPTIONS sip:nlb1@example.com SIP/2.0\r\n\r\n";
    stranger
        .send_to(text.as_bytes(), sip.trim_matches('"'))
        .unwrap();
    until("it to be counted", Duration::from_secs(5), || {
        (nlb.metrics().get("nlb_messages_strange") == 1).then_some(())
    });
    assert_eq!(nlb.metrics().get("nlb_messages_stray"), 0);
}

#[test]
fn raw_tcp_is_of_the_user_whose_phone_is_registered_from_the_same_host() {
    let pool = pool();
    let server = Application::start("a1");
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    let settings = settings
        .replace("nlb.db", "pool.db")
        .replace("kind = \"http\"", "kind = \"tcp\"");
    let nlb = Nlb::start(&pool.place, &format!("by_address = true\n{settings}"));
    // The nlb's own registrations come from this host too, and are no phones.
    assert!(
        Guest::try_open(nlb.http, b"").is_none(),
        "nobody is registered"
    );
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    town.register(alice);
    let mut guest = Guest::try_open(nlb.http, b"").expect("alice is registered here");
    assert!(guest.echo());
    assert_eq!(nlb.session("alice").unwrap().paths, 1);
    assert_eq!(nlb.metrics().get("nlb_addresses_looked_up"), 2);
}
