//! The world around one nlb: a presence server, a store, a proxy with its clients, and the time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use presently_sip::{Aor, Moment, Now, WallTime};
use presently_store::{Completion, Operation, Outcome, Refused, Session as Record, Ticket};

use super::presence_server::{Document, PresenceServer};
use crate::{
    Config, CutReason, Entering, Input, Nlb, Outputs, PathId, PathKind, Refusal, Server, Step,
    Traffic, Verdict, What,
};

/// One nlb and all that it talks to.
#[derive(Debug)]
pub(super) struct World {
    pub(super) nlb: Nlb,
    pub(super) now: Now,
    pub(super) presence: PresenceServer,
    /// The rows of the store.
    pub(super) rows: BTreeMap<Aor, Record>,
    /// Whether the store refuses everything.
    pub(super) is_store_away: bool,
    /// Steps so far.
    pub(super) steps: Vec<Step>,
    /// Paths with access: whose, on which server, and what moves.
    pub(super) admitted: BTreeMap<PathId, Admitted>,
    pub(super) cut: Vec<(PathId, CutReason)>,
    /// The same, with the moment; for those who take it.
    pub(super) cut_at: Vec<(PathId, CutReason, Moment)>,
    /// Whose each path was.
    pub(super) owners: BTreeMap<PathId, String>,
    pub(super) refused: Vec<(PathId, Refusal)>,
    /// How long the next thing takes on its way.
    pub(super) delay: fn(u64) -> Duration,
    /// How often a SIP message arrives; 0 when it is lost.
    pub(super) copies: fn(u64) -> u32,
    /// What the presence server said lately.
    pub(super) said: VecDeque<String>,
    /// The UUID that paths bring along.
    pub(super) brings: Option<String>,
    /// What carries SIP between them, when it has a bound.
    pub(super) link: Option<Link>,
    to_pool: Vec<String>,
    traffic: BTreeMap<PathId, Arc<Traffic>>,
    under_way: BTreeMap<(Moment, u64), Arrival>,
    sent: u64,
    paths: u64,
    seed: u8,
}

/// Both ways of a link whose ends take one message after the other, and hold so many.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) to_nlb: Way,
    pub(super) to_pool: Way,
}

/// One way: a socket's buffer, and whoever reads it.
#[derive(Debug, Default)]
pub(super) struct Way {
    free_at: Moment,
    /// Messages that were lost because the buffer was full.
    pub(super) lost: u64,
    /// The most messages that waited.
    pub(super) deepest: u64,
}

impl Way {
    /// When a message that arrives at `due` has been taken.
    fn take(&mut self, due: Moment) -> Option<Moment> {
        let waiting = self.free_at.since(due).as_micros() / EACH.as_micros();
        let waiting = u64::try_from(waiting).unwrap();
        if waiting >= BUFFER {
            self.lost += 1;
            return None;
        }
        self.deepest = self.deepest.max(waiting);
        self.free_at = self.free_at.max(due).after(EACH);
        Some(self.free_at)
    }
}

/// A path with access.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) server: String,
    pub(super) address: SocketAddr,
    pub(super) traffic: Arc<Traffic>,
}

#[derive(Debug)]
enum Arrival {
    ToNlb(String),
    ToPool(String),
    Stored(Completion),
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        Self::with(config, &[("one", None), ("two", None)], Vec::new(), 1)
    }

    /// Two servers with one slot each.
    pub(super) fn narrow(config: Config) -> Self {
        Self::with(config, &[("one", Some(1)), ("two", Some(1))], Vec::new(), 1)
    }

    pub(super) fn with(
        config: Config,
        servers: &[(&str, Option<u32>)],
        records: Vec<Record>,
        seed: u8,
    ) -> Self {
        let now = at(START);
        let servers = servers.iter().map(|(name, slots)| server(name, *slots));
        let rows = records.iter().map(|it| (it.user.clone(), it.clone()));
        let rows = rows.collect();
        let nlb = Nlb::new(config, servers.collect(), now, [seed; 16], records);
        Self {
            nlb,
            now,
            presence: PresenceServer::default(),
            rows,
            is_store_away: false,
            steps: Vec::new(),
            admitted: BTreeMap::new(),
            cut: Vec::new(),
            cut_at: Vec::new(),
            owners: BTreeMap::new(),
            refused: Vec::new(),
            delay: |_| Duration::from_millis(1),
            copies: |_| 1,
            said: VecDeque::new(),
            brings: None,
            link: None,
            to_pool: Vec::new(),
            traffic: BTreeMap::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            paths: 0,
            seed,
        }
    }

    /// The program ends here and begins again: what is under way is lost, paths are closed.
    pub(super) fn restart(&mut self) {
        self.restart_with(&[("one", None), ("two", None)]);
    }

    pub(super) fn restart_with(&mut self, servers: &[(&str, Option<u32>)]) {
        let servers = servers.iter().map(|(name, slots)| server(name, *slots));
        let records = self.rows.values().cloned().collect();
        let config = self.nlb.config().clone();
        self.seed += 1;
        let seed = [self.seed; 16];
        self.nlb = Nlb::new(config, servers.collect(), self.now, seed, records);
        self.under_way.clear();
        self.admitted.clear();
        self.traffic.clear();
        self.steps.clear();
    }

    /// Lets `span` go by, with everything on its moment.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now.moment.after(span);
        loop {
            let arrival = self.under_way.first_key_value().map(|((due, _), _)| *due);
            let timer = self.nlb.poll_timeout();
            let due = [arrival, timer].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.set_moment(due.max(self.now.moment));
            if arrival.is_some_and(|arrival| arrival <= due) {
                let (_, arrival) = self.under_way.pop_first().unwrap();
                self.arrive(arrival);
            } else {
                let mut out = Outputs::default();
                self.nlb.handle_timeout(self.now, &mut out);
                self.take(out);
            }
        }
        self.set_moment(end);
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        let mut out = Outputs::default();
        self.nlb.handle_input(self.now, input, &mut out);
        self.take(out);
    }

    /// A connection of `user` asks for access.
    pub(super) fn enter(&mut self, user: &str) -> PathId {
        self.enter_from(Some(user), None)
    }

    pub(super) fn enter_from(&mut self, user: Option<&str>, device: Option<&str>) -> PathId {
        self.paths += 1;
        let path = PathId(self.paths);
        let traffic = Arc::new(Traffic::new(self.now.moment));
        let user_text = user.map(str::to_owned);
        self.owners.extend(user_text.map(|user| (path, user)));
        self.traffic.insert(path, Arc::clone(&traffic));
        let entering = Entering {
            path,
            user: user.map(|it| Aor::parse(it).unwrap()),
            device: device.map(Into::into),
            uuid: self.brings.clone().map(Into::into),
            kind: PathKind::Http,
            source: ([192, 0, 2, 1], 1).into(),
            resource: "app.example.com/desk".into(),
            opened: self.now.moment,
            traffic,
        };
        self.input(Input::Enter(Box::new(entering)));
        path
    }

    /// As [`World::enter`], and the steps have run.
    pub(super) fn serve(&mut self, user: &str) -> PathId {
        let path = self.enter(user);
        self.run(Duration::from_millis(50));
        assert!(self.admitted.contains_key(&path), "{:#?}", self.steps);
        path
    }

    /// As [`World::serve`], of a user who is online and idle for a while.
    pub(super) fn serve_open(&mut self, user: &str) -> PathId {
        self.set_open(user, true);
        let path = self.serve(user);
        self.run(Duration::from_secs(10));
        path
    }

    /// The client closed its connection.
    pub(super) fn leave(&mut self, path: PathId) {
        self.admitted.remove(&path);
        self.traffic.remove(&path);
        self.input(Input::Left { path });
    }

    /// The client of `path` sends something.
    pub(super) fn send(&mut self, path: PathId) {
        self.admitted[&path].traffic.from_user(self.now.moment, 10);
    }

    /// The client of `path` is sent something.
    pub(super) fn push(&mut self, path: PathId) {
        self.admitted[&path].traffic.to_user(self.now.moment, 10);
    }

    /// `user` logs on to the presence server, or off.
    pub(super) fn set_open(&mut self, user: &str, is_open: bool) {
        self.set_devices(user, &[("phone", is_open)]);
    }

    pub(super) fn set_devices(&mut self, user: &str, devices: &[(&'static str, bool)]) {
        let document = Document {
            devices: devices.to_vec(),
        };
        let notifies = self.presence.set(self.now.moment, user, document);
        self.deliver(notifies);
    }

    /// `user` logs off; the NOTIFYs are written now, to be delivered when the test wants.
    pub(super) fn closed_later(&mut self, user: &str) -> Vec<String> {
        let document = Document {
            devices: vec![("phone", false)],
        };
        self.presence.set(self.now.moment, user, document)
    }

    pub(super) fn deliver(&mut self, messages: Vec<String>) {
        for message in messages {
            for _ in 0..(self.copies)(self.sent) {
                self.post(Arrival::ToNlb(message.clone()));
            }
            self.sent += 1;
            self.said.push_back(message);
            if self.said.len() > SAID_MAX {
                self.said.pop_front();
            }
        }
    }

    /// What happened to `user`, in order.
    pub(super) fn whats(&self, user: &str) -> Vec<What> {
        let of_user = self.steps.iter().filter(|it| it.user.as_str() == user);
        of_user.map(|it| it.what.clone()).collect()
    }

    pub(super) fn has(&self, user: &str, what: &What) -> bool {
        self.whats(user).contains(what)
    }

    /// The last that happened to `user`, and to all, for people.
    pub(super) fn lately(&self, user: &str) -> Vec<String> {
        let about = |it: &&Step| it.user.as_str() == user || it.user == self.nlb.config().aor;
        let mut steps: Vec<String> = self
            .steps
            .iter()
            .rev()
            .filter(about)
            .take(40)
            .map(|it| format!("{} {:?}", it.at.moment.0 / 1000, it.what))
            .collect();
        steps.reverse();
        steps
    }

    /// When something happened to `user` for the first time.
    #[track_caller]
    pub(super) fn when(&self, user: &str, is_it: fn(&What) -> bool) -> Moment {
        let mut of_user = self.steps.iter().filter(|it| it.user.as_str() == user);
        of_user
            .find(|it| is_it(&it.what))
            .expect("it happened")
            .at
            .moment
    }

    /// Forgets what was noted for tests.
    pub(super) fn forget_notes(&mut self) {
        self.to_pool.clear();
        self.cut.clear();
        self.refused.clear();
        self.presence.forget_notes();
    }

    /// What was sent to the presence server while `work` ran.
    pub(super) fn sent_while(&mut self, work: impl FnOnce(&mut Self)) -> Vec<String> {
        self.to_pool.clear();
        work(self);
        std::mem::take(&mut self.to_pool)
    }

    pub(super) fn handle_of(&self, user: &str) -> String {
        let mut sights = self.nlb.sessions();
        let sight = sights.find(|it| it.user.as_str() == user);
        sight.expect("the user has a session").handle.to_string()
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::ToNlb(message) => {
                if !self.presence.is_away {
                    self.input(Input::Sip(message.as_bytes()));
                }
            }
            Arrival::ToPool(message) => {
                let answers = self.presence.receive(self.now.moment, &message);
                self.deliver(answers);
            }
            Arrival::Stored(completion) => self.input(Input::Stored(completion)),
        }
    }

    fn take(&mut self, out: Outputs) {
        for message in out.messages {
            let text = String::from_utf8(message.to_vec()).unwrap();
            for _ in 0..(self.copies)(self.sent) {
                self.post(Arrival::ToPool(text.clone()));
            }
            self.sent += 1;
            self.to_pool.push(text);
        }
        for (ticket, operation) in out.operations {
            let result = self.store(operation);
            let completion = Completion { ticket, result };
            if ticket != Ticket(0) {
                self.post(Arrival::Stored(completion));
            }
        }
        self.steps.extend(out.steps);
        for verdict in out.verdicts {
            self.obey(verdict);
        }
    }

    fn store(&mut self, operation: Operation) -> Result<Outcome, Refused> {
        if self.is_store_away {
            return Err(Refused::Unavailable);
        }
        match operation {
            Operation::KeepSession(row) => {
                self.rows.insert(row.user.clone(), *row);
                Ok(Outcome::Done)
            }
            Operation::PurgeSession { user, .. } => {
                self.rows.remove(&user);
                Ok(Outcome::Purged { released: false })
            }
            other => panic!("{other:?}"),
        }
    }

    fn obey(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Admit {
                path,
                server,
                address,
            } => {
                // The client may have closed meanwhile.
                if let Some(traffic) = self.traffic.get(&path) {
                    let admitted = Admitted {
                        server: server.to_string(),
                        address,
                        traffic: Arc::clone(traffic),
                    };
                    self.admitted.insert(path, admitted);
                }
            }
            Verdict::Cut { path, reason } => {
                assert!(self.admitted.contains_key(&path), "{path:?} was not there");
                self.cut.push((path, reason));
                self.cut_at.push((path, reason, self.now.moment));
                self.leave(path);
            }
            Verdict::Refuse { path, refusal } => {
                self.refused.push((path, refusal));
                self.traffic.remove(&path);
            }
        }
    }

    fn post(&mut self, arrival: Arrival) {
        self.sent += 1;
        let mut due = self.now.moment.after((self.delay)(self.sent));
        if let Some(link) = &mut self.link {
            let way = match arrival {
                Arrival::Stored(_) => None,
                Arrival::ToNlb(_) => Some(&mut link.to_nlb),
                Arrival::ToPool(_) => Some(&mut link.to_pool),
            };
            match way.map(|way| way.take(due)) {
                Some(None) => return,
                Some(Some(taken)) => due = taken,
                None => {}
            }
        }
        self.under_way.insert((due, self.sent), arrival);
    }

    fn set_moment(&mut self, moment: Moment) {
        self.now = at(moment.0);
    }
}

/// Both clocks, which differ so that one taken for the other shows.
pub(super) fn at(micros: u64) -> Now {
    Now {
        moment: Moment(micros),
        wall: WallTime(micros + WALL),
    }
}

fn server(name: &str, slots: Option<u32>) -> Server {
    Server {
        name: name.into(),
        address: ([127, 0, 0, 1], 80).into(),
        slots,
        weight: 1,
    }
}

/// What is kept of what the presence server said.
const SAID_MAX: usize = 32;

/// How long an end of a [`Link`] takes for a message, and how many its buffer holds.
const EACH: Duration = Duration::from_micros(150);
const BUFFER: u64 = 2_000;

/// When a test begins: long enough after the boot to look back.
const START: u64 = 100_000_000_000;
const WALL: u64 = 1_700_000_000_000_000;
