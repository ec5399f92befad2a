//! Joining the pool: what a process asks the store before its loop runs.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use presently_pool::{Incarnation, MemberId, MemberState, Membership, Role};
use presently_sip::Moment;
use presently_store::sqlite::Process;
use presently_store::{Operation, Outcome, Refused, Store, Ticket};

use super::start::StartError;

/// Asks the store one thing and waits for the answer.
pub(super) async fn ask(store: &mut dyn Store, operation: Operation) -> Result<Outcome, Refused> {
    let ticket = Ticket(u64::MAX);
    store.submit(&mut vec![(ticket, operation)]);
    let mut done = Vec::new();
    loop {
        poll_fn(|context| store.poll(context, &mut done)).await;
        let found = done
            .iter()
            .position(|completion| completion.ticket == ticket);
        if let Some(found) = found {
            return done.swap_remove(found).result;
        }
    }
}

/// A member that is about to join.
pub(super) struct Joiner {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    pub(super) sip: Option<std::net::SocketAddr>,
    pub(super) oob: std::net::SocketAddr,
    pub(super) weight: u32,
}

impl Joiner {
    /// Begins a life of the member over a former one that stands still; with the pool's key.
    pub(super) async fn join(
        &self,
        store: &mut dyn Store,
        formers: &[Former],
    ) -> Result<(Membership, [u8; 16]), StartError> {
        let process = Process::own();
        let operation = Operation::Join {
            name: Arc::clone(&self.name),
            over: formers
                .iter()
                .find(|former| former.name == self.name)
                .map(|former| (former.incarnation, former.beat)),
            role: self.role,
            host: process.host,
            pid: process.pid,
            started: process.started,
            sip: self.sip,
            oob: Some(self.oob),
            weight: self.weight,
            seed: rand::random(),
        };
        match ask(store, operation).await {
            Ok(Outcome::Joined {
                membership, key, ..
            }) => Ok((membership, key)),
            // Another process of this name began in between.
            Err(Refused::Fenced) => Err(StartError::NameTaken {
                name: Arc::clone(&self.name),
            }),
            Ok(_) => Err(StartError::Refused(Refused::Unavailable)),
            Err(refused) => Err(StartError::Refused(refused)),
        }
    }
}

/// The members of a process in the lives they have joined in.
pub(super) struct Joined {
    pub(super) lives: Vec<Life>,
    /// The pool's key.
    pub(super) key: [u8; 16],
    /// When the store was first asked.
    pub(super) began: Moment,
}

/// One member of a process in its present life.
pub(super) struct Life {
    pub(super) membership: Membership,
    pub(super) role: Role,
    pub(super) name: Arc<str>,
}

impl Joined {
    /// Nobody yet.
    pub(super) fn at(began: Moment) -> Self {
        Self {
            lives: Vec::new(),
            key: [0; 16],
            began,
        }
    }

    pub(super) fn add(&mut self, joiner: &Joiner, (membership, key): (Membership, [u8; 16])) {
        self.key = key;
        self.lives.push(Life {
            membership,
            role: joiner.role,
            name: Arc::clone(&joiner.name),
        });
    }

    /// The members by their ids.
    pub(super) fn names(&self) -> Vec<(MemberId, Arc<str>)> {
        let lives = self.lives.iter();
        lives
            .map(|life| (life.membership.member, Arc::clone(&life.name)))
            .collect()
    }

    /// When the store confirmed a beat of each: never yet.
    pub(super) fn beaten(&self, now: Moment) -> Vec<(u64, Moment)> {
        vec![(0, now); self.lives.len()]
    }
}

/// A life under the name of a joiner, as it was last seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Former {
    pub(super) name: Arc<str>,
    pub(super) incarnation: Incarnation,
    pub(super) beat: u64,
}

/// Waits until every former life of these names has left or stands still, and tells which stand;
/// refuses when one lives.
pub(super) async fn wait_for_names(
    store: &mut dyn Store,
    joiners: &[Joiner],
) -> Result<Vec<Former>, StartError> {
    let before = formers(store, joiners).await?;
    if before.is_empty() {
        return Ok(before);
    }
    let mut looks = tokio::time::interval(LOOK_EVERY);
    for _ in 0..=STANDSTILL_LOOKS {
        looks.tick().await;
        let now = formers(store, joiners).await?;
        let moved = now.iter().find(|former| !before.contains(former));
        if let Some(former) = moved {
            return Err(StartError::NameTaken {
                name: Arc::clone(&former.name),
            });
        }
    }
    Ok(before)
}

/// The lives in the store of those of `joiners` that have one.
pub(super) async fn formers(
    store: &mut dyn Store,
    joiners: &[Joiner],
) -> Result<Vec<Former>, StartError> {
    let status = match ask(store, Operation::Status).await {
        Ok(Outcome::Status(status)) => status,
        Ok(_) => return Err(StartError::Refused(Refused::Unavailable)),
        Err(refused) => return Err(StartError::Refused(refused)),
    };
    let is_ours = |name: &str| joiners.iter().any(|joiner| *joiner.name == *name);
    let alive = status
        .members
        .into_iter()
        .filter(|member| member.state == MemberState::Alive && is_ours(&member.name));
    let formers = alive.map(|member| Former {
        name: member.name,
        incarnation: member.incarnation,
        beat: member.beat,
    });
    Ok(formers.collect())
}

/// After the first look, 250 ms apart: the 1.5 s after which a member counts as dead, and one more.
const STANDSTILL_LOOKS: usize = 7;
const LOOK_EVERY: Duration = Duration::from_millis(250);
