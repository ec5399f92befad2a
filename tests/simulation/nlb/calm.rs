//! What must be right once everything works again: whoever goes is released in time, and nothing
//! is left over.

use std::collections::BTreeSet;
use std::time::Duration;

use presently_agent::{Event, Subject};
use presently_nlb::{Input, PathId, Why};
use presently_sip::{Aor, Moment};
use presently_tests::world::StoreFaults;

use super::script::{SERVERS, Script};
use super::users::{Going, LONG_SECS};

impl Script {
    /// Everything works; every user comes and is seen, half of them go, and the nlb ends.
    pub(super) fn calm(&mut self) {
        self.repair();
        self.pass(REST);
        self.what_is_held_agrees_with_the_pool("after the faults");
        let paths = self.everybody_comes();
        self.the_gone_are_released_in_time(&paths);
        self.one_device_of_two_goes();
        self.what_is_held_agrees_with_the_pool("after half of the users went");
        self.world.tell_nlb(Input::Close);
        self.pass(GOODBYE);
        self.nothing_is_left_over();
        if !self.has_own_records() {
            self.pass(ASKED_AGAIN);
        }
        let broken = self.world.check();
        self.laws.broken.extend(broken);
    }

    fn repair(&mut self) {
        self.is_calm = true;
        self.reach_again();
        self.world.network.lost_phones.clear();
        self.world.set_nlb_store(StoreFaults::default());
        for server in SERVERS {
            let is_up = true;
            self.world.tell_nlb(Input::Health { server, is_up });
        }
    }

    /// Every user opens a path and is online, and is then idle.
    fn everybody_comes(&mut self) -> Vec<PathId> {
        let mut paths = Vec::new();
        for user in &mut self.users {
            for device in &mut user.devices {
                device.come(&mut self.world, LONG_SECS);
            }
            let device = user.devices.first().expect("each has one").name.clone();
            paths.push(self.world.enter(&user.aor, Some(&device)));
        }
        self.pass(SETTLED);
        for (user, path) in self.users.iter().zip(&paths) {
            let is_open = self.is_open(*path);
            if !is_open {
                let aor = &user.aor;
                self.laws
                    .broken
                    .push(format!("{aor}: has no access in the calm"));
            }
        }
        paths
    }

    /// Law c: a closed user who is idle is released within a second of the pool's saying so; one
    /// who was not, once asked to come back in vain.
    fn the_gone_are_released_in_time(&mut self, paths: &[PathId]) {
        for (number, place) in (0..self.users.len()).step_by(2).enumerate() {
            let is_using = number % 3 == 0;
            if is_using && self.is_open(paths[place]) {
                self.world.move_bytes(paths[place], true);
            }
            let began = self.world.now().moment;
            for device in &mut self.users[place].devices {
                device.go(&mut self.world, Going::TakesBack);
            }
            let within = if is_using { ASKED } else { RELEASED };
            // So many a time that the guard has nothing to say.
            self.pass(within.max(APART));
            self.is_released_in_time(place, began, is_using);
        }
    }

    fn is_released_in_time(&mut self, place: usize, began: Moment, is_using: bool) {
        let aor = self.users[place].aor.clone();
        let released = self.laws.released(&aor).filter(|(at, _)| *at >= began);
        let (why, within) = if is_using {
            (Why::NotResumed, ASKED)
        } else {
            (Why::Left, RELEASED)
        };
        let sent = self.laws.closed_sent(&aor).unwrap_or(began);
        let is_right = released.is_some_and(|(at, of)| of == why && at.since(sent) <= within);
        if !is_right && !self.is_haunted(place) {
            let gone = began;
            let defect =
                format!("law c: gone {gone:?}, closed sent {sent:?}, released {released:?}");
            self.laws.broken(&aor, &defect);
        }
    }

    /// S19: of two devices the one that goes takes its own connections with it, and no other's.
    fn one_device_of_two_goes(&mut self) {
        let place = (0..self.users.len()).find(|place| {
            let is_there = place % 2 == 1;
            is_there && self.users[*place].devices.len() > 1
        });
        let place = place.expect("there is one");
        let user = self.users[place].aor.clone();
        let names = self.users[place].devices.iter().map(|it| it.name.clone());
        let names: Vec<String> = names.collect();
        let paths: Vec<PathId> = names
            .iter()
            .map(|it| self.world.enter(&user, Some(it)))
            .collect();
        self.pass(SETTLED);
        self.users[place].devices[0].go(&mut self.world, Going::TakesBack);
        // Where Dates are of several clocks, the path may count as used when the closed was sent.
        let within = if self.is_on_time { RELEASED } else { ASKED };
        self.pass(within);
        let open: Vec<bool> = paths.iter().map(|path| self.is_open(*path)).collect();
        if open != [false, true] && !self.is_haunted(place) {
            let defect = format!("law S19: of two devices' paths are open: {open:?}");
            self.laws.broken(&user, &defect);
        }
    }

    /// Whether the pool holds a publication that was done although its phone gave it up: nobody has
    /// its entity-tag, so the user is there until it expires (RFC 3903 §4.1).
    fn is_haunted(&mut self, place: usize) -> bool {
        let user = &self.users[place];
        let held = self.world.show(user.aor.user());
        let now = self.world.now();
        let held = held.map_or_else(Vec::new, |held| held.publications);
        let phones = user.devices.iter().map(|it| &self.world.phones[it.place]);
        let given_up = phones.flat_map(|phone| &phone.events).filter(|(_, it)| {
            let what = match it {
                Event::TimedOut { what, .. } => what,
                _ => return false,
            };
            matches!(what, Subject::Publication(_))
        });
        let given_up: Vec<Duration> = given_up.map(|(at, _)| now.moment.since(*at)).collect();
        let is_haunted = held.iter().any(|row| {
            let granted = Duration::from_secs(row.repeat.answer.expires_secs.into());
            let left = row.expires_at.since(now.wall);
            let done = granted.saturating_sub(left) + CLOCKS_APART;
            let is_it = |ago: &Duration| *ago <= done && done <= *ago + PATIENCE;
            given_up.iter().any(is_it)
        });
        if is_haunted {
            self.laws.count("haunted");
        }
        is_haunted
    }

    /// Law d: sessions, slots, paths, records, and what the pool has of each handle.
    fn what_is_held_agrees_with_the_pool(&mut self, when: &str) {
        let nlb = self.world.nlb.as_ref().expect("added");
        let machine = nlb.machine().expect("it lives");
        let sights: Vec<_> = machine.sessions().collect();
        let placed = sights.iter().filter(|it| it.server.is_some()).count();
        let paths = sights.iter().map(|it| it.paths).sum::<usize>();
        let counters = *machine.counters();
        let found = [
            ("slots", machine.servers().live_in_all(), placed),
            ("paths of the proxy", nlb.open_paths().count(), paths),
            ("paths counted", to_usize(counters.paths), paths),
            (
                "sessions counted",
                to_usize(counters.sessions),
                sights.len(),
            ),
            ("users followed", to_usize(counters.followed), sights.len()),
            ("sessions leaving", to_usize(counters.leaving), 0),
        ];
        let found = found.into_iter().filter(|(_, is, expected)| is != expected);
        let mut wrong: Vec<String> = found.map(|it| format!("{it:?}")).collect();
        let held: BTreeSet<(Aor, Aor)> = sights
            .iter()
            .map(|it| (it.handle.clone(), it.user.clone()))
            .collect();
        let rows: BTreeSet<(Aor, Aor)> = nlb
            .rows()
            .into_iter()
            .map(|it| (it.handle, it.user))
            .collect();
        if rows != held {
            wrong.push(format!("records of {rows:?}, sessions of {held:?}"));
        }
        wrong.extend(self.what_handles_have_at_the_pool(&held));
        let wrong = wrong.into_iter().map(|it| format!("law d {when}: {it}"));
        self.laws.broken.extend(wrong);
    }

    /// Each handle of a session has a registration, an announcement, and one feed about its user;
    /// no other handle has anything.
    fn what_handles_have_at_the_pool(&mut self, held: &BTreeSet<(Aor, Aor)>) -> Vec<String> {
        let nlb = self.world.nlb.as_ref().expect("added");
        let (own, handles) = (nlb.config().aor.clone(), nlb.handles.clone());
        let mut wrong = Vec::new();
        for handle in handles.iter().filter(|it| **it != own) {
            let state = self.world.show(handle.user());
            let user = held
                .iter()
                .find(|(of, _)| of == handle)
                .map(|(_, user)| user);
            let has = state.as_ref().map_or((0, 0, Vec::new()), |state| {
                let watched = state.subscriptions.iter().map(|row| &row.resource.aor);
                let watched: Vec<&Aor> = watched.collect();
                (state.bindings.len(), state.publications.len(), watched)
            });
            let expected = match user {
                Some(user) => (1, 1, vec![user]),
                None => (0, 0, Vec::new()),
            };
            if has != expected {
                wrong.push(format!(
                    "{handle} has {has:?} at the pool, not {expected:?}"
                ));
            }
        }
        wrong
    }

    /// Law d: after the end nothing is left, here or there.
    fn nothing_is_left_over(&mut self) {
        let nlb = self.world.nlb.as_ref().expect("added");
        let is_idle = nlb.machine().is_some_and(presently_nlb::Nlb::is_idle);
        if !is_idle {
            self.laws.broken.push("law d: it has not ended".to_owned());
        }
        self.what_is_held_agrees_with_the_pool("after the end");
        let nlb = self.world.nlb.as_ref().expect("added");
        let own = nlb.config().aor.user().to_owned();
        let own = self.world.show(&own);
        if own.is_some_and(|own| !own.bindings.is_empty()) {
            self.laws
                .broken
                .push("law d: its own registration is left".to_owned());
        }
    }

    fn has_own_records(&self) -> bool {
        let nlb = self.world.nlb.as_ref();
        nlb.is_some_and(|nlb| nlb.has_own_records())
    }

    fn is_open(&self, path: PathId) -> bool {
        let nlb = self.world.nlb.as_ref().expect("added");
        nlb.open_paths().any(|(id, _)| id == path)
    }
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).expect("few")
}

/// Longer than transactions last, the guard holds, and whatever was granted to a handle that is
/// given up.
const REST: Duration = Duration::from_secs(200);
/// Longer than the steps take, and than a path counts as used.
const SETTLED: Duration = Duration::from_secs(9);
/// The promise: within a second of the presence server's knowing.
const RELEASED: Duration = Duration::from_secs(1);
/// The use that is counted and what a Date leaves open, and the tries to bring the user back.
const ASKED: Duration = Duration::from_secs(18);
/// How long a phone waits for an answer (RFC 3261 §17.1.2.2), and what clocks may make of it.
const PATIENCE: Duration = Duration::from_secs(36);
const CLOCKS_APART: Duration = Duration::from_secs(2);
/// Less than a third of the users in the guard's time.
const APART: Duration = Duration::from_secs(4);
/// After which a server asks the store again about clients that it held for an nlb.
const ASKED_AGAIN: Duration = Duration::from_secs(301);
/// A good-bye to everybody, each in its own time.
const GOODBYE: Duration = Duration::from_secs(10);
