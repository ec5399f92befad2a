//! Joining the pool: what a process asks the store before its loop runs.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use presently_pool::{Incarnation, MemberId, MemberState, Membership, Role};
use presently_sip::Moment;
use presently_store::sqlite::Process;
use presently_store::{Operation, Outcome, Refused, Store, Ticket};
use tokio::time::MissedTickBehavior;

use super::start::StartError;

/// Asks the store one thing and waits for the answer.
pub(crate) async fn ask(store: &mut dyn Store, operation: Operation) -> Result<Outcome, Refused> {
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
/// refuses when one lives. A look counts only when the store has just written for this process: in
/// a store that stalls every beat stands still.
pub(super) async fn wait_for_names(
    store: &mut dyn Store,
    joiners: &[Joiner],
) -> Result<Vec<Former>, StartError> {
    let before = formers(store, joiners).await?;
    if before.is_empty() {
        return Ok(before);
    }
    let mut looks = tokio::time::interval(LOOK_EVERY);
    // After a stall looks must not follow each other faster than beats do.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut counted, mut unwritten) = (0, 0);
    while counted <= STANDSTILL_LOOKS {
        looks.tick().await;
        match has_written(store).await {
            Ok(()) => counted += 1,
            Err(refused) if unwritten == UNWRITTEN_MAX => {
                return Err(StartError::Refused(refused));
            }
            Err(_) => unwritten += 1,
        }
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

/// Whether the store writes: it takes the turn of a writer to find that nobody is nobody.
async fn has_written(store: &mut dyn Store) -> Result<(), Refused> {
    let nobody = Operation::Owe {
        by: Membership {
            member: MemberId(0),
            incarnation: Incarnation(0),
        },
        marks: Vec::new(),
    };
    match ask(store, nobody).await {
        Ok(_) | Err(Refused::Fenced) => Ok(()),
        Err(refused) => Err(refused),
    }
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
/// Looks after which a start gives up on a store that does not write: half a minute.
const UNWRITTEN_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use presently_pool::Member;
    use presently_store::{Completion, PoolStatus};

    use super::*;

    /// A store that stalls: it refuses so many writes, then does them. A member's beat moves with
    /// the third write that is done, unless it is dead.
    struct Stalling {
        refused: usize,
        written: u64,
        is_dead: bool,
        done: Vec<Completion>,
    }

    impl Stalling {
        fn perform(&mut self, operation: &Operation) -> Result<Outcome, Refused> {
            if let Operation::Status = operation {
                let members = vec![member(u64::from(self.written > 2 && !self.is_dead))];
                return Ok(Outcome::Status(Box::new(PoolStatus {
                    members,
                    subscriptions: Vec::new(),
                    clients: 0,
                    counter: 1,
                })));
            }
            if self.refused > 0 {
                self.refused -= 1;
                return Err(Refused::Unavailable);
            }
            self.written += 1;
            Err(Refused::Fenced)
        }
    }

    impl Store for Stalling {
        fn submit(&mut self, batch: &mut Vec<(Ticket, Operation)>) {
            for (ticket, operation) in batch.drain(..) {
                let result = self.perform(&operation);
                self.done.push(Completion { ticket, result });
            }
        }

        fn poll(&mut self, _: &mut Context<'_>, done: &mut Vec<Completion>) -> Poll<()> {
            done.append(&mut self.done);
            Poll::Ready(())
        }
    }

    fn member(beat: u64) -> Member {
        Member {
            id: MemberId(1),
            name: "s1".into(),
            role: Role::Server,
            incarnation: Incarnation(7),
            state: MemberState::Alive,
            beat,
            sip: None,
            oob: None,
            weight: 1,
            is_draining: false,
            clients: 0,
        }
    }

    async fn wait(is_dead: bool) -> (Result<Vec<Former>, StartError>, u64) {
        let joiner = Joiner {
            name: "s1".into(),
            role: Role::Server,
            sip: None,
            oob: ([127, 0, 0, 1], 7_000).into(),
            weight: 1,
        };
        let mut store = Stalling {
            refused: 9,
            written: 0,
            is_dead,
            done: Vec::new(),
        };
        let waited = wait_for_names(&mut store, &[joiner]).await;
        (waited, store.written)
    }

    /// Longer than a dead member is waited for, no beat could be written.
    #[tokio::test]
    async fn in_a_store_that_stalls_a_beat_that_stands_still_says_nothing() {
        let ((living, _), (dead, written)) = tokio::join!(wait(false), wait(true));
        assert!(matches!(living, Err(StartError::NameTaken { .. })));
        assert_eq!(dead.map(|formers| formers.len()).ok(), Some(1));
        assert_eq!(written, 8, "looks that counted");
    }
}
