//! Goal: each row of `docs/documents.md` holds. Method: documents in, one document out; the tests
//! look at it as a phone does, and where bytes are promised, at its bytes.

mod composition;
mod hostile;
mod ids;
mod pieces;

use std::net::SocketAddr;
use std::sync::Arc;

use presently_pool::{FlowToken, MemberId, PackageName, ResourceId};
use presently_sip::{Aor, Flow, WallTime};
use presently_store::{Publication, Repeat};

use super::*;

const OPEN: &str = "<status><basic>open</basic></status>";
const CLOSED: &str = "<status><basic>closed</basic></status>";

fn alice() -> Aor {
    Aor::parse("sip:alice@example.test").unwrap()
}

/// What one phone publishes.
struct Device {
    tag: &'static str,
    at: u64,
    port: u16,
    body: String,
}

impl Device {
    fn new(at: u64, body: impl Into<String>) -> Self {
        Self {
            tag: "tag",
            at,
            port: u16::try_from(at).unwrap(),
            body: body.into(),
        }
    }

    fn publication(&self) -> Publication {
        let remote: SocketAddr = ([192, 0, 2, 1], self.port).into();
        Publication {
            resource: ResourceId {
                aor: alice(),
                package: PackageName::new("presence"),
            },
            tag: self.tag.parse().unwrap(),
            content_type: Arc::from("application/pidf+xml"),
            body: self.body.clone().into(),
            flow: FlowToken {
                balancer: MemberId(1),
                flow: Flow::udp(0, remote),
            },
            modified_at: WallTime(self.at),
            expires_at: WallTime(u64::MAX),
            repeat: Repeat::default(),
        }
    }
}

/// A document with PIDF, the data model and rich presence declared.
fn document(parts: &str) -> String {
    format!(
        r#"<presence xmlns="urn:ietf:params:xml:ns:pidf"
 xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"
 entity="sip:alice@example.test">{parts}</presence>"#
    )
}

fn tuple(id: &str, inside: &str) -> String {
    format!("<tuple id=\"{id}\">{inside}</tuple>")
}

/// Composes in the order given and backwards: it must not matter.
fn compose_with(devices: &[Device], is_registered: bool) -> (String, usize) {
    let rows: Vec<Publication> = devices.iter().map(Device::publication).collect();
    let forwards: Vec<&Publication> = rows.iter().collect();
    let backwards: Vec<&Publication> = rows.iter().rev().collect();
    let (body, dropped) = compose(&alice(), &forwards, is_registered);
    assert_eq!(
        compose(&alice(), &backwards, is_registered),
        (body.clone(), dropped),
        "the order of publications matters"
    );
    assert!(body.len() <= COMPOSED_BYTES_MAX);
    read(&body).expect("what is composed can be read");
    (String::from_utf8(body.to_vec()).unwrap(), dropped)
}

fn composed(devices: &[Device]) -> String {
    compose_with(devices, false).0
}

/// The id and the `<basic>` of each tuple, in order.
fn tuples(document: &str) -> Vec<(String, String)> {
    let source = read(document.as_bytes()).unwrap();
    let basic = |tuple: Node<'_, '_>| {
        let basic = tuple.descendants().find(|node| is_pidf(*node, "basic"));
        basic
            .and_then(|basic| basic.text())
            .unwrap_or("-")
            .to_owned()
    };
    let id = |tuple: Node<'_, '_>| tuple.attribute("id").unwrap().to_owned();
    source
        .tuples()
        .map(|tuple| (id(tuple), basic(tuple)))
        .collect()
}

/// The ids alone.
fn ids(document: &str) -> Vec<String> {
    tuples(document).into_iter().map(|(id, _)| id).collect()
}

/// What a phone that takes the first `<basic>` shows.
fn shown(document: &str) -> String {
    tuples(document).first().unwrap().1.clone()
}
