//! One client as its distinguished server holds it: bindings, publications, what it watches, and
//! the requests that wait for the one before.
//!
//! ```text
//!                    Activated                 a request that writes
//!   (created) ─► Activating ───► Idle ──────────────────────────────► Writing
//!                                  ▲   committed: memory follows        │
//!                                  └─────────────────────────────────────┘
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use presently_pool::{ClientId, Epoch, MemberId, PackageName, ResourceId};
use presently_sip::{Aor, TimerId, WallTime};
use presently_store::{Answer, Binding, Document, Publication, REPEATS_MAX, Repeat, RequestKey};

use crate::held::Held;
use crate::notifier::{Round, SubscriptionSlot};
use crate::plan::Plan;

/// One client.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) aor: Aor,
    pub(crate) client: ClientId,
    pub(crate) epoch: Epoch,
    pub(crate) activation: u32,
    /// The epoch under which the client is said to have been given to a server: when it is above
    /// ours, the store is asked whose it is.
    pub(crate) moved: Epoch,
    /// It is to be handed over when nothing is in flight: to whom, if that was said.
    pub(crate) leaving: Option<Destination>,
    pub(crate) state: State,
    /// While nothing of it is in memory: the round of the oldest thing its subscriptions may be
    /// owed.
    pub(crate) absent: Option<Round>,
    /// Requests in order of arrival, bounded by the configuration. Boxed: the queue keeps its room,
    /// and a request takes more than all else of a client.
    pub(crate) queue: VecDeque<Box<Held>>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) publications: Vec<Publication>,
    /// The client's own documents, as last committed.
    pub(crate) documents: Vec<Arc<Document>>,
    pub(crate) subscriptions: Vec<SubscriptionSlot>,
    /// Subscriptions whose time is over and whose removal is not committed yet.
    pub(crate) over: Vec<SubscriptionSlot>,
    /// Requests that removed something, for as long as they can be repeated.
    pub(crate) repeats: Vec<(Repeat, WallTime)>,
    /// The next expiry of a binding or publication, or the next try of what waits for the store.
    pub(crate) timer: Option<TimerId>,
}

/// Whom a client is handed over to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Destination {
    /// The emptiest other server.
    Any,
    /// This one.
    One(MemberId),
}

/// Where an actor stands between its requests.
#[derive(Debug)]
pub(crate) enum State {
    /// Its rows are being read.
    Activating,
    /// Nothing is in flight.
    Idle,
    /// It is being handed over to another server: nothing is said any more.
    Leaving,
    /// One write is in flight (design: one write in flight per actor).
    Writing(Box<Plan>),
    /// The store or the assignment was not to be had: tried again at the timer.
    Waiting,
}

impl Actor {
    pub(crate) fn new(aor: Aor, client: ClientId, absent: Round) -> Self {
        Self {
            aor,
            client,
            epoch: Epoch::default(),
            activation: 0,
            moved: Epoch::default(),
            leaving: None,
            state: State::Activating,
            absent: Some(absent),
            queue: VecDeque::new(),
            bindings: Vec::new(),
            publications: Vec::new(),
            documents: Vec::new(),
            subscriptions: Vec::new(),
            over: Vec::new(),
            repeats: Vec::new(),
            timer: None,
        }
    }

    /// Whether nothing of the client lives here: its assignment may be released.
    pub(crate) fn is_empty(&self) -> bool {
        self.bindings.is_empty() && self.publications.is_empty() && self.subscriptions.is_empty()
    }

    pub(crate) fn resource(&self, package: &PackageName) -> ResourceId {
        ResourceId {
            aor: self.aor.clone(),
            package: package.clone(),
        }
    }

    pub(crate) fn document(&self, package: &PackageName) -> Option<&Arc<Document>> {
        let mut documents = self.documents.iter();
        documents.find(|document| document.resource.package == *package)
    }

    /// The answer that `request` got when it was done before.
    pub(crate) fn answered(&self, request: &RequestKey) -> Option<&Answer> {
        let bindings = self.bindings.iter().map(|row| &row.repeat);
        let publications = self.publications.iter().map(|row| &row.repeat);
        let removed = self.repeats.iter().map(|(repeat, _)| repeat);
        let mut all = bindings.chain(publications).chain(removed);
        all.find(|repeat| repeat.request == *request)
            .map(|repeat| &repeat.answer)
    }

    /// The most that is kept as granted under `request`, of what was removed not long ago.
    pub(crate) fn last_granted(&self, request: &RequestKey) -> Option<u32> {
        let removed = self.repeats.iter().map(|(repeat, _)| repeat);
        let of = removed.filter(|repeat| repeat.request == *request);
        of.map(|repeat| repeat.answer.expires_secs).max()
    }

    /// The answer to the request that ended the dialog with our tag `tag`, not long ago.
    pub(crate) fn ended_dialog(&self, tag: &str) -> Option<&Answer> {
        let answers = self.repeats.iter().map(|(repeat, _)| &repeat.answer);
        let mut ended = answers.filter(|answer| *answer.to_tag == *tag);
        ended.next()
    }

    /// Keeps the answers of requests whose rows are replaced or gone.
    pub(crate) fn remember_unless_held(
        &mut self,
        now: WallTime,
        repeats: impl Iterator<Item = Repeat>,
        until: WallTime,
    ) {
        for repeat in repeats {
            if self.answered(&repeat.request).is_none() {
                self.remember(now, repeat, until);
            }
        }
    }

    pub(crate) fn remember(&mut self, now: WallTime, repeat: Repeat, until: WallTime) {
        self.repeats.retain(|(_, until)| *until > now);
        if self.repeats.len() >= REPEATS_MAX {
            self.repeats.remove(0);
        }
        self.repeats.push((repeat, until));
    }

    /// When the next binding or publication is over.
    pub(crate) fn next_expiry(&self) -> Option<WallTime> {
        let bindings = self.bindings.iter().map(|row| row.expires_at);
        let publications = self.publications.iter().map(|row| row.expires_at);
        bindings.chain(publications).min()
    }
}
