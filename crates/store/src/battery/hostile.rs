//! What phones may write: any character in any text, long bodies, the largest numbers.

use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{FlowToken, MemberId, PackageName, ResourceId};
use presently_sip::{Aor, Flow, Protocol, WallTime};

use super::pool::{Actor, Pool};
use super::values::{repeat, tag};
use crate::{
    Answer, Binding, BindingKey, Change, DialogId, Operation, Outcome, Publication, Repeat,
    RequestKey, Session, SessionState, Store, Subscription, SubscriptionState,
};

/// All claims of this file.
pub(super) fn run(open: &dyn Fn() -> Box<dyn Store>) {
    for text in TEXTS {
        any_character_is_kept_in_any_text(open(), text);
    }
    texts_that_differ_after_a_nul_are_two(open());
    bodies_of_64_kib_are_kept(open());
}

const TEXTS: [&str; 7] = [
    "",
    "'; DROP TABLE clients; --",
    "\"quoted\" `names` [too] %_ ?1 :a @b $c",
    "a\0b",
    "line\r\nline\ttab",
    "\u{feff}\u{202e}日本 é",
    "12:not,a,list:",
];

fn any_character_is_kept_in_any_text(store: Box<dyn Store>, text: &str) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let client = Aor::from_canonical(text);
    let text: Arc<str> = text.into();
    let operation = Operation::Assign {
        by: pool.balancer,
        client: client.clone(),
        create: true,
        now: WallTime(0),
    };
    assert!(pool.ask(operation).is_ok());
    let activated = pool.activate(a, client.clone()).expect("assigned to a");
    let actor = Actor {
        by: a,
        client: activated.client,
        epoch: activated.epoch,
    };
    let resource = ResourceId {
        aor: client.clone(),
        package: PackageName::new(&text.to_ascii_lowercase()),
    };
    let binding = binding(&text);
    let publication = publication(&text, &resource);
    let subscription = subscription(&text, &resource);
    pool.commit(
        actor,
        vec![
            Change::PutBinding(binding.clone()),
            Change::PutPublication {
                publication: publication.clone(),
                replaces: None,
            },
            Change::PutSubscription(Box::new(subscription.clone())),
            Change::WriteDocument {
                resource: resource.clone(),
                content_type: text.clone(),
                body: Bytes::copy_from_slice(text.as_bytes()),
            },
        ],
    );
    let state = pool.activate(a, client.clone()).expect("assigned to a");
    assert_eq!(state.bindings, [binding]);
    assert_eq!(state.publications, [publication]);
    let rows: Vec<_> = state
        .subscriptions
        .into_iter()
        .map(|(row, _)| row)
        .collect();
    assert_eq!(rows, [subscription]);
    let documents = pool.documents(vec![resource.clone()]);
    let document = documents.first().expect("it is written");
    assert_eq!(
        (&document.resource, &document.content_type),
        (&resource, &text)
    );
    assert_eq!(document.body, text.as_bytes());
    let session = session(&text);
    let kept = pool.ask(Operation::KeepSession(Box::new(session.clone())));
    assert!(kept.is_ok(), "{kept:?}");
    assert_eq!(pool.sessions(&text, None), [session]);
    assert_eq!(pool.sessions(&text, Some(&client)), []);
    let shown = pool.ask(Operation::Show { client });
    assert!(matches!(shown, Ok(Outcome::Client(Some(_)))), "{shown:?}");
}

fn largest(text: &Arc<str>) -> Repeat {
    Repeat {
        request: RequestKey([0xff; 16]),
        answer: Answer {
            status: u16::MAX,
            expires_secs: u32::MAX,
            tag: Some(tag("!%*_+`'~.-")),
            to_tag: text.clone(),
        },
    }
}

fn flow() -> FlowToken {
    FlowToken {
        balancer: MemberId(u32::MAX),
        flow: Flow {
            protocol: Protocol::Tcp,
            listener: u8::MAX,
            remote: "[2001:db8::ffff]:65535".parse().expect("an address"),
            slot: u32::MAX,
            generation: u32::MAX,
        },
    }
}

fn binding(text: &Arc<str>) -> Binding {
    Binding {
        key: BindingKey(text.clone()),
        contact: text.clone(),
        instance: Some(text.clone()),
        path: vec![text.clone(), text.clone()],
        flow: flow(),
        call_id: text.clone(),
        cseq: u32::MAX,
        q: u16::MAX,
        user_agent: text.clone(),
        expires_at: LAST,
        is_silent: false,
        is_proxied: true,
        repeat: largest(text),
    }
}

fn publication(text: &Arc<str>, resource: &ResourceId) -> Publication {
    Publication {
        resource: resource.clone(),
        tag: tag("'--"),
        content_type: text.clone(),
        body: Bytes::copy_from_slice(text.as_bytes()),
        flow: flow(),
        modified_at: LAST,
        expires_at: LAST,
        repeat: largest(text),
    }
}

fn subscription(text: &Arc<str>, resource: &ResourceId) -> Subscription {
    Subscription {
        resource: resource.clone(),
        dialog: DialogId {
            call_id: text.clone(),
            local_tag: text.clone(),
            remote_tag: text.clone(),
        },
        event_id: text.clone(),
        local_uri: text.clone(),
        remote_uri: text.clone(),
        local_target: text.clone(),
        remote_target: text.clone(),
        route_set: vec![text.clone(), text.clone()],
        is_proxied: true,
        flow: flow(),
        remote_cseq: u32::MAX,
        cseq_base: u32::MAX,
        cseq_activation: u32::MAX,
        state: SubscriptionState::Pending,
        accept: text.clone(),
        expires_at: LAST,
        owed: false,
        repeat: largest(text),
    }
}

fn session(text: &Arc<str>) -> Session {
    Session {
        user: Aor::from_canonical(text),
        nlb: text.clone(),
        uuid: text.clone(),
        handle: Aor::from_canonical(text),
        server: text.clone(),
        state: SessionState::Resuming,
        since: LAST,
        presence: text.clone(),
        sent: Some(LAST),
        feed: text.clone(),
        tag: Some(tag("!%*_+`'~.-")),
        until: LAST,
    }
}

fn texts_that_differ_after_a_nul_are_two(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let one = pool.log_on(&[a], "x\0one");
    let two = pool.log_on(&[a], "x\0two");
    assert_ne!(one.client, two.client);
    pool.commit(
        one,
        vec![super::values::bind("k\0one"), super::values::bind("k\0two")],
    );
    assert!(
        !pool
            .commit(one, vec![super::values::unbind("k\0one")])
            .released
    );
}

fn bodies_of_64_kib_are_kept(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let actor = pool.log_on(&[a], "alice");
    let bytes = (0..=u8::MAX).cycle().take(64 << 10);
    let body: Bytes = bytes.collect::<Vec<u8>>().into();
    let mut publication = super::values::publication("alice", "t1");
    publication.body = body.clone();
    publication.repeat = repeat(9);
    let resource = publication.resource.clone();
    pool.commit(
        actor,
        vec![
            Change::PutPublication {
                publication: publication.clone(),
                replaces: None,
            },
            Change::WriteDocument {
                resource: resource.clone(),
                content_type: "application/octet-stream".into(),
                body: body.clone(),
            },
        ],
    );
    let state = pool.activate(a, resource.aor).expect("assigned to a");
    assert_eq!(state.publications, [publication]);
    assert_eq!(
        state
            .documents
            .first()
            .map(|document| document.body.clone()),
        Some(body)
    );
}

/// The latest time that a store must keep.
const LAST: WallTime = WallTime(0x7fff_ffff_ffff_ffff);
