//! What every test here stands on: a proxy of one thread, and the far ends of its sockets.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Asked, Identify, Listener, Proxy, Questions, Settings, StartError, Who};
use hyper::header::HeaderName;
use hyper::{HeaderMap, Uri};
use presently_nlb::{CutReason, Entering, PathId, Refusal, Verdict};
use presently_sip::{Aor, Moment};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy, and the control loop's side of it.
pub(crate) struct Side {
    pub(crate) proxy: Proxy,
    pub(crate) questions: Questions,
}

impl Side {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::start(settings).unwrap()
    }

    pub(crate) fn start(settings: Settings) -> Result<Self, StartError> {
        let by_header = ByHeader([HeaderName::from_static("x-user")]);
        Self::start_with(settings, Arc::new(by_header))
    }

    /// Users are whom `identify` says.
    pub(crate) fn start_with(
        settings: Settings,
        identify: Arc<dyn Identify>,
    ) -> Result<Self, StartError> {
        let began = Instant::now();
        let clock = Arc::new(move || Moment::default().after(began.elapsed()));
        let started = Proxy::start(settings, identify, clock, NonZeroU16::MIN);
        let (proxy, questions) = started?;
        Ok(Self { proxy, questions })
    }

    /// One HTTP listener.
    pub(crate) fn http() -> Self {
        Self::new(with(Listener::http(loopback())))
    }

    pub(crate) async fn client(&self) -> TcpStream {
        let address = self.proxy.addresses()[0];
        TcpStream::connect(address).await.unwrap()
    }

    pub(crate) async fn asked(&mut self) -> Asked {
        within(self.questions.next()).await.expect("the proxy runs")
    }

    /// The next question, which must be for a path.
    pub(crate) async fn entering(&mut self) -> Entering {
        match self.asked().await {
            Asked::Enter { entering, .. } => *entering,
            other => panic!("{other:?}"),
        }
    }

    /// The next report, which must be that a path has left.
    pub(crate) async fn left(&mut self) -> PathId {
        match self.asked().await {
            Asked::Left { path } => path,
            other => panic!("{other:?}"),
        }
    }

    /// Lets the next path in, to `app`.
    pub(crate) async fn admit(&mut self, app: &App) -> Entering {
        let entering = self.entering().await;
        self.proxy.tell(Verdict::Admit {
            path: entering.path,
            server: "s1".into(),
            address: app.address(),
        });
        entering
    }

    pub(crate) fn refuse(&self, path: PathId, refusal: Refusal) {
        self.proxy.tell(Verdict::Refuse { path, refusal });
    }

    pub(crate) fn cut(&self, path: PathId) {
        let reason = CutReason::Left;
        self.proxy.tell(Verdict::Cut { path, reason });
    }

    /// Nothing has been asked but what was taken.
    pub(crate) fn asks_nothing(&mut self) -> bool {
        self.questions.try_next().is_none()
    }
}

/// Settings with one listener.
pub(crate) fn with(listener: Listener) -> Settings {
    Settings {
        listeners: vec![listener],
        ..Settings::default()
    }
}

/// An application server, whose connections the test holds.
pub(crate) struct App(TcpListener);

impl App {
    pub(crate) async fn new() -> Self {
        Self(TcpListener::bind(loopback()).await.unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        within(self.0.accept()).await.unwrap().0
    }
}

/// Believes a header.
struct ByHeader([HeaderName; 1]);

impl Identify for ByHeader {
    fn headers(&self) -> &[HeaderName] {
        &self.0
    }

    fn reads_query(&self) -> bool {
        false
    }

    fn who(&self, _: &Uri, headers: &HeaderMap) -> Who {
        let name = headers.get(&self.0[0]);
        Who {
            user: name.and_then(|name| self.named(name.to_str().ok()?)),
            ..Who::default()
        }
    }

    fn named(&self, name: &str) -> Option<Aor> {
        Aor::parse(&format!("sip:{name}@example.com")).ok()
    }
}

pub(crate) fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A request of `user` for `path`.
pub(crate) fn get(path: &str, user: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example.com\r\nX-User: {user}\r\n\r\n")
}

/// An answer with `body`.
pub(crate) fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
}

pub(crate) async fn send(stream: &mut TcpStream, text: &str) {
    within(stream.write_all(text.as_bytes())).await.unwrap();
}

/// What arrives up to the end of a head.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        let byte = within(stream.read_u8()).await;
        let byte = byte.unwrap_or_else(|error| panic!("{error} after {text:?}"));
        text.push(char::from(byte));
    }
    text
}

/// Exactly `expected` arrives next.
pub(crate) async fn expect(stream: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

/// A whole answer with `body` arrives next; its head.
pub(crate) async fn expect_ok(stream: &mut TcpStream, body: &str) -> String {
    let head = head(stream).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    expect(stream, body).await;
    head
}

/// Nothing more comes: the far end has closed, one way or the other.
pub(crate) async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let read = within(stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    read.is_ok() || read.is_err()
}

/// A test that waits for more than five seconds has failed.
pub(crate) async fn within<T>(event: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(5), event).await;
    waited.expect("it happens in time")
}
