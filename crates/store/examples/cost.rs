//! What an operation of the `SQLite` store costs: CPU time, in batches of 1, 10, 30 and 100.
//!
//! Budgets on one core: a first REGISTER 45 µs in all, a refresh 30, a PUBLISH 50; so the store may
//! take 15 to 20 µs of each in batches of about 30.
//!
//! `cargo run --release -p presently-store --features sqlite --example store_cost
//! [memory|file|threaded]`

#![allow(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "averages for people, from tables made here"
)]

use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;
use std::{env, fs, process};

use bytes::Bytes;
use presently_pool::{
    ClientId, Epoch, FlowToken, MemberId, Membership, PackageName, ResourceId, Role,
};
use presently_sip::{Aor, Flow, WallTime};
use presently_store::sqlite::{Inline, Settings, Threaded};
use presently_store::{
    Answer, Binding, BindingKey, Change, DialogId, Operation, Outcome, Publication, Repeat,
    RequestKey, Store, Subscription, SubscriptionState, Ticket,
};

const SERVERS: usize = 3;
const CLIENTS: usize = 20_000;
const ROUNDS: usize = 6_000;
const BATCHES: [usize; 4] = [1, 10, 30, 100];

fn main() -> Result<(), Box<dyn Error>> {
    let back_end = env::args().nth(1).unwrap_or_else(|| "file".to_owned());
    let place = env::temp_dir().join(format!("presently-store-cost-{}", process::id()));
    fs::create_dir_all(&place)?;
    let path = place.join("pool.db");
    let store: Box<dyn Store> = match back_end.as_str() {
        "memory" => Box::new(Inline::open_in_memory()?),
        "file" => Box::new(Inline::open(&path, &Settings::default())?),
        "threaded" => Box::new(Threaded::open(&path, &Settings::default())?),
        other => return Err(format!("no back end called {other}").into()),
    };
    let mut bench = Bench::new(store)?;
    println!("{back_end}: CPU µs an operation (elapsed µs), {CLIENTS} clients before");
    println!(
        "{:32}{}",
        "operations in a batch",
        BATCHES.map(|n| format!("{n:>18}")).concat()
    );
    bench.fill()?;
    bench.first_registers();
    bench.refreshes();
    bench.subscribes();
    bench.subscribe_refreshes();
    for watchers in [0, 1, 10, 100] {
        bench.publishes(watchers)?;
    }
    bench.documents();
    drop(bench);
    if let Ok(file) = fs::metadata(&path) {
        println!("{:32}{:>14} MiB", "the file", file.len() >> 20);
    }
    fs::remove_dir_all(&place)?;
    Ok(())
}

/// An active client.
#[derive(Clone, Copy)]
struct Actor {
    number: usize,
    by: Membership,
    client: ClientId,
    epoch: Epoch,
}

struct Bench {
    store: Box<dyn Store>,
    waker: Waker,
    balancer: Membership,
    servers: Vec<Membership>,
    actors: Vec<Actor>,
    fresh: usize,
    changed: u64,
}

impl Bench {
    fn new(store: Box<dyn Store>) -> Result<Self, Box<dyn Error>> {
        let mut bench = Self {
            store,
            waker: Waker::from(Arc::new(Unpark(thread::current()))),
            balancer: Membership::default(),
            servers: Vec::new(),
            actors: Vec::new(),
            fresh: 0,
            changed: 0,
        };
        bench.balancer = bench.join("balancer", Role::Balancer)?;
        for n in 0..SERVERS {
            let by = bench.join(&format!("server {n}"), Role::Server)?;
            bench.servers.push(by);
        }
        Ok(bench)
    }

    fn join(&mut self, name: &str, role: Role) -> Result<Membership, Box<dyn Error>> {
        let outcomes = self.ask(vec![Operation::Join {
            name: name.into(),
            over: None,
            role,
            host: "localhost".into(),
            pid: 1,
            started: 1,
            sip: "127.0.0.1:5070".parse().ok(),
            oob: "127.0.0.1:5071".parse().ok(),
            weight: 1,
            seed: [0; 16],
        }]);
        match outcomes.into_iter().next() {
            Some(Outcome::Joined { membership, .. }) => Ok(membership),
            other => Err(format!("not joined: {other:?}").into()),
        }
    }

    /// Does a batch and waits for it; the outcomes in the order of the operations.
    fn ask(&mut self, operations: Vec<Operation>) -> Vec<Outcome> {
        let count = operations.len();
        let mut batch = (0..).map(Ticket).zip(operations).collect();
        self.store.submit(&mut batch);
        let mut done = Vec::with_capacity(count);
        let mut context = Context::from_waker(&self.waker);
        while done.len() < count {
            if self.store.poll(&mut context, &mut done).is_pending() {
                thread::park();
            }
        }
        done.sort_by_key(|completion| completion.ticket);
        done.into_iter()
            .map(|completion| completion.result.expect("nothing is refused here"))
            .collect()
    }

    /// Runs many rounds for each batch size and prints a line of the table. What `prepare` does is
    /// not counted.
    fn measure<P>(
        &mut self,
        what: &str,
        mut prepare: impl FnMut(&mut Self, usize) -> P,
        mut round: impl FnMut(&mut Self, P),
    ) {
        print!("{what:32}");
        for size in BATCHES {
            let rounds = if size == 1 { ROUNDS / 4 } else { ROUNDS } / size;
            let prepared: Vec<P> = (0..rounds).map(|_| prepare(self, size)).collect();
            let (cpu, clock) = (cpu_micros(), Instant::now());
            for prepared in prepared {
                round(self, prepared);
            }
            let count = (rounds * size) as f64;
            let cpu = (cpu_micros() - cpu) / count;
            let elapsed = clock.elapsed().as_secs_f64() * 1e6 / count;
            print!("{:>18}", format!("{cpu:.1} ({elapsed:.1})"));
        }
        println!();
    }

    /// Measures batches of operations that are known before.
    fn measure_asking(
        &mut self,
        what: &str,
        prepare: impl FnMut(&mut Self, usize) -> Vec<Operation>,
    ) {
        self.measure(what, prepare, |bench, operations| {
            bench.ask(operations);
        });
    }

    fn numbers(&mut self, count: usize) -> Vec<(usize, Aor)> {
        let numbers = self.fresh..self.fresh + count;
        self.fresh += count;
        numbers.map(|number| (number, aor(number))).collect()
    }

    fn log_on(&mut self, numbers: Vec<(usize, Aor)>) -> Vec<Actor> {
        let count = numbers.len();
        let assigns = numbers.iter().map(|(_, client)| Operation::Assign {
            by: self.balancer,
            client: client.clone(),
            create: true,
            now: WallTime(0),
        });
        let assigned = self.ask(assigns.collect());
        let mut actors = Vec::with_capacity(count);
        let mut activates = Vec::with_capacity(count);
        for ((number, client), outcome) in numbers.into_iter().zip(assigned) {
            let Outcome::Assigned(Some(assignment)) = outcome else {
                panic!("not assigned");
            };
            let server = |by: &&Membership| by.member == assignment.server;
            let by = *self.servers.iter().find(server).expect("a server of ours");
            activates.push(Operation::Activate { by, client });
            actors.push(Actor {
                number,
                by,
                client: assignment.client,
                epoch: assignment.epoch,
            });
        }
        for (actor, outcome) in actors.iter_mut().zip(self.ask(activates)) {
            let Outcome::Activated(Some(activated)) = outcome else {
                panic!("not activated");
            };
            actor.epoch = activated.epoch;
        }
        actors
    }

    /// What `count` phones say when they are switched on.
    fn phones(&mut self, count: usize) -> Vec<((usize, Aor), Vec<Change>)> {
        self.changed += 1;
        let changed = self.changed;
        let numbers = self.numbers(count).into_iter();
        let phones = numbers.map(|number| {
            let binding = Change::PutBinding(binding(number.0, changed));
            let document = document(number.0, changed);
            (number, vec![binding, document])
        });
        phones.collect()
    }

    fn register(&mut self, phones: Vec<((usize, Aor), Vec<Change>)>) -> Vec<Actor> {
        let (numbers, changes): (Vec<_>, Vec<_>) = phones.into_iter().unzip();
        let actors = self.log_on(numbers);
        let commits = actors.iter().zip(changes);
        let commits = commits.map(|(actor, changes)| commit(*actor, changes));
        self.ask(commits.collect());
        actors
    }

    /// A pool as it is on an ordinary day: each client has a binding, a publication and 5
    /// subscriptions.
    fn fill(&mut self) -> Result<(), Box<dyn Error>> {
        while self.fresh < CLIENTS {
            let phones = self.phones(100);
            let actors = self.register(phones);
            let operations = actors.iter().map(|actor| {
                let mut changes = vec![Change::PutPublication {
                    publication: publication(actor.number, 0)?,
                    replaces: None,
                }];
                for n in 1..=5 {
                    // Far away, so that nobody in the table below has watchers yet.
                    let watched = 10_000_000 + actor.number * 7 + n;
                    changes.push(subscribe(actor.number, watched, 0));
                }
                Ok(commit(*actor, changes))
            });
            let operations: Result<_, Box<dyn Error>> = operations.collect();
            self.ask(operations?);
            self.actors.extend(actors);
        }
        Ok(())
    }

    /// Some actors, in no order that the database knows.
    fn some(&mut self, count: usize) -> Vec<Actor> {
        let all = self.actors.len();
        let step = 7919;
        let first = usize::try_from(self.changed).expect("few") * step * count;
        self.changed += 1;
        (0..count)
            .filter_map(|n| self.actors.get((first + n * step) % all))
            .copied()
            .collect()
    }

    fn first_registers(&mut self) {
        self.measure(
            "first REGISTER (three batches)",
            Self::phones,
            |bench, phones| {
                bench.register(phones);
            },
        );
        self.measure(
            "  of it Assign and Activate",
            Self::numbers,
            |bench, numbers| {
                bench.log_on(numbers);
            },
        );
    }

    fn refreshes(&mut self) {
        self.measure_asking("REGISTER refresh", |bench, size| {
            let changed = bench.changed + 1;
            let actors = bench.some(size).into_iter();
            let put = |actor: &Actor| Change::PutBinding(binding(actor.number, changed));
            actors
                .map(|actor| commit(actor, vec![put(&actor)]))
                .collect()
        });
    }

    fn subscribes(&mut self) {
        self.measure_asking("SUBSCRIBE, first", |bench, size| {
            let changed = bench.changed + 1;
            let operations = bench.some(size).into_iter().map(|actor| {
                let watched = actor.number + 20_000_000;
                let changes = vec![
                    subscribe(actor.number, watched, changed),
                    Change::ReadDocument(presence(watched)),
                ];
                commit(actor, changes)
            });
            operations.collect()
        });
    }

    fn subscribe_refreshes(&mut self) {
        self.measure_asking("SUBSCRIBE, refresh", |bench, size| {
            let changed = bench.changed + 1;
            let operations = bench.some(size).into_iter().map(|actor| {
                let watched = 10_000_000 + actor.number * 7 + 3;
                let mut row = subscription(actor.number, watched, 0);
                row.repeat = repeat(changed);
                row.remote_cseq = u32::try_from(changed).unwrap_or(0);
                let changes = vec![
                    Change::PutSubscription(Box::new(row)),
                    Change::ReadDocument(presence(watched)),
                ];
                commit(actor, changes)
            });
            operations.collect()
        });
    }

    fn publishes(&mut self, watchers: usize) -> Result<(), Box<dyn Error>> {
        let phones = self.phones(100);
        let publishers = self.register(phones);
        let mut tags: Vec<u64> = vec![self.changed; publishers.len()];
        let mut operations = Vec::new();
        for (n, actor) in publishers.iter().enumerate() {
            let publication = publication(actor.number, self.changed)?;
            let put = Change::PutPublication {
                publication,
                replaces: None,
            };
            operations.push(commit(*actor, vec![put]));
            for w in 0..watchers {
                let watcher = self.actors.get((n * 97 + w * 13) % CLIENTS);
                let watcher = *watcher.ok_or("there are enough clients")?;
                let row = subscribe(watcher.number, actor.number, 1_000_000);
                operations.push(commit(watcher, vec![row]));
            }
        }
        self.ask(operations);
        let mut next = 0;
        self.measure_asking(&format!("PUBLISH, {watchers} watchers"), |bench, size| {
            bench.changed += 1;
            let operations = (0..size).map(|_| {
                next = (next + 1) % publishers.len();
                let actor = publishers[next];
                let publication = publication(actor.number, bench.changed).expect("a tag");
                let replaces = format!("tag{}", tags[next]).parse().ok();
                tags[next] = bench.changed;
                let changes = vec![
                    Change::PutPublication {
                        publication,
                        replaces,
                    },
                    document(actor.number, bench.changed),
                ];
                commit(actor, changes)
            });
            operations.collect()
        });
        Ok(())
    }

    fn documents(&mut self) {
        self.measure_asking("Documents, one resource", |bench, size| {
            let operations = bench
                .some(size)
                .into_iter()
                .map(|actor| Operation::Documents {
                    resources: vec![presence(actor.number)],
                });
            operations.collect()
        });
    }
}

fn commit(actor: Actor, changes: Vec<Change>) -> Operation {
    Operation::Commit {
        by: actor.by,
        client: actor.client,
        epoch: actor.epoch,
        changes,
        release_at: WallTime(0),
    }
}

fn aor(number: usize) -> Aor {
    // Scattered, as names are.
    let scattered = number.wrapping_mul(2_654_435_761) % 4_294_967_296;
    Aor::from_canonical(&format!("sip:user{scattered:08x}{number}@example.com"))
}

fn presence(number: usize) -> ResourceId {
    ResourceId {
        aor: aor(number),
        package: PackageName::new("presence"),
    }
}

fn repeat(changed: u64) -> Repeat {
    let mut request = [7; 16];
    request[..8].copy_from_slice(&changed.to_le_bytes());
    Repeat {
        request: RequestKey(request),
        answer: Answer {
            status: 200,
            expires_secs: 3600,
            tag: None,
            to_tag: "5f2b9c0d1e".into(),
        },
    }
}

fn flow() -> FlowToken {
    FlowToken {
        balancer: MemberId(1),
        flow: Flow::udp(0, "192.0.2.7:5060".parse().expect("an address")),
    }
}

fn binding(number: usize, changed: u64) -> Binding {
    Binding {
        key: BindingKey("<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>;1".into()),
        contact: format!("sip:user{number}@192.0.2.7:5060;transport=udp").into(),
        instance: Some("<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>".into()),
        path: Vec::new(),
        flow: flow(),
        call_id: format!("{number}-6f0e2a77c1d94a@192.0.2.7").into(),
        cseq: u32::try_from(changed).unwrap_or(0),
        q: 1000,
        user_agent: "baresip v3.9.0 (x86_64/Linux)".into(),
        expires_at: WallTime(changed),
        is_silent: false,
        is_proxied: false,
        repeat: repeat(changed),
    }
}

fn publication(number: usize, changed: u64) -> Result<Publication, Box<dyn Error>> {
    Ok(Publication {
        resource: presence(number),
        tag: format!("tag{changed}").parse()?,
        content_type: "application/pidf+xml".into(),
        body: body(changed),
        flow: flow(),
        modified_at: WallTime(changed),
        expires_at: WallTime(changed),
        repeat: repeat(changed),
    })
}

fn document(number: usize, changed: u64) -> Change {
    Change::WriteDocument {
        resource: presence(number),
        content_type: "application/pidf+xml".into(),
        body: body(changed),
    }
}

/// A PIDF document of ordinary length.
fn body(changed: u64) -> Bytes {
    format!("<?xml version=\"1.0\"?><presence>{changed:0>420}</presence>").into()
}

fn subscribe(number: usize, watched: usize, changed: u64) -> Change {
    Change::PutSubscription(Box::new(subscription(number, watched, changed)))
}

fn subscription(number: usize, watched: usize, changed: u64) -> Subscription {
    Subscription {
        resource: presence(watched),
        dialog: DialogId {
            call_id: format!("{number}-6f0e2a77c1d94a@192.0.2.7").into(),
            local_tag: format!("{changed:08x}{watched:08x}").into(),
            remote_tag: "b7c1d94a6f0e2a77".into(),
        },
        event_id: "".into(),
        local_uri: format!("<sip:user{watched}@example.com>").into(),
        remote_uri: format!("<sip:user{number}@example.com>").into(),
        local_target: "sip:3f9a0c71b2@192.0.2.1:5060".into(),
        remote_target: format!("sip:user{number}@192.0.2.7:5060;transport=udp").into(),
        route_set: vec!["<sip:192.0.2.1:5060;lr;flow=1-0-5>".into()],
        is_proxied: false,
        flow: flow(),
        remote_cseq: 1,
        cseq_base: 1,
        cseq_activation: 1,
        state: SubscriptionState::Active,
        accept: "application/pidf+xml".into(),
        expires_at: WallTime(changed),
        owed: true,
        repeat: repeat(changed),
    }
}

/// The CPU time of this process, all threads.
fn cpu_micros() -> f64 {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task").expect("Linux") {
        let path = task.expect("Linux").path().join("schedstat");
        let text = fs::read_to_string(path).unwrap_or_default();
        let word = text
            .split(' ')
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        nanos += word.unwrap_or(0);
    }
    nanos as f64 / 1000.0
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
