//! The pool as a model: which steps are possible in a state, and what must hold in each.

mod action;
mod balancer;
mod publishing;
mod server;
mod state;
mod watching;

use stateright::{Model, Property};

pub(crate) use self::action::Action;
use self::state::Law;
pub(crate) use self::state::{Client, PROCESSES, State, member};
use crate::rules::{Faults, Rules, Scope};

/// A pool of some size under some rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    pub(crate) rules: Rules,
    pub(crate) scope: Scope,
}

impl Model for Pool {
    type State = State;
    type Action = Action;

    /// The watcher on the presentity's server, and on another.
    fn init_states(&self) -> Vec<State> {
        let Scope {
            members,
            balancers,
            faults,
            ..
        } = self.scope;
        [0, 1]
            .map(|watcher| State::new(members, balancers, watcher, faults))
            .to_vec()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        action::possible(self, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = *last;
        action::perform(self, &mut next, action);
        (next != *last).then(|| next.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_ACTOR, |_, state| !breaks(state, Law::OneActor)),
            Property::always(OWN_EPOCH, |_, state| !breaks(state, Law::OwnEpoch)),
            Property::always(NEVER_BACKWARDS, |_, state| {
                !breaks(state, Law::NeverBackwards)
            }),
            Property::always(ONE_WINNER, |_, state| !breaks(state, Law::OneWinner)),
            Property::always(APPLIED_ONCE, |_, state| !breaks(state, Law::AppliedOnce)),
            Property::always(KEPT, |_, state: &State| state.answered <= state.store.key),
            Property::always(TOLD, |pool, state| {
                !pool.is_at_rest(state)
                    || (state.seen.version == state.store.version
                        && !state.is_awaiting
                        && state.answered == pool.scope.publishes)
            }),
            Property::always(SERVED, |pool: &Self, state: &State| {
                let alive = |id: u8| state.store.members[usize::from(id)].is_alive;
                !pool.is_at_rest(state)
                    || (alive(state.store.publisher) && alive(state.store.watcher.server))
            }),
            Property::sometimes(REST, |pool: &Self, state: &State| {
                state.faults == Faults::default()
                    && state.answered == pool.scope.publishes
                    && pool.is_at_rest(state)
            }),
        ]
    }
}

impl Pool {
    /// Whether only a new fault could change anything, and somebody is there to serve.
    pub(crate) fn is_at_rest(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        let mut steps = actions.into_iter().filter(|action| !action.is_fault());
        state.has_server() && !steps.any(|action| self.next_state(state, action).is_some())
    }
}

fn breaks(state: &State, law: Law) -> bool {
    state.broken == Some(law)
}

pub(crate) const ONE_ACTOR: &str = "only the newest activation notifies";
pub(crate) const OWN_EPOCH: &str = "no write under an old epoch";
pub(crate) const NEVER_BACKWARDS: &str = "never an older version after a newer one";
pub(crate) const ONE_WINNER: &str = "one balancer ends a life";
pub(crate) const APPLIED_ONCE: &str = "a request is applied once";
pub(crate) const KEPT: &str = "what was answered 200 is in the store";
pub(crate) const TOLD: &str = "at rest the watcher has the last version";
pub(crate) const REST: &str = "after all faults, all is published and the pool is at rest";
pub(crate) const SERVED: &str = "at rest every client stands on a life that is alive";
