//! What goes wrong in a run, and when: a plan, drawn from a seed or written by a test.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use presently_pool::Role;
use presently_sip::Moment;

use super::{Doom, Faults, StoreFaults, World};

/// One thing that is wrong for a while.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// Nothing passes from one process to another; the other way everything does.
    Cut {
        /// From which process.
        from: usize,
        /// To which.
        to: usize,
    },
    /// An operator wants a server empty.
    Drain(String),
    /// A process ends, in the midst of a turn when so many of its messages have left, and begins
    /// again in the end.
    Kill {
        /// Which.
        place: usize,
        /// `None`: between two turns.
        messages: Option<u32>,
    },
    /// A process is told to end, and begins again in the end.
    Leave(usize),
    /// Every so-many-th phone reaches nobody.
    LostPhones(usize),
    /// A process stands still.
    Pause {
        /// Which.
        place: usize,
        /// Whether in the midst of a turn.
        is_between: bool,
    },
    /// Datagrams between phones and pool suffer.
    Phones(Faults),
    /// The store is not what it was, for one process or for all.
    Store {
        /// For which.
        place: Option<usize>,
        /// How.
        faults: StoreFaults,
    },
    /// Out-of-band datagrams suffer.
    Wakes(Faults),
    /// Somebody sets a machine's wall clock.
    WallStep {
        /// Which process's.
        place: usize,
        /// By how much.
        millis: i64,
    },
}

/// A trouble and its time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spell {
    /// How long after the plan's begin.
    pub at: Duration,
    /// For how long.
    pub lasts: Duration,
    /// What.
    pub trouble: Trouble,
}

/// All troubles of a run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan(pub Vec<Spell>);

/// What is still to begin and to end.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    steps: BTreeMap<(Moment, usize), Step>,
    count: usize,
}

#[derive(Debug)]
enum Step {
    Begin(Trouble),
    End(Trouble),
}

impl Plan {
    /// A plan of `count` troubles for a pool, begun within `span`.
    #[must_use]
    pub fn any(
        random: &mut fastrand::Rng,
        roles: &[&[Role]],
        count: usize,
        span: Duration,
    ) -> Self {
        let mut spells = Vec::new();
        for _ in 0..count {
            let (trouble, longest) = any_trouble(random, roles);
            let millis = |longest: Duration| u64::try_from(longest.as_millis()).expect("a run");
            spells.push(Spell {
                at: Duration::from_millis(random.u64(0..millis(span))),
                lasts: Duration::from_millis(random.u64(200..=millis(longest))),
                trouble,
            });
        }
        spells.sort_by_key(|spell| spell.at);
        Self(spells)
    }

    /// When the last of it is over.
    #[must_use]
    pub fn end(&self) -> Duration {
        let ends = self.0.iter().map(|spell| spell.at + spell.lasts);
        ends.max().unwrap_or_default()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, spell) in self.0.iter().enumerate() {
            let comma = if place > 0 { "; " } else { "" };
            let Spell { at, lasts, trouble } = spell;
            write!(f, "{comma}at {at:?} for {lasts:?} {trouble:?}")?;
        }
        Ok(())
    }
}

impl World {
    /// Lets a plan begin.
    pub fn follow(&mut self, plan: &Plan) {
        for Spell { at, lasts, trouble } in &plan.0 {
            let begin = self.now.after(*at);
            let end = begin.after(*lasts);
            self.troubles.put(begin, Step::Begin(trouble.clone()));
            self.troubles.put(end, Step::End(trouble.clone()));
        }
    }

    /// Begins and ends what is due.
    pub(super) fn trouble(&mut self) {
        while let Some(step) = self.troubles.take_due(self.now) {
            self.excuse_wakes();
            match step {
                Step::Begin(trouble) => self.begin_trouble(&trouble),
                Step::End(trouble) => self.end_trouble(trouble),
            }
        }
    }

    fn begin_trouble(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::Cut { from, to } => self.network.cut(self.now, (*from, *to), true),
            Trouble::Drain(name) => self.drain(name, true),
            Trouble::Kill {
                place,
                messages: Some(messages),
            } => self.doom(*place, Doom::Ends(*messages)),
            Trouble::Kill { place, .. } => self.kill(*place),
            Trouble::Leave(place) => self.leave(*place),
            Trouble::LostPhones(nth) => {
                let lost = self.phones.iter().step_by(*nth).map(|phone| phone.address);
                self.network.lost_phones = lost.collect();
            }
            Trouble::Pause {
                place,
                is_between: true,
            } => self.doom(*place, Doom::StandsStill),
            Trouble::Pause { place, .. } => self.pause(*place),
            Trouble::Phones(faults) => self.network.phones = *faults,
            Trouble::Store { place, faults } => self.set_store(*place, *faults),
            Trouble::Wakes(faults) => self.network.wakes = *faults,
            Trouble::WallStep { place, millis } => self.step_wall(*place, millis * 1_000),
        }
    }

    fn end_trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Cut { from, to } => self.network.cut(self.now, (from, to), false),
            Trouble::Drain(name) => self.drain(&name, false),
            Trouble::Kill { place, .. } | Trouble::Leave(place) => {
                // A process that never had anything to do was not ended.
                self.processes[place].doom = None;
                self.begin_again(place);
            }
            Trouble::LostPhones(_) => self.network.lost_phones.clear(),
            Trouble::Pause { place, .. } => self.resume(place),
            Trouble::Phones(_) => self.network.phones = Faults::default(),
            Trouble::Store { place, .. } => self.set_store(place, StoreFaults::default()),
            Trouble::Wakes(_) => self.network.wakes = Faults::default(),
            Trouble::WallStep { .. } => {}
        }
    }

    fn set_store(&mut self, place: Option<usize>, faults: StoreFaults) {
        let all = 0..self.processes.len();
        let places = place.map_or(all, |place| place..place + 1);
        places.for_each(|place| self.set_store_faults(place, faults));
    }
}

impl Agenda {
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.steps.keys().next().map(|(due, _)| *due)
    }

    fn put(&mut self, due: Moment, step: Step) {
        self.count += 1;
        self.steps.insert((due, self.count), step);
    }

    fn take_due(&mut self, now: Moment) -> Option<Step> {
        let entry = self.steps.first_entry();
        let entry = entry.filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}

/// A trouble, and how long it lasts at the longest.
fn any_trouble(random: &mut fastrand::Rng, roles: &[&[Role]]) -> (Trouble, Duration) {
    let place = random.usize(0..roles.len());
    let other = random.usize(0..roles.len());
    let secs = Duration::from_secs;
    match random.u32(0..100) {
        0..20 => {
            let messages = random.bool().then(|| random.u32(0..4));
            (Trouble::Kill { place, messages }, secs(20))
        }
        20..38 => {
            let is_between = random.bool();
            (Trouble::Pause { place, is_between }, secs(30))
        }
        38..48 => (
            Trouble::Cut {
                from: place,
                to: other,
            },
            secs(20),
        ),
        48..54 => (Trouble::Leave(place), secs(10)),
        54..72 => {
            let place = random.bool().then_some(place);
            let (faults, longest) = any_store_faults(random);
            (Trouble::Store { place, faults }, longest)
        }
        72..80 => {
            // Whoever has no key changes what he likes.
            let forged = random.u32(0..100);
            let faults = Faults {
                forged,
                ..any_faults(random)
            };
            (Trouble::Wakes(faults), secs(20))
        }
        80..86 => (Trouble::Phones(any_faults(random)), secs(20)),
        86..90 => (Trouble::LostPhones(random.usize(1..3)), secs(20)),
        90..95 => {
            let millis = random.i64(-2_000..=2_000);
            (Trouble::WallStep { place, millis }, secs(1))
        }
        _ => {
            let servers = roles.iter().flat_map(|roles| roles.iter());
            let servers = servers.filter(|role| **role == Role::Server).count();
            let name = format!("s{}", random.usize(1..=servers));
            (Trouble::Drain(name), secs(20))
        }
    }
}

fn any_faults(random: &mut fastrand::Rng) -> Faults {
    Faults {
        loss: random.u32(0..300),
        repeat: random.u32(0..200),
        delay: random.u32(0..300),
        late: random.u32(0..100),
        forged: 0,
    }
}

fn any_store_faults(random: &mut fastrand::Rng) -> (StoreFaults, Duration) {
    let none = StoreFaults::default();
    let secs = Duration::from_secs;
    match random.u32(0..5) {
        0 => {
            let is_away = true;
            (StoreFaults { is_away, ..none }, secs(30))
        }
        1 => {
            let is_stuck = true;
            (StoreFaults { is_stuck, ..none }, secs(30))
        }
        2 => {
            let is_full = true;
            (StoreFaults { is_full, ..none }, secs(15))
        }
        3 => {
            let delay = Duration::from_millis(random.u64(300..3_000));
            (StoreFaults { delay, ..none }, secs(20))
        }
        _ => {
            let replies_lost = random.u32(1..300);
            let faults = StoreFaults {
                replies_lost,
                ..none
            };
            (faults, secs(20))
        }
    }
}
