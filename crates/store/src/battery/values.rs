//! Rows and addresses that the claims are made with.

use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{FlowToken, MemberId, PackageName, ResourceId};
use presently_sip::{Aor, EntityTag, Flow, WallTime};

use crate::{
    Answer, Binding, BindingKey, Change, DialogId, Mark, Publication, Repeat, RequestKey, Session,
    SessionState, Subscription, SubscriptionState,
};

/// An address of record.
pub(super) fn aor(user: &str) -> Aor {
    Aor::from_canonical(&format!("sip:{user}@example.com"))
}

/// The presence of an address of record.
pub(super) fn presence(user: &str) -> ResourceId {
    ResourceId {
        aor: aor(user),
        package: PackageName::new("presence"),
    }
}

/// A time, in seconds.
pub(super) fn at(secs: u64) -> WallTime {
    WallTime(secs * 1_000_000)
}

/// A request that was answered, told apart by `number`.
pub(super) fn repeat(number: u8) -> Repeat {
    Repeat {
        request: RequestKey([number; 16]),
        answer: Answer {
            status: 200,
            expires_secs: 3600,
            tag: Some(tag("given")),
            to_tag: "to".into(),
        },
    }
}

/// An entity-tag.
pub(super) fn tag(text: &str) -> EntityTag {
    text.parse().expect("the claims use tokens")
}

/// A flow over balancer 1.
pub(super) fn flow() -> FlowToken {
    let remote = "192.0.2.7:5060".parse().expect("an address");
    FlowToken {
        balancer: MemberId(1),
        flow: Flow::udp(0, remote),
    }
}

/// A subscription of an actor's client, owed a NOTIFY or not.
pub(super) fn mark(actor: super::pool::Actor, subscription: &Subscription) -> Mark {
    Mark {
        client: actor.client,
        epoch: actor.epoch,
        key: subscription.key(),
        owed: subscription.owed,
    }
}

/// A binding called `key`.
pub(super) fn binding(key: &str) -> Binding {
    Binding {
        key: BindingKey(key.into()),
        contact: "sip:phone@192.0.2.7".into(),
        instance: Some("<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>".into()),
        path: vec!["<sip:edge.example.com;lr>".into()],
        flow: flow(),
        call_id: "1@192.0.2.7".into(),
        cseq: 1,
        q: 1000,
        user_agent: "Phone/1.0".into(),
        expires_at: at(3600),
        is_silent: false,
        is_proxied: false,
        repeat: repeat(1),
    }
}

/// A publication about `user`'s presence.
pub(super) fn publication(user: &str, text: &str) -> Publication {
    Publication {
        resource: presence(user),
        tag: tag(text),
        content_type: "application/pidf+xml".into(),
        body: Bytes::from_static(b"<presence/>"),
        flow: flow(),
        modified_at: at(7),
        expires_at: at(3600),
        repeat: repeat(2),
    }
}

/// A subscription to `user`'s presence.
pub(super) fn subscription(user: &str, local_tag: &str) -> Subscription {
    Subscription {
        resource: presence(user),
        dialog: DialogId {
            call_id: "2@192.0.2.7".into(),
            local_tag: local_tag.into(),
            remote_tag: "remote".into(),
        },
        event_id: "".into(),
        local_uri: "<sip:alice@example.com>".into(),
        remote_uri: "<sip:bob@example.com>".into(),
        local_target: "sip:pool.example.com".into(),
        remote_target: "sip:bob@192.0.2.7".into(),
        route_set: vec!["<sip:edge.example.com;lr>".into()],
        is_proxied: false,
        flow: flow(),
        remote_cseq: 1,
        cseq_base: 1,
        cseq_activation: 1,
        state: SubscriptionState::Active,
        accept: "application/pidf+xml".into(),
        expires_at: at(3600),
        owed: true,
        repeat: repeat(3),
    }
}

/// A session of `user` at `nlb`, its lease an hour long.
pub(super) fn session(user: &str, nlb: &str) -> Session {
    Session {
        user: aor(user),
        nlb: nlb.into(),
        uuid: "00000000-0000-4000-8000-000000000001".into(),
        handle: aor(&format!("{nlb}.{user}")),
        server: "app1".into(),
        state: SessionState::Serving,
        since: at(7),
        presence: "open".into(),
        sent: Some(at(6)),
        feed: "feed".into(),
        tag: Some(tag("first")),
        until: at(3600),
    }
}

/// Puts a binding.
pub(super) fn bind(key: &str) -> Change {
    Change::PutBinding(binding(key))
}

/// Removes it.
pub(super) fn unbind(key: &str) -> Change {
    Change::RemoveBinding {
        key: BindingKey(key.into()),
        tombstone: None,
    }
}

/// Puts a subscription.
pub(super) fn subscribe(user: &str, local_tag: &str) -> Change {
    Change::PutSubscription(Box::new(subscription(user, local_tag)))
}

/// Removes it.
pub(super) fn unsubscribe(user: &str, local_tag: &str) -> Change {
    Change::RemoveSubscription {
        key: subscription(user, local_tag).key(),
        tombstone: None,
    }
}

/// Puts a publication.
pub(super) fn publish(user: &str, tag: &str) -> Change {
    Change::PutPublication {
        publication: publication(user, tag),
        replaces: None,
    }
}

/// Removes it.
pub(super) fn unpublish(user: &str, text: &str) -> Change {
    Change::RemovePublication {
        resource: presence(user),
        tag: tag(text),
        tombstone: None,
    }
}

/// Writes the document of `user`'s presence.
pub(super) fn write(user: &str, body: &str) -> Change {
    Change::WriteDocument {
        resource: presence(user),
        content_type: Arc::from("application/pidf+xml"),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}
