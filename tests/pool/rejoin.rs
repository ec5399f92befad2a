//! Goal: a process that was taken for dead comes back as a fresh member, and no phone notices.
//! Method: its life is ended in the store while it runs, as a balancer does it that has not seen
//! its beat.

use std::time::Duration;

use presently_agent::{Event, SubscriptionId};
use presently_tests::program::{Member, Plan, Pool, Town, until};

struct Watched {
    pool: Pool,
    town: Town,
    alice: usize,
    bob: usize,
    watch: SubscriptionId,
}

/// Alice, over UDP, and bob, over TCP, have registered.
fn registered(settings: &str) -> (Pool, Town, [usize; 2]) {
    let pool = Pool::with(&Plan {
        file: format!("log_level = \"info\"\n{settings}"),
        ..Plan::default()
    });
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    let bob = town.tcp("bob", pool.tcp());
    town.register(alice);
    town.register(bob);
    (pool, town, [alice, bob])
}

/// Bob watches alice.
fn watched() -> Watched {
    let (pool, mut town, [alice, bob]) = registered("");
    let watch = town.watch(bob, "alice");
    town.publish(alice, true, "before");
    town.until_shown(bob, watch, true, "before");
    Watched {
        pool,
        town,
        alice,
        bob,
        watch,
    }
}

fn until_rejoined(member: &Member) {
    until("the member to join anew", Duration::from_secs(10), || {
        (member.metrics().get("pool_rejoins") == 1).then_some(())
    });
    let process = member.process.as_ref().expect("it runs");
    // What it counts may be heard before what it says.
    let said = until("the last line of it", Duration::from_secs(10), || {
        let said = process.said();
        let is_whole = said.iter().any(|line| line.contains("joined anew"));
        is_whole.then_some(said)
    });
    for line in ["fenced", "joined anew"] {
        let lines = said.iter().filter(|said| said.contains(line)).count();
        assert_eq!(lines, 1, "{line}: {said:?}");
    }
}

impl Watched {
    /// Alice publishes, and bob sees it in the dialog he has had.
    fn go_on(&mut self) {
        let Self { town, alice, .. } = self;
        town.publish(*alice, true, "after");
        town.until_shown(self.bob, self.watch, true, "after");
        let is_anew = |event: &Event| {
            matches!(
                event,
                Event::SubscriptionEnded { .. }
                    | Event::OutOfOrder { .. }
                    | Event::PublishFailed { .. }
            )
        };
        for phone in [self.alice, self.bob] {
            let phone = self.town.phone(phone);
            assert_eq!(phone.count(is_anew), 0, "{:?}", phone.events);
        }
    }
}

#[test]
fn a_server_whose_life_was_ended_joins_anew_and_its_clients_are_notified() {
    let mut play = watched();
    let homes = ["alice", "bob"].map(|user| play.pool.server_of(user));
    for home in &homes {
        play.pool.end(home);
        until_rejoined(play.pool.server(home));
        if homes[0] == homes[1] {
            break;
        }
    }
    play.go_on();
    play.pool.wait();
    let status = play.pool.status();
    for row in status["members"].as_array().expect("a list") {
        assert_eq!(row["state"], "alive", "{row}");
    }
}

#[test]
fn a_balancer_whose_life_was_ended_joins_anew_with_its_connections() {
    let mut play = watched();
    let accepted = |play: &Watched| {
        let metrics = play.pool.balancer.metrics();
        metrics.get("transport_connections_accepted")
    };
    let before = accepted(&play);
    play.pool.end("b1");
    until_rejoined(&play.pool.balancer);
    play.go_on();
    assert_eq!(accepted(&play), before, "bob's connection is the same");
}

/// It hangs up when the balancer's new life has begun, or while it begins.
#[test]
fn a_connection_that_closes_after_its_balancer_joined_anew_is_told_of() {
    for waits in [true, false] {
        let (pool, mut town, [alice, bob]) = registered("[flows]\ngrace_secs = 1\n");
        let watch = town.watch(alice, "bob");
        town.live(Duration::from_secs(1));
        assert_eq!(town.phone(alice).shows(watch), Some((true, String::new())));
        pool.end("b1");
        if waits {
            until_rejoined(&pool.balancer);
        }
        town.phone(bob).hang_up();
        town.until("closed", |town| {
            matches!(town.phone(alice).shows(watch), Some((false, _)))
        });
        until_rejoined(&pool.balancer);
    }
}

#[test]
fn a_process_whose_name_another_has_taken_ends_with_one_line() {
    let mut pool = Pool::start();
    pool.take_name("s2");
    let member = pool.servers.iter_mut().find(|member| member.name == "s2");
    let process = member.and_then(|member| member.process.as_mut());
    let process = process.expect("it runs");
    let ended = process.ended(Duration::from_secs(10));
    assert!(!ended.success(), "{ended}");
    // Its end may be seen before its last words.
    let about = |said: &[String]| said.iter().filter(|line| line.contains("s2 now")).count();
    until("its last words", Duration::from_secs(10), || {
        (about(&process.said()) > 0).then_some(())
    });
    assert_eq!(about(&process.said()), 1, "{:?}", process.said());
}
