//! The phones at work: sends their requests and repeats, takes answers and NOTIFYs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::Arguments;
use crate::log::Log;
use crate::network::Network;
use crate::operation::{Kind, Operation, Presentity, Subscription};
use crate::request::{Source, Writing};
use crate::tally::Tally;
use crate::text::{Text, bracketed, number};

/// All phones of a run.
pub(crate) struct Load {
    pub(crate) network: Network,
    pub(crate) pids: Vec<u32>,
    pub(crate) writing: Writing,
    pub(crate) presentities: Vec<Presentity>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// One for each entity of the phase.
    pub(crate) operations: Vec<Operation>,
    pub(crate) outstanding: usize,
    pub(crate) cursor: usize,
    pub(crate) kind: Kind,
    pub(crate) tally: Tally,
    /// Whether the load itself runs, and not what follows it.
    pub(crate) is_load: bool,
    pub(crate) log: Log,
    /// For the final state to reach every subscription.
    pub(crate) grace: Duration,
    /// Then an operation has failed.
    patience: Duration,
    /// When, which entity, which number.
    timers: BinaryHeap<Reverse<(u64, usize, u32)>>,
    buffer: Vec<u8>,
    answer: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

impl Load {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        Self {
            network: Network::new(arguments.server, arguments.port),
            pids: arguments.pid.clone(),
            writing: Writing {
                run: (clock() / 1000) as u32,
                domain: arguments.domain.clone(),
                subscribers: arguments.subscribers.max(1),
                mutual: arguments.mutual.then_some(arguments.users),
            },
            presentities: vec![Presentity::default(); arguments.users],
            subscriptions: vec![Subscription::default(); arguments.subscriptions()],
            operations: Vec::new(),
            outstanding: 0,
            cursor: 0,
            kind: Kind::Register,
            tally: Tally::default(),
            is_load: false,
            log: Log::new(arguments.log.is_some()),
            grace: Duration::from_secs_f64(arguments.grace),
            patience: Duration::from_secs_f64(arguments.patience),
            timers: BinaryHeap::new(),
            buffer: vec![0; 65_536],
            answer: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Begins an entity's operation.
    pub(crate) fn start(&mut self, entity: usize, scheduled: u64) {
        let notifies_due = match self.kind {
            Kind::Register => 0,
            Kind::Publish => {
                self.presentities[entity].version += 1;
                let first = entity * self.writing.subscribers;
                let watching = self.subscriptions.iter().skip(first);
                let watching = watching.take(self.writing.subscribers);
                watching.filter(|one| one.is_live).count() as u32
            }
            Kind::Subscribe | Kind::Resubscribe | Kind::Unsubscribe => 1,
        };
        let operation = &mut self.operations[entity];
        *operation = Operation {
            is_active: true,
            number: operation.number,
            scheduled,
            started: clock(),
            notifies_due,
            request: self.spare.pop().unwrap_or_default(),
            ..Operation::default()
        };
        self.outstanding += 1;
        self.send(entity);
    }

    /// Writes and sends an entity's request.
    fn send(&mut self, entity: usize) {
        let socket = entity % self.network.ports.len();
        let operation = &mut self.operations[entity];
        operation.number += 1;
        operation.request.clear();
        let (request, scheduled) = (&mut operation.request, operation.scheduled);
        let from = Source {
            port: self.network.ports[socket],
            entity,
            number: operation.number,
        };
        let writing = &self.writing;
        match self.kind {
            Kind::Register => writing.register(request, &mut self.presentities[entity], from),
            Kind::Publish => {
                let user = &mut self.presentities[entity];
                writing.publish(request, user, (from, scheduled));
            }
            kind => {
                let subscription = &mut self.subscriptions[entity];
                writing.subscribe(request, subscription, (from, kind));
            }
        }
        self.network.send(socket, request);
        let due = clock() + FIRST_REPEAT.as_nanos() as u64;
        self.timers.push(Reverse((due, entity, from.number)));
    }

    /// Waits for what arrives, `until` at the longest, and takes it.
    pub(crate) fn pump(&mut self, until: u64) {
        let timer = self.timers.peek().map_or(u64::MAX, |Reverse(next)| next.0);
        let wait = until.min(timer).saturating_sub(clock());
        self.network
            .wait(Duration::from_nanos(wait).min(Duration::from_millis(50)));
        let mut buffer = std::mem::take(&mut self.buffer);
        for socket in 0..self.network.ports.len() {
            for _ in 0..ROUND {
                let Some(length) = self.network.receive(socket, &mut buffer) else {
                    break;
                };
                if let Some(text) = Text::read(&buffer[..length]) {
                    match text.status {
                        0 => self.take_request(socket, &text),
                        100..200 => {}
                        _ => self.take_answer(&text),
                    }
                }
            }
        }
        self.buffer = buffer;
        self.repeat();
    }

    /// Repeats what waits for an answer (RFC 3261 §17.1.2.2), and gives up what has waited long
    /// enough.
    fn repeat(&mut self) {
        let now = clock();
        while let Some(Reverse((due, entity, number))) = self.timers.peek().copied() {
            if due > now {
                return;
            }
            self.timers.pop();
            let operation = match self.operations.get_mut(entity) {
                Some(operation) if operation.is_active && operation.number == number => operation,
                _ => continue,
            };
            let spent = Duration::from_nanos(now.saturating_sub(operation.started));
            if spent >= self.patience {
                self.give_up(entity);
                continue;
            }
            if !operation.is_answered {
                operation.repeats += 1;
                self.tally.repeated += 1;
                let socket = entity % self.network.ports.len();
                self.network.send(socket, &operation.request);
            }
            let pause = (FIRST_REPEAT * (1 << operation.repeats.min(3))).as_nanos() as u64;
            self.timers.push(Reverse((now + pause, entity, number)));
        }
    }

    fn give_up(&mut self, entity: usize) {
        let operation = &mut self.operations[entity];
        operation.is_failed = true;
        operation.notifies_due = 0;
        match operation.is_answered {
            true => self.tally.unnotified += 1,
            false => self.tally.unanswered += 1,
        }
        operation.is_answered = true;
        self.end_if_done(entity);
    }

    /// Takes a final answer: the entity and number of its operation are in the branch.
    fn take_answer(&mut self, text: &Text<'_>) {
        let Some((entity, number)) = self.operation_of(text.via) else {
            return;
        };
        let now = clock();
        let operation = match self.operations.get_mut(entity) {
            Some(operation)
                if operation.is_active && operation.number == number && !operation.is_answered =>
            {
                operation
            }
            _ => return,
        };
        *self.tally.statuses.entry(text.status).or_default() += 1;
        self.log.answer(entity, operation, (now, text.status));
        let is_good = (200..300).contains(&text.status);
        if is_good {
            let spent = now.saturating_sub(operation.scheduled) / 1000;
            self.tally.response_us.push(spent as u32);
        } else if text.status == 412 && self.kind == Kind::Publish {
            self.presentities[entity].entity_tag = Box::default();
            self.tally.republished += 1;
            self.send(entity);
            return;
        } else {
            operation.is_failed = true;
            operation.notifies_due = 0;
        }
        operation.is_answered = true;
        if is_good {
            self.keep(entity, text);
        }
        self.end_if_done(entity);
    }

    /// Keeps what a later request needs.
    fn keep(&mut self, entity: usize, text: &Text<'_>) {
        match self.kind {
            Kind::Register => {}
            Kind::Publish => {
                let user = &mut self.presentities[entity];
                user.entity_tag = text.entity_tag.into();
                user.confirmed = user.version;
            }
            Kind::Subscribe => {
                let mut routes = Vec::new();
                for value in text.record_route.iter().rev() {
                    routes.extend_from_slice(b"Route: ");
                    routes.extend_from_slice(value);
                    routes.extend_from_slice(b"\r\n");
                }
                let subscription = &mut self.subscriptions[entity];
                subscription.is_live = true;
                subscription.to_tag = text.to_tag().into();
                subscription.target = bracketed(text.contact).into();
                subscription.routes = routes.into();
            }
            Kind::Resubscribe => {
                self.subscriptions[entity].target = bracketed(text.contact).into();
            }
            Kind::Unsubscribe => self.subscriptions[entity].is_live = false,
        }
    }

    fn operation_of(&self, via: &[u8]) -> Option<(usize, u32)> {
        let at = memchr::memmem::find(via, b"z9hG4bKload")?;
        let mut parts = via[at + 11..].split(|byte| *byte == b'.').map(number);
        let run = parts.next()?;
        let (entity, number) = (parts.next()?, parts.next()?);
        (run == u64::from(self.writing.run)).then_some((entity as usize, number as u32))
    }

    /// Answers a NOTIFY and looks at what it shows.
    fn take_request(&mut self, socket: usize, text: &Text<'_>) {
        let subscription = self.subscription_of(text.call_id);
        let status = match subscription {
            Some(_) => "SIP/2.0 200 OK\r\n",
            None => "SIP/2.0 481 Subscription Does Not Exist\r\n",
        };
        self.answer.clear();
        self.answer.extend_from_slice(status.as_bytes());
        for line in &text.echoed {
            self.answer.extend_from_slice(line);
            self.answer.extend_from_slice(b"\r\n");
        }
        self.answer.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        self.network.send(socket, &self.answer);
        self.tally.notifies += 1;
        self.tally.notifies_in_load += u64::from(self.is_load);
        match subscription {
            Some(place) => self.take_notify(place, text),
            None => self.tally.notifies_unknown += 1,
        }
    }

    fn subscription_of(&self, call_id: &[u8]) -> Option<usize> {
        let mut parts = call_id.strip_prefix(b"s")?.split(|byte| *byte == b'-');
        let place = number(parts.next()?) as usize;
        let is_ours = number(parts.next()?) == u64::from(self.writing.run);
        (is_ours && place < self.subscriptions.len()).then_some(place)
    }

    fn take_notify(&mut self, place: usize, text: &Text<'_>) {
        let now = clock();
        let subscription = &mut self.subscriptions[place];
        let mark = text.mark();
        let (version, published) = mark.unwrap_or((subscription.shown, 0));
        let is_new = text.cseq > subscription.notify_cseq;
        self.tally.notifies_terminated += u64::from(text.is_terminated);
        self.log
            .notify(place, subscription, (now, text.cseq), (version, published));
        if is_new {
            self.tally.notifies_stale += u64::from(version < subscription.shown);
            subscription.notify_cseq = text.cseq;
            subscription.shown = version;
        } else if text.cseq < subscription.notify_cseq {
            self.tally.notifies_late += 1;
        } else if version == subscription.shown {
            self.tally.notifies_repeated += 1;
        } else {
            self.tally.cseqs_reused += 1;
        }
        let news = mark.filter(|(version, _)| *version > subscription.seen);
        let seen = subscription.seen;
        if let Some((version, published)) = news {
            subscription.seen = version;
            if self.kind == Kind::Publish {
                let spent = now.saturating_sub(published) / 1000;
                self.tally.notify_us.push(spent as u32);
            }
        }
        let entity = match self.kind {
            Kind::Register => return,
            Kind::Publish => {
                let presentity = place / self.writing.subscribers;
                let wanted = self.presentities[presentity].version;
                // The first sight of the newest version, or of the last one.
                let version = news.map_or(0, |(version, _)| version);
                if version < wanted || seen >= wanted {
                    return;
                }
                presentity
            }
            _ if is_new => place,
            _ => return,
        };
        if let Some(operation) = self.operations.get_mut(entity) {
            operation.notifies_due = operation.notifies_due.saturating_sub(1);
            self.end_if_done(entity);
        }
    }

    fn end_if_done(&mut self, entity: usize) {
        let operation = &mut self.operations[entity];
        if !operation.is_active || !operation.is_answered || operation.notifies_due > 0 {
            return;
        }
        operation.is_active = false;
        self.spare.push(std::mem::take(&mut operation.request));
        self.outstanding -= 1;
        match operation.is_failed {
            true => self.tally.failed += 1,
            false => {
                self.tally.succeeded += 1;
                self.tally.ended_in_load += u64::from(self.is_load);
            }
        }
    }
}

/// Nanoseconds of a clock that never goes back.
pub(crate) fn clock() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// T1: an answer that does not come within it is asked for again (RFC 3261 §17.1.1.1).
const FIRST_REPEAT: Duration = Duration::from_millis(500);
/// Datagrams read from one socket before the next one has its turn.
const ROUND: usize = 256;
