//! Health checks: whether each application server answers, told when it changes.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use presently_nlb::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::proxy_protocol;

/// How application servers are probed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProbeSettings {
    /// What is asked of a server.
    pub probe: Probe,
    /// Whether a probe begins with a PROXY header, version 2, of a connection that is ours (LOCAL):
    /// a server that has one before every connection takes no other.
    pub is_announced: bool,
    /// From one probe to the next.
    pub every: Duration,
    /// How long one may take.
    pub within: Duration,
    /// Good probes in a row that make a server up.
    pub rise: u32,
    /// Bad ones in a row that make it down.
    pub fall: u32,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self {
            // Says least about the application and is never wrong about a dead one.
            probe: Probe::Connect,
            // As listeners have it.
            is_announced: false,
            // With `fall`, a dead server is known in 4 to 6 s.
            every: Duration::from_secs(2),
            // Longer than a server's pauses for its own housekeeping.
            within: Duration::from_secs(2),
            // One good answer may be luck.
            rise: 2,
            // One lost probe is no death, three are.
            fall: 3,
        }
    }
}

/// What is asked of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probe {
    /// To take a connection.
    Connect,
    /// To answer a request with 2xx or 3xx.
    Get {
        /// The path asked for.
        path: Box<str>,
        /// Of which host.
        host: Box<str>,
    },
}

/// A server to probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Probed {
    /// Its name.
    pub server: ServerName,
    /// Its address.
    pub address: SocketAddr,
}

/// What has become known of a server. The first probe is told as it went, whatever `rise` and
/// `fall` say; from then on only changes are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Health {
    /// Which one.
    pub server: ServerName,
    /// Whether it answers.
    pub is_up: bool,
}

/// The probes of all application servers, one task each. Dropping it ends them.
#[derive(Debug)]
pub struct Probes {
    settings: Arc<ProbeSettings>,
    running: HashMap<ServerName, Running>,
    found: mpsc::Receiver<Found>,
    finding: mpsc::Sender<Found>,
    lives: u64,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    life: u64,
    task: JoinHandle<()>,
}

/// What one task has found, and which of the tasks with this name it was.
#[derive(Debug)]
struct Found {
    health: Health,
    life: u64,
}

impl Probes {
    /// Begins to probe `servers`. Within a tokio runtime.
    pub fn start(settings: ProbeSettings, servers: Vec<Probed>) -> Self {
        let (finding, found) = mpsc::channel(FOUND_MAX);
        let mut probes = Self {
            settings: Arc::new(settings),
            running: HashMap::new(),
            found,
            finding,
            lives: 0,
        };
        probes.replace(servers);
        probes
    }

    /// Probes these from now on, and no others. What is known of those that stay is kept.
    pub fn replace(&mut self, servers: Vec<Probed>) {
        let mut before = std::mem::take(&mut self.running);
        for Probed { server, address } in servers {
            let same = before.remove(&server);
            let (same, other): (Option<Running>, Option<Running>) = match same {
                Some(running) if running.address == address => (Some(running), None),
                other => (None, other),
            };
            drop(other);
            let running = same.unwrap_or_else(|| self.begin(&server, address));
            self.running.insert(server, running);
        }
    }

    /// What has become known next. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Health {
        loop {
            let Some(found) = self.found.recv().await else {
                // We hold a sender ourselves.
                return std::future::pending().await;
            };
            // A task that was ended may have found something just before.
            let running = self.running.get(&found.health.server);
            if running.is_some_and(|running| running.life == found.life) {
                return found.health;
            }
        }
    }

    fn begin(&mut self, server: &ServerName, address: SocketAddr) -> Running {
        self.lives += 1;
        let life = self.lives;
        let watch = watch(
            Arc::clone(&self.settings),
            Arc::clone(server),
            address,
            (self.finding.clone(), life),
        );
        Running {
            address,
            life,
            task: tokio::spawn(watch),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Probes one server until it is ended.
async fn watch(
    settings: Arc<ProbeSettings>,
    server: ServerName,
    address: SocketAddr,
    (finding, life): (mpsc::Sender<Found>, u64),
) {
    let mut course = Course::default();
    let mut ticks = interval(settings.every.max(EVERY_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let probed = timeout(settings.within, probe(&settings, address)).await;
        let is_good = matches!(probed, Ok(Ok(())));
        let Some(is_up) = course.note(is_good, settings.rise, settings.fall) else {
            continue;
        };
        let health = Health {
            server: Arc::clone(&server),
            is_up,
        };
        if finding.send(Found { health, life }).await.is_err() {
            return;
        }
    }
}

async fn probe(settings: &ProbeSettings, address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    if settings.is_announced {
        let mut header = Vec::new();
        proxy_protocol::write_local(&mut header);
        stream.write_all(&header).await?;
    }
    let Probe::Get { path, host } = &settings.probe else {
        return Ok(());
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: presently\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; STATUS.len()];
    stream.read_exact(&mut status).await?;
    if is_good_status(&status) {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn is_good_status(status: &[u8; STATUS.len()]) -> bool {
    let is_http = status.starts_with(b"HTTP/1.");
    is_http && matches!(status.get(8..10), Some(b" 2" | b" 3"))
}

/// What the probes of one server have said so far.
#[derive(Debug, Default)]
struct Course {
    is_up: Option<bool>,
    /// How many in a row have said the opposite.
    against: u32,
}

impl Course {
    /// Takes a probe's outcome; what is known now, if that is new.
    fn note(&mut self, is_good: bool, rise: u32, fall: u32) -> Option<bool> {
        if self.is_up == Some(is_good) {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if is_good { rise } else { fall };
        if self.is_up.is_some() && self.against < needed {
            return None;
        }
        *self = Self {
            is_up: Some(is_good),
            against: 0,
        };
        self.is_up
    }
}

/// The beginning of an answer, up to its status.
const STATUS: &[u8] = b"HTTP/1.1 200";
/// Findings that wait to be read; tasks wait with theirs.
const FOUND_MAX: usize = 64;
/// A shorter interval would be a load of its own.
const EVERY_MIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_changes_when_enough_probes_in_a_row_say_so() {
        let mut course = Course::default();
        let outcomes = [
            (true, Some(true)),
            (true, None),
            (false, None),
            (false, None),
            (true, None),
            (false, None),
            (false, None),
            (false, Some(false)),
            (false, None),
            (true, None),
            (false, None),
            (true, None),
            (true, Some(true)),
        ];
        for (number, (is_good, expected)) in outcomes.into_iter().enumerate() {
            assert_eq!(course.note(is_good, 2, 3), expected, "probe {number}");
        }
    }

    #[test]
    fn the_first_probe_is_told_as_it_went() {
        assert_eq!(Course::default().note(false, 2, 3), Some(false));
        assert_eq!(Course::default().note(true, 2, 3), Some(true));
    }

    #[test]
    fn a_status_of_success_or_elsewhere_is_good() {
        for (status, expected) in [
            (b"HTTP/1.1 200", true),
            (b"HTTP/1.0 302", true),
            (b"HTTP/1.1 404", false),
            (b"HTTP/1.1 500", false),
            (b"HTTP/1.1 100", false),
            (b"SSH-2.0-Open", false),
        ] {
            assert_eq!(is_good_status(status), expected);
        }
    }
}
