//! Asking phones that say nothing whether they are there, marking the bindings of those that are
//! not, and taking the marks away when they are heard again.

use bytes::Bytes;
use presently_pool::{FlowToken, Kind};
use presently_sip::{Aor, Moment, Now, Writer};
use presently_store::Binding;

use super::{Server, TRY_AGAIN, Timer};
use crate::actor::State;
use crate::asking::{Duty, Silence, Standing};
use crate::branch::{Branch, Purpose};
use crate::events;
use crate::{Outputs, ToBalancer};

impl Server {
    /// An actor's bindings are about to be `next`: flows come and go with them.
    pub(super) fn follow_bindings(&mut self, now: Moment, slot: usize, next: &[Binding]) {
        self.leave_flows(slot, next);
        for binding in direct(next) {
            self.enter_flow(now, slot, (binding.flow, binding.is_silent));
        }
    }

    /// An actor's flows that `next` has not are not its any more.
    pub(super) fn leave_flows(&mut self, slot: usize, next: &[Binding]) {
        let actor = self.actors.get(slot);
        let held = actor.map_or(&[][..], |actor| &actor.bindings);
        for flow in direct(held).map(|row| row.flow) {
            if direct(next).any(|row| row.flow == flow) {
                continue;
            }
            if let Some(timer) = self.asking.leave(&flow, slot) {
                self.wheel.cancel(timer);
            }
        }
    }

    /// What an activation found is in memory.
    pub(super) fn enter_flows(&mut self, now: Moment, slot: usize) {
        let actor = self.actors.get(slot);
        let marked = |row: &Binding| (row.flow, row.is_silent);
        let held = actor.map_or(&[][..], |actor| &actor.bindings);
        for flow in direct(held).map(marked).collect::<Vec<_>>() {
            self.enter_flow(now, slot, flow);
        }
    }

    fn enter_flow(&mut self, now: Moment, slot: usize, flow: (FlowToken, bool)) {
        if !self.config.asks() {
            return;
        }
        let ask_after = self.config.ask_after;
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
        if let Some(place) = self.asking.enter(now, flow, slot, silence) {
            self.expect_silence(place);
        }
    }

    /// A phone answered, whatever it said.
    pub(super) fn on_question_answered(&mut self, now: Now, branch: Branch, out: &mut Outputs) {
        let place = usize::try_from(branch.slot).unwrap_or(usize::MAX);
        if self.asking.answered(now.moment, place, branch.key) {
            self.attend(now, place, out);
        } else {
            self.counters.responses_unmatched += 1;
        }
    }

    /// A request came over `flow`, when `arrived` says.
    pub(super) fn hear_flow(
        &mut self,
        now: Now,
        (flow, arrived): (&FlowToken, Moment),
        out: &mut Outputs,
    ) {
        if let Some(place) = self.asking.hear(arrived, flow) {
            self.attend(now, place, out);
        }
    }

    /// Requests wait for an actor that was just brought to memory. When they came its flows were
    /// not known here, or not as those of a client who is hidden.
    pub(super) fn hear_waiting(&mut self, now: Now, slot: usize, out: &mut Outputs) {
        let actor = self.actors.get(slot);
        let waiting = actor.into_iter().flat_map(|actor| &actor.queue);
        let flows = waiting.filter_map(|held| Some((held.passage.flow?, held.arrived)));
        for (flow, arrived) in flows.collect::<Vec<_>>() {
            self.hear_flow(now, (&flow, arrived), out);
        }
    }

    pub(super) fn on_asking_timer(&mut self, now: Now, place: usize, out: &mut Outputs) {
        let is_mute = self.is_mute(now.moment);
        let Some(known) = self.asking.get_mut(place) else {
            return;
        };
        known.timer = None;
        // By a balancer that stands in not every phone can be reached, so it blames nobody; who
        // shares a flow with so many is no phone.
        let way = self.reach.balancer(&known.flow);
        let is_reached = way == Some(known.flow.balancer)
            || (known.standing != Standing::There && way.is_some());
        if is_mute || !is_reached || known.actors.len() > CLIENTS_MAX {
            known.excuse(now.moment);
        }
        self.attend(now, place, out);
    }

    /// Does what is to be done about a flow, and sets its timer.
    fn attend(&mut self, now: Now, place: usize, out: &mut Outputs) {
        let is_done = match self.asking.duty(now.moment, place, self.config.flow_grace) {
            Duty::Ask => {
                self.ask_phone(now.moment, place, out);
                true
            }
            Duty::Repeat => {
                self.send_question(place, out);
                true
            }
            Duty::Hide => self.hide(now, place, out),
            Duty::Show => self.show(now, place, out),
            Duty::Wait => true,
        };
        if is_done {
            self.expect_silence(place);
        } else {
            self.rearm_silence(place, now.moment.after(TRY_AGAIN));
        }
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
            let mut over = bindings.filter(|row| row.is_direct() && row.flow == known.flow);
            Some((&actor.aor, over.next()?))
        });
        let Some((aor, binding)) = users.next() else {
            // Nobody to ask: not before the next silence.
            known.excuse(now);
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
        let way = self.reach.balancer(&known.flow);
        let start = out.text.len();
        out.text.extend_from_slice(&asked.text);
        out.to_balancers.push(ToBalancer {
            balancer: way.unwrap_or(known.flow.balancer),
            kind: Kind::Forward,
            client: Some((owner.client, owner.aor.clone())),
            flow: Some(known.flow),
            epoch: owner.epoch,
            head: start..out.text.len(),
            body: Bytes::new(),
        });
    }

    /// Marks the bindings over a flow at whose end nobody is; `true` once all are.
    fn hide(&mut self, now: Now, place: usize, out: &mut Outputs) -> bool {
        let is_done = self.mark_flow(now, place, true, out);
        if let Some(known) = self.asking.get_mut(place).filter(|_| is_done) {
            known.excuse(now.moment);
        }
        is_done
    }

    /// Takes the marks of the bindings over a flow away, as it was heard; `true` once none is left.
    fn show(&mut self, now: Now, place: usize, out: &mut Outputs) -> bool {
        let is_done = self.mark_flow(now, place, false, out);
        if let Some(known) = self.asking.get_mut(place).filter(|_| is_done) {
            known.shown();
        }
        is_done
    }

    /// Has the bindings over a flow marked, or not marked; `true` when all are as they should be.
    /// An actor that has a write in flight is to be come back to.
    fn mark_flow(&mut self, now: Now, place: usize, is_silent: bool, out: &mut Outputs) -> bool {
        let Some(known) = self.asking.get_mut(place) else {
            return true;
        };
        let (flow, slots) = (known.flow, known.actors.clone());
        let mut is_done = true;
        for slot in slots {
            is_done &= self.mark_client(now, slot, (flow, is_silent), out);
        }
        is_done
    }

    fn mark_client(
        &mut self,
        now: Now,
        slot: usize,
        (flow, is_silent): (FlowToken, bool),
        out: &mut Outputs,
    ) -> bool {
        let Some(actor) = self.actors.get(slot) else {
            return true;
        };
        if !matches!(actor.state, State::Idle) {
            return false;
        }
        let is_other =
            |row: &Binding| row.is_direct() && row.flow == flow && row.is_silent != is_silent;
        if !actor.bindings.iter().any(is_other) {
            return true;
        }
        if !self.is_mute(now.moment) {
            events::marked(&actor.aor, is_silent);
            let mark = |row: &mut Binding| row.is_silent = is_silent;
            let marked = self.change_bindings(now, slot, (is_other, mark), out);
            if is_silent {
                self.counters.bindings_unanswered += marked;
            } else {
                self.counters.bindings_shown_again += marked;
            }
        }
        false
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

/// The bindings over flows that are the phones' own: behind another proxy a flow says nothing of a
/// phone.
fn direct(bindings: &[Binding]) -> impl Iterator<Item = &Binding> {
    bindings.iter().filter(|binding| binding.is_direct())
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
