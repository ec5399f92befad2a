//! What a phone hands to its owner.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use presently_sip::EntityTag;

/// What one call made the agent do. The owner empties it and may use it again.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Whole SIP messages for the flow: one datagram each, or to be written to the stream one after
    /// another.
    pub datagrams: Vec<Bytes>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// Names one subscription of an agent; not used again after it has ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubscriptionId(pub(crate) u64);

/// Names one MESSAGE or OPTIONS of an agent.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub(crate) u64);

/// What a request of the agent was about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Subject {
    /// A MESSAGE.
    Message(RequestId),
    /// An OPTIONS.
    Options(RequestId),
    /// The publication for an event package.
    Publication(Arc<str>),
    /// The registration.
    Registration,
    /// A subscription.
    Subscription(SubscriptionId),
}

/// Something that happened. In all of them `again_in` is when the agent will try again by itself;
/// `None` says that it has given up.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A MESSAGE of ours got its final answer.
    MessageAnswered {
        /// Which.
        id: RequestId,
        /// The answer.
        status: u16,
    },
    /// Somebody sent us a MESSAGE.
    MessageReceived {
        /// The URI of its From.
        from: String,
        /// Content-Type.
        content_type: String,
        /// What was said.
        body: Bytes,
    },
    /// A subscription got a NOTIFY, in order and for the first time.
    Notified(Notified),
    /// An OPTIONS of ours got its final answer.
    OptionsAnswered {
        /// Which.
        id: RequestId,
        /// The answer.
        status: u16,
        /// The event packages offered (Allow-Events).
        packages: Vec<String>,
    },
    /// A NOTIFY whose CSeq is not above the last one's; answered with 500 (RFC 3261 §12.2.2).
    OutOfOrder {
        /// Where.
        id: SubscriptionId,
        /// The number it carried.
        cseq: u32,
        /// The number last taken.
        last: u32,
    },
    /// A PUBLISH was refused.
    PublishFailed {
        /// For which event package.
        package: Arc<str>,
        /// The answer.
        status: u16,
        /// When it will be tried again.
        again_in: Option<Duration>,
    },
    /// A document was published, changed or refreshed.
    Published {
        /// For which event package.
        package: Arc<str>,
        /// The name of the version the pool now holds, if it gave one.
        etag: Option<EntityTag>,
        /// How long it is held.
        expires_secs: u32,
    },
    /// A REGISTER was refused.
    RegisterFailed {
        /// The answer.
        status: u16,
        /// When it will be tried again.
        again_in: Option<Duration>,
    },
    /// The registration was made or refreshed.
    Registered {
        /// How long it is held.
        expires_secs: u32,
        /// Date of the answer.
        date: Option<String>,
        /// Every Contact value of the answer: all devices of the user.
        contacts: Vec<String>,
    },
    /// A SUBSCRIBE was refused; a dialog that existed before goes on until it expires.
    SubscribeFailed {
        /// Which.
        id: SubscriptionId,
        /// The answer.
        status: u16,
        /// When it will be tried again.
        again_in: Option<Duration>,
    },
    /// A SUBSCRIBE was accepted: the first one, or a refresh.
    Subscribed {
        /// Which.
        id: SubscriptionId,
        /// How long it is held.
        expires_secs: u32,
    },
    /// The dialog of a subscription is over. With `again_in` the same subscription starts anew in
    /// another dialog; without, it is forgotten.
    SubscriptionEnded {
        /// Which.
        id: SubscriptionId,
        /// Why.
        reason: Ended,
        /// When it will be tried again.
        again_in: Option<Duration>,
    },
    /// A request got no answer in 64·T1, could not be sent, or no NOTIFY followed a SUBSCRIBE.
    TimedOut {
        /// Which request.
        what: Subject,
        /// When it will be tried again.
        again_in: Option<Duration>,
    },
    /// The publication is gone.
    Unpublished {
        /// For which event package.
        package: Arc<str>,
    },
    /// The registration is gone.
    Unregistered,
}

/// What a NOTIFY said.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Notified {
    /// Whose subscription.
    pub id: SubscriptionId,
    /// The event package.
    pub package: Arc<str>,
    /// The state of the subscription.
    pub state: SubscriptionState,
    /// How long the subscription is still held, if it said so.
    pub expires_secs: Option<u32>,
    /// Content-Type; empty without a body.
    pub content_type: String,
    /// The document.
    pub body: Bytes,
    /// Its place in the dialog.
    pub cseq: u32,
    /// The dialog's Call-ID.
    pub call_id: String,
    /// Date, if there was one.
    pub date: Option<String>,
}

/// What Subscription-State says (RFC 6665 §4.1.3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SubscriptionState {
    /// Accepted.
    Active,
    /// Not decided.
    Pending,
    /// Over.
    Terminated {
        /// `deactivated`, `timeout`, `rejected` …; empty when none was given.
        reason: String,
        /// How long to wait before trying again.
        retry_after_secs: Option<u32>,
    },
}

/// Why the dialog of a subscription is over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ended {
    /// A SUBSCRIBE in the dialog got a status that ends it (RFC 6665 §4.1.2.1, §4.2.2); one that
    /// was to end it, any refusal.
    Refused {
        /// The answer.
        status: u16,
    },
    /// A NOTIFY said so.
    Terminated {
        /// The reason it gave; empty when it gave none.
        reason: String,
    },
    /// Nothing was heard in time: no NOTIFY after a SUBSCRIBE, also after one that was to end it,
    /// or no answer to that one.
    Unanswered,
    /// We wanted it, and there was no dialog to end.
    Unbegun,
    /// We wanted it, and the NOTIFY that terminates it has come (RFC 6665 §4.1.2.3).
    Unsubscribed,
}
