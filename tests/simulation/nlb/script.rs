//! A random script for users, for the nlb, and for what fails around both.

use std::fmt;
use std::time::Duration;

use presently_agent::Event;
use presently_nlb::{Config, GuardLimits, Input, PathId, Server};
use presently_pool::Role;
use presently_sip::Moment;
use presently_tests::world::{Plan, Records, StoreFaults, Trouble, World};

use super::laws::{Counts, GUARD_AT_LEAST, GUARD_SHARE, GUARD_WITHIN, Laws};
use super::users::{Going, LONG_SECS, User};
use crate::nothing_is_lost::SHAPES;

/// One run.
pub(super) struct Script {
    pub(super) world: World,
    pub(super) laws: Laws,
    pub(super) users: Vec<User>,
    pub(super) events: u64,
    random: fastrand::Rng,
    shape: &'static [&'static [Role]],
    plan: Plan,
    records: Records,
    pub(super) is_on_time: bool,
    /// When a nlb that was killed begins again.
    begins_at: Option<Moment>,
    /// When phones say again what a pool has forgotten.
    repeats_at: Option<Moment>,
    /// How many events of each phone were looked at.
    read: Vec<usize>,
    forgotten: u64,
    /// Whether users do only what they are told to.
    pub(super) is_calm: bool,
}

/// What one or more runs came to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Sum {
    runs: u64,
    events: u64,
    moments: u64,
    virtual_secs: u64,
    forgotten: u64,
    broken: usize,
    counts: Counts,
}

impl Script {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let shape = random.choice(SHAPES).expect("there are some");
        let is_on_time = random.u32(0..4) > 0;
        let mut world = if is_on_time {
            World::on_time(seed, shape)
        } else {
            World::of(seed, shape)
        };
        let records = random.choice([Records::Own, Records::Shared]);
        let records = records.expect("there are two");
        world.add_nlb(config(), servers(), records);
        let users = (0..USERS).map(|it| {
            let devices = 1 + usize::from(it % 3 == 0);
            User::new(&mut world, &format!("user{it}"), devices)
        });
        let users: Vec<User> = users.collect();
        world.begin_nlb();
        Self {
            plan: plan(&mut random, shape, is_on_time),
            laws: Laws::new(is_on_time),
            read: vec![0; world.phones.len()],
            world,
            users,
            events: 0,
            random,
            shape,
            records,
            is_on_time,
            begins_at: None,
            repeats_at: None,
            forgotten: 0,
            is_calm: false,
        }
    }

    /// Plays to the end; what of the laws did not hold.
    pub(super) fn run(&mut self) -> Vec<String> {
        self.world.follow(&self.plan.clone());
        for _ in 0..EVENTS {
            self.event();
        }
        let left = self.plan.end().saturating_sub(self.elapsed());
        self.pass(left);
        self.calm();
        let mut broken = std::mem::take(&mut self.laws.broken);
        broken.append(&mut self.world.ledger.broken);
        broken
    }

    pub(super) fn sum(&self) -> Sum {
        Sum {
            runs: 1,
            events: self.events,
            moments: self.world.steps(),
            virtual_secs: self.elapsed().as_secs(),
            forgotten: self.forgotten,
            broken: self.laws.broken.len(),
            counts: self.laws.counts.clone(),
        }
    }

    /// One thing happens, and some time goes by.
    fn event(&mut self) {
        self.events += 1;
        let user = self.random.usize(0..self.users.len());
        match self.random.u32(0..1000) {
            0..150 => self.enter(user),
            150..200 => self.leave(),
            200..460 => self.move_bytes(),
            460..700 => self.come_or_go(user),
            700..703 => self.all_go(),
            703..708 => self.cut_off(),
            708..740 => self.reach_again(),
            740..744 => self.kill(),
            744..746 => self.forget(),
            746..756 => self.break_store(),
            756..790 => self.world.set_nlb_store(StoreFaults::default()),
            790..815 => self.health(),
            _ => self.wait(8_000),
        }
        self.wait(1_000);
    }

    fn enter(&mut self, user: usize) {
        let user = &self.users[user];
        let device = self.random.choice(&user.devices);
        let device = device.filter(|_| self.random.bool());
        let (aor, device) = (user.aor.clone(), device.map(|it| it.name.clone()));
        if self
            .world
            .nlb
            .as_ref()
            .is_some_and(|it| it.machine().is_some())
        {
            self.world.enter(&aor, device.as_deref());
        }
    }

    fn leave(&mut self) {
        if let Some(path) = self.any_path() {
            self.world.leave_path(path);
        }
    }

    fn move_bytes(&mut self) {
        if let Some(path) = self.any_path() {
            let is_from_user = self.random.bool();
            self.world.move_bytes(path, is_from_user);
        }
    }

    fn come_or_go(&mut self, user: usize) {
        let device = self.random.choice(&mut self.users[user].devices);
        let device = device.expect("each has one");
        let going = self.random.choice(GOINGS).expect("there are some");
        let secs = if self.random.u32(0..4) > 0 {
            LONG_SECS
        } else {
            self.random.u32(31..60)
        };
        if device.is_here() && self.random.bool() {
            device.go(&mut self.world, going);
        } else {
            device.come(&mut self.world, secs);
        }
    }

    /// As when the power of a building goes, or an access network.
    fn all_go(&mut self) {
        let going = self.random.choice(GOINGS).expect("there are some");
        for user in &mut self.users {
            for device in &mut user.devices {
                device.go(&mut self.world, going);
            }
        }
    }

    /// Nothing passes between nlb and pool.
    fn cut_off(&mut self) {
        let now = self.world.now().moment;
        let address = self.world.nlb.as_ref().expect("added").address;
        self.world.network.lost_phones.insert(address);
        self.laws.cut_off.get_or_insert(now);
    }

    pub(super) fn reach_again(&mut self) {
        let address = self.world.nlb.as_ref().expect("added").address;
        self.world.network.lost_phones.remove(&address);
        self.laws.cut_off = None;
    }

    /// Half of the times in the midst of a good-bye, if one comes within two seconds.
    fn kill(&mut self) {
        if self.begins_at.is_none() {
            let mut patience = if self.random.bool() { 1_000 } else { 0 };
            while patience > 0 && !self.is_any_leaving() {
                patience -= 1;
                self.pass(Duration::from_millis(2));
            }
            self.world.kill_nlb();
            let pause = Duration::from_millis(self.random.u64(100..30_000));
            self.begins_at = Some(self.world.now().moment.after(pause));
        }
    }

    fn is_any_leaving(&self) -> bool {
        let nlb = self.world.nlb.as_ref();
        let machine = nlb.and_then(|it| it.machine());
        machine.is_some_and(|it| it.counters().leaving > 0)
    }

    /// The pool begins anew without a memory, and phones find out some time later.
    fn forget(&mut self) {
        if self.records == Records::Own {
            self.forgotten += 1;
            self.world.forget();
            let pause = Duration::from_millis(self.random.u64(100..40_000));
            self.repeats_at = Some(self.world.now().moment.after(pause));
        }
    }

    fn break_store(&mut self) {
        let none = StoreFaults::default();
        let faults = match self.random.u32(0..3) {
            0 => StoreFaults {
                is_away: true,
                ..none
            },
            1 => StoreFaults {
                is_stuck: true,
                ..none
            },
            _ => {
                let delay = Duration::from_millis(self.random.u64(100..3_000));
                StoreFaults { delay, ..none }
            }
        };
        self.world.set_nlb_store(faults);
    }

    fn health(&mut self) {
        let server = self.random.choice(SERVERS).expect("there are some");
        let is_up = self.random.u32(0..4) > 0;
        self.world.tell_nlb(Input::Health { server, is_up });
    }

    /// Up to so many milliseconds, and most often much less.
    fn wait(&mut self, most: u64) {
        let most = self.random.u64(1..=most);
        let wait = Duration::from_millis(self.random.u64(0..most));
        self.pass(wait);
    }

    /// Lets time go by; what was to happen meanwhile happens at its time.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.world.now().moment.after(span);
        loop {
            let due = [self.begins_at, self.repeats_at]
                .into_iter()
                .flatten()
                .min();
            let until = due.unwrap_or(end).min(end);
            self.world.run_for(until.since(self.world.now().moment));
            self.look();
            self.answer_messages();
            let now = self.world.now().moment;
            if self.begins_at.is_some_and(|due| due <= now) {
                self.begins_at = None;
                self.world.begin_nlb();
                // Programs whose connections broke make new ones at once.
                for user in 0..self.users.len() {
                    if !self.is_calm && self.random.bool() {
                        self.enter(user);
                    }
                }
            }
            if self.repeats_at.is_some_and(|due| due <= now) {
                self.repeats_at = None;
                for device in self.users.iter().flat_map(|user| &user.devices) {
                    device.repeat(&mut self.world);
                }
            }
            if now >= end {
                return;
            }
        }
    }

    /// The laws look at what has happened.
    fn look(&mut self) {
        for user in &mut self.users {
            user.look(&self.world);
        }
        self.laws.look(&mut self.world, &self.users);
    }

    /// A user who is asked to come back does so, or not.
    fn answer_messages(&mut self) {
        for place in 0..self.read.len() {
            let phone = &self.world.phones[place];
            let news = phone.events.iter().skip(self.read[place]);
            let asked = news.filter(|(_, it)| matches!(it, Event::MessageReceived { .. }));
            let is_asked = asked.count() > 0;
            self.read[place] = phone.events.len();
            if is_asked && !self.is_calm && self.random.bool() {
                let aor = phone.aor.clone();
                let user = self.users.iter().position(|user| user.aor == aor);
                self.enter(user.expect("it is of a user"));
            }
        }
    }

    fn any_path(&mut self) -> Option<PathId> {
        let nlb = self.world.nlb.as_ref()?;
        let open: Vec<PathId> = nlb.open_paths().map(|(id, _)| id).collect();
        self.random.choice(open)
    }

    fn elapsed(&self) -> Duration {
        self.world.now().moment.since(BEGAN)
    }
}

impl Sum {
    pub(super) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.events += other.events;
        self.moments += other.moments;
        self.virtual_secs += other.virtual_secs;
        self.forgotten += other.forgotten;
        self.broken += other.broken;
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shape,
            plan,
            records,
            is_on_time,
            ..
        } = self;
        write!(f, "{shape:?}, {records:?}, on time: {is_on_time}, {plan}")
    }
}

/// What fails of the pool. Members that share their time are not set to another.
fn plan(random: &mut fastrand::Rng, shape: &[&[Role]], is_on_time: bool) -> Plan {
    let count = random.usize(0..=TROUBLES_MAX);
    let mut plan = Plan::any(random, shape, count, BEGIN_WITHIN);
    plan.0.retain(|spell| match spell.trouble {
        // The script says itself who is lost.
        Trouble::LostPhones(_) => false,
        Trouble::WallStep { .. } => !is_on_time,
        _ => true,
    });
    plan
}

fn config() -> Config {
    Config {
        aor: presently_tests::world::aor("nlb1"),
        register_secs: 120,
        subscribe_secs: 90,
        lease: Duration::from_secs(180),
        guard: GuardLimits {
            share_percent: GUARD_SHARE,
            at_least: GUARD_AT_LEAST,
            within: GUARD_WITHIN,
            hold: Duration::from_secs(60),
        },
        idle: Duration::from_secs(120),
        path_idle: Duration::from_secs(300),
        path_idle_open: Duration::from_secs(1_200),
        ..Config::default()
    }
}

/// Two, with a slot for half of the users each.
fn servers() -> Vec<Server> {
    let server = |name: &&str| Server {
        name: (*name).into(),
        address: ([127, 0, 0, 1], 80).into(),
        slots: Some(u32::try_from(USERS / 2).expect("few")),
        weight: 1,
    };
    SERVERS.iter().map(server).collect()
}

pub(super) const SERVERS: [&str; 2] = ["one", "two"];
const USERS: usize = 12;
/// Few enough for every run of the tests; then there is a calm, and another seed.
const EVENTS: u64 = 500;
const TROUBLES_MAX: usize = 10;
/// As long as most runs go on.
const BEGIN_WITHIN: Duration = Duration::from_secs(400);
const GOINGS: [Going; 4] = [
    Going::Closed,
    Going::LogsOff,
    Going::Silent,
    Going::TakesBack,
];
/// When every world begins.
const BEGAN: Moment = Moment(1_000_000);
