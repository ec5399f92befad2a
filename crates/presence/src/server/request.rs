//! A request's turn: decided against the actor's memory, then answered or written.

use std::sync::Arc;

use presently_pool::{ContactToken, PackageName};
use presently_sip::{Message, Method, Name, Now, Start, Uri};
use presently_store::{Answer, Change, Operation, Subscription};

use super::{Asked, Server};
use crate::actor::{Actor, State};
use crate::answer::Refusal;
use crate::compositor::{self, Publishing};
use crate::held::Held;
use crate::notifier::SubscriptionSlot;
use crate::package::{EventPackage, accepts};
use crate::plan::{self, Fate, Plan, RELEASE_AFTER};
use crate::publication::{self, PublicationLimits, PublishDecision};
use crate::registrar::{self, Register};
use crate::renewal::Renewal;
use crate::subscription::{self, Situation, Subscribe, Subscribed};
use crate::{Outputs, taken_back};

/// What is to be done with a request.
pub(super) enum Step {
    /// It was answered.
    Answered,
    /// It is answered when this is committed.
    Write(Box<Plan>, Vec<Change>),
}

impl Server {
    /// Gives an idle actor its next work: what is over first, then its requests in order, then its
    /// release when nothing of it is left.
    pub(super) fn advance(&mut self, now: Now, slot: usize, out: &mut Outputs) {
        if self.work_off(now, slot, out) && !self.release(now, slot, out) {
            self.arm(now, slot);
        }
    }

    /// Does all that is to be done but the release; `true` when that has come to rest.
    pub(super) fn work_off(&mut self, now: Now, slot: usize, out: &mut Outputs) -> bool {
        if self.is_mute(now.moment) {
            return false;
        }
        loop {
            let is_idle = self
                .actors
                .get(slot)
                .is_some_and(|actor| matches!(actor.state, State::Idle));
            if !is_idle
                || self.follow(slot, out)
                || self.depart(slot, out)
                || self.expire(now, slot, out)
            {
                return false;
            }
            let Some(held) = self.next_request(now, slot) else {
                return true;
            };
            match self.decide(now, slot, held, out) {
                Step::Answered => {}
                Step::Write(plan, changes) => {
                    self.write(now, slot, *plan, changes, out);
                    return false;
                }
            }
        }
    }

    /// Asks the store for an actor's one write.
    pub(super) fn write(
        &mut self,
        now: Now,
        slot: usize,
        plan: Plan,
        mut changes: Vec<Change>,
        out: &mut Outputs,
    ) {
        let mut plan = plan;
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        if plan.bindings.is_some() || plan.publications.is_some() {
            let dropped = plan.compose(actor, &self.config.packages, &mut changes);
            self.counters.tuples_dropped += u64::try_from(dropped).unwrap_or(u64::MAX);
        }
        let operation = Operation::Commit {
            by: self.me,
            client: actor.client,
            epoch: actor.epoch,
            changes,
            release_at: now.wall.after(RELEASE_AFTER),
        };
        if plan.subscription.is_some() {
            self.early.begin();
        }
        actor.state = State::Writing(Box::new(plan));
        self.counters.commits += 1;
        self.ask(Asked::Commit(slot), operation, out);
    }

    fn decide(&mut self, now: Now, slot: usize, held: Box<Held>, out: &mut Outputs) -> Step {
        let message = held.message();
        let Start::Request { method, .. } = message.start() else {
            return Step::Answered;
        };
        let known = self
            .actors
            .get(slot)
            .and_then(|actor| actor.answered(&held.request));
        let known = known
            .cloned()
            .or_else(|| self.subscription_answer(slot, &held))
            .or_else(|| self.formed_answer(slot, &held));
        let decided = match known {
            Some(_) if self.is_merged(slot, &held) => Err(Refusal::merged()),
            Some(answer) => {
                self.counters.requests_repeated += 1;
                self.answer_again(now, slot, &held, &answer, out);
                return Step::Answered;
            }
            None => match unsupported(&message).or_else(|| unread_body(&message, method)) {
                Some(refusal) => Err(refusal),
                None => match method {
                    Method::Register => self.on_register(now, slot, &held),
                    Method::Publish => self.on_publish(now, slot, &held),
                    Method::Subscribe => self.on_subscribe(now, slot, &held),
                    Method::Message => return self.on_message(now, slot, held, out),
                    _ => Err(Refusal::method_not_allowed()),
                },
            },
        };
        match decided {
            Ok((mut plan, changes)) => {
                plan.held = Some(held);
                if changes.is_empty() {
                    self.succeed(now, slot, &plan, out);
                    return Step::Answered;
                }
                Step::Write(Box::new(plan), changes)
            }
            Err(refusal) => {
                self.refuse(now, &held, &refusal, out);
                Step::Answered
            }
        }
    }

    fn on_register(
        &mut self,
        now: Now,
        slot: usize,
        held: &Held,
    ) -> Result<(Plan, Vec<Change>), Refusal> {
        let actor = self.actor(slot)?;
        let flow = held.passage.flow.ok_or_else(Refusal::server_error)?;
        let message = held.message();
        let request = Register::read(&message, &held.edits(), flow).map_err(Refusal::register)?;
        if taken_back::is_stale(&self.key, &request, actor) {
            return Err(Refusal::register(registrar::RegisterError::OutOfOrder));
        }
        let repeat = held.repeat(0, None, &self.to_tag(held));
        let config = &self.config;
        let decided = registrar::decide(
            &request,
            &actor.bindings,
            &repeat,
            now.wall,
            &config.expires,
            config.bindings_max,
        )
        .map_err(Refusal::register)?;
        let mut plan = Plan {
            repeat,
            renewal: Renewal::of(&actor.bindings, &decided.put, flow),
            is_removal: !decided.removed.is_empty(),
            ..Plan::default()
        };
        if decided.put.is_empty() && decided.removed.is_empty() {
            return Ok((plan, Vec::new()));
        }
        let gone: Vec<_> = actor
            .bindings
            .iter()
            .filter(|binding| decided.removed.contains(&binding.key))
            .cloned()
            .collect();
        let mut tombstone = Some((plan.repeat.clone(), now.wall.after(RELEASE_AFTER)));
        let mut changes: Vec<Change> = decided.put.into_iter().map(Change::PutBinding).collect();
        changes.extend(
            decided
                .removed
                .into_iter()
                .map(|key| Change::RemoveBinding {
                    key,
                    tombstone: tombstone.take(),
                }),
        );
        // A late copy of what made a binding must not make it again, at whichever server.
        plan.last_words = taken_back::last_words(&self.key, &request, &gone);
        let made = gone.iter().map(|row| &row.repeat);
        changes.extend(made.chain(&plan.last_words).map(|repeat| Change::Remember {
            repeat: repeat.clone(),
            until: now.wall.after(RELEASE_AFTER),
        }));
        plan.bindings = Some(decided.after);
        plan::drop_with_flows(actor, &mut plan, &gone, now.wall, &mut changes);
        Ok((plan, changes))
    }

    fn on_subscribe(
        &mut self,
        now: Now,
        slot: usize,
        held: &Held,
    ) -> Result<(Plan, Vec<Change>), Refusal> {
        let message = held.message();
        let flow = held.passage.flow.ok_or_else(Refusal::server_error)?;
        let (name, package) = self.package(&message)?;
        let resource = presently_pool::ResourceId {
            aor: self.presentity(&message)?,
            package: name,
        };
        let request =
            Subscribe::read(&message, &held.edits(), resource, flow).map_err(Refusal::subscribe)?;
        if accepts(&request.accept, package.content_types()).is_none() {
            return Err(Refusal::not_acceptable(package.content_types()));
        }
        let default_secs = package.default_expires_secs();
        let local_tag: Arc<str> = self.to_tag(held).into();
        let local_target = self.local_target(slot, held)?;
        let actor = self.actor(slot)?;
        let present = self.find(actor, &request);
        let repeat = held.repeat(0, None, "");
        let situation = Situation {
            now: now.wall,
            expires: &self.config.expires,
            default_secs,
            held: actor.subscriptions.len(),
            held_max: self.config.subscriptions_max,
            local_tag: &local_tag,
            local_target: &local_target,
            activation: actor.activation,
        };
        let row = present.as_ref().map(|(_, row, used)| (row, *used));
        let (subscribed, granted) =
            subscription::decide(&request, row, &situation, &repeat).map_err(Refusal::subscribe)?;
        let present = present.map(|(place, ..)| place);
        if granted == 0 && present.is_none() && self.notifier.is_full_for(&flow) {
            return Err(self.busy());
        }
        Ok(self.plan_subscribe(now, subscribed, present, granted))
    }

    /// The write that a decided SUBSCRIBE needs: the row, then the document as it stands after it
    /// (a first NOTIFY never comes from a cache).
    fn plan_subscribe(
        &mut self,
        now: Now,
        subscribed: Subscribed,
        present: Option<SubscriptionSlot>,
        granted: u32,
    ) -> (Plan, Vec<Change>) {
        if let Some(live) = present.and_then(|place| self.notifier.get_mut(place)) {
            live.is_frozen = true;
        }
        let until = now.wall.after(RELEASE_AFTER);
        let (row, fate, change) = match subscribed {
            Subscribed::Kept(row) => {
                let fate = present.map_or(Fate::Started, Fate::Refreshed);
                (row.clone(), fate, Change::PutSubscription(row))
            }
            Subscribed::Ended(row) => {
                let tombstone = Some((row.repeat.clone(), until));
                let change = match present {
                    Some(_) => Change::RemoveSubscription {
                        key: row.key(),
                        tombstone,
                    },
                    None => Change::Remember {
                        repeat: row.repeat.clone(),
                        until,
                    },
                };
                (row, Fate::Ended(present), change)
            }
        };
        let changes = vec![change, Change::ReadDocument(row.resource.clone())];
        let plan = Plan {
            repeat: row.repeat.clone(),
            is_removal: granted == 0,
            subscription: Some((row, fate)),
            ..Plan::default()
        };
        (plan, changes)
    }

    fn on_publish(
        &mut self,
        now: Now,
        slot: usize,
        held: &Held,
    ) -> Result<(Plan, Vec<Change>), Refusal> {
        let message = held.message();
        let flow = held.passage.flow.ok_or_else(Refusal::server_error)?;
        let (name, package) = self.package(&message)?;
        let tag = compositor::new_tag(self.random.next_u64());
        let actor = self.actor(slot)?;
        let resource = actor.resource(&name);
        let if_match = compositor::if_match(&message).map_err(|()| Refusal::bad_request())?;
        let request = compositor::read(&message, if_match.as_ref());
        let publications = actor.publications.iter();
        let about: Vec<_> = publications
            .filter(|held| held.resource == resource)
            .collect();
        let limits = PublicationLimits {
            min_expires_secs: self.config.expires.min_secs,
            max_expires_secs: self.config.expires.max_secs,
            publications_max: self.config.publications_max,
        };
        let decided = publication::decide(&*package, &resource, &request, &about, &limits)
            .map_err(|error| Refusal::publish(error, package.content_types()))?
            .granting(|secs| self.config.expires.first_grant(secs, &held.request));
        let granted = decided.granted_secs();
        let repeat = held.repeat(granted, Some(tag.clone()), &self.to_tag(held));
        let publishing = Publishing {
            resource,
            tag,
            flow,
            repeat: &repeat,
            now: now.wall,
        };
        let (after, changes) =
            compositor::apply(&decided, &request, &actor.publications, &publishing);
        let plan = Plan {
            is_removal: granted == 0,
            is_refresh: matches!(decided, PublishDecision::Refresh { .. }),
            publications: Some(after),
            repeat,
            ..Plan::default()
        };
        Ok((plan, changes))
    }

    /// The event package a request names; 489 with Allow-Events for any other (RFC 6665 §4.2.1.1).
    fn package(
        &self,
        message: &Message<'_>,
    ) -> Result<(PackageName, Arc<dyn EventPackage>), Refusal> {
        let event = message.text(Name::Event).unwrap_or_default();
        let name = event.split(';').next().unwrap_or_default().trim();
        let name = PackageName::new(name);
        match self.config.packages.find(&name) {
            Some(package) => Ok((name, package.clone())),
            None => Err(Refusal::bad_event(&self.config.packages)),
        }
    }

    /// Who a SUBSCRIBE is about: its Request-URI; in a dialog the subscription knows, so To serves.
    fn presentity(&self, message: &Message<'_>) -> Result<presently_sip::Aor, Refusal> {
        let to = message.to().ok_or_else(Refusal::bad_request)?;
        let uri = match message.start() {
            Start::Request { uri, .. } if to.tag().is_none() => uri,
            _ => to.uri,
        };
        let uri = Uri::parse(uri).map_err(|_| Refusal::bad_request())?;
        presently_sip::Aor::from_uri(&uri, &self.config.own_ports)
            .map_err(|_| Refusal::bad_request())
    }

    /// The subscription that a request in a dialog names.
    fn find(
        &self,
        actor: &Actor,
        request: &Subscribe,
    ) -> Option<(SubscriptionSlot, Subscription, u32)> {
        let tag = request.to_tag.as_ref()?;
        let mut places = actor.subscriptions.iter();
        places.find_map(|place| {
            let live = self.notifier.get(*place)?;
            let row = &live.row;
            let is_it = row.local_tag() == &**tag
                && row.call_id() == &*request.call_id
                && row.remote_tag() == &*request.from_tag
                && row.event_id() == &*request.event_id
                && row.common.package == request.resource.package;
            is_it.then_some((*place, self.notifier.row(*place)?, live.used_cseq()))
        })
    }

    /// The answer that a SUBSCRIBE got when it was done before.
    fn subscription_answer(&self, slot: usize, held: &Held) -> Option<Answer> {
        let actor = self.actors.get(slot)?;
        actor.subscriptions.iter().find_map(|place| {
            let live = self.notifier.get(*place)?;
            (live.row.request == held.request).then(|| live.row.answer())
        })
    }

    /// Whether a request that names itself as one already done asks for something else: another
    /// body, another target (RFC 3261 §8.2.2.2). A departure: that it came by another way is no
    /// reason to refuse it.
    fn is_merged(&self, slot: usize, held: &Held) -> bool {
        let message = held.message();
        let Some(actor) = self.actors.get(slot) else {
            return false;
        };
        let mut publications = actor.publications.iter();
        let published = publications.find(|row| row.repeat.request == held.request);
        if let Some(row) = published {
            return !message.body().is_empty() && row.body != message.body();
        }
        let mut subscribed = actor
            .subscriptions
            .iter()
            .filter_map(|place| self.notifier.get(*place))
            .filter(|live| live.row.request == held.request);
        subscribed.any(|live| {
            let resource = self.notifier.resource_id(live);
            self.presentity(&message).ok().as_ref() != resource.map(|resource| &resource.aor)
        })
    }

    pub(super) fn actor(&self, slot: usize) -> Result<&Actor, Refusal> {
        self.actors.get(slot).ok_or_else(Refusal::server_error)
    }

    /// Our tag in a dialog a request forms, and in every answer to it: a keyed MAC of the request,
    /// so that any server gives a repeat the same.
    pub(super) fn to_tag(&self, held: &Held) -> String {
        let mut tag = String::with_capacity(16);
        let mac = self.key.mac64(&[b"to-tag", &held.request.0]);
        presently_sip::base32(&mac.to_be_bytes(), &mut tag);
        tag
    }

    /// Our Contact: a pool URI at the advertised address, never a server's (RFC 3261 §12.1.1).
    pub(super) fn local_target(&self, slot: usize, held: &Held) -> Result<Arc<str>, Refusal> {
        let actor = self.actor(slot)?;
        let advertised = held
            .passage
            .advertised
            .as_deref()
            .unwrap_or("presently.invalid");
        let mut target = String::from("sip:");
        ContactToken(actor.client).encode(&self.key, &mut target);
        target.push('@');
        target.push_str(advertised);
        Ok(target.into())
    }
}

/// What a Require header demands and we do not have (RFC 3261 §8.2.2.3).
fn unsupported(message: &Message<'_>) -> Option<Refusal> {
    let mut unknown = message
        .values(Name::Require)
        .filter(|tag| !SUPPORTED.contains(tag));
    let first = unknown.next()?;
    let tags = unknown.fold(first.to_owned(), |tags, tag| tags + ", " + tag);
    Some(Refusal::bad_extension(tags))
}

/// What of a body is not understood and not optional (RFC 3261 §8.2.3): a coding, or any body at
/// all where none is read. A relayed MESSAGE is its recipient's to judge. Any language will do:
/// notes are carried, not read.
fn unread_body(message: &Message<'_>, method: Method) -> Option<Refusal> {
    if message.body().is_empty() || method == Method::Message {
        return None;
    }
    let mut codings = message.values(Name::ContentEncoding);
    if codings.any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Some(Refusal::bad_encoding());
    }
    let handling = message.text(Name::ContentDisposition).unwrap_or_default();
    let (_, params) = handling.split_once(';').unwrap_or_default();
    let is_optional = presently_sip::Params(params)
        .value("handling")
        .is_some_and(|handling| handling.eq_ignore_ascii_case("optional"));
    let is_read = method == Method::Publish;
    (!is_read && !is_optional).then(Refusal::unread_body)
}

/// The option tags served (RFC 3327 §5.3 for `path`).
const SUPPORTED: [&str; 1] = ["path"];
