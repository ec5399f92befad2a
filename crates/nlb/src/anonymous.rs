//! Paths without a user: a slot each, ordinary time-outs, and no presence.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::turn::Turn;
use crate::{Choice, CutReason, Entering, PathId, Refusal, SessionId, Traffic, Verdict, What};

/// The paths that name nobody.
#[derive(Debug, Default)]
pub(crate) struct AnonymousPaths {
    paths: BTreeMap<PathId, (SessionId, Arc<Traffic>)>,
    by_slot: BTreeMap<SessionId, PathId>,
}

impl AnonymousPaths {
    /// Admits `entering` under `slot`, or refuses it at once: it does not wait.
    pub(crate) fn enter(&mut self, turn: &mut Turn<'_>, entering: Entering, slot: SessionId) {
        let own = turn.shared.config.aor.clone();
        let path = entering.path;
        let refusal = if self.paths.len() >= turn.shared.config.anonymous_max {
            Refusal::Full
        } else {
            // No user to come back: the path's number spreads them.
            let name = path.0.to_string();
            match turn.shared.servers.choose(slot, &name) {
                Choice::Full => Refusal::NoSlot,
                Choice::NoServer => Refusal::NoServer,
                Choice::Taken(server) => {
                    let Some(address) = turn.shared.servers.address(&server) else {
                        return;
                    };
                    self.paths.insert(path, (slot, entering.traffic));
                    self.by_slot.insert(slot, path);
                    turn.shared.counters.admitted += 1;
                    turn.step(
                        &own,
                        What::Admitted {
                            path,
                            server: server.clone(),
                        },
                    );
                    turn.out.verdicts.push(Verdict::Admit {
                        path,
                        server,
                        address,
                    });
                    return;
                }
            }
        };
        turn.refuse(&own, path, refusal);
    }

    /// A path is over; false when it is none of these.
    pub(crate) fn leave(&mut self, turn: &mut Turn<'_>, path: PathId) -> bool {
        let Some((slot, _)) = self.paths.remove(&path) else {
            return false;
        };
        self.by_slot.remove(&slot);
        turn.shared.servers.free(slot);
        true
    }

    /// The server of `slot` is down; false when it is none of these.
    pub(crate) fn lose(&mut self, turn: &mut Turn<'_>, slot: SessionId) -> bool {
        let Some(path) = self.by_slot.get(&slot).copied() else {
            return false;
        };
        self.cut(turn, path, CutReason::ServerGone);
        true
    }

    /// The server of `slot` listens elsewhere now; false when it is none of these.
    pub(crate) fn readdress(&self, turn: &mut Turn<'_>, slot: SessionId) -> bool {
        let path = self.by_slot.get(&slot);
        path.map(|path| turn.readdress(slot, *path)).is_some()
    }

    /// Cuts those on which nothing has moved for long.
    pub(crate) fn sweep(&mut self, turn: &mut Turn<'_>) {
        let (now, idle) = (turn.now.moment, turn.shared.config.path_idle);
        let is_over = |traffic: &Traffic| now.since(traffic.moved().last_at()) >= idle;
        let over = self.paths.iter().filter(|(_, (_, it))| is_over(it));
        let over: Vec<PathId> = over.map(|(path, _)| *path).collect();
        for path in over {
            self.cut(turn, path, CutReason::Idle);
        }
    }

    fn cut(&mut self, turn: &mut Turn<'_>, path: PathId, reason: CutReason) {
        let own = turn.shared.config.aor.clone();
        turn.cut(&own, path, reason);
        self.leave(turn, path);
    }
}
