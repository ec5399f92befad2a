//! One write of one client's actor: what is asked of the store, and what becomes true with its
//! outcome.

use std::sync::Arc;
use std::time::Duration;

use presently_pool::{PackageName, ResourceId};
use presently_sip::WallTime;
use presently_store::{
    Binding, Change, Document, Publication, REPEAT_WINDOW, Repeat, Subscription, Written,
};

use crate::actor::Actor;
use crate::compositor;
use crate::held::Held;
use crate::notifier::SubscriptionSlot;
use crate::package::{Composed, Packages, ResourceState};
use crate::renewal::Renewal;

/// What becomes true of an actor when its write is committed.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The request that is answered then; `None` for expiries and releases.
    pub(crate) held: Option<Box<Held>>,
    /// The answer's own part.
    pub(crate) repeat: Repeat,
    /// All bindings afterwards.
    pub(crate) bindings: Option<Vec<Binding>>,
    /// All publications afterwards.
    pub(crate) publications: Option<Vec<Publication>>,
    /// Documents written, in the order of their changes; versions come with the outcome.
    pub(crate) documents: Vec<Document>,
    /// What happens to a subscription.
    pub(crate) subscription: Option<(Box<Subscription>, Fate)>,
    /// Subscriptions whose rows are removed because their time was over.
    pub(crate) over: Vec<SubscriptionSlot>,
    /// What a REGISTER says of the phone's flows.
    pub(crate) renewal: Option<Renewal>,
    /// Whether the publications say what they said before: a refresh changes no document.
    pub(crate) is_refresh: bool,
    /// What is to be known of bindings that are gone.
    pub(crate) last_words: Vec<Repeat>,
    /// Whether the request removed something: its answer is then kept by the actor.
    pub(crate) is_removal: bool,
    /// Whether it gives the assignment back, of which nothing is left here.
    pub(crate) is_release: bool,
}

/// What happens to the subscription of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// Ended, or a fetch that never was one: one last NOTIFY; the slot if it was held.
    Ended(Option<SubscriptionSlot>),
    /// The row of a held one is rewritten without a request (its CSeq base runs out).
    Rebased(SubscriptionSlot),
    /// Refreshed.
    Refreshed(SubscriptionSlot),
    /// New.
    Started,
}

impl Plan {
    /// Composes again what the new bindings and publications change, and asks for it to be written.
    /// A document that comes out as it was makes no version.
    pub(crate) fn compose(
        &mut self,
        actor: &Actor,
        packages: &Packages,
        changes: &mut Vec<Change>,
    ) -> usize {
        let bindings = self.bindings.as_ref().unwrap_or(&actor.bindings);
        let publications = self.publications.as_ref().unwrap_or(&actor.publications);
        let is_registered = is_there(bindings);
        let flips = is_registered != is_there(&actor.bindings);
        // One that was left out with its silent phone counts again when it comes by another flow.
        let may_show = bindings.iter().any(|row| row.is_silent);
        let republished = self.publications.is_some() && (!self.is_refresh || may_show);
        let mut dropped = 0;
        for package in packages.iter() {
            let name = PackageName::new(package.name());
            let is_published =
                is_about(&actor.publications, &name) || is_about(publications, &name);
            let is_touched = (is_published && (republished || flips))
                || (flips && package.follows_registration());
            if !is_touched {
                continue;
            }
            let resource = actor.resource(&name);
            let about: Vec<&Publication> = publications
                .iter()
                .filter(|row| row.resource.package == name)
                .filter(|row| is_registered || !is_by_silent(row, bindings))
                .collect();
            let held = actor.document(&name);
            if about.is_empty() && !is_registered && held.is_none() {
                // Nobody ever wrote it, and there is nothing to say: version 0 stays.
                continue;
            }
            let composed = package.compose(&ResourceState {
                resource: &resource,
                publications: &about,
                is_registered,
            });
            dropped += composed.dropped;
            if held.is_some_and(|held| held.body == composed.body) {
                continue;
            }
            self.documents.push(document(&resource, &composed));
            changes.push(Change::WriteDocument {
                resource,
                content_type: composed.content_type,
                body: composed.body,
            });
        }
        dropped
    }

    /// The documents as they were written.
    pub(crate) fn written(&self, written: &[Written]) -> Vec<Arc<Document>> {
        let pairs = self.documents.iter().zip(written);
        pairs
            .map(|(document, written)| {
                Arc::new(Document {
                    version: written.version,
                    ..document.clone()
                })
            })
            .collect()
    }

    /// The tombstone of a request that removes something.
    pub(crate) fn tombstone(&self, now: WallTime) -> Option<(Repeat, WallTime)> {
        self.held.as_ref()?;
        Some((self.repeat.clone(), now.after(REPEAT_WINDOW)))
    }
}

/// What is over at `now`: bindings, publications and documents that follow from it.
pub(crate) fn expire(actor: &Actor, now: WallTime, changes: &mut Vec<Change>) -> Plan {
    let mut plan = Plan::default();
    let is_over = |expires_at: WallTime| expires_at <= now;
    if actor.bindings.iter().any(|row| is_over(row.expires_at)) {
        let (over, kept): (Vec<_>, Vec<_>) = actor
            .bindings
            .iter()
            .cloned()
            .partition(|row| is_over(row.expires_at));
        changes.extend(over.iter().map(|row| Change::RemoveBinding {
            key: row.key.clone(),
            tombstone: None,
        }));
        plan.bindings = Some(kept);
        drop_with_flows(actor, &mut plan, &over, now, changes);
    }
    let publications = plan.publications.as_ref().unwrap_or(&actor.publications);
    if publications.iter().any(|row| is_over(row.expires_at)) {
        let (over, kept): (Vec<_>, Vec<_>) = publications
            .iter()
            .cloned()
            .partition(|row| is_over(row.expires_at));
        changes.extend(over.iter().map(remove_publication));
        plan.publications = Some(kept);
    }
    plan
}

/// Where nobody is asked, no mark of silence is believed: all are taken away.
pub(crate) fn show_all(actor: &Actor, plan: &mut Plan, changes: &mut Vec<Change>) {
    let bindings = plan.bindings.get_or_insert_with(|| actor.bindings.clone());
    for binding in bindings.iter_mut().filter(|row| row.is_silent) {
        binding.is_silent = false;
        changes.push(Change::PutBinding(binding.clone()));
    }
}

/// Whether one of the phones that `bindings` speak of is there.
fn is_there(bindings: &[Binding]) -> bool {
    bindings.iter().any(|row| !row.is_silent)
}

/// Whether a publication came over the flow of a phone that is silent.
fn is_by_silent(publication: &Publication, bindings: &[Binding]) -> bool {
    let mut silent = bindings.iter().filter(|row| row.is_silent);
    silent.any(|row| row.flow == publication.flow)
}

/// Last phone gone: publications received over the flow of one of the client's bindings go, others
/// stay (design: a phone that vanished takes its own word with it, a gateway's stays). Of a phone
/// that is silent they are kept, and left out.
pub(crate) fn drop_with_flows(
    actor: &Actor,
    plan: &mut Plan,
    gone: &[Binding],
    now: WallTime,
    changes: &mut Vec<Change>,
) {
    let is_left = plan.bindings.as_deref().is_none_or(is_there);
    if is_left || gone.is_empty() {
        return;
    }
    let (over, kept): (Vec<_>, Vec<_>) = actor
        .publications
        .iter()
        .cloned()
        .partition(|row| gone.iter().any(|binding| binding.flow == row.flow));
    if !over.is_empty() {
        changes.extend(over.iter().map(remove_publication));
        changes.extend(over.iter().map(|row| compositor::remember(row, now)));
        plan.publications = Some(kept);
    }
}

fn remove_publication(row: &Publication) -> Change {
    Change::RemovePublication {
        resource: row.resource.clone(),
        tag: row.tag.clone(),
        tombstone: None,
    }
}

fn is_about(publications: &[Publication], package: &PackageName) -> bool {
    publications
        .iter()
        .any(|publication| publication.resource.package == *package)
}

fn document(resource: &ResourceId, composed: &Composed) -> Document {
    Document {
        resource: resource.clone(),
        version: presently_pool::Version::default(),
        content_type: composed.content_type.clone(),
        body: composed.body.clone(),
    }
}

/// How long a released client's row stays, so that a repeat of its last request is still known.
pub(crate) const RELEASE_AFTER: Duration = REPEAT_WINDOW;
