//! Goal: whatever happens in whatever order, no path on which bytes move is ever cut on presence,
//! nobody is released who did not go offline, and every user who did, and is idle, is released.
//! Method: random events from a seed, with loss, repeats, reordering, delay, clocks that are wrong,
//! outages and restarts; then a calm in which everything must be right.
//! `PRESENTLY_EVENTS` is how many events there are in all; `PRESENTLY_SEED` the first seed.

use std::collections::BTreeMap;

use presently_sip::Moment;

use super::*;
use crate::PathId;

#[test]
fn no_byte_moving_path_is_cut_and_every_closed_idle_user_is_released() {
    let events = number("PRESENTLY_EVENTS").unwrap_or(EVENTS_USUAL);
    let first = number("PRESENTLY_SEED").unwrap_or(1);
    let each = EVENTS_EACH.min(events);
    let mut sum = Sum::default();
    for seed in first..first + events.div_ceil(each) {
        let mut play = Play::new(seed);
        for _ in 0..each {
            play.event();
        }
        play.calm();
        sum.add(&play);
    }
    println!("{events} events from seed {first}: {sum:?}");
    assert!(events < 10_000 || sum.by_presence * sum.resumed * sum.dismissed > 0);
}

/// What the runs came to.
#[derive(Debug, Default)]
struct Sum {
    admitted: u64,
    by_presence: u64,
    not_resumed: u64,
    by_timeout: u64,
    resumed: u64,
    dismissed: u64,
    restarts: u64,
    outages: u64,
}

impl Sum {
    fn add(&mut self, play: &Play) {
        let counters = play.world.nlb.counters();
        self.admitted += play.before.admitted + counters.admitted;
        self.by_presence += play.before.by_presence + counters.released_by_presence;
        self.not_resumed += play.before.not_resumed + counters.released_not_resumed;
        self.by_timeout += play.before.by_timeout + counters.released_by_timeout;
        self.resumed += play.before.resumed + counters.resumed;
        self.dismissed += play.before.dismissed + counters.dismissed;
        self.restarts += play.before.restarts;
        self.outages += play.before.outages + counters.unreachable;
    }
}

struct Play {
    seed: u64,
    random: u64,
    world: World,
    /// Each user, whether it is online, and when it last was not.
    users: Vec<(String, bool, Moment)>,
    /// When something last moved on each path.
    moved: BTreeMap<PathId, Moment>,
    /// What earlier lives of the nlb came to.
    before: Sum,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut world = World::new(Config {
            guard: crate::GuardLimits {
                at_least: 4,
                ..crate::GuardLimits::default()
            },
            ..config()
        });
        world.delay = |number| millis(1 + mix(number) % 300);
        world.copies = |number| match mix(number ^ 0x5555) % 50 {
            0 => 0,
            1 | 2 => 2,
            _ => 1,
        };
        world.presence.has_date = !seed.is_multiple_of(3);
        let now = world.now.moment;
        let users = (0..USERS).map(|it| (format!("sip:u{it}@example.com"), false, now));
        Self {
            seed,
            random: mix(seed),
            world,
            users: users.collect(),
            moved: BTreeMap::new(),
            before: Sum::default(),
        }
    }

    fn event(&mut self) {
        let user = self.below(USERS);
        match self.below(1000) {
            0..160 => self.enter(user),
            160..230 => self.leave(),
            230..480 => self.bytes(),
            480..730 => self.presence(user),
            730..800 => self.repeat(),
            800..805 => self.world.presence.is_away = true,
            805..830 => self.world.presence.is_away = false,
            830..832 => self.restart(),
            832..834 => self.forget(),
            834..838 => self.world.presence.skew_secs = i64::try_from(self.below(9000)).unwrap(),
            838..845 => self.world.is_store_away = true,
            845..880 => self.world.is_store_away = false,
            880..900 => self.health(),
            900..930 => self.world.presence.message_status = [200, 480, 415, 100][user % 4],
            930..932 => self.world.input(Input::FlowLost),
            _ => self.wait(secs(20)),
        }
        self.wait(secs(1));
        let lost = self.world.presence.unanswered();
        self.world.deliver(lost);
        self.check();
    }

    fn enter(&mut self, user: usize) {
        let user = self.users[user].0.clone();
        let path = self.world.enter(&user);
        self.moved.insert(path, self.world.now.moment);
    }

    fn leave(&mut self) {
        if let Some(path) = self.any_path() {
            self.world.leave(path);
        }
    }

    fn bytes(&mut self) {
        if let Some(path) = self.any_path() {
            if self.below(2) == 0 {
                self.world.send(path);
            } else {
                self.world.push(path);
            }
            self.moved.insert(path, self.world.now.moment);
        }
    }

    fn presence(&mut self, user: usize) {
        let is_open = self.below(3) > 0;
        let (name, was_open, closed) = &mut self.users[user];
        if !*was_open || !is_open {
            *closed = self.world.now.moment;
        }
        *was_open = is_open;
        let name = name.clone();
        self.world.set_open(&name, is_open);
    }

    /// Something that was said lately is said again.
    fn repeat(&mut self) {
        let place = self.below(32);
        let again = self.world.said.get(place).cloned();
        self.world.deliver(again.into_iter().collect());
    }

    fn restart(&mut self) {
        let mut before = std::mem::take(&mut self.before);
        before.add(self);
        before.restarts += 1;
        self.before = before;
        self.world.restart();
        self.moved.clear();
    }

    /// The presence server begins anew without a memory, which breaks its connections.
    fn forget(&mut self) {
        self.world.presence.forget();
        self.world.input(Input::FlowLost);
    }

    fn health(&mut self) {
        let server = ["one", "two"][self.below(2)];
        let is_up = self.below(4) > 0;
        self.world.input(Input::Health { server, is_up });
    }

    /// Everything works again; every user comes, is seen online, and half of them leave.
    fn calm(&mut self) {
        let world = &mut self.world;
        world.copies = |_| 1;
        world.presence.is_away = false;
        world.presence.message_status = 480;
        world.is_store_away = false;
        for server in ["one", "two"] {
            let is_up = true;
            world.input(Input::Health { server, is_up });
        }
        // Longer than the guard holds, and than it takes to know the server's clock.
        self.pass(1200);
        for user in 0..USERS {
            self.set(user, true);
            self.enter(user);
        }
        self.pass(60);
        for user in (0..USERS).step_by(2) {
            self.set(user, false);
            self.pass(15);
            let name = &self.users[user].0;
            let mut sights = self.world.nlb.sessions();
            let sight = sights.find(|it| it.user.as_str() == name);
            assert!(sight.is_none(), "seed {}: {sight:#?}", self.seed);
        }
        assert_eq!(
            self.world.nlb.sessions().count(),
            USERS / 2,
            "seed {}",
            self.seed
        );
        self.end();
    }

    /// Nothing is left of anybody.
    fn end(&mut self) {
        self.world.input(Input::Close);
        self.pass(60);
        let (world, seed) = (&self.world, self.seed);
        assert!(world.nlb.is_idle(), "seed {seed}");
        assert!(world.rows.is_empty(), "seed {seed}: {:#?}", world.rows);
        assert_eq!(world.nlb.servers().live_in_all(), 0, "seed {seed}");
    }

    fn set(&mut self, user: usize, is_open: bool) {
        let (name, was_open, closed) = &mut self.users[user];
        if !is_open || !*was_open {
            *closed = self.world.now.moment;
        }
        *was_open = is_open;
        let name = name.clone();
        self.world.set_open(&name, is_open);
    }

    fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.world.run(secs(1));
            let lost = self.world.presence.unanswered();
            self.world.deliver(lost);
            self.check();
        }
    }

    /// Looks at what was cut since the last look.
    fn check(&mut self) {
        let config = config();
        for (path, reason, at) in std::mem::take(&mut self.world.cut_at) {
            let moved = self.moved.remove(&path).expect("it was opened");
            let idle = at.since(moved);
            let seed = self.seed;
            match reason {
                CutReason::Idle => assert!(idle >= config.path_idle, "seed {seed}: {idle:?}"),
                CutReason::Left => {
                    let user = self.world.owners[&path].clone();
                    assert!(
                        idle >= config.using_window,
                        "seed {seed}: {path:?} {idle:?} before {at:?}: {:#?}",
                        self.world.lately(&user)
                    );
                    let user = self.users.iter().find(|it| it.0 == user).unwrap();
                    let online = at.since(user.2);
                    let is_recent = !user.1 || online < BELIEVED_FOR;
                    assert!(
                        is_recent,
                        "seed {seed}: {user:?} is online since {online:?}: {:#?}",
                        self.world.lately(&user.0)
                    );
                }
                CutReason::ServerGone => {}
            }
        }
        let counters = self.world.nlb.counters();
        let sessions = u64::try_from(self.world.nlb.sessions().count()).unwrap();
        assert_eq!(counters.sessions, sessions);
        let placed = self.world.nlb.sessions().filter(|it| it.server.is_some());
        assert_eq!(self.world.nlb.servers().live_in_all(), placed.count());
        let paths = self.world.nlb.sessions().map(|it| it.paths).sum::<usize>();
        assert_eq!(counters.paths, u64::try_from(paths).unwrap());
        self.world.forget_notes();
    }

    fn any_path(&mut self) -> Option<PathId> {
        let count = self.world.admitted.len();
        let place = self.below(count.max(1));
        self.world.admitted.keys().nth(place).copied()
    }

    /// Up to `most`, and most often much less.
    fn wait(&mut self, most: Duration) {
        let most = usize::try_from(most.as_millis()).unwrap();
        let bound = 1 + self.below(most);
        let wait = self.below(bound);
        self.world.run(millis(u64::try_from(wait).unwrap()));
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(1);
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(mix(self.random) % bound).unwrap()
    }
}

/// A number as good as random (`SplitMix64`).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

const USERS: usize = 12;

/// A word that a user is offline may be acted upon this late: it travels, is waited out, and the
/// user is called; later a newer word must have come.
const BELIEVED_FOR: Duration = Duration::from_secs(20);

/// Few enough for every run of the tests.
const EVENTS_USUAL: u64 = 20_000;

/// After so many events there is a calm, and another seed.
const EVENTS_EACH: u64 = 5_000;
