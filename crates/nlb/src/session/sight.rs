//! One session as people see it.

use std::fmt;

use presently_sip::{Aor, WallTime};

use crate::{ServerName, SessionId, State};

/// A session for `status` and `/sessions`.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Which: a later session has a greater one.
    pub id: SessionId,
    /// Whose it is.
    pub user: Aor,
    /// Its UUID.
    pub uuid: String,
    /// Under which address the nlb acts for the user.
    pub handle: Aor,
    /// The application server; `None` while it waits for one.
    pub server: Option<ServerName>,
    /// How it stands.
    pub stage: Stage,
    /// Whether the user is online, as its feed says.
    pub presence: State,
    /// When it began.
    pub since: WallTime,
    /// Bytes from the user over its present paths.
    pub from_user_bytes: u64,
    /// Bytes to the user over its present paths.
    pub to_user_bytes: u64,
    /// Its paths, waiting ones included.
    pub paths: usize,
    /// Why it stands like this, in a few words.
    pub why: &'static str,
}

/// How a session stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stage {
    /// It waits for a slot.
    Queued,
    /// Its steps before access are under way.
    Entering,
    /// It has access.
    Serving,
    /// Its user went offline a moment ago.
    Grace,
    /// Its user was asked to come back.
    Resuming,
    /// It is being given back.
    Releasing,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Entering => "entering",
            Self::Serving => "serving",
            Self::Grace => "grace",
            Self::Resuming => "resuming",
            Self::Releasing => "releasing",
        })
    }
}
