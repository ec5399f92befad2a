//! Reliable flows: which clients are reached by each, and, when one is gone, telling their servers.
//!
//! ```text
//!   REGISTER, SUBSCRIBE, NOTIFY over a stream ──► noted
//!                    the stream is closed ──► lost ──► told, out of band ──► acknowledged
//!                                              ▲ │ nobody knows the server     │ it came back
//!                                              │ └──► asked of the store       │
//!                                              └───────────── PAUSE ───────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use foldhash::fast::RandomState;
use presently_pool::{ClientId, FlowToken};
use presently_sip::{Flow, Message, Method, Moment, Name, NameAddr, Now, Uri};
use presently_store::{Completion, Operation, Outcome, Ticket};

use crate::Outputs;
use crate::balancer::Balancer;
use crate::decision::Named;

/// Who is reached by which stream, and the losses that no server was told of yet.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    clients: HashMap<Flow, Vec<ClientId>, RandomState>,
    /// All entries of `clients`.
    noted: usize,
    /// Losses whose servers are not known.
    lost: BTreeSet<Loss>,
    /// When the store is asked for some of them.
    due: Option<Moment>,
    /// Losses for whose servers the store is being asked, by ticket.
    asked: BTreeMap<u64, Loss>,
    tickets_given: u64,
}

/// A client that lost a flow.
type Loss = (ClientId, FlowToken);

impl Flows {
    /// Notes that `client` is reached by `flow`; `false` when there is no room.
    fn note(&mut self, flow: Flow, client: ClientId) -> bool {
        let clients = self.clients.entry(flow).or_default();
        if clients.contains(&client) {
            return true;
        }
        let has_room = clients.len() < CLIENTS_A_FLOW_MAX && self.noted < NOTED_MAX;
        if has_room {
            clients.push(client);
            self.noted += 1;
        } else if clients.is_empty() {
            self.clients.remove(&flow);
        }
        has_room
    }

    fn take(&mut self, flow: Flow) -> Vec<ClientId> {
        let clients = self.clients.remove(&flow).unwrap_or_default();
        self.noted -= clients.len();
        clients
    }

    /// Keeps a loss for later; `false` when there is no room.
    fn rest(&mut self, now: Moment, loss: Loss) -> bool {
        let has_room = self.lost.len() < LOST_MAX;
        if has_room {
            self.lost.insert(loss);
            self.due.get_or_insert(now.after(PAUSE));
        }
        has_room
    }

    /// As a life knows them that begins now: the store has not answered what the one before asked.
    pub(crate) fn begin_again(mut self, now: Moment) -> Self {
        self.lost
            .extend(std::mem::take(&mut self.asked).into_values());
        self.due = (!self.lost.is_empty()).then(|| now.after(PAUSE));
        self
    }

    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        self.due
    }
}

impl Balancer {
    /// The connection of `flow` is gone, or never was: the servers of the clients that were reached
    /// by it are told. A flow that nobody was reached by changes nothing.
    pub fn handle_closed(&mut self, now: Now, flow: Flow, out: &mut Outputs) {
        let token = self.token(flow);
        for client in self.flows.take(flow) {
            self.counters.flows_lost += 1;
            self.tell_lost(now, (client, token), out);
        }
    }

    /// Nobody acknowledged that a client lost a flow: the store knows whose it is now.
    pub fn handle_flow_gone_returned(&mut self, now: Now, client: ClientId, flow: FlowToken) {
        self.keep_lost(now, (client, flow));
    }

    /// Notes that the client of a request is reached by a stream. Behind another proxy a connection
    /// is not the phone's, and its end says nothing.
    pub(crate) fn note_flow(
        &mut self,
        flow: Flow,
        client: ClientId,
        method: Method,
        message: &Message<'_>,
    ) {
        let binds = matches!(method, Method::Register | Method::Subscribe);
        if flow.protocol.is_reliable() && binds && message.values(Name::Via).count() == 1 {
            let is_noted = self.flows.note(flow, client);
            self.counters.flows_unnoted += u64::from(!is_noted);
        }
    }

    /// Notes that a server reaches a client by a stream, which may be gone already: then the
    /// transport says so.
    pub(crate) fn note_reached(
        &mut self,
        flow: Flow,
        client: Option<ClientId>,
        message: &Message<'_>,
    ) {
        if !flow.protocol.is_reliable() {
            return;
        }
        let named = || {
            let contact = message.values(Name::Contact).next()?;
            let uri = Uri::parse(NameAddr::parse(contact)?.uri).ok()?;
            Some(self.keys.contact(uri.user?)?.0)
        };
        if let Some(client) = client.or_else(named) {
            let is_noted = self.flows.note(flow, client);
            self.counters.flows_unnoted += u64::from(!is_noted);
        }
    }

    /// Asks the store for the servers of some clients whose losses have rested.
    pub(crate) fn ask_for_lost(&mut self, now: Now, out: &mut Outputs) {
        let flows = &mut self.flows;
        if flows.due.is_none_or(|due| due > now.moment) {
            return;
        }
        while flows.asked.len() < ASKED_MAX
            && let Some(loss) = flows.lost.pop_first()
        {
            flows.tickets_given += 1;
            let ticket = flows.tickets_given | OURS;
            flows.asked.insert(ticket, loss);
            let operation = Operation::Find { client: loss.0 };
            out.operations.push((Ticket(ticket), operation));
        }
        flows.due = (!flows.lost.is_empty()).then(|| now.moment.after(PAUSE));
    }

    /// Takes the store's answer to a question of [`Balancer::ask_for_lost`]; gives back a
    /// completion that is none.
    pub(crate) fn take_found(
        &mut self,
        now: Now,
        completion: Completion,
        out: &mut Outputs,
    ) -> Option<Completion> {
        let Some(loss) = self.flows.asked.remove(&completion.ticket.0) else {
            return Some(completion);
        };
        match completion.result {
            Ok(Outcome::Found(Some((_, assignment)))) if self.lives(assignment.server) => {
                let (client, token) = loss;
                out.flows_gone.push((assignment.server, client, token));
            }
            // Nothing of the client is left.
            Ok(Outcome::Found(None)) => {}
            // It is being taken over, or the store is away.
            _ => self.keep_lost(now, loss),
        }
        None
    }

    /// Tells the server of a client that a flow is gone, or finds out which it is.
    fn tell_lost(&mut self, now: Now, loss: Loss, out: &mut Outputs) {
        let (client, token) = loss;
        let known = self.cache.find(&Named::Row(client));
        let server = known.map(|(_, assignment, life)| (assignment.server, life));
        match server.filter(|(_, life)| self.is_alive(*life)) {
            Some((server, _)) => out.flows_gone.push((server, client, token)),
            None => self.keep_lost(now, loss),
        }
    }

    fn keep_lost(&mut self, now: Now, loss: Loss) {
        let is_kept = self.flows.rest(now.moment, loss);
        self.counters.flows_forgotten += u64::from(!is_kept);
    }
}

/// Clients noted for one stream: a gateway with many lines. The flow of another is not told of when
/// it goes; its binding ends when it expires.
const CLIENTS_A_FLOW_MAX: usize = 1_024;
/// Clients noted of all streams together; past it as above.
const NOTED_MAX: usize = 100_000;
/// Losses that no server was told of yet; another is forgotten.
const LOST_MAX: usize = 20_000;
/// Questions of this kind to the store at a time.
const ASKED_MAX: usize = 256;
/// Before the store is asked whose a client is: a takeover takes about as long.
const PAUSE: Duration = Duration::from_secs(1);
/// Marks these tickets: those of waiting requests count from 1 and never come so far, those of
/// takeovers have a mark of their own.
const OURS: u64 = 1 << 46;
