//! The balancer: what comes from phones, from the store and from time.

use presently_pool::{Assignment, Kind, MemberId, Membership};
use presently_sip::{Aor, Defect, Flow, MacKey, Message, Method, Moment, Now, Start};
use presently_store::{Completion, Operation, Outcome, Refused};

use crate::Domains;
use crate::answer::Answer;
use crate::branch::{Below, Branch, Origin};
use crate::cache::Cache;
use crate::decision::{Asked, Named, Refusal, Verdict, is_in_dialog};
use crate::edge::Edge;
use crate::flows::Flows;
use crate::keys::{Keys, Parts};
use crate::members::Life;
use crate::refusals::{By, Refusals};
use crate::takeover::Takeover;
use crate::unanswered::Unanswered;
use crate::waiting::{Arrival, Ask, Held, Queue, Waiting};
use crate::{Config, Counters, Outputs};

/// A SIP balancer: routes each phone's request to its client's distinguished server, and each
/// answer back.
///
/// It keeps no transactions (RFC 3261 §16.11): what a response needs is in the branch of our Via,
/// and any balancer with the same key reads it, also one that started later. It remembers only
/// what a server's death would lose: requests without an answer, and which were refused.
#[derive(Debug)]
pub struct Balancer {
    pub(crate) config: Config,
    pub(crate) membership: Membership,
    pub(crate) edge: Edge,
    pub(crate) keys: Keys,
    pub(crate) scratch: Scratch,
    pub(crate) cache: Cache,
    pub(crate) counters: Counters,
    pub(crate) waiting: Waiting,
    pub(crate) unanswered: Unanswered,
    pub(crate) refusals: Refusals,
    pub(crate) takeover: Takeover,
    pub(crate) flows: Flows,
    /// Whether a request went to a server that has died since.
    pub(crate) has_orphans: bool,
    /// The servers that live.
    pub(crate) servers: Vec<Life>,
}

/// Memory that is used again for every message.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) parts: Parts,
    pub(crate) bytes: Vec<u8>,
    pub(crate) text: String,
    pub(crate) record_route: String,
}

impl Balancer {
    /// A balancer that is `membership` and signs with `key`. It knows no server until
    /// [`Balancer::set_members`].
    #[must_use]
    pub fn new(config: Config, membership: Membership, key: MacKey, _now: Now) -> Self {
        Self {
            edge: Edge::new(&config.listeners, config.domains.clone()),
            cache: Cache::new(config.cache_max),
            waiting: Waiting::new(&config),
            unanswered: Unanswered::new(&config),
            refusals: Refusals::new(config.refusals_max),
            takeover: Takeover::new(membership),
            flows: Flows::default(),
            has_orphans: false,
            config,
            membership,
            keys: Keys::new(key),
            scratch: Scratch::default(),
            counters: Counters::default(),
            servers: Vec::new(),
        }
    }

    /// Takes over what `former`, an earlier life of it in the same process, knew of phones: who is
    /// reached by which stream, what was asked over one and is not answered, and what was refused.
    /// What came as a datagram is repeated by its phone.
    pub fn succeed(&mut self, now: Now, mut former: Self, out: &mut Outputs) {
        self.flows = former.flows.begin_again(now.moment);
        self.refusals = former.refusals;
        let is_by_stream = |(_, held): &(_, Held)| held.arrival.flow.protocol.is_reliable();
        let mut unanswered = former.unanswered.orphans(now.moment, |_| false);
        unanswered.retain(is_by_stream);
        self.repeat(now, unanswered, out);
        for (client, held) in former.waiting.into_requests().filter(is_by_stream) {
            self.wait(now, client, held, out);
        }
    }

    /// Takes a message that came from a phone by `flow`.
    pub fn handle_phone(&mut self, now: Now, flow: Flow, message: Message<'_>, out: &mut Outputs) {
        match message.start() {
            Start::Request { method, uri, .. } => {
                self.on_request(now, flow, method, uri, &message, out);
            }
            Start::Response { .. } => self.on_phone_response(now, flow, &message, out),
        }
    }

    /// Takes the store's answer to an operation of [`Outputs::operations`].
    pub fn handle_completion(&mut self, now: Now, completion: Completion, out: &mut Outputs) {
        let Some(completion) = self.take_progress(now, completion, out) else {
            return;
        };
        let Some(completion) = self.take_found(now, completion, out) else {
            return;
        };
        let Some(queue) = self.waiting.take(completion.ticket) else {
            self.counters.completions_dropped += 1;
            return;
        };
        match (completion.result, queue.client.clone()) {
            (Ok(Outcome::Assigned(Some(assignment))), Named::Aor(aor))
            | (Ok(Outcome::Found(Some((aor, assignment)))), _) => {
                tracing::debug!(client = %aor, server = assignment.server.0,
                    epoch = assignment.epoch.0, "assignment read");
                self.on_assignment(now, &aor, assignment, queue, out);
            }
            (Ok(Outcome::Assigned(None) | Outcome::Found(None)), _) => {
                self.on_absence(now, queue, out);
            }
            (Err(Refused::Full), _) => {
                for held in &queue.requests {
                    self.answer_held(now, held, Answer::Refused(Refusal::Unavailable), out);
                }
            }
            (result, _) => {
                out.fenced |= matches!(result, Err(Refused::Fenced));
                self.counters.store_refused += 1;
                self.waiting.rest(now.moment, queue);
            }
        }
    }

    /// Serves `domains` from now on. Dialogs that stand go on, whosever they are.
    pub fn set_domains(&mut self, domains: Domains) {
        self.config.domains = domains.clone();
        self.edge.set_domains(domains);
        self.cache.forget_spellings();
    }

    /// Signs with `key` from now on; what the key before it signed is still known for as long as it
    /// may come.
    pub fn rotate(&mut self, now: Now, key: MacKey) {
        self.keys.rotate(now.moment, key);
    }

    /// The link to `server` broke: what it has not answered may not have reached it, and goes
    /// again. A server that has it already absorbs the repeat, or gives the same answer.
    pub fn handle_link_broken(&mut self, now: Now, server: MemberId, out: &mut Outputs) {
        let orphans = self
            .unanswered
            .orphans(now.moment, |life| life.member != server);
        self.repeat(now, orphans, out);
    }

    /// When [`Balancer::handle_timeout`] is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        // What lost its server is due at once.
        let orphans = self.has_orphans.then(Moment::default);
        let others = [self.waiting.poll_timeout(), self.flows.poll_timeout()];
        orphans.or_else(|| others.into_iter().flatten().min())
    }

    /// Does what is due: asks the store again, refuses what has waited too long, repeats what a
    /// dead server did not answer.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Outputs) {
        if std::mem::take(&mut self.has_orphans) {
            self.repeat_orphans(now, out);
        }
        self.ask_for_lost(now, out);
        let (mut refused, mut asks) = (Vec::new(), Vec::new());
        self.waiting.expire(now.moment, &mut refused, &mut asks);
        for held in refused {
            self.counters.waiting_expired += 1;
            self.answer_held(now, &held, Answer::Refused(Refusal::Unavailable), out);
        }
        for ask in asks {
            self.ask(now, ask, out);
        }
    }

    /// How many bytes the requests take that wait for an assignment.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.waiting.held_bytes()
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn on_request(
        &mut self,
        now: Now,
        flow: Flow,
        method: Method,
        uri: &str,
        message: &Message<'_>,
        out: &mut Outputs,
    ) {
        if method == Method::Ack {
            self.counters.acks_dropped += 1;
            return;
        }
        let via = message.via();
        let below = via.and_then(|via| Below::arriving(message, &via, flow.remote));
        let Some(below) = below else {
            let status = message.defect().map_or(400, Defect::status);
            return self.refuse(flow, message, Refusal::Defect(status), out);
        };
        let asked = Asked {
            message,
            below: &below,
            method,
            uri,
            now: now.moment,
            edge: &self.edge,
            keys: &self.keys,
            cache: &self.cache,
            supported: &self.config.supported,
        };
        let parts = &mut self.scratch.parts;
        match asked.decide(parts, &mut self.scratch.bytes) {
            Ok(Verdict::Options) if self.servers.is_empty() => {
                self.refuse(flow, message, Refusal::Unavailable, out);
            }
            Ok(Verdict::Options) => self.answer(flow, message, Answer::Options, out),
            Ok(Verdict::Route {
                client,
                spelling,
                onward,
            }) => {
                let arrival = Arrival {
                    flow,
                    branch: Branch::of(Origin::Phone(flow), &below, &self.keys, parts),
                    method,
                    onward,
                    kind: Kind::Forward,
                };
                if self.is_refused(now.moment, &client, arrival.branch) {
                    self.counters.refused_again += 1;
                    return self.refuse(flow, message, Refusal::Unavailable, out);
                }
                let Some((aor, assignment)) = self.known(&client) else {
                    return self.hold(now, client, arrival, message, out);
                };
                self.counters.assignments_known += 1;
                if let Some(spelling) = spelling {
                    self.cache.spell(&aor, spelling);
                }
                self.forward(now, &arrival, message, aor, assignment, out);
            }
            Err(refusal) => self.refuse(flow, message, refusal, out),
        }
    }

    /// Whether the request with that branch was refused before, by the balancer or by a server that
    /// cannot say so again.
    fn is_refused(&mut self, now: Moment, client: &Named, branch: Branch) -> bool {
        let by = match self.refusals.find(now, branch.identity()) {
            None => return false,
            Some(By::Balancer) => return true,
            Some(By::Server(by)) => by,
        };
        let known = self.known(client);
        known.is_none_or(|(_, assignment)| assignment.server != by.member) || !self.is_alive(by)
    }

    fn refuse(&mut self, flow: Flow, message: &Message<'_>, refusal: Refusal, out: &mut Outputs) {
        match refusal {
            Refusal::Forbidden => self.counters.routes_refused += 1,
            Refusal::Loop => self.counters.loops_refused += 1,
            _ => {}
        }
        self.answer(flow, message, Answer::Refused(refusal), out);
    }

    /// The assignment by which a request of `client` can go on at once.
    pub(crate) fn known(&mut self, client: &Named) -> Option<(Aor, Assignment)> {
        // What waits goes first.
        if self.waiting.holds(client) {
            return None;
        }
        let (aor, assignment, life) = self.cache.find(client)?;
        // A later life of the server may have lost this client: the store knows.
        self.is_alive(life).then(|| (aor.clone(), assignment))
    }

    /// Lets a copy of a request wait, unless the same one does already or there is no room.
    fn hold(
        &mut self,
        now: Now,
        client: Named,
        arrival: Arrival,
        message: &Message<'_>,
        out: &mut Outputs,
    ) {
        if self.waiting.is_repeat(&client, &arrival) {
            self.counters.repeats_absorbed += 1;
            return;
        }
        // Asked before anything is copied: a flood costs no memory.
        if !self.waiting.has_room(&client, message.bytes().len()) {
            self.counters.waiting_refused += 1;
            self.note_refused(now.moment, &arrival);
            return self.refuse(arrival.flow, message, Refusal::Unavailable, out);
        }
        match Held::copy(now.moment, arrival, message.bytes()) {
            Some(held) => self.wait(now, client, held, out),
            None => self.refuse(arrival.flow, message, Refusal::BadRequest, out),
        }
    }

    /// Lets a request wait if there is room, and asks if nobody has.
    pub(crate) fn wait(&mut self, now: Now, client: Named, held: Held, out: &mut Outputs) {
        if !self.waiting.has_room(&client, held.bytes.len()) {
            self.counters.waiting_refused += 1;
            return self.answer_held(now, &held, Answer::Refused(Refusal::Unavailable), out);
        }
        self.counters.held += 1;
        let is_moving = self.is_moving(&client);
        match self.waiting.push(client, held) {
            // Asked at once, the store would only say that its server is gone.
            Some(ask) if is_moving => self.waiting.put_off(now.moment, ask.ticket),
            Some(ask) => self.ask(now, ask, out),
            None => {}
        }
    }

    /// Whether a client is known to have a server of which no life goes on: it is being taken over.
    fn is_moving(&self, client: &Named) -> bool {
        let known = self.cache.find(client);
        known.is_some_and(|(_, assignment, _)| !self.lives(assignment.server))
    }

    fn ask(&mut self, now: Now, ask: Ask, out: &mut Outputs) {
        self.counters.assignments_asked += 1;
        let operation = match ask.client {
            Named::Aor(client) => Operation::Assign {
                by: self.membership,
                client,
                create: ask.may_assign,
                now: now.wall,
            },
            Named::Row(client) => Operation::Find { client },
        };
        out.operations.push((ask.ticket, operation));
    }

    pub(crate) fn on_assignment(
        &mut self,
        now: Now,
        aor: &Aor,
        assignment: Assignment,
        queue: Queue,
        out: &mut Outputs,
    ) {
        if !self.lives(assignment.server) {
            // Its server has ended, or began after the last beat: the store will know more soon.
            self.counters.servers_gone += 1;
            return self.waiting.rest(now.moment, queue);
        }
        let incarnation = self.incarnation_of(assignment.server);
        let is_one_forgotten = self.cache.put(aor, assignment, incarnation);
        self.counters.assignments_forgotten += u64::from(is_one_forgotten);
        for held in queue.requests {
            self.forward_held(now, held, aor.clone(), assignment, out);
        }
    }

    /// Nothing is assigned: each request is answered by what that means for it.
    fn on_absence(&mut self, now: Now, mut queue: Queue, out: &mut Outputs) {
        let is_row = matches!(queue.client, Named::Row(_));
        while let Some(held) = queue.requests.pop_front() {
            if held.may_assign && !queue.asked_to_assign {
                queue.requests.push_front(held);
                let ask = self.waiting.ask_again(queue);
                return self.ask(now, ask, out);
            }
            let answer = match held.arrival.method {
                _ if held.may_assign && is_row => Answer::Refused(Refusal::NotFound),
                _ if held.may_assign => Answer::Refused(Refusal::Unavailable),
                Method::Register => Answer::NoBindings,
                _ if is_in_dialog(&held.message()) => Answer::Refused(Refusal::NoDialog),
                _ => Answer::Refused(Refusal::NotReachable),
            };
            self.answer_held(now, &held, answer, out);
        }
    }

    /// What a dead server did not answer goes to the next one.
    fn repeat_orphans(&mut self, now: Now, out: &mut Outputs) {
        let servers = &self.servers;
        let lives = |life| servers.iter().any(|held| held.membership == life);
        let orphans = self.unanswered.orphans(now.moment, lives);
        self.repeat(now, orphans, out);
    }

    fn repeat(&mut self, now: Now, orphans: Vec<(Named, Held)>, out: &mut Outputs) {
        for (client, mut held) in orphans {
            self.counters.requests_repeated += 1;
            held.since = now.moment;
            match self.known(&client) {
                Some((aor, assignment)) => self.forward_held(now, held, aor, assignment, out),
                None => self.wait(now, client, held, out),
            }
        }
    }

    /// There was no room for a request, or no more time.
    fn note_refused(&mut self, now: Moment, arrival: &Arrival) {
        // Streams make no copies.
        if !arrival.flow.protocol.is_reliable() {
            let identity = arrival.branch.identity();
            self.refusals.note(now, identity, By::Balancer);
        }
    }

    fn answer_held(&mut self, now: Now, held: &Held, answer: Answer, out: &mut Outputs) {
        if matches!(answer, Answer::Refused(Refusal::Unavailable)) {
            self.note_refused(now.moment, &held.arrival);
        }
        self.answer(held.arrival.flow, &held.message(), answer, out);
    }
}
