//! An event package of a third party: `weather`, one line of text for each place.
//!
//! Stations publish lines such as `12.5 rain`; the composed document is the newest of them. Run it
//! with `cargo run -p presently-presence --example custom_event_package`.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{FlowToken, MemberId, PackageName, ResourceId, Version};
use presently_presence::package::{
    BodyRefused, Composed, EventPackage, Packages, Rendered, ResourceState, View, accepts,
};
use presently_sip::{Aor, Flow, WallTime};
use presently_store::{Document, Publication, Repeat};

/// The weather at a place, in plain text.
struct Weather;

impl EventPackage for Weather {
    fn name(&self) -> &'static str {
        "weather"
    }

    fn content_types(&self) -> &[&str] {
        &["text/plain"]
    }

    fn check(&self, _: &ResourceId, content_type: &str, body: &[u8]) -> Result<(), BodyRefused> {
        if accepts(content_type, self.content_types()).is_none() {
            return Err(BodyRefused::Unsupported);
        }
        let text = std::str::from_utf8(body).map_err(|_| BodyRefused::Malformed)?;
        let (degrees, sky) = text.trim().split_once(' ').ok_or(BodyRefused::Malformed)?;
        let is_weather = degrees.parse::<f32>().is_ok() && !sky.is_empty() && sky.len() < 80;
        is_weather.then_some(()).ok_or(BodyRefused::Malformed)
    }

    fn compose(&self, state: &ResourceState<'_>) -> Composed {
        let newest = state
            .publications
            .iter()
            .max_by_key(|publication| (publication.modified_at, publication.tag.as_str()));
        Composed {
            content_type: Arc::from("text/plain"),
            body: newest.map_or(UNKNOWN, |publication| publication.body.clone()),
            dropped: 0,
        }
    }

    fn render(&self, document: Option<&Document>, _: &View<'_>) -> Rendered {
        let known = document.filter(|document| document.version.0 > 0);
        Rendered::Shared {
            content_type: Arc::from("text/plain"),
            body: known.map_or(UNKNOWN, |document| document.body.clone()),
        }
    }
}

const UNKNOWN: Bytes = Bytes::from_static(b"unknown");

fn main() -> Result<(), Box<dyn Error>> {
    let packages = Packages::default().with(Arc::new(Weather));
    let names: Vec<&str> = packages.names().map(PackageName::as_str).collect();
    println!("Allow-Events: {}", names.join(", "));

    let resource = ResourceId {
        aor: Aor::parse("sip:oslo@example.com")?,
        package: PackageName::new("weather"),
    };
    let package = packages.find(&resource.package).ok_or("no such package")?;
    println!("nobody measured: {}", shown(&**package, &resource, None));

    let refused = package.check(&resource, "text/plain", b"fine");
    println!(
        "PUBLISH \"fine\": {:?}",
        refused.map_err(BodyRefused::status)
    );

    let stations = [("roof", 1, "12.5 rain"), ("harbour", 2, "11.0 fog")];
    let mut published = Vec::new();
    for (tag, at, text) in stations {
        package.check(&resource, "text/plain", text.as_bytes())?;
        published.push(publication(&resource, tag, at, text)?);
    }
    let composed = package.compose(&ResourceState {
        resource: &resource,
        publications: &published.iter().collect::<Vec<_>>(),
        is_registered: false,
    });
    let document = Document {
        resource: resource.clone(),
        version: Version(1),
        content_type: composed.content_type,
        body: composed.body,
    };
    println!(
        "two stations: {}",
        shown(&**package, &resource, Some(&document))
    );
    Ok(())
}

/// What a watcher reads. A numbered body would have its NOTIFY's CSeq between its halves.
fn shown(package: &dyn EventPackage, resource: &ResourceId, document: Option<&Document>) -> String {
    let view = View {
        resource,
        accept: "text/*",
    };
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    match package.render(document, &view) {
        Rendered::Numbered { head, tail, .. } => text(&head) + "1" + &text(&tail),
        Rendered::Shared { body, .. } => text(&body),
    }
}

fn publication(
    resource: &ResourceId,
    tag: &str,
    at: u64,
    text: &'static str,
) -> Result<Publication, Box<dyn Error>> {
    Ok(Publication {
        resource: resource.clone(),
        tag: tag.parse()?,
        content_type: Arc::from("text/plain"),
        body: Bytes::from_static(text.as_bytes()),
        flow: FlowToken {
            balancer: MemberId(1),
            flow: Flow::udp(0, "192.0.2.1:5060".parse()?),
        },
        modified_at: WallTime(at),
        expires_at: WallTime(at + 3_600_000_000),
        repeat: Repeat::default(),
    })
}
