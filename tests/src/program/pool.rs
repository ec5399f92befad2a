//! A pool of processes: a balancer and servers, a store in a directory of its own, free ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use presently::Reading;
use presently_pool::Member as Row;
use presently_sip::Aor;
use presently_store::sqlite::{Inline, Settings};
use presently_store::{Operation, Outcome, Refused, Store, Ticket};
use serde_json::Value;

use super::process::{Process, presently, run, until};
use super::{Metrics, Place, Relay, http};

/// What a pool is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The weight of each server.
    pub weights: Vec<u32>,
    /// The balancer's listeners.
    pub listen: Vec<String>,
    /// The listeners of a second balancer, b2; empty without one.
    pub second: Vec<String>,
    /// Whether a relay stands in front of each server's out-of-band socket.
    pub is_relayed: bool,
    /// Text of a configuration file for all of them.
    pub file: String,
}

impl Default for Plan {
    /// Three equal servers; UDP and TCP on loopback.
    fn default() -> Self {
        Self {
            weights: vec![1; 3],
            listen: ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]
                .map(str::to_owned)
                .to_vec(),
            second: Vec::new(),
            is_relayed: false,
            file: String::new(),
        }
    }
}

/// Balancers and servers, a process each.
#[derive(Debug)]
pub struct Pool {
    /// Where their files are.
    pub place: Place,
    /// Takes what phones send.
    pub balancer: Member,
    /// Another balancer, if the plan has one.
    pub second: Option<Member>,
    /// In the order of their names: s1, s2 …
    pub servers: Vec<Member>,
    /// What stands in front of each server, if the plan says so.
    pub relays: Vec<Relay>,
}

/// One process of a pool.
#[derive(Debug)]
pub struct Member {
    /// Its name in the pool.
    pub name: String,
    /// While it runs.
    pub process: Option<Process>,
    /// Its listeners towards phones, by protocol (`udp`, `tcp`).
    pub listen: Vec<(String, SocketAddr)>,
    /// Its admin port.
    pub admin: SocketAddr,
    /// Where it takes out-of-band datagrams.
    pub oob: SocketAddr,
    args: Vec<String>,
}

impl Pool {
    /// Starts the usual pool.
    pub fn start() -> Self {
        Self::with(&Plan::default())
    }

    /// Starts a pool as `plan` says and waits until it serves.
    pub fn with(plan: &Plan) -> Self {
        let place = Place::new();
        let file = place.write("pool.toml", &plan.file);
        let common = [
            "serve",
            "--admin",
            "127.0.0.1:0",
            "--config",
            &file,
            "--store",
        ];
        let common = common.into_iter().map(str::to_owned);
        let common: Vec<String> = common.chain([place.store()]).collect();
        let balancer = |name: &str, listeners: &[String]| {
            let mut args = common.clone();
            let of_it = format!("--role balancer --name {name} --oob 127.0.0.1:0");
            args.extend(words(&of_it));
            for listen in listeners {
                args.extend(["--listen".to_owned(), listen.clone()]);
            }
            Member::start(name, args)
        };
        let relays: Vec<Relay> = match plan.is_relayed {
            true => (1..).take(plan.weights.len()).map(Relay::start).collect(),
            false => Vec::new(),
        };
        let servers = plan.weights.iter().enumerate().map(|(place, weight)| {
            let mut args = common.clone();
            let name = format!("s{}", place + 1);
            let of_it = format!("--role server --name {name} --weight {weight}");
            args.extend(words(&of_it));
            let relay = relays.get(place);
            let oob = relay.map_or_else(String::new, |it| format!(",advertise={}", it.at()));
            args.extend(words(&format!("--oob 127.0.0.1:0{oob} --sip 127.0.0.1:0")));
            Member::start(&name, args)
        });
        let servers = servers.collect();
        let mut pool = Self {
            balancer: balancer("b1", &plan.listen),
            second: (!plan.second.is_empty()).then(|| balancer("b2", &plan.second)),
            servers,
            relays,
            place,
        };
        pool.wait();
        pool
    }

    /// Waits until each process that runs is ready and knows the others, and the balancer has a
    /// link to each server.
    pub fn wait(&mut self) {
        let mut servers = 0;
        for member in self.members().filter(|member| member.process.is_some()) {
            member.wait();
            servers += i64::from(member.name.starts_with('s'));
        }
        for (relay, server) in self.relays.iter().zip(&self.servers) {
            relay.aim(server.oob);
        }
        let running = self
            .members()
            .filter(|member| member.process.is_some())
            .count();
        let running = i64::try_from(running).expect("a few");
        for member in self.members().filter(|member| member.process.is_some()) {
            until("all members to be known", WITHIN, || {
                (member.metrics().get("pool_members") >= running).then_some(())
            });
        }
        let balancers = [&self.balancer].into_iter().chain(&self.second);
        for balancer in balancers.filter(|it| it.process.is_some()) {
            until("the balancer's links", WITHIN, || {
                let metrics = balancer.metrics();
                let opened = metrics.get("link_connections_opened");
                let open = opened - metrics.get("link_connections_broken");
                (open >= servers).then_some(())
            });
        }
    }

    /// Every process, the balancers first.
    pub fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        let balancers = [&mut self.balancer].into_iter().chain(&mut self.second);
        balancers.chain(&mut self.servers)
    }

    /// Where phones reach the pool over UDP.
    pub fn udp(&self) -> SocketAddr {
        self.balancer.listener("udp")
    }

    /// Where phones reach the pool over TCP.
    pub fn tcp(&self) -> SocketAddr {
        self.balancer.listener("tcp")
    }

    /// The server called `name`.
    pub fn server(&self, name: &str) -> &Member {
        let found = self.servers.iter().find(|member| member.name == name);
        found.expect("a server of this name")
    }

    /// What `presently show USER --json` says; `None` when the pool keeps nothing.
    pub fn show(&self, user: &str) -> Option<Value> {
        let aor = aor(user).to_string();
        let output = run(["show", &aor, "--store", &self.place.store(), "--json"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output
            .status
            .success()
            .then(|| serde_json::from_str(&text).expect("JSON"))
    }

    /// Waits until `user` has no binding.
    pub fn wait_unbound(&self, user: &str, bound: Duration) {
        until(&format!("{user} to be gone"), bound, || {
            let shown = self.show(user);
            let bindings = shown.as_ref().and_then(|it| it["bindings"].as_array());
            bindings.is_none_or(Vec::is_empty).then_some(())
        });
    }

    /// How many clients the server called `name` has, and its incarnation.
    pub fn life_of(&self, name: &str) -> (u64, u64) {
        let status = self.status();
        let rows = status["members"].as_array().expect("a list");
        let row = rows.iter().find(|row| row["name"] == *name);
        let number = |key: &str| row.and_then(|row| row[key].as_u64());
        let number = |key: &str| number(key).expect("it has joined");
        (number("clients"), number("incarnation"))
    }

    /// What `presently status --json` says.
    pub fn status(&self) -> Value {
        let output = run(["status", "--store", &self.place.store(), "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What the store keeps of `aor`: bindings, publications and subscriptions.
    pub fn kept(&self, aor: &Aor) -> (usize, usize, usize) {
        let mut store = Reading::open(&self.place.path("pool.db")).expect("the pool made it");
        let client = store.client(aor).expect("it answers");
        client.map_or((0, 0, 0), |it| {
            (
                it.bindings.len(),
                it.publications.len(),
                it.subscriptions.len(),
            )
        })
    }

    /// The server that `user` is assigned to.
    pub fn server_of(&self, user: &str) -> String {
        let shown = self.show(user);
        let name = shown.as_ref().and_then(|it| it["server"].as_str());
        name.unwrap_or_else(|| panic!("{user} has no server"))
            .to_owned()
    }

    /// The clients of each server, in the order of their names.
    pub fn clients(&self) -> Vec<u64> {
        let status = self.status();
        let rows = status["members"].as_array().expect("a list");
        let of = |server: &Member| {
            let row = rows.iter().find(|row| row["name"] == *server.name);
            row.and_then(|row| row["clients"].as_u64())
        };
        let servers = self.servers.iter();
        servers.map(|it| of(it).expect("it has joined")).collect()
    }

    /// Moves `user` to the server called `to`, as a drain would.
    pub fn reassign(&self, user: &str, to: &str) {
        let client = aor(user);
        let path = self.place.path("pool.db");
        let mut store = Inline::open(&path, &Settings::default()).expect("the pool's store");
        let Outcome::Client(Some(state)) = ask(&mut store, Operation::Show { client }) else {
            panic!("the pool keeps nothing about {user}");
        };
        let assignment = state.assignment.expect("it is assigned");
        let Outcome::Status(status) = ask(&mut store, Operation::Status) else {
            panic!("no status");
        };
        let is_wanted = |member: &&Row| *member.name == *to;
        let to = status.members.iter().find(is_wanted).expect("a member").id;
        let moved = ask(
            &mut store,
            Operation::Reassign {
                client: aor(user),
                from: assignment.server,
                epoch: assignment.epoch,
                to: Some(to),
            },
        );
        assert!(matches!(moved, Outcome::Assigned(_)), "{moved:?}");
    }

    /// Ends the present life of the member called `name`, as a balancer does that takes it for
    /// dead.
    pub fn end(&self, name: &str) {
        let end = |member: &Row, others: &[Row]| Operation::End {
            by: others.first().expect("somebody else").membership(),
            member: member.membership(),
            beat: member.beat,
        };
        self.until_done(name, end, |outcome| matches!(outcome, Outcome::Ended(true)));
    }

    /// Begins a life of the member called `name` over the one that runs, as another process would
    /// that took it for dead.
    pub fn take_name(&self, name: &str) {
        let join = |member: &Row, _: &[Row]| Operation::Join {
            name: Arc::clone(&member.name),
            over: Some((member.incarnation, member.beat)),
            role: member.role,
            host: "elsewhere".into(),
            pid: 1,
            started: 1,
            sip: None,
            oob: None,
            weight: 1,
            seed: [0; 16],
        };
        self.until_done(name, join, |outcome| {
            matches!(outcome, Outcome::Joined { .. })
        });
    }

    /// Asks the store for something about a member as it stands, until no beat comes between.
    fn until_done(
        &self,
        name: &str,
        operation: impl Fn(&Row, &[Row]) -> Operation,
        is_done: impl Fn(&Outcome) -> bool,
    ) {
        let path = self.place.path("pool.db");
        let mut store = Inline::open(&path, &Settings::default()).expect("the pool's store");
        until("a beat that stands", WITHIN, || {
            let Outcome::Status(status) = ask(&mut store, Operation::Status) else {
                panic!("no status");
            };
            let (of_it, others): (Vec<Row>, Vec<Row>) = status
                .members
                .into_iter()
                .partition(|member| *member.name == *name);
            let member = of_it.first().expect("a member of this name");
            let result = try_ask(&mut store, operation(member, &others));
            result.is_ok_and(|outcome| is_done(&outcome)).then_some(())
        });
    }
}

impl Member {
    fn start(name: &str, args: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            process: Some(Process::spawn(&mut presently(&args))),
            listen: Vec::new(),
            admin: (Ipv4Addr::LOCALHOST, 0).into(),
            oob: (Ipv4Addr::LOCALHOST, 0).into(),
            args,
        }
    }

    /// Starts it again, at the addresses it had.
    pub fn restart(&mut self) {
        let mut listen = self.listen.iter();
        for word in &mut self.args {
            let Some((protocol, rest)) = word.split_once(':') else {
                continue;
            };
            if ["udp", "tcp"].contains(&protocol) {
                let option = rest.find(',').and_then(|comma| rest.get(comma..));
                let option = option.unwrap_or_default();
                let (protocol, address) = listen.next().expect("it listened before");
                *word = format!("{protocol}:{address}{option}");
            }
        }
        self.listen.clear();
        self.process = Some(Process::spawn(&mut presently(&self.args)));
    }

    /// Waits until it says where it listens and that it is ready.
    pub fn wait(&mut self) {
        let process = self.process.as_mut().expect("it runs");
        self.admin = process.hear("admin port", |line| {
            let rest = line.trim_start().strip_prefix("admin")?;
            let rest = rest.trim_start().strip_prefix("http://")?;
            rest.strip_suffix("/metrics")?.parse().ok()
        });
        // The summary names listeners before the admin port.
        let said = process.said();
        let listeners = said.iter().filter_map(|line| {
            let mut words = line.trim_start().strip_prefix("phones")?.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        });
        self.listen = listeners.collect();
        let oob = said.iter().find_map(|line| {
            let (_, rest) = line.split_once("out of band ")?;
            rest.split([',', ' ']).next()?.parse().ok()
        });
        self.oob = oob.expect("the summary names it");
        until(&format!("{} to be ready", self.name), WITHIN, || {
            let (status, _) = http(self.admin, "/readyz")?;
            (status == 200).then_some(())
        });
    }

    /// Another process with the same arguments under another name, and waits until it serves.
    pub fn twin(&self, name: &str) -> Self {
        let mut args = self.args.clone();
        for word in &mut args {
            if *word == self.name {
                name.clone_into(word);
            }
        }
        let mut twin = Self::start(name, args);
        twin.wait();
        twin
    }

    /// Where it listens with `protocol`.
    pub fn listener(&self, protocol: &str) -> SocketAddr {
        let found = self.listen.iter().find(|(name, _)| name == protocol);
        found.expect("it listens with it").1
    }

    /// What it has counted.
    pub fn metrics(&self) -> Metrics {
        Metrics::of(self.admin)
    }

    /// Ends it with SIGTERM, and gives whether it said that all was well.
    pub fn stop(&mut self) -> bool {
        let mut process = self.process.take().expect("it runs");
        process.stop().success()
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }
}

/// The address of record of `user` in these tests.
pub(super) fn aor(user: &str) -> Aor {
    Aor::parse(&format!("sip:{user}@example.com")).expect("a user's name")
}

fn ask(store: &mut Inline, operation: Operation) -> Outcome {
    try_ask(store, operation).expect("the store does what it is asked")
}

fn try_ask(store: &mut Inline, operation: Operation) -> Result<Outcome, Refused> {
    store.submit(&mut vec![(Ticket(0), operation)]);
    let mut done = Vec::new();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    // Inline: what was submitted is done.
    let _ = store.poll(&mut context, &mut done);
    done.pop().expect("inline").result
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split_whitespace().map(str::to_owned)
}

const WITHIN: Duration = Duration::from_secs(20);
