//! Operations, each a whole transaction, and what comes of them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use presently_pool::{
    Assignment, ClientId, Epoch, Incarnation, Member, MemberId, Membership, ResourceId, Role,
    Version,
};
use presently_sip::{Aor, EntityTag, WallTime};

use crate::{
    Binding, BindingKey, Document, Publication, Repeat, Session, Subscription, SubscriptionKey,
};

/// One transaction. `by` is the asker's life: all but `Join` and the reads for people are refused
/// with `Fenced` when it is not the member's present incarnation.
///
/// An nlb is no member of the pool. What it asks of sessions (`BoundAt`, `KeepSession`,
/// `PurgeSession`, `Sessions`) names no life and is not fenced: its rows are under its own name,
/// which one nlb holds at a time (`HoldName`), and end by their leases when it does.
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
    /// → [`Outcome::Beaten`]. Also purges tombstones and sessions that are over, bounded; a client
    /// of which nothing else lives is released with its session.
    ///
    /// With a settled counter the clients whose epoch is not above it are its own for good: what
    /// an earlier server had told them is forgotten (see [`Activated::told`]).
    Beat {
        /// Who.
        by: Membership,
        /// The counter up to which everything it must tell is told or owed.
        settled: Option<u64>,
        /// The time, for tombstones.
        now: WallTime,
    },
    /// The clients with a phone whose flow comes from `ip`, each once, [`BOUND_AT_ONCE`] at the
    /// most. → [`Outcome::Clients`].
    BoundAt {
        /// The far address, without a port. An IPv4 address finds flows over either kind of socket.
        ip: IpAddr,
        /// The time: a binding that has expired is left out.
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
    /// Reads documents, each with its present version. → [`Outcome::Documents`].
    Documents {
        /// Which.
        resources: Vec<ResourceId>,
    },
    /// Marks the server called `name` as one that is to be emptied, or as an ordinary one again.
    /// Its clients stay until it hands them over itself; a balancer has none, and is left as it is.
    /// → [`Outcome::Drained`].
    Drain {
        /// Its name.
        name: Arc<str>,
        /// Whether it is to be emptied.
        is_draining: bool,
    },
    /// Ends the life of `member` if it still stands at that beat (compare-and-set), so that of
    /// several balancers one wins. Its clients stay assigned to it until [`Operation::TakeOver`].
    /// → [`Outcome::Ended`].
    End {
        /// The balancer.
        by: Membership,
        /// Whose life.
        member: Membership,
        /// The beat at which it was seen to stand still.
        beat: u64,
    },
    /// Keeps the name of an nlb, or takes it. Of the life that holds it this is a beat; another
    /// life gets it when nobody holds it, or when `over` is the holder as it stands
    /// (compare-and-set): of several nlbs of one name one runs. → [`Outcome::Held`].
    HoldName {
        /// The name.
        nlb: Arc<str>,
        /// The asker's life: any number that no other has.
        life: u64,
        /// The holder that was seen to stand still.
        over: Option<Holder>,
    },
    /// Begins a life of the member called `name`: a fresh incarnation; clients stay assigned to it.
    /// → [`Outcome::Joined`], with the pool's key, which the first member ever makes from `seed`.
    /// Refused with `Fenced` when a life of that name is alive that is not the one at the beat of
    /// `over` (compare-and-set): two processes of one name do not both begin.
    Join {
        /// Its configured name, unique in the pool.
        name: Arc<str>,
        /// The former life that this one may end, and the beat at which it was seen to stand still.
        over: Option<(Incarnation, u64)>,
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
    /// Puts a session: one row for each user and nlb. While its lease lasts, its user's assignment
    /// is not released. → [`Outcome::Done`].
    KeepSession(Box<Session>),
    /// Says good-bye: no new clients; those it has stay. → [`Outcome::Done`].
    Leave {
        /// Who.
        by: Membership,
    },
    /// Gives back the name of an nlb, if `life` holds it. → [`Outcome::Done`].
    LeaveName {
        /// The name.
        nlb: Arc<str>,
        /// The asker's life.
        life: u64,
    },
    /// Sets or clears `owed` of subscriptions, each only under its client's present epoch.
    /// → [`Outcome::Done`].
    Owe {
        /// The server.
        by: Membership,
        /// Which, and what they are now.
        marks: Vec<Mark>,
    },
    /// Removes a session. When nothing of the user is left, its assignment is released as in
    /// [`Operation::Commit`]. → [`Outcome::Purged`].
    PurgeSession {
        /// Whose.
        user: Aor,
        /// Held by which nlb.
        nlb: Arc<str>,
        /// Until when a released row stays.
        release_at: WallTime,
    },
    /// Moves a client to `to` under a fresh epoch, if it still has `from` under `epoch`
    /// (compare-and-set) and `to` takes clients. → [`Outcome::Assigned`] with what holds
    /// afterwards.
    Reassign {
        /// Whom.
        client: Aor,
        /// From which server.
        from: MemberId,
        /// Under which epoch.
        epoch: Epoch,
        /// To which server; `None` takes the emptiest of the others.
        to: Option<MemberId>,
    },
    /// A page of an nlb's sessions, in the order of their users and [`SESSIONS_AT_ONCE`] at the
    /// most; those whose lease is over too. → [`Outcome::Sessions`]; an empty page is the end.
    Sessions {
        /// Whose.
        nlb: Arc<str>,
        /// The last user of the page before; `None` for the first page.
        after: Option<Aor>,
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
    /// Moves clients of a server whose life has ended or that has left, [`TAKEN_AT_ONCE`] at the
    /// most, each to the emptiest server and under a fresh epoch. Any balancer does it, and again
    /// while clients are left. → [`Outcome::TakenOver`].
    TakeOver {
        /// The balancer.
        by: Membership,
        /// From which server.
        from: MemberId,
    },
}

/// Who holds the name of an nlb, and how far its beat has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its life.
    pub life: u64,
    /// Grows with each [`Operation::HoldName`] of its own.
    pub beat: u64,
}

/// One subscription's `owed`, for [`Operation::Owe`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mark {
    /// Whose it is.
    pub client: ClientId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// Which of its subscriptions.
    pub key: SubscriptionKey,
    /// Whether a NOTIFY is owed.
    pub owed: bool,
}

/// One change of a client's state. Puts replace the row with the same key.
#[derive(Clone, Debug)]
pub enum Change {
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
    /// Keeps a request's answer that wrote no row (a fetch, an unsubscribe of nothing), or whose
    /// row is replaced or gone.
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
        /// Every member that has not left, and those that have with clients still assigned.
        members: Vec<Member>,
    },
    /// See [`Operation::Show`].
    Client(Option<Box<ClientState>>),
    /// See [`Operation::BoundAt`].
    Clients(Vec<Aor>),
    /// See [`Operation::Commit`].
    Committed {
        /// One for each `WriteDocument`, in order.
        written: Vec<Written>,
        /// One for each `ReadDocument`, in order.
        read: Vec<Arc<Document>>,
        /// Whether the assignment was released.
        released: bool,
    },
    /// See [`Operation::Documents`]: one for each resource, in order.
    Documents(Vec<Arc<Document>>),
    /// Done, and nothing to tell.
    Done,
    /// See [`Operation::Drain`]: the member as it is now; `None` when none has that name.
    Drained(Option<Member>),
    /// See [`Operation::End`]: whether it was this operation that ended it.
    Ended(bool),
    /// See [`Operation::Find`].
    Found(Option<(Aor, Assignment)>),
    /// See [`Operation::HoldName`]: who holds it now.
    Held(Holder),
    /// See [`Operation::Join`].
    Joined {
        /// Its id and life.
        membership: Membership,
        /// The pool's key.
        key: [u8; 16],
        /// Every member that has not left, and those that have with clients still assigned.
        members: Vec<Member>,
    },
    /// See [`Operation::PurgeSession`].
    Purged {
        /// Whether the assignment was released.
        released: bool,
    },
    /// See [`Operation::Sessions`].
    Sessions(Vec<Session>),
    /// See [`Operation::Status`].
    Status(Box<PoolStatus>),
    /// See [`Operation::Sweep`].
    Swept(Swept),
    /// See [`Operation::TakeOver`].
    TakenOver {
        /// Who was moved, and where to.
        moved: Vec<(Aor, Assignment)>,
        /// How many are left.
        left: u64,
    },
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
    /// The counter up to which its subscriptions were told, but for those that are `owed`: what
    /// the server that had it before had settled. It may be too old, never too new.
    pub told: u64,
    /// Its bindings.
    pub bindings: Vec<Binding>,
    /// Publications about it.
    pub publications: Vec<Publication>,
    /// Its own documents.
    pub documents: Vec<Arc<Document>>,
    /// What it watches, each with the present version of the resource (0 where there is none).
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
    /// Clients and the servers they have, so that missing actors are activated and foreign ones
    /// dropped: for `since` 0 all of the asker's; else every client of the pool, released ones
    /// aside, whose epoch is above `since`.
    pub clients: Vec<(Aor, Epoch, MemberId)>,
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

/// Clients that one `BoundAt` tells of: more users behind one address are told apart by other
/// means.
pub const BOUND_AT_ONCE: usize = 32;

/// Sessions on one page of `Sessions`: a millisecond's reading.
pub const SESSIONS_AT_ONCE: usize = 500;

/// Clients that one `TakeOver` moves: some milliseconds, so that others' writes go in between.
pub const TAKEN_AT_ONCE: usize = 500;

/// How long a finished request can still be repeated: 64·T1 (RFC 3261 §17.2.2).
pub const REPEAT_WINDOW: Duration = Duration::from_secs(32);

/// Removals that one client can do within the repeat window and still have answered again: past
/// it the oldest is forgotten, here and in its server's memory.
pub const REPEATS_MAX: usize = 64;
