//! How sessions begin, are turned to, and end.

use presently_sip::{Aor, Moment, Now};
use presently_store::{Operation, REPEAT_WINDOW, Session as Record, SessionState, Ticket};

use super::{Nlb, sip};
use crate::session::record::{handle, names_of};
use crate::session::{Beginning, Session, Uuid};
use crate::turn::Turn;
use crate::{Entering, Outputs, Refusal, SessionId};

impl Nlb {
    /// Gives a path to the user's session, or to a new one.
    pub(super) fn enter_session(
        &mut self,
        now: Now,
        user: &Aor,
        entering: Box<Entering>,
        until: Moment,
        out: &mut Outputs,
    ) {
        let found = self.sessions.of_user(user);
        let is_full = found.is_none() && self.sessions.len() >= self.shared.config.sessions_max;
        if is_full || self.shared.is_ending() {
            self.turn(now, out)
                .refuse(user, entering.path, Refusal::Full);
            return;
        }
        let id = found.unwrap_or_else(|| {
            let resource = entering.resource.clone();
            self.begin_session(now, user.clone(), resource)
        });
        self.paths.insert(entering.path, Some(id));
        self.with_session(now, id, out, |session, turn| {
            session.on_enter(turn, entering, until);
        });
    }

    /// A session for `user`, which holds nothing yet.
    fn begin_session(&mut self, now: Now, user: Aor, resource: Box<str>) -> SessionId {
        let random = &mut self.shared.random;
        let mut number = random.next_u64();
        while self.sessions.of_handle(number).is_some() {
            number = random.next_u64();
        }
        let beginning = Beginning {
            id: self.sessions.next_id(),
            user,
            handle: handle(&self.shared.config.aor, number),
            uuid: Uuid::new(random),
            resource,
        };
        self.shared.counters.begun += 1;
        self.insert(now, beginning)
    }

    /// Takes up the session of `record`. A row that this program cannot have written, or whose
    /// lease is over, is purged.
    pub(super) fn restore_one(&mut self, now: Now, record: &Record, out: &mut Outputs) {
        let names = names_of(record).filter(|(_, number)| {
            let is_known = self.sessions.of_handle(*number).is_some();
            !is_known && self.sessions.of_user(&record.user).is_none()
        });
        let Some((uuid, _)) = names.filter(|_| record.until > now.wall) else {
            let purge = Operation::PurgeSession {
                user: record.user.clone(),
                nlb: self.shared.name.clone(),
                release_at: now.wall.after(REPEAT_WINDOW),
            };
            out.operations.push((NOBODYS, purge));
            return;
        };
        let beginning = Beginning {
            id: self.sessions.next_id(),
            user: record.user.clone(),
            handle: record.handle.clone(),
            uuid,
            resource: "restored".into(),
        };
        self.shared.counters.restored += 1;
        let id = self.insert(now, beginning);
        // One that is being given back gave its slot back first.
        let is_kept = record.state != SessionState::Releasing;
        let is_taken = is_kept && self.shared.servers.take(id, &record.server);
        self.with_session(now, id, out, |session, turn| {
            session.restore(turn, record, is_taken);
        });
    }

    /// Lets `work` change a session, hands on what it says, and sets its timer. A session that is
    /// gone with it is forgotten, and whoever waits for the user's next one begins it.
    pub(super) fn with_session(
        &mut self,
        now: Now,
        id: SessionId,
        out: &mut Outputs,
        work: impl FnOnce(&mut Session, &mut Turn<'_>),
    ) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            agent: &mut self.agent,
            out,
        };
        work(session, &mut turn);
        session.settle(&mut turn);
        session.end_refresh(&mut turn);
        if !session.is_gone() {
            let due = session.poll_timeout(&turn);
            self.sessions.arm(id, due);
            return;
        }
        if let Some(session) = self.sessions.remove(id) {
            self.begin_anew(now, session, out);
        }
    }

    /// Every session in turn.
    pub(super) fn each_session(
        &mut self,
        now: Now,
        out: &mut Outputs,
        work: impl Fn(&mut Session, &mut Turn<'_>),
    ) {
        for id in self.sessions.ids() {
            self.with_session(now, id, out, &work);
        }
    }

    fn insert(&mut self, now: Now, beginning: Beginning) -> SessionId {
        let id = beginning.id;
        let seed = self.shared.random.next_u64();
        let agent = sip::agent_of(&self.shared.config, beginning.handle.clone(), seed);
        self.sessions.insert(Session::new(now, beginning, agent));
        id
    }

    /// The session is gone; paths that came meanwhile begin the user's next one.
    fn begin_anew(&mut self, now: Now, mut session: Box<Session>, out: &mut Outputs) {
        let user = session.user.clone();
        for (entering, until) in session.take_waiting() {
            self.enter_session(now, &user, entering, until, out);
        }
    }
}

/// For operations whose outcome nobody waits for: no session has the number 0.
const NOBODYS: Ticket = Ticket(0);
