//! Flows over which phones registered, and when one that says nothing is asked whether anybody is
//! there (OPTIONS, RFC 3261 §11).
//!
//! ```text
//!           it is new, or silent for long            anything is heard
//!   (heard) ──────────────────────────────► asked ──────────────────────► (heard)
//!                                             │ nothing for `grace`
//!                                             ├─ it has answered before, and its balancer has
//!                                             │  brought others' words since: its bindings are
//!                                             │  marked, and it is asked on at the same pace
//!                                             └─ else silence says nothing: (heard)
//! ```
//!
//! A phone that never answers OPTIONS is so left alone, and no phone is taken for gone because its
//! balancer's network is. Whatever is heard over a flow takes the marks of its bindings away.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use foldhash::fast::RandomState;
use presently_pool::{FlowToken, MemberId};
use presently_sip::transaction::{Action, ClientTransaction, Input};
use presently_sip::{Moment, TimerId};
use slab::Slab;

/// The flows of the clients that are in memory.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    by_flow: HashMap<FlowToken, usize, RandomState>,
    flows: Slab<Registered>,
    /// When each balancer last brought a phone's word.
    brought: Vec<(MemberId, Moment)>,
}

/// One flow over which clients are registered.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) flow: FlowToken,
    /// The slots of their actors.
    pub(crate) actors: BTreeSet<usize>,
    /// How long it may be silent until it is asked.
    silence: Silence,
    heard: Moment,
    /// Whether a question was ever put.
    is_asked: bool,
    /// Whether it has ever answered one.
    answers: bool,
    pub(crate) standing: Standing,
    pub(crate) question: Option<Question>,
    pub(crate) timer: Option<TimerId>,
}

/// What the bindings over a flow are taken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// None is marked as silent.
    There,
    /// Some are, or are about to be.
    Silent,
    /// Some are, and the flow was heard since: they are to be shown.
    Back,
}

/// How long a flow may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// Until its first question, which shows whether it answers at all.
    pub(crate) first: Duration,
    /// Until each later one.
    pub(crate) later: Duration,
}

/// What was asked and is not answered.
#[derive(Debug)]
pub(crate) struct Question {
    /// When it was first asked.
    since: Moment,
    /// In the branch.
    pub(crate) key: u32,
    pub(crate) text: Vec<u8>,
    transaction: ClientTransaction,
}

/// What is to be done about a flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Duty {
    /// It is asked, by a request of its own.
    Ask,
    /// What was asked is sent again.
    Repeat,
    /// Nobody is there now: its bindings are marked as silent.
    Hide,
    /// Somebody is there again: the marks are taken away.
    Show,
    /// Nothing.
    Wait,
}

impl Asking {
    /// `actor` is registered over `flow`, by a binding that is marked or not; gives the place of
    /// one that was not known, which may be silent for `silence`.
    pub(crate) fn enter(
        &mut self,
        now: Moment,
        (flow, is_silent): (FlowToken, bool),
        actor: usize,
        silence: impl FnOnce() -> Silence,
    ) -> Option<usize> {
        let known = self.by_flow.get(&flow);
        if let Some(known) = known.and_then(|place| self.flows.get_mut(*place)) {
            known.actors.insert(actor);
            if is_silent && known.standing == Standing::There {
                known.standing = Standing::Silent;
            }
            return None;
        }
        let place = self.flows.insert(Registered {
            flow,
            actors: BTreeSet::from([actor]),
            silence: silence(),
            heard: now,
            is_asked: false,
            answers: false,
            standing: if is_silent {
                Standing::Silent
            } else {
                Standing::There
            },
            question: None,
            timer: None,
        });
        self.by_flow.insert(flow, place);
        Some(place)
    }

    /// `actor` is no longer registered over `flow`; gives the timer of a flow that nobody is.
    pub(crate) fn leave(&mut self, flow: &FlowToken, actor: usize) -> Option<TimerId> {
        let place = *self.by_flow.get(flow)?;
        let known = self.flows.get_mut(place)?;
        known.actors.remove(&actor);
        if !known.actors.is_empty() {
            return None;
        }
        self.by_flow.remove(flow);
        self.flows.remove(place).timer
    }

    /// A request came over `flow`; gives its place if its bindings are to be shown.
    pub(crate) fn hear(&mut self, now: Moment, flow: &FlowToken) -> Option<usize> {
        // Where nobody is asked a request costs no look.
        if self.flows.is_empty() {
            return None;
        }
        self.bring(now, flow.balancer);
        let place = *self.by_flow.get(flow)?;
        let known = self.flows.get_mut(place)?;
        known.hear(now);
        (known.standing == Standing::Back).then_some(place)
    }

    /// The question with `key` at `place` was answered; `false` when there is none.
    pub(crate) fn answered(&mut self, now: Moment, place: usize, key: u32) -> bool {
        let known = self.flows.get_mut(place);
        let asked = known.filter(|known| {
            let question = known.question.as_ref();
            question.is_some_and(|question| question.key == key)
        });
        let Some(asked) = asked else {
            return false;
        };
        asked.answers = true;
        asked.hear(now);
        let balancer = asked.flow.balancer;
        self.bring(now, balancer);
        true
    }

    /// What is asked by `balancer` may be lost, or its answer: it is asked after another silence.
    pub(crate) fn excuse_asked(&mut self, now: Moment, balancer: MemberId) {
        for (_, known) in &mut self.flows {
            if known.flow.balancer == balancer && known.question.is_some() {
                known.excuse(now);
            }
        }
    }

    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut Registered> {
        self.flows.get_mut(place)
    }

    /// What is to be done at `now` about the flow at `place`, where nobody is waited for longer
    /// than `grace`.
    pub(crate) fn duty(&mut self, now: Moment, place: usize, grace: Duration) -> Duty {
        let Some(known) = self.flows.get_mut(place) else {
            return Duty::Wait;
        };
        let of = |(balancer, _): &&(MemberId, Moment)| *balancer == known.flow.balancer;
        let brought = self.brought.iter().find(of).map(|(_, at)| *at);
        known.duty(now, grace, brought)
    }

    fn bring(&mut self, now: Moment, balancer: MemberId) {
        match self.brought.iter_mut().find(|(held, _)| *held == balancer) {
            Some((_, at)) => *at = now.max(*at),
            None => self.brought.push((balancer, now)),
        }
    }
}

impl Registered {
    /// Somebody is there.
    fn hear(&mut self, now: Moment) {
        self.excuse(now);
        if self.standing == Standing::Silent {
            self.standing = Standing::Back;
        }
    }

    /// Nobody is to be blamed for having been silent until `now`.
    pub(crate) fn excuse(&mut self, now: Moment) {
        self.heard = now;
        self.question = None;
    }

    /// No binding over it is marked any more.
    pub(crate) fn shown(&mut self) {
        self.standing = Standing::There;
    }

    /// Takes what is asked at `now`; one that goes on from another began when that did.
    pub(crate) fn ask(&mut self, now: Moment, key: u32, text: Vec<u8>) {
        let since = self.question.as_ref().map_or(now, |asked| asked.since);
        self.is_asked = true;
        self.question = Some(Question {
            since,
            key,
            text,
            transaction: ClientTransaction::new(now, self.flow.flow.protocol),
        });
    }

    /// When there is a duty next.
    pub(crate) fn due(&self, grace: Duration) -> Moment {
        let Some(question) = &self.question else {
            return self.heard.after(self.patience());
        };
        let end = question.since.after(grace);
        let repeat = question.transaction.poll_timeout();
        repeat.map_or(end, |repeat| repeat.min(end))
    }

    fn patience(&self) -> Duration {
        if self.is_asked {
            self.silence.later
        } else {
            self.silence.first
        }
    }

    fn duty(&mut self, now: Moment, grace: Duration, brought: Option<Moment>) -> Duty {
        if self.standing == Standing::Back {
            return Duty::Show;
        }
        let patience = self.patience();
        let Some(question) = &mut self.question else {
            let is_silent = now.since(self.heard) >= patience;
            return if is_silent { Duty::Ask } else { Duty::Wait };
        };
        if now.since(question.since) < grace {
            return match question.transaction.handle_input(now, Input::Timeout) {
                Action::Resend => Duty::Repeat,
                Action::TimedOut | Action::Unreachable => Duty::Ask,
                Action::Answered | Action::Nothing => Duty::Wait,
            };
        }
        if self.answers && brought.is_some_and(|brought| brought > question.since) {
            self.standing = Standing::Silent;
            return Duty::Hide;
        }
        self.excuse(now);
        Duty::Wait
    }
}

#[cfg(test)]
mod tests;
