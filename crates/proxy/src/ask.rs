//! What the proxy asks the control loop, and how it learns whom a request speaks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Uri};
use presently_nlb::{Entering, PathId};
use presently_sip::Aor;
use tokio::sync::mpsc;

use crate::identity::Found;

/// One question or report of the proxy.
#[derive(Debug)]
pub enum Asked {
    /// A path wants in, and waits for its verdict.
    Enter {
        /// What it says of itself.
        entering: Box<Entering>,
        /// Whether it names a user who is not to be believed: then it is nobody's, whatever else
        /// could tell whose it is.
        is_refused: bool,
    },
    /// A thread of the proxy has panicked, a fault of ours: what it has is not to be relied on, so
    /// the process had better end.
    Failed,
    /// A path is over. Said once of each path that entered, whatever the verdict was, and whether
    /// or not it had come; not of one that was refused.
    Left {
        /// Which one.
        path: PathId,
    },
}

/// What all proxy threads ask, in one queue. It is bounded: as many paths may wait as
/// [`crate::Limits::waiting`] allows, others are refused before they get here; of each path there
/// is one more report.
#[derive(Debug)]
pub struct Questions {
    queue: mpsc::UnboundedReceiver<Asked>,
    waiting: Arc<AtomicUsize>,
}

/// The end of the queue that proxy threads hold.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    queue: mpsc::UnboundedSender<Asked>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
}

impl Questions {
    pub(crate) fn new(waiting_max: usize) -> (Asking, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let asking = Asking {
            queue: sender,
            waiting: Arc::clone(&waiting),
            waiting_max,
        };
        let questions = Self {
            queue: receiver,
            waiting,
        };
        (asking, questions)
    }

    /// The next one; `None` once all proxy threads have ended. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Asked> {
        let asked = self.queue.recv().await?;
        self.note(&asked);
        Some(asked)
    }

    /// The next one if it is there already.
    pub fn try_next(&mut self) -> Option<Asked> {
        let asked = self.queue.try_recv().ok()?;
        self.note(&asked);
        Some(asked)
    }

    fn note(&self, asked: &Asked) {
        if matches!(asked, Asked::Enter { .. }) {
            self.waiting.fetch_sub(1, Relaxed);
        }
    }
}

impl Asking {
    /// Asks for a path, unless too many wait already: `question` says for which.
    pub(crate) fn enter(&self, question: Asked) -> Result<(), Crowded> {
        if self.waiting.fetch_add(1, Relaxed) >= self.waiting_max {
            self.waiting.fetch_sub(1, Relaxed);
            return Err(Crowded);
        }
        // A control loop that is gone answers nobody: the path's time ends it.
        let _ = self.queue.send(question);
        Ok(())
    }

    /// What a part of a thread holds on which all of its connections depend.
    pub(crate) fn vital(&self) -> Vital {
        Vital(self.clone())
    }

    /// Reports something that always finds room.
    pub(crate) fn report(&self, asked: Asked) {
        let _ = self.queue.send(asked);
    }
}

/// Reports the panic of what holds it: the runtime keeps that of a task to itself.
pub(crate) struct Vital(Asking);

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.report(Asked::Failed);
        }
    }
}

/// The control loop has as much to answer as is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowded;

/// For whom a request speaks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Who {
    /// The user; `None` when it names nobody.
    pub user: Option<Aor>,
    /// Whether it names one who is not to be believed.
    pub is_refused: bool,
    /// Which of the user's devices, if it says so.
    pub device: Option<Arc<str>>,
    /// The UUID it brings along, if it resumes.
    pub uuid: Option<Box<str>>,
}

impl Who {
    /// Whoever is called what was found; one whose name makes no `aor` is not believed.
    pub(crate) fn named(found: Found, aor: impl FnOnce(&str) -> Option<Aor>) -> Self {
        let is_absent = found == Found::Absent;
        let user = found.text().and_then(|name| aor(&name));
        Self {
            is_refused: user.is_none() && !is_absent,
            user,
            ..Self::default()
        }
    }

    /// Whether both speak for the same user on the same device.
    pub(crate) fn is_same_user(&self, other: &Self) -> bool {
        self.user == other.user && self.device == other.device
    }
}

/// Says for whom a request speaks; called by all proxy threads.
pub trait Identify: Send + Sync + 'static {
    /// The headers it looks at. While these stay the same on one connection, and the query too if
    /// it is looked at, it is not asked again.
    fn headers(&self) -> &[HeaderName];

    /// Whether it looks at the query of the request's target.
    fn reads_query(&self) -> bool;

    /// For whom this request speaks.
    fn who(&self, target: &Uri, headers: &HeaderMap) -> Who;

    /// What a client that names nobody can be asked for, as values of `WWW-Authenticate`. Without
    /// any it is told 403: a 401 would have to say how to ask again (RFC 9110 §15.5.2).
    fn challenges(&self) -> &[HeaderValue] {
        &[]
    }

    /// The address of record of a user who is only named: by the first line of raw TCP, or by a
    /// PROXY header.
    fn named(&self, name: &str) -> Option<Aor>;
}
