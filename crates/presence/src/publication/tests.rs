//! Goal: the decision obeys RFC 3903 §4.1 and §6. Method: one table, whose first rows are the
//! RFC's.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{MemberId, PackageName};
use presently_sip::{Aor, Flow, WallTime};
use presently_store::Repeat;

use super::*;
use crate::package::Presence;

const TYPE: &str = "application/pidf+xml";
const OLD: &str = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@example.test'/>";
const NEW: &str = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:b@example.test'/>";
const BAD: &str = "<presence";

fn tag(text: &str) -> EntityTag {
    text.parse().unwrap()
}

fn resource() -> ResourceId {
    ResourceId {
        aor: Aor::parse("sip:alice@example.test").unwrap(),
        package: PackageName::new("presence"),
    }
}

fn flow(port: u16) -> FlowToken {
    let remote: SocketAddr = ([192, 0, 2, 1], port).into();
    FlowToken {
        balancer: MemberId(1),
        flow: Flow::udp(0, remote),
    }
}

fn publication(name: &str, port: u16) -> Publication {
    Publication {
        resource: resource(),
        tag: tag(name),
        content_type: Arc::from(TYPE),
        body: Bytes::from_static(OLD.as_bytes()),
        flow: flow(port),
        modified_at: WallTime(0),
        expires_at: WallTime(0),
        repeat: Repeat::default(),
    }
}

/// The outcome in words.
fn told(outcome: Result<PublishDecision, PublishError>) -> String {
    match outcome {
        Err(error) => error.status().to_string(),
        Ok(PublishDecision::Nothing) => "nothing".to_owned(),
        Ok(PublishDecision::Put {
            replaces,
            expires_secs,
        }) => {
            let replaces = replaces.map_or(String::new(), |tag| format!(" for {tag}"));
            format!("put{replaces}, {expires_secs}")
        }
        Ok(PublishDecision::Refresh { tag, expires_secs }) => {
            format!("refresh {tag}, {expires_secs}")
        }
        Ok(PublishDecision::Remove { tag }) => format!("remove {tag}"),
    }
}

/// Name, If-Match, Expires, type and body, outcome.
type Row = (
    &'static str,
    Option<&'static str>,
    Option<u32>,
    Option<(&'static str, &'static str)>,
    &'static str,
);

/// The operations of RFC 3903 §4.1 (its table), then the refusals of §6 in their order.
#[test]
fn every_operation_and_refusal() {
    let (xml, txt) = (|text| Some((TYPE, text)), |text| Some(("text/plain", text)));
    #[rustfmt::skip]
    let table: [Row; 26] = [
        // name                          if-match    expires         body       outcome
        ("initial",                      None,       Some(1800),     xml(NEW),  "put, 1800"),
        ("refresh",                      Some("t1"), Some(1800),     None,      "refresh t1, 1800"),
        ("modify",                       Some("t1"), Some(1800),     xml(NEW),  "put for t1, 1800"),
        ("remove",                       Some("t1"), Some(0),        None,      "remove t1"),
        ("initial, no expires",          None,       None,           xml(NEW),  "put, 3600"),
        ("refresh, no expires",          Some("t1"), None,           None,      "refresh t1, 3600"),
        ("refresh with its body",        Some("t1"), Some(1800),     xml(OLD),  "refresh t1, 1800"),
        ("remove with a body",           Some("t1"), Some(0),        xml(NEW),  "remove t1"),
        ("a moment, never stored",       None,       Some(0),        xml(NEW),  "nothing"),
        ("nothing at all",               None,       Some(0),        None,      "nothing"),
        ("longer than granted",          None,       Some(7200),     xml(NEW),  "put, 3600"),
        ("for ever",                     None,       Some(u32::MAX), xml(NEW),  "put, 3600"),
        ("the least there is",           None,       Some(60),       xml(NEW),  "put, 60"),
        ("another device's body",        None,       Some(1800),     xml(OLD),  "put, 1800"),
        ("unknown tag",                  Some("t0"), Some(1800),     xml(NEW),  "412"),
        ("unknown tag, remove",          Some("t0"), Some(0),        None,      "412"),
        ("tags differ in case",          Some("T1"), Some(1800),     None,      "412"),
        ("unknown tag before interval",  Some("t0"), Some(1),        None,      "412"),
        ("too brief",                    None,       Some(59),       xml(NEW),  "423"),
        ("too brief a refresh",          Some("t1"), Some(1),        None,      "423"),
        ("interval before body",         None,       Some(1),        None,      "423"),
        ("no body",                      None,       Some(1800),     None,      "400"),
        ("another type",                 None,       Some(1800),     txt(NEW),  "415"),
        ("another type on modify",       Some("t1"), Some(1800),     txt(OLD),  "415"),
        ("no XML",                       None,       Some(1800),     xml(BAD),  "400"),
        ("no XML on modify",             Some("t1"), Some(1800),     xml(BAD),  "400"),
    ];
    let held = publication("t1", 1);
    for (name, if_match, expires_secs, body, expected) in table {
        let if_match = if_match.map(tag);
        let request = Publish {
            if_match: if_match.as_ref(),
            expires_secs,
            content_type: body.map(|(content_type, _)| content_type),
            body: body.map_or("", |(_, text)| text).as_bytes(),
        };
        let limits = PublicationLimits::default();
        let outcome = decide(
            &Presence::default(),
            &resource(),
            &request,
            &[&held],
            &limits,
        );
        assert_eq!(told(outcome), expected, "{name}");
    }
}

#[test]
fn other_types_and_sizes_are_refused_by_the_package() {
    let large = " ".repeat(64 * 1024 + 1);
    #[rustfmt::skip]
    let table = [
        // content type                                 body    outcome
        (Some("application/pidf+xml"),                  NEW,    "put, 1800"),
        (Some("Application/PIDF+XML"),                  NEW,    "put, 1800"),
        (Some("application/cpim-pidf+xml"),             NEW,    "put, 1800"),
        (Some("application/pidf+xml;charset=\"UTF-8\""), NEW,   "put, 1800"),
        (Some("application/pidf+xml; charset=latin1"),  NEW,    "415"),
        (Some("application/xpidf+xml"),                 NEW,    "415"),
        (None,                                          NEW,    "415"),
        (Some("application/pidf+xml"),                  &large, "413"),
    ];
    for (content_type, body, expected) in table {
        let request = Publish {
            if_match: None,
            expires_secs: Some(1800),
            content_type,
            body: body.as_bytes(),
        };
        let limits = PublicationLimits::default();
        let outcome = decide(&Presence::default(), &resource(), &request, &[], &limits);
        assert_eq!(told(outcome), expected, "{content_type:?}");
    }
}

#[test]
fn the_cap_refuses_only_a_publication_more() {
    let rows: Vec<Publication> = (1..=32).map(|n| publication(&format!("t{n}"), n)).collect();
    let held: Vec<&Publication> = rows.iter().collect();
    let known = tag("t7");
    let table = [
        // if-match     expires     held  outcome
        (None, 1800, 31, "put, 1800"),
        (None, 1800, 32, "403"),
        (None, 0, 32, "nothing"),
        (Some(&known), 1800, 32, "put for t7, 1800"),
        (Some(&known), 0, 32, "remove t7"),
    ];
    for (if_match, expires_secs, count, expected) in table {
        let request = Publish {
            if_match,
            expires_secs: Some(expires_secs),
            content_type: Some(TYPE),
            body: NEW.as_bytes(),
        };
        let limits = PublicationLimits::default();
        let held = &held[..count];
        let outcome = decide(&Presence::default(), &resource(), &request, held, &limits);
        assert_eq!(told(outcome), expected, "{if_match:?} {count}");
    }
}

/// The fourth table of `docs/documents.md`.
#[test]
fn with_the_last_binding_go_the_publications_of_its_flows() {
    let table = [
        // published over   bindings over   goes
        (1, vec![flow(1)], true),
        (1, vec![flow(2), flow(1)], true),
        (1, vec![flow(2)], false),
        (1, vec![], false),
    ];
    for (port, flows, expected) in table {
        let publication = publication("t", port);
        assert_eq!(
            ends_with_bindings(&publication, &flows),
            expected,
            "{flows:?}"
        );
    }
}
