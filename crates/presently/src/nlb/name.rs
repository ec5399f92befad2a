//! The nlb's name in the store, which one process holds at a time: taken at the start, kept by a
//! beat, given back at the end. Two of one name would take each other's records for their own.

use std::sync::Arc;
use std::time::Duration;

use presently_sip::Moment;
use presently_store::{Completion, Holder, Operation, Outcome, Refused, Store, Ticket};
use tokio::time::MissedTickBehavior;

use super::StartError;
use crate::driver::ask;

/// A name that this process holds, as far as it knows.
#[derive(Debug)]
pub(super) struct Name {
    nlb: Arc<str>,
    life: u64,
    /// When the next beat is due; `None` while one is on its way.
    beat_at: Option<Moment>,
    is_lost: bool,
}

/// Another process has taken the nlb's name, which this one had not confirmed for long: it was
/// stopped, or its store was.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("another nlb runs as {name} now: this one ends")]
pub struct NameLost {
    /// The name.
    pub name: String,
}

impl Name {
    /// Takes `name`. Where another life holds it, that is waited for until it has stood still for
    /// as long as a lease lasts; refused when it beats. A look counts only when the store has just
    /// written for this process: in a store that stalls every beat stands still.
    pub(super) async fn take(store: &mut dyn Store, name: &str) -> Result<Self, StartError> {
        let name = Self {
            nlb: name.into(),
            // The store's numbers have 63 bits.
            life: rand::random::<u64>() >> 1,
            beat_at: Some(Moment(0)),
            is_lost: false,
        };
        let mut seen = None;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        // After a stall looks must not follow each other faster than beats do.
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut counted, mut unwritten) = (0, 0);
        while counted <= STANDSTILL_LOOKS {
            looks.tick().await;
            let over = seen.filter(|_| counted == STANDSTILL_LOOKS);
            match name.hold(store, over).await {
                Ok(holder) if holder.life == name.life => return Ok(name),
                Ok(holder) if seen.is_some_and(|seen| seen != holder) => break,
                Ok(holder) => {
                    seen = Some(holder);
                    counted += 1;
                }
                Err(refused) if unwritten == UNWRITTEN_MAX => {
                    return Err(StartError::Unanswered(refused));
                }
                Err(_) => unwritten += 1,
            }
        }
        let name = String::from(&*name.nlb);
        Err(StartError::NameTaken { name })
    }

    async fn hold(&self, store: &mut dyn Store, over: Option<Holder>) -> Result<Holder, Refused> {
        match ask(store, self.operation(over)).await? {
            Outcome::Held(holder) => Ok(holder),
            _ => Err(Refused::Unavailable),
        }
    }

    fn operation(&self, over: Option<Holder>) -> Operation {
        Operation::HoldName {
            nlb: Arc::clone(&self.nlb),
            life: self.life,
            over,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.beat_at
    }

    /// The beat, if it is due.
    pub(super) fn beat(&mut self, now: Moment) -> Option<(Ticket, Operation)> {
        self.beat_at.filter(|due| *due <= now)?;
        self.beat_at = None;
        Some((BEAT, self.operation(None)))
    }

    /// Whether the answer is to a beat.
    pub(super) fn is_own(completion: &Completion) -> bool {
        completion.ticket == BEAT
    }

    /// Takes the answer to a beat. A refused one is repeated as any other comes: whoever finds the
    /// name standing still takes it, and then the next answer says so.
    pub(super) fn on_beaten(&mut self, now: Moment, completion: &Completion) {
        self.beat_at = Some(now.after(BEAT_EVERY));
        if let Ok(Outcome::Held(holder)) = completion.result {
            self.is_lost = holder.life != self.life;
        }
    }

    /// The error to end with, once another process has the name.
    pub(super) fn lost(&self) -> Option<NameLost> {
        let name = String::from(&*self.nlb);
        self.is_lost.then_some(NameLost { name })
    }

    /// Gives the name back, so that the next start need not wait.
    pub(super) async fn leave(&self, store: &mut dyn Store) {
        let operation = Operation::LeaveName {
            nlb: Arc::clone(&self.nlb),
            life: self.life,
        };
        // Without an answer the lease ends by itself.
        let _ = tokio::time::timeout(LEAVE_WITHIN, ask(store, operation)).await;
    }
}

/// Apart from those of the machine, which counts up from 0, and of paths.
const BEAT: Ticket = Ticket(u64::MAX - 1);
const BEAT_EVERY: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After the first look: 3 s, a lease. Six beats must be missing.
const STANDSTILL_LOOKS: usize = 12;
/// Looks after which a start gives up on a store that does not write: half a minute.
const UNWRITTEN_MAX: usize = 120;
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
