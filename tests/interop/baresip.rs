//! Two baresip processes that watch each other, told what to do over their control port.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use presently_tests::program::{Pool, Process, until};
use serde_json::{Value, json};

/// A baresip of one user.
struct Baresip {
    process: Process,
    control: SocketAddr,
}

impl Baresip {
    /// Starts one for `user` that has `other` in its contacts.
    fn start(pool: &Pool, user: &str, other: &str, transport: &str) -> Self {
        let at = match transport {
            "udp" => pool.udp(),
            _ => pool.tcp(),
        };
        // Free a moment ago; baresip does not say which port it took.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let control = free.local_addr().expect("it is bound");
        drop(free);
        let modules = ["account", "contact", "menu", "presence", "ctrl_tcp"];
        let modules = modules
            .map(|name| format!("module_app {name}.so\n"))
            .concat();
        let folder = MODULES
            .into_iter()
            .find(|folder| Path::new(folder).is_dir());
        let folder = folder.expect("baresip's modules are at a usual place");
        let config = format!(
            "sip_listen 127.0.0.1:0\nmodule_path {folder}\n{modules}ctrl_tcp_listen {control}\n"
        );
        // mwi=no: else it subscribes without end.
        let account = format!(
            "<sip:{user}@example.com>;outbound=\"sip:{at};transport={transport}\";regint=600;\
             pubint=600;mwi=no;auth_pass=none\n"
        );
        let contact = format!("\"{other}\" <sip:{other}@example.com>;presence=p2p\n");
        let place = &pool.place;
        place.write(&format!("{user}/config"), &config);
        place.write(&format!("{user}/accounts"), &account);
        place.write(&format!("{user}/contacts"), &contact);
        let mut command = Command::new("baresip");
        command.arg("-f").arg(place.path(user));
        let process = Process::spawn(&mut command);
        Self { process, control }
    }

    /// What it answers to a command: `None` while it does not listen.
    fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.control).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let text = json!({ "command": command, "params": "", "token": "ours" }).to_string();
        // In one piece: baresip takes what one read gives for a whole netstring.
        let netstring = format!("{}:{text},", text.len());
        stream.write_all(netstring.as_bytes()).ok()?;
        let mut read = Vec::new();
        let mut buffer = [0; 4_096];
        // Events may come before the answer.
        loop {
            let answer = netstrings(&read)
                .into_iter()
                .find(|it| it["response"] == true);
            if let Some(answer) = answer {
                return answer["data"].as_str().map(str::to_owned);
            }
            let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
            read.extend(buffer.iter().take(length));
        }
    }

    /// Waits until its list of contacts shows `state`.
    fn until_shows(&self, state: &str) {
        let mut last = None;
        let end = Instant::now() + BOUND;
        while !last
            .as_ref()
            .is_some_and(|shown: &String| shown.contains(state))
        {
            let said = || self.process.said().join("\n");
            assert!(Instant::now() < end, "not {state} but {last:?}\n{}", said());
            last = self.ask("contacts");
            thread::park_timeout(LOOK_EVERY);
        }
    }

    fn is_registered(&self) -> bool {
        self.ask("reginfo").is_some_and(|said| said.contains("OK"))
    }

    /// Ends it as its user would, and waits.
    fn quit(&mut self) {
        self.process.signal("TERM");
        self.process.ended(BOUND);
    }
}

/// The whole netstrings at the start of `bytes`, as JSON.
fn netstrings(bytes: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest: &str = &text;
    let mut found = Vec::new();
    while let Some((length, after)) = rest.split_once(':') {
        let Some(body) = length
            .parse()
            .ok()
            .and_then(|length: usize| after.get(..length))
        else {
            break;
        };
        found.extend(serde_json::from_str::<Value>(body));
        rest = after.get(body.len() + 1..).unwrap_or_default();
    }
    found
}

fn see_each_other(transport: &str) {
    let pool = Pool::start();
    let mut alice = Baresip::start(&pool, "alice", "bob", transport);
    let bob = Baresip::start(&pool, "bob", "alice", transport);
    for phone in [&alice, &bob] {
        until("registered", BOUND, || phone.is_registered().then_some(()));
        phone.until_shows("Online");
    }
    // What the pool has is what they mean.
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let shown = pool.show(user).expect("it is known");
        let binding = &shown["bindings"][0];
        assert!(
            binding["user_agent"]
                .as_str()
                .is_some_and(|it| it.contains("baresip"))
        );
        let is_presence = |row: &Value| row["package"] == "presence";
        let publications = shown["publications"].as_array().expect("a list");
        assert!(!publications.is_empty() && publications.iter().all(is_presence));
        let watcher = format!("sip:{other}@example.com");
        assert_eq!(shown["watchers"][0]["watcher"], watcher, "{shown}");
        assert_eq!(shown["watches"][0]["presentity"], watcher, "{shown}");
    }
    assert_ne!(pool.server_of("alice"), pool.server_of("bob"));
    bob.ask("presence_offline").expect("it obeys");
    alice.until_shows("Offline");
    bob.ask("presence_online").expect("it obeys");
    alice.until_shows("Online");
    alice.quit();
    bob.until_shows("Offline");
    pool.wait_unbound("alice", BOUND);
}

pub(crate) fn two_over_udp_see_each_other() {
    see_each_other("udp");
}

pub(crate) fn two_over_tcp_see_each_other() {
    see_each_other("tcp");
}

/// A phone that does not come back by itself must not be lost.
pub(crate) fn stays_subscribed_through_a_restart_of_the_servers() {
    let mut pool = Pool::start();
    let alice = Baresip::start(&pool, "alice", "bob", "udp");
    let bob = Baresip::start(&pool, "bob", "alice", "udp");
    for phone in [&alice, &bob] {
        phone.until_shows("Online");
    }
    for server in &mut pool.servers {
        assert!(server.stop());
        server.restart();
    }
    pool.wait();
    bob.ask("presence_offline").expect("it obeys");
    alice.until_shows("Offline");
    bob.ask("presence_online").expect("it obeys");
    alice.until_shows("Online");
}

/// Where distributions put them.
const MODULES: [&str; 4] = [
    "/usr/lib/baresip/modules",
    "/usr/lib64/baresip/modules",
    "/usr/local/lib/baresip/modules",
    "/opt/homebrew/lib/baresip/modules",
];
const LOOK_EVERY: Duration = Duration::from_millis(50);
const BOUND: Duration = Duration::from_secs(15);
