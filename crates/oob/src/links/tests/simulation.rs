//! Goal: whatever the network loses, repeats, delays or forges, a member knows the last version of
//! everything it was woken for, or was told to sweep after that wake was sent.
//! Method: three members, a virtual clock, and a network driven by one seed. A failure names its
//! seed, and that seed replays it.

use fastrand::Rng;

use super::*;

const MEMBERS: u32 = 3;
const USERS: usize = 12;

/// What a network does to datagrams, in parts of a hundred.
#[derive(Clone, Copy, Debug)]
struct Weather {
    lost: u64,
    doubled: u64,
    /// Sent once more with one bit turned over.
    forged: u64,
    /// Ten seconds late.
    very_late: u64,
    /// The most that others are delayed, in ms.
    delay_ms: u64,
}

const CALM: Weather = Weather {
    lost: 0,
    doubled: 0,
    forged: 0,
    very_late: 0,
    delay_ms: 0,
};

struct Pool {
    rng: Rng,
    weather: Weather,
    now: Moment,
    members: Vec<Links>,
    /// Datagrams under way by arrival.
    network: BTreeMap<(Moment, u64), (usize, Vec<u8>)>,
    sent: u64,
    /// What the store has, by user.
    store: Vec<u64>,
    /// What each member knows, by user: by wake, or from the store when it was told to sweep.
    known: Vec<Vec<u64>>,
    sweeps: u64,
}

impl Pool {
    fn new(seed: u64, weather: Weather) -> Self {
        let now = Moment(1_000_000);
        let rows: Vec<_> = (0..MEMBERS)
            .map(|id| (membership(id, 1), address(id)))
            .collect();
        let members = rows.iter().map(|(own, _)| {
            let mut links = Links::new(*own, key());
            links.set_peers(now, &rows);
            links
        });
        Self {
            rng: Rng::with_seed(seed),
            weather,
            now,
            members: members.collect(),
            network: BTreeMap::new(),
            sent: 0,
            store: vec![0; USERS],
            known: vec![vec![0; USERS]; rows.len()],
            sweeps: 0,
        }
    }

    /// A change is committed, and its writer wakes everybody else.
    fn change(&mut self) {
        let user = self.rng.usize(..USERS);
        let writer = self.rng.usize(..self.members.len());
        self.store[user] += 1;
        let wake = wake_of(user, self.store[user]);
        self.known[writer][user] = self.store[user];
        for other in (0..MEMBERS).filter(|&id| u32::try_from(writer) != Ok(id)) {
            self.members[writer].wake(MemberId(other), &wake);
        }
    }

    /// Everything that is due now, at every member; the clock then stands at the next due time.
    fn step(&mut self) {
        while let Some(entry) = self.network.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, bytes) = entry.remove();
            let mut out = Outputs::default();
            self.members[to].handle_datagram(self.now, &bytes, address(9), &mut out);
            self.take(to, &out);
        }
        for at in 0..self.members.len() {
            let mut out = Outputs::default();
            if self.members[at].poll_timeout().unwrap() <= self.now {
                self.members[at].handle_timeout(self.now, &mut out);
            }
            self.members[at].flush(self.now, &mut out);
            self.take(at, &out);
        }
        let timers = self.members.iter().filter_map(Links::poll_timeout);
        let arrival = self.network.keys().next().map(|(at, _)| *at);
        let next = timers.chain(arrival).min().unwrap();
        self.now = next.max(Moment(self.now.0 + 1));
    }

    fn take(&mut self, at: usize, out: &Outputs) {
        for (to, bytes) in out.transmits() {
            self.send(usize::from(to.port()), bytes);
        }
        for event in &out.events {
            match event {
                Event::Woken(wake) => {
                    let user = (0..USERS).find(|&user| wake_of(user, 0).resource == wake.resource);
                    let known = &mut self.known[at][user.unwrap()];
                    *known = wake.version.0.max(*known);
                }
                Event::Gap { .. } | Event::Reset { .. } => {
                    self.known[at].clone_from(&self.store);
                    self.sweeps += 1;
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, to: usize, bytes: &[u8]) {
        if self.hits(self.weather.forged) {
            let mut forged = bytes.to_vec();
            let place = self.rng.usize(..forged.len());
            forged[place] ^= 1 << self.rng.u8(..8);
            self.post(to, forged);
        }
        let copies = 1 + u32::from(self.hits(self.weather.doubled));
        for _ in 0..copies {
            if !self.hits(self.weather.lost) {
                self.post(to, bytes.to_vec());
            }
        }
    }

    fn post(&mut self, to: usize, bytes: Vec<u8>) {
        let mut delay = 100 + self.rng.u64(..=self.weather.delay_ms * 1_000);
        if self.hits(self.weather.very_late) {
            delay = 10_000_000;
        }
        self.sent += 1;
        let at = (Moment(self.now.0 + delay), self.sent);
        self.network.insert(at, (to, bytes));
    }

    fn hits(&mut self, percent: u64) -> bool {
        self.rng.u64(..100) < percent
    }

    fn run_for(&mut self, millis: u64) {
        let end = self.now.0 + millis * 1_000;
        let mut steps = 0;
        while self.now.0 < end {
            self.step();
            steps += 1;
            assert!(steps < 1_000_000, "it does not come to rest");
        }
    }

    /// Some changes a turn, the turns a few ms apart.
    fn change_for(&mut self, turns: u32) {
        for _ in 0..turns {
            for _ in 0..self.rng.u32(0..4) {
                self.change();
            }
            let pause = self.rng.u64(1..20);
            self.run_for(pause);
        }
    }

    fn is_converged(&self) -> bool {
        self.known.iter().all(|known| *known == self.store)
    }

    fn total(&self, count: impl Fn(&Counters) -> u64) -> u64 {
        self.members.iter().map(|one| count(one.counters())).sum()
    }
}

#[test]
fn under_loss_everybody_knows_the_last_version_within_two_seconds() {
    let weather = Weather {
        lost: 30,
        doubled: 10,
        delay_ms: 30,
        ..CALM
    };
    for seed in 0..300 {
        let mut pool = Pool::new(seed, weather);
        pool.change_for(40);
        pool.run_for(2_000);
        assert!(pool.is_converged(), "seed {seed}");
    }
}

#[test]
fn in_any_weather_nothing_is_lost_without_a_word() {
    let weather = Weather {
        lost: 20,
        doubled: 20,
        forged: 10,
        very_late: 5,
        delay_ms: 300,
    };
    for seed in 0..300 {
        let mut pool = Pool::new(seed, weather);
        pool.change_for(40);
        pool.weather = CALM;
        pool.run_for(12_000);
        assert!(pool.is_converged(), "seed {seed}");
        assert!(pool.total(|counters| counters.forged) > 0, "seed {seed}");
    }
}

#[test]
fn little_loss_is_repaired_without_a_sweep() {
    let weather = Weather {
        lost: 10,
        doubled: 10,
        delay_ms: 5,
        ..CALM
    };
    let mut repaired = 0;
    for seed in 0..100 {
        let mut pool = Pool::new(seed, weather);
        pool.run_for(2_000);
        let sweeps = pool.sweeps;
        pool.change_for(40);
        pool.run_for(1_500);
        assert!(pool.is_converged(), "seed {seed}");
        assert_eq!(pool.sweeps, sweeps, "seed {seed}");
        repaired += pool.total(|counters| counters.frames_repaired);
    }
    assert!(repaired > 500, "{repaired}");
}

#[test]
fn after_a_partition_everybody_knows_the_last_version() {
    for seed in 0..50 {
        let mut pool = Pool::new(seed, CALM);
        pool.change_for(10);
        pool.weather.lost = 100;
        pool.change_for(200);
        pool.run_for(10_000);
        pool.weather = CALM;
        pool.run_for(1_500);
        assert!(pool.is_converged(), "seed {seed}");
    }
}
