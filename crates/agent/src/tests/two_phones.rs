//! Goal: whatever the network loses, doubles or delays, each phone ends with the other's last
//! state. Method: two agents and a small pool under one seed; two agents of one seed as well.

use std::collections::BTreeMap;

use super::pool::Pool;
use super::*;
use crate::{pidf, read_pidf};

/// Two phones that watch each other over a bad network.
struct World {
    now: Now,
    random: u64,
    phones: BTreeMap<String, Agent>,
    pool: Pool,
    /// When, whether to the pool, whose phone, what.
    in_flight: Vec<(Moment, bool, String, String)>,
    /// The last note each phone read of the other, and how often it was told.
    seen: BTreeMap<String, (String, u32)>,
    out_of_order: u32,
}

impl World {
    fn new(seed: u64, phone_seeds: [u64; 2]) -> Self {
        let phones = USERS.iter().zip(phone_seeds);
        let phones =
            phones.map(|(user, seed)| ((*user).to_owned(), Agent::new(config(user, seed))));
        Self {
            now: at(0),
            random: seed,
            phones: phones.collect(),
            pool: Pool::default(),
            in_flight: Vec::new(),
            seen: BTreeMap::new(),
            out_of_order: 0,
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }

    /// 20 % lost, 10 % twice, each copy 1 to 200 ms late: so reordered as well.
    fn post(&mut self, to_pool: bool, user: &str, text: &str) {
        let copies = match self.below(10) {
            0 | 1 => 0,
            2 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let delay = Duration::from_millis(1 + self.below(200));
            let due = self.now.moment.after(delay);
            self.in_flight
                .push((due, to_pool, user.to_owned(), text.to_owned()));
        }
    }

    fn with_phone(&mut self, user: &str, work: impl FnOnce(&mut Agent, Now, &mut Outputs)) {
        let mut out = Outputs::default();
        let agent = self.phones.get_mut(user).unwrap();
        work(agent, self.now, &mut out);
        for text in out.datagrams {
            self.post(true, user, std::str::from_utf8(&text).unwrap());
        }
        for event in out.events {
            match event {
                Event::Notified(told) => {
                    let note = read_pidf(&told.body).map(|(_, notes)| notes.concat());
                    let seen = self.seen.entry(user.to_owned()).or_default();
                    *seen = (note.unwrap_or_default(), seen.1 + 1);
                }
                Event::OutOfOrder { .. } => self.out_of_order += 1,
                _ => {}
            }
        }
    }

    fn publish(&mut self, user: &str, note: &str) {
        let body = pidf(&aor(user), true, Some(note));
        self.with_phone(user, |agent, now, out| {
            agent.publish(now, "presence", "application/pidf+xml", body, 600, out);
        });
    }

    /// Runs for `secs` in steps of 50 ms.
    fn run(&mut self, secs: u64) {
        for step in 0..secs * 20 {
            self.now.moment = self.now.moment.after(Duration::from_millis(50));
            let now = self.now.moment;
            let arrived: Vec<_> = self
                .in_flight
                .extract_if(.., |(due, ..)| *due <= now)
                .collect();
            for (_, to_pool, user, text) in arrived {
                if to_pool {
                    for answer in self.pool.receive(&text) {
                        self.post(false, &user, &answer);
                    }
                } else {
                    self.with_phone(&user, |agent, now, out| {
                        agent.handle_message(now, text.as_bytes(), out);
                    });
                }
            }
            for user in USERS {
                self.with_phone(user, Agent::handle_timeout);
            }
            if step % 20 == 0 {
                for (user, text) in self.pool.notifies() {
                    self.post(false, &user, &text);
                }
            }
        }
    }

    fn run_all(&mut self) {
        for (user, other) in [(USERS[0], USERS[1]), (USERS[1], USERS[0])] {
            self.with_phone(user, |agent, now, out| {
                agent.register(now, 600, out);
                agent.subscribe(now, &aor(other), "presence", 600, &[], out);
            });
        }
        for round in 0..5 {
            for user in USERS {
                self.publish(user, &format!("{user} {round}"));
            }
            self.run(3);
        }
        self.run(900);
    }

    fn note_seen_by(&self, user: &str) -> &str {
        self.seen.get(user).map_or("", |(note, _)| note)
    }
}

#[test]
fn each_phone_ends_with_the_last_state_of_the_other() {
    for seed in 0..30 {
        let mut world = World::new(seed, [1, 2]);
        world.run_all();
        assert_eq!(
            world.note_seen_by(USERS[0]),
            format!("{} 4", USERS[1]),
            "seed {seed}"
        );
        assert_eq!(
            world.note_seen_by(USERS[1]),
            format!("{} 4", USERS[0]),
            "seed {seed}"
        );
        assert_eq!(
            (world.out_of_order, world.pool.refused),
            (0, 0),
            "seed {seed}"
        );
    }
}

#[test]
fn two_phones_of_one_seed_are_told_apart_by_a_pool_that_looks_at_from() {
    for seed in 0..10 {
        let mut world = World::new(seed, [7, 7]);
        world.run_all();
        assert_eq!(
            world.note_seen_by(USERS[0]),
            format!("{} 4", USERS[1]),
            "seed {seed}"
        );
        assert_eq!(
            world.note_seen_by(USERS[1]),
            format!("{} 4", USERS[0]),
            "seed {seed}"
        );
    }
}

const USERS: [&str; 2] = ["sip:al@example.com", "sip:bo@example.com"];
