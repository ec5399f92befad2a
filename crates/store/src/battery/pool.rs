//! A member's view of a store under test: asks, waits, and takes answers apart.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use presently_pool::{
    Assignment, ClientId, Epoch, Incarnation, Member, MemberId, Membership, ResourceId, Role,
    Version,
};
use presently_sip::Aor;

use super::values::{aor, at};
use crate::{
    Activated, Change, Completion, Document, Holder, Operation, Outcome, PoolStatus, Refused,
    Session, Store, Swept, Ticket, Written,
};

/// A store, and a balancer and servers that have joined it.
pub(super) struct Pool {
    store: Box<dyn Store>,
    next: u64,
    /// The balancer.
    pub(super) balancer: Membership,
}

/// An active client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Actor {
    /// Its server.
    pub(super) by: Membership,
    /// Its row.
    pub(super) client: ClientId,
    /// Its epoch.
    pub(super) epoch: Epoch,
}

/// What came of a commit.
#[derive(Debug)]
pub(super) struct Committed {
    /// Documents written.
    pub(super) written: Vec<Written>,
    /// Documents read.
    pub(super) read: Vec<Arc<Document>>,
    /// Whether the assignment was released.
    pub(super) released: bool,
}

impl Pool {
    /// A pool with one balancer.
    pub(super) fn new(store: Box<dyn Store>) -> Self {
        Self::called("balancer", store)
    }

    /// A pool whose balancer is called `name`, beside others on the same database.
    pub(super) fn called(name: &str, store: Box<dyn Store>) -> Self {
        let mut pool = Self {
            store,
            next: 0,
            balancer: Membership::default(),
        };
        pool.balancer = pool.join_as(name, Role::Balancer, 1);
        pool
    }

    /// A pool with one balancer and servers of weight 1.
    pub(super) fn with<const N: usize>(
        store: Box<dyn Store>,
        servers: [&str; N],
    ) -> (Self, [Membership; N]) {
        let mut pool = Self::new(store);
        let servers = servers.map(|name| pool.join(name));
        (pool, servers)
    }

    /// Does one operation.
    pub(super) fn ask(&mut self, operation: Operation) -> Result<Outcome, Refused> {
        let mut results = self.ask_all(vec![operation]);
        results.pop().expect("one operation, one completion")
    }

    /// Does a batch; the results are in the order of the operations.
    pub(super) fn ask_all(&mut self, operations: Vec<Operation>) -> Vec<Result<Outcome, Refused>> {
        let first = self.next;
        let mut batch = Vec::with_capacity(operations.len());
        for operation in operations {
            batch.push((Ticket(self.next), operation));
            self.next += 1;
        }
        let count = batch.len();
        self.store.submit(&mut batch);
        assert!(batch.is_empty(), "submit takes the whole batch");
        let mut done: Vec<Completion> = Vec::new();
        while done.len() < count {
            block_on(poll_fn(|context| self.store.poll(context, &mut done)));
        }
        done.sort_by_key(|completion| completion.ticket);
        let tickets = done.iter().map(|completion| completion.ticket.0);
        assert!(
            tickets.eq(first..self.next),
            "one completion for each ticket"
        );
        done.into_iter()
            .map(|completion| completion.result)
            .collect()
    }

    /// A server of weight 1 joins.
    pub(super) fn join(&mut self, name: &str) -> Membership {
        self.join_as(name, Role::Server, 1)
    }

    /// A member joins.
    pub(super) fn join_as(&mut self, name: &str, role: Role, weight: u32) -> Membership {
        let (membership, _, _) = self.join_with(name, role, weight, [7; 16]);
        membership
    }

    /// The operation by which a member joins.
    pub(super) fn joining(name: &str, role: Role, over: Option<(Incarnation, u64)>) -> Operation {
        Operation::Join {
            name: name.into(),
            over,
            role,
            host: "host".into(),
            pid: 1,
            started: 2,
            sip: Some("127.0.0.1:5070".parse().expect("an address")),
            oob: None,
            weight: 1,
            seed: [7; 16],
        }
    }

    /// A member joins, with what it is told.
    pub(super) fn join_with(
        &mut self,
        name: &str,
        role: Role,
        weight: u32,
        seed: [u8; 16],
    ) -> (Membership, [u8; 16], Vec<Member>) {
        let status = self.status();
        let mut former = status.members.iter().filter(|member| *member.name == *name);
        let operation = Operation::Join {
            name: name.into(),
            over: former
                .next()
                .map(|member| (member.incarnation, member.beat)),
            role,
            host: "host".into(),
            pid: 1,
            started: 2,
            sip: Some("127.0.0.1:5070".parse().expect("an address")),
            oob: None,
            weight,
            seed,
        };
        match self.ask(operation) {
            Ok(Outcome::Joined {
                membership,
                key,
                members,
            }) => (membership, key, members),
            other => panic!("not joined: {other:?}"),
        }
    }

    /// Finds or makes an assignment.
    pub(super) fn assign(&mut self, user: &str) -> Option<Assignment> {
        let operation = self.assigning(user);
        assigned(self.ask(operation))
    }

    /// Finds an assignment.
    pub(super) fn assignment(&mut self, user: &str) -> Option<Assignment> {
        let by = self.balancer;
        assigned(self.ask(Operation::Assign {
            by,
            client: aor(user),
            create: false,
            now: at(0),
        }))
    }

    /// The operation that finds or makes an assignment.
    pub(super) fn assigning(&self, user: &str) -> Operation {
        Operation::Assign {
            by: self.balancer,
            client: aor(user),
            create: true,
            now: at(0),
        }
    }

    /// Activates a client at its server.
    pub(super) fn activate(&mut self, by: Membership, client: Aor) -> Option<Activated> {
        match self.ask(Operation::Activate { by, client }) {
            Ok(Outcome::Activated(activated)) => activated.map(|activated| *activated),
            other => panic!("not activated: {other:?}"),
        }
    }

    /// Assigns a client, and activates it at whichever of `servers` it is assigned to.
    pub(super) fn log_on(&mut self, servers: &[Membership], user: &str) -> Actor {
        let assignment = self.assign(user).expect("a server is alive");
        let server = servers.iter().find(|by| by.member == assignment.server);
        let by = *server.expect("assigned to a server of this pool");
        let activated = self.activate(by, aor(user)).expect("assigned to it");
        Actor {
            by,
            client: activated.client,
            epoch: activated.epoch,
        }
    }

    /// Commits changes.
    pub(super) fn commit(&mut self, actor: Actor, changes: Vec<Change>) -> Committed {
        match self.ask(committing(actor, changes)) {
            Ok(Outcome::Committed {
                written,
                read,
                released,
            }) => Committed {
                written,
                read,
                released,
            },
            other => panic!("not committed: {other:?}"),
        }
    }

    /// Writes the document of `user`'s presence and tells its version.
    pub(super) fn write(&mut self, actor: Actor, user: &str, body: &str) -> Version {
        let committed = self.commit(actor, vec![super::values::write(user, body)]);
        committed.written.first().expect("one write").version
    }

    /// Moves a client.
    pub(super) fn reassign(
        &mut self,
        user: &str,
        from: Assignment,
        to: MemberId,
    ) -> Option<Assignment> {
        assigned(self.ask(Operation::Reassign {
            client: aor(user),
            from: from.server,
            epoch: from.epoch,
            to: Some(to),
        }))
    }

    /// Beats, with what the server has settled.
    pub(super) fn beat(&mut self, by: Membership, settled: Option<u64>) -> (u64, Vec<Member>) {
        let now = at(1);
        match self.ask(Operation::Beat { by, settled, now }) {
            Ok(Outcome::Beaten { beat, members, .. }) => (beat, members),
            other => panic!("no beat: {other:?}"),
        }
    }

    /// Ends a life that stands still at `beat`; says whether it did.
    pub(super) fn end(&mut self, by: Membership, member: Membership, beat: u64) -> bool {
        match self.ask(Operation::End { by, member, beat }) {
            Ok(Outcome::Ended(ended)) => ended,
            other => panic!("not answered: {other:?}"),
        }
    }

    /// Moves clients of an ended server; with how many are left.
    pub(super) fn take_over(&mut self, from: MemberId) -> (Vec<(Aor, Assignment)>, u64) {
        let by = self.balancer;
        match self.ask(Operation::TakeOver { by, from }) {
            Ok(Outcome::TakenOver { moved, left }) => (moved, left),
            other => panic!("not taken over: {other:?}"),
        }
    }

    /// Asks for a member to be emptied, or not to be any more.
    pub(super) fn drain(&mut self, name: &str, is_draining: bool) -> Option<Member> {
        let name = name.into();
        match self.ask(Operation::Drain { name, is_draining }) {
            Ok(Outcome::Drained(member)) => member,
            other => panic!("not drained: {other:?}"),
        }
    }

    /// A page of an nlb's sessions.
    pub(super) fn sessions(&mut self, nlb: &str, after: Option<&Aor>) -> Vec<Session> {
        let (nlb, after) = (nlb.into(), after.cloned());
        match self.ask(Operation::Sessions { nlb, after }) {
            Ok(Outcome::Sessions(sessions)) => sessions,
            other => panic!("not read: {other:?}"),
        }
    }

    /// Holds the name of an nlb, or tries to.
    pub(super) fn hold(&mut self, nlb: &str, life: u64, over: Option<Holder>) -> Holder {
        let nlb = nlb.into();
        match self.ask(Operation::HoldName { nlb, life, over }) {
            Ok(Outcome::Held(holder)) => holder,
            other => panic!("not said: {other:?}"),
        }
    }

    /// Gives the name of an nlb back.
    pub(super) fn leave_name(&mut self, nlb: &str, life: u64) {
        let nlb = nlb.into();
        let left = self.ask(Operation::LeaveName { nlb, life });
        assert!(matches!(left, Ok(Outcome::Done)), "{left:?}");
    }

    /// Reads documents.
    pub(super) fn documents(&mut self, resources: Vec<ResourceId>) -> Vec<Arc<Document>> {
        match self.ask(Operation::Documents { resources }) {
            Ok(Outcome::Documents(documents)) => documents,
            other => panic!("not read: {other:?}"),
        }
    }

    /// Sweeps.
    pub(super) fn sweep(&mut self, by: Membership, since: u64) -> Swept {
        match self.ask(Operation::Sweep { by, since }) {
            Ok(Outcome::Swept(swept)) => swept,
            other => panic!("not swept: {other:?}"),
        }
    }

    /// The pool at a glance.
    pub(super) fn status(&mut self) -> PoolStatus {
        match self.ask(Operation::Status) {
            Ok(Outcome::Status(status)) => *status,
            other => panic!("no status: {other:?}"),
        }
    }

    /// How many clients each of `servers` has.
    pub(super) fn counts<const N: usize>(&mut self, servers: [Membership; N]) -> [u64; N] {
        let members = self.status().members;
        servers.map(|by| {
            let member = members.iter().find(|member| member.id == by.member);
            member.expect("it has joined").clients
        })
    }
}

/// The operation that commits changes.
pub(super) fn committing(actor: Actor, changes: Vec<Change>) -> Operation {
    Operation::Commit {
        by: actor.by,
        client: actor.client,
        epoch: actor.epoch,
        changes,
        release_at: at(32),
    }
}

/// The assignment that an operation answered with.
pub(super) fn assigned(result: Result<Outcome, Refused>) -> Option<Assignment> {
    match result {
        Ok(Outcome::Assigned(assignment)) => assignment,
        other => panic!("not assigned: {other:?}"),
    }
}

/// Waits in this thread for a future, whichever thread wakes it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        thread::park();
    }
}
