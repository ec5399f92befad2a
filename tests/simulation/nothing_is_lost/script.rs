//! A random script for phones, and the plan of faults it is played under.

use std::fmt;
use std::time::Duration;

use presently_agent::SubscriptionId;
use presently_pool::Role::{self, Balancer as B, Server as S};
use presently_sip::Now;
use presently_tests::world::{Ledger, MishapKind, Phone, Plan, Trouble, World};

/// How many faults a run has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Count {
    /// One: what the design promises is kept to the letter.
    One,
    /// Two to five, that may meet: what is lost is time.
    Several,
}

/// One run.
pub(super) struct Script {
    world: World,
    random: fastrand::Rng,
    shape: &'static [&'static [Role]],
    plan: Plan,
    users: Vec<String>,
    /// A number for each published note: it only grows.
    published: u64,
}

impl Script {
    pub(super) fn new(seed: u64, count: Count) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let shape = random.choice(SHAPES).expect("there are some");
        let count = match count {
            Count::One => 1,
            Count::Several => random.usize(2..=5),
        };
        let plan = Plan::any(&mut random, shape, count, BEGIN_WITHIN);
        let mut world = World::of(seed, shape);
        let mut users = Vec::new();
        for place in 0..random.usize(4..=8) {
            let user = format!("user{}", place % 6);
            world.add_phone(&user);
            users.push(user);
        }
        Self {
            world,
            random,
            shape,
            plan,
            users,
            published: 0,
        }
    }

    /// Plays to the end; what of the laws did not hold.
    pub(super) fn run(&mut self) -> Vec<String> {
        self.begin();
        self.play_out()
    }

    /// The same where everybody was there before and gone for so long that nothing of anybody is
    /// left, and comes back one by one, watched or not, while things go wrong.
    pub(super) fn run_after_all_were_gone(&mut self) -> Vec<String> {
        self.begin();
        for place in 0..self.users.len() {
            let watches = self.world.phones[place].watches.keys().copied();
            let watches: Vec<_> = watches.collect();
            self.with(place, |phone, now| {
                watches
                    .into_iter()
                    .for_each(|id| phone.unsubscribe(now, id));
                phone.unpublish(now);
                phone.unregister(now);
            });
            self.pause();
        }
        self.world.run_for(FORGOTTEN);
        let left = self
            .users
            .iter()
            .filter(|user| self.world.show(user).is_some());
        let left = left.map(|user| format!("something of {user} is left"));
        let left: Vec<_> = left.collect();
        for place in 0..self.users.len() {
            self.watch(place);
        }
        [left, self.play_out()].concat()
    }

    fn play_out(&mut self) -> Vec<String> {
        self.world.follow(&self.plan);
        let end = self.world.now().moment.after(self.plan.end());
        while self.world.now().moment < end {
            self.pause();
            self.play();
        }
        let mut broken = self.settle();
        broken.extend(self.world.check());
        // Whatever was granted before is worth something still.
        self.everybody_publishes();
        self.world.run_for(QUIET);
        if !self.spares_phones() && !self.world.is_settled() {
            // A phone that refused or missed a NOTIFY is tried again after a pause.
            self.world.run_for(RETRY);
        }
        broken.extend(self.world.check());
        broken.extend(self.mishaps());
        broken
    }

    /// All that phones saw, in order: equal for equal seeds.
    pub(super) fn trace(&self) -> String {
        let phones = self.world.phones.iter();
        let events: Vec<_> = phones.map(|phone| &phone.events).collect();
        format!("{events:?}")
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.world.ledger
    }

    /// Everybody logs on, publishes and watches somebody, before anything goes wrong.
    fn begin(&mut self) {
        for place in 0..self.users.len() {
            self.log_on(place);
            self.publish(place);
            for _ in 0..self.random.usize(1..=3) {
                self.watch(place);
            }
            self.pause();
        }
        self.world.run_for(Duration::from_secs(2));
    }

    /// Waits until every watcher shows the last state, as long as that may take, and then until
    /// what else was on its way has arrived.
    fn settle(&mut self) -> Vec<String> {
        let bound = if self.spares_phones() {
            SOON
        } else {
            // A transaction that was lost to its end, and the pause after it.
            Duration::from_secs(75)
        };
        let mut waited = Duration::ZERO;
        while waited < STEP || (waited < bound && !self.world.is_settled()) {
            self.world.run_for(STEP);
            waited += STEP;
        }
        let is_late = !self.world.is_settled();
        self.world.run_for(QUIET);
        // What was told while somebody was not there, sweeps have told.
        self.world.excuse_wakes();
        let late = format!("somebody is stale {bound:?} after the last fault");
        is_late.then_some(late).into_iter().collect()
    }

    /// Whether no phone may notice anything but a slow answer.
    fn spares_phones(&self) -> bool {
        let spares = |trouble: &Trouble, lasts: Duration| match trouble {
            Trouble::LostPhones(_) | Trouble::Phones(_) => false,
            Trouble::Store { faults, .. } => {
                let is_gone = faults.is_away || faults.is_stuck || faults.is_full;
                !is_gone || lasts <= STORE_GONE
            }
            _ => true,
        };
        let mut spells = self.plan.0.iter();
        self.plan.0.len() == 1 && spells.all(|spell| spares(&spell.trouble, spell.lasts))
    }

    /// What phones met with that the plan does not excuse. Nothing excuses a refusal but for lack
    /// of room or of the store, nor the end of a subscription.
    fn mishaps(&self) -> Vec<String> {
        let spares = self.spares_phones();
        let is_excused = |kind| match kind {
            MishapKind::Refused(503) | MishapKind::TimedOut => !spares,
            MishapKind::Refused(_) | MishapKind::Terminated => false,
        };
        let mishaps = self.world.mishaps().into_iter();
        let unexcused = mishaps.filter(|mishap| !is_excused(mishap.kind));
        unexcused.map(|mishap| format!("{mishap:?}")).collect()
    }

    /// From nothing, so that things meet, to long enough for all to be heard.
    fn pause(&mut self) {
        let longest = self.random.choice([1, 10, PAUSE_MAX_MILLIS]).expect("some");
        let pause = Duration::from_micros(self.random.u64(0..longest * 1_000));
        self.world.run_for(pause);
    }

    fn everybody_publishes(&mut self) {
        for place in 0..self.users.len() {
            self.publish(place);
        }
    }

    /// One thing that somebody does.
    fn play(&mut self) {
        let place = self.random.usize(0..self.users.len());
        let other = self.random.usize(0..self.users.len());
        let target = self.world.phones[other].aor.clone();
        match self.random.u32(0..100) {
            0..15 => self.log_on(place),
            15..22 => self.with(place, Phone::unregister),
            22..60 => self.publish(place),
            60..65 => self.with(place, Phone::unpublish),
            65..82 => self.watch(place),
            82..90 => {
                let id = self.random_watch(place);
                self.with(place, |phone, now| {
                    id.into_iter().for_each(|id| phone.unsubscribe(now, id));
                });
            }
            90..94 => self.with(place, |phone, now| {
                phone.fetch(now, &target);
            }),
            94..97 => self.with(place, |phone, now| phone.message(now, &target, "hello")),
            _ => self.move_somewhere(place),
        }
    }

    fn log_on(&mut self, place: usize) {
        let secs = self.random_secs();
        self.with(place, |phone, now| phone.register(now, secs));
    }

    fn watch(&mut self, place: usize) {
        let other = self.random.usize(0..self.users.len());
        let target = self.world.phones[other].aor.clone();
        let secs = self.random_secs();
        self.with(place, |phone, now| {
            phone.subscribe_for(now, &target, secs);
        });
    }

    fn publish(&mut self, place: usize) {
        let (open, secs) = (self.random.bool(), self.random_secs());
        self.published += 1;
        let note = format!("{}", self.published);
        self.with(place, |phone, now| {
            phone.publish_for(now, open, &note, secs);
        });
    }

    fn move_somewhere(&mut self, place: usize) {
        let user = self.users[place].clone();
        let servers = self.world.servers();
        let servers: Vec<_> = servers.map(|one| one.membership().member).collect();
        if let Some(to) = self.random.choice(servers) {
            self.world.try_reassign(&user, to);
        }
    }

    /// Short enough that refreshes fall into the run, long enough to outlive any fault.
    fn random_secs(&mut self) -> u32 {
        self.random.u32(90..300)
    }

    fn random_watch(&mut self, place: usize) -> Option<SubscriptionId> {
        let watches = self.world.phones[place].watches.keys().copied();
        self.random.choice(watches.collect::<Vec<_>>())
    }

    fn with(&mut self, place: usize, act: impl FnOnce(&mut Phone, Now)) {
        self.world.with_phone(place, act);
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shape, plan, .. } = self;
        write!(f, "{} phones, {shape:?}, {plan}", self.users.len())
    }
}

/// Processes and what is in them.
pub(crate) const SHAPES: [&[&[Role]]; 5] = [
    &[&[B], &[S], &[S], &[S]],
    &[&[B], &[B], &[S], &[S]],
    &[&[B, S], &[B, S], &[B, S]],
    &[&[B, S, S], &[B, S]],
    &[&[B], &[B], &[S, S], &[S]],
];
const BEGIN_WITHIN: Duration = Duration::from_secs(10);
const PAUSE_MAX_MILLIS: u64 = 1_000;
/// A client's last requests are remembered for 64·T1, and a beat takes the rest.
const FORGOTTEN: Duration = Duration::from_secs(36);
/// A store that is gone for no longer loses no phone.
const STORE_GONE: Duration = Duration::from_secs(15);
/// Until when everybody shows the last state once nothing is wrong any more: a start's wait, a slow
/// sweep, and a little.
const SOON: Duration = Duration::from_secs(15);
/// Between two looks at the phones.
const STEP: Duration = Duration::from_millis(250);
/// After which nothing is on its way any more: the longest gap between two repeats of a request,
/// and some.
const QUIET: Duration = Duration::from_secs(6);
/// How long a notifier lets a phone alone that did not take a NOTIFY.
const RETRY: Duration = Duration::from_secs(60);
