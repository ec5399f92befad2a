//! The seam between the proxy and the machine: paths that want in, and what becomes of them.

mod traffic;

use std::net::SocketAddr;
use std::sync::Arc;

use presently_sip::{Aor, Moment};

pub use traffic::{Moved, Traffic};

/// Names one path; the proxy's own number, never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PathId(pub u64);

/// The name of an application server, as configured.
pub type ServerName = Arc<str>;

/// What a path carries.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PathKind {
    /// Requests and answers of HTTP/1.1, and what they are upgraded to: a WebSocket is a path like
    /// any other.
    Http,
    /// Raw TCP.
    Tcp,
}

/// A client connection that asks for an application server on behalf of one user. A connection that
/// changes its user leaves and enters anew, as another path.
#[derive(Clone, Debug)]
pub struct Entering {
    /// The path.
    pub path: PathId,
    /// Whose it is; `None` when the connection names nobody.
    pub user: Option<Aor>,
    /// Which of the user's devices, if the connection says so.
    pub device: Option<Arc<str>>,
    /// The UUID it brings along, if it resumes; no proof of anything, and only counted.
    pub uuid: Option<Box<str>>,
    /// What it carries.
    pub kind: PathKind,
    /// The far end, as the PROXY header or the connection says.
    pub source: SocketAddr,
    /// What is asked for, for the announcement and for people: host and path of the first request,
    /// or the listener.
    pub resource: Box<str>,
    /// When it was opened.
    pub opened: Moment,
    /// What moves on it.
    pub traffic: Arc<Traffic>,
}

/// What becomes of a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It may go on, to this application server. Said again when that listens elsewhere: what the
    /// path asks next goes there, what is carried stays.
    Admit {
        /// Which path.
        path: PathId,
        /// The server's name.
        server: ServerName,
        /// Its address.
        address: SocketAddr,
    },
    /// It was admitted and must end now: both its connections are closed.
    Cut {
        /// Which path.
        path: PathId,
        /// Why.
        reason: CutReason,
    },
    /// It may not go on.
    Refuse {
        /// Which path.
        path: PathId,
        /// Why not.
        refusal: Refusal,
    },
}

/// Why a path that was admitted is ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CutReason {
    /// Nothing moved for as long as the ordinary time-out allows.
    Idle,
    /// The user has left, as presence says.
    Left,
    /// Its application server is down, on the list or taken off it.
    ServerGone,
}

/// Why a path is not admitted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It names no user, and the configuration demands one.
    #[error("the request names no user")]
    Anonymous,
    /// A bound on sessions, paths or waiting ones is reached.
    #[error("too many are waiting")]
    Full,
    /// No application server is healthy.
    #[error("no application server is there")]
    NoServer,
    /// No slot became free in time.
    #[error("no slot became free")]
    NoSlot,
    /// The presence server did not take the announcement in time.
    #[error("the presence server did not answer")]
    Unannounced,
}

impl Refusal {
    /// The HTTP status to answer with; where there is no challenge for what names users, 403 stands
    /// in the place of 401 (RFC 9110 §15.5.2).
    pub fn status(self) -> u16 {
        match self {
            Self::Anonymous => 401,
            Self::Full | Self::NoServer | Self::NoSlot | Self::Unannounced => 503,
        }
    }
}
