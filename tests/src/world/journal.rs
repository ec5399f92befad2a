//! What the store has committed, in order: the truth that the laws are checked against.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use presently_pool::{Assignment, Epoch, Incarnation, MemberId, Membership, ResourceId, Version};
use presently_sip::{Aor, Moment};
use presently_store::{Change, Operation, Outcome, Subscription};

/// A handle on what every store of a world has written.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Entries>>);

/// The entries.
#[derive(Debug, Default)]
pub struct Entries {
    /// Requests whose write is committed, by their keys.
    pub requests: BTreeSet<[u8; 16]>,
    /// Every document ever written, in order.
    pub documents: Vec<Document>,
    /// Which server each client has, as of the last commit that said so.
    pub assigned: BTreeMap<Aor, Assigned>,
    /// Our tags of the dialogs whose subscription has a row.
    pub subscribed: BTreeSet<String>,
    /// Operations that members asked for.
    pub operations: u64,
    /// The present life of each member, as far as it began in this run.
    pub lives: BTreeMap<MemberId, Incarnation>,
    /// Lives that the store has ended, and when.
    pub ended: BTreeMap<Membership, Moment>,
    /// Every dialog as its first write had it, by our tag.
    pub dialogs: BTreeMap<String, Subscription>,
    /// What the store did and must not.
    pub broken: Vec<String>,
}

/// One document write.
#[derive(Clone, Debug)]
pub struct Document {
    /// Of what.
    pub resource: ResourceId,
    /// Its version.
    pub version: Version,
    /// Its body.
    pub body: Bytes,
    /// Which server wrote it.
    pub by: MemberId,
    /// The servers of its watchers at that moment.
    pub servers: Vec<MemberId>,
}

/// A client's server.
#[derive(Clone, Copy, Debug)]
pub struct Assigned {
    /// Which; `None` when the client was released.
    pub server: Option<MemberId>,
    /// Under which epoch.
    pub epoch: Epoch,
}

impl Journal {
    /// The entries, to look at.
    ///
    /// # Panics
    ///
    /// Another look was left off by a panic.
    pub fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("one thread")
    }

    /// Notes an operation that was done.
    pub(super) fn note(&self, now: Moment, operation: &Operation, outcome: &Outcome) {
        let mut entries = self.entries();
        match (operation, outcome) {
            (Operation::Assign { client, .. }, Outcome::Assigned(Some(assignment)))
            | (Operation::Reassign { client, .. }, Outcome::Assigned(Some(assignment))) => {
                entries.assign(client, *assignment);
            }
            (Operation::TakeOver { .. }, Outcome::TakenOver { moved, .. }) => {
                for (client, assignment) in moved {
                    entries.assign(client, *assignment);
                }
            }
            (Operation::End { member, .. }, Outcome::Ended(true)) => {
                entries.ended.insert(*member, now);
            }
            (Operation::Leave { by }, Outcome::Done) => {
                entries.ended.insert(*by, now);
            }
            (Operation::Join { .. }, Outcome::Joined { membership, .. }) => {
                entries.begin(now, *membership);
            }
            (Operation::Activate { by, client }, Outcome::Activated(Some(found))) => {
                let assignment = Assignment {
                    client: found.client,
                    server: by.member,
                    epoch: found.epoch,
                };
                entries.assign(client, assignment);
            }
            (
                Operation::Commit {
                    by, changes, epoch, ..
                },
                Outcome::Committed {
                    written, released, ..
                },
            ) => {
                entries.check_owner(*by, *epoch);
                changes.iter().for_each(|change| entries.subscribe(change));
                entries.requests.extend(changes.iter().filter_map(request));
                let bodies = changes.iter().filter_map(|change| match change {
                    Change::WriteDocument { body, .. } => Some(body),
                    _ => None,
                });
                for (written, body) in written.iter().zip(bodies) {
                    entries.documents.push(Document {
                        resource: written.resource.clone(),
                        version: written.version,
                        body: body.clone(),
                        by: by.member,
                        servers: written.servers.clone(),
                    });
                }
                if *released {
                    entries.release(*epoch);
                }
            }
            _ => {}
        }
    }
}

impl Entries {
    /// The last version of a resource; 0 when nobody ever wrote it.
    #[must_use]
    pub fn last_version(&self, resource: &ResourceId) -> Version {
        let mut of = self.documents.iter().rev();
        of.find(|document| document.resource == *resource)
            .map_or(Version(0), |document| document.version)
    }

    fn subscribe(&mut self, change: &Change) {
        match change {
            Change::PutSubscription(row) => {
                let tag = row.dialog.local_tag.to_string();
                let first = self.dialogs.entry(tag.clone());
                let first = first.or_insert_with(|| Subscription::clone(row));
                let is_same = first.dialog == row.dialog && first.route_set == row.route_set;
                if !is_same {
                    self.broken.push(format!(
                        "the dialog {tag} is another: {first:?} and {row:?}"
                    ));
                }
                self.subscribed.insert(tag);
            }
            Change::RemoveSubscription { key, .. } => {
                self.subscribed.remove(&*key.local_tag);
            }
            _ => {}
        }
    }

    /// A member begins a life: its former one is over.
    fn begin(&mut self, now: Moment, life: Membership) {
        if let Some(before) = self.lives.insert(life.member, life.incarnation) {
            let before = Membership {
                incarnation: before,
                ..life
            };
            self.ended.entry(before).or_insert(now);
        }
    }

    /// Law 1: only the owner, in its present life and under its present epoch, writes.
    fn check_owner(&mut self, by: Membership, epoch: Epoch) {
        let of = self.assigned.values().find(|one| one.epoch == epoch);
        if of.is_none_or(|one| one.server != Some(by.member)) {
            let defect = format!("law 1: {by:?} wrote under {epoch:?}, which is not its");
            self.broken.push(defect);
        }
        if self.ended.contains_key(&by) {
            let defect = format!("law 1: {by:?} wrote after its end");
            self.broken.push(defect);
        }
    }

    fn assign(&mut self, client: &Aor, assignment: Assignment) {
        let assigned = Assigned {
            server: Some(assignment.server),
            epoch: assignment.epoch,
        };
        self.assigned.insert(client.clone(), assigned);
    }

    fn release(&mut self, epoch: Epoch) {
        for assigned in self.assigned.values_mut() {
            if assigned.epoch == epoch {
                assigned.server = None;
            }
        }
    }
}

/// The key of the request that a change was made for, if one was.
fn request(change: &Change) -> Option<[u8; 16]> {
    let repeat = match change {
        Change::PutBinding(row) => &row.repeat,
        Change::PutPublication { publication, .. } => &publication.repeat,
        Change::PutSubscription(row) => &row.repeat,
        Change::Remember { repeat, .. } => repeat,
        Change::RemoveBinding { tombstone, .. }
        | Change::RemovePublication { tombstone, .. }
        | Change::RemoveSubscription { tombstone, .. } => &tombstone.as_ref()?.0,
        _ => return None,
    };
    Some(repeat.request.0)
}
