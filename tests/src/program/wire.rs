//! Raw SIP: requests written by hand, sent as they are, and what comes back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Somebody with a UDP socket who writes requests by hand.
#[derive(Debug)]
pub struct Caller {
    socket: UdpSocket,
    pool: SocketAddr,
}

/// Somebody with a TCP connection who writes requests by hand.
#[derive(Debug)]
pub struct Stream {
    stream: TcpStream,
    read: Vec<u8>,
}

/// A message that came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply(pub String);

impl Caller {
    /// Who sends to `pool`.
    pub fn new(pool: SocketAddr) -> Self {
        let any = if pool.is_ipv6() {
            "[::1]:0"
        } else {
            "127.0.0.1:0"
        };
        let socket = UdpSocket::bind(any).expect("a free port");
        Self { socket, pool }
    }

    /// Its own address.
    pub fn at(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }

    /// Sends bytes as they are.
    pub fn send(&self, bytes: &[u8]) {
        // A datagram that does not fit the socket's buffer now is lost, as datagrams are.
        let _ = self.socket.send_to(bytes, self.pool);
    }

    /// The next message that comes within `bound`.
    pub fn receive(&self, bound: Duration) -> Option<Reply> {
        let bound = bound.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(bound)).expect("not zero");
        let mut buffer = [0; 65_536];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        let bytes = buffer.get(..length)?;
        Some(Reply(String::from_utf8_lossy(bytes).into_owned()))
    }

    /// Sends a request, again every half second, until its final answer comes.
    pub fn ask(&self, request: &str) -> Reply {
        let call_id = header(request, "Call-ID").expect("a request has one");
        for _ in 0..TRIES {
            self.send(request.as_bytes());
            let end = Instant::now() + T1;
            while let Some(reply) = self.receive(end.saturating_duration_since(Instant::now())) {
                let is_mine = reply.header("Call-ID") == Some(call_id);
                if is_mine && reply.status().is_some_and(|status| status >= 200) {
                    return reply;
                }
                if Instant::now() >= end {
                    break;
                }
            }
        }
        panic!("no answer to\n{request}");
    }

    /// Whether the pool serves: it answers OPTIONS with 200.
    pub fn is_served(&self) -> bool {
        let options = request("OPTIONS", "sip:example.com", self.at(), "UDP", &[], "");
        self.ask(&options).status() == Some(200)
    }
}

impl Stream {
    /// Connects to `pool`.
    pub fn open(pool: SocketAddr) -> Self {
        let stream = TcpStream::connect(pool).expect("the pool listens");
        stream.set_nodelay(true).expect("a socket can");
        let read = Vec::new();
        Self { stream, read }
    }

    /// Its own address.
    pub fn at(&self) -> SocketAddr {
        self.stream.local_addr().expect("it is connected")
    }

    /// Sends bytes as they are; `false` when the other end has closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next message that comes within `bound`.
    pub fn receive(&mut self, bound: Duration) -> Option<Reply> {
        let end = Instant::now() + bound;
        loop {
            if let Some(message) = whole(&mut self.read) {
                return Some(Reply(String::from_utf8_lossy(&message).into_owned()));
            }
            if !self.fill(end) {
                return None;
            }
        }
    }

    /// Whether the other end closes within `bound`.
    pub fn is_closed_within(&mut self, bound: Duration) -> bool {
        let end = Instant::now() + bound;
        while self.fill(end) {}
        Instant::now() < end
    }

    /// Reads once; `false` at the end of the stream or of the time.
    fn fill(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left)).expect("not zero");
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer) {
            Ok(length) if length > 0 => {
                self.read.extend(buffer.iter().take(length));
                true
            }
            _ => false,
        }
    }
}

impl Reply {
    /// The status, if it is a response.
    pub fn status(&self) -> Option<u16> {
        let rest = self.0.strip_prefix("SIP/2.0 ")?;
        rest.get(..3)?.parse().ok()
    }

    /// The first value of a header, by its long name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.0, name)
    }
}

/// A request with what each needs, the lines in `more`, and `body`; each call is a new one. From is
/// the user in `uri`. A line that starts with one of its own headers takes that one's place.
pub fn request(
    method: &str,
    uri: &str,
    at: SocketAddr,
    transport: &str,
    more: &[&str],
    body: &str,
) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let number = format!("{}-{next}", std::process::id());
    let own = [
        format!("Via: SIP/2.0/{transport} {at};branch=z9hG4bK{number};rport"),
        "Max-Forwards: 70".to_owned(),
        format!("From: <{uri}>;tag=t{number}"),
        format!("To: <{uri}>"),
        format!("Call-ID: c{number}"),
        format!("CSeq: 1 {method}"),
        format!(
            "Contact: <sip:phone@{at};transport={}>",
            transport.to_lowercase()
        ),
        format!("Content-Length: {}", body.len()),
    ];
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let replaced: Vec<String> = more.iter().map(|line| name(line)).collect();
    let kept = own
        .into_iter()
        .filter(|line| !replaced.contains(&name(line)));
    let lines = kept.chain(more.iter().map(|line| (*line).to_owned()));
    let head: String = lines.map(|line| line + "\r\n").collect();
    format!("{method} {uri} SIP/2.0\r\n{head}\r\n{body}")
}

/// The URI of `user` in these tests.
pub fn user_of(user: &str) -> String {
    format!("sip:{user}@example.com")
}

/// Takes the first whole message off the bytes of a stream.
pub(super) fn whole(read: &mut Vec<u8>) -> Option<Vec<u8>> {
    while read.starts_with(b"\r\n") {
        // The answer to a keep-alive (RFC 5626 §3.5.1).
        read.drain(..2);
    }
    let end = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(read.get(..end)?).into_owned();
    let body: usize = header(&head, "Content-Length")?.parse().ok()?;
    (read.len() >= end + body).then(|| read.drain(..end + body).collect())
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let head = message.split("\r\n\r\n").next()?;
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim())
    })
}

const T1: Duration = Duration::from_millis(500);
/// Five seconds in all.
const TRIES: u32 = 10;
