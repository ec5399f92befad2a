//! What a SUBSCRIBE does to a client's subscriptions (RFC 6665 §4.2.1): the pure half of the
//! notifier.

use std::sync::Arc;
use std::time::Duration;

use presently_pool::{FlowToken, ResourceId};
use presently_sip::{Edits, Message, Name, NameAddr, Uri, WallTime};
use presently_store::{DialogId, Repeat, Subscription, SubscriptionState};

use crate::Expires;
use crate::renewal::is_proxied;

/// A SUBSCRIBE, reduced to what the decision needs.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// What is watched; in a dialog the subscription knows better.
    pub resource: ResourceId,
    /// The To tag: `None` outside a dialog.
    pub to_tag: Option<Arc<str>>,
    /// The Event header's `id`; empty when absent.
    pub event_id: Arc<str>,
    /// The seconds asked for.
    pub expires_secs: Option<u32>,
    /// The Accept values, comma-joined; empty when absent.
    pub accept: Arc<str>,
    /// The subscriber's Contact URI.
    pub contact: Arc<str>,
    /// Call-ID.
    pub call_id: Arc<str>,
    /// The From tag.
    pub from_tag: Arc<str>,
    /// From's URI.
    pub from_uri: Arc<str>,
    /// To's URI.
    pub to_uri: Arc<str>,
    /// CSeq.
    pub cseq: u32,
    /// The Record-Route values below the pool's own, topmost first.
    pub route_set: Vec<Arc<str>>,
    /// Whether it came through another proxy.
    pub is_proxied: bool,
    /// The flow it came over.
    pub flow: FlowToken,
}

/// What of the actor the decision needs.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The time.
    pub now: WallTime,
    /// What is granted.
    pub expires: &'a Expires,
    /// The package's own default.
    pub default_secs: u32,
    /// How many subscriptions the client has, and how many it may have.
    pub held: usize,
    /// See `held`.
    pub held_max: usize,
    /// Our tag for a new dialog: a keyed MAC of the request.
    pub local_tag: &'a Arc<str>,
    /// Our Contact URI.
    pub local_target: &'a Arc<str>,
    /// The client's activation count.
    pub activation: u32,
}

/// What changes.
#[derive(Clone, Debug)]
pub enum Subscribed {
    /// A new subscription, or a refreshed one: the row to put.
    Kept(Box<Subscription>),
    /// Ended by the subscriber (RFC 6665 §4.1.2.3), or a fetch (RFC 6665 §4.4.3): nothing is kept;
    /// one more NOTIFY with the state follows.
    Ended(Box<Subscription>),
}

/// Why a SUBSCRIBE was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The client has as many subscriptions as it may.
    #[error("too many subscriptions")]
    Full,
    /// The interval is below the floor.
    #[error("the interval is shorter than {min_secs} s")]
    IntervalTooBrief {
        /// The floor.
        min_secs: u32,
    },
    /// No such dialog or subscription.
    #[error("no such subscription")]
    NoDialog,
    /// CSeq is not higher than the dialog's last (RFC 3261 §12.2.2).
    #[error("out of order")]
    OutOfOrder,
    /// A header it must carry is missing or broken.
    #[error("a header is missing or broken")]
    Syntax,
}

impl SubscribeError {
    /// The status to answer with. This is the only place that pairs the two.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Syntax => 400,
            Self::Full => 403,
            Self::IntervalTooBrief { .. } => 423,
            Self::NoDialog => 481,
            Self::OutOfOrder => 500,
        }
    }
}

impl Subscribe {
    /// Reads a SUBSCRIBE for `resource`.
    ///
    /// # Errors
    ///
    /// [`SubscribeError::Syntax`]: among others, exactly one SIP Contact is required
    /// (RFC 3261 §8.1.1.8, RFC 6665 §4.1.2.1).
    pub fn read(
        message: &Message<'_>,
        edits: &Edits<'_>,
        resource: ResourceId,
        flow: FlowToken,
    ) -> Result<Self, SubscribeError> {
        let from = message.from().ok_or(SubscribeError::Syntax)?;
        let to = message.to().ok_or(SubscribeError::Syntax)?;
        Ok(Self {
            resource,
            to_tag: to.tag().map(Into::into),
            event_id: event_id(message),
            expires_secs: message.number(Name::Expires),
            accept: join(message.values(Name::Accept)),
            contact: contact(message).ok_or(SubscribeError::Syntax)?,
            call_id: message.call_id().ok_or(SubscribeError::Syntax)?.into(),
            from_tag: from.tag().ok_or(SubscribeError::Syntax)?.into(),
            from_uri: from.uri.into(),
            to_uri: to.uri.into(),
            cseq: message.cseq().ok_or(SubscribeError::Syntax)?.number,
            // The topmost is the pool's own: a NOTIFY leaves by the flow instead.
            route_set: edits
                .record_routes(message)
                .skip(1)
                .map(Into::into)
                .collect(),
            is_proxied: is_proxied(message, edits),
            flow,
        })
    }
}

/// Decides what `request` does; `held` is the subscription its To tag and `id` name, with the
/// highest CSeq we may have used in it.
///
/// # Errors
///
/// See [`SubscribeError`].
pub fn decide(
    request: &Subscribe,
    held: Option<(&Subscription, u32)>,
    situation: &Situation<'_>,
    repeat: &Repeat,
) -> Result<(Subscribed, u32), SubscribeError> {
    let asked = request.expires_secs.or(Some(situation.default_secs));
    let granted = situation
        .expires
        .grant(asked)
        .map_err(|min_secs| SubscribeError::IntervalTooBrief { min_secs })?;
    let mut row = match (&request.to_tag, held) {
        (None, _) if granted > 0 && situation.held >= situation.held_max => {
            return Err(SubscribeError::Full);
        }
        (None, _) => start(request, situation),
        (Some(_), None) => return Err(SubscribeError::NoDialog),
        (Some(_), Some((row, _))) if request.cseq <= row.remote_cseq => {
            return Err(SubscribeError::OutOfOrder);
        }
        (Some(_), Some((row, used_cseq))) => refresh(request, row, used_cseq, situation),
    };
    let granted = match held {
        Some(_) => granted,
        None => situation.expires.first_grant(granted, &repeat.request),
    };
    row.expires_at = situation.now.after(Duration::from_secs(granted.into()));
    row.repeat = repeat.clone();
    row.repeat.answer.expires_secs = granted;
    row.repeat.answer.to_tag = row.dialog.local_tag.clone();
    let row = Box::new(row);
    Ok(match granted {
        0 => (Subscribed::Ended(row), 0),
        secs => (Subscribed::Kept(row), secs),
    })
}

/// The row of a new dialog (RFC 3261 §12.1.1).
fn start(request: &Subscribe, situation: &Situation<'_>) -> Subscription {
    Subscription {
        resource: request.resource.clone(),
        dialog: DialogId {
            call_id: request.call_id.clone(),
            local_tag: situation.local_tag.clone(),
            remote_tag: request.from_tag.clone(),
        },
        event_id: request.event_id.clone(),
        local_uri: request.to_uri.clone(),
        remote_uri: request.from_uri.clone(),
        local_target: situation.local_target.clone(),
        remote_target: request.contact.clone(),
        route_set: request.route_set.clone(),
        is_proxied: request.is_proxied,
        flow: request.flow,
        remote_cseq: request.cseq,
        cseq_base: 1,
        cseq_activation: situation.activation,
        state: SubscriptionState::Active,
        accept: request.accept.clone(),
        expires_at: situation.now,
        owed: true,
        repeat: Repeat::default(),
    }
}

/// The row after a request in its dialog: target, flow and Accept follow the latest SUBSCRIBE
/// (RFC 3261 §12.2.2, RFC 6665 §5.4.5); our CSeq starts anew above all that was used.
fn refresh(
    request: &Subscribe,
    held: &Subscription,
    used_cseq: u32,
    situation: &Situation<'_>,
) -> Subscription {
    Subscription {
        remote_target: request.contact.clone(),
        flow: request.flow,
        remote_cseq: request.cseq,
        cseq_base: used_cseq + 1,
        cseq_activation: situation.activation,
        accept: request.accept.clone(),
        owed: true,
        ..held.clone()
    }
}

fn event_id(message: &Message<'_>) -> Arc<str> {
    message
        .text(Name::Event)
        .and_then(|event| event.split_once(';'))
        .and_then(|(_, params)| presently_sip::Params(params).value("id"))
        .unwrap_or_default()
        .into()
}

/// The one Contact, a SIP URI.
fn contact(message: &Message<'_>) -> Option<Arc<str>> {
    let mut contacts = message.values(Name::Contact);
    let contact = NameAddr::parse(contacts.next()?)?;
    if contacts.next().is_some() {
        return None;
    }
    let uri = Uri::parse(contact.uri).ok()?;
    matches!(
        uri.scheme,
        presently_sip::Scheme::Sip | presently_sip::Scheme::Sips
    )
    .then(|| contact.uri.into())
}

fn join<'a>(values: impl Iterator<Item = &'a str>) -> Arc<str> {
    let mut joined = String::new();
    for value in values {
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(value);
    }
    joined.into()
}

#[cfg(test)]
mod tests;
