//! MESSAGE relayed to the recipient's bindings (RFC 3428 §7, RFC 3261 §16): in parallel, one target
//! for each instance, and the best final answer back.

use bytes::Bytes;
use presently_pool::{Epoch, FlowToken, Kind};
use presently_sip::transaction::{Action, ClientTransaction, Input};
use presently_sip::{Edits, Framing, Index, Message, Moment, Now, TimerId};
use presently_store::Binding;

use super::request::Step;
use super::{Server, Timer};
use crate::answer::Refusal;
use crate::branch::{Branch, Purpose};
use crate::held::Held;
use crate::reach::Reach;
use crate::{Outputs, ToBalancer};

/// One MESSAGE on its way to its recipient.
#[derive(Debug)]
pub(crate) struct Relay {
    held: Box<Held>,
    legs: Vec<Leg>,
    /// The best final answer so far, without our Via.
    best: Option<(u16, Bytes)>,
    generation: u32,
    timer: Option<TimerId>,
}

/// One target of a relayed request.
#[derive(Debug)]
struct Leg {
    key: u32,
    flow: FlowToken,
    text: Bytes,
    transaction: ClientTransaction,
    is_over: bool,
}

impl Server {
    /// Relays a MESSAGE; 480 when nobody is there (RFC 3261 §21.4.18).
    pub(super) fn on_message(
        &mut self,
        now: Now,
        slot: usize,
        held: Box<Held>,
        out: &mut Outputs,
    ) -> Step {
        let bindings = self.actors.get(slot).map(|actor| actor.bindings.as_slice());
        let mut targets = targets(bindings.unwrap_or_default());
        targets.retain(|binding| self.reach.balancer(&binding.flow).is_some());
        if targets.is_empty() {
            self.refuse(now, &held, &Refusal::temporarily_unavailable(), out);
            return Step::Answered;
        }
        if self.relays.len() >= RELAYS_MAX {
            self.refuse_busy(now, &held, out);
            return Step::Answered;
        }
        self.counters.messages_relayed += 1;
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let place = self.relays.vacant_key();
        let legs = targets
            .into_iter()
            .map(|binding| {
                let branch = Branch {
                    purpose: Purpose::Relay,
                    slot: u32::try_from(place).unwrap_or(u32::MAX),
                    generation,
                    key: self.random.next_u32(),
                };
                leg(now.moment, &held, &binding, branch, &self.config.name)
            })
            .collect();
        let relay = Relay {
            held,
            legs,
            best: None,
            generation,
            timer: None,
        };
        for leg in &relay.legs {
            leg.send(&self.reach, out);
        }
        let place = self.relays.insert(relay);
        self.arm_relay(place);
        Step::Answered
    }

    /// A target answered.
    pub(super) fn on_relayed(
        &mut self,
        now: Now,
        branch: Branch,
        (message, vias_removed): (&Message<'_>, usize),
        status: u16,
        out: &mut Outputs,
    ) {
        let place = usize::try_from(branch.slot).unwrap_or(usize::MAX);
        let relay = self.relays.get_mut(place);
        let relay = relay.filter(|relay| relay.generation == branch.generation);
        let leg = relay.and_then(|relay| relay.legs.iter_mut().find(|leg| leg.key == branch.key));
        let Some(leg) = leg.filter(|leg| !leg.is_over) else {
            self.counters.responses_unmatched += 1;
            return;
        };
        let input = Input::Response { status };
        if leg.transaction.handle_input(now.moment, input) != Action::Answered {
            return;
        }
        leg.is_over = true;
        let mut text = Vec::new();
        Edits::default().write_response(message, vias_removed + 1, &mut text);
        if let Some(relay) = self.relays.get_mut(place)
            && relay
                .best
                .as_ref()
                .is_none_or(|(best, _)| is_better(status, *best))
        {
            relay.best = Some((status, text.into()));
        }
        self.conclude(now, place, out);
    }

    pub(super) fn on_relay_timer(&mut self, now: Now, place: usize, out: &mut Outputs) {
        let is_mute = self.is_mute(now.moment);
        let Some(relay) = self.relays.get_mut(place) else {
            return;
        };
        relay.timer = None;
        for leg in relay.legs.iter_mut().filter(|leg| !leg.is_over) {
            let due = leg.transaction.poll_timeout();
            if due.is_none_or(|due| due > now.moment) {
                continue;
            }
            match leg.transaction.handle_input(now.moment, Input::Timeout) {
                Action::Resend if is_mute => {}
                Action::Resend => leg.send(&self.reach, out),
                Action::TimedOut | Action::Unreachable => leg.is_over = true,
                Action::Answered | Action::Nothing => {}
            }
        }
        self.conclude(now, place, out);
    }

    /// Answers when a 2xx is there or every target is over. When none answered nothing is sent: the
    /// sender's own Timer F has fired, and 408 is never sent to it (RFC 4320 §4.2).
    fn conclude(&mut self, now: Now, place: usize, out: &mut Outputs) {
        let Some(relay) = self.relays.get(place) else {
            return;
        };
        let has_succeeded = matches!(relay.best, Some((200..=299, _)));
        let is_over = relay.legs.iter().all(|leg| leg.is_over);
        if !has_succeeded && !is_over {
            self.arm_relay(place);
            return;
        }
        let relay = self.relays.remove(place);
        if let Some(timer) = relay.timer {
            self.wheel.cancel(timer);
        }
        match relay.best {
            Some((_, text)) => self.finish_relayed(now, &relay.held, &text, out),
            None => self.transactions.forget(relay.held.key),
        }
    }

    fn arm_relay(&mut self, place: usize) {
        let Some(relay) = self.relays.get_mut(place) else {
            return;
        };
        if let Some(timer) = relay.timer.take() {
            self.wheel.cancel(timer);
        }
        let live = relay.legs.iter().filter(|leg| !leg.is_over);
        let due = live.filter_map(|leg| leg.transaction.poll_timeout()).min();
        relay.timer = due.map(|due| self.wheel.arm(due, Timer::Relay(place)));
    }
}

impl Leg {
    fn send(&self, reach: &Reach, out: &mut Outputs) {
        let Some(balancer) = reach.balancer(&self.flow) else {
            return;
        };
        let start = out.text.len();
        out.text.extend_from_slice(&self.text);
        out.to_balancers.push(ToBalancer {
            balancer,
            kind: Kind::Forward,
            client: None,
            flow: Some(self.flow),
            epoch: Epoch::default(),
            head: start..out.text.len(),
            body: Bytes::new(),
        });
    }
}

/// One binding for each instance, the most preferred: two flows of one phone ring it once (RFC 5626
/// §7).
fn targets(bindings: &[Binding]) -> Vec<Binding> {
    let mut sorted: Vec<&Binding> = bindings.iter().collect();
    sorted.sort_by_key(|binding| {
        let preference = std::cmp::Reverse(binding.q);
        (preference, std::cmp::Reverse(binding.expires_at))
    });
    let mut targets: Vec<Binding> = Vec::new();
    for binding in sorted {
        let is_known = binding.instance.is_some()
            && targets.iter().any(|held| held.instance == binding.instance);
        if !is_known {
            targets.push(binding.clone());
        }
    }
    targets
}

/// The request as it goes to `binding` (RFC 3261 §16.6): its contact, its stored Path as Route
/// (RFC 3327 §5.4), our Via on top.
fn leg(now: Moment, held: &Held, binding: &Binding, branch: Branch, name: &str) -> Leg {
    let mut received = Vec::new();
    held.edits().write(&held.message(), &mut received);
    let mut via = b"SIP/2.0/TCP ".to_vec();
    via.extend_from_slice(name.as_bytes());
    via.extend_from_slice(b";branch=");
    branch.write(&mut via);
    let via = String::from_utf8_lossy(&via).into_owned();
    let mut index = Index::default();
    let mut text = Vec::new();
    if let Ok(message) = index.read(&received, Framing::Stream) {
        let edits = Edits {
            via: Some(&via),
            request_uri: Some(&binding.contact),
            ..Edits::default()
        };
        edits.write(&message, &mut text);
    }
    let line = text
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let rest = text.split_off(line);
    for route in &binding.path {
        text.extend_from_slice(b"Route: ");
        text.extend_from_slice(route.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(&rest);
    Leg {
        key: branch.key,
        flow: binding.flow,
        text: text.into(),
        transaction: ClientTransaction::new(now, binding.flow.flow.protocol),
        is_over: false,
    }
}

/// Which answer is the better one (RFC 3261 §16.7 step 6): a success, then a 6xx, then the lowest
/// class; 503 only when there is nothing else.
fn is_better(new: u16, held: u16) -> bool {
    let rank = |status: u16| match status {
        200..=299 => 0,
        600..=699 => 1,
        503 => 9,
        other => other / 100,
    };
    rank(new) < rank(held)
}

/// Relayed requests under way at a time; past it a sender is asked to come again.
const RELAYS_MAX: usize = 10_000;
