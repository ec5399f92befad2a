//! The whole pool in one thread under one seed: hosts, phones, a store that takes its time, a
//! network that loses, repeats and reorders, and one virtual clock.
//!
//! Nothing here sleeps or reads a clock. A failure prints its seed, and the seed replays it.

mod check;
mod clock;
mod hang_up;
mod journal;
mod kept;
mod ledger;
mod network;
mod nlb;
mod phone;
mod pool;
mod process;
mod raw;
mod slow_store;
mod troubles;
mod turn;
mod wakes;
mod wire;

use std::task::{Context, Waker};
use std::time::Duration;

use presently::host::Host;
use presently_pool::{MemberId, Role};
use presently_presence::Server;
use presently_sip::{Aor, Moment, Now, WallTime};
use presently_store::sqlite::Inline;
use presently_store::{
    ClientState, Completion, Operation, Outcome, PoolStatus, Refused, Store, Ticket,
};

pub use self::check::presence_of;
pub use self::journal::{Assigned, Document, Entries, Journal};
pub use self::kept::{Mishap, MishapKind};
pub use self::ledger::{Ledger, Linked, Sent};
pub use self::network::{Faults, Network, Packet};
pub use self::nlb::{Happened, Happening, Nlb, Path, PathState, Records, Word};
pub use self::phone::Phone;
use self::process::Process;
pub use self::process::{Doom, Seat};
pub use self::raw::Heard;
pub use self::slow_store::StoreFaults;
pub use self::troubles::{Plan, Spell, Trouble};
pub use self::wakes::{Signals, Wakes};

/// How the members are spread over processes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrangement {
    /// Balancer and servers in one host: messages pass in memory.
    Together,
    /// A host each: messages pass as text over links.
    Apart,
}

/// A simulated pool and its phones.
pub struct World {
    /// The only source of chance.
    pub random: fastrand::Rng,
    /// The network between everybody.
    pub network: Network,
    /// Who is there to talk.
    pub phones: Vec<Phone>,
    /// What was seen, for the laws.
    pub ledger: Ledger,
    /// What the store has committed.
    pub journal: Journal,
    /// A handle on the store, for looking.
    pub store: Inline,
    /// A load balancer for application servers that follows users here, if there is one.
    pub nlb: Option<Box<Nlb>>,
    /// How long a phone may be silent until a server that begins from now on asks it.
    pub ask_after: Duration,
    processes: Vec<Process>,
    /// What reached addresses without a phone.
    heard: Vec<Heard>,
    now: Moment,
    /// What is still to go wrong, and to be right again.
    troubles: troubles::Agenda,
    /// Events so far: a bound on every run.
    steps: u64,
}

impl World {
    /// A pool of one balancer and `servers` servers of equal weight, joined and beating.
    #[must_use]
    pub fn new(seed: u64, servers: usize, arrangement: Arrangement) -> Self {
        Self::weighted(seed, &vec![1; servers], arrangement)
    }

    /// A pool of one balancer and a server for each weight.
    #[must_use]
    pub fn weighted(seed: u64, weights: &[u32], arrangement: Arrangement) -> Self {
        Self::begin(seed, pool::seats(weights, arrangement), None)
    }

    /// A pool of a process for each of `roles`, on machines that share their wall time as well as
    /// NTP makes them. Names are as in [`World::of`].
    #[must_use]
    pub fn on_time(seed: u64, roles: &[&[Role]]) -> Self {
        Self::begin(seed, pool::processes(roles), Some(WALL_OFF_NTP))
    }

    /// A pool of a process for each of `roles`, on machines whose clocks agree in nothing.
    /// Balancers are called b1, b2 …, servers s1, s2 …, in order.
    #[must_use]
    pub fn of(seed: u64, roles: &[&[Role]]) -> Self {
        Self::begin(seed, pool::processes(roles), Some(WALL_OFF_MAX))
    }

    /// Without `wall_off` all clocks are the world's own.
    fn begin(seed: u64, seats: Vec<Vec<Seat>>, wall_off: Option<Duration>) -> Self {
        let journal = Journal::default();
        let mut world = Self {
            random: fastrand::Rng::with_seed(seed),
            network: Network::default(),
            phones: Vec::new(),
            ledger: Ledger::new(journal.clone()),
            journal,
            store: Inline::open_in_memory().expect("memory for a store"),
            nlb: None,
            ask_after: Duration::from_mins(1),
            processes: Vec::new(),
            heard: Vec::new(),
            now: Moment(1_000_000),
            troubles: troubles::Agenda::default(),
            steps: 0,
        };
        for seats in seats {
            let mut process = pool::process(seats, &mut world);
            if let Some(most) = wall_off {
                process.clock = clock::Clock::wrong(&mut world.random, most);
            }
            world.processes.push(process);
        }
        world.start();
        world
    }

    /// Adds a phone of `user` and gives its place.
    pub fn add_phone(&mut self, user: &str) -> usize {
        let place = self.phones.len();
        let seed = self.random.u64(..);
        self.phones.push(Phone::new(user, place, seed));
        place
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            moment: self.now,
            wall: WallTime(EPOCH_MICROS + self.now.0),
        }
    }

    /// Lets a phone do something, and sends what it wrote.
    pub fn with_phone<R>(&mut self, place: usize, act: impl FnOnce(&mut Phone, Now) -> R) -> R {
        let now = self.now();
        let phone = self.phones.get_mut(place).expect("the phone was added");
        let result = act(phone, now);
        self.collect(place);
        result
    }

    /// Runs for a while of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now.after(span);
        while let Some(next) = self.next_event().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = until;
    }

    /// Runs until `is_done`, at most for `bound`; `false` when the bound came first.
    pub fn run_until(&mut self, bound: Duration, is_done: impl Fn(&Self) -> bool) -> bool {
        let until = self.now.after(bound);
        while !is_done(self) {
            match self.next_event().filter(|next| *next <= until) {
                Some(next) => self.now = self.now.max(next),
                None => return is_done(self),
            }
            self.step();
        }
        true
    }

    /// Asks the store something at once, beside the pool.
    ///
    /// # Panics
    ///
    /// The store refuses.
    pub fn ask(&mut self, operation: Operation) -> Outcome {
        self.try_ask(operation).expect("it is not refused")
    }

    /// The same, where the store may refuse.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn try_ask(&mut self, operation: Operation) -> Result<Outcome, Refused> {
        let mut done: Vec<Completion> = Vec::new();
        self.store.submit(&mut vec![(Ticket(0), operation.clone())]);
        let _ = self
            .store
            .poll(&mut Context::from_waker(Waker::noop()), &mut done);
        let completion = done.pop().expect("an inline store answers at once");
        if let Ok(outcome) = &completion.result {
            self.journal.note(self.now, &operation, outcome);
        }
        completion.result
    }

    /// What the store has of a user; `None` when it has nothing.
    ///
    /// # Panics
    ///
    /// `user` is no user part.
    pub fn show(&mut self, user: &str) -> Option<ClientState> {
        let client = aor(user);
        match self.ask(Operation::Show { client }) {
            Outcome::Client(state) => state.map(|state| *state),
            outcome => panic!("shown {outcome:?}"),
        }
    }

    /// The members and their counts, as the store has them.
    ///
    /// # Panics
    ///
    /// The store answers something else.
    pub fn status(&mut self) -> PoolStatus {
        match self.ask(Operation::Status) {
            Outcome::Status(status) => *status,
            outcome => panic!("a status of {outcome:?}"),
        }
    }

    /// The distinguished server of a user, if there is one.
    pub fn server_of(&mut self, user: &str) -> Option<MemberId> {
        let state = self.show(user)?;
        Some(state.assignment?.server)
    }

    /// The hosts that run, to look at.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.processes.iter().filter_map(Process::host)
    }

    /// Every server machine, to look at.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.hosts()
            .flat_map(Host::servers)
            .map(|(server, _)| server)
    }

    /// Moments at which something happened so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn next_event(&self) -> Option<Moment> {
        let processes = self.processes.iter().map(Process::next_due);
        let phones = self.phones.iter().map(Phone::poll_timeout);
        let nlb = self.nlb.as_ref().and_then(|nlb| nlb.next_due());
        let others = [self.network.next_due(), self.troubles.next_due(), nlb];
        processes.chain(phones).chain(others).flatten().min()
    }

    /// Everything that is due at this moment.
    fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the world does not come to rest");
        let now = self.now();
        self.trouble();
        while let Some(packet) = self.network.take_due(self.now) {
            self.deliver(packet);
        }
        for place in 0..self.phones.len() {
            let phone = self.phones.get_mut(place).expect("in range");
            if phone.poll_timeout().is_some_and(|due| due <= self.now) {
                phone.handle_timeout(now);
                self.collect(place);
            }
        }
        self.step_nlb();
        for place in 0..self.processes.len() {
            self.step_process(place);
        }
    }

    /// Sends what a phone wrote.
    fn collect(&mut self, place: usize) {
        let phone = self.phones.get_mut(place).expect("in range");
        let from = phone.address;
        for bytes in phone.take_datagrams() {
            let packet = Packet::ToPool { from, bytes };
            self.network.send(self.now, packet, &mut self.random);
        }
    }
}

/// The address of record of a user of the simulated domain.
///
/// # Panics
///
/// `user` is no user part.
#[must_use]
pub fn aor(user: &str) -> Aor {
    Aor::parse(&format!("sip:{user}@example.com")).expect("a user part")
}

/// 2026-11-21T00:00:00Z.
const EPOCH_MICROS: u64 = 1_795_219_200_000_000;
const STEPS_MAX: u64 = 5_000_000;
/// How far machines are off each other's wall time at the most: when nobody cares, and with NTP.
const WALL_OFF_MAX: Duration = Duration::from_secs(2);
const WALL_OFF_NTP: Duration = Duration::from_millis(5);
