//! The laws of the nlb, each on every step of every session while the world runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use presently_nlb::{Config, Decision, PathId, Sight, Step, What, Why};
use presently_sip::{Aor, Moment};
use presently_store::{Session as Record, SessionState};
use presently_tests::world::{Happened, Happening, Path, Word, World};

use super::order::Session;
use super::users::User;

/// What has been seen so far, and what of it was wrong.
pub(super) struct Laws {
    pub(super) broken: Vec<String>,
    pub(super) counts: Counts,
    /// Whether Dates are those of one clock, as a pool's members have it that share their time.
    is_on_time: bool,
    /// Since when the presence server could not be reached, for sure.
    pub(super) cut_off: Option<Moment>,
    users: BTreeMap<Aor, Seen>,
    /// Whose last announcement was taken back: no record of it gives access (S3).
    taken_back: BTreeSet<Aor>,
    own: Option<Aor>,
    is_own_registered: bool,
    /// Closures that were acted on lately, and whose.
    acted: VecDeque<(Moment, Aor)>,
    held_until: Option<Moment>,
    /// The last steps, for people.
    lately: VecDeque<String>,
}

/// How often something happened that the laws are about.
pub(super) type Counts = BTreeMap<&'static str, u64>;

/// What is known of one user.
#[derive(Default)]
struct Seen {
    session: Session,
    /// The word that has just arrived.
    arrived: Option<Word>,
    /// Whether the last word that was taken said that it is there.
    is_open: Option<bool>,
    /// When the last closed that was taken was sent, and when the first of them arrived.
    closed: Option<(Moment, Moment)>,
    /// Whether it was asked to come back since.
    is_asked: bool,
    /// The next word has to count as the first.
    is_unsettled: bool,
    /// When a word changed nothing for the user as a whole: what is decided in the same moment is
    /// about its devices.
    unchanged: Option<Moment>,
    released: Option<(Moment, Why)>,
}

impl Laws {
    pub(super) fn new(is_on_time: bool) -> Self {
        Self {
            broken: Vec::new(),
            counts: Counts::new(),
            is_on_time,
            cut_off: None,
            users: BTreeMap::new(),
            taken_back: BTreeSet::new(),
            own: None,
            is_own_registered: false,
            acted: VecDeque::new(),
            held_until: None,
            lately: VecDeque::new(),
        }
    }

    /// Takes everything that has happened at the nlb.
    pub(super) fn look(&mut self, world: &mut World, users: &[User]) {
        let Some(nlb) = &mut world.nlb else { return };
        for happened in nlb.take_happened() {
            let Happened { at, what, .. } = &happened;
            self.remember(*at, what);
            match what {
                Happening::Began(records, sights) => self.begin(world, records, sights),
                Happening::Ended => self.end(),
                Happening::Word(word) => {
                    self.count("words");
                    let seen = self.users.entry(word.user.clone()).or_default();
                    seen.arrived = Some(word.clone());
                }
                Happening::Cut(path) => self.on_cut(world, users, *at, *path),
                Happening::Step(step, row) => {
                    self.on_step(world, users, &happened, step, row.as_deref());
                }
            }
        }
    }

    /// When the user was released last, and why.
    pub(super) fn released(&self, user: &Aor) -> Option<(Moment, Why)> {
        self.users.get(user)?.released
    }

    /// When the last closed of the user that was taken had been sent.
    pub(super) fn closed_sent(&self, user: &Aor) -> Option<Moment> {
        Some(self.users.get(user)?.closed?.0)
    }

    /// S25: the sessions of the records go on under their names.
    fn begin(&mut self, world: &World, records: &[Record], sights: &[Sight]) {
        self.count("lives");
        self.own = Some(config(world).aor.clone());
        let known = sights.iter();
        let known = known.map(|it| (&it.user, &it.handle, it.uuid.as_str()));
        let known: BTreeSet<_> = known.collect();
        let is_fresh = |record: &&Record| record.until > world.now().wall.after(LEASE_SLACK);
        for record in records.iter().filter(is_fresh) {
            // Whatever the record says of it.
            let is_taken_back = self.taken_back.contains(&record.user);
            if record.state == SessionState::Releasing || is_taken_back {
                let seen = self.users.entry(record.user.clone()).or_default();
                seen.session.was_being_given_back();
            }
            if !known.contains(&(&record.user, &record.handle, &*record.uuid)) {
                let defect = "law S25: its session was not taken up";
                self.broken(&record.user, defect);
            }
        }
    }

    fn end(&mut self) {
        self.users.clear();
        self.acted.clear();
        self.held_until = None;
        self.is_own_registered = false;
    }

    fn on_step(
        &mut self,
        world: &World,
        users: &[User],
        happened: &Happened,
        step: &Step,
        row: Option<&str>,
    ) {
        let (at, user, what) = (happened.at, &step.user, &step.what);
        if self.own.as_ref() == Some(user) {
            self.on_own(world, at, what);
            return;
        }
        let is_own_registered = self.is_own_registered;
        let seen = self.users.entry(user.clone()).or_default();
        if !seen.session.the_steps_are_in_order(what, is_own_registered) {
            let defect = format!("law f: {what:?} out of order: {:?}", seen.session);
            self.broken(user, &defect);
        }
        let seen = self.users.entry(user.clone()).or_default();
        match what {
            What::Admitted { .. } => self.count("paths admitted"),
            What::Announced => drop(self.taken_back.remove(user)),
            What::Unannounced => drop(self.taken_back.insert(user.clone())),
            What::Decided(decision) => self.on_decided(happened, user, *decision, row),
            What::Messaged { .. } => seen.is_asked = true,
            What::Notified { is_open, .. } => self.on_notified(at, user, *is_open),
            What::Placed { .. } => *seen = placed(seen),
            What::Released { why } => self.on_released(world, users, happened, user, *why),
            What::Resumed { .. } => self.count("resumed"),
            What::Restored => {
                seen.is_unsettled = true;
                self.count("sessions restored");
            }
            _ => {}
        }
    }

    fn on_own(&mut self, world: &World, at: Moment, what: &What) {
        match what {
            What::Registered => self.is_own_registered = true,
            What::Unregistered => self.is_own_registered = false,
            What::Unreachable => {
                self.count("outages");
                let all = self.users.values_mut();
                all.for_each(|seen| seen.is_unsettled = true);
            }
            What::Alarm => {
                self.count("alarms");
                let hold = config(world).guard.hold;
                self.held_until = Some(at.after(hold));
            }
            _ => {}
        }
    }

    fn on_notified(&mut self, at: Moment, user: &Aor, is_open: bool) {
        let seen = self.users.entry(user.clone()).or_default();
        let before = seen.is_open.replace(is_open);
        if before != Some(is_open) {
            seen.is_asked = false;
        }
        let sent = seen.arrived.take().map_or(at, |word| word.sent);
        if !is_open {
            // One more closed after the first does not begin the grace anew.
            let again = seen.closed.filter(|_| before == Some(false));
            seen.closed = Some((sent, again.map_or(at, |(_, arrived)| arrived)));
        }
    }

    fn on_decided(
        &mut self,
        happened: &Happened,
        user: &Aor,
        decision: Decision,
        row: Option<&str>,
    ) {
        let at = happened.at;
        let seen = self.users.entry(user.clone()).or_default();
        let is_of_device = seen.unchanged == Some(at) && decision != Decision::Unchanged;
        if decision == Decision::Unchanged {
            seen.unchanged = Some(at);
        }
        match decision {
            Decision::Dismiss => self.count("dismissed"),
            Decision::NewerPath => self.count("newer path"),
            _ => {}
        }
        if is_of_device {
            return;
        }
        self.an_outage_is_followed_by_a_first_word(user, decision);
        self.the_record_is_written_before_the_decision(user, decision, row);
        self.the_guard_holds(happened, user, decision);
    }

    /// S5, S22: after an outage or a restart the first word of a feed changes nothing.
    fn an_outage_is_followed_by_a_first_word(&mut self, user: &Aor, decision: Decision) {
        let seen = self.users.entry(user.clone()).or_default();
        let was_unsettled = std::mem::take(&mut seen.is_unsettled);
        if was_unsettled && decision != Decision::Baseline {
            let defect = format!("law S22: {decision:?} before a first word");
            self.broken(user, &defect);
        }
    }

    /// S14: what is decided upon stands in the record.
    fn the_record_is_written_before_the_decision(
        &mut self,
        user: &Aor,
        decision: Decision,
        row: Option<&str>,
    ) {
        let expected = match decision {
            Decision::Open => "open",
            Decision::NewerPath | Decision::Reestablish | Decision::Release => "closed",
            _ => return,
        };
        if row != Some(expected) {
            let defect = format!("law S14: {decision:?}, and the record says {row:?}");
            self.broken(user, &defect);
        }
    }

    /// S23: of those followed no more than the guard's share are acted on within its time.
    fn the_guard_holds(&mut self, happened: &Happened, user: &Aor, decision: Decision) {
        let at = happened.at;
        match decision {
            Decision::Baseline | Decision::Open => self.acted.retain(|(_, of)| of != user),
            Decision::Reestablish | Decision::Release => {
                self.acted.retain(|(_, of)| of != user);
                self.acted.push_back((at, user.clone()));
                // A little less than its time: clocks do not go at one pace.
                self.acted
                    .retain(|(of, _)| at.since(*of) < GUARD_WITHIN - MILLI * 10);
                let count = self.acted.len();
                let share = u64::from(GUARD_SHARE) * happened.followed;
                let is_few = count < GUARD_AT_LEAST || u64::try_from(count).unwrap() * 100 <= share;
                if !is_few {
                    let followed = happened.followed;
                    let defect = format!("law S23: with it {count} of {followed} are acted on");
                    self.broken(user, &defect);
                }
            }
            _ => {}
        }
    }

    fn on_released(
        &mut self,
        world: &World,
        users: &[User],
        happened: &Happened,
        user: &Aor,
        why: Why,
    ) {
        let seen = self.users.entry(user.clone()).or_default();
        seen.released = Some((happened.at, why));
        match why {
            Why::Idle => self.count("released idle"),
            Why::Left => self.count("released at once"),
            Why::NotResumed => self.count("not resumed"),
            _ => {}
        }
        if !matches!(why, Why::Left | Why::NotResumed) {
            return;
        }
        self.only_who_was_said_to_have_gone_is_released(user);
        self.only_who_has_gone_is_released(users, happened.at, user);
        self.nobody_is_released_while_presence_is_away(happened, user);
        self.the_grace_is_waited_out(world, happened.at, user);
        if why == Why::NotResumed && !self.users[user].is_asked {
            self.broken(user, "law S8: not resumed, and was not asked to come back");
        }
    }

    /// S21: the last word taken is what counts, however often and late others are repeated.
    fn only_who_was_said_to_have_gone_is_released(&mut self, user: &Aor) {
        let said = self.users[user].is_open;
        if said != Some(false) {
            let defect = format!("law S21: released, and the last word was {said:?}");
            self.broken(user, &defect);
        }
    }

    /// No wrong release: presence is right about whoever it makes the nlb release.
    fn only_who_has_gone_is_released(&mut self, users: &[User], at: Moment, user: &Aor) {
        let truth = users.iter().find(|it| it.aor == *user).expect("a user");
        let there = at.since(truth.absent);
        if there > BELIEVED_FOR {
            let defect = format!("law b: released, and there since {there:?}");
            self.broken(user, &defect);
        }
    }

    /// S22, S23: not while the presence server is away, nor while the guard holds.
    fn nobody_is_released_while_presence_is_away(&mut self, happened: &Happened, user: &Aor) {
        let at = happened.at;
        if !happened.is_reachable {
            self.broken(
                user,
                "law S22: released while presence was known to be away",
            );
        }
        if self.cut_off.is_some_and(|since| at.since(since) > NOTICED) {
            self.broken(
                user,
                "law S22: released while presence could not be reached",
            );
        }
        self.nobody_is_cut_off_after_an_alarm(at, user);
    }

    /// S23: neither users nor their devices.
    fn nobody_is_cut_off_after_an_alarm(&mut self, at: Moment, user: &Aor) {
        let hold = self.held_until.filter(|until| at < *until);
        if hold.is_some_and(|until| until.since(at) > MILLI * 50) {
            self.broken(user, "law S23: cut off after an alarm");
        }
    }

    /// S20: who has gone may come back for a while.
    fn the_grace_is_waited_out(&mut self, world: &World, at: Moment, user: &Aor) {
        let Some((_, arrived)) = self.users[user].closed else {
            return;
        };
        if at.since(arrived) < config(world).grace - MILLI {
            let waited = at.since(arrived);
            self.broken(user, &format!("law S20: released after {waited:?}"));
        }
    }

    /// Presence cut a path.
    fn on_cut(&mut self, world: &World, users: &[User], at: Moment, path: PathId) {
        self.count("paths cut by presence");
        let nlb = world.nlb.as_ref().expect("it did this");
        let path = &nlb.paths[&path];
        self.no_path_that_moves_bytes_is_cut(world, at, path);
        self.who_used_a_path_when_it_was_sent_is_asked(world, path);
        self.no_path_is_cut_by_an_older_word(path);
        self.nobody_is_cut_off_after_an_alarm(at, &path.user);
        self.of_several_devices_only_the_one_that_left_is_cut(users, at, path);
    }

    /// Law a, S20: on a path that presence cuts nothing has moved for as long as use is counted.
    fn no_path_that_moves_bytes_is_cut(&mut self, world: &World, at: Moment, path: &Path) {
        let idle = at.since(path.moved);
        if idle < config(world).using_window - MILLI * 5 {
            let defect = format!("law a: cut {idle:?} after its last byte");
            self.broken(&path.user, &defect);
        }
    }

    /// Law a, S7, S8: whoever used a path around the time the closed was *sent* is not cut off
    /// before having been asked to come back.
    fn who_used_a_path_when_it_was_sent_is_asked(&mut self, world: &World, path: &Path) {
        let seen = self.users.entry(path.user.clone()).or_default();
        let Some((sent, _)) = seen.closed.filter(|_| !seen.is_asked) else {
            return;
        };
        let used_from = sent.0.saturating_sub(micros(config(world).using_window));
        // Released as a whole: for one device nobody is called.
        let is_whole = seen.is_open == Some(false);
        if self.is_on_time && is_whole && path.moved.0 > used_from + micros(MILLI * 5) {
            let defect = format!("law a: used at {:?}, closed sent {sent:?}", path.moved);
            self.broken(&path.user, &defect);
        }
    }

    /// S24: a path that was opened after the closed was sent outlives it.
    fn no_path_is_cut_by_an_older_word(&mut self, path: &Path) {
        let seen = self.users.entry(path.user.clone()).or_default();
        let Some((sent, _)) = seen.closed else { return };
        // A Date says no more than its second.
        if self.is_on_time && seen.is_open == Some(false) && path.opened > sent.after(DATE_ERROR) {
            let defect = format!("law S24: opened {:?}, closed sent {sent:?}", path.opened);
            self.broken(&path.user, &defect);
        }
    }

    /// S19: the paths of a device that is there are cut only when its user as a whole has gone.
    fn of_several_devices_only_the_one_that_left_is_cut(
        &mut self,
        users: &[User],
        at: Moment,
        path: &Path,
    ) {
        if self.users[&path.user].is_open != Some(true) {
            return;
        }
        self.count("paths cut with their device");
        let user = users.iter().find(|it| it.aor == path.user).expect("a user");
        let device = path.device.as_deref();
        let device = user.devices.iter().find(|it| Some(&*it.name) == device);
        let there = device.map_or(Duration::MAX, |device| at.since(device.absent));
        if there > BELIEVED_FOR {
            let defect = format!(
                "law S19: a path of {device:?} was cut",
                device = path.device
            );
            self.broken(&path.user, &defect);
        }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Notes a defect, and what has happened to the user lately.
    pub(super) fn broken(&mut self, user: &Aor, defect: &str) {
        let of_user = |line: &&String| line.contains(user.as_str()) || line.contains("nlb1@");
        let lately: Vec<&String> = self.lately.iter().filter(of_user).collect();
        let shown = lately.iter().rev().take(SHOWN_MAX).rev();
        let shown: Vec<&str> = shown.map(|line| line.as_str()).collect();
        self.broken.push(format!(
            "{user}: {defect}\n      {}",
            shown.join("\n      ")
        ));
    }

    fn remember(&mut self, at: Moment, what: &Happening) {
        let line = match what {
            Happening::Step(step, _) => format!("{} {} {:?}", at.0, step.user, step.what),
            other => format!("{} {other:?}", at.0),
        };
        self.lately.push_back(line);
        if self.lately.len() > LATELY_MAX {
            self.lately.pop_front();
        }
    }
}

/// A user whose session begins, or gets another slot.
fn placed(seen: &mut Seen) -> Seen {
    let before = std::mem::take(seen);
    if before.released.is_none() {
        return before;
    }
    Seen {
        session: before.session,
        ..Seen::default()
    }
}

fn config(world: &World) -> &Config {
    world.nlb.as_ref().expect("there is one").config()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).expect("a short span")
}

const MILLI: Duration = Duration::from_millis(1);
/// How late a word that a user has gone may be acted on when a newer one was lost on its way: a
/// transaction, the notifier's pause after it, and asking the user back.
const BELIEVED_FOR: Duration = Duration::from_secs(75);
/// Two probes that are not answered say that nobody is there.
const NOTICED: Duration = Duration::from_secs(16);
/// What a Date leaves open, and what is learned of its clock.
const DATE_ERROR: Duration = Duration::from_millis(2_200);
/// A record whose lease ends so soon may have ended by the nlb's own clock.
const LEASE_SLACK: Duration = Duration::from_secs(5);
/// The guard's limits in these runs.
pub(super) const GUARD_AT_LEAST: usize = 4;
pub(super) const GUARD_SHARE: u8 = 30;
pub(super) const GUARD_WITHIN: Duration = Duration::from_secs(10);
const LATELY_MAX: usize = 400;
const SHOWN_MAX: usize = 40;
