//! Requests that wait for an assignment: in order for each client, bounded in number, in bytes, for
//! each client and in time.
//!
//! ```text
//!          first request                completion
//!   (none) ─────────────► Asked ─────────────────────► released, in order
//!                          ▲ │ the store cannot say, or the server is gone
//!              RETRY later │ ▼
//!                         Resting ───── HOLD_MAX ────► refused, the oldest first
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use presently_pool::Kind;
use presently_sip::{Flow, Framing, Index, Message, Method, Moment};
use presently_store::Ticket;

use crate::Config;
use crate::branch::Branch;
use crate::decision::{Named, Onward, may_assign};

/// A request in hand: what the balancer needs of it beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The flow it came by.
    pub(crate) flow: Flow,
    /// The branch of our Via for it.
    pub(crate) branch: Branch,
    pub(crate) method: Method,
    /// What changes on the way.
    pub(crate) onward: Onward,
    /// [`Kind::Forward`], or [`Kind::Marked`] when a server handed it back: then its phone's Via
    /// says already where it came from.
    pub(crate) kind: Kind,
}

/// A request that waits, with bytes of its own.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) arrival: Arrival,
    pub(crate) bytes: Bytes,
    pub(crate) index: Box<Index>,
    /// Whether it may begin an assignment.
    pub(crate) may_assign: bool,
    /// Since when.
    pub(crate) since: Moment,
}

impl Held {
    /// Copies a request out of the loop's buffer; `None` when it cannot be read again.
    pub(crate) fn copy(now: Moment, arrival: Arrival, bytes: &[u8]) -> Option<Self> {
        let bytes = Bytes::copy_from_slice(bytes);
        let mut index = Box::<Index>::default();
        let message = index.read(&bytes, Framing::Datagram).ok()?;
        let may_assign = may_assign(arrival.method, &message);
        Some(Self {
            arrival,
            bytes,
            index,
            may_assign,
            since: now,
        })
    }

    pub(crate) fn message(&self) -> Message<'_> {
        self.index.message(&self.bytes)
    }
}

/// Everything that waits. A client's queue is named by the ticket of its last question.
#[derive(Debug)]
pub(crate) struct Waiting {
    queues: HashMap<u64, Queue, RandomState>,
    by_client: HashMap<Named, u64, RandomState>,
    due: BTreeSet<(Moment, u64)>,
    tickets_given: u64,
    held: usize,
    held_bytes: usize,
    held_max: usize,
    held_bytes_max: usize,
    per_client_max: usize,
}

/// The requests of one client, in order; never empty while it stands in the table.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) client: Named,
    pub(crate) requests: VecDeque<Held>,
    /// Whether the operation under way may begin an assignment.
    pub(crate) asked_to_assign: bool,
    /// When to ask again; `None` while the store is asked.
    retry_at: Option<Moment>,
    due: Moment,
}

/// What the store is to be asked.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) ticket: Ticket,
    pub(crate) client: Named,
    pub(crate) may_assign: bool,
}

impl Waiting {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            queues: HashMap::default(),
            by_client: HashMap::default(),
            due: BTreeSet::new(),
            tickets_given: 0,
            held: 0,
            held_bytes: 0,
            held_max: config.waiting_max,
            held_bytes_max: config.waiting_bytes_max,
            per_client_max: config.waiting_per_client_max,
        }
    }

    /// How many bytes they take together.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether requests of `client` wait: the next one stands behind them.
    pub(crate) fn holds(&self, client: &Named) -> bool {
        !self.by_client.is_empty() && self.by_client.contains_key(client)
    }

    /// Whether this very request waits already: the same flow, Via, From tag, Call-ID and CSeq.
    pub(crate) fn is_repeat(&self, client: &Named, arrival: &Arrival) -> bool {
        self.queue_of(client).is_some_and(|queue| {
            let mut held = queue.requests.iter();
            held.any(|held| {
                held.arrival.branch == arrival.branch && held.arrival.method == arrival.method
            })
        })
    }

    /// Whether one more of `client`, `length` bytes long, may wait.
    pub(crate) fn has_room(&self, client: &Named, length: usize) -> bool {
        let queued = self
            .queue_of(client)
            .map_or(0, |queue| queue.requests.len());
        self.held < self.held_max
            && self.held_bytes.saturating_add(length) <= self.held_bytes_max
            && queued < self.per_client_max
    }

    /// Lets a request wait. The caller has asked for room. For the first of its client there is
    /// something to ask.
    pub(crate) fn push(&mut self, client: Named, held: Held) -> Option<Ask> {
        self.held += 1;
        self.held_bytes += held.bytes.len();
        let id = self.by_client.get(&client);
        if let Some(queue) = id.and_then(|id| self.queues.get_mut(id)) {
            queue.requests.push_back(held);
            return None;
        }
        let due = held.since.after(HOLD_MAX);
        Some(self.ask(Queue {
            client,
            requests: VecDeque::from([held]),
            asked_to_assign: false,
            retry_at: None,
            due,
        }))
    }

    /// Takes out the queue that asked under `ticket`.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Queue> {
        let queue = self.queues.remove(&ticket.0)?;
        self.by_client.remove(&queue.client);
        self.due.remove(&(queue.due, ticket.0));
        for held in &queue.requests {
            self.uncount(held);
        }
        Some(queue)
    }

    /// Puts a queue back that asks at once, for what its requests need now.
    pub(crate) fn ask_again(&mut self, queue: Queue) -> Ask {
        self.recount(&queue);
        self.ask(queue)
    }

    /// Puts a queue back that is to ask again in a while.
    pub(crate) fn rest(&mut self, now: Moment, mut queue: Queue) {
        self.recount(&queue);
        queue.retry_at = Some(now.after(RETRY));
        self.tickets_given += 1;
        self.place(self.tickets_given, queue);
    }

    /// The queue that was named `ticket` a moment ago asks later.
    pub(crate) fn put_off(&mut self, now: Moment, ticket: Ticket) {
        if let Some(queue) = self.take(ticket) {
            self.rest(now, queue);
        }
    }

    /// Everything that waits, each client's requests in order.
    pub(crate) fn into_requests(mut self) -> impl Iterator<Item = (Named, Held)> {
        let queues = self.due.into_iter();
        let queues = queues.filter_map(move |(_, id)| self.queues.remove(&id));
        queues.flat_map(|queue| {
            let named = move |held| (queue.client.clone(), held);
            queue.requests.into_iter().map(named)
        })
    }

    /// Takes out the queue of `client`, unless the store is being asked for it.
    pub(crate) fn take_resting(&mut self, client: &Named) -> Option<Queue> {
        let id = *self.by_client.get(client)?;
        let is_resting = self.queues.get(&id)?.retry_at.is_some();
        is_resting.then(|| self.take(Ticket(id)))?
    }

    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        self.due.first().map(|(due, _)| *due)
    }

    /// What is due: requests that have waited too long, and questions to be asked again.
    pub(crate) fn expire(&mut self, now: Moment, refused: &mut Vec<Held>, asks: &mut Vec<Ask>) {
        while let Some((due, id)) = self.due.first().copied()
            && due <= now
        {
            let Some(mut queue) = self.take(Ticket(id)) else {
                self.due.remove(&(due, id));
                continue;
            };
            while let Some(held) = queue.requests.pop_front() {
                if now.since(held.since) < HOLD_MAX {
                    queue.requests.push_front(held);
                    break;
                }
                refused.push(held);
            }
            if queue.requests.is_empty() {
                continue;
            }
            self.recount(&queue);
            if queue.retry_at.is_some_and(|retry_at| retry_at <= now) {
                asks.push(self.ask(queue));
            } else {
                self.place(id, queue);
            }
        }
    }

    fn ask(&mut self, mut queue: Queue) -> Ask {
        self.tickets_given += 1;
        queue.retry_at = None;
        queue.asked_to_assign = queue.requests.iter().any(|held| held.may_assign);
        let ask = Ask {
            ticket: Ticket(self.tickets_given),
            client: queue.client.clone(),
            may_assign: queue.asked_to_assign,
        };
        self.place(self.tickets_given, queue);
        ask
    }

    fn place(&mut self, id: u64, mut queue: Queue) {
        let oldest = queue.requests.front().map(|held| held.since);
        let ends = oldest.map_or(queue.due, |since| since.after(HOLD_MAX));
        queue.due = queue.retry_at.map_or(ends, |retry_at| retry_at.min(ends));
        self.due.insert((queue.due, id));
        self.by_client.insert(queue.client.clone(), id);
        self.queues.insert(id, queue);
    }

    fn queue_of(&self, client: &Named) -> Option<&Queue> {
        self.queues.get(self.by_client.get(client)?)
    }

    fn recount(&mut self, queue: &Queue) {
        for held in &queue.requests {
            self.held += 1;
            self.held_bytes += held.bytes.len();
        }
    }

    fn uncount(&mut self, held: &Held) {
        self.held -= 1;
        self.held_bytes -= held.bytes.len();
    }
}

/// How long a request may wait: phones repeat theirs for 32 s, and most never come back after a
/// 503.
const HOLD_MAX: Duration = Duration::from_secs(20);

/// How long to leave a store alone that could not say.
const RETRY: Duration = Duration::from_millis(250);
