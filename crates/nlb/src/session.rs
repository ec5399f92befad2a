//! One user's session: a slot, a handle at the presence server, a feed, a record, and the paths.
//!
//! ```text
//!   a slot ─► Registering ─► Announcing ─► Recording ─► access ─► Following ◄─► in doubt
//!                                                                    │ released
//!   gone ◄─ Purging ◄─ Unregistering ◄─ Unannouncing ◄─ Unsubscribing
//! ```
//!
//! What a session holds here is freed with the release; the good-bye to the presence server runs
//! behind it.

mod access;
mod doubt;
mod duty;
mod farewell;
mod notice;
pub(crate) mod record;
mod refresh;
mod sight;
mod steps;
mod uuid;
mod writing;

use std::mem;
use std::sync::Arc;

use presently_agent::{Agent, SavedFeed, SubscriptionId};
use presently_sip::{Aor, EntityTag, Moment, TimerId, WallTime};

use crate::release::Use;
use crate::turn::Turn;
use crate::{CutReason, Entering, PathId, Sent, ServerName, SessionId, Signs, State, Traffic};
use doubt::Doubt;
pub(crate) use notice::Notice;
use notice::Notices;
use refresh::Refresh;
pub use sight::{Sight, Stage};
pub(crate) use uuid::Uuid;
use writing::Writing;
pub(crate) use writing::session_of;

/// What the nlb holds for one user.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) user: Aor,
    pub(crate) handle: Aor,
    pub(crate) uuid: Uuid,
    pub(crate) since: WallTime,
    pub(crate) server: Option<ServerName>,
    /// The timer that is set for it.
    pub(crate) timer: Option<(Moment, TimerId)>,
    agent: Agent,
    feed: Option<SubscriptionId>,
    /// The feed of an earlier life, until it is taken up.
    saved: Option<Box<SavedFeed>>,
    /// The announcement's entity-tag.
    pub(crate) tag: Option<EntityTag>,
    /// What was asked for, until it is announced.
    resource: Box<str>,
    line: Line,
    /// Whether paths that enter are admitted at once.
    has_access: bool,
    paths: Vec<Path>,
    waiting: Vec<Waiting>,
    /// The last path that was closed from outside.
    lost: Option<Use>,
    /// Bytes from and to the user over paths that are over.
    moved: (u64, u64),
    notices: Notices,
    writing: Writing,
    /// What the feed says, as far as it was decided upon.
    presence: State,
    is_followed: bool,
    acted: Option<Sent>,
    doubt: Doubt,
    /// Since when it has had no path.
    idle_from: Moment,
    /// When the good-bye ends, whatever has come of it.
    farewell_by: Moment,
    /// When something that was refused is asked for again.
    repair_at: Option<Moment>,
    duty: duty::Duty,
    refresh: Refresh,
    /// Whether an earlier life was giving it back.
    ends: bool,
    /// What the handle asked the presence server for, to be given back.
    asked: Asked,
    why: &'static str,
}

/// How a session stands with the presence server and the store.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Line {
    /// Nothing has begun, or it is to begin again.
    Idle,
    /// REGISTER is on its way.
    Registering,
    /// PUBLISH is on its way.
    Announcing,
    /// The first record is on its way.
    Recording,
    /// The user is followed.
    Following,
    /// The end of the feed is on its way.
    Unsubscribing,
    /// The end of the announcement is on its way.
    Unannouncing,
    /// The end of the registration is on its way.
    Unregistering,
    /// The end of the record is on its way.
    Purging,
    /// Nothing is left.
    Gone,
}

/// What was asked of the presence server.
#[derive(Debug, Default)]
struct Asked {
    registration: bool,
    announcement: bool,
}

/// A path that was admitted.
#[derive(Debug)]
struct Path {
    id: PathId,
    device: Option<Arc<str>>,
    opened: Moment,
    traffic: Arc<Traffic>,
    /// Its device went offline: from here on it is cut once it is idle.
    cut_from: Option<Moment>,
}

/// A path that waits.
#[derive(Debug)]
struct Waiting {
    entering: Box<Entering>,
    until: Moment,
}

/// What a session begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) id: SessionId,
    pub(crate) user: Aor,
    pub(crate) handle: Aor,
    pub(crate) uuid: Uuid,
    pub(crate) resource: Box<str>,
}

impl Session {
    /// A session that holds nothing yet; `agent` is its handle's.
    pub(crate) fn new(now: presently_sip::Now, beginning: Beginning, agent: Agent) -> Self {
        let Beginning {
            id,
            user,
            handle,
            uuid,
            resource,
        } = beginning;
        Self {
            id,
            user,
            handle,
            uuid,
            since: now.wall,
            server: None,
            timer: None,
            agent,
            feed: None,
            saved: None,
            tag: None,
            resource,
            line: Line::Idle,
            has_access: false,
            paths: Vec::new(),
            waiting: Vec::new(),
            lost: None,
            moved: (0, 0),
            notices: Notices::default(),
            writing: Writing::default(),
            presence: State::Unknown,
            is_followed: false,
            acted: None,
            doubt: Doubt::None,
            idle_from: now.moment,
            farewell_by: now.moment,
            repair_at: None,
            duty: duty::Duty::default(),
            refresh: Refresh::No,
            ends: false,
            asked: Asked::default(),
            why: "new",
        }
    }

    /// Takes one SIP message for its handle.
    pub(crate) fn on_message(&mut self, turn: &mut Turn<'_>, bytes: &[u8]) {
        // The dialog of an earlier life is not taken up yet. The 481 would end it (RFC 6665
        // §4.2.2), perhaps after our refresh was granted; unanswered, the word comes again.
        if self.saved.is_some() && bytes.starts_with(b"NOTIFY ") {
            return;
        }
        self.agent.handle_message(turn.now, bytes, turn.agent);
    }

    /// Does what is due.
    pub(crate) fn on_timeout(&mut self, turn: &mut Turn<'_>) {
        self.agent_due(turn);
        self.writing_due(turn);
        if self.is_leaving() {
            self.farewell_due(turn);
        } else {
            self.doubt_due(turn);
            self.paths_due(turn);
            self.repair_due(turn);
        }
        self.waiting_due(turn);
    }

    /// When [`Session::on_timeout`] is due next.
    pub(crate) fn poll_timeout(&self, turn: &Turn<'_>) -> Option<Moment> {
        let waiting = self.waiting.iter().map(|it| it.until).min();
        let own = if self.is_leaving() {
            (self.line != Line::Purging).then_some(self.farewell_by)
        } else {
            let config = &turn.shared.config;
            let due = [
                self.doubt_at(config),
                self.paths_at(turn.shared),
                self.repair_at,
            ];
            due.into_iter().flatten().min()
        };
        let due = [self.agent_at(), self.writing.poll_timeout(), waiting, own];
        due.into_iter().flatten().min()
    }

    /// Sends what its agent wants sent and reads what it says, until it has no more to say.
    pub(crate) fn settle(&mut self, turn: &mut Turn<'_>) {
        turn.send();
        while !turn.agent.events.is_empty() {
            for event in mem::take(&mut turn.agent.events) {
                self.on_event(turn, event);
                turn.send();
            }
        }
    }

    /// Whether it has been released and says good-bye.
    pub(crate) fn is_leaving(&self) -> bool {
        self.line >= Line::Unsubscribing
    }

    /// Whether nothing of it is left but paths that wait for the user's next session.
    pub(crate) fn is_gone(&self) -> bool {
        self.line == Line::Gone
    }

    /// Whether a write of it is on its way.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_under_way()
    }

    /// Takes the paths that wait, with their deadlines.
    pub(crate) fn take_waiting(&mut self) -> Vec<(Box<Entering>, Moment)> {
        let waiting = mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .map(|it| (it.entering, it.until))
            .collect()
    }

    /// How it stands, for people.
    pub(crate) fn stage(&self) -> Stage {
        match (&self.doubt, self.has_access) {
            _ if self.is_leaving() || self.ends => Stage::Releasing,
            (Doubt::Grace { .. }, _) => Stage::Grace,
            (Doubt::Ebbing | Doubt::Resuming(_), _) => Stage::Resuming,
            (Doubt::None, true) => Stage::Serving,
            (Doubt::None, false) if self.server.is_none() => Stage::Queued,
            (Doubt::None, false) => Stage::Entering,
        }
    }

    /// Bytes from and to the user over all its paths, those that are over too.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        self.paths.iter().fold(self.moved, with_bytes_of)
    }

    /// Its paths, waiting ones included.
    pub(crate) fn paths_count(&self) -> usize {
        self.paths.len() + self.waiting.len()
    }

    pub(crate) fn presence(&self) -> State {
        self.presence
    }

    pub(crate) fn acted(&self) -> Option<Sent> {
        self.acted
    }

    pub(crate) fn why(&self) -> &'static str {
        self.why
    }

    /// What is written of its feed, to go on with it after a restart.
    pub(crate) fn saved_feed(&self) -> Option<SavedFeed> {
        if let Some(saved) = &self.saved {
            return Some((**saved).clone());
        }
        self.agent.saved(self.feed?)
    }

    /// How its paths were used; the one that was lost last among them.
    fn uses(&self, signs: Signs) -> Vec<Use> {
        let open = self.paths.iter().map(|path| path.used(signs));
        open.chain(self.lost).collect()
    }
}

impl Path {
    fn used(&self, signs: Signs) -> Use {
        let moved = self.traffic.moved();
        let moved = match signs {
            Signs::Either => moved.last_at(),
            Signs::FromUser => moved.from_user_at,
        };
        Use {
            opened: self.opened,
            moved: moved.max(self.opened),
            closed: None,
        }
    }
}

/// What moved on the path, and before.
fn with_bytes_of((from, to): (u64, u64), path: &Path) -> (u64, u64) {
    let moved = path.traffic.moved();
    (
        from.saturating_add(moved.from_user_bytes),
        to.saturating_add(moved.to_user_bytes),
    )
}

/// Why the paths of a session that is released are cut.
fn cut_reason(why: crate::Why) -> CutReason {
    match why {
        // Nothing serves the user any more; nothing is said about the user.
        crate::Why::Closed => CutReason::ServerGone,
        crate::Why::Idle => CutReason::Idle,
        _ => CutReason::Left,
    }
}
