//! The nlb as one machine: every session, its own line, and the presence server's reach.

mod input;
mod life;
mod sip;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::Duration;

use presently_agent as agent;
use presently_sip::{Index, Moment, Now, Random};
use presently_store::{Completion, Session as Record};

use crate::anonymous::AnonymousPaths;
use crate::reach::{Found, Reach, Reached};
use crate::release::Recent;
use crate::session::{Session, session_of};
use crate::turn::{Ending, Refreshes, Shared, Turn, UNDER_WAY_MAX};
use crate::{
    Anonymous, Config, Counters, Entering, Guard, Outputs, PathId, Queue, Refusal, Server,
    ServerClock, Servers, SessionId, Sight, What,
};
pub use input::Input;
use table::Table;

/// The whole nlb but its sockets: who has access, who is followed, who is released.
///
/// The owner gives it everything that happens and the time, and does what it finds in
/// [`Outputs`]. All that is random follows from the seed: the same calls give the same outputs.
#[derive(Debug)]
pub struct Nlb {
    shared: Shared,
    sessions: Table,
    /// Whose each path is; `None` for nobody's.
    paths: BTreeMap<PathId, Option<SessionId>>,
    anonymous: AnonymousPaths,
    reach: Reach,
    records: Vec<Record>,
    index: Index,
    /// What an agent says, between two calls empty.
    agent: agent::Outputs,
    fired: Vec<SessionId>,
    duty_at: Option<Moment>,
    sweep_at: Moment,
    /// The last session whose record says that the nlb closes.
    noted: SessionId,
    /// Whether the own registration is being given back.
    has_left: bool,
    has_ended: bool,
}

impl Nlb {
    /// An nlb that begins at `now` with `records`, its own rows of an earlier life. Whoever knows
    /// `seed` can guess UUIDs. The first thing to call is [`Nlb::handle_timeout`].
    pub fn new(
        config: Config,
        servers: Vec<Server>,
        now: Now,
        seed: [u8; 16],
        records: Vec<Record>,
    ) -> Self {
        let mut random = Random::new(seed);
        let own = sip::agent_of(&config, config.aor.clone(), random.next_u64());
        let reach = Reach::new(now, own, config.register_secs, config.probe_every);
        let shared = Shared {
            name: config.aor.user().into(),
            servers: Servers::new(servers),
            queue: Queue::new(config.queue_max),
            guard: Guard::new(config.guard),
            clock: ServerClock::default(),
            random,
            recent: Recent::default(),
            counters: Counters::default(),
            reached: Reached::Unknown,
            todo: VecDeque::new(),
            refreshes: Refreshes::default(),
            ending: Ending::No,
            config,
        };
        Self {
            shared,
            sessions: Table::new(now.moment),
            paths: BTreeMap::new(),
            anonymous: AnonymousPaths::default(),
            reach,
            records,
            index: Index::default(),
            agent: agent::Outputs::default(),
            fired: Vec::new(),
            duty_at: None,
            sweep_at: now.moment.after(SWEEP_EVERY),
            noted: SessionId(0),
            has_left: false,
            has_ended: false,
        }
    }

    /// Takes one thing that happened.
    pub fn handle_input(&mut self, now: Now, input: Input<'_>, out: &mut Outputs) {
        let verdicts = out.verdicts.len();
        self.restore(now, out);
        match input {
            Input::Close => self.on_close(now, out),
            Input::Enter(entering) => self.on_enter(now, entering, out),
            Input::FlowLost => {
                let found = self.reach.on_flow_lost(now, &mut self.agent);
                self.on_found(now, found, out);
            }
            Input::Health { server, is_up } => {
                let lost = self.shared.servers.set_health(server, is_up);
                self.on_slots_lost(now, lost, out);
            }
            Input::Left { path } => self.on_left(now, path, out),
            Input::Servers(list) => self.on_servers(now, list, out),
            Input::Sip(bytes) => self.on_sip(now, bytes, out),
            Input::Stop => self.on_stop(now, out),
            Input::Stored(completion) => self.on_stored(now, &completion, out),
        }
        self.finish(now, verdicts, out);
    }

    /// When [`Nlb::handle_timeout`] is due next; at once after [`Nlb::new`].
    pub fn poll_timeout(&self) -> Option<Moment> {
        let due = [
            Some(self.reach.poll_timeout()),
            self.sessions.poll_timeout(),
            self.duty_at,
            self.shared.refreshes.poll_timeout(),
            Some(self.sweep_at),
        ];
        due.into_iter().flatten().min()
    }

    /// Does everything that is due by now.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Outputs) {
        let verdicts = out.verdicts.len();
        self.restore(now, out);
        if self.reach.poll_timeout() <= now.moment {
            let found = self.reach.on_timeout(now, &mut self.agent);
            self.on_found(now, found, out);
        }
        let mut fired = mem::take(&mut self.fired);
        self.sessions.expire(now.moment, &mut fired);
        for id in fired.drain(..) {
            self.with_session(now, id, out, Session::on_timeout);
        }
        self.fired = fired;
        if self.duty_at.is_some_and(|due| due <= now.moment) {
            self.on_duty(now, out);
        }
        if self.sweep_at <= now.moment {
            self.sweep_at = now.moment.after(SWEEP_EVERY);
            let (anonymous, mut turn) = self.anonymous_turn(now, out);
            anonymous.sweep(&mut turn);
        }
        self.finish(now, verdicts, out);
    }

    /// Every session, for people.
    pub fn sessions(&self) -> impl Iterator<Item = Sight> {
        self.sessions_after(SessionId(0))
    }

    /// The sessions that began after `id` did, in that order, for people.
    pub fn sessions_after(&self, id: SessionId) -> impl Iterator<Item = Sight> {
        self.sessions.iter_after(id).map(|session| {
            let (from_user_bytes, to_user_bytes) = session.bytes();
            Sight {
                id: session.id,
                user: session.user.clone(),
                uuid: session.uuid.to_string(),
                handle: session.handle.clone(),
                server: session.server.clone(),
                stage: session.stage(),
                presence: session.presence(),
                since: session.since,
                from_user_bytes,
                to_user_bytes,
                paths: session.paths_count(),
                why: session.why(),
            }
        })
    }

    /// The application servers with their sessions.
    pub fn servers(&self) -> &Servers {
        &self.shared.servers
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// How it was configured.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Whether the presence server is there, and the nlb registered with it.
    pub fn is_reachable(&self) -> bool {
        self.shared.is_reachable()
    }

    /// Whether, after [`Input::Stop`] or [`Input::Close`], nothing is left to be done.
    pub fn is_idle(&self) -> bool {
        if self.shared.ending == Ending::Close {
            return self.sessions.is_empty() && self.has_ended;
        }
        let is_writing = self.sessions.iter().any(Session::is_writing);
        self.shared.is_ending() && !is_writing && (self.has_ended || !self.sessions.is_empty())
    }

    fn on_enter(&mut self, now: Now, entering: Box<Entering>, out: &mut Outputs) {
        let Some(user) = entering.user.clone() else {
            self.on_anonymous(now, *entering, out);
            return;
        };
        let until = now.moment.after(self.shared.config.admit_within);
        let name = self.shared.random.number_of(user.as_str());
        if self.shared.recent.take(now.moment, name) {
            self.shared.counters.wrong_releases += 1;
        }
        self.enter_session(now, &user, entering, until, out);
    }

    fn on_anonymous(&mut self, now: Now, entering: Entering, out: &mut Outputs) {
        let config = &self.shared.config;
        if config.anonymous == Anonymous::Refuse || self.shared.is_ending() {
            let own = config.aor.clone();
            let refusal = match config.anonymous {
                Anonymous::Admit => Refusal::Full,
                Anonymous::Refuse => Refusal::Anonymous,
            };
            self.turn(now, out).refuse(&own, entering.path, refusal);
            return;
        }
        let slot = self.sessions.next_id();
        self.paths.insert(entering.path, None);
        let (anonymous, mut turn) = self.anonymous_turn(now, out);
        anonymous.enter(&mut turn, entering, slot);
    }

    fn on_left(&mut self, now: Now, path: PathId, out: &mut Outputs) {
        match self.paths.remove(&path) {
            Some(Some(id)) => {
                self.with_session(now, id, out, |session, turn| session.on_left(turn, path));
            }
            Some(None) => {
                let (anonymous, mut turn) = self.anonymous_turn(now, out);
                anonymous.leave(&mut turn, path);
            }
            // It was cut or refused, and forgotten with that.
            None => {}
        }
    }

    fn on_servers(&mut self, now: Now, list: Vec<Server>, out: &mut Outputs) {
        for id in self.shared.servers.set_list(list) {
            let (anonymous, mut turn) = self.anonymous_turn(now, out);
            if !anonymous.readdress(&mut turn, id) {
                self.with_session(now, id, out, Session::on_server_readdressed);
            }
        }
    }

    fn on_slots_lost(&mut self, now: Now, lost: Vec<SessionId>, out: &mut Outputs) {
        for id in lost {
            let (anonymous, mut turn) = self.anonymous_turn(now, out);
            if !anonymous.lose(&mut turn, id) {
                self.with_session(now, id, out, Session::on_server_lost);
            }
        }
    }

    fn on_stored(&mut self, now: Now, completion: &Completion, out: &mut Outputs) {
        let id = session_of(completion.ticket);
        self.with_session(now, id, out, |session, turn| {
            session.on_stored(turn, completion.ticket, &completion.result);
        });
    }

    /// What the own line found, and what it says afterwards.
    fn on_found(&mut self, now: Now, found: Option<Found>, out: &mut Outputs) {
        let mut found: Vec<Found> = found.into_iter().collect();
        loop {
            out.messages.append(&mut self.agent.datagrams);
            while !self.agent.events.is_empty() {
                for event in mem::take(&mut self.agent.events) {
                    found.extend(self.reach.on_event(now, event, &mut self.agent));
                }
                out.messages.append(&mut self.agent.datagrams);
            }
            if found.is_empty() {
                break;
            }
            for it in mem::take(&mut found) {
                self.on_one_found(now, it, out);
            }
        }
        self.shared.counters.strays = self.reach.dropped();
    }

    fn on_one_found(&mut self, now: Now, found: Found, out: &mut Outputs) {
        let own = self.shared.config.aor.clone();
        match found {
            Found::Date { asked, date } => {
                self.shared.clock.learn(asked, now.moment, date.as_deref());
            }
            Found::Here => {
                self.shared.reached = Reached::Yes;
                let mut turn = self.turn(now, out);
                turn.step(&own, What::Registered);
                turn.step(&own, What::Reachable);
                self.each_session(now, out, Session::on_found);
            }
            Found::Lost => {
                self.shared.reached = Reached::Lost;
                self.shared.counters.unreachable += 1;
                self.turn(now, out).step(&own, What::Unreachable);
                self.each_session(now, out, Session::on_lost);
            }
            Found::Unregistered => {
                self.has_ended = true;
                self.turn(now, out).step(&own, What::Unregistered);
            }
        }
    }

    /// A few sessions do what they have to do at the presence server.
    fn on_duty(&mut self, now: Now, out: &mut Outputs) {
        self.duty_at = None;
        if self.shared.ending == Ending::Close {
            self.note_close(now, out);
        }
        let each = self.shared.config.resume_per_sec / DUTIES_PER_SEC;
        for _ in 0..each.max(1) {
            let Some(id) = self.shared.todo.pop_front() else {
                return;
            };
            self.with_session(now, id, out, Session::on_duty);
        }
        self.duty_at = Some(now.moment.after(DUTY_EVERY));
    }

    /// Some records say that the nlb closes: quicker than good-byes are said, and a portion at a
    /// time as well, for the store.
    fn note_close(&mut self, now: Now, out: &mut Outputs) {
        let next = self.sessions.iter_after(self.noted).take(NOTED_EACH);
        let next: Vec<SessionId> = next.map(|session| session.id).collect();
        for id in next {
            self.noted = id;
            self.with_session(now, id, out, Session::note_close);
        }
    }

    /// As many sessions refresh as there is room for. Behind what the call was about: a user who
    /// left is dealt with first.
    fn refresh_some(&mut self, now: Now, out: &mut Outputs) {
        for _ in 0..UNDER_WAY_MAX {
            let Some(id) = self.shared.refreshes.next(now.moment) else {
                return;
            };
            self.with_session(now, id, out, Session::on_refresh);
        }
    }

    /// Takes up the sessions of the records, once.
    fn restore(&mut self, now: Now, out: &mut Outputs) {
        for record in mem::take(&mut self.records) {
            self.restore_one(now, &record, out);
        }
    }

    fn on_stop(&mut self, now: Now, out: &mut Outputs) {
        if self.shared.ending == Ending::No {
            self.shared.ending = Ending::Stop;
        }
        if self.sessions.is_empty() {
            self.leave_pool(now, out);
        }
    }

    fn on_close(&mut self, now: Now, out: &mut Outputs) {
        self.shared.ending = Ending::Close;
        self.each_session(now, out, Session::on_close);
    }

    /// Gives the own registration back, when everybody else's is (S16).
    fn leave_pool(&mut self, now: Now, out: &mut Outputs) {
        if mem::replace(&mut self.has_left, true) {
            return;
        }
        if self.shared.is_reachable() {
            self.shared.reached = Reached::Unknown;
            self.reach.unregister(now, &mut self.agent);
            self.on_found(now, None, out);
        } else {
            self.has_ended = true;
        }
    }

    /// After each call: slots that became free are given away, paths that ended are forgotten.
    fn finish(&mut self, now: Now, verdicts: usize, out: &mut Outputs) {
        self.refresh_some(now, out);
        self.place_waiting(now, out);
        for verdict in out.verdicts.iter().skip(verdicts) {
            if let crate::Verdict::Cut { path, .. } | crate::Verdict::Refuse { path, .. } = verdict
            {
                self.paths.remove(path);
            }
        }
        if self.shared.ending == Ending::Close && self.sessions.is_empty() {
            self.leave_pool(now, out);
        }
        if self.duty_at.is_none() && !self.shared.todo.is_empty() {
            self.duty_at = Some(now.moment);
        }
        let counters = &mut self.shared.counters;
        counters.sessions = count(self.sessions.len());
        counters.queued = count(self.shared.queue.len());
        counters.paths = count(self.paths.len());
    }

    /// Whoever has waited longest gets what became free.
    fn place_waiting(&mut self, now: Now, out: &mut Outputs) {
        while let Some(id) = self.shared.queue.first() {
            let user = self.sessions.user_of(id);
            let choice = self.shared.servers.choose(id, &user);
            let crate::Choice::Taken(server) = choice else {
                return;
            };
            self.shared.queue.remove(id);
            self.with_session(now, id, out, |session, turn| {
                session.on_placed(turn, server);
            });
        }
    }

    fn turn<'a>(&'a mut self, now: Now, out: &'a mut Outputs) -> Turn<'a> {
        self.anonymous_turn(now, out).1
    }

    fn anonymous_turn<'a>(
        &'a mut self,
        now: Now,
        out: &'a mut Outputs,
    ) -> (&'a mut AnonymousPaths, Turn<'a>) {
        let turn = Turn {
            now,
            shared: &mut self.shared,
            agent: &mut self.agent,
            out,
        };
        (&mut self.anonymous, turn)
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// How often paths without a user are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Sessions do their duties in this many portions a second.
const DUTIES_PER_SEC: u32 = 20;
const DUTY_EVERY: Duration = Duration::from_millis(50);

/// The records of one portion that say that the nlb closes: 20,000 a second.
const NOTED_EACH: usize = 1_000;

#[cfg(test)]
mod tests;
