//! SIGHUP: what a running process takes over from its changed file, and what it says of the rest.

use std::net::SocketAddr;
use std::time::Duration;

use presently_tests::program::{Caller, Place, Process, presently, request, until};

/// One process with a balancer and a server, and its configuration file.
struct Served {
    place: Place,
    process: Process,
    at: SocketAddr,
}

impl Served {
    fn start(file: &str, flags: &[&str]) -> Self {
        let place = Place::new();
        let file = place.write("presently.toml", file);
        let store = place.store();
        let args = ["serve", "--config", &file, "--store", &store];
        let own = ["--listen", "udp:127.0.0.1:0", "--servers", "1"];
        let mut process = Process::spawn(&mut presently([&args[..], &own, flags].concat()));
        let at = listener(&mut process);
        Self { place, process, at }
    }

    /// Changes the file, sends the signal, and waits until `line` has been said once more.
    fn reload(&self, file: &str, line: &str) {
        self.place.write("presently.toml", file);
        hang_up(&self.process, line);
    }

    /// How a REGISTER of `uri` for `secs` is answered.
    fn register(&self, uri: &str, secs: u32) -> u16 {
        let caller = Caller::new(self.at);
        let expires = format!("Expires: {secs}");
        let more = [expires.as_str()];
        let register = request("REGISTER", uri, caller.at(), "UDP", &more, "");
        caller.ask(&register).status().expect("a response")
    }
}

fn listener(process: &mut Process) -> SocketAddr {
    process.hear("a listener", |line| {
        line.trim_start()
            .strip_prefix("phones   udp ")?
            .parse()
            .ok()
    })
}

/// The lines it has said that hold `text`.
fn lines(process: &Process, text: &str) -> Vec<String> {
    let said = process.said().into_iter();
    said.filter(|line| line.contains(text)).collect()
}

fn hang_up(process: &Process, line: &str) {
    let before = lines(process, line).len();
    process.signal("HUP");
    until(&format!("{line:?}"), BOUND, || {
        (lines(process, line).len() > before).then_some(())
    });
}

#[test]
fn domains_and_expires_change_without_a_restart() {
    let served = Served::start("domains = [\"one.example\"]\n", &[]);
    assert_eq!(served.register("sip:alice@one.example", 60), 200);
    assert_eq!(served.register("sip:alice@two.example", 60), 404);
    let file = "domains = [\"two.example\"]\n[expires]\nmin_secs = 120\n";
    served.reload(file, "presently.toml: domains, expires");
    assert_eq!(served.register("sip:alice@one.example", 120), 404);
    assert_eq!(served.register("sip:alice@two.example", 120), 200);
    assert_eq!(served.register("sip:alice@two.example", 60), 423);
    served.reload(file, "presently.toml: nothing has changed");
    assert!(lines(&served.process, "restart").is_empty());
}

#[test]
fn flags_win_over_the_changed_file_too() {
    let flags = ["--domain", "one.example", "-v"];
    let served = Served::start("", &flags);
    let file = "domains = [\"two.example\"]\nservers = 9\nlog_level = \"error\"\n";
    served.reload(file, "presently.toml: nothing has changed");
    assert_eq!(served.register("sip:alice@one.example", 60), 200);
    assert_eq!(served.register("sip:alice@two.example", 60), 404);
    assert!(lines(&served.process, "restart").is_empty());
}

#[test]
fn the_log_level_changes_without_a_restart() {
    let served = Served::start("log_level = \"error\"\nlog = \"json\"\n", &[]);
    let changed = "log_level = \"warn\"\nlog = \"json\"\nadmin = \"127.0.0.1:0\"\n";
    // Lines are judged by the level that the same signal brings.
    let level = "presently.toml: log_level";
    served.reload(changed, level);
    until("the first warning", BOUND, || {
        lines(&served.process, "needs a restart").pop()
    });
    served.reload(changed, "needs a restart");
    served.reload(&changed.replace("warn", "error"), level);
    let before = lines(&served.process, "needs a restart").len();
    served.reload(&changed.replace("warn", "error"), "nothing has changed");
    assert_eq!(lines(&served.process, "needs a restart").len(), before);
}

#[test]
fn what_needs_a_restart_is_named_and_not_changed() {
    let served = Served::start("", &[]);
    let file = "admin = \"127.0.0.1:0\"\nlog = \"json\"\ndomains = [\"two.example\"]\n";
    served.reload(file, "presently.toml: domains");
    for key in ["admin", "log"] {
        let key = format!("key=\"{key}\"");
        // Another pipe than the line above.
        let named = until(&key, BOUND, || {
            Some(lines(&served.process, &key)).filter(|named| !named.is_empty())
        });
        assert!(named[0].contains("needs a restart"), "{named:?}");
    }
    assert_eq!(lines(&served.process, "restart").len(), 2);
    assert_eq!(served.register("sip:alice@two.example", 60), 200);
}

#[test]
fn a_file_with_an_error_changes_nothing() {
    let good = "domains = [\"one.example\"]\n";
    let served = Served::start(good, &[]);
    for (file, reason) in [
        (
            "domains = [\"two.example\"]\nservres = 3\n",
            "presently.toml:2: unknown field",
        ),
        (
            "domains = [\"two.example\"]\n[expires]\nmin_secs = 0\n",
            "expires: 1 <= min_secs",
        ),
        ("domains = \"two.example\"\n", "presently.toml:1: "),
    ] {
        served.reload(file, reason);
        let said = lines(&served.process, reason);
        assert!(
            said[0].contains("the configuration stays as it was"),
            "{said:?}"
        );
        assert_eq!(served.register("sip:alice@one.example", 60), 200);
        assert_eq!(served.register("sip:alice@two.example", 60), 404);
    }
    std::fs::remove_file(served.place.path("presently.toml")).unwrap();
    hang_up(&served.process, "presently.toml cannot be read");
    served.reload(good, "nothing has changed");
    let errors = lines(&served.process, "stays as it was");
    assert_eq!(errors.len(), 4, "one line each: {errors:?}");
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let place = Place::new();
    let store = place.store();
    let args = ["serve", "--listen", "udp:127.0.0.1:0", "--store", &store];
    let mut process = Process::spawn(&mut presently(args));
    listener(&mut process);
    for _ in 0..2 {
        hang_up(&process, "nothing to reload");
    }
    assert!(process.stop().success());
}

const BOUND: Duration = Duration::from_secs(10);
