//! Goal: a flow is given to a phone's own subscriptions, and to no other's. Method: tables.

use std::net::SocketAddr;

use presently_pool::{MemberId, PackageName};
use presently_sip::{Flow, Protocol, WallTime};
use presently_store::{BindingKey, Repeat};

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
        repeat: Repeat::default(),
    }
}

fn phone(target: &str) -> Common {
    Common {
        package: PackageName::new("presence"),
        remote_uri: "".into(),
        local_target: "".into(),
        remote_target: target.into(),
        route_set: Vec::new(),
        is_proxied: false,
        accept: "".into(),
    }
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
        let found = flow_of(&phone(target), bindings.iter());
        assert_eq!(found, expected.map(flow), "{target}");
    }
    let mut proxied = phone("sip:a@h:1");
    proxied.is_proxied = true;
    assert_eq!(flow_of(&proxied, two.iter()), None);
}
