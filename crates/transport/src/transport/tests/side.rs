//! One end under test: a transport, its arrivals, and a clock that the test turns.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use crate::{Arrival, Arrivals, Limits, Listen, Transport};
use presently_sip::{Flow, Moment, Protocol};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A transport on loopback.
pub(crate) struct Side {
    pub(crate) transport: Transport,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) now: Moment,
    pub(crate) messages: Vec<(Flow, Vec<u8>)>,
    pub(crate) raw: Vec<(Flow, Vec<u8>)>,
    pub(crate) closed: Vec<Flow>,
    arrivals: Arrivals,
}

impl Side {
    pub(crate) fn new(listeners: &[Listen], limits: Limits) -> Self {
        let transport = Transport::bind_with(listeners, limits).unwrap();
        Self {
            addresses: transport.local_addresses().unwrap(),
            transport,
            now: Moment(1_000_000_000),
            messages: Vec::new(),
            raw: Vec::new(),
            closed: Vec::new(),
            arrivals: Arrivals::default(),
        }
    }

    /// One TCP listener.
    pub(crate) fn tcp(limits: Limits) -> Self {
        Self::new(&[Listen::sip(Protocol::Tcp, loopback())], limits)
    }

    /// Takes turns until `done`; a test that waits for more than five seconds has failed.
    pub(crate) async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let wait = async {
            while !done(self) {
                self.turn().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(5), wait).await;
        let closed = self.closed.len();
        let counters = self.transport.counters();
        assert!(waited.is_ok(), "{closed} closed, {counters:?}");
    }

    /// Until one turn after another brings nothing for `millis`.
    pub(crate) async fn rest(&mut self, millis: u64) {
        let quiet = Duration::from_millis(millis);
        while tokio::time::timeout(quiet, self.turn()).await.is_ok() {}
    }

    /// Lets `span` pass on the test's clock, and everything due with it.
    pub(crate) async fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        while let Some(due) = self.transport.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.transport.handle_timeout(self.now);
            self.rest(2).await;
        }
        self.now = end;
    }

    async fn turn(&mut self) {
        let (transport, arrivals) = (&mut self.transport, &mut self.arrivals);
        poll_fn(|cx| transport.poll_receive(cx, self.now, arrivals)).await;
        for item in &arrivals.items {
            match item {
                Arrival::Closed { flow } => self.closed.push(*flow),
                Arrival::Message { flow, range } => {
                    self.messages.push((*flow, arrivals.bytes(range).to_vec()));
                }
                Arrival::Raw { flow, range } => {
                    self.raw.push((*flow, arrivals.bytes(range).to_vec()));
                }
            }
        }
    }
}

/// A connection to the first listener.
pub(crate) async fn phone(side: &Side) -> TcpStream {
    let stream = TcpStream::connect(side.addresses[0]).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Whether the far end has closed the connection.
pub(crate) async fn is_closed(peer: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), peer.read_to_end(&mut rest)).await;
    ended.is_ok()
}

pub(crate) fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A whole message whose body is `body`.
pub(crate) fn message(body: &str) -> Vec<u8> {
    let head = "MESSAGE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// What can be read of `peer` until it has `length` bytes; a test waits five seconds at most.
pub(crate) async fn read(peer: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let read = peer.read_exact(&mut bytes);
    let read = tokio::time::timeout(Duration::from_secs(5), read).await;
    read.expect("bytes in time").expect("bytes");
    bytes
}
