//! A presence server as a machine: it hosts the actors of its clients and notifies their dialogs.
//!
//! Inputs are requests and responses handed over by a balancer, completions of the store, wakes
//! from other servers, and time; everything it wants done is written into [`Outputs`].

mod asking;
mod completion;
mod drain;
mod early;
mod flows;
mod lifetime;
mod look;
mod mute;
mod relay;
mod repeated;
mod request;
mod sweep;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use presently_pool::{
    ClientId, Epoch, Kind, MemberId, Membership, Passage, ResourceId, Version, Wake,
};
use presently_sip::transaction::{Answered, TransactionKey};
use presently_sip::{Aor, Edits, MacKey, Message, Moment, Name, Now, Random, Wheel};
use presently_store::{Completion, Document, Operation, RequestKey, Ticket};
use slab::Slab;

use crate::actor::{Actor, State};
use crate::asking::Asking;
use crate::branch::{Branch, Purpose};
use crate::held::{Held, Room};
use crate::notifier::{Bench, Notifier, Owing, Reading, Round, SubscriptionSlot, Wish};
use crate::reach::Reach;
use crate::{Config, Counters, Outputs, Secrets, ToBalancer};

/// A server: one member of the pool.
#[derive(Debug)]
pub struct Server {
    config: Config,
    me: Membership,
    key: MacKey,
    random: Random,
    actors: Slab<Actor>,
    by_aor: HashMap<Aor, usize, RandomState>,
    by_client: HashMap<ClientId, usize, RandomState>,
    reach: Reach,
    asking: Asking,
    notifier: Notifier,
    early: early::Early,
    relays: Slab<relay::Relay>,
    /// Of relays: counts their slots' uses.
    generation: u32,
    transactions: Answered,
    wheel: Wheel<Timer>,
    fired: Vec<Timer>,
    asked: Slab<Asked>,
    /// Clients found to be ours without an actor, activated at a pace.
    missing: sweep::Missing,
    speech: mute::Speech,
    room: Room,
    draining: drain::Draining,
    /// Resources whose read failed; each is in the list at most once, as it is being read.
    unread: Vec<ResourceId>,
    /// The value of Allow-Events.
    allow_events: String,
    sweeping: sweep::Sweeping,
    is_fenced: bool,
    counters: Counters,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timer {
    /// The next activations of clients without an actor.
    Activate,
    /// An actor's next expiry or try.
    Actor(usize),
    /// A flow that has been silent, or does not answer.
    Ask(usize),
    /// The next clients of a server that is emptied.
    Drain,
    /// Changes of `owed` are written.
    Owe,
    /// Reads that failed are tried again.
    Read,
    /// A relayed request's repeats.
    Relay(usize),
    /// What a sweep found is not told yet: it is noted as owed.
    Settle,
    /// The slow sweep.
    Sweep,
    /// A subscription's NOTIFY or expiry.
    Subscription(SubscriptionSlot),
}

/// What an operation under way is for.
#[derive(Debug)]
enum Asked {
    Activation(usize),
    Commit(usize),
    Document(ResourceId),
    Move(usize),
    Owe(Vec<Owing>),
    Sweep,
}

impl Server {
    /// A server in the life `me`. It begins with a sweep that finds the clients assigned to it.
    #[must_use]
    pub fn new(now: Now, me: Membership, config: Config, secrets: &Secrets) -> Self {
        let mut wheel = Wheel::new(now.moment);
        wheel.arm(now.moment, Timer::Sweep);
        Self {
            allow_events: names(&config.packages),
            room: Room::new(config.held_bytes_max),
            config,
            me,
            key: MacKey::new(secrets.pool),
            random: Random::new(secrets.seed),
            actors: Slab::new(),
            by_aor: HashMap::default(),
            by_client: HashMap::default(),
            reach: Reach::default(),
            asking: Asking::default(),
            notifier: Notifier::default(),
            early: early::Early::default(),
            relays: Slab::new(),
            generation: 0,
            transactions: Answered::new(ANSWERS_BYTES, UNFINISHED_MAX),
            wheel,
            fired: Vec::new(),
            asked: Slab::new(),
            missing: sweep::Missing::default(),
            speech: mute::Speech::default(),
            draining: drain::Draining::default(),
            unread: Vec::new(),
            sweeping: sweep::Sweeping::default(),
            is_fenced: false,
            counters: Counters::default(),
        }
    }

    /// Takes a client's request from a balancer.
    pub fn handle_request(
        &mut self,
        now: Now,
        passage: &Passage,
        message: &Message<'_>,
        edits: &Edits<'_>,
        out: &mut Outputs,
    ) {
        self.counters.requests_received += 1;
        let (Some((client, aor)), Some(flow)) = (&passage.client, passage.flow) else {
            self.counters.requests_unreadable += 1;
            return;
        };
        self.hear_flow(now, (&flow, now.moment), out);
        let transaction = TransactionKey::of(&self.key, message, &flow.flow);
        let request = presently_sip::request_key(message, &self.key);
        let (Some(transaction), Some(request)) = (transaction, request) else {
            self.counters.requests_unreadable += 1;
            return;
        };
        let is_new = passage.kind == Kind::Marked
            || self.is_new(now.moment, passage, (message, edits), transaction, out);
        if !is_new {
            return;
        }
        let keys = (transaction, RequestKey(request));
        let held = Held::new(now.moment, passage, keys, (message, edits), &self.room);
        let mut held = Box::new(held);
        let round = self.notifier.settling.round_of(passage.epoch);
        let slot = self.actor_of((*client, passage.epoch), aor, round, out);
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        if self.room.is_full() || actor.queue.len() >= self.config.queue_max {
            self.turn_away(now, &held, out);
            return;
        }
        if matches!(actor.state, State::Waiting) {
            self.counters.requests_held += u64::from(held.begin_waiting());
        }
        actor.queue.push_back(held);
        self.advance(now, slot, out);
    }

    /// Takes a phone's response to a request of this server's; `vias_removed` of its Via values are
    /// the balancer's.
    pub fn handle_response(
        &mut self,
        now: Now,
        message: &Message<'_>,
        vias_removed: usize,
        out: &mut Outputs,
    ) {
        let via = message.values(Name::Via).nth(vias_removed);
        let branch = via
            .and_then(presently_sip::Via::parse)
            .and_then(|via| via.branch());
        let presently_sip::Start::Response { status, .. } = message.start() else {
            return;
        };
        let Some(branch) = branch.and_then(Branch::read) else {
            self.counters.responses_unmatched += 1;
            return;
        };
        match branch.purpose {
            Purpose::Notify => {}
            Purpose::Question => return self.on_question_answered(now, branch, out),
            Purpose::Relay => {
                return self.on_relayed(now, branch, (message, vias_removed), status, out);
            }
        }
        let answer = (status, message.number(Name::RetryAfter));
        let wish = self.with_bench(now, out, |notifier, bench| {
            notifier.answered(branch, answer, bench)
        });
        self.grant(now, wish, out);
        self.expect_owed(now);
    }

    /// Takes a wake: another server says that a resource has changed.
    pub fn handle_wake(&mut self, wake: &Wake, out: &mut Outputs) {
        self.counters.wakes_received += 1;
        self.hear(&wake.resource, wake.version, out);
    }

    /// Takes the word of a member that `client` was given to `server` under `epoch`: its actor is
    /// activated here, or leaves. The store has the last word in both.
    pub fn handle_moved(
        &mut self,
        now: Now,
        client: &Aor,
        (server, epoch): (MemberId, Epoch),
        out: &mut Outputs,
    ) {
        let slot = self.by_aor.get(client).copied();
        let held = slot.and_then(|slot| Some((slot, self.actors.get_mut(slot)?)));
        match held {
            Some((slot, actor)) => {
                actor.moved = actor.moved.max(epoch);
                self.advance(now, slot, out);
            }
            None if server == self.me.member => {
                self.missing
                    .push(client.clone(), &mut self.notifier.settling);
                self.activate_missing(now, out);
            }
            None => {}
        }
    }

    /// A link to another member lost its memory: what it would have said, of resources and of
    /// clients, is read from the store.
    pub fn sweep(&mut self, out: &mut Outputs) {
        self.sweeping.want_all();
        self.begin_sweep(out);
    }

    /// Reads from the store what has changed since the last sweep: the life of another server is
    /// over, and what it committed last was perhaps never told.
    pub fn sweep_changes(&mut self, out: &mut Outputs) {
        self.begin_sweep(out);
    }

    /// Takes what came of an operation.
    pub fn handle_completion(&mut self, now: Now, completion: Completion, out: &mut Outputs) {
        let key = usize::try_from(completion.ticket.0).ok();
        match key.and_then(|key| self.asked.try_remove(key)) {
            Some(Asked::Activation(slot)) => self.on_activated(now, slot, completion.result, out),
            Some(Asked::Commit(slot)) => self.on_committed(now, slot, completion.result, out),
            Some(Asked::Document(resource)) => {
                self.on_document(now, &resource, completion.result, out);
            }
            Some(Asked::Move(slot)) => self.on_moved(now, slot, &completion.result, out),
            Some(Asked::Owe(marks)) => self.on_owed(now, &marks, completion.result.map(drop)),
            Some(Asked::Sweep) => self.on_swept(now, completion.result, out),
            None => {}
        }
    }

    /// When [`Server::handle_timeout`] is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.wheel.poll_timeout()
    }

    /// Does what time has come for.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Outputs) {
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.expire(now.moment, &mut fired);
        for timer in fired.drain(..) {
            match timer {
                Timer::Activate => self.activate_some(now, out),
                Timer::Actor(slot) => self.on_actor_timer(now, slot, out),
                Timer::Ask(place) => self.on_asking_timer(now, place, out),
                Timer::Drain => self.drain_some(now, out),
                Timer::Owe => self.write_owed(now, out),
                Timer::Read => {
                    for resource in std::mem::take(&mut self.unread) {
                        self.read(resource, out);
                    }
                }
                Timer::Relay(place) => self.on_relay_timer(now, place, out),
                Timer::Settle => self.settle_late(now),
                Timer::Sweep => {
                    let due = now.moment.after(self.config.sweep_every);
                    self.wheel.arm(due, Timer::Sweep);
                    self.begin_sweep(out);
                }
                Timer::Subscription(slot) => {
                    let wish = self.with_bench(now, out, |notifier, bench| {
                        notifier.handle_timeout(slot, bench)
                    });
                    self.grant(now, wish, out);
                }
            }
        }
        self.fired = fired;
    }

    /// Grants these seconds from now on; what was granted stands.
    pub fn set_expires(&mut self, expires: crate::Expires) {
        self.config.expires = expires;
    }

    /// The slot of a client's actor, made and being activated if there is none, or if the balancer
    /// knows a newer epoch than it has.
    fn actor_of(
        &mut self,
        (client, epoch): (ClientId, Epoch),
        aor: &Aor,
        round: Round,
        out: &mut Outputs,
    ) -> usize {
        if let Some(slot) = self.by_aor.get(aor).copied() {
            let is_old = self
                .actors
                .get(slot)
                .is_some_and(|actor| matches!(actor.state, State::Idle) && actor.epoch < epoch);
            if is_old {
                self.reset(slot);
                self.activate(slot, out);
            }
            return slot;
        }
        let round = self.notifier.settling.begin_in(round);
        let slot = self.actors.insert(Actor::new(aor.clone(), client, round));
        self.by_aor.insert(aor.clone(), slot);
        self.by_client.insert(client, slot);
        self.activate(slot, out);
        slot
    }

    /// A resource is said to have come to `version`; reads it unless it is held already.
    fn hear(&mut self, resource: &ResourceId, version: Version, out: &mut Outputs) {
        if self.notifier.hear(resource, version) {
            self.read(resource.clone(), out);
        } else if !self.notifier.watches(resource) {
            self.early.note(resource, version);
        }
    }

    /// A read came to nothing: it is tried again after a pause, if it still matters.
    fn read_later(&mut self, now: Now, resource: &ResourceId) {
        if self.notifier.unread(resource) {
            if self.unread.is_empty() {
                self.wheel.arm(now.moment.after(TRY_AGAIN), Timer::Read);
            }
            self.unread.push(resource.clone());
        }
    }

    fn read(&mut self, resource: ResourceId, out: &mut Outputs) {
        let operation = Operation::Documents {
            resources: vec![resource.clone()],
        };
        self.ask(Asked::Document(resource), operation, out);
    }

    /// Tells the notifier of a document that was read or written here.
    fn learn(&mut self, now: Now, document: &Arc<Document>, out: &mut Outputs) {
        let reading = self.with_bench(now, out, |notifier, bench| notifier.learn(document, bench));
        if reading == Reading::Again {
            self.read(document.resource.clone(), out);
        }
    }

    /// Does what the notifier asks of an actor.
    fn grant(&mut self, now: Now, wish: Wish, out: &mut Outputs) {
        let slot = match wish {
            Wish::Nothing => return,
            Wish::Remove(subscription, actor) => {
                if let Some(actor) = self.actors.get_mut(actor)
                    && !actor.over.contains(&subscription)
                {
                    actor.over.push(subscription);
                }
                actor
            }
            Wish::Rebase(subscription, actor) => {
                self.rebase(now, actor, subscription, out);
                return;
            }
        };
        self.advance(now, slot, out);
    }

    fn ask(&mut self, asked: Asked, operation: Operation, out: &mut Outputs) {
        let ticket = self.asked.insert(asked);
        let ticket = Ticket(u64::try_from(ticket).expect("a slab key fits 64 bits"));
        out.operations.push((ticket, operation));
    }

    fn with_bench<R>(
        &mut self,
        now: Now,
        out: &mut Outputs,
        work: impl FnOnce(&mut Notifier, &mut Bench<'_>) -> R,
    ) -> R {
        let mut bench = Bench {
            actors: &self.actors,
            now,
            out,
            wheel: &mut self.wheel,
            counters: &mut self.counters,
            packages: &self.config.packages,
            name: &self.config.name,
            random: &mut self.random,
            min_interval: self.config.notify_min_interval,
            reach: &self.reach,
            is_mute: self.speech.is_mute(now.moment),
            round: self.notifier.settling.present(),
        };
        work(&mut self.notifier, &mut bench)
    }
}

/// Sends what was written since `start` to the balancer a request came from.
fn send(passage: &Passage, start: usize, out: &mut Outputs) {
    let Some(flow) = passage.flow else {
        return;
    };
    out.to_balancers.push(ToBalancer {
        balancer: flow.balancer,
        kind: Kind::Forward,
        client: None,
        flow: None,
        epoch: Epoch::default(),
        head: start..out.text.len(),
        body: bytes::Bytes::new(),
    });
}

/// The value of Allow-Events (RFC 6665 §8.2.2).
fn names(packages: &crate::package::Packages) -> String {
    let names: Vec<&str> = packages
        .names()
        .map(presently_pool::PackageName::as_str)
        .collect();
    names.join(", ")
}

/// Which of `servers` is another than `me`.
fn others(servers: &[MemberId], me: MemberId) -> impl Iterator<Item = MemberId> {
    servers.iter().copied().filter(move |server| *server != me)
}

/// How soon what the store could not do is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// Memory for the answers of the last 32 s: some 100,000 answers.
const ANSWERS_BYTES: usize = 16 * 1024 * 1024;
/// Requests that may be under way at a time; past it the oldest is forgotten and a repeat of it
/// counts as new.
const UNFINISHED_MAX: usize = 100_000;

#[cfg(test)]
mod tests;
