//! Assignments the balancer has learnt: a bounded hint, corrected by hand-backs and by what comes
//! out of band. The store is the truth.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use presently_pool::{Assignment, ClientId, Epoch, Incarnation, MemberId, Membership};
use presently_sip::Aor;

use crate::decision::Named;

/// A ring of assignments: at the bound the oldest goes.
#[derive(Debug)]
pub(crate) struct Cache {
    /// By place; a place that was dropped stays empty until the ring comes round.
    ring: Vec<Option<Entry>>,
    by_aor: HashMap<Aor, usize, RandomState>,
    by_row: HashMap<ClientId, usize, RandomState>,
    /// By a URI as a phone wrote it, so that the next one like it is not read again.
    by_spelling: HashMap<Arc<str>, usize, RandomState>,
    oldest: usize,
    max: usize,
}

#[derive(Debug)]
struct Entry {
    aor: Aor,
    assignment: Assignment,
    /// The life its server was in: what came of the client in a later one is not known.
    incarnation: Incarnation,
    /// The first spelling met; phones keep to one.
    spelling: Option<Arc<str>>,
}

impl Cache {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            ring: Vec::new(),
            by_aor: HashMap::default(),
            by_row: HashMap::default(),
            by_spelling: HashMap::default(),
            oldest: 0,
            max: max.max(1),
        }
    }

    /// What is known of a client: its assignment, and the life of the server it was learnt in.
    pub(crate) fn find(&self, client: &Named) -> Option<(&Aor, Assignment, Membership)> {
        let place = match client {
            Named::Aor(aor) => self.by_aor.get(aor),
            Named::Row(row) => self.by_row.get(row),
        };
        let entry = self.ring.get(*place?)?.as_ref()?;
        let life = Membership {
            member: entry.assignment.server,
            incarnation: entry.incarnation,
        };
        Some((&entry.aor, entry.assignment, life))
    }

    /// The address of record, of a domain of ours, that `uri` is known to name.
    pub(crate) fn spelled(&self, uri: &str) -> Option<&Aor> {
        let place = self.by_spelling.get(uri)?;
        let entry = self.ring.get(*place)?.as_ref()?;
        Some(&entry.aor)
    }

    /// Remembers that `uri` names `aor`, which is of a domain of ours.
    pub(crate) fn spell(&mut self, aor: &Aor, uri: &str) {
        let place = self.by_aor.get(aor).copied();
        let entry = place.and_then(|place| self.ring.get_mut(place)?.as_mut());
        if let (Some(place), Some(entry)) = (place, entry)
            && entry.spelling.is_none()
            && uri.len() <= SPELLING_MAX
        {
            let uri = Arc::<str>::from(uri);
            entry.spelling = Some(uri.clone());
            self.by_spelling.insert(uri, place);
        }
    }

    /// Remembers an assignment unless a newer one is known; says whether another client was
    /// forgotten for it.
    pub(crate) fn put(
        &mut self,
        aor: &Aor,
        assignment: Assignment,
        incarnation: Incarnation,
    ) -> bool {
        if let Some(place) = self.by_aor.get(aor).copied()
            && let Some(Some(entry)) = self.ring.get_mut(place)
        {
            if entry.assignment.epoch <= assignment.epoch {
                self.by_row.remove(&entry.assignment.client);
                self.by_row.insert(assignment.client, place);
                entry.assignment = assignment;
                entry.incarnation = incarnation;
            }
            return false;
        }
        let place = if self.ring.len() < self.max {
            self.ring.push(None);
            self.ring.len() - 1
        } else {
            let next = (self.oldest + 1) % self.max;
            std::mem::replace(&mut self.oldest, next)
        };
        let before = self.empty(place);
        if let Some(slot) = self.ring.get_mut(place) {
            *slot = Some(Entry {
                aor: aor.clone(),
                assignment,
                incarnation,
                spelling: None,
            });
        }
        self.by_aor.insert(aor.clone(), place);
        self.by_row.insert(assignment.client, place);
        before.is_some()
    }

    /// A client has moved: what is known of it, if it is older, is set right.
    pub(crate) fn move_to(
        &mut self,
        aor: &Aor,
        server: MemberId,
        epoch: Epoch,
        incarnation: Incarnation,
    ) {
        let place = self.by_aor.get(aor).copied();
        let entry = place.and_then(|place| self.ring.get_mut(place)?.as_mut());
        if let Some(entry) = entry
            && entry.assignment.epoch < epoch
        {
            entry.assignment.server = server;
            entry.assignment.epoch = epoch;
            entry.incarnation = incarnation;
        }
    }

    /// Every URI is read again before it counts as one of a domain of ours.
    pub(crate) fn forget_spellings(&mut self) {
        self.by_spelling.clear();
        for entry in self.ring.iter_mut().flatten() {
            entry.spelling = None;
        }
    }

    pub(crate) fn forget(&mut self, aor: &Aor) {
        if let Some(place) = self.by_aor.get(aor).copied() {
            self.empty(place);
        }
    }

    fn empty(&mut self, place: usize) -> Option<Entry> {
        let entry = self.ring.get_mut(place)?.take()?;
        self.by_aor.remove(&entry.aor);
        self.by_row.remove(&entry.assignment.client);
        if let Some(spelling) = &entry.spelling {
            self.by_spelling.remove(spelling);
        }
        Some(entry)
    }
}

/// The longest spelling remembered; a longer one is read each time.
const SPELLING_MAX: usize = 128;
