//! Asking a store and waiting for its answers.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests may, and each uses some of it"
)]

use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};

use presently_pool::{Membership, Role};
use presently_sip::{Aor, WallTime};
use presently_store::sqlite::Process;
use presently_store::{Completion, Operation, Outcome, Refused, Store, Ticket};

/// Joins as a server in this process.
pub(crate) fn join(store: &mut dyn Store, name: &str) -> Membership {
    join_as(store, name, Process::own())
}

/// Joins as a server in that process.
pub(crate) fn join_as(store: &mut dyn Store, name: &str, process: Process) -> Membership {
    let operation = Operation::Join {
        name: name.into(),
        over: None,
        role: Role::Server,
        host: process.host,
        pid: process.pid,
        started: process.started,
        sip: None,
        oob: None,
        weight: 1,
        seed: [0; 16],
    };
    match ask(store, vec![operation]).pop().unwrap() {
        Ok(Outcome::Joined { membership, .. }) => membership,
        other => panic!("not joined: {other:?}"),
    }
}

/// Assigns the client of this number.
pub(crate) fn assign(by: Membership, number: u64) -> Operation {
    Operation::Assign {
        by,
        client: Aor::from_canonical(&format!("sip:{number}@example.com")),
        create: true,
        now: WallTime(0),
    }
}

/// A beat.
pub(crate) fn beat(by: Membership) -> Operation {
    Operation::Beat {
        by,
        settled: None,
        now: WallTime(0),
    }
}

/// How many clients are assigned.
pub(crate) fn clients(store: &mut dyn Store) -> u64 {
    match ask(store, vec![Operation::Status]).pop().unwrap() {
        Ok(Outcome::Status(status)) => status.clients,
        other => panic!("no status: {other:?}"),
    }
}

/// Asks all of `operations` as one batch; the answers in their order.
pub(crate) fn ask(
    store: &mut dyn Store,
    operations: Vec<Operation>,
) -> Vec<Result<Outcome, Refused>> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let count = operations.len();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    store.submit(&mut (0..).map(Ticket).zip(operations).collect());
    let mut done: Vec<Completion> = Vec::new();
    while done.len() < count {
        if store.poll(&mut context, &mut done).is_pending() {
            thread::park();
        }
    }
    done.sort_by_key(|completion| completion.ticket);
    done.into_iter()
        .map(|completion| completion.result)
        .collect()
}
