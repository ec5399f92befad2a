//! A random script for phones, and the faults it is played under.

use std::fmt;
use std::time::Duration;

use presently_agent::SubscriptionId;
use presently_tests::world::{Arrangement, Faults, World};

/// What goes wrong while the phones play.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Weather {
    /// Nothing.
    Fair,
    /// Wakes are lost, repeated, overtaken.
    LossyWakes,
    /// Every wake is lost, to the end: only the slow sweep finds what has changed.
    NoWakes,
    /// Messages between phones and pool are lost, repeated, overtaken.
    RoughPhones,
}

/// One run.
pub(super) struct Script {
    world: World,
    random: fastrand::Rng,
    weather: Weather,
    arrangement: Arrangement,
    servers: usize,
    users: Vec<String>,
    /// A number for each published note: it only grows.
    published: u64,
    restarts: u32,
}

impl Script {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let weather = random.choice(WEATHERS).expect("there are some");
        let arrangement = random
            .choice([Arrangement::Apart, Arrangement::Together])
            .expect("there are two");
        let servers = random.usize(2..=4);
        let mut world = World::new(seed, servers, arrangement);
        let mut users = Vec::new();
        for place in 0..random.usize(4..=8) {
            // Some users have two or three devices.
            let user = format!("user{}", place % 5 % random.usize(1..=5));
            world.add_phone(&user);
            users.push(user);
        }
        Self {
            world,
            random,
            weather,
            arrangement,
            servers,
            users,
            published: 0,
            restarts: 0,
        }
    }

    /// Plays to the end; what of the laws did not hold.
    pub(super) fn run(&mut self) -> Vec<String> {
        self.begin_weather();
        for _ in 0..self.random.usize(15..40) {
            self.pause();
            self.play();
        }
        self.burst();
        if self.weather != Weather::NoWakes {
            (self.world.network.phones, self.world.network.wakes) = Default::default();
        }
        let mut broken = self.settle();
        broken.extend(self.world.check());
        broken
    }

    /// All that phones saw, in order: equal for equal seeds.
    pub(super) fn trace(&self) -> String {
        let phones = self.world.phones.iter();
        let events: Vec<_> = phones.map(|phone| &phone.events).collect();
        format!("{events:?}")
    }

    fn begin_weather(&mut self) {
        let random = &mut self.random;
        let mut faults = || Faults {
            loss: random.u32(0..300),
            repeat: random.u32(0..200),
            delay: random.u32(0..300),
            ..Faults::default()
        };
        match self.weather {
            Weather::Fair => {}
            Weather::LossyWakes => self.world.network.wakes = faults(),
            Weather::NoWakes => self.world.network.wakes.loss = 1000,
            Weather::RoughPhones => self.world.network.phones = faults(),
        }
    }

    /// Waits until every watcher shows the last state, as long as that may take, and then until
    /// what else was on its way has arrived.
    fn settle(&mut self) -> Vec<String> {
        let bound = match self.weather {
            // Two seconds is the promise with 30 % of wakes lost.
            Weather::Fair | Weather::LossyWakes => Duration::from_secs(2),
            // One slow sweep, and a little.
            Weather::NoWakes => Duration::from_secs(11),
            // A transaction that was lost to its end, and the pause after it.
            Weather::RoughPhones => Duration::from_secs(70),
        };
        let mut waited = Duration::ZERO;
        // The last request is still on its way; and nothing but waiting brings the next sweep.
        let least = if self.weather == Weather::NoWakes {
            bound
        } else {
            STEP
        };
        while waited < least || (waited < bound && !self.world.is_settled()) {
            self.world.run_for(STEP);
            waited += STEP;
        }
        let is_late = !self.world.is_settled();
        self.world.run_for(QUIET);
        let late = format!("somebody is stale {bound:?} after the last change");
        is_late.then_some(late).into_iter().collect()
    }

    /// From nothing, so that things meet, to long enough for all to be heard.
    fn pause(&mut self) {
        let longest = self.random.choice([1, 10, PAUSE_MAX_MILLIS]).expect("some");
        let pause = Duration::from_micros(self.random.u64(0..longest * 1_000));
        self.world.run_for(pause);
    }

    /// Everybody publishes within a few milliseconds: the last states meet on their way.
    fn burst(&mut self) {
        for _ in 0..2 * self.users.len() {
            let place = self.random.usize(0..self.users.len());
            self.publish(place);
            let pause = Duration::from_micros(self.random.u64(0..3_000));
            self.world.run_for(pause);
        }
    }

    /// One thing that somebody does.
    fn play(&mut self) {
        let place = self.random.usize(0..self.world.phones.len());
        let other = self.random.usize(0..self.world.phones.len());
        let target = self.world.phones[other].aor.clone();
        let watch = self.random_watch(place);
        match self.random.u32(0..100) {
            0..20 => self.with(place, |phone, now| phone.register(now, 3600)),
            20..28 => self.with(place, |phone, now| phone.unregister(now)),
            28..52 => self.publish(place),
            52..58 => self.with(place, |phone, now| phone.unpublish(now)),
            58..80 => self.with(place, |phone, now| {
                phone.subscribe(now, &target);
            }),
            80..86 => self.with(place, |phone, now| {
                watch.into_iter().for_each(|id| phone.unsubscribe(now, id));
            }),
            86..90 => self.with(place, |phone, now| phone.message(now, &target, "hello")),
            90..93 => self.with(place, |phone, now| {
                phone.fetch(now, &target);
            }),
            93..98 => self.move_somewhere(place),
            _ => self.restart(),
        }
    }

    fn publish(&mut self, place: usize) {
        let open = self.random.bool();
        // Sometimes several in one breath: they collapse.
        for _ in 0..self.random.usize(1..4) {
            self.published += 1;
            let note = format!("{}", self.published);
            self.with(place, |phone, now| phone.publish(now, open, &note));
        }
    }

    /// Another server gets a client. Without wakes nobody would hear of it.
    fn move_somewhere(&mut self, place: usize) {
        let user = self.users[place].clone();
        let servers: Vec<_> = self
            .world
            .servers()
            .map(|one| one.membership().member)
            .collect();
        let to = self.random.choice(servers).expect("there are some");
        if self.weather != Weather::NoWakes && self.world.server_of(&user).is_some() {
            self.world.try_reassign(&user, to);
        }
    }

    fn restart(&mut self) {
        if self.restarts < RESTARTS_MAX {
            self.restarts += 1;
            self.world.restart();
        }
    }

    fn random_watch(&mut self, place: usize) -> Option<SubscriptionId> {
        let watches = self.world.phones[place].watches.keys().copied();
        self.random.choice(watches.collect::<Vec<_>>())
    }

    fn with(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut presently_tests::world::Phone, presently_sip::Now),
    ) {
        self.world.with_phone(place, act);
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            weather,
            arrangement,
            servers,
            users,
            restarts,
            ..
        } = self;
        let phones = users.len();
        write!(
            f,
            "{weather:?}, {servers} servers {arrangement:?}, {phones} phones, {restarts} restarts"
        )
    }
}

const WEATHERS: [Weather; 4] = [
    Weather::Fair,
    Weather::LossyWakes,
    Weather::NoWakes,
    Weather::RoughPhones,
];
const PAUSE_MAX_MILLIS: u64 = 600;
const RESTARTS_MAX: u32 = 2;
/// Between two looks at the phones.
const STEP: Duration = Duration::from_millis(250);
/// After which nothing is on its way any more: the longest gap between two repeats of a request,
/// and some.
const QUIET: Duration = Duration::from_secs(6);
