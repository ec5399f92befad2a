//! The steps of the pool, which of them are possible, and which are faults.

use super::Pool;
use super::state::{
    BALANCERS, Client, InFlight, Life, MEMBERS, PROCESSES, Publisher, SECOND, State, member,
};
use crate::rules::Rule;

/// One step. A process is named by its place, a balancer by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Activate(usize, Client),
    ActivateInVain(usize, Client),
    AnswerRepeat(usize),
    Beat(usize),
    Clear(usize),
    CommitEnd(usize),
    CommitMove {
        by: usize,
        to: usize,
    },
    DecideEnd {
        by: usize,
        member: usize,
    },
    DecideMove {
        by: usize,
        client: Client,
    },
    Deliver(usize),
    FallLate(usize),
    HearMoved(usize),
    HearWake(usize),
    Join(usize),
    JoinOver(usize),
    Kill(usize),
    KillBalancer(usize),
    Leave(usize),
    Look(usize),
    LoseMoved(usize),
    LoseNotify(usize),
    LoseOutcome(usize),
    LoseWake(usize),
    MoveAway {
        at: usize,
        client: Client,
        to: usize,
    },
    Notify(usize),
    Owe(usize),
    Publish(usize),
    Reassign {
        by: usize,
        client: Client,
        to: usize,
    },
    /// A wake that comes twice: this is the first time.
    RepeatWake(usize),
    Settle(usize),
    Start(usize),
    Subscribe(usize),
    Sweep(usize),
    TakeOutcome(usize),
    Tell(usize),
}

impl Action {
    /// Whether it need not happen: the laws of a pool at rest wait for none of these.
    pub(crate) fn is_fault(self) -> bool {
        matches!(
            self,
            Self::ActivateInVain(..)
                | Self::FallLate(_)
                | Self::Kill(_)
                | Self::KillBalancer(_)
                | Self::Leave(_)
                | Self::LoseMoved(_)
                | Self::LoseNotify(_)
                | Self::LoseOutcome(_)
                | Self::LoseWake(_)
                | Self::MoveAway { .. }
                | Self::Reassign { .. }
                | Self::RepeatWake(_)
                | Self::Start(_)
                | Self::Subscribe(_)
        )
    }
}

/// Adds the steps that may be possible; one that changes nothing is no step.
pub(super) fn possible(pool: &Pool, state: &State, actions: &mut Vec<Action>) {
    for at in 0..PROCESSES {
        of_server(pool, state, at, actions);
        if state.notifies[at].is_some() {
            actions.extend([Action::Deliver(at), Action::LoseNotify(at)]);
        }
    }
    for by in (0..BALANCERS).filter(|by| state.balancers[*by].is_up) {
        of_balancer(pool, state, by, actions);
    }
    for id in 0..MEMBERS {
        if state.wakes[id] {
            actions.push(Action::LoseWake(id));
        }
        if state.moved[id] {
            actions.push(Action::LoseMoved(id));
        }
    }
}

fn of_server(pool: &Pool, state: &State, at: usize, actions: &mut Vec<Action>) {
    let server = &state.servers[at];
    let id = member(at);
    if !server.is_up {
        let may_start = at == SECOND || at < pool.scope.members;
        if state.faults.starts > 0 && may_start {
            actions.push(Action::Start(at));
        }
        return;
    }
    if state.faults.kills > 0 {
        actions.push(Action::Kill(at));
    }
    if server.life == Life::None {
        match server.joining {
            Some(_) => actions.push(Action::JoinOver(at)),
            None => actions.extend([Action::Join(at), Action::Look(at)]),
        }
        return;
    }
    if server.is_late || !state.is_member(at) {
        actions.push(Action::Beat(at));
    } else if state.faults.lates > 0 {
        actions.push(Action::FallLate(at));
    }
    if state.faults.leaves > 0 {
        actions.push(Action::Leave(at));
    }
    of_clients(pool, state, at, actions);
    if state.wakes[id] {
        actions.extend([Action::HearWake(at), Action::RepeatWake(at)]);
    }
    if state.moved[id] {
        actions.push(Action::HearMoved(at));
    }
    if pool.rules.keep(Rule::Sweep) {
        actions.push(Action::Sweep(at));
    }
    if server.settling.is_some() {
        actions.push(Action::Settle(at));
    }
    if state.faults.moves > 0 && pool.rules.keep(Rule::OwnerMoves) {
        for to in others(pool, state, id) {
            for client in [Client::Publisher, Client::Watcher] {
                actions.push(Action::MoveAway { at, client, to });
            }
        }
    }
}

fn of_clients(pool: &Pool, state: &State, at: usize, actions: &mut Vec<Action>) {
    let server = &state.servers[at];
    let id = member(at);
    match server.publisher {
        Publisher::Absent => {
            if usize::from(state.store.publisher) == id && state.answered < pool.scope.publishes {
                activations(state, at, Client::Publisher, actions);
            }
        }
        Publisher::Idle { key, .. } if key > state.answered => {
            actions.push(Action::AnswerRepeat(at));
        }
        Publisher::Idle { .. } if state.answered < pool.scope.publishes => {
            actions.push(Action::Publish(at));
        }
        Publisher::Idle { .. } => {}
        Publisher::Writing { .. } => {
            actions.push(Action::TakeOutcome(at));
            if state.faults.replies > 0 {
                actions.push(Action::LoseOutcome(at));
            }
        }
    }
    match server.watcher {
        None => {
            let is_ours = usize::from(state.store.watcher.server) == id;
            if is_ours && pool.rules.keep(Rule::SweepCompares) {
                activations(state, at, Client::Watcher, actions);
            }
        }
        Some(watcher) => {
            match watcher.in_flight {
                InFlight::Decided(_) => actions.push(Action::Notify(at)),
                InFlight::Sent(_) if !state.store.owed => actions.push(Action::Owe(at)),
                InFlight::Nothing | InFlight::Sent(_) => {}
            }
            if state.store.owed {
                actions.push(Action::Clear(at));
            }
            if state.faults.subscribes > 0 {
                actions.push(Action::Subscribe(at));
            }
        }
    }
}

fn activations(state: &State, at: usize, client: Client, actions: &mut Vec<Action>) {
    actions.push(Action::Activate(at, client));
    if state.faults.replies > 0 {
        actions.push(Action::ActivateInVain(at, client));
    }
}

fn of_balancer(pool: &Pool, state: &State, by: usize, actions: &mut Vec<Action>) {
    let balancer = &state.balancers[by];
    if state.faults.balancers > 0 {
        actions.push(Action::KillBalancer(by));
    }
    match balancer.ending {
        Some(_) => actions.push(Action::CommitEnd(by)),
        None => {
            actions.extend((0..pool.scope.members).map(|member| Action::DecideEnd { by, member }))
        }
    }
    let clients = [Client::Publisher, Client::Watcher];
    match balancer.moving {
        Some(_) => {
            actions.extend(others(pool, state, MEMBERS).map(|to| Action::CommitMove { by, to }))
        }
        None => actions.extend(clients.map(|client| Action::DecideMove { by, client })),
    }
    if balancer.to_tell.contains(&true) {
        actions.push(Action::Tell(by));
    }
    if state.faults.moves > 0 && !pool.rules.keep(Rule::OwnerMoves) {
        for to in others(pool, state, MEMBERS) {
            actions.extend(clients.map(|client| Action::Reassign { by, client, to }));
        }
    }
}

/// The members a client can be moved to.
fn others(pool: &Pool, state: &State, from: usize) -> impl Iterator<Item = usize> {
    let members = state.store.members;
    (0..pool.scope.members).filter(move |to| *to != from && members[*to].is_alive)
}

/// Does a step.
pub(super) fn perform(pool: &Pool, state: &mut State, action: Action) {
    let rules = pool.rules;
    match action {
        Action::Activate(at, client) => state.activate(at, client),
        Action::ActivateInVain(at, client) => state.activate_in_vain(at, client),
        Action::AnswerRepeat(at) => state.answer_repeat(rules, at),
        Action::Beat(at) => state.beat(at),
        Action::Clear(at) => state.clear(rules, at),
        Action::CommitEnd(by) => state.commit_end(rules, by),
        Action::CommitMove { by, to } => state.commit_move(rules, by, to),
        Action::DecideEnd { by, member } => state.decide_end(by, member),
        Action::DecideMove { by, client } => state.decide_move(by, client),
        Action::Deliver(at) => state.deliver(rules, at),
        Action::FallLate(at) => {
            state.faults.lates -= 1;
            state.servers[at].is_late = true;
        }
        Action::HearMoved(at) => state.hear_moved(at),
        Action::HearWake(at) => {
            state.wakes[member(at)] = false;
            state.hear_wake(at);
        }
        Action::Join(at) => state.join(at),
        Action::JoinOver(at) => state.join_over(rules, at),
        Action::Kill(at) => {
            state.faults.kills -= 1;
            state.kill(at);
        }
        Action::KillBalancer(by) => {
            state.faults.balancers -= 1;
            state.kill_balancer(by);
        }
        Action::Leave(at) => state.leave(rules, at),
        Action::Look(at) => state.look(at),
        Action::LoseMoved(id) => state.moved[id] = false,
        Action::LoseNotify(at) => state.lose_notify(at),
        Action::LoseOutcome(at) => {
            state.faults.replies -= 1;
            state.lose_outcome(rules, at);
        }
        Action::LoseWake(id) => state.wakes[id] = false,
        Action::MoveAway { at, client, to } => state.move_away(rules, at, client, to),
        Action::Notify(at) => state.notify(rules, at),
        Action::Owe(at) => state.owe(at),
        Action::Publish(at) => state.publish(rules, at),
        Action::Reassign { by, client, to } => state.reassign(rules, by, client, to),
        Action::RepeatWake(at) => state.hear_wake(at),
        Action::Settle(at) => state.settle(rules, at),
        Action::Start(at) => {
            state.faults.starts -= 1;
            state.servers[at].is_up = true;
        }
        Action::Subscribe(at) => state.subscribe(rules, at),
        Action::Sweep(at) => state.sweep(rules, at),
        Action::TakeOutcome(at) => state.take_outcome(at),
        Action::Tell(by) => state.tell(rules, by),
    }
}
