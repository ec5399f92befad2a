//! Assignments the balancer has learnt: a bounded hint, corrected by hand-backs and by what comes out
//! of band. The store is the truth.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use presently_pool::{Assignment, ClientId, Epoch, MemberId};
use presently_sip::Aor;

use crate::decision::Named;

/// A ring of assignments: at the bound the oldest goes.
#[derive(Debug)]
pub(crate) struct Cache {
    /// By place; a place that was dropped stays empty until the ring comes round.
    ring: Vec<Option<(Aor, Assignment)>>,
    by_aor: HashMap<Aor, usize, RandomState>,
    by_row: HashMap<ClientId, usize, RandomState>,
    oldest: usize,
    max: usize,
}

impl Cache {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            ring: Vec::new(),
            by_aor: HashMap::default(),
            by_row: HashMap::default(),
            oldest: 0,
            max: max.max(1),
        }
    }

    pub(crate) fn find(&self, client: &Named) -> Option<&(Aor, Assignment)> {
        let place = match client {
            Named::Aor(aor) => self.by_aor.get(aor),
            Named::Row(row) => self.by_row.get(row),
        };
        self.ring.get(*place?)?.as_ref()
    }

    /// Remembers an assignment unless a newer one is known; says whether another client was forgotten
    /// for it.
    pub(crate) fn put(&mut self, aor: &Aor, assignment: Assignment) -> bool {
        if let Some(place) = self.by_aor.get(aor).copied()
            && let Some(Some((_, known))) = self.ring.get_mut(place)
        {
            if known.epoch <= assignment.epoch {
                self.by_row.remove(&known.client);
                self.by_row.insert(assignment.client, place);
                *known = assignment;
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
        let slot = self.ring.get_mut(place).expect("a place of the ring");
        let before = slot.replace((aor.clone(), assignment));
        if let Some((aor, assignment)) = &before {
            self.by_aor.remove(aor);
            self.by_row.remove(&assignment.client);
        }
        self.by_aor.insert(aor.clone(), place);
        self.by_row.insert(assignment.client, place);
        before.is_some()
    }

    /// A client has moved: what is known of it, if it is older, is set right.
    pub(crate) fn move_to(&mut self, aor: &Aor, server: MemberId, epoch: Epoch) {
        let place = self.by_aor.get(aor).copied();
        let entry = place.and_then(|place| self.ring.get_mut(place)?.as_mut());
        if let Some((_, known)) = entry
            && known.epoch < epoch
        {
            known.server = server;
            known.epoch = epoch;
        }
    }

    pub(crate) fn forget(&mut self, aor: &Aor) {
        let place = self.by_aor.remove(aor);
        let entry = place.and_then(|place| self.ring.get_mut(place)?.take());
        if let Some((_, assignment)) = entry {
            self.by_row.remove(&assignment.client);
        }
    }
}
