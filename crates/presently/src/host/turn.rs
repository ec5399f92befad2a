//! One turn: what was taken in is passed from machine to machine until nothing moves, the store is
//! asked once, and what is to leave goes out.

use std::task::{Context, Poll};

use bytes::Bytes;
use presently_balancer::Forward;
use presently_oob::Event;
use presently_pool::{MemberId, Passage};
use presently_presence::ToBalancer;
use presently_sip::{Edits, Framing, Message, Now, Start};
use presently_store::{Completion, Operation, Ticket};

use super::{Host, HostedServer, LinkMessage, Outside, STANDSTILL};

impl Host {
    /// Runs one turn after inputs were handed in: feeds the machines, asks the store, takes what it
    /// has finished, and sends. The store wakes `context` when more is finished.
    pub fn turn(&mut self, now: Now, context: &mut Context<'_>, outside: &mut dyn Outside) {
        self.counters.turns += 1;
        self.last_turn = now.moment;
        // Bounded: with a store that answers at once, every round makes progress on a finite queue.
        let mut is_still = false;
        for _ in 0..ROUNDS_MAX {
            self.hear(now);
            self.pass(now);
            self.tell_handed_over(now);
            self.tell_flows_gone();
            self.submit(now);
            let mut done = std::mem::take(&mut self.done);
            let polled = self.store.poll(context, &mut done);
            for completion in done.drain(..) {
                self.complete(now, completion);
            }
            self.done = done;
            if polled == Poll::Pending {
                is_still = true;
                break;
            }
        }
        if !is_still {
            // The store was never asked to wake: it would not.
            context.waker().wake_by_ref();
        }
        self.send(now, outside);
        if !self.hand_overs.is_empty() && !self.holds_back() {
            self.batch.append(&mut self.hand_overs);
            context.waker().wake_by_ref();
        }
    }

    /// Passes on what the balancer forwards; `current` is the message it was just handed.
    pub(super) fn forward(&mut self, now: Now, current: Option<Message<'_>>) {
        let Some(hosted) = &mut self.balancer else {
            return;
        };
        if hosted.out.forwards.is_empty() {
            return;
        }
        let mut forwards = std::mem::take(&mut hosted.out.forwards);
        for forward in forwards.drain(..) {
            let Some(message) = forward.message(current) else {
                continue;
            };
            let edits = forward.edits(&hosted.out.text);
            let servers = &mut self.servers;
            match servers
                .iter_mut()
                .find(|one| one.me.member == forward.server)
            {
                Some(server) => server.take(
                    now,
                    &forward.passage,
                    message,
                    (&edits, forward.vias_removed),
                ),
                None => self.to_links.push(LinkMessage {
                    from: hosted.me.member,
                    to: forward.server,
                    text: link_text(&forward, message, edits),
                    is_repeated: is_repeated(&forward, message),
                }),
            }
        }
        hosted.out.forwards = forwards;
    }

    /// Takes a message from a member of another process.
    pub(super) fn take_from_link(
        &mut self,
        now: Now,
        (from, to): (MemberId, MemberId),
        passage: &Passage,
        message: Message<'_>,
    ) {
        if let Some(hosted) = self.balancer.as_mut().filter(|one| one.me.member == to) {
            let body = Bytes::new();
            let out = &mut hosted.out;
            hosted
                .machine
                .handle_server(now, from, passage, message, &body, out);
            self.forward(now, None);
            return;
        }
        if let Some(server) = self.servers.iter_mut().find(|one| one.me.member == to) {
            server.take(now, passage, message, (&Edits::default(), 0));
        }
    }

    /// Moves what servers wrote to the balancer and back until nothing moves.
    fn pass(&mut self, now: Now) {
        for _ in 0..ROUNDS_MAX {
            let mut is_still = true;
            for place in 0..self.servers.len() {
                let Some(server) = self.servers.get_mut(place) else {
                    continue;
                };
                if server.out.to_balancers.is_empty() {
                    continue;
                }
                is_still = false;
                let mut messages = std::mem::take(&mut server.out.to_balancers);
                let text = std::mem::take(&mut server.out.text);
                let from = server.me.member;
                for message in messages.drain(..) {
                    self.deliver(now, from, &message, &text);
                }
                if let Some(server) = self.servers.get_mut(place) {
                    server.out.to_balancers = messages;
                    server.out.text = text;
                    server.out.text.clear();
                }
            }
            self.forward(now, None);
            if is_still {
                return;
            }
        }
    }

    fn deliver(&mut self, now: Now, from: MemberId, message: &ToBalancer, text: &[u8]) {
        let head = text.get(message.head.clone()).unwrap_or_default();
        let passage = Passage {
            kind: message.kind,
            client: message.client.clone(),
            epoch: message.epoch,
            flow: message.flow,
            advertised: None,
        };
        let own = self
            .balancer
            .as_mut()
            .filter(|one| one.me.member == message.balancer);
        let Some(hosted) = own else {
            let text = with_passage(&passage, head, &message.body);
            self.to_links.push(LinkMessage {
                from,
                to: message.balancer,
                text,
                is_repeated: false,
            });
            return;
        };
        let mut index = std::mem::take(&mut self.index);
        // The shared body travels beside the head, so Content-Length says more than is there: a
        // datagram is read all the same.
        if let Ok(read) = index.read(head, Framing::Datagram) {
            let out = &mut hosted.out;
            hosted
                .speakers
                .resize(out.to_phones.len(), hosted.me.member);
            hosted
                .machine
                .handle_server(now, from, &passage, read, &message.body, out);
            hosted.speakers.resize(out.to_phones.len(), from);
        }
        self.index = index;
    }

    /// Hands what the links heard to the machines.
    pub(super) fn hear(&mut self, now: Now) {
        for hosted in &mut self.servers {
            for event in hosted.links.out.events.drain(..) {
                match event {
                    Event::Woken(wake) => hosted.machine.handle_wake(&wake, &mut hosted.out),
                    Event::Moved {
                        client,
                        server,
                        epoch,
                        ..
                    } => {
                        let out = &mut hosted.out;
                        let to = (server, epoch);
                        hosted.machine.handle_moved(now, &client, to, out);
                    }
                    Event::Gap { .. } | Event::Reset { .. } => {
                        hosted.machine.sweep(&mut hosted.out);
                    }
                    Event::Unheard { .. } => hosted.machine.sweep_changes(&mut hosted.out),
                    Event::FlowGone { peer, client, flow } => {
                        let out = &mut hosted.out;
                        if hosted.machine.handle_flow_gone(now, client, &flow, out) {
                            hosted.links.machine.acknowledge(peer, client, flow);
                        }
                    }
                    _ => {}
                }
            }
        }
        if let Some(hosted) = &mut self.balancer {
            for event in hosted.links.out.events.drain(..) {
                match event {
                    Event::Moved {
                        client,
                        server,
                        epoch,
                        ..
                    } => hosted.machine.handle_moved(&client, server, epoch),
                    Event::FlowGoneReturned { client, flow, .. } => {
                        hosted.machine.handle_flow_gone_returned(now, client, flow);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Gathers what the machines ask of the store into one batch.
    fn submit(&mut self, now: Now) {
        if let Some(hosted) = &mut self.balancer {
            let operations = hosted.out.operations.drain(..);
            self.batch.extend(
                operations.map(|(ticket, operation)| (tagged(BALANCER, ticket), operation)),
            );
        }
        for (place, hosted) in self.servers.iter_mut().enumerate() {
            let owner = u64::try_from(place).unwrap_or_default() + FIRST_SERVER;
            for (ticket, operation) in hosted.out.operations.drain(..) {
                // Its server says no more, but what it said may still be here, and be kept back:
                // the store must not give the client away before that has left.
                let is_hand_over = matches!(operation, Operation::Reassign { .. });
                let asked = if is_hand_over {
                    &mut self.hand_overs
                } else {
                    &mut self.batch
                };
                asked.push((tagged(owner, ticket), operation));
            }
            for (to, wake) in hosted.out.wakes.drain(..) {
                hosted.links.machine.wake(to, &wake);
            }
        }
        if self.batch.is_empty() {
            return;
        }
        let is_waited_for = |(ticket, _): &&(Ticket, _)| ticket.0 >> OWNER_SHIFT != HOST;
        self.in_flight += self.batch.iter().filter(is_waited_for).count();
        let last = self.batch.last().map(|(ticket, _)| *ticket);
        self.timed = self.timed.or(last.map(|ticket| (ticket, now.moment)));
        self.counters.batches += 1;
        self.counters.operations += u64::try_from(self.batch.len()).unwrap_or_default();
        self.store.submit(&mut self.batch);
    }

    fn complete(&mut self, now: Now, completion: Completion) {
        if completion.result.is_err() {
            self.counters.completions_refused += 1;
        }
        if let Some((_, asked)) = self
            .timed
            .take_if(|(ticket, _)| *ticket == completion.ticket)
        {
            self.counters.store_spans.add(now.moment.since(asked));
        }
        let owner = completion.ticket.0 >> OWNER_SHIFT;
        if owner != HOST {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        let completion = Completion {
            ticket: Ticket(completion.ticket.0 & ((1 << OWNER_SHIFT) - 1)),
            ..completion
        };
        match owner {
            HOST => self.on_beaten(now, completion),
            BALANCER => {
                if let Some(hosted) = &mut self.balancer {
                    hosted
                        .machine
                        .handle_completion(now, completion, &mut hosted.out);
                }
                self.is_fenced |= self.balancer.as_ref().is_some_and(|one| one.out.fenced);
                self.tell_taken_over(now);
                self.forward(now, None);
            }
            server => {
                let place = usize::try_from(server - FIRST_SERVER).unwrap_or(usize::MAX);
                if let Some(hosted) = self.servers.get_mut(place) {
                    hosted
                        .machine
                        .handle_completion(now, completion, &mut hosted.out);
                }
            }
        }
    }

    /// Sends what the turn wrote, and forgets it; what a server wrote whose time to speak has run
    /// out since the turn began is held back.
    fn send(&mut self, now: Now, outside: &mut dyn Outside) {
        let late = outside.now();
        if late.since(now.moment) >= STANDSTILL {
            // Its phone has gone on since, by way of others too.
            self.to_links.retain(|message| !message.is_repeated);
        }
        self.say_held_back(late, outside);
        self.hold_back(now, late);
        if let Some(hosted) = &mut self.balancer {
            for message in hosted.out.to_phones.drain(..) {
                let head = hosted.out.text.get(message.head).unwrap_or_default();
                outside.to_phone(message.flow, head, &message.body);
            }
            hosted.out.text.clear();
            hosted.speakers.clear();
        }
        for message in self.to_links.drain(..) {
            outside.to_link(message.from, message.to, &message.text);
        }
        let balancer = self.balancer.iter_mut();
        let balancer = balancer.map(|hosted| (hosted.me, &mut hosted.links));
        let servers = self.servers.iter_mut();
        let servers = servers.map(|hosted| (hosted.me, &mut hosted.links));
        for (me, links) in balancer.chain(servers) {
            links.machine.flush(now.moment, &mut links.out);
            for (to, datagram) in links.out.transmits() {
                outside.to_member(me.member, to, datagram);
            }
            links.out.datagrams.clear();
            links.out.arena.clear();
        }
    }
}

impl HostedServer {
    /// Takes a message from a balancer, in memory or as text.
    fn take(
        &mut self,
        now: Now,
        passage: &Passage,
        message: Message<'_>,
        (edits, vias_removed): (&Edits<'_>, usize),
    ) {
        let out = &mut self.out;
        match message.start() {
            Start::Request { .. } => self
                .machine
                .handle_request(now, passage, &message, edits, out),
            Start::Response { .. } => {
                self.machine
                    .handle_response(now, &message, vias_removed, out);
            }
        }
    }
}

/// The text of a forwarded message for a server elsewhere.
fn link_text(forward: &Forward, message: Message<'_>, edits: Edits<'_>) -> Bytes {
    let mut envelope = String::new();
    forward.passage.write(&mut envelope);
    let edits = Edits {
        presently: Some(&envelope),
        ..edits
    };
    let mut text = Vec::with_capacity(message.bytes().len() + LINK_HEADERS_BYTES);
    match message.start() {
        Start::Request { .. } => edits.write(&message, &mut text),
        Start::Response { .. } => edits.write_response(&message, forward.vias_removed, &mut text),
    }
    text.into()
}

/// Whether the phone sends a forwarded message again: a request that came as a datagram.
fn is_repeated(forward: &Forward, message: Message<'_>) -> bool {
    let is_request = matches!(message.start(), Start::Request { .. });
    let flow = forward.passage.flow;
    is_request && flow.is_some_and(|token| !token.flow.protocol.is_reliable())
}

/// A server's message for a balancer elsewhere: the envelope goes behind the start line.
fn with_passage(passage: &Passage, head: &[u8], body: &[u8]) -> Bytes {
    let mut envelope = String::from("Presently: ");
    passage.write(&mut envelope);
    envelope.push_str("\r\n");
    let line = head
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let (start, rest) = head.split_at(line);
    let mut text = Vec::with_capacity(head.len() + envelope.len() + body.len());
    for part in [start, envelope.as_bytes(), rest, body] {
        text.extend_from_slice(part);
    }
    text.into()
}

/// Tickets carry their owner, so that a completion finds its machine.
pub(super) fn tagged(owner: u64, ticket: Ticket) -> Ticket {
    Ticket(ticket.0 | (owner << OWNER_SHIFT))
}

pub(super) const HOST: u64 = 0;
const BALANCER: u64 = 1;
const FIRST_SERVER: u64 = 2;
const OWNER_SHIFT: u32 = 48;
/// Rounds of one turn; what is left goes on in the next.
const ROUNDS_MAX: usize = 64;
/// What the edits add to a message at the most, roughly: an allocation size, not a limit.
const LINK_HEADERS_BYTES: usize = 512;
