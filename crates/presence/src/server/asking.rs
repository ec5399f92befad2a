//! Asking phones that say nothing whether they are there, and ending the bindings of those that are
//! not.

use bytes::Bytes;
use presently_pool::{FlowToken, Kind};
use presently_sip::{Aor, Moment, Now, Writer};
use presently_store::Binding;

use super::{Server, TRY_AGAIN, Timer};
use crate::actor::State;
use crate::asking::{Duty, Silence};
use crate::branch::{Branch, Purpose};
use crate::events;
use crate::{Config, Outputs, ToBalancer};

impl Server {
    /// An actor's bindings are about to be `next`: flows come and go with them.
    pub(super) fn follow_bindings(&mut self, now: Moment, slot: usize, next: &[Binding]) {
        self.leave_flows(slot, next);
        for flow in flows(next) {
            self.enter_flow(now, slot, flow);
        }
    }

    /// An actor's flows that `next` has not are not its any more.
    pub(super) fn leave_flows(&mut self, slot: usize, next: &[Binding]) {
        let actor = self.actors.get(slot);
        let held = actor.map_or(&[][..], |actor| &actor.bindings);
        for flow in flows(held).filter(|flow| flows(next).all(|next| next != *flow)) {
            if let Some(timer) = self.asking.leave(&flow, slot) {
                self.wheel.cancel(timer);
            }
        }
    }

    /// What an activation found is in memory.
    pub(super) fn enter_flows(&mut self, now: Moment, slot: usize) {
        let actor = self.actors.get(slot);
        let held: Vec<_> = actor.map_or_else(Vec::new, |it| flows(&it.bindings).collect());
        for flow in held {
            self.enter_flow(now, slot, flow);
        }
    }

    fn enter_flow(&mut self, now: Moment, slot: usize, flow: FlowToken) {
        let Config {
            ask_after,
            flow_grace,
            ..
        } = self.config;
        if ask_after.is_zero() || flow_grace.is_zero() {
            return;
        }
        let random = &mut self.random;
        let silence = || {
            // A quarter of it is drawn: phones that came together are not asked together.
            let drawn = u32::try_from(random.next_u64() % 1_024).unwrap_or_default();
            let first = ask_after * drawn / 4_096;
            Silence {
                first,
                later: ask_after.saturating_sub(first),
            }
        };
        if let Some(place) = self.asking.enter(now, (flow, slot), silence) {
            self.expect_silence(place);
        }
    }

    /// A phone answered, whatever it said.
    pub(super) fn on_question_answered(&mut self, now: Moment, branch: Branch) {
        let place = usize::try_from(branch.slot).unwrap_or(usize::MAX);
        if self.asking.answered(now, place, branch.key) {
            self.expect_silence(place);
        } else {
            self.counters.responses_unmatched += 1;
        }
    }

    pub(super) fn on_asking_timer(&mut self, now: Now, place: usize, out: &mut Outputs) {
        let is_mute = self.is_mute(now.moment);
        let Some(known) = self.asking.get_mut(place) else {
            return;
        };
        known.timer = None;
        // By a balancer that stands in not every phone can be reached, and who shares a flow with
        // so many is no phone.
        let is_reached = self.reach.balancer(&known.flow) == Some(known.flow.balancer);
        if is_mute || !is_reached || known.actors.len() > CLIENTS_MAX {
            known.hear(now.moment);
        }
        match self.asking.duty(now.moment, place, self.config.flow_grace) {
            Duty::Ask => self.ask_phone(now.moment, place, out),
            Duty::Repeat => self.send_question(place, out),
            Duty::End => {
                self.end_silent(now, place, out);
                self.rearm_silence(place, now.moment.after(TRY_AGAIN));
                return;
            }
            Duty::Wait => {}
        }
        self.expect_silence(place);
    }

    fn ask_phone(&mut self, now: Moment, place: usize, out: &mut Outputs) {
        let key = self.random.next_u32();
        let call_id = self.random.next_u64();
        let Some(known) = self.asking.get_mut(place) else {
            return;
        };
        let mut users = known.actors.iter().filter_map(|slot| {
            let actor = self.actors.get(*slot)?;
            let bindings = actor.bindings.iter();
            let mut over = bindings.filter(|row| row.path.is_empty() && row.flow == known.flow);
            Some((&actor.aor, over.next()?))
        });
        let Some((aor, binding)) = users.next() else {
            // Nobody to ask: not before the next silence.
            known.hear(now);
            return;
        };
        let branch = Branch {
            purpose: Purpose::Question,
            slot: u32::try_from(place).unwrap_or(u32::MAX),
            generation: 0,
            key,
        };
        let text = question(&self.config.name, aor, &binding.contact, branch, call_id);
        known.ask(now, key, text);
        self.counters.phones_asked += 1;
        self.send_question(place, out);
    }

    fn send_question(&mut self, place: usize, out: &mut Outputs) {
        let Some(known) = self.asking.get_mut(place) else {
            return;
        };
        let Some(asked) = &known.question else {
            return;
        };
        // With its epoch, so that a balancer drops what comes too late from a former owner.
        let owner = known.actors.first().and_then(|slot| self.actors.get(*slot));
        let Some(owner) = owner else {
            return;
        };
        let start = out.text.len();
        out.text.extend_from_slice(&asked.text);
        out.to_balancers.push(ToBalancer {
            balancer: known.flow.balancer,
            kind: Kind::Forward,
            client: Some((owner.client, owner.aor.clone())),
            flow: Some(known.flow),
            epoch: owner.epoch,
            head: start..out.text.len(),
            body: Bytes::new(),
        });
    }

    /// Ends the bindings over a flow at whose end nobody is. An actor that has a write in flight is
    /// come back to.
    fn end_silent(&mut self, now: Now, place: usize, out: &mut Outputs) {
        let Some(known) = self.asking.get_mut(place) else {
            return;
        };
        let flow = known.flow;
        for slot in known.actors.clone() {
            let actor = self.actors.get_mut(slot);
            let Some(actor) = actor.filter(|actor| matches!(actor.state, State::Idle)) else {
                continue;
            };
            for binding in &mut actor.bindings {
                if binding.path.is_empty() && binding.flow == flow {
                    self.counters.bindings_unanswered += 1;
                    events::unanswered(&actor.aor, &binding.contact);
                    binding.expires_at = now.wall;
                }
            }
            self.advance(now, slot, out);
        }
    }

    fn expect_silence(&mut self, place: usize) {
        let grace = self.config.flow_grace;
        if let Some(due) = self.asking.get_mut(place).map(|known| known.due(grace)) {
            self.rearm_silence(place, due);
        }
    }

    fn rearm_silence(&mut self, place: usize, due: Moment) {
        let Some(known) = self.asking.get_mut(place) else {
            return;
        };
        if let Some(timer) = known.timer.take() {
            self.wheel.cancel(timer);
        }
        known.timer = Some(self.wheel.arm(due, Timer::Ask(place)));
    }
}

/// The flows that are the phones' own: behind another proxy a flow says nothing of a phone.
fn flows(bindings: &[Binding]) -> impl Iterator<Item = FlowToken> {
    let direct = bindings.iter().filter(|binding| binding.path.is_empty());
    direct.map(|binding| binding.flow)
}

/// RFC 3261 §11.1: from the pool itself, to `contact`.
fn question(name: &str, aor: &Aor, contact: &str, branch: Branch, call_id: u64) -> Vec<u8> {
    let mut via = Vec::new();
    branch.write(&mut via);
    let via = String::from_utf8_lossy(&via);
    let mut text = Vec::new();
    let mut writer = Writer::request(&mut text, "OPTIONS", contact);
    writer
        .header("Via", format_args!("SIP/2.0/TCP {name};branch={via}"))
        .header("Max-Forwards", 70)
        .header("From", format_args!("<sip:{}>;tag={call_id:x}", aor.host()))
        .header("To", format_args!("<{}>", aor.as_str()))
        .header("Call-ID", format_args!("{call_id:016x}"))
        .header("CSeq", "1 OPTIONS")
        .header("Accept", "application/sdp");
    writer.end();
    text
}

/// Clients that one flow may carry and be asked about: beyond, it is a gateway's, and a word of it
/// would end them all.
const CLIENTS_MAX: usize = 1_024;
