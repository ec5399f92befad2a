//! The sessions, by what they are known by, and their timers in one wheel.

use std::collections::BTreeMap;
use std::ops::Bound;

use presently_sip::{Aor, Moment, Wheel};

use crate::SessionId;
use crate::session::Session;
use crate::session::record::number_of;

/// Every session. Each is boxed: the table moves its entries about.
#[derive(Debug)]
pub(super) struct Table {
    sessions: BTreeMap<SessionId, Box<Session>>,
    by_user: BTreeMap<Aor, SessionId>,
    /// By the number of the handle.
    by_handle: BTreeMap<u64, SessionId>,
    wheel: Wheel<SessionId>,
    next_id: u64,
}

impl Table {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            sessions: BTreeMap::new(),
            by_user: BTreeMap::new(),
            by_handle: BTreeMap::new(),
            wheel: Wheel::new(now),
            next_id: 1,
        }
    }

    /// An id that nobody had.
    pub(super) fn next_id(&mut self) -> SessionId {
        let id = SessionId(self.next_id);
        self.next_id += 1;
        id
    }

    pub(super) fn insert(&mut self, session: Session) {
        self.by_user.insert(session.user.clone(), session.id);
        if let Some(number) = number_of(&session.handle) {
            self.by_handle.insert(number, session.id);
        }
        self.sessions.insert(session.id, Box::new(session));
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<Box<Session>> {
        let session = self.sessions.remove(&id)?;
        self.by_user.remove(&session.user);
        if let Some(number) = number_of(&session.handle) {
            self.by_handle.remove(&number);
        }
        if let Some((_, timer)) = session.timer {
            self.wheel.cancel(timer);
        }
        Some(session)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id).map(|session| &mut **session)
    }

    pub(super) fn of_user(&self, user: &Aor) -> Option<SessionId> {
        self.by_user.get(user).copied()
    }

    pub(super) fn of_handle(&self, number: u64) -> Option<SessionId> {
        self.by_handle.get(&number).copied()
    }

    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.sessions.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values().map(|session| &**session)
    }

    /// Those behind `id`, in the order of their ids.
    pub(super) fn iter_after(&self, id: SessionId) -> impl Iterator<Item = &Session> {
        let behind = self.sessions.range((Bound::Excluded(id), Bound::Unbounded));
        behind.map(|(_, session)| &**session)
    }

    /// Whose session `id` is; empty for nobody's.
    pub(super) fn user_of(&self, id: SessionId) -> String {
        let session = self.sessions.get(&id);
        session.map_or_else(String::new, |it| it.user.as_str().to_owned())
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Sets the timer of `id` to `due`. One that fires sooner stays: it looks again then.
    pub(super) fn arm(&mut self, id: SessionId, due: Option<Moment>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let is_sooner = |set: Moment| due.is_some_and(|due| set <= due);
        if session.timer.is_some_and(|(set, _)| is_sooner(set)) {
            return;
        }
        if let Some((_, timer)) = session.timer.take() {
            self.wheel.cancel(timer);
        }
        session.timer = due.map(|due| (due, self.wheel.arm(due, id)));
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.wheel.poll_timeout()
    }

    /// Takes those whose timers are due.
    pub(super) fn expire(&mut self, now: Moment, fired: &mut Vec<SessionId>) {
        self.wheel.expire(now, fired);
        for id in fired {
            if let Some(session) = self.sessions.get_mut(id) {
                session.timer = None;
            }
        }
    }
}
