//! An nlb beside the pool: its machine, its clock, its records, the paths of its users, and what
//! it did. It reaches the pool as a phone does, over the same network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use presently_nlb::{
    Config, CutReason, Entering, Input, Nlb as Machine, Outputs, PathId, PathKind, Presence,
    Server, Sight, State, Step, Traffic, Verdict, What,
};
use presently_sip::{Aor, Framing, Index, Message, Moment, Now, Start};
use presently_store::sqlite::Inline;
use presently_store::{Operation, Outcome, Session as Record, Store, Ticket};

use super::clock::Clock;
use super::slow_store::{SlowStore, StoreLine};
use super::{Journal, Ledger, Packet, StoreFaults, World};

/// An nlb of the world, alive or not.
pub struct Nlb {
    /// Where SIP reaches it.
    pub address: SocketAddr,
    /// Every path of every life of it.
    pub paths: BTreeMap<PathId, Path>,
    /// Every handle that it ever had, and its own address.
    pub handles: BTreeSet<Aor>,
    config: Config,
    servers: Vec<Server>,
    clock: Clock,
    machine: Option<Machine>,
    rows: Inline,
    line: StoreLine,
    store: SlowStore,
    records: Records,
    happened: Vec<Happened>,
}

/// Where an nlb keeps its records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Records {
    /// In a store of its own.
    Own,
    /// In the pool's.
    Shared,
}

/// A connection of a user.
#[derive(Clone, Debug)]
pub struct Path {
    /// Whose.
    pub user: Aor,
    /// From which device, if it says so.
    pub device: Option<Arc<str>>,
    /// When it was opened.
    pub opened: Moment,
    /// When bytes last moved on it; opening counts.
    pub moved: Moment,
    /// How it stands.
    pub state: PathState,
    traffic: Arc<Traffic>,
}

/// How a path stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PathState {
    /// It has access, to this application server.
    Open(Arc<str>),
    /// It was closed, cut or refused.
    Over,
    /// It waits for access.
    Waiting,
}

/// Something that happened at the nlb.
#[derive(Clone, Debug)]
pub struct Happened {
    /// When.
    pub at: Moment,
    /// What.
    pub what: Happening,
    /// How many users were followed, before or after it: the more of both.
    pub followed: u64,
    /// Whether the presence server was taken to be there, after it.
    pub is_reachable: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// It began with these records, and took up these sessions.
    Began(Vec<Record>, Vec<Sight>),
    /// Presence cut this path.
    Cut(PathId),
    /// It was killed.
    Ended,
    /// It did a step; of a decision also what the record says of the user's presence by then.
    Step(Step, Option<Arc<str>>),
    /// A NOTIFY reached it.
    Word(Word),
}

/// A NOTIFY about a user.
#[derive(Clone, Debug)]
pub struct Word {
    /// About whom.
    pub user: Aor,
    /// When it left the pool for the first time.
    pub sent: Moment,
    /// Whether the user is online; `None` without a document.
    pub is_open: Option<bool>,
}

impl Nlb {
    /// When it has something to do by itself, in the world's time.
    pub(super) fn next_due(&self) -> Option<Moment> {
        let timer = self.machine.as_ref()?.poll_timeout();
        let timer = timer.map(|due| self.clock.global(due));
        timer.into_iter().chain(self.line.next_due()).min()
    }

    /// Whether it can lose nothing with the pool's store.
    #[must_use]
    pub fn has_own_records(&self) -> bool {
        self.records == Records::Own
    }

    /// The machine, while it lives.
    #[must_use]
    pub fn machine(&self) -> Option<&Machine> {
        self.machine.as_ref()
    }

    /// How it was configured.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Paths with access, as the proxy has them.
    pub fn open_paths(&self) -> impl Iterator<Item = (PathId, &Path)> {
        let all = self.paths.iter().map(|(id, path)| (*id, path));
        all.filter(|(_, path)| matches!(path.state, PathState::Open(_)))
    }

    /// Its rows in the store.
    ///
    /// # Panics
    ///
    /// The store answers something else.
    #[must_use]
    pub fn rows(&self) -> Vec<Record> {
        let mut rows: Vec<Record> = Vec::new();
        loop {
            let nlb = self.config.aor.user().into();
            let after = rows.last().map(|last| last.user.clone());
            let mut store = self.rows.clone();
            store.submit(&mut vec![(Ticket(0), Operation::Sessions { nlb, after })]);
            let mut done = Vec::new();
            let _ = store.poll(&mut Context::from_waker(Waker::noop()), &mut done);
            match done.pop().map(|completion| completion.result) {
                Some(Ok(Outcome::Sessions(page))) if page.is_empty() => return rows,
                Some(Ok(Outcome::Sessions(page))) => rows.extend(page),
                other => panic!("records of {other:?}"),
            }
        }
    }

    /// Takes what happened since the last time, in order.
    pub fn take_happened(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.happened)
    }

    /// Notes what the machine did, and does what it wants done; the messages it wants sent.
    fn take(&mut self, at: Moment, out: Outputs, followed: u64) -> Vec<Bytes> {
        self.line.set(at);
        if !out.operations.is_empty() {
            let mut operations = out.operations;
            self.store.submit(&mut operations);
        }
        for step in out.steps {
            let row = matches!(step.what, What::Decided(_)).then(|| self.said_of(&step.user));
            let cut = match step.what {
                What::Cut {
                    path,
                    reason: CutReason::Left,
                } => Some(path),
                _ => None,
            };
            self.note(at, Happening::Step(step, row.flatten()), followed);
            if let Some(path) = cut {
                self.note(at, Happening::Cut(path), followed);
            }
        }
        for verdict in out.verdicts {
            self.obey(verdict);
        }
        for message in &out.messages {
            self.handles.extend(registrant(message));
        }
        out.messages
    }

    /// What the record of `user` says of its presence.
    fn said_of(&self, user: &Aor) -> Option<Arc<str>> {
        let mut rows = self.rows().into_iter();
        rows.find(|row| row.user == *user).map(|row| row.presence)
    }

    fn note(&mut self, at: Moment, what: Happening, followed: u64) {
        let machine = self.machine.as_ref();
        let now = machine.map_or(0, |machine| machine.counters().followed);
        self.happened.push(Happened {
            at,
            what,
            followed: followed.max(now),
            is_reachable: machine.is_some_and(Machine::is_reachable),
        });
    }

    fn obey(&mut self, verdict: Verdict) {
        let (path, state) = match verdict {
            Verdict::Admit { path, server, .. } => (path, PathState::Open(server)),
            Verdict::Cut { path, .. } | Verdict::Refuse { path, .. } => (path, PathState::Over),
        };
        let path = self.paths.get_mut(&path).expect("it asked for access");
        if path.state != PathState::Over {
            path.state = state;
        }
    }
}

impl World {
    /// An nlb that has not begun. Its own address is `config`'s, its SIP comes from `address`.
    pub fn add_nlb(&mut self, mut config: Config, servers: Vec<Server>, records: Records) {
        let address = SocketAddr::from(([10, 2, 0, 1], 5062));
        config.sent_by = address.to_string();
        let (rows, journal) = match records {
            Records::Own => {
                let own = Inline::open_in_memory().expect("memory for a store");
                (own, Journal::default())
            }
            Records::Shared => (self.store.clone(), self.journal.clone()),
        };
        let line = StoreLine::new(rows.clone(), journal, self.random.u64(..));
        self.nlb = Some(Box::new(Nlb {
            address,
            paths: BTreeMap::new(),
            handles: BTreeSet::new(),
            clock: Clock::wrong(&mut self.random, super::WALL_OFF_MAX),
            machine: None,
            store: line.open(),
            rows,
            line,
            records,
            config,
            servers,
            happened: Vec::new(),
        }));
    }

    /// The nlb's process begins, with what its records say.
    pub fn begin_nlb(&mut self) {
        let mut seed = [0; 16];
        self.random.fill(&mut seed);
        let (at, nlb) = (self.now, self.nlb_mut());
        let records = nlb.rows();
        nlb.line.set(at);
        nlb.store = nlb.line.open();
        let (config, servers) = (nlb.config.clone(), nlb.servers.clone());
        let now = nlb.clock.now(at);
        let machine = Machine::new(config, servers, now, seed, records.clone());
        nlb.machine = Some(machine);
        self.with_machine(|machine, now, out| machine.handle_timeout(now, out));
        let nlb = self.nlb_mut();
        let sights = nlb
            .machine()
            .map_or(Vec::new(), |it| it.sessions().collect());
        nlb.note(at, Happening::Began(records, sights), 0);
    }

    /// The nlb's process ends, as at `kill -9`: its memory is gone, its connections break. What
    /// the store was doing for it may be done or not.
    pub fn kill_nlb(&mut self) {
        let at = self.now;
        let nlb = self.nlb_mut();
        nlb.machine = None;
        nlb.line.set(at);
        nlb.line.cut_short();
        for path in nlb.paths.values_mut() {
            path.state = PathState::Over;
        }
        nlb.note(at, Happening::Ended, 0);
    }

    /// What is wrong with the store, as the nlb sees it.
    pub fn set_nlb_store(&mut self, faults: StoreFaults) {
        let at = self.now;
        let nlb = self.nlb_mut();
        nlb.line.set(at);
        nlb.line.set_faults(faults);
    }

    /// Tells the nlb something; nothing while it does not live.
    pub fn tell_nlb(&mut self, input: Input<'_>) {
        self.with_machine(|machine, now, out| machine.handle_input(now, input, out));
    }

    /// A connection of `user` asks for access, from `device` if it says so.
    pub fn enter(&mut self, user: &Aor, device: Option<&str>) -> PathId {
        let at = self.now;
        let nlb = self.nlb_mut();
        let opened = nlb.clock.now(at).moment;
        let (id, traffic) = (nlb.next_path(), Arc::new(Traffic::new(opened)));
        let path = Path {
            user: user.clone(),
            device: device.map(Into::into),
            opened: at,
            moved: at,
            state: PathState::Waiting,
            traffic: Arc::clone(&traffic),
        };
        let entering = Entering {
            path: id,
            user: Some(user.clone()),
            device: path.device.clone(),
            uuid: None,
            kind: PathKind::Http,
            source: ([192, 0, 2, 1], 1).into(),
            resource: "app.example.com/desk".into(),
            opened,
            traffic,
        };
        nlb.paths.insert(id, path);
        self.tell_nlb(Input::Enter(Box::new(entering)));
        id
    }

    /// The client of `path` closes its connection.
    pub fn leave_path(&mut self, path: PathId) {
        let nlb = self.nlb_mut();
        nlb.paths.get_mut(&path).expect("it was opened").state = PathState::Over;
        self.tell_nlb(Input::Left { path });
    }

    /// Bytes move on a path that is open, from the user or to it.
    pub fn move_bytes(&mut self, path: PathId, is_from_user: bool) {
        let at = self.now;
        let nlb = self.nlb_mut();
        let local = nlb.clock.now(at).moment;
        let path = nlb.paths.get_mut(&path).expect("it was opened");
        path.moved = at;
        if is_from_user {
            path.traffic.from_user(local, 10);
        } else {
            path.traffic.to_user(local, 10);
        }
    }

    pub(super) fn deliver_to_nlb(&mut self, bytes: &[u8]) {
        let at = self.now;
        let word = word_of(bytes, &self.ledger);
        let nlb = self.nlb_mut();
        if let (Some(word), true) = (word, nlb.machine.is_some()) {
            nlb.note(at, Happening::Word(word), 0);
        }
        self.tell_nlb(Input::Sip(bytes));
    }

    /// What of the nlb is due.
    pub(super) fn step_nlb(&mut self) {
        let at = self.now;
        let Some(nlb) = &mut self.nlb else { return };
        if nlb.next_due().is_none_or(|due| due > at) {
            return;
        }
        nlb.line.set(at);
        let mut done = Vec::new();
        let _ = nlb
            .store
            .poll(&mut Context::from_waker(Waker::noop()), &mut done);
        for completion in done {
            self.tell_nlb(Input::Stored(completion));
        }
        self.with_machine(|machine, now, out| {
            if machine.poll_timeout().is_some_and(|due| due <= now.moment) {
                machine.handle_timeout(now, out);
            }
        });
    }

    fn with_machine(&mut self, act: impl FnOnce(&mut Machine, Now, &mut Outputs)) {
        let at = self.now;
        let nlb = self.nlb_mut();
        let Some(machine) = &mut nlb.machine else {
            return;
        };
        let followed = machine.counters().followed;
        let mut out = Outputs::default();
        act(machine, nlb.clock.now(at), &mut out);
        let cut: Vec<PathId> = out.verdicts.iter().filter_map(cut_path).collect();
        let (messages, from) = (nlb.take(at, out, followed), nlb.address);
        for bytes in messages {
            let packet = Packet::ToPool { from, bytes };
            self.network.send(at, packet, &mut self.random);
        }
        // The proxy closes what it is told to, and says so.
        for path in cut {
            self.tell_nlb(Input::Left { path });
        }
    }

    fn nlb_mut(&mut self) -> &mut Nlb {
        self.nlb.as_mut().expect("an nlb was added")
    }
}

impl Nlb {
    fn next_path(&self) -> PathId {
        PathId(
            self.paths
                .last_key_value()
                .map_or(1, |(last, _)| last.0 + 1),
        )
    }
}

fn cut_path(verdict: &Verdict) -> Option<PathId> {
    match verdict {
        Verdict::Cut { path, .. } => Some(*path),
        _ => None,
    }
}

/// Who is registered by a message, if it is a REGISTER.
fn registrant(message: &Bytes) -> Option<Aor> {
    let is_register = message.starts_with(b"REGISTER ");
    let found = is_register.then(|| with_message(message, |it| Aor::parse(it.to()?.uri).ok()))?;
    found.flatten()
}

/// What a NOTIFY says, and when it was sent; `None` for anything else.
fn word_of(bytes: &[u8], ledger: &Ledger) -> Option<Word> {
    if !bytes.starts_with(b"NOTIFY ") {
        return None;
    }
    let word = with_message(bytes, |message| {
        let Start::Request { .. } = message.start() else {
            return None;
        };
        let from = message.from()?;
        let dialog = (message.call_id()?.to_owned(), from.tag()?.to_owned());
        let cseq = message.cseq()?.number;
        let mut sent = ledger.notifies.get(&dialog)?.iter();
        let sent = sent.find(|sent| sent.cseq == cseq)?.at;
        let presence = Presence::read(message.body());
        Some(Word {
            user: Aor::parse(from.uri).ok()?,
            sent,
            is_open: presence.map(|presence| presence.state() == State::Open),
        })
    });
    word.flatten()
}

fn with_message<R>(bytes: &[u8], read: impl FnOnce(&Message<'_>) -> R) -> Option<R> {
    let mut index = Index::default();
    let message = index.read(bytes, Framing::Datagram).ok()?;
    Some(read(&message))
}
