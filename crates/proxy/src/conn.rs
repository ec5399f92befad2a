//! One connection of a client: its path, how long it may take for what, and the order to end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use presently_nlb::{Entering, PathId, PathKind, Refusal, Traffic, Verdict};
use presently_sip::{Aor, Moment};

use crate::lane::Lane;
use crate::{Asked, Who};

/// What the task of a connection shares with its thread.
pub(crate) struct Conn {
    pub(crate) lane: Rc<Lane>,
    /// The far end, as the PROXY header or the connection says.
    pub(crate) source: Cell<SocketAddr>,
    /// Where the client connected to, as far as application servers are told.
    pub(crate) destination: Cell<Option<SocketAddr>>,
    waker: RefCell<Waker>,
    is_ended: Cell<bool>,
    is_stopping: Cell<bool>,
    phase: Cell<Phase>,
    due: Cell<Moment>,
    is_late: Cell<bool>,
    path: RefCell<Option<Path>>,
    /// What came before there was a path to count it.
    early_bytes: Cell<u64>,
}

/// What a connection is waiting for; each has a time of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// For its first bytes, or the rest of some headers.
    Opening,
    /// For the next request.
    Idle,
    /// For the verdict on its path.
    Asking,
    /// For an application server to take the connection.
    Connecting,
    /// For an application server to begin its answer.
    Awaiting,
    /// For the rest of an answer, or for room to write it.
    Moving,
    /// For nothing: the machine says when a tunnel ends.
    Tunnel,
}

/// A path of this connection, from its question on.
struct Path {
    id: PathId,
    who: Who,
    traffic: Arc<Traffic>,
    standing: Standing,
    lane: Rc<Lane>,
}

#[derive(Clone, Debug)]
enum Standing {
    Admitted(Admitted),
    Refused(Refusal),
    Waiting,
}

/// Where an admitted path goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted {
    pub(crate) address: SocketAddr,
}

/// A path that asked and was not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotAdmitted {
    /// The control loop has said no, or has no room to be asked.
    Refused(Refusal),
    /// It has said nothing in time.
    Unanswered,
}

impl Conn {
    pub(crate) fn new(lane: Rc<Lane>, source: SocketAddr) -> Self {
        let due = lane.now().after(lane.limits().header_time);
        Self {
            lane,
            source: Cell::new(source),
            destination: Cell::new(None),
            waker: RefCell::new(Waker::noop().clone()),
            is_ended: Cell::new(false),
            is_stopping: Cell::new(false),
            phase: Cell::new(Phase::Opening),
            due: Cell::new(due),
            is_late: Cell::new(false),
            path: RefCell::new(None),
            early_bytes: Cell::new(0),
        }
    }

    /// Does `work`, unless the connection is told to end: then everything `work` holds is dropped
    /// at once, sockets included.
    pub(crate) async fn run(&self, work: impl Future<Output = ()>) {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.lane.read_clock();
            self.remember(cx);
            if self.is_ended.get() {
                return Poll::Ready(());
            }
            work.as_mut().poll(cx)
        })
        .await;
    }

    fn remember(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.will_wake(cx.waker()) {
            waker.clone_from(cx.waker());
        }
    }

    fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    /// Ends the connection, whatever it is doing.
    pub(crate) fn end(&self) {
        self.is_ended.set(true);
        self.wake();
    }

    /// Asks the connection to end when it has answered what it was asked.
    pub(crate) fn stop(&self) {
        self.is_stopping.set(true);
        self.wake();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Begins to wait for something else; its time begins.
    pub(crate) fn enter_phase(&self, phase: Phase) {
        self.phase.set(phase);
        self.is_late.set(false);
        self.put_off();
    }

    /// Whether the time of the present phase is over.
    pub(crate) fn is_late(&self) -> bool {
        self.is_late.get()
    }

    fn put_off(&self) {
        let due = self.allowed().map(|span| self.lane.now().after(span));
        self.due.set(due.unwrap_or(Moment(u64::MAX)));
    }

    fn allowed(&self) -> Option<Duration> {
        let limits = self.lane.limits();
        match self.phase.get() {
            Phase::Opening => Some(limits.header_time),
            Phase::Idle => Some(limits.keep_alive),
            Phase::Asking => Some(limits.verdict),
            Phase::Connecting => Some(limits.connect),
            Phase::Awaiting | Phase::Moving => Some(limits.answer),
            Phase::Tunnel => None,
        }
    }

    /// Acts on a time that is over: those that wait for an answer are told so, others end.
    pub(crate) fn check_time(&self, now: Moment) {
        if self.due.get() > now {
            return;
        }
        match self.phase.get() {
            Phase::Asking | Phase::Connecting | Phase::Awaiting => {
                self.is_late.set(true);
                self.due.set(Moment(u64::MAX));
                self.wake();
            }
            // Whether its user is there is for the machine to know.
            Phase::Moving if self.path.borrow().is_some() => self.put_off(),
            Phase::Opening | Phase::Idle | Phase::Moving => self.end(),
            Phase::Tunnel => {}
        }
    }

    /// The client sent `bytes`.
    pub(crate) fn note_read(&self, bytes: usize) {
        match self.phase.get() {
            Phase::Idle => self.enter_phase(Phase::Opening),
            Phase::Awaiting | Phase::Moving => self.put_off(),
            // The first bytes begin no new time for the rest.
            Phase::Opening | Phase::Asking | Phase::Connecting | Phase::Tunnel => {}
        }
        match self.path.borrow().as_ref() {
            Some(path) => path.traffic.from_user(self.lane.now(), wide(bytes)),
            None => self.early_bytes.set(self.early_bytes.get() + wide(bytes)),
        }
    }

    /// The client took `bytes`.
    pub(crate) fn note_written(&self, bytes: usize) {
        if self.phase.get() == Phase::Moving {
            self.put_off();
        }
        if let Some(path) = self.path.borrow().as_ref() {
            path.traffic.to_user(self.lane.now(), wide(bytes));
        }
    }

    /// Something failed on the path.
    pub(crate) fn note_error(&self) {
        if let Some(path) = self.path.borrow().as_ref() {
            path.traffic.error();
        }
    }

    /// The counters of the path.
    pub(crate) fn traffic(&self) -> Option<Arc<Traffic>> {
        let path = self.path.borrow();
        path.as_ref().map(|path| Arc::clone(&path.traffic))
    }

    /// The user of the path.
    pub(crate) fn user(&self) -> Option<Aor> {
        let path = self.path.borrow();
        path.as_ref().and_then(|path| path.who.user.clone())
    }

    /// The path, if there is one.
    pub(crate) fn path(&self) -> Option<PathId> {
        self.path.borrow().as_ref().map(|path| path.id)
    }

    /// Where the path of `who` goes: asked once, and known from then on. Another user's path is
    /// left first.
    pub(crate) async fn admit(
        self: &Rc<Self>,
        who: &Who,
        kind: PathKind,
        resource: impl FnOnce() -> Box<str>,
    ) -> Result<Admitted, NotAdmitted> {
        if let Some(admitted) = self.known(who) {
            return Ok(admitted);
        }
        self.leave();
        self.ask(who, kind, resource())?;
        self.enter_phase(Phase::Asking);
        let standing = poll_fn(|_| match self.standing() {
            Some(Standing::Waiting) | None if !self.is_late() => Poll::Pending,
            standing => Poll::Ready(standing),
        });
        match standing.await {
            Some(Standing::Admitted(admitted)) => Ok(admitted),
            Some(Standing::Refused(refusal)) => {
                self.leave();
                Err(NotAdmitted::Refused(refusal))
            }
            Some(Standing::Waiting) | None => {
                self.leave();
                Err(NotAdmitted::Unanswered)
            }
        }
    }

    fn known(&self, who: &Who) -> Option<Admitted> {
        let path = self.path.borrow();
        let path = path.as_ref()?;
        match &path.standing {
            Standing::Admitted(admitted) if path.who.is_same_user(who) => Some(*admitted),
            Standing::Admitted(_) | Standing::Refused(_) | Standing::Waiting => None,
        }
    }

    fn standing(&self) -> Option<Standing> {
        let path = self.path.borrow();
        path.as_ref().map(|path| path.standing.clone())
    }

    fn ask(
        self: &Rc<Self>,
        who: &Who,
        kind: PathKind,
        resource: Box<str>,
    ) -> Result<(), NotAdmitted> {
        let now = self.lane.now();
        let traffic = Arc::new(Traffic::new(now));
        traffic.from_user(now, self.early_bytes.take());
        let id = self.lane.next_path();
        let entering = Entering {
            path: id,
            user: who.user.clone(),
            device: who.device.clone(),
            uuid: who.uuid.clone(),
            kind,
            source: self.source.get(),
            resource,
            opened: now,
            traffic: Arc::clone(&traffic),
        };
        let asked = self.lane.asking.enter(Asked::Enter {
            entering: Box::new(entering),
            is_refused: who.is_refused,
        });
        asked.map_err(|_| NotAdmitted::Refused(Refusal::Full))?;
        self.lane.paths.borrow_mut().insert(id, Rc::clone(self));
        self.path.replace(Some(Path {
            id,
            who: who.clone(),
            traffic,
            standing: Standing::Waiting,
            lane: Rc::clone(&self.lane),
        }));
        Ok(())
    }

    /// Takes what the control loop has said about this connection's path.
    pub(crate) fn take(&self, verdict: &Verdict) {
        let standing = match verdict {
            Verdict::Admit { address, .. } => Standing::Admitted(Admitted { address: *address }),
            Verdict::Cut { .. } => return self.end(),
            Verdict::Refuse { refusal, .. } => Standing::Refused(*refusal),
        };
        if let Some(path) = self.path.borrow_mut().as_mut() {
            path.standing = standing;
        }
        self.wake();
    }

    /// Gives up the path, if there is one.
    pub(crate) fn leave(&self) {
        self.path.replace(None);
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.lane.paths.borrow_mut().remove(&self.id);
        if !matches!(self.standing, Standing::Refused(_)) {
            self.lane.asking.report(Asked::Left { path: self.id });
        }
    }
}

pub(crate) fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a size fits into 64 bits")
}
