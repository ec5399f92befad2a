//! What all sessions share, and one turn of it.

mod counters;
mod outputs;
mod refreshes;

use std::collections::VecDeque;
use std::sync::Arc;

use presently_agent as agent;
use presently_sip::{Aor, Now, Random};
use presently_store::{Operation, Ticket};

use crate::reach::Reached;
use crate::release::Recent;
use crate::{
    Config, CutReason, Guard, PathId, Queue, Refusal, ServerClock, Servers, SessionId, Verdict,
};
pub use counters::Counters;
pub use outputs::{Outputs, Step, What, Why};
pub(crate) use refreshes::{Refreshes, UNDER_WAY_MAX};

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The nlb's name: in records, and before each handle's random part.
    pub(crate) name: Arc<str>,
    pub(crate) servers: Servers,
    /// Sessions that wait for a slot.
    pub(crate) queue: Queue<SessionId>,
    pub(crate) guard: Guard,
    pub(crate) clock: ServerClock,
    pub(crate) random: Random,
    pub(crate) recent: Recent,
    pub(crate) counters: Counters,
    /// Whether the presence server is there.
    pub(crate) reached: Reached,
    /// Sessions that have something to do at the presence server, a few at a time.
    pub(crate) todo: VecDeque<SessionId>,
    /// Sessions that have something to refresh there, a few at a time.
    pub(crate) refreshes: Refreshes,
    pub(crate) ending: Ending,
}

/// Whether the nlb ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// It does not.
    No,
    /// For a restart: nobody new, and nothing is begun.
    Stop,
    /// For good: every session is released.
    Close,
}

impl Shared {
    /// Whether the own line is registered and the presence server answers: nothing of a user goes
    /// to it before (S1).
    pub(crate) fn is_reachable(&self) -> bool {
        self.reached == Reached::Yes
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending != Ending::No
    }
}

/// One call: the time, what is shared, and where results go.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) shared: &'a mut Shared,
    /// What the agents do; emptied within the turn.
    pub(crate) agent: &'a mut agent::Outputs,
    pub(crate) out: &'a mut Outputs,
}

impl Turn<'_> {
    /// Notes a step of `user`.
    pub(crate) fn step(&mut self, user: &Aor, what: What) {
        self.out.steps.push(Step {
            user: user.clone(),
            at: self.now,
            what,
        });
    }

    pub(crate) fn submit(&mut self, ticket: Ticket, operation: Operation) {
        self.out.operations.push((ticket, operation));
    }

    /// Says where a path that was admitted goes from here on: the server of `slot` has moved.
    pub(crate) fn readdress(&mut self, slot: SessionId, path: PathId) {
        let servers = &self.shared.servers;
        let Some(server) = servers.server_of(slot).cloned() else {
            return;
        };
        if let Some(address) = servers.address(&server) {
            self.out.verdicts.push(Verdict::Admit {
                path,
                server,
                address,
            });
        }
    }

    /// Ends a path that was admitted.
    pub(crate) fn cut(&mut self, user: &Aor, path: PathId, reason: CutReason) {
        self.shared.counters.cut += 1;
        self.out.verdicts.push(Verdict::Cut { path, reason });
        self.step(user, What::Cut { path, reason });
    }

    /// Refuses a path that waits.
    pub(crate) fn refuse(&mut self, user: &Aor, path: PathId, refusal: Refusal) {
        let counters = &mut self.shared.counters;
        *match refusal {
            Refusal::Anonymous => &mut counters.refused_anonymous,
            Refusal::Full => &mut counters.refused_full,
            Refusal::NoServer => &mut counters.refused_no_server,
            Refusal::NoSlot => &mut counters.refused_no_slot,
            Refusal::Unannounced => &mut counters.refused_unannounced,
        } += 1;
        self.out.verdicts.push(Verdict::Refuse { path, refusal });
        self.step(user, What::Refused { path, refusal });
    }

    /// Moves what an agent wants sent to the outputs; its events stay.
    pub(crate) fn send(&mut self) {
        self.out.messages.append(&mut self.agent.datagrams);
    }
}
