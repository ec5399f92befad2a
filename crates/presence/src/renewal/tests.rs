//! Goal: a flow is given to a phone's own subscriptions, and to no other's. Method: tables.

use std::net::SocketAddr;

use presently_pool::{MemberId, PackageName, ResourceId};
use presently_sip::{Aor, Flow, Protocol, WallTime};
use presently_store::{BindingKey, DialogId, Repeat, Subscription, SubscriptionState};

use super::*;

fn flow(slot: u32) -> FlowToken {
    let remote: SocketAddr = ([192, 0, 2, 1], 5060).into();
    FlowToken {
        balancer: MemberId(1),
        flow: Flow {
            protocol: Protocol::Tcp,
            slot,
            ..Flow::udp(0, remote)
        },
    }
}

fn binding(contact: &str, call_id: &str, instance: &str, slot: u32) -> Binding {
    Binding {
        key: BindingKey(contact.into()),
        contact: contact.into(),
        instance: (!instance.is_empty()).then(|| instance.into()),
        path: Vec::new(),
        flow: flow(slot),
        call_id: call_id.into(),
        cseq: 1,
        q: 1_000,
        user_agent: "".into(),
        expires_at: WallTime(0),
        is_silent: false,
        is_proxied: false,
        repeat: Repeat::default(),
    }
}

fn row(target: &str) -> Subscription {
    Subscription {
        resource: ResourceId {
            aor: Aor::parse("sip:alice@example.test").unwrap(),
            package: PackageName::new("presence"),
        },
        dialog: DialogId {
            call_id: "c".into(),
            local_tag: "ours".into(),
            remote_tag: "theirs".into(),
        },
        event_id: "".into(),
        local_uri: "".into(),
        remote_uri: "".into(),
        local_target: "".into(),
        remote_target: target.into(),
        route_set: Vec::new(),
        is_proxied: false,
        flow: flow(0),
        remote_cseq: 1,
        cseq_base: 1,
        cseq_activation: 1,
        state: SubscriptionState::Active,
        accept: "".into(),
        expires_at: WallTime(0),
        owed: false,
        repeat: Repeat::default(),
    }
}

fn kept(row: Subscription) -> Kept {
    Kept::new(row, std::iter::empty())
}

#[test]
fn a_phone_is_known_by_its_key_its_instance_or_its_call_id() {
    let put = [binding("sip:a@h:2", "new", "i", 9)];
    let table = [
        (binding("sip:a@h:2", "old", "", 1), true),
        (binding("sip:a@h:1", "old", "i", 1), true),
        (binding("sip:a@h:1", "new", "", 1), true),
        (binding("sip:a@h:1", "old", "", 1), false),
        (binding("sip:a@h:1", "old", "j", 1), false),
        (binding("sip:a@h:2", "new", "i", 9), false),
    ];
    for (held, expected) in table {
        let renewal = Renewal::of(std::slice::from_ref(&held), &put, flow(9));
        let formers = renewal.expect("it puts something").formers;
        assert_eq!(!formers.is_empty(), expected, "{held:?}");
    }
    assert!(Renewal::of(&[], &[], flow(9)).is_none());
    let mut proxied = put;
    proxied[0].path.push("<sip:proxy;lr>".into());
    assert!(Renewal::of(&[], &proxied, flow(9)).is_none());
}

#[test]
fn a_subscription_is_a_phones_whose_contact_it_names() {
    let here = |contact, slot| binding(contact, "c", "", slot);
    let two = [here("sip:a@h:1", 1), here("sip:a@h:2", 2)];
    let table: [(&str, &[Binding], Option<u32>); 8] = [
        ("sip:a@h:1", &two, Some(1)),
        ("sip:a@H:2;transport=tcp", &two, Some(2)),
        ("sip:a@h:3", &two, None),
        ("sip:a@h:3", &two[..1], Some(1)),
        ("sip:b@h:1", &two, None),
        ("sip:a@other:1", &two, None),
        ("no uri", &two, None),
        ("sip:a@h:1", &[], None),
    ];
    for (target, bindings, expected) in table {
        let found = flow_of(&kept(row(target)), bindings.iter());
        assert_eq!(found, expected.map(flow), "{target}");
    }
    let mut proxied = row("sip:a@h:1");
    proxied.is_proxied = true;
    assert_eq!(flow_of(&kept(proxied), two.iter()), None);
}
