//! The laws of the design, checked on a world that has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use presently_agent::{Event, SubscriptionId};
use presently_pool::{MemberId, PackageName, ResourceId, Version};
use presently_presence::package::{EventPackage, Presence, ResourceState};
use presently_sip::{Aor, Moment};
use presently_store::{ClientState, Operation, Outcome};

use super::{Phone, World};

impl World {
    /// What of the laws does not hold; each with what shows it. Laws 3, 5 and 6 were checked while
    /// it ran, at the wire. To be asked when faults have ended and everybody had the time to hear.
    pub fn check(&mut self) -> Vec<String> {
        let mut broken = self.ledger.broken.clone();
        self.check_actors(&mut broken);
        self.check_counts(&mut broken);
        for place in 0..self.phones.len() {
            self.check_beliefs(place, &mut broken);
            self.check_watches(place, &mut broken);
            self.check_kept(place, &mut broken);
        }
        broken.extend(self.journal.entries().broken.iter().cloned());
        broken.extend(self.check_wakes());
        broken
    }

    /// Whether every phone shows the last state of all it watches: what a lost message can delay.
    pub fn is_settled(&mut self) -> bool {
        let mut broken = Vec::new();
        for place in 0..self.phones.len() {
            self.check_watches(place, &mut broken);
        }
        broken.is_empty()
    }

    fn check_wakes(&self) -> Vec<String> {
        self.ledger.wakes.untold(&self.journal.entries())
    }

    fn users(&self) -> BTreeSet<Aor> {
        let phones = self.phones.iter().map(|phone| &phone.aor);
        let handles = self.nlb.iter().flat_map(|nlb| &nlb.handles);
        phones.chain(handles).cloned().collect()
    }

    /// Law 1: no two servers hold a client, and who holds it has it by the store.
    fn check_actors(&mut self, broken: &mut Vec<String>) {
        let mut held: BTreeMap<Aor, Vec<MemberId>> = BTreeMap::new();
        for server in self.servers() {
            for (client, _) in server.actors() {
                let holders = held.entry(client.clone()).or_default();
                holders.push(server.membership().member);
            }
        }
        for client in self.users() {
            let state = self.show(client.user());
            let assigned = state.as_ref().and_then(|state| state.assignment);
            let assigned = assigned.map(|assignment| assignment.server);
            let holders = held.remove(&client).unwrap_or_default();
            let is_right = match holders.as_slice() {
                [] => state.is_none_or(|state| !needs_actor(&state)),
                [one] => Some(*one) == assigned,
                _ => false,
            };
            if !is_right {
                let client = client.as_str();
                broken.push(format!(
                    "law 1: {client} of {assigned:?} is held by {holders:?}"
                ));
            }
        }
    }

    /// R2: the counts are those of the assignments.
    fn check_counts(&mut self, broken: &mut Vec<String>) {
        let mut counted: BTreeMap<MemberId, u64> = BTreeMap::new();
        for client in self.users() {
            if let Some(server) = self.server_of(client.user()) {
                *counted.entry(server).or_default() += 1;
            }
        }
        for member in self.status().members {
            let assigned = counted.remove(&member.id).unwrap_or_default();
            if member.clients != assigned {
                let (name, clients) = (member.name, member.clients);
                broken.push(format!(
                    "{name} counts {clients} clients and has {assigned}"
                ));
            }
        }
    }

    /// Law 3, seen from the phone: what it was told is kept is in the store.
    fn check_beliefs(&mut self, place: usize, broken: &mut Vec<String>) {
        let client = self.phones[place].aor.clone();
        let logged_off = self.last_log_off(&client);
        let state = self.show(client.user());
        let phone = &self.phones[place];
        let bindings = state.as_ref().map(|state| state.bindings.as_slice());
        let contact = &*phone.agent.config().contact;
        let mut bindings = bindings.unwrap_or_default().iter();
        let is_bound = bindings.any(|binding| &*binding.contact == contact);
        if let Some(believed) = believes_registered(phone).filter(|believed| *believed != is_bound)
        {
            let client = client.as_str();
            broken.push(format!(
                "law 3: {client} at {contact} believes {believed} of its binding"
            ));
        }
        let publications = state.map(|state| state.publications).unwrap_or_default();
        let Some((at, tag)) = believes_published(phone) else {
            return;
        };
        // The last log-off takes publications with it, and nobody tells the phone.
        let may_be_gone = logged_off.is_some_and(|off| off.after(SLOW_ANSWER) >= at);
        if !may_be_gone && !publications.iter().any(|row| row.tag.as_str() == tag) {
            let client = client.as_str();
            broken.push(format!("law 3: {client} has no publication {tag}"));
        }
    }

    /// When a phone of the user last heard that it is logged off.
    fn last_log_off(&self, client: &Aor) -> Option<Moment> {
        let phones = self.phones.iter().filter(|phone| phone.aor == *client);
        let events = phones.flat_map(|phone| &phone.events);
        let offs = events.filter(|(_, event)| matches!(event, Event::Unregistered));
        offs.map(|(at, _)| *at).max()
    }

    /// Law 4: each watcher shows the last document, and never saw an older one after a newer one.
    fn check_watches(&mut self, place: usize, broken: &mut Vec<String>) {
        let watches = self.phones[place].watches.clone();
        for (id, target) in watches {
            if !self.phones[place].is_live(id) {
                continue;
            }
            let resource = presence_of(&target);
            let versions = self.versions(&resource);
            let phone = &self.phones[place];
            let of = phone.notified().filter(|notified| notified.id == id);
            let bodies: Vec<&Bytes> = of.map(|notified| &notified.body).collect();
            let watch = format!("{} at {} watching {}", phone.aor, place, target);
            if let Err(defect) = is_forward(&versions, &bodies) {
                broken.push(format!("law 4: {watch}: {defect}"));
            }
            if !self.is_shown(place, id, &resource) {
                let shows = self.phones[place].shows(id);
                broken.push(format!(
                    "law 4: {watch} shows {shows:?}, which is not the last state"
                ));
            }
        }
    }

    /// Whether the document last shown is the one that the store has.
    fn is_shown(&mut self, place: usize, id: SubscriptionId, resource: &ResourceId) -> bool {
        let resources = vec![resource.clone()];
        let Outcome::Documents(documents) = self.ask(Operation::Documents { resources }) else {
            return false;
        };
        let written = documents.iter().find(|document| !document.is_nothing());
        let expected = written.map_or_else(|| nobody(resource), |written| written.body.clone());
        let phone = &self.phones[place];
        let last = phone.notified().filter(|notified| notified.id == id).last();
        last.is_some_and(|last| last.body == expected)
    }

    /// Every body that the resource ever had, with its version.
    fn versions(&self, resource: &ResourceId) -> Vec<(Version, Bytes)> {
        let entries = self.journal.entries();
        let of = entries.documents.iter();
        let of = of.filter(|document| document.resource == *resource);
        let written = of.map(|document| (document.version, document.body.clone()));
        std::iter::once((Version(0), nobody(resource)))
            .chain(written)
            .collect()
    }
}

/// The presence of a user.
#[must_use]
pub fn presence_of(client: &Aor) -> ResourceId {
    ResourceId {
        aor: client.clone(),
        package: PackageName::new("presence"),
    }
}

/// Whether there is an order of versions in which these bodies were sent that never goes back. The
/// same body may have been several versions; the earliest that fits leaves most room for the next.
fn is_forward(versions: &[(Version, Bytes)], bodies: &[&Bytes]) -> Result<(), String> {
    let mut last = Version(0);
    for (place, body) in bodies.iter().enumerate() {
        let mut fits = versions.iter();
        let fits = fits.find(|(version, of)| *version >= last && of == *body);
        match fits {
            Some((version, _)) => last = *version,
            None => {
                let body = String::from_utf8_lossy(body);
                return Err(format!("NOTIFY {place} went back behind {last:?}: {body}"));
            }
        }
    }
    Ok(())
}

fn nobody(resource: &ResourceId) -> Bytes {
    let state = ResourceState {
        resource,
        publications: &[],
        is_registered: false,
    };
    Presence::default().compose(&state).body
}

fn needs_actor(state: &ClientState) -> bool {
    let lives = state.bindings.len() + state.publications.len() + state.subscriptions.len();
    state.assignment.is_some() && lives > 0
}

fn believes_registered(phone: &Phone) -> Option<bool> {
    phone
        .events
        .iter()
        .rev()
        .find_map(|(_, event)| match event {
            Event::Registered { .. } => Some(Some(true)),
            Event::Unregistered => Some(Some(false)),
            Event::RegisterFailed { .. } => Some(None),
            Event::TimedOut {
                what: presently_agent::Subject::Registration,
                ..
            } => Some(None),
            _ => None,
        })?
}

fn believes_published(phone: &Phone) -> Option<(Moment, String)> {
    phone
        .events
        .iter()
        .rev()
        .find_map(|(at, event)| match event {
            Event::Published { etag, .. } => {
                Some(etag.as_ref().map(|tag| (*at, tag.as_str().to_owned())))
            }
            Event::Unpublished { .. } | Event::PublishFailed { .. } => Some(None),
            Event::TimedOut {
                what: presently_agent::Subject::Publication(_),
                ..
            } => Some(None),
            _ => None,
        })?
}

/// How much later than a log-off the answer to a PUBLISH before it may arrive.
const SLOW_ANSWER: std::time::Duration = std::time::Duration::from_secs(40);
