//! Operations, each a whole transaction, and what comes of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use presently_pool::{
    Assignment, ClientId, Epoch, Member, MemberId, Membership, ResourceId, Role, Version,
};
use presently_sip::{Aor, EntityTag, WallTime};

use crate::{Binding, BindingKey, Document, Publication, Repeat, Subscription, SubscriptionKey};

/// One transaction. `by` is the asker's life: all but `Join` and the reads for people are refused
/// with `Fenced` when it is not the member's present incarnation.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Takes a fresh epoch for a client that is assigned to `by`, raises its activation count, and
    /// reads all that it owns in one snapshot. → [`Outcome::Activated`]; `None` when the client is
    /// not assigned to `by` (unknown, released, or another server's).
    Activate {
        /// The server.
        by: Membership,
        /// Whom.
        client: Aor,
    },
    /// Finds a client's assignment; for `create`, gives it the server with the fewest clients for
    /// its weight (ties by id) when it has none or only a tombstone. The first assignment takes a
    /// fresh epoch. → [`Outcome::Assigned`]; `None` when there is none and none could be made (no
    /// server is alive).
    Assign {
        /// The balancer.
        by: Membership,
        /// Whom.
        client: Aor,
        /// Whether this request may begin an assignment.
        create: bool,
        /// The time, for tombstones.
        now: WallTime,
    },
    /// Finds the client of a row, for in-dialog requests. → [`Outcome::Found`].
    Find {
        /// Its row.
        client: ClientId,
    },
    /// Raises the member's beat, writes its settled counter and reads the table of members.
    /// → [`Outcome::Beaten`]. Also purges tombstones that are over, bounded.
    Beat {
        /// Who.
        by: Membership,
        /// The counter up to which everything it must tell is told or owed.
        settled: Option<u64>,
        /// The time, for tombstones.
        now: WallTime,
    },
    /// One write of one client's actor: all of `changes`, in order, under the client's epoch; then,
    /// in the same transaction, the reads among them. When nothing of the client is left, its
    /// assignment is released (its server's count falls, the row stays as an uncounted tombstone
    /// until `release_at`). → [`Outcome::Committed`]. An empty list releases an assignment that
    /// nothing came of.
    Commit {
        /// The server.
        by: Membership,
        /// Whose actor.
        client: ClientId,
        /// Under which epoch.
        epoch: Epoch,
        /// What changes.
        changes: Vec<Change>,
        /// Until when a released row stays.
        release_at: WallTime,
    },
    /// Reads documents, each with its present version. → [`Outcome::Documents`]; a resource nobody
    /// ever wrote is left out.
    Documents {
        /// Which.
        resources: Vec<ResourceId>,
    },
    /// Begins a life of the member called `name`: a fresh incarnation; clients stay assigned to it.
    /// → [`Outcome::Joined`], with the pool's key, which the first member ever makes from `seed`.
    Join {
        /// Its configured name, unique in the pool.
        name: Arc<str>,
        /// What it does.
        role: Role,
        /// The host it runs on.
        host: Arc<str>,
        /// Its process id.
        pid: u32,
        /// The process's start time in the kernel's ticks: with `pid`, names one process.
        started: u64,
        /// Where its SIP link listens.
        sip: Option<SocketAddr>,
        /// Where its out-of-band socket listens.
        oob: Option<SocketAddr>,
        /// Its weight.
        weight: u32,
        /// Random bytes for the pool's key, used only when there is none yet.
        seed: [u8; 16],
    },
    /// Says good-bye: no new clients; those it has stay. → [`Outcome::Done`].
    Leave {
        /// Who.
        by: Membership,
    },
    /// Moves a client to `to` under a fresh epoch, if it still has `from` under `epoch`
    /// (compare-and-set). → [`Outcome::Assigned`] with what holds afterwards.
    Reassign {
        /// Whom.
        client: Aor,
        /// From which server.
        from: MemberId,
        /// Under which epoch.
        epoch: Epoch,
        /// To which server.
        to: MemberId,
    },
    /// Everything of one client, for people. → [`Outcome::Client`].
    Show {
        /// Whom.
        client: Aor,
    },
    /// Members and counts, for people. → [`Outcome::Status`].
    Status,
    /// What the clients of `by` watch and has changed above `since`. → [`Outcome::Swept`].
    Sweep {
        /// The server.
        by: Membership,
        /// A counter from an earlier sweep; 0 for all.
        since: u64,
    },
}

/// One change of a client's state. Puts replace the row with the same key.
#[derive(Clone, Debug)]
pub enum Change {
    /// Sets or clears `owed`.
    Owe {
        /// Which subscription.
        key: SubscriptionKey,
        /// Whether a NOTIFY is owed.
        owed: bool,
    },
    /// Puts a binding.
    PutBinding(Binding),
    /// Puts a publication; `replaces` is the tag it had.
    PutPublication {
        /// The row.
        publication: Publication,
        /// The tag of the row it replaces; `None` for a first one.
        replaces: Option<EntityTag>,
    },
    /// Puts a subscription.
    PutSubscription(Box<Subscription>),
    /// Reads a resource's document after all writes of this operation.
    ReadDocument(ResourceId),
    /// Removes a binding; `tombstone` is kept until its time.
    RemoveBinding {
        /// Which.
        key: BindingKey,
        /// The request that did it, if one did.
        tombstone: Option<(Repeat, WallTime)>,
    },
    /// Removes a publication.
    RemovePublication {
        /// Of what.
        resource: ResourceId,
        /// Which.
        tag: EntityTag,
        /// The request that did it, if one did.
        tombstone: Option<(Repeat, WallTime)>,
    },
    /// Removes a subscription.
    RemoveSubscription {
        /// Which.
        key: SubscriptionKey,
        /// The request that did it, if one did.
        tombstone: Option<(Repeat, WallTime)>,
    },
    /// Keeps a request's answer that wrote no row (a fetch, an unsubscribe of nothing).
    Remember {
        /// The request and its answer.
        repeat: Repeat,
        /// Until when.
        until: WallTime,
    },
    /// Writes the composed document of a resource of this client: gives it a version and finds the
    /// servers of its watchers (subscriptions ⋈ assignments). Answered by a [`Written`].
    WriteDocument {
        /// Of what.
        resource: ResourceId,
        /// The body's media type.
        content_type: Arc<str>,
        /// The composed body.
        body: Bytes,
    },
}

/// What came of an operation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// See [`Operation::Activate`].
    Activated(Option<Box<Activated>>),
    /// See [`Operation::Assign`].
    Assigned(Option<Assignment>),
    /// See [`Operation::Beat`].
    Beaten {
        /// The beat now.
        beat: u64,
        /// The store's counter in the same snapshot.
        counter: u64,
        /// Every member that has not left.
        members: Vec<Member>,
    },
    /// See [`Operation::Show`].
    Client(Option<Box<ClientState>>),
    /// See [`Operation::Commit`].
    Committed {
        /// One for each `WriteDocument`, in order.
        written: Vec<Written>,
        /// One for each `ReadDocument`, in order; version 0 where nobody ever wrote it.
        read: Vec<Arc<Document>>,
        /// Whether the assignment was released.
        released: bool,
    },
    /// See [`Operation::Documents`].
    Documents(Vec<Arc<Document>>),
    /// Done, and nothing to tell.
    Done,
    /// See [`Operation::Find`].
    Found(Option<(Aor, Assignment)>),
    /// See [`Operation::Join`].
    Joined {
        /// Its id and life.
        membership: Membership,
        /// The pool's key.
        key: [u8; 16],
        /// Every member that has not left.
        members: Vec<Member>,
    },
    /// See [`Operation::Status`].
    Status(Box<PoolStatus>),
    /// See [`Operation::Sweep`].
    Swept(Swept),
}

/// A client as its new activation finds it.
#[derive(Clone, Debug)]
pub struct Activated {
    /// Its row.
    pub client: ClientId,
    /// The fresh epoch.
    pub epoch: Epoch,
    /// How often it was activated, this time included.
    pub activation: u32,
    /// Its bindings.
    pub bindings: Vec<Binding>,
    /// Publications about it.
    pub publications: Vec<Publication>,
    /// Its own documents.
    pub documents: Vec<Arc<Document>>,
    /// What it watches, each with the present version of the resource (0 when never written).
    pub subscriptions: Vec<(Subscription, Version)>,
    /// Tombstones: requests that removed something not long ago.
    pub repeats: Vec<Repeat>,
}

/// A document write, done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    /// Of what.
    pub resource: ResourceId,
    /// Its new version.
    pub version: Version,
    /// The servers of its watchers, each once; also the writer's own when a watcher lives there.
    pub servers: Vec<MemberId>,
}

/// What a sweep found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Swept {
    /// The store's counter in the sweep's snapshot: the next sweep's `since`.
    pub counter: u64,
    /// Resources watched by the asker's clients with a version above `since`.
    pub changed: Vec<(ResourceId, Version)>,
    /// Clients assigned to the asker (client, epoch), so that missing actors are activated and
    /// foreign ones dropped. Filled only for `since` 0.
    pub clients: Vec<(Aor, Epoch)>,
}

/// Everything of one client, for people.
#[derive(Clone, Debug)]
pub struct ClientState {
    /// Its assignment; `None` when only tombstones are left.
    pub assignment: Option<Assignment>,
    /// The distinguished server's name.
    pub server: Option<Arc<str>>,
    /// Its bindings.
    pub bindings: Vec<Binding>,
    /// Publications about it.
    pub publications: Vec<Publication>,
    /// Its documents.
    pub documents: Vec<Arc<Document>>,
    /// What it watches.
    pub subscriptions: Vec<Subscription>,
    /// Who watches it: watcher, package, the watcher's server, expiry.
    pub watchers: Vec<(Aor, ResourceId, Option<MemberId>, WallTime)>,
}

/// The pool at a glance.
#[derive(Clone, Debug, Default)]
pub struct PoolStatus {
    /// Every member, those that have left too.
    pub members: Vec<Member>,
    /// Live subscriptions for each server.
    pub subscriptions: Vec<(MemberId, u64)>,
    /// Clients in all.
    pub clients: u64,
    /// The store's counter.
    pub counter: u64,
}

/// How long a finished request can still be repeated: 64·T1 (RFC 3261 §17.2.2).
pub const REPEAT_WINDOW: Duration = Duration::from_secs(32);
