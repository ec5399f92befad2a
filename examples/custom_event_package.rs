//! An event package of a third party, served by a whole pool: `weather`, one line of text for each
//! place.
//!
//! A station publishes lines such as `12.5 rain` over a real socket; a watcher subscribes and is
//! notified. The pool knows nothing of weather but the trait below.
//!
//! `cargo run --example custom_event_package`

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use presently::config::StorePath;
use presently::{Config, Phone, Settings};
use presently_agent::Event;
use presently_pool::ResourceId;
use presently_presence::package::{
    BodyRefused, Composed, EventPackage, Packages, Rendered, ResourceState, View, accepts,
};
use presently_sip::Aor;
use presently_store::Document;

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

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("presently-weather-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut config = Config::new(Settings {
        listen: vec!["udp:127.0.0.1:0".parse()?],
        servers: Some(2),
        store: Some(StorePath(folder.join("pool.db"))),
        ..Settings::default()
    })?;
    config.packages = Arc::new(Packages::default().with(Arc::new(Weather)));
    let pool = presently::start(config)?;
    let (_, address) = *pool.addresses().listen.first().ok_or("no listener")?;

    let oslo = Aor::parse("sip:oslo@example.com")?;
    let mut watcher = Phone::open(Aor::parse("sip:olav@example.com")?, address).await?;
    watcher
        .ask(|agent, now, out| agent.subscribe(now, &oslo, "weather", 600, &["text/plain"], out));
    println!("nobody measured: {}", next_notified(&mut watcher).await?);

    let mut station = Phone::open(oslo, address).await?;
    for line in ["12.5 rain", "fine", "13.0 sun"] {
        let body = Bytes::from_static(line.as_bytes());
        station.ask(|agent, now, out| agent.publish(now, "weather", "text/plain", body, 600, out));
        match next_answer(&mut station).await? {
            200 => println!("published {line:?}: {}", next_notified(&mut watcher).await?),
            status => println!("published {line:?}: refused with {status}"),
        }
    }
    pool.stop()?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The status that the station's PUBLISH got.
async fn next_answer(station: &mut Phone) -> Result<u16, Box<dyn Error>> {
    loop {
        match station.next_event().await? {
            Event::Published { .. } => return Ok(200),
            Event::PublishFailed { status, .. } => return Ok(status),
            _ => {}
        }
    }
}

/// What the watcher is shown next.
async fn next_notified(watcher: &mut Phone) -> Result<String, Box<dyn Error>> {
    loop {
        if let Event::Notified(notified) = watcher.next_event().await? {
            return Ok(String::from_utf8_lossy(&notified.body).into_owned());
        }
    }
}
