//! What a write's outcome makes true: memory follows, the request is answered, watchers are woken.

use std::sync::Arc;
use std::time::Duration;

use presently_pool::{Epoch, ResourceId, Wake};
use presently_sip::{Date, Name, Now, WallTime};
use presently_store::{Answer, Binding, Document, Outcome, Refused, Written};

use super::repeated::{self, Answered};
use super::{Server, others};
use crate::Outputs;
use crate::actor::State;
use crate::answer::Refusal;
use crate::events;
use crate::held::Held;
use crate::notifier::{Entrance, Kept, SubscriptionSlot};
use crate::plan::{Fate, Plan, RELEASE_AFTER};

impl Server {
    pub(super) fn on_committed(
        &mut self,
        now: Now,
        slot: usize,
        result: Result<Outcome, Refused>,
        out: &mut Outputs,
    ) {
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        let State::Writing(plan) = std::mem::replace(&mut actor.state, State::Idle) else {
            return;
        };
        let is_subscription = plan.subscription.is_some();
        match result {
            Ok(Outcome::Committed {
                written,
                read,
                released,
            }) => self.on_written(now, slot, *plan, (&written, &read, released), out),
            Ok(_) => {}
            Err(refused) => self.on_refused(now, slot, *plan, refused, out),
        }
        if is_subscription {
            self.early.end();
        }
    }

    fn on_written(
        &mut self,
        now: Now,
        slot: usize,
        mut plan: Plan,
        (written, read, released): (&[Written], &[Arc<Document>], bool),
        out: &mut Outputs,
    ) {
        let documents = plan.written(written);
        let renewal = plan.renewal.take();
        let tombstone = plan.tombstone(now.wall).filter(|_| plan.is_removal);
        let is_kept = plan.is_release && !released;
        if let Some(bindings) = &plan.bindings {
            self.follow_bindings(now.moment, slot, bindings);
        }
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        // Whoever was asked by the rows that go may be asked again by a late copy.
        let until = now.wall.after(RELEASE_AFTER);
        if let Some(bindings) = plan.bindings.take() {
            let gone = std::mem::replace(&mut actor.bindings, bindings);
            let repeats = gone.into_iter().map(|row| row.repeat);
            actor.remember_unless_held(now.wall, repeats, until);
        }
        if let Some(publications) = plan.publications.take() {
            let gone = std::mem::replace(&mut actor.publications, publications);
            let repeats = gone.into_iter().map(|row| row.repeat);
            actor.remember_unless_held(now.wall, repeats, until);
        }
        for document in &documents {
            let same = |held: &Arc<Document>| held.resource == document.resource;
            actor.documents.retain(|held| !same(held));
            actor.documents.push(document.clone());
        }
        for repeat in std::mem::take(&mut plan.last_words) {
            actor.remember(now.wall, repeat, until);
        }
        if let Some((repeat, until)) = tombstone {
            actor.remember(now.wall, repeat, until);
        }
        // The 2xx goes first; the NOTIFY it promises leaves after it (RFC 6665 §4.2.1.2).
        self.succeed(now, slot, &plan, out);
        self.settle(now, slot, plan, read, out);
        if let Some(renewal) = renewal {
            self.renew_flows(now, slot, &renewal, out);
        }
        for (document, written) in documents.iter().zip(written) {
            self.spread(now, document, written, out);
        }
        if released {
            self.on_released(slot, out);
        } else if is_kept {
            self.on_kept(now, slot, out);
        } else {
            self.advance(now, slot, out);
        }
    }

    /// The subscription part of a write: a row is taken in, replaced or ended, and its NOTIFY goes.
    fn settle(
        &mut self,
        now: Now,
        slot: usize,
        plan: Plan,
        read: &[Arc<Document>],
        out: &mut Outputs,
    ) {
        for subscription in plan.over {
            self.unlist(slot, subscription);
            self.with_bench(now, out, |notifier, bench| {
                notifier.end(subscription, bench);
            });
            self.read_for(subscription, out);
        }
        let Some((row, fate)) = plan.subscription else {
            return;
        };
        let activation = self.actors.get(slot).map_or(0, |actor| actor.activation);
        let place = match fate {
            Fate::Rebased(place) | Fate::Refreshed(place) => {
                self.with_bench(now, out, |notifier, bench| {
                    notifier.replace(place, *row, bench);
                });
                if let (Fate::Refreshed(_), Some(actor)) = (fate, self.actors.get_mut(slot)) {
                    // What was over is not, now that the phone is there.
                    actor.over.retain(|held| *held != place);
                }
                place
            }
            Fate::Ended(Some(place)) => {
                self.unlist(slot, place);
                self.with_bench(now, out, |notifier, bench| {
                    notifier.replace(place, *row, bench);
                    notifier.freeze(place);
                });
                place
            }
            Fate::Ended(None) => {
                let owner = (None, activation);
                self.with_bench(now, out, |notifier, bench| {
                    let place = notifier.insert(*row, owner, Entrance::Subscribed, bench);
                    // Nothing goes out before the document just read is there.
                    notifier.freeze(place);
                    place
                })
            }
            Fate::Started => {
                let owner = (Some(slot), activation);
                let place = self.with_bench(now, out, |notifier, bench| {
                    notifier.insert(*row, owner, Entrance::Subscribed, bench)
                });
                if let Some(actor) = self.actors.get_mut(slot) {
                    actor.subscriptions.push(place);
                }
                place
            }
        };
        for document in read {
            self.learn(now, document, out);
            let heard = self.early.heard(&document.resource);
            self.hear(&document.resource, heard, out);
        }
        self.with_bench(now, out, |notifier, bench| match fate {
            Fate::Ended(_) => notifier.end(place, bench),
            _ => notifier.advance(place, bench),
        });
    }

    /// Reads the document of a last NOTIFY where nobody had to know it before, or not as it was at
    /// the activation: what that finds told is read when it changes.
    fn read_for(&mut self, place: crate::notifier::SubscriptionSlot, out: &mut Outputs) {
        let Some(live) = self.notifier.get(place) else {
            return;
        };
        let floor = live.floor;
        if let Some(resource) = self.notifier.resource_id(live).cloned() {
            self.hear(&resource, floor, out);
        }
    }

    fn unlist(&mut self, slot: usize, place: crate::notifier::SubscriptionSlot) {
        if let Some(actor) = self.actors.get_mut(slot) {
            actor.subscriptions.retain(|held| *held != place);
            actor.over.retain(|held| *held != place);
        }
    }

    /// Tells of a document's new version: this server's own watchers by the same path as others',
    /// with no datagram; every other server of a watcher by one wake.
    fn spread(&mut self, now: Now, document: &Arc<Document>, written: &Written, out: &mut Outputs) {
        self.counters.documents_written += 1;
        events::written(&written.resource, written.version, written.servers.len());
        for server in others(&written.servers, self.me.member) {
            self.counters.wakes_sent += 1;
            let wake = Wake {
                resource: written.resource.clone(),
                version: written.version,
            };
            out.wakes.push((server, wake));
        }
        // By the path of a wake, for a watcher whose row is not in memory yet.
        if !self.notifier.watches(&written.resource) {
            self.early.note(&written.resource, written.version);
        }
        self.learn(now, document, out);
    }

    /// Nothing of the client is left and its assignment is released: requests that came meanwhile
    /// go back to be assigned anew.
    fn on_released(&mut self, slot: usize, out: &mut Outputs) {
        let waiting = self
            .actors
            .get_mut(slot)
            .map(|actor| std::mem::take(&mut actor.queue))
            .unwrap_or_default();
        for held in &waiting {
            self.hand_back(held, Epoch::default(), out);
        }
        self.drop_actor(slot);
    }

    fn on_refused(
        &mut self,
        now: Now,
        slot: usize,
        plan: Plan,
        refused: Refused,
        out: &mut Outputs,
    ) {
        self.counters.commits_refused += 1;
        let frozen = frozen(&plan);
        let over = plan.over.clone();
        if let Some(actor) = self.actors.get_mut(slot) {
            actor.over.extend(over);
            if let Some(held) = plan.held {
                actor.queue.push_front(held);
            }
        }
        match refused {
            // A commit whose outcome is unknown: drop the memory, read again, then answer.
            Refused::Fenced | Refused::Unknown => self.on_fenced(slot, out),
            _ => {
                self.thaw(now, &frozen, out);
                self.wait(now, slot, out);
            }
        }
    }

    /// A write that did not happen leaves its subscriptions as they were, and what was due
    /// meanwhile goes out.
    fn thaw(&mut self, now: Now, frozen: &[SubscriptionSlot], out: &mut Outputs) {
        self.with_bench(now, out, |notifier, bench| {
            for place in frozen {
                if let Some(live) = notifier.get_mut(*place) {
                    live.is_frozen = false;
                }
                notifier.advance(*place, bench);
            }
        });
    }

    /// A document was read for its watchers here.
    pub(super) fn on_document(
        &mut self,
        now: Now,
        resource: &ResourceId,
        result: Result<Outcome, Refused>,
        out: &mut Outputs,
    ) {
        let document = match result {
            Ok(Outcome::Documents(documents)) => documents.into_iter().next(),
            Ok(_) | Err(_) => None,
        };
        let Some(document) = document else {
            self.read_later(now, resource);
            return;
        };
        self.counters.documents_read += 1;
        self.learn(now, &document, out);
    }

    /// Answers 200 to the request of a plan that is done.
    pub(super) fn succeed(&mut self, now: Now, slot: usize, plan: &Plan, out: &mut Outputs) {
        if let Some(held) = &plan.held {
            self.answer_again(now, slot, held, &plan.repeat.answer, out);
        }
    }

    /// The answer to a late copy of the request that formed a dialog: the dialog was refreshed
    /// since, or has ended, and must not begin again.
    pub(super) fn formed_answer(&self, slot: usize, held: &Held) -> Option<Answer> {
        let actor = self.actors.get(slot)?;
        let tag = self.to_tag(held);
        let places = actor.subscriptions.iter();
        let rows = places.filter_map(|place| Some(&self.notifier.get(*place)?.row));
        let mut formed = rows.filter(|row| row.local_tag() == tag);
        let present = formed.next().map(Kept::answer);
        present.or_else(|| actor.ended_dialog(&tag).cloned())
    }

    /// Writes the 2xx to a request from its answer's own part and the actor's memory.
    pub(super) fn answer_again(
        &mut self,
        now: Now,
        slot: usize,
        held: &Held,
        answer: &Answer,
        out: &mut Outputs,
    ) {
        let (message, edits) = held.parts();
        let start = out.text.len();
        let (status, to_tag) = (answer.status, &*answer.to_tag);
        let mut writer = repeated::begin(&mut out.text, (&message, &edits), status, to_tag);
        let own = writer.place();
        match message.start() {
            presently_sip::Start::Request {
                method: presently_sip::Method::Register,
                ..
            } => {
                let bindings = self.actors.get(slot).map(|actor| actor.bindings.as_slice());
                for binding in bindings.unwrap_or_default() {
                    writer.header("Contact", Contact(binding, now.wall));
                }
                for path in message.values(Name::Path) {
                    writer.header("Path", path);
                }
                writer.header("Date", Date(now.wall));
            }
            presently_sip::Start::Request {
                method: presently_sip::Method::Subscribe,
                ..
            } => {
                writer.header("Expires", answer.expires_secs);
                if let Ok(target) = self.local_target(slot, held) {
                    writer.header("Contact", format_args!("<{target}>"));
                }
                writer.header("Allow-Events", &self.allow_events);
            }
            _ => {
                writer.header("Expires", answer.expires_secs);
                if let Some(tag) = &answer.tag {
                    writer.header("SIP-ETag", tag);
                }
            }
        }
        writer.end();
        let answered = Answered {
            status,
            to_tag,
            start,
            own,
        };
        self.finish(now, held, &answered, out);
    }

    pub(super) fn refuse(&mut self, now: Now, held: &Held, refusal: &Refusal, out: &mut Outputs) {
        self.counters.requests_refused += 1;
        let (message, edits) = held.parts();
        let tag = self.to_tag(held);
        let start = out.text.len();
        let status = refusal.status;
        let mut writer = repeated::begin(&mut out.text, (&message, &edits), status, &tag);
        let own = writer.place();
        if let Some((name, value)) = &refusal.header {
            writer.header(name, value);
        }
        writer.end();
        let answered = Answered {
            status,
            to_tag: &tag,
            start,
            own,
        };
        self.finish(now, held, &answered, out);
    }

    /// A bound is reached: the phone may come again (RFC 3261 §21.5.4).
    pub(super) fn refuse_busy(&mut self, now: Now, held: &Held, out: &mut Outputs) {
        let refusal = self.busy();
        self.refuse(now, held, &refusal, out);
    }

    /// Come again, but not all together.
    pub(super) fn busy(&mut self) -> Refusal {
        let spread = self.random.next_u64() % RETRY_SPREAD_SECS;
        Refusal::unavailable(RETRY_MIN_SECS + spread)
    }

    /// There is no room for a request, or no more time. A mute server says nothing: a repeat is
    /// then as good as new, wherever it comes.
    pub(super) fn turn_away(&mut self, now: Now, held: &Held, out: &mut Outputs) {
        if self.is_mute(now.moment) {
            self.counters.requests_refused += 1;
            self.transactions.forget(held.key);
        } else {
            self.refuse_busy(now, held, out);
        }
    }
}

/// A binding as a 200 to REGISTER lists it (RFC 3261 §10.3 step 8).
struct Contact<'a>(&'a Binding, WallTime);

impl std::fmt::Display for Contact<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(binding, now) = self;
        // Rounded up: the write took milliseconds, and what was granted is told in full.
        let left = binding.expires_at.since(*now) + ALMOST_A_SECOND;
        let left = left.as_secs();
        write!(f, "<{}>;expires={left}", binding.contact)?;
        if binding.q < 1_000 {
            write!(f, ";q=0.{:03}", binding.q)?;
        }
        if let Some(instance) = &binding.instance {
            write!(f, ";+sip.instance=\"{instance}\"")?;
        }
        Ok(())
    }
}

/// The subscriptions that stand still until a write is done.
fn frozen(plan: &Plan) -> Vec<SubscriptionSlot> {
    let fate = match plan.subscription.as_ref().map(|(_, fate)| *fate) {
        Some(Fate::Ended(place)) => place,
        Some(Fate::Rebased(place) | Fate::Refreshed(place)) => Some(place),
        Some(Fate::Started) | None => None,
    };
    fate.into_iter().chain(plan.over.iter().copied()).collect()
}

const ALMOST_A_SECOND: Duration = Duration::from_micros(999_999);
/// Retry-After is spread so that those refused together do not come back together.
const RETRY_MIN_SECS: u64 = 5;
const RETRY_SPREAD_SECS: u64 = 10;
