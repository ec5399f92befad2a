//! The model's store beside the real one: random walks through the pool, each operation asked of
//! both, and what they hold compared after each step.

use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use presently_pool::{
    Assignment, Epoch, FlowToken, Incarnation, MemberId, MemberState, Membership, PackageName,
    ResourceId, Role,
};
use presently_sip::{Aor, Flow, WallTime};
use presently_store::sqlite::Inline;
use presently_store::{
    Change, ClientState, DialogId, Mark, Operation, Outcome, Refused, Repeat, Store, Subscription,
    SubscriptionState, Swept, Ticket,
};
use stateright::Model;

use crate::pool::{Action, Client, PROCESSES, Pool, State, member};
use crate::rules::{Faults, Rules, Scope};

#[test]
fn the_real_store_does_what_the_model_says() {
    let faults = Faults {
        balancers: 0,
        kills: 2,
        lates: 3,
        leaves: 1,
        moves: 3,
        replies: 2,
        starts: 3,
        subscribes: 3,
    };
    let pool = Pool {
        rules: Rules::default(),
        scope: Scope {
            members: 3,
            balancers: 1,
            publishes: 8,
            faults,
        },
    };
    let mut steps = 0;
    for seed in 0..WALKS {
        steps += walk(&pool, seed);
    }
    println!("{steps} steps");
    assert!(steps > 10_000, "the walks are long");
}

fn walk(pool: &Pool, seed: u64) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed);
    let starts = pool.init_states();
    let mut state = starts[rng.usize(0..starts.len())];
    let mut real = Real::new(&state);
    for step in 0..STEPS {
        real.compare(&state);
        let mut actions = Vec::new();
        pool.actions(&state, &mut actions);
        rng.shuffle(&mut actions);
        let mut next = actions
            .into_iter()
            .filter_map(|action| Some((action, pool.next_state(&state, action)?)));
        let Some((action, next)) = next.next() else {
            return step;
        };
        println!("seed {seed}, step {step}: {action:?}");
        real.follow(action, &state, &next);
        state = next;
    }
    STEPS
}

/// The real store, and what processes of the model hold of it.
struct Real {
    store: Inline,
    asked: u64,
    members: Vec<MemberId>,
    /// By process: its life, its actors' epochs, its last sweep's counter, the life it looks at.
    lives: [Membership; PROCESSES],
    publisher: [Epoch; PROCESSES],
    watcher: [Epoch; PROCESSES],
    swept: [u64; PROCESSES],
    joining: [Option<(Incarnation, u64)>; PROCESSES],
    balancer: Membership,
    ending: Option<(Membership, u64)>,
    moving: Option<(Aor, Assignment)>,
    versions: u8,
}

impl Real {
    /// Three servers and what the model begins with.
    fn new(state: &State) -> Self {
        let mut real = Self {
            store: Inline::open_in_memory().expect("memory is there"),
            asked: 0,
            members: Vec::new(),
            lives: [Membership::default(); PROCESSES],
            publisher: [Epoch::default(); PROCESSES],
            watcher: [Epoch::default(); PROCESSES],
            swept: [0; PROCESSES],
            joining: [None; PROCESSES],
            balancer: Membership::default(),
            ending: None,
            moving: None,
            versions: 0,
        };
        for place in 0..PROCESSES - 1 {
            real.lives[place] = real.join(&name(place), Role::Server, None).expect("joins");
            real.members.push(real.lives[place].member);
        }
        real.balancer = real.join("b", Role::Balancer, None).expect("joins");
        for client in [Client::Publisher, Client::Watcher] {
            let place = usize::from(state.server_of(client));
            real.settle_down(client, place);
        }
        let watcher = usize::from(state.server_of(Client::Watcher));
        let publisher = usize::from(state.server_of(Client::Publisher));
        real.subscribe(watcher, false).expect("subscribes");
        real.publish(publisher).expect("publishes");
        for place in 0..PROCESSES - 1 {
            let counter = real.status().counter;
            real.beat(place, Some(counter)).expect("beats");
        }
        real
    }

    fn settle_down(&mut self, client: Client, place: usize) {
        let assign = Operation::Assign {
            by: self.balancer,
            client: aor(client),
            create: true,
            now: NOW,
        };
        let Ok(Outcome::Assigned(Some(assignment))) = self.ask(assign) else {
            panic!("a server is alive");
        };
        self.reassign(client, assignment, place);
        self.activate(place, client).expect("it is there");
    }

    /// Does what the step asks of the store, and checks its outcome.
    fn follow(&mut self, action: Action, before: &State, after: &State) {
        let is_fenced = |at: usize| !before.is_member(at);
        match action {
            Action::Activate(at, client) | Action::ActivateInVain(at, client) => {
                let found = self.activate(at, client);
                assert_eq!(found.is_err(), is_fenced(at));
                if let (Ok(Some(is_untold)), Action::Activate(..), Client::Watcher) =
                    (found, action, client)
                {
                    assert_eq!(Some(is_untold), begins(after, at));
                }
            }
            Action::Beat(at) => assert_eq!(self.beat(at, None).is_err(), is_fenced(at)),
            Action::Clear(at) | Action::Owe(at) => {
                let owed = matches!(action, Action::Owe(_));
                assert_eq!(self.owe(at, owed).is_err(), is_fenced(at));
            }
            Action::CommitEnd(_) => {
                let (member, beat) = self.ending.take().expect("it was decided");
                let by = self.balancer;
                let ended = self.ask(Operation::End { by, member, beat });
                let Ok(Outcome::Ended(is_won)) = ended else {
                    panic!("{ended:?}");
                };
                assert_eq!(is_won, alive(before) != alive(after));
            }
            Action::CommitMove { to, .. } => {
                let (client, assignment) = self.moving.take().expect("it was decided");
                self.reassign_aor(client, assignment, to);
            }
            Action::DecideEnd { member, .. } => {
                let row = self.row(member);
                self.ending = Some((row.membership(), row.beat));
            }
            Action::DecideMove { client, .. } => {
                let assignment = self.show(client).assignment.expect("it has one");
                self.moving = Some((aor(client), assignment));
            }
            Action::Join(at) => {
                self.lives[at] = self
                    .join(&name(member(at)), Role::Server, None)
                    .expect("nobody has the name");
            }
            Action::JoinOver(at) => self.join_over(at, before, after),
            Action::Leave(at) => {
                let by = self.lives[at];
                assert_eq!(self.ask(Operation::Leave { by }).is_err(), is_fenced(at));
            }
            Action::Look(at) => {
                let row = self.row(member(at));
                self.joining[at] = Some((row.incarnation, row.beat));
            }
            Action::MoveAway { at, client, to } if !is_fenced(at) => {
                let mut assignment = self.show(client).assignment.expect("it has one");
                assignment.server = self.members[member(at)];
                assignment.epoch = self.epochs(client)[at];
                self.reassign(client, assignment, to);
            }
            Action::Publish(at) => {
                let servers = self.publish(at);
                assert_eq!(servers.is_ok(), after.store.version > before.store.version);
                let watcher = self.members[usize::from(before.server_of(Client::Watcher))];
                assert!(servers.is_err() || servers == Ok(vec![watcher]));
            }
            Action::Settle(at) => {
                let settled = Some(self.swept[at]);
                assert_eq!(self.beat(at, settled).is_err(), is_fenced(at));
            }
            Action::Subscribe(at) => {
                let has_done = before.faults.subscribes > after.faults.subscribes;
                assert_eq!(self.subscribe(at, true).is_ok(), has_done);
            }
            Action::Sweep(at) => self.sweep(at, before),
            _ => {}
        }
    }

    fn join_over(&mut self, at: usize, before: &State, after: &State) {
        let over = self.joining[at].take();
        // A process whose name has ended meanwhile asks anew.
        if alive(before)[member(at)] {
            let joined = self.join(&name(member(at)), Role::Server, over);
            assert_eq!(joined.is_ok(), after.is_member(at));
            self.lives[at] = joined.unwrap_or_default();
        }
    }

    fn sweep(&mut self, at: usize, before: &State) {
        let by = self.lives[at];
        let swept = self.ask(Operation::Sweep { by, since: 0 });
        assert_eq!(swept.is_err(), !before.is_member(at));
        if let Ok(Outcome::Swept(Swept {
            counter, clients, ..
        })) = swept
        {
            self.swept[at] = counter;
            let watcher = aor(Client::Watcher);
            let is_here = clients.iter().any(|(client, ..)| *client == watcher);
            let server = usize::from(before.server_of(Client::Watcher));
            assert_eq!(is_here, server == member(at));
        }
    }

    /// What both hold is the same.
    fn compare(&mut self, state: &State) {
        for (place, is_alive) in alive(state).into_iter().enumerate() {
            let row = self.row(place);
            assert_eq!(row.state == MemberState::Alive, is_alive, "{row:?}");
        }
        for client in [Client::Publisher, Client::Watcher] {
            let held = self.show(client);
            let server = self.members[usize::from(state.server_of(client))];
            assert_eq!(held.assignment.map(|held| held.server), Some(server));
            if let Some(subscription) = held.subscriptions.first() {
                assert_eq!(subscription.owed, state.store.owed);
            }
        }
        assert_eq!(self.versions, state.store.version);
    }

    fn activate(&mut self, at: usize, client: Client) -> Result<Option<bool>, Refused> {
        let activate = Operation::Activate {
            by: self.lives[at],
            client: aor(client),
        };
        let Outcome::Activated(found) = self.ask(activate)? else {
            panic!("an activation's outcome");
        };
        Ok(found.map(|found| {
            let mut untold = found.subscriptions.iter();
            let is_untold = untold.any(|(row, version)| row.owed || version.0 > found.told);
            self.epochs(client)[at] = found.epoch;
            is_untold
        }))
    }

    fn beat(&mut self, at: usize, settled: Option<u64>) -> Result<Outcome, Refused> {
        let by = self.lives[at];
        let now = NOW;
        self.ask(Operation::Beat { by, settled, now })
    }

    fn owe(&mut self, at: usize, owed: bool) -> Result<Outcome, Refused> {
        let mark = Mark {
            client: self
                .show(Client::Watcher)
                .assignment
                .expect("it has one")
                .client,
            epoch: self.watcher[at],
            key: subscription(owed).key(),
            owed,
        };
        let by = self.lives[at];
        let marks = vec![mark];
        self.ask(Operation::Owe { by, marks })
    }

    fn subscribe(&mut self, at: usize, owed: bool) -> Result<Outcome, Refused> {
        let change = Change::PutSubscription(Box::new(subscription(owed)));
        self.commit(at, Client::Watcher, change)
    }

    /// Gives the servers that are to be woken.
    fn publish(&mut self, at: usize) -> Result<Vec<MemberId>, Refused> {
        let change = Change::WriteDocument {
            resource: presence(),
            content_type: "application/pidf+xml".into(),
            body: Bytes::from_static(b"<presence/>"),
        };
        let Outcome::Committed { mut written, .. } = self.commit(at, Client::Publisher, change)?
        else {
            panic!("a commit's outcome");
        };
        self.versions += 1;
        Ok(written.pop().expect("one was written").servers)
    }

    fn commit(&mut self, at: usize, client: Client, change: Change) -> Result<Outcome, Refused> {
        let commit = Operation::Commit {
            by: self.lives[at],
            client: self.show(client).assignment.expect("it has one").client,
            epoch: self.epochs(client)[at],
            changes: vec![change],
            release_at: NOW,
        };
        self.ask(commit)
    }

    fn reassign(&mut self, client: Client, from: Assignment, to: usize) {
        self.reassign_aor(aor(client), from, to);
    }

    fn reassign_aor(&mut self, client: Aor, from: Assignment, to: usize) {
        let Assignment { server, epoch, .. } = from;
        let to = Some(self.members[to]);
        let reassign = Operation::Reassign {
            client,
            from: server,
            epoch,
            to,
        };
        self.ask(reassign).expect("it is answered, whoever has it");
    }

    fn join(
        &mut self,
        name: &str,
        role: Role,
        over: Option<(Incarnation, u64)>,
    ) -> Result<Membership, Refused> {
        let join = Operation::Join {
            name: name.into(),
            over,
            role,
            host: "host".into(),
            pid: 1,
            started: 1,
            sip: None,
            oob: None,
            weight: 1,
            seed: [0; 16],
        };
        let Outcome::Joined { membership, .. } = self.ask(join)? else {
            panic!("a join's outcome");
        };
        Ok(membership)
    }

    fn epochs(&mut self, client: Client) -> &mut [Epoch; PROCESSES] {
        match client {
            Client::Publisher => &mut self.publisher,
            Client::Watcher => &mut self.watcher,
        }
    }

    fn row(&mut self, place: usize) -> presently_pool::Member {
        let id = self.members[place];
        let mut rows = self.status().members.into_iter();
        rows.find(|row| row.id == id).expect("it has joined")
    }

    fn status(&mut self) -> presently_store::PoolStatus {
        let Ok(Outcome::Status(status)) = self.ask(Operation::Status) else {
            panic!("a status");
        };
        *status
    }

    fn show(&mut self, client: Client) -> ClientState {
        let client = aor(client);
        let Ok(Outcome::Client(Some(state))) = self.ask(Operation::Show { client }) else {
            panic!("it is known");
        };
        *state
    }

    fn ask(&mut self, operation: Operation) -> Result<Outcome, Refused> {
        self.asked += 1;
        self.store
            .submit(&mut vec![(Ticket(self.asked), operation)]);
        let mut done = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        let _ = self.store.poll(&mut context, &mut done);
        done.pop()
            .expect("the inline store is never pending")
            .result
    }
}

fn alive(state: &State) -> [bool; PROCESSES - 1] {
    state.store.members.map(|row| row.is_alive)
}

/// Whether the watcher's actor at `at` begins with a NOTIFY.
fn begins(state: &State, at: usize) -> Option<bool> {
    state.servers[at].watcher.map(|watcher| watcher.told == 0)
}

fn name(place: usize) -> String {
    format!("s{place}")
}

fn aor(client: Client) -> Aor {
    Aor::from_canonical(match client {
        Client::Publisher => "sip:alice@example.com",
        Client::Watcher => "sip:bob@example.com",
    })
}

fn presence() -> ResourceId {
    ResourceId {
        aor: aor(Client::Publisher),
        package: PackageName::new("presence"),
    }
}

fn subscription(owed: bool) -> Subscription {
    let text: Arc<str> = "sip:bob@192.0.2.7".into();
    Subscription {
        resource: presence(),
        dialog: DialogId {
            call_id: "1".into(),
            local_tag: "ours".into(),
            remote_tag: "theirs".into(),
        },
        event_id: "".into(),
        local_uri: text.clone(),
        remote_uri: text.clone(),
        local_target: text.clone(),
        remote_target: text,
        route_set: Vec::new(),
        is_proxied: false,
        flow: FlowToken {
            balancer: MemberId(1),
            flow: Flow::udp(0, ([192, 0, 2, 7], 5060).into()),
        },
        remote_cseq: 1,
        cseq_base: 1,
        cseq_activation: 1,
        state: SubscriptionState::Active,
        accept: "".into(),
        expires_at: WallTime(u64::MAX >> 1),
        owed,
        repeat: Repeat::default(),
    }
}

const NOW: WallTime = WallTime(1_000_000);
const WALKS: u64 = 200;
const STEPS: usize = 300;
