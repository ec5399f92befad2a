//! Random operations against a small model: assignments, counts, epochs, versions and watchers
//! agree.
//!
//! Goal: what no single claim of the battery thinks of. Method: one seed makes one sequence; the
//! store and the model do it side by side, in batches of random length. `SEED=n cargo test` replays
//! one.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(clippy::needless_pass_by_value, reason = "a result is looked at once")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::task::{Context, Waker};

use bytes::Bytes;
use fastrand::Rng;
use presently_pool::{
    Assignment, ClientId, Epoch, FlowToken, Incarnation, MemberId, Membership, PackageName,
    ResourceId, Role, Version,
};
use presently_sip::{Aor, Flow, WallTime};
use presently_store::sqlite::Inline;
use presently_store::{
    Binding, BindingKey, Change, DialogId, Operation, Outcome, Refused, Repeat, Session,
    SessionState, Store, Subscription, SubscriptionState, Ticket,
};

const SEEDS: u64 = 60;
const STEPS: usize = 400;
const USERS: u64 = 6;
const NAMES: u64 = 4;

#[test]
fn the_store_agrees_with_a_model() {
    let only = env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        println!("SEED={seed}");
        run(seed);
    }
}

fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut store = Inline::open_in_memory().unwrap();
    let mut model = Model::default();
    let mut steps = 0;
    while steps < STEPS {
        let length = rng.usize(1..8);
        steps += length;
        // The batch is made before its outcomes are known: its later operations may be stale.
        let operations: Vec<_> = (0..length).map(|_| model.any(&mut rng)).collect();
        let results = ask(&mut store, operations.clone());
        for (operation, result) in operations.into_iter().zip(results) {
            model.check(&operation, result);
        }
        model.check_status(ask(&mut store, vec![Operation::Status]).pop().unwrap());
    }
}

#[derive(Default)]
struct Model {
    members: BTreeMap<u32, ModelMember>,
    clients: BTreeMap<u64, Client>,
    versions: BTreeMap<u64, u64>,
    /// The highest number that the store has given.
    counter: u64,
}

struct ModelMember {
    name: u64,
    membership: Membership,
    is_alive: bool,
}

#[derive(Default)]
struct Client {
    assignment: Option<Assignment>,
    bindings: BTreeSet<u64>,
    /// (dialog, watched user)
    subscriptions: BTreeMap<u64, u64>,
    has_session: bool,
}

impl Model {
    /// A life over whichever has the name: nobody beats here, so each stands still at 0.
    fn join(&self, name: u64) -> Operation {
        let former = self.members.values().find(|member| member.name == name);
        let over = former.map(|member| (member.membership.incarnation, 0));
        join(name, over)
    }

    fn any(&self, rng: &mut Rng) -> Operation {
        let user = rng.u64(0..USERS);
        match rng.u32(0..100) {
            0..3 => Operation::PurgeSession {
                user: aor(user),
                nlb: "nlb".into(),
                release_at: WallTime(0),
            },
            90..94 => Operation::KeepSession(Box::new(session(user))),
            3..5 => self.join(rng.u64(0..NAMES)),
            5..7 => Operation::Leave {
                by: self.any_member(rng),
            },
            7..30 => Operation::Assign {
                by: self.any_member(rng),
                client: aor(user),
                create: rng.u32(0..4) > 0,
                now: WallTime(0),
            },
            30..45 => Operation::Activate {
                by: self.servers_or_any(user, rng),
                client: aor(user),
            },
            45..55 => {
                let held = self.held(user);
                Operation::Reassign {
                    client: aor(user),
                    from: held.server,
                    epoch: held.epoch,
                    to: Some(self.any_member(rng).member),
                }
            }
            _ => {
                let held = self.held(user);
                Operation::Commit {
                    by: self.servers_or_any(user, rng),
                    client: held.client,
                    epoch: held.epoch,
                    changes: changes(user, rng),
                    release_at: WallTime(0),
                }
            }
        }
    }

    fn any_member(&self, rng: &mut Rng) -> Membership {
        let index = rng.usize(0..self.members.len().max(1));
        let member = self.members.values().nth(index);
        member.map_or(Membership::default(), |member| member.membership)
    }

    fn servers_or_any(&self, user: u64, rng: &mut Rng) -> Membership {
        let server = self.members.get(&self.held(user).server.0);
        match server {
            Some(server) if rng.u32(0..10) > 0 => server.membership,
            _ => self.any_member(rng),
        }
    }

    fn held(&self, user: u64) -> Assignment {
        let held = self.clients.get(&user).and_then(|client| client.assignment);
        held.unwrap_or(Assignment {
            client: ClientId(user),
            server: MemberId(1),
            epoch: Epoch(1),
        })
    }

    fn is_alive(&self, by: Membership) -> bool {
        self.members
            .get(&by.member.0)
            .is_some_and(|member| member.is_alive && member.membership == by)
    }

    fn count(&self, server: MemberId) -> usize {
        let assignments = self.clients.values().filter_map(|client| client.assignment);
        assignments.filter(|held| held.server == server).count()
    }

    fn fresh(&mut self, number: u64) {
        assert!(number > self.counter, "numbers only grow");
        self.counter = number;
    }

    fn check(&mut self, operation: &Operation, result: Result<Outcome, Refused>) {
        let by = match operation {
            Operation::Activate { by, .. }
            | Operation::Assign { by, .. }
            | Operation::Commit { by, .. }
            | Operation::Leave { by } => Some(*by),
            _ => None,
        };
        if by.is_some_and(|by| !self.is_alive(by)) {
            assert_eq!(result.err(), Some(Refused::Fenced), "{operation:?}");
            return;
        }
        match operation {
            Operation::Join { name, over, .. } => self.joined(name, *over, result),
            Operation::Leave { by } => {
                assert!(result.is_ok());
                self.members.get_mut(&by.member.0).unwrap().is_alive = false;
            }
            Operation::Assign { client, create, .. } => self.assigned(client, *create, result),
            Operation::Activate { by, client } => self.activated(*by, client, result),
            Operation::Reassign {
                client,
                from,
                epoch,
                to,
            } => {
                self.reassigned(client, (*from, *epoch), to.unwrap(), result);
            }
            Operation::Commit { .. } => self.committed(operation, result),
            Operation::KeepSession(row) => {
                assert!(result.is_ok());
                self.clients.entry(user(&row.user)).or_default().has_session = true;
            }
            Operation::PurgeSession { user, .. } => self.purged(self::user(user), result),
            _ => unreachable!("not made here"),
        }
    }

    fn joined(
        &mut self,
        name: &str,
        over: Option<(Incarnation, u64)>,
        result: Result<Outcome, Refused>,
    ) {
        let name = name.rsplit(' ').next().unwrap().parse().unwrap();
        let mut lives = self.members.values().filter(|member| member.is_alive);
        let living = lives.find(|member| member.name == name);
        if living.is_some_and(|one| over != Some((one.membership.incarnation, 0))) {
            // Another of the same batch was first.
            assert_eq!(result.err(), Some(Refused::Fenced));
            return;
        }
        let Ok(Outcome::Joined { membership, .. }) = result else {
            panic!("{result:?}");
        };
        self.fresh(membership.incarnation.0);
        let member = ModelMember {
            name,
            membership,
            is_alive: true,
        };
        self.members.insert(membership.member.0, member);
    }

    fn assigned(&mut self, client: &Aor, create: bool, result: Result<Outcome, Refused>) {
        let Ok(Outcome::Assigned(assignment)) = result else {
            panic!("{result:?}");
        };
        let user = user(client);
        let held = self.clients.get(&user).and_then(|client| client.assignment);
        if held.is_some() || !create {
            assert_eq!(assignment, held);
            return;
        }
        let alive = self.members.values().filter(|member| member.is_alive);
        let ids = alive.map(|member| member.membership.member);
        let emptiest = ids.min_by_key(|id| (self.count(*id), *id)).unwrap();
        let given = assignment.unwrap();
        assert_eq!(given.server, emptiest);
        self.fresh(given.epoch.0);
        self.clients.entry(user).or_default().assignment = Some(given);
    }

    fn activated(&mut self, by: Membership, client: &Aor, result: Result<Outcome, Refused>) {
        let Ok(Outcome::Activated(activated)) = result else {
            panic!("{result:?}");
        };
        let user = user(client);
        let held = self.clients.get(&user).and_then(|client| client.assignment);
        let Some(held) = held.filter(|held| held.server == by.member) else {
            assert!(activated.is_none());
            return;
        };
        let activated = activated.unwrap();
        self.fresh(activated.epoch.0);
        assert_eq!(activated.client, held.client);
        let versions = &self.versions;
        let client = self.clients.get_mut(&user).unwrap();
        client.assignment = Some(Assignment {
            epoch: activated.epoch,
            ..held
        });
        let bindings: BTreeSet<u64> = activated
            .bindings
            .iter()
            .map(|row| row.key.0.parse().unwrap())
            .collect();
        assert_eq!(bindings, client.bindings);
        assert_eq!(activated.subscriptions.len(), client.subscriptions.len());
        for (row, version) in &activated.subscriptions {
            let dialog: u64 = row.dialog.local_tag.parse().unwrap();
            let watched = self::user(&row.resource.aor);
            assert_eq!(client.subscriptions.get(&dialog), Some(&watched));
            assert_eq!(version.0, versions.get(&watched).copied().unwrap_or(0));
        }
        let own = activated
            .documents
            .first()
            .map(|document| document.version.0);
        assert_eq!(own, versions.get(&user).copied());
    }

    fn reassigned(
        &mut self,
        client: &Aor,
        from: (MemberId, Epoch),
        to: MemberId,
        result: Result<Outcome, Refused>,
    ) {
        let Ok(Outcome::Assigned(assignment)) = result else {
            panic!("{result:?}");
        };
        let user = user(client);
        let held = self.clients.get(&user).and_then(|client| client.assignment);
        let is_ready = self
            .members
            .get(&to.0)
            .is_some_and(|member| member.is_alive);
        match held {
            Some(held) if (held.server, held.epoch) == from && is_ready => {
                let moved = assignment.unwrap();
                assert_eq!((moved.client, moved.server), (held.client, to));
                self.fresh(moved.epoch.0);
                self.clients.get_mut(&user).unwrap().assignment = Some(moved);
            }
            held => assert_eq!(assignment, held),
        }
    }

    fn committed(&mut self, operation: &Operation, result: Result<Outcome, Refused>) {
        let Operation::Commit {
            by,
            client,
            epoch,
            changes,
            ..
        } = operation
        else {
            unreachable!("asked for commits only");
        };
        let owner = self.clients.iter().find(|(_, row)| {
            row.assignment.is_some_and(|held| {
                (held.client, held.server, held.epoch) == (*client, by.member, *epoch)
            })
        });
        let Some(user) = owner.map(|(user, _)| *user) else {
            assert_eq!(result.err(), Some(Refused::Fenced));
            return;
        };
        let Ok(Outcome::Committed {
            written,
            read,
            released,
        }) = result
        else {
            panic!("{result:?}");
        };
        let mut written = written.into_iter();
        for change in changes {
            if let Change::WriteDocument { .. } = change {
                let written = written.next().unwrap();
                self.fresh(written.version.0);
                self.versions.insert(user, written.version.0);
                let mut servers = written.servers;
                servers.sort();
                assert_eq!(servers, self.watching(user));
            } else {
                self.clients.get_mut(&user).unwrap().change(change);
            }
        }
        assert!(written.next().is_none());
        for document in read {
            let watched = self::user(&document.resource.aor);
            // Nothing is as new as the counter it was read at.
            let version = self.versions.get(&watched).copied().unwrap_or(self.counter);
            assert_eq!(document.version, Version(version));
        }
        let removes = |change: &Change| {
            matches!(
                change,
                Change::RemoveBinding { .. } | Change::RemoveSubscription { .. }
            )
        };
        let client = self.clients.get_mut(&user).unwrap();
        let is_empty = client.is_empty();
        let expected = is_empty && (changes.is_empty() || changes.iter().any(removes));
        assert_eq!(released, expected);
        if released {
            client.assignment = None;
        }
    }

    fn purged(&mut self, user: u64, result: Result<Outcome, Refused>) {
        let Ok(Outcome::Purged { released }) = result else {
            panic!("{result:?}");
        };
        let client = self.clients.entry(user).or_default();
        client.has_session = false;
        assert_eq!(released, client.assignment.is_some() && client.is_empty());
        if released {
            client.assignment = None;
        }
    }

    fn watching(&self, user: u64) -> Vec<MemberId> {
        let watching = self.clients.values().filter(|client| {
            client
                .subscriptions
                .values()
                .any(|watched| *watched == user)
        });
        let servers: BTreeSet<_> = watching
            .map(|client| client.assignment.unwrap().server)
            .collect();
        servers.into_iter().collect()
    }

    fn check_status(&self, result: Result<Outcome, Refused>) {
        let Ok(Outcome::Status(status)) = result else {
            panic!("{result:?}");
        };
        assert_eq!(status.counter, self.counter);
        for member in &status.members {
            let count = u64::try_from(self.count(member.id)).unwrap();
            assert_eq!(member.clients, count, "{}", member.name);
        }
    }
}

impl Client {
    fn is_empty(&self) -> bool {
        self.bindings.is_empty() && self.subscriptions.is_empty() && !self.has_session
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::PutBinding(row) => {
                self.bindings.insert(row.key.0.parse().unwrap());
            }
            Change::RemoveBinding { key, .. } => {
                self.bindings.remove(&key.0.parse().unwrap());
            }
            Change::PutSubscription(row) => {
                let dialog = row.dialog.local_tag.parse().unwrap();
                self.subscriptions.insert(dialog, user(&row.resource.aor));
            }
            Change::RemoveSubscription { key, .. } => {
                self.subscriptions.remove(&key.local_tag.parse().unwrap());
            }
            _ => {}
        }
    }
}

fn changes(user: u64, rng: &mut Rng) -> Vec<Change> {
    let count = rng.usize(0..4);
    (0..count)
        .map(|_| match rng.u32(0..7) {
            0 => Change::PutBinding(binding(rng.u64(0..3))),
            1 => Change::RemoveBinding {
                key: binding(rng.u64(0..3)).key,
                tombstone: None,
            },
            2 => {
                // The same dialog may come back for another resource.
                let row = subscription(rng.u64(0..3), rng.u64(0..USERS));
                Change::PutSubscription(Box::new(row))
            }
            3 | 4 => Change::RemoveSubscription {
                key: subscription(rng.u64(0..3), 0).key(),
                tombstone: Some((Repeat::default(), WallTime(0))),
            },
            5 => Change::ReadDocument(presence(rng.u64(0..USERS))),
            _ => Change::WriteDocument {
                resource: presence(user),
                content_type: "text/plain".into(),
                body: Bytes::from_static(b"state"),
            },
        })
        .collect()
}

fn join(name: u64, over: Option<(Incarnation, u64)>) -> Operation {
    Operation::Join {
        name: format!("server {name}").into(),
        over,
        role: Role::Server,
        host: "host".into(),
        pid: 1,
        started: 1,
        sip: None,
        oob: None,
        weight: 1,
        seed: [0; 16],
    }
}

fn aor(user: u64) -> Aor {
    Aor::from_canonical(&format!("sip:{user}@example.com"))
}

fn user(aor: &Aor) -> u64 {
    let text = aor.as_str().strip_prefix("sip:").unwrap();
    text.split('@').next().unwrap().parse().unwrap()
}

fn presence(user: u64) -> ResourceId {
    ResourceId {
        aor: aor(user),
        package: PackageName::new("presence"),
    }
}

fn flow() -> FlowToken {
    FlowToken {
        balancer: MemberId(1),
        flow: Flow::udp(0, "192.0.2.7:5060".parse().unwrap()),
    }
}

fn binding(key: u64) -> Binding {
    Binding {
        key: BindingKey(key.to_string().into()),
        contact: "sip:phone@192.0.2.7".into(),
        instance: None,
        path: Vec::new(),
        flow: flow(),
        call_id: "1".into(),
        cseq: 1,
        q: 0,
        user_agent: "".into(),
        expires_at: WallTime(0),
        is_silent: false,
        is_proxied: false,
        repeat: Repeat::default(),
    }
}

fn subscription(dialog: u64, watched: u64) -> Subscription {
    Subscription {
        resource: presence(watched),
        dialog: DialogId {
            call_id: "2".into(),
            local_tag: dialog.to_string().into(),
            remote_tag: "remote".into(),
        },
        event_id: "".into(),
        local_uri: "".into(),
        remote_uri: "".into(),
        local_target: "".into(),
        remote_target: "".into(),
        route_set: Vec::new(),
        is_proxied: false,
        flow: flow(),
        remote_cseq: 1,
        cseq_base: 1,
        cseq_activation: 1,
        state: SubscriptionState::Active,
        accept: "".into(),
        expires_at: WallTime(0),
        owed: true,
        repeat: Repeat::default(),
    }
}

fn session(of: u64) -> Session {
    Session {
        user: aor(of),
        nlb: "nlb".into(),
        uuid: "".into(),
        handle: aor(of),
        server: "".into(),
        state: SessionState::Serving,
        since: WallTime(0),
        presence: "".into(),
        sent: None,
        feed: "".into(),
        tag: None,
        until: WallTime(1),
    }
}

fn ask(store: &mut Inline, operations: Vec<Operation>) -> Vec<Result<Outcome, Refused>> {
    store.submit(&mut (0..).map(Ticket).zip(operations).collect());
    let mut done = Vec::new();
    let _ = store.poll(&mut Context::from_waker(Waker::noop()), &mut done);
    done.into_iter()
        .map(|completion| completion.result)
        .collect()
}
