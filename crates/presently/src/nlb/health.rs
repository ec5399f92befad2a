//! Health checks: one task asks each application server, and says when its answer has changed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use presently_nlb::{Server, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::settings::HealthTable;

/// The servers that are asked, and what they came to.
#[derive(Debug)]
pub(super) struct Health {
    table: Arc<HealthTable>,
    tasks: BTreeMap<ServerName, Task>,
    changes: mpsc::Receiver<(ServerName, bool)>,
    sender: mpsc::Sender<(ServerName, bool)>,
}

/// Ends with its value.
#[derive(Debug)]
struct Task(SocketAddr, JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.1.abort();
    }
}

impl Health {
    pub(super) fn new(table: &HealthTable) -> Self {
        let (sender, changes) = mpsc::channel(CHANGES_MAX);
        Self {
            table: Arc::new(table.clone()),
            tasks: BTreeMap::new(),
            changes,
            sender,
        }
    }

    /// Asks these servers from now on, and no others. Each counts as up until it fails.
    pub(super) fn watch(&mut self, servers: &[Server]) {
        let is_kept = |name: &ServerName, task: &Task| {
            let mut kept = servers.iter();
            kept.any(|server| server.name == *name && server.address == task.0)
        };
        self.tasks.retain(|name, task| is_kept(name, task));
        for server in servers {
            let probing = || {
                let (table, changes) = (Arc::clone(&self.table), self.sender.clone());
                let probing = probe_for_ever(server.clone(), table, changes);
                Task(server.address, tokio::spawn(probing))
            };
            let name = ServerName::clone(&server.name);
            self.tasks.entry(name).or_insert_with(probing);
        }
    }

    /// The next server that went up or down.
    pub(super) fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<(ServerName, bool)> {
        match self.changes.poll_recv(cx) {
            Poll::Ready(Some(change)) => Poll::Ready(change),
            // There is always a sender: this value's own.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

async fn probe_for_ever(
    server: Server,
    table: Arc<HealthTable>,
    changes: mpsc::Sender<(ServerName, bool)>,
) {
    let mut standing = Standing::default();
    let mut looks = interval(Duration::from_millis(table.every_ms.get()));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let probe = probe(server.address, table.path.as_deref());
        let within = Duration::from_millis(table.timeout_ms.get());
        let is_good = timeout(within, probe).await == Ok(Some(()));
        if let Some(is_up) = standing.note(is_good, &table) {
            let change = (ServerName::clone(&server.name), is_up);
            if changes.send(change).await.is_err() {
                return;
            }
        }
    }
}

/// One probe: that it takes a connection, and for a path that it answers below 400.
async fn probe(address: SocketAddr, path: Option<&str>) -> Option<()> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let Some(path) = path else {
        return Some(());
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while head.len() < STATUS_LINE_BYTES {
        let read = stream.read_buf(&mut head).await.ok()?;
        if let Some(status) = status(&head) {
            return (status < 400).then_some(());
        }
        if read == 0 {
            return None;
        }
    }
    None
}

/// The status of an answer whose first bytes are `head` (RFC 9112 §4), once they are there.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let digits = std::str::from_utf8(rest.get(2..5)?).ok()?;
    digits.parse().ok()
}

/// How a server stands, and what speaks against it.
#[derive(Clone, Copy, Debug)]
struct Standing {
    is_up: bool,
    /// Probes in a row that said otherwise.
    against: u8,
}

impl Default for Standing {
    /// As the machine takes it: up until the contrary is shown.
    fn default() -> Self {
        Self {
            is_up: true,
            against: 0,
        }
    }
}

impl Standing {
    /// Notes one probe; what the server is now, if that is new.
    fn note(&mut self, is_good: bool, table: &HealthTable) -> Option<bool> {
        if is_good == self.is_up {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let needed = if self.is_up { table.fall } else { table.rise };
        if self.against < needed.get() {
            return None;
        }
        *self = Self {
            is_up: is_good,
            against: 0,
        };
        Some(is_good)
    }
}

/// More than change at once; beyond it probes wait for the loop.
const CHANGES_MAX: usize = 64;
/// As far as the status of an answer reaches.
const STATUS_LINE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_changes_after_as_many_probes_as_configured() {
        let table = HealthTable::default();
        let mut standing = Standing::default();
        let probes = [
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
        for (place, (is_good, expected)) in probes.into_iter().enumerate() {
            assert_eq!(standing.note(is_good, &table), expected, "probe {place}");
        }
    }

    #[test]
    fn only_the_status_of_an_answer_counts() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status(b"HTTP/1.0 503 "), Some(503));
        for head in [&b"HTTP/1.1 2"[..], b"SSH-2.0-x", b"", b"HTTP/1.1 abc"] {
            assert_eq!(status(head), None);
        }
    }
}
