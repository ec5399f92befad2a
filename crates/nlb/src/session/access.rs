//! The paths of a session: waiting, admitted, moved, idle, left.

use std::mem;
use std::time::Duration;

use presently_sip::Moment;

use super::{Line, Path, Session, Waiting, with_bytes_of};
use crate::release::{Use, idle_at};
use crate::turn::{Shared, Turn};
use crate::{
    Choice, Config, CutReason, Entering, PathId, Refusal, ServerName, State, Verdict, What,
    WhenUnreachable, Why,
};

impl Session {
    /// A path of its user wants in; it waits until `until` at the most.
    pub(crate) fn on_enter(&mut self, turn: &mut Turn<'_>, entering: Box<Entering>, until: Moment) {
        let config = &turn.shared.config;
        let is_full = self.paths.len() >= config.paths_max
            || self.waiting.len() >= config.waiting_max
            || turn.shared.is_ending();
        if is_full {
            turn.refuse(&self.user, entering.path, Refusal::Full);
            self.give_up_unused(turn);
            return;
        }
        self.waiting.push(Waiting { entering, until });
        if self.is_leaving() {
            self.farewell_is_waited_for(turn);
            return;
        }
        if self.server.is_none() {
            self.place(turn);
        }
        self.admit_waiting(turn);
    }

    /// A path is over.
    pub(crate) fn on_left(&mut self, turn: &mut Turn<'_>, path: PathId) {
        let now = turn.now.moment;
        self.waiting.retain(|it| it.entering.path != path);
        if let Some(place) = self.paths.iter().position(|it| it.id == path) {
            let path = self.paths.swap_remove(place);
            self.moved = with_bytes_of(self.moved, &path);
            self.lost = Some(Use {
                closed: Some(now),
                ..path.used(turn.shared.config.signs)
            });
            self.idle_from = now;
        }
        self.give_up_unused(turn);
        self.doubt_due(turn);
    }

    /// Finds a slot, or waits for one.
    pub(crate) fn place(&mut self, turn: &mut Turn<'_>) {
        match turn.shared.servers.choose(self.id, self.user.as_str()) {
            Choice::Taken(server) => self.on_placed(turn, server),
            Choice::NoServer => self.refuse_waiting(turn, Refusal::NoServer),
            Choice::Full => {
                if turn.shared.queue.push(self.id) {
                    turn.step(&self.user, What::Queued);
                    self.why = "waits for a slot";
                } else {
                    self.refuse_waiting(turn, Refusal::Full);
                }
            }
        }
    }

    /// It has a slot on `server`.
    pub(crate) fn on_placed(&mut self, turn: &mut Turn<'_>, server: ServerName) {
        turn.shared.queue.remove(self.id);
        self.server = Some(ServerName::clone(&server));
        // Back before the good-bye of the earlier life went on.
        self.ends = false;
        turn.step(&self.user, What::Placed { server });
        self.write(turn);
        self.begin(turn);
        self.admit_waiting(turn);
    }

    /// Its application server is down: it moves, and its user is told if presence says that there
    /// is somebody to tell.
    pub(crate) fn on_server_lost(&mut self, turn: &mut Turn<'_>) {
        if self.is_leaving() {
            return;
        }
        for path in mem::take(&mut self.paths) {
            self.moved = with_bytes_of(self.moved, &path);
            turn.cut(&self.user, path.id, CutReason::ServerGone);
            self.idle_from = turn.now.moment;
        }
        self.server = None;
        self.why = "its server is down";
        if let Choice::Taken(server) = turn.shared.servers.choose(self.id, self.user.as_str()) {
            self.server = Some(ServerName::clone(&server));
            turn.shared.counters.moved += 1;
            turn.step(&self.user, What::Moved { server });
            self.why = "moved from a server that is down";
        } else if !self.has_access {
            self.place(turn);
        }
        self.admit_waiting(turn);
        self.call_back(turn);
        self.write(turn);
    }

    /// Its server listens elsewhere now: what its paths ask next goes there.
    pub(crate) fn on_server_readdressed(&mut self, turn: &mut Turn<'_>) {
        for path in &self.paths {
            turn.readdress(self.id, path.id);
        }
    }

    /// Lets everybody in who waits, if there is access.
    pub(super) fn admit_waiting(&mut self, turn: &mut Turn<'_>) {
        let Some(server) = self.server.clone().filter(|_| self.has_access) else {
            return;
        };
        let Some(address) = turn.shared.servers.address(&server) else {
            return;
        };
        for Waiting { entering, .. } in mem::take(&mut self.waiting) {
            let path = entering.path;
            let has_uuid = entering.uuid.is_some_and(|it| self.uuid.is_text(&it));
            self.paths.push(Path {
                id: path,
                device: entering.device,
                opened: entering.opened,
                traffic: entering.traffic,
                cut_from: None,
            });
            turn.shared.counters.admitted += 1;
            let server = ServerName::clone(&server);
            turn.out.verdicts.push(Verdict::Admit {
                path,
                server: ServerName::clone(&server),
                address,
            });
            turn.step(&self.user, What::Admitted { path, server });
            self.on_path_opened(turn, has_uuid);
        }
    }

    /// Gives access although the presence server was not told: it cannot be reached.
    pub(super) fn serve_unannounced(&mut self, turn: &mut Turn<'_>) {
        if turn.shared.config.when_unreachable == WhenUnreachable::Serve && self.server.is_some() {
            self.has_access = true;
            self.why = "served without presence";
            self.admit_waiting(turn);
        }
    }

    pub(super) fn refuse_waiting(&mut self, turn: &mut Turn<'_>, refusal: Refusal) {
        for it in mem::take(&mut self.waiting) {
            turn.refuse(&self.user, it.entering.path, refusal);
        }
        self.give_up_unused(turn);
    }

    /// Refuses those who have waited long enough.
    pub(super) fn waiting_due(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.moment;
        if self.waiting.iter().all(|it| it.until > now) {
            return;
        }
        if !self.is_leaving() {
            self.serve_unannounced(turn);
        }
        let refusal = match self.server {
            None if !self.is_leaving() => Refusal::NoSlot,
            _ => Refusal::Unannounced,
        };
        let waiting = mem::take(&mut self.waiting);
        let (due, rest) = waiting.into_iter().partition(|it| it.until <= now);
        self.waiting = rest;
        let due: Vec<Waiting> = due;
        for it in due {
            turn.refuse(&self.user, it.entering.path, refusal);
        }
        self.give_up_unused(turn);
    }

    /// Where nobody waits any more no place in the queue is kept: the slot would be nobody's. A
    /// session that nobody was let into is then of no use.
    fn give_up_unused(&mut self, turn: &mut Turn<'_>) {
        if !self.waiting.is_empty() {
            return;
        }
        if turn.shared.queue.remove(self.id) {
            self.why = "found no slot";
        }
        // One that an earlier life was giving back goes on with that in its turn.
        if !self.has_access && !self.ends && !self.is_leaving() {
            self.release(turn, Why::Unused);
        }
    }

    /// Cuts paths on which nothing has moved for long, and those of devices that went offline; ends
    /// a session that has been without a path for long.
    pub(super) fn paths_due(&mut self, turn: &mut Turn<'_>) {
        if self.is_leaving() {
            return;
        }
        let now = turn.now.moment;
        if !turn.shared.guard.may_act(now) {
            // What was said of a device is believed no more than what is said of users (S23).
            self.paths.iter_mut().for_each(|path| path.cut_from = None);
        }
        let config = &turn.shared.config;
        let patience = self.patience(turn.shared);
        let mut cut = Vec::new();
        let moved = &mut self.moved;
        self.paths.retain(|path| {
            let reason = path.is_over(now, patience, config);
            if let Some(reason) = reason {
                *moved = with_bytes_of(*moved, path);
                cut.push((path.id, reason));
            }
            reason.is_none()
        });
        let was_idle = cut.iter().any(|(_, reason)| *reason == CutReason::Idle);
        for (path, reason) in cut {
            turn.cut(&self.user, path, reason);
            turn.shared.counters.devices_released += u64::from(reason == CutReason::Left);
            self.idle_from = now;
            self.why = "a path was idle";
        }
        let idle = turn.shared.config.idle;
        let is_over = self.paths.is_empty() && self.waiting.is_empty() && self.may_idle();
        if is_over && (was_idle || now.since(self.idle_from) >= idle) {
            self.release(turn, Why::Idle);
        }
    }

    /// When [`Session::paths_due`] has something to do.
    pub(super) fn paths_at(&self, shared: &Shared) -> Option<Moment> {
        let config = &shared.config;
        if self.paths.is_empty() {
            let may_end = self.may_idle() && self.waiting.is_empty();
            return may_end.then(|| self.idle_from.after(config.idle));
        }
        let patience = self.patience(shared);
        let due = self.paths.iter();
        due.map(|path| path.over_at(patience, config)).min()
    }

    /// Whether it ends when nobody asks for anything: also one that an earlier life was giving
    /// back, if the presence server stays away.
    fn may_idle(&self) -> bool {
        self.has_access || self.ends
    }

    /// How long a path may be silent: presence knows better than silence who is there.
    fn patience(&self, shared: &Shared) -> Duration {
        let config = &shared.config;
        match self.presence {
            State::Open if shared.is_reachable() => config.path_idle.max(config.path_idle_open),
            _ => config.path_idle,
        }
    }

    /// When every open path will have been idle for the window; now without one.
    pub(super) fn ebb_at(&self, config: &Config) -> Moment {
        let uses = self.uses(config.signs);
        idle_at(&uses, config.using_window).unwrap_or_default()
    }

    /// Whether the line has come as far as access.
    pub(super) fn is_announced(&self) -> bool {
        self.line == Line::Following
    }
}

impl Waiting {
    /// Asking for a path is use.
    pub(super) fn used(&self) -> Use {
        Use {
            opened: self.entering.opened,
            moved: self.entering.opened,
            closed: None,
        }
    }
}

impl Path {
    fn over_at(&self, patience: Duration, config: &Config) -> Moment {
        let idle = self.traffic.moved().last_at().max(self.opened);
        let idle = idle.after(patience);
        let device = self.cut_from.map(|from| {
            let used = self.used(config.signs);
            used.moved.after(config.using_window).max(from)
        });
        device.map_or(idle, |device| device.min(idle))
    }

    fn is_over(&self, now: Moment, patience: Duration, config: &Config) -> Option<CutReason> {
        if self.over_at(patience, config) > now {
            return None;
        }
        let idle = self.traffic.moved().last_at().max(self.opened);
        let is_idle = idle.after(patience) <= now;
        Some(if is_idle {
            CutReason::Idle
        } else {
            CutReason::Left
        })
    }
}
