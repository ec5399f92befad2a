//! What the nlb wants done, and what it did.

use bytes::Bytes;
use presently_sip::{Aor, Now};
use presently_store::{Operation, Ticket};

use crate::{CutReason, Decision, PathId, Refusal, Sent, ServerName, Verdict};

/// What one or more calls made the nlb do. The owner empties it and may use it again.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Whole SIP messages for the presence server: one datagram each, or to be written to the
    /// stream one after another.
    pub messages: Vec<Bytes>,
    /// For the store; each is answered by [`Input::Stored`](crate::Input::Stored).
    pub operations: Vec<(Ticket, Operation)>,
    /// For the proxy.
    pub verdicts: Vec<Verdict>,
    /// What happened, in order: for the trace and for people.
    pub steps: Vec<Step>,
}

/// One step of one user's session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// Whose; the nlb's own address for what concerns all.
    pub user: Aor,
    /// When.
    pub at: Now,
    /// What.
    pub what: What,
}

/// What happened in one step.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// A path was admitted.
    Admitted {
        /// Which.
        path: PathId,
        /// To which application server.
        server: ServerName,
    },
    /// Too many users went offline at once: nothing is released by presence for a while.
    Alarm,
    /// The user's request was announced to the presence server, and it took it.
    Announced,
    /// The presence server answered the message to the user.
    Answered {
        /// Its status; 408 when nothing came.
        status: u16,
    },
    /// The first word of a feed: what counts from now on.
    Baseline {
        /// Whether the user is online.
        is_open: bool,
    },
    /// A path was ended.
    Cut {
        /// Which.
        path: PathId,
        /// Why.
        reason: CutReason,
    },
    /// A notification was decided upon.
    Decided(Decision),
    /// The feed cannot be had: ordinary time-outs only.
    Deaf {
        /// The answer to SUBSCRIBE.
        status: u16,
    },
    /// The message with the UUID was sent to the user.
    Messaged {
        /// The how manieth.
        number: u8,
    },
    /// The session got another application server.
    Moved {
        /// Which.
        server: ServerName,
    },
    /// A notification came.
    Notified {
        /// Whether the user is online.
        is_open: bool,
        /// When it was sent.
        sent: Sent,
    },
    /// The session got a slot.
    Placed {
        /// On which application server.
        server: ServerName,
    },
    /// The record is gone from the database.
    Purged,
    /// The session waits for a slot.
    Queued,
    /// The presence server is there again.
    Reachable,
    /// The record is in the database.
    Recorded,
    /// A path was not admitted.
    Refused {
        /// Which.
        path: PathId,
        /// Why not.
        refusal: Refusal,
    },
    /// The handle, or the nlb itself, is registered.
    Registered,
    /// Everything local was freed, and the good-bye began.
    Released {
        /// Why.
        why: Why,
    },
    /// The user came back to the session.
    Resumed {
        /// Whether the path brought the UUID of the message along; never asked for.
        has_uuid: bool,
    },
    /// The session was taken up from its record.
    Restored,
    /// The feed was accepted, or refreshed.
    Subscribed,
    /// The last notification of the feed came, or was waited for in vain.
    Terminated,
    /// The announcement was taken back.
    Unannounced,
    /// The presence server cannot be reached.
    Unreachable,
    /// The registration was taken back.
    Unregistered,
    /// The end of the feed was asked for.
    Unsubscribed,
}

/// Why a session was released.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Why {
    /// The nlb closes.
    Closed,
    /// It was being given back when the program ended.
    Earlier,
    /// The ordinary time-out.
    Idle,
    /// The user left, as presence says.
    Left,
    /// The user was asked to come back, and did not.
    NotResumed,
    /// It was never admitted.
    Unused,
}
