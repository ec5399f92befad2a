//! Goal: the decision obeys RFC 6665 §4.2.1. Method: one table for what is decided, one for what is
//! read.

use std::net::SocketAddr;

use presently_pool::{MemberId, PackageName};
use presently_sip::{Aor, Flow, Framing, Index};

use super::*;

const NOW: WallTime = WallTime(1_000_000_000);

fn flow(port: u16) -> FlowToken {
    let remote: SocketAddr = ([192, 0, 2, 1], port).into();
    FlowToken {
        balancer: MemberId(1),
        flow: Flow::udp(0, remote),
    }
}

fn request(to_tag: Option<&str>, cseq: u32, expires_secs: Option<u32>) -> Subscribe {
    Subscribe {
        resource: ResourceId {
            aor: Aor::parse("sip:alice@example.test").unwrap(),
            package: PackageName::new("presence"),
        },
        to_tag: to_tag.map(Into::into),
        event_id: "".into(),
        expires_secs,
        accept: "".into(),
        contact: "sip:bob@192.0.2.1".into(),
        call_id: "c".into(),
        from_tag: "f".into(),
        from_uri: "sip:bob@example.test".into(),
        to_uri: "sip:alice@example.test".into(),
        cseq,
        route_set: Vec::new(),
        is_proxied: false,
        flow: flow(5060),
    }
}

type Decided = Result<(Subscribed, u32), SubscribeError>;

fn decided(request: &Subscribe, present: Option<(&Subscription, u32)>, held: usize) -> Decided {
    let situation = Situation {
        now: NOW,
        expires: &Expires::default(),
        default_secs: 1_800,
        held,
        held_max: 10,
        local_tag: &"ours".into(),
        local_target: &"sip:token@pool".into(),
        activation: 3,
    };
    decide(request, present, &situation, &Repeat::default())
}

/// A subscription that was begun with CSeq 5.
fn held() -> Subscription {
    match decided(&request(None, 5, None), None, 0) {
        Ok((Subscribed::Kept(row), _)) => *row,
        other => panic!("{other:?}"),
    }
}

fn told(outcome: &Decided) -> String {
    match outcome {
        Ok((Subscribed::Kept(_), secs)) => format!("kept {secs}"),
        Ok((Subscribed::Ended(_), secs)) => format!("ended {secs}"),
        Err(error) => error.status().to_string(),
    }
}

#[test]
fn every_row_of_the_notifiers_table() {
    #[rustfmt::skip]
    let table = [
        // what                     To tag        cseq  expires       known  held  outcome
        ("a first one",             None,         1,    Some(600),    false, 0,    "kept 600"),
        ("the package's default",   None,         1,    None,         false, 0,    "kept 1800"),
        ("longer than granted",     None,         1,    Some(9_999),  false, 0,    "kept 3600"),
        ("too brief",               None,         1,    Some(29),     false, 0,    "423"),
        ("a fetch",                 None,         1,    Some(0),      false, 0,    "ended 0"),
        ("one too many",            None,         1,    Some(600),    false, 10,   "403"),
        ("a fetch at the bound",    None,         1,    Some(0),      false, 10,   "ended 0"),
        ("a refresh",               Some("ours"), 6,    Some(600),    true,  1,    "kept 600"),
        ("a refresh at the bound",  Some("ours"), 6,    Some(600),    true,  10,   "kept 600"),
        ("a gap",                   Some("ours"), 600,  Some(600),    true,  1,    "kept 600"),
        ("an end",                  Some("ours"), 6,    Some(0),      true,  1,    "ended 0"),
        ("no such dialog",          Some("ours"), 6,    Some(600),    false, 1,    "481"),
        ("the end of no dialog",    Some("ours"), 6,    Some(0),      false, 1,    "481"),
        ("the same number",         Some("ours"), 5,    Some(600),    true,  1,    "500"),
        ("a lower one",             Some("ours"), 4,    Some(600),    true,  1,    "500"),
        ("too brief a refresh",     Some("ours"), 6,    Some(5),      true,  1,    "423"),
    ];
    let row = held();
    for (what, to_tag, cseq, expires, is_known, count, expected) in table {
        let present = is_known.then_some((&row, 9));
        let outcome = decided(&request(to_tag, cseq, expires), present, count);
        assert_eq!(told(&outcome), expected, "{what}");
    }
}

#[test]
fn a_first_one_makes_the_dialog() {
    let row = held();
    assert_eq!(&*row.dialog.call_id, "c");
    assert_eq!(
        (&*row.dialog.local_tag, &*row.dialog.remote_tag),
        ("ours", "f")
    );
    assert_eq!(&*row.repeat.answer.to_tag, "ours");
    assert_eq!(row.repeat.answer.expires_secs, 1_800);
    assert_eq!(row.cseq_activation, 3);
    assert!(row.owed);
}

#[test]
fn a_refresh_moves_target_flow_and_accept_and_keeps_the_dialog() {
    let row = held();
    let mut refresh = request(Some("ours"), 6, Some(600));
    refresh.contact = "sip:bob@192.0.2.9".into();
    refresh.flow = flow(5099);
    refresh.accept = "text/plain".into();
    refresh.from_uri = "sip:somebody@else.test".into();
    refresh.route_set = vec!["<sip:other;lr>".into()];
    let Ok((Subscribed::Kept(after), 600)) = decided(&refresh, Some((&row, 41)), 1) else {
        panic!("a refresh is kept");
    };
    assert_eq!(&*after.remote_target, "sip:bob@192.0.2.9");
    assert_eq!(after.flow, flow(5099));
    assert_eq!(&*after.accept, "text/plain");
    assert_eq!(after.dialog, row.dialog);
    assert_eq!(after.remote_uri, row.remote_uri);
    assert_eq!(
        after.route_set, row.route_set,
        "the route set is the first one's"
    );
    assert_eq!(
        (after.cseq_base, after.cseq_activation),
        (42, 3),
        "above all that was used"
    );
    assert_eq!(after.remote_cseq, 6);
}

#[test]
fn a_subscribe_is_read_as_written() {
    #[rustfmt::skip]
    let table = [
        // lines                                                        outcome
        ("Contact: <sip:b@h>\r\n",                                      "'' false"),
        ("Contact: <sip:b@h>\r\nEvent: presence;id=a\r\n",              "'a' false"),
        ("Contact: <sips:b@h>\r\nEvent: presence; x=1 ; ID=a\r\n",      "'a' false"),
        ("Contact: <sip:b@h>\r\nVia: SIP/2.0/UDP i\r\n",                "'' true"),
        ("",                                                            "400"),
        ("Contact: *\r\n",                                              "400"),
        ("Contact: <tel:+1>\r\n",                                       "400"),
        ("Contact: <sip:b@h>, <sip:c@h>\r\n",                           "400"),
    ];
    for (lines, expected) in table {
        let text = format!(
            "SUBSCRIBE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n{lines}From: <sip:b@h>;tag=f\r\n\
             To: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 SUBSCRIBE\r\n\r\n"
        );
        let mut index = Index::default();
        let message = index.read(text.as_bytes(), Framing::Datagram).unwrap();
        let edits = Edits {
            via: Some("SIP/2.0/UDP balancer"),
            ..Edits::default()
        };
        let resource = request(None, 1, None).resource;
        let read = Subscribe::read(&message, &edits, resource, flow(1));
        let read = match read {
            Ok(read) => format!("'{}' {}", read.event_id, read.is_proxied),
            Err(error) => error.status().to_string(),
        };
        assert_eq!(read, expected, "{lines:?}");
    }
}
