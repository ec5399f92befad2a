//! Two Linphones (the console client of liblinphone) that watch each other.

use std::fs;
use std::process::Command;
use std::time::Duration;

use presently_tests::program::{Pool, Process, until};

/// A Linphone of one user.
struct Linphone(Process);

impl Linphone {
    /// Starts one for `user` that has `other` as a friend, and a pool for its proxy.
    fn start(pool: &Pool, user: &str, other: &str, transport: &str) -> Self {
        let at = match transport {
            "udp" => pool.udp(),
            _ => pool.tcp(),
        };
        let settings = format!(
            "[sip]\nsip_port=-1\nsip_tcp_port=-1\nbind_address=127.0.0.1\nuse_ipv6=0\n\
             default_proxy=0\npublish_presence=1\n\
             [proxy_0]\nreg_proxy=<sip:{at};transport={transport}>\n\
             reg_route=<sip:{at};transport={transport};lr>\nreg_identity=sip:{user}@example.com\n\
             reg_expires=600\nreg_sendregister=1\npublish=1\npublish_expires=600\n\
             [friend_0]\nurl=\"{other}\" <sip:{other}@example.com>\npol=accept\nsubscribe=1\n"
        );
        let rc = pool.place.write(&format!("{user}/linphonerc"), &settings);
        let home = pool.place.path(user);
        // Its database is not begun without this folder, and without it nothing works.
        fs::create_dir_all(home.join(".local/share/linphone")).expect("its home is ours");
        // By lines: what it says is read while it runs.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "linphonec", "-c", &rc]);
        command.env("HOME", home).env_remove("XDG_DATA_HOME");
        Self(Process::spawn(&mut command))
    }

    /// Waits until the last it said of its friend is `state`.
    fn until_shows(&self, state: &str) {
        until(state, BOUND, || {
            let said = self.0.said();
            let mut said = said.iter().rev();
            let last = said.find(|line| line.contains("Friend "))?;
            last.contains(state).then_some(())
        });
    }
}

fn see_each_other(transport: &str) {
    let pool = Pool::start();
    let alice = Linphone::start(&pool, "alice", "bob", transport);
    let mut bob = Linphone::start(&pool, "bob", "alice", transport);
    for phone in [&alice, &bob] {
        phone.until_shows("Online");
    }
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let shown = pool.show(user).expect("it is known");
        let agent = shown["bindings"][0]["user_agent"].as_str();
        assert!(agent.is_some_and(|it| it.contains("Linphone")), "{shown}");
        assert_eq!(shown["publications"][0]["package"], "presence", "{shown}");
        let watcher = format!("sip:{other}@example.com");
        assert_eq!(shown["watchers"][0]["watcher"], watcher, "{shown}");
    }
    // It takes its publication back, unsubscribes and logs off.
    bob.0.type_in("quit\n");
    alice.until_shows("Offline");
    bob.0.ended(BOUND);
    pool.wait_unbound("bob", BOUND);
}

pub(crate) fn two_over_udp_see_each_other() {
    see_each_other("udp");
}

pub(crate) fn two_over_tcp_see_each_other() {
    see_each_other("tcp");
}

/// The MESSAGE is relayed to the phone that its user is registered with.
pub(crate) fn a_message_of_one_is_shown_by_the_other() {
    let pool = Pool::start();
    let mut alice = Linphone::start(&pool, "alice", "bob", "udp");
    let mut bob = Linphone::start(&pool, "bob", "alice", "udp");
    for phone in [&alice, &bob] {
        phone.until_shows("Online");
    }
    alice.0.type_in("chat sip:bob@example.com lunch?\n");
    bob.0
        .hear("the message", |line| line.contains("lunch?").then_some(()));
}

const BOUND: Duration = Duration::from_secs(30);
