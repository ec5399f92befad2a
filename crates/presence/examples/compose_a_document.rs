//! Two devices of one user publish; one document comes out, the open one first.
//!
//! `cargo run -p presently-presence --example compose_a_document`

use std::error::Error;

use bytes::Bytes;
use presently_pool::{FlowToken, MemberId, PackageName, ResourceId};
use presently_presence::package::{Packages, ResourceState};
use presently_sip::{Aor, Flow, WallTime};
use presently_store::{Publication, Repeat};

fn main() -> Result<(), Box<dyn Error>> {
    let resource = ResourceId {
        aor: Aor::parse("sip:alice@example.com")?,
        package: PackageName::new("presence"),
    };
    let packages = Packages::default();
    let package = packages.find(&resource.package).ok_or("no such package")?;
    let published = [
        publication(&resource, "desk", 2, "closed")?,
        publication(&resource, "mobile", 1, "open")?,
    ];
    for publication in &published {
        package.check(&resource, &publication.content_type, &publication.body)?;
    }
    let composed = package.compose(&ResourceState {
        resource: &resource,
        publications: &published.iter().collect::<Vec<_>>(),
        is_registered: true,
    });
    println!(
        "{}\n{}",
        composed.content_type,
        String::from_utf8_lossy(&composed.body)
    );
    Ok(())
}

fn publication(
    resource: &ResourceId,
    device: &str,
    at: u64,
    basic: &str,
) -> Result<Publication, Box<dyn Error>> {
    let body = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">\
         <tuple id=\"{device}\"><status><basic>{basic}</basic></status></tuple></presence>"
    );
    Ok(Publication {
        resource: resource.clone(),
        tag: device.parse()?,
        content_type: "application/pidf+xml".into(),
        body: Bytes::from(body),
        flow: FlowToken {
            balancer: MemberId(1),
            flow: Flow::udp(0, "192.0.2.1:5060".parse()?),
        },
        modified_at: WallTime(at),
        expires_at: WallTime(at + 3_600_000_000),
        repeat: Repeat::default(),
    })
}
