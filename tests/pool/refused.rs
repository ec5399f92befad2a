//! What the program refuses to start with: one clear line, and a status that is not 0.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use presently_tests::program::{Place, Process, presently, run};
use rusqlite::Connection;

/// Runs `presently serve` with `args`, which it must refuse; gives the one line it said.
fn refusal(args: &[&str]) -> String {
    let output = run([&["serve"], args].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{args:?} was taken");
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
    let line = said.lines().next().unwrap_or_default().to_owned();
    assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    assert!(line.starts_with("presently: "), "{line}");
    line
}

/// As [`refusal`], of settings that are wrong wherever they are given; with a store and free ports.
fn refusal_here(place: &Place, args: &[&str]) -> String {
    let store = place.store();
    let line = refusal(&[args, &["--store", &store]].concat());
    assert!(!place.path("pool.db").exists(), "it made a store first");
    line
}

fn assert_names(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "no {part:?} in: {line}");
    }
}

#[test]
fn a_wrong_flag_is_named() {
    for (args, named) in [
        (["--server", "3"], "--server"),
        (["--listen", "tls:127.0.0.1:5061"], "--listen"),
        (["--store", "presently.db"], "--store"),
        (["--servers", "many"], "--servers"),
        (["--role", "king"], "--role"),
        (["--auth", "maybe"], "--auth"),
        (["--oob", "nowhere"], "--oob"),
        (["--admin", "9090"], "--admin"),
        (["--domain", "exa mple.com"], "exa mple.com"),
    ] {
        assert_names(&refusal(&args), &[named]);
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let place = Place::new();
    for (text, parts) in [
        ("servers = 2\nservres = 3\n", [":2:", "servres"]),
        ("\n\n[expires]\nmin = 3\n", [":4:", "min"]),
        ("servers = \"two\"\n", [":1:", "two"]),
        ("listen = [\"tls:127.0.0.1:1\"]\n", [":1:", "listen"]),
    ] {
        let file = place.write("pool.toml", text);
        let line = refusal_here(&place, &["--config", &file]);
        assert_names(&line, &[&format!("pool.toml{}", parts[0]), parts[1]]);
    }
    let missing = place.path("none.toml").display().to_string();
    assert_names(
        &refusal_here(&place, &["--config", &missing]),
        &["none.toml"],
    );
}

#[test]
fn a_taken_port_is_named() {
    let place = Place::new();
    let store = place.store();
    let holder = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let udp = holder.local_addr().unwrap();
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let tcp_address = tcp.local_addr().unwrap();
    for (flags, address) in [
        (vec!["--listen".to_owned(), format!("udp:{udp}")], udp),
        (
            vec!["--listen".to_owned(), format!("tcp:{tcp_address}")],
            tcp_address,
        ),
        (
            [
                "--listen",
                "udp:127.0.0.1:0",
                "--admin",
                &tcp_address.to_string(),
            ]
            .map(str::to_owned)
            .to_vec(),
            tcp_address,
        ),
        (
            [
                "--role",
                "server",
                "--name",
                "s1",
                "--oob",
                &udp.to_string(),
            ]
            .map(str::to_owned)
            .to_vec(),
            udp,
        ),
        (
            [
                "--role",
                "server",
                "--name",
                "s1",
                "--sip",
                &tcp_address.to_string(),
            ]
            .map(str::to_owned)
            .to_vec(),
            tcp_address,
        ),
    ] {
        let mut args: Vec<&str> = flags.iter().map(String::as_str).collect();
        args.extend(["--store", &store]);
        let line = refusal(&args);
        assert_names(&line, &[&address.to_string()]);
        let is_clear = line.contains("taken") || line.contains("in use");
        assert!(is_clear, "{line}");
    }
    drop((holder, tcp));
}

#[test]
fn a_wildcard_without_an_address_for_phones_is_refused() {
    let place = Place::new();
    for listen in ["udp:0.0.0.0:0", "tcp:[::]:0"] {
        let args = [
            "--listen",
            listen,
            "--auth",
            "off",
            "--domain",
            "example.com",
        ];
        assert_names(&refusal_here(&place, &args), &[listen, "advertise"]);
    }
}

#[test]
fn an_open_door_to_the_world_must_be_wished_for() {
    let place = Place::new();
    let listen = "udp:0.0.0.0:0,advertise=192.0.2.1";
    let args = ["--listen", listen, "--domain", "example.com"];
    assert_names(&refusal_here(&place, &args), &["--auth off"]);
    let args = ["--listen", listen, "--auth", "off"];
    assert_names(&refusal_here(&place, &args), &["--domain"]);
}

#[test]
fn a_member_alone_needs_a_name_and_an_address() {
    let place = Place::new();
    for role in ["balancer", "server"] {
        let args = ["--role", role, "--oob", "127.0.0.1:0"];
        assert_names(&refusal_here(&place, &args), &["--name"]);
        let args = ["--role", role, "--name", "x1", "--oob", "0.0.0.0:0"];
        assert_names(&refusal_here(&place, &args), &["--oob"]);
    }
    for (flag, value) in [("--sip", "127.0.0.1:0"), ("--weight", "2")] {
        let args = ["--role", "balancer", "--name", "b1", flag, value];
        assert_names(&refusal_here(&place, &args), &[flag]);
    }
    let args = ["--role", "server", "--name", "a b"];
    assert_names(&refusal_here(&place, &args), &["--name"]);
    assert_names(&refusal_here(&place, &["--servers", "0"]), &["--servers"]);
}

#[test]
fn an_unreadable_store_is_named() {
    let place = Place::new();
    let letter = place.path("letter");
    fs::write(
        &letter,
        "no database, but longer than the head of one. ".repeat(9),
    )
    .unwrap();
    let folder = place.path("folder");
    fs::create_dir(&folder).unwrap();
    for path in [letter.clone(), folder, letter.join("below")] {
        let path = path.display().to_string();
        let store = format!("sqlite:{path}");
        let line = refusal(&["--listen", "udp:127.0.0.1:0", "--store", &store]);
        assert_names(&line, &[&path]);
    }
}

#[test]
fn the_store_of_a_newer_program_is_left_alone() {
    let place = Place::new();
    let listen = [
        "serve",
        "--listen",
        "udp:127.0.0.1:0",
        "--store",
        &place.store(),
    ];
    let mut process = Process::spawn(&mut presently(listen));
    process.hear("a summary", |line| line.contains("admin").then_some(()));
    assert!(process.stop().success());
    let store = Connection::open(place.path("pool.db")).unwrap();
    store.pragma_update(None, "user_version", 4711).unwrap();
    let line = refusal(&listen[1..]);
    assert_names(&line, &["4711", "pool.db"]);
    let found: i64 = store
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(found, 4711);
    for command in [&["status"][..], &["show", "sip:alice@example.com"]] {
        let output = run([command, &["--store", &place.store()]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert_names(&said, &["4711"]);
    }
}

#[test]
fn a_name_that_lives_is_not_taken_over() {
    let place = Place::new();
    let store = place.store();
    let args = [
        "serve", "--role", "server", "--name", "s1", "--store", &store,
    ];
    let mut process = Process::spawn(&mut presently(args));
    process.hear("a summary", |line| line.contains("admin").then_some(()));
    assert_names(&refusal(&args[1..]), &["s1"]);
    assert!(process.stop().success());
}

#[test]
fn the_help_is_complete_and_no_arguments_give_it() {
    let output = run(["serve", "--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let flags = [
        "--listen",
        "--domain",
        "--servers",
        "--store",
        "--admin",
        "--auth",
        "--role",
        "--name",
        "--oob",
        "--sip",
        "--weight",
        "--config",
        "--log",
        "advertise",
        "min_secs",
    ];
    assert_names(&help, &flags);
    let all = run(["--help"]);
    let text = String::from_utf8(all.stdout).unwrap();
    assert_names(&text, &["serve", "watch", "publish", "status", "show"]);
    assert!(!run(Vec::<String>::new()).status.success());
}
