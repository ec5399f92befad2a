//! What is durable, as plain values.

use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{FlowToken, ResourceId, Version};
use presently_sip::{Aor, EntityTag, WallTime};

/// Which request was done: a keyed hash of Call-ID, From tag, From and To URI, CSeq number and
/// method. Equal keys are one request, repeated.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct RequestKey(pub [u8; 16]);

/// What a request was answered, enough to give the same answer again from any server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The seconds granted.
    pub expires_secs: u32,
    /// The entity-tag given (PUBLISH).
    pub tag: Option<EntityTag>,
    /// The To tag.
    pub to_tag: Arc<str>,
}

/// A request that was done, and its answer; kept with the row it wrote, and as a tombstone for
/// 64·T1 after a removal.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Repeat {
    /// The request.
    pub request: RequestKey,
    /// Its answer.
    pub answer: Answer,
}

/// What tells two bindings of one client apart: instance and reg-id where the phone has them, else
/// the contact's URI (RFC 5626 §6, RFC 3261 §10.3). Compared by the registrar, byte for byte in the
/// store.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BindingKey(pub Arc<str>);

/// A contact of a client, until it expires (RFC 3261 §10).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Binding {
    /// Its place among the client's bindings.
    pub key: BindingKey,
    /// The contact's URI as the phone wrote it.
    pub contact: Arc<str>,
    /// The instance, if the phone gave one.
    pub instance: Option<Arc<str>>,
    /// The stored Path, topmost first (RFC 3327 §5.3).
    pub path: Vec<Arc<str>>,
    /// The flow it was registered over.
    pub flow: FlowToken,
    /// Whether its REGISTER came by way of another proxy, which need not say so in a Path.
    pub is_proxied: bool,
    /// The Call-ID of the REGISTER that last wrote it, compared byte for byte (RFC 3261 §10.3).
    pub call_id: Arc<str>,
    /// And its CSeq.
    pub cseq: u32,
    /// Preference in thousandths, 0 to 1000 (RFC 3261 §20.10).
    pub q: u16,
    /// The phone's User-Agent, for people.
    pub user_agent: Arc<str>,
    /// When it ends.
    pub expires_at: WallTime,
    /// Its phone leaves questions unanswered: until something is heard of it again, composition
    /// takes the binding for ended.
    pub is_silent: bool,
    /// The request that wrote it.
    pub repeat: Repeat,
}

impl Binding {
    /// Whether its flow is the phone's own: behind another proxy it says nothing of the phone.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.path.is_empty() && !self.is_proxied
    }
}

/// One published document (RFC 3903 §2), owned by the presentity's client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publication {
    /// What it is about.
    pub resource: ResourceId,
    /// Its current entity-tag, unique within the resource.
    pub tag: EntityTag,
    /// The body's media type.
    pub content_type: Arc<str>,
    /// The body as it came.
    pub body: Bytes,
    /// The flow it was last published over.
    pub flow: FlowToken,
    /// When it was last modified: composition puts the newest first.
    pub modified_at: WallTime,
    /// When it ends.
    pub expires_at: WallTime,
    /// The request that wrote it.
    pub repeat: Repeat,
}

/// The composed state of one resource. It outlives its publications, and goes when its client is
/// gone and nobody watches it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Document {
    /// Of what.
    pub resource: ResourceId,
    /// How far it has come. Where there is none, the store's counter as it was read: nothing that
    /// there was before is above it, and whatever will be written is.
    pub version: Version,
    /// The body's media type.
    pub content_type: Arc<str>,
    /// The composed body.
    pub body: Bytes,
}

impl Document {
    /// What is read where there is none, when the store's counter stands at `counter`: nobody ever
    /// wrote it, or it is gone.
    #[must_use]
    pub fn nothing(resource: ResourceId, counter: u64) -> Self {
        Self {
            resource,
            version: Version(counter),
            content_type: "".into(),
            body: Bytes::new(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.content_type.is_empty()
    }
}

/// A dialog as its notifier knows it (RFC 3261 §12).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: Arc<str>,
    /// Our tag, a keyed MAC of the first SUBSCRIBE: unique in the pool.
    pub local_tag: Arc<str>,
    /// The subscriber's tag.
    pub remote_tag: Arc<str>,
}

/// Names one subscription of one client: our dialog tag and the Event header's `id` (RFC 6665
/// §8.2.1).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubscriptionKey {
    /// [`DialogId::local_tag`].
    pub local_tag: Arc<str>,
    /// The `id` parameter; empty when absent.
    pub event_id: Arc<str>,
}

/// How a subscription stands (RFC 6665 §4.1.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SubscriptionState {
    /// Notified.
    Active,
    /// Waiting for somebody's permission.
    Pending,
}

/// What a watcher holds at its distinguished server (RFC 6665 §2). Owned by the watcher's client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// What is watched.
    pub resource: ResourceId,
    /// The dialog.
    pub dialog: DialogId,
    /// The Event header's `id`; empty when absent.
    pub event_id: Arc<str>,
    /// Our URI in the dialog: To of the first SUBSCRIBE, as written, without its tag.
    pub local_uri: Arc<str>,
    /// The subscriber's: From of the first SUBSCRIBE, as written, without its tag.
    pub remote_uri: Arc<str>,
    /// Our Contact's URI.
    pub local_target: Arc<str>,
    /// The subscriber's Contact URI.
    pub remote_target: Arc<str>,
    /// The route set, in the order of NOTIFY's Route headers.
    pub route_set: Vec<Arc<str>>,
    /// Whether the request came through another proxy (more than one Via): then the route set
    /// rules, not the flow.
    pub is_proxied: bool,
    /// The current flow to the subscriber.
    pub flow: FlowToken,
    /// The highest CSeq received.
    pub remote_cseq: u32,
    /// Base of our CSeq: base + (activation − `cseq_activation`)·2¹² + n.
    pub cseq_base: u32,
    /// The activation count at that base.
    pub cseq_activation: u32,
    /// How it stands.
    pub state: SubscriptionState,
    /// The Accept values of the latest SUBSCRIBE, comma-joined; empty when absent.
    pub accept: Arc<str>,
    /// When it ends.
    pub expires_at: WallTime,
    /// A NOTIFY is owed: unanswered when last written.
    pub owed: bool,
    /// The request that wrote it.
    pub repeat: Repeat,
}

impl Subscription {
    /// Its place among the client's subscriptions.
    #[must_use]
    pub fn key(&self) -> SubscriptionKey {
        SubscriptionKey {
            local_tag: self.dialog.local_tag.clone(),
            event_id: self.event_id.clone(),
        }
    }
}

/// How a session of an nlb stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SessionState {
    /// Its user has left: what it holds at the presence server is being given back.
    Releasing,
    /// Its user was asked to come back.
    Resuming,
    /// Its user has access.
    Serving,
}

/// What an nlb remembers of one user it serves: its presence record, and what it needs to go on
/// after a restart. Each text is kept as the nlb wrote it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Whom it serves.
    pub user: Aor,
    /// Which nlb does, by its configured name.
    pub nlb: Arc<str>,
    /// The session's UUID.
    pub uuid: Arc<str>,
    /// The address of record under which the nlb acts for this user.
    pub handle: Aor,
    /// The application server.
    pub server: Arc<str>,
    /// How it stands.
    pub state: SessionState,
    /// When it began.
    pub since: WallTime,
    /// What was last notified about the user, in words of the nlb's own.
    pub presence: Arc<str>,
    /// When that was sent; `None` before the first one.
    pub sent: Option<WallTime>,
    /// What is needed to go on in the subscription's dialog; empty without one.
    pub feed: Arc<str>,
    /// The entity-tag of the announcement, if it stands.
    pub tag: Option<EntityTag>,
    /// The end of its lease: later the row counts for nothing, and any member clears it away.
    pub until: WallTime,
}
