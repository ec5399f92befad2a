//! One TCP connection: bytes to messages, messages to bytes, and when it must end.
//!
//! ```text
//!   Connecting ──► Open ──► half closed (the peer sends no more) ──► gone
//!                   │ silent, slow, stalled, no SIP, too much waiting ──► gone
//! ```

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use presently_sip::{Flow, Framing, Index, Moment, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::ready::SlotWaker;
use crate::{Arrivals, Counters, Limits, Opening};

/// A connection, its place in the table apart.
#[derive(Debug)]
pub(crate) struct Connection {
    flow: Flow,
    socket: Socket,
    slot_waker: Arc<SlotWaker>,
    waker: Waker,
    stream: Stream,
    is_raw: bool,
    is_link: bool,
    source: Option<IpAddr>,
    output: Output,
    opened: Moment,
    has_spoken: bool,
    partial_since: Option<Moment>,
    half_closed_since: Option<Moment>,
}

/// What serving a connection came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Served {
    /// It has more to do at once.
    Again,
    /// It must go.
    Gone(Gone),
    /// It waits for its socket.
    Waiting,
}

/// Why a connection must go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gone {
    ByPeer,
    Framing,
    Silent,
    Slow,
    Stalled,
    Unreachable,
}

enum Socket {
    Connecting(Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>),
    Open(TcpStream),
}

/// What waits for the peer to read.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    written: usize,
    stalled_since: Option<Moment>,
}

impl Connection {
    pub(crate) fn accepted(
        now: Moment,
        flow: Flow,
        socket: TcpStream,
        opening: Opening,
        slot_waker: Arc<SlotWaker>,
    ) -> Self {
        Self {
            source: (opening == Opening::Messages).then(|| flow.remote.ip()),
            ..Self::new(now, flow, Socket::Open(socket), opening, slot_waker)
        }
    }

    pub(crate) fn connecting(
        now: Moment,
        flow: Flow,
        connect: impl Future<Output = io::Result<TcpStream>> + Send + 'static,
        opening: Opening,
        slot_waker: Arc<SlotWaker>,
    ) -> Self {
        let socket = Socket::Connecting(Box::pin(connect));
        Self::new(now, flow, socket, opening, slot_waker)
    }

    fn new(
        now: Moment,
        flow: Flow,
        socket: Socket,
        opening: Opening,
        slot_waker: Arc<SlotWaker>,
    ) -> Self {
        Self {
            flow,
            socket,
            waker: Waker::from(Arc::clone(&slot_waker)),
            slot_waker,
            stream: Stream::default(),
            is_raw: opening == Opening::Raw,
            is_link: opening == Opening::Raw,
            source: None,
            output: Output::default(),
            opened: now,
            has_spoken: false,
            partial_since: None,
            half_closed_since: None,
        }
    }

    pub(crate) fn flow(&self) -> Flow {
        self.flow
    }

    /// The address that counts it as one of its own: that of a phone which has opened it.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// Whether a whole message of SIP has come, or a handshake was passed.
    pub(crate) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Whether the peer may still send: else it is not to be sent to anew.
    pub(crate) fn is_usable(&self) -> bool {
        self.half_closed_since.is_none()
    }

    pub(crate) fn opened(&self) -> Moment {
        self.opened
    }

    /// Asks to be served in the next turn.
    pub(crate) fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// The handshake is over: what follows, beginning with `rest`, is SIP.
    pub(crate) fn start_messages(&mut self, rest: &[u8]) {
        self.is_raw = false;
        self.has_spoken = true;
        self.stream.push(rest);
        self.wake();
    }

    /// Sends, or keeps for when the peer reads; `Err` when too much waits already. Another member
    /// does not lose what waits for it by that: `false`, this message is dropped, and what is
    /// repeated comes later. One that reads nothing at all is closed in time.
    pub(crate) fn send(&mut self, parts: [&[u8]; 2], limits: &Limits) -> Result<bool, Gone> {
        let bound = if self.is_link {
            limits.link_output
        } else {
            limits.output
        };
        let [head, body] = parts;
        if self.output.waiting() + head.len() + body.len() > bound {
            return if self.is_link {
                Ok(false)
            } else {
                Err(Gone::Stalled)
            };
        }
        if self.output.waiting() == 0 {
            self.wake();
        }
        self.output.bytes.extend_from_slice(head);
        self.output.bytes.extend_from_slice(body);
        Ok(true)
    }

    /// Does what the socket allows now: connects, writes, reads, cuts messages.
    pub(crate) fn serve(
        &mut self,
        now: Moment,
        scratch: &mut [u8],
        arrivals: &mut Arrivals,
        counters: &mut Counters,
    ) -> Served {
        self.slot_waker.served();
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        if let Socket::Connecting(connect) = &mut self.socket {
            match connect.as_mut().poll(&mut cx) {
                Poll::Pending => return Served::Waiting,
                Poll::Ready(Err(_)) => return Served::Gone(Gone::Unreachable),
                Poll::Ready(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    self.socket = Socket::Open(stream);
                }
            }
        }
        let served = self.read(&mut cx, now, scratch, arrivals, counters);
        let written = self.write(&mut cx, now);
        match (served, written) {
            (Served::Gone(gone), _) | (_, Err(gone)) => Served::Gone(gone),
            (served, Ok(())) => served,
        }
    }

    /// Whether one of the time limits is over.
    pub(crate) fn overdue(&self, now: Moment, limits: &Limits) -> Option<Gone> {
        let is_over = |since: Option<Moment>, limit| since.is_some_and(|at| now.since(at) >= limit);
        if is_over(self.output.stalled_since, limits.write_stall) {
            Some(Gone::Stalled)
        } else if is_over(self.partial_since, limits.message) {
            Some(Gone::Slow)
        } else if is_over(self.half_closed_since, limits.half_closed) {
            Some(Gone::ByPeer)
        } else if !self.has_spoken && now.since(self.opened) >= limits.first_message {
            Some(Gone::Silent)
        } else {
            None
        }
    }

    fn read(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        scratch: &mut [u8],
        arrivals: &mut Arrivals,
        counters: &mut Counters,
    ) -> Served {
        for _ in 0..READS_A_TURN {
            // Also before the first read: a handshake may have left bytes of SIP.
            if !self.is_raw && self.cut(now, arrivals, counters).is_err() {
                return Served::Gone(Gone::Framing);
            }
            if self.half_closed_since.is_some() {
                return Served::Waiting;
            }
            let Socket::Open(socket) = &mut self.socket else {
                return Served::Waiting;
            };
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(socket).poll_read(cx, &mut buffer) {
                Poll::Pending => return Served::Waiting,
                Poll::Ready(Err(_)) => return Served::Gone(Gone::ByPeer),
                Poll::Ready(Ok(())) => {}
            }
            match buffer.filled() {
                // A member ends a link whole: what is written to it now is lost.
                [] if self.is_link => return Served::Gone(Gone::ByPeer),
                // The peer may still read the answer to what it sent last.
                [] => self.half_closed_since = Some(now),
                bytes if self.is_raw => arrivals.push_raw(self.flow, bytes),
                bytes => self.stream.push(bytes),
            }
            if self.is_raw {
                // The handshake decides what the bytes behind it are.
                return Served::Again;
            }
        }
        match self.cut(now, arrivals, counters) {
            Ok(()) => Served::Again,
            Err(gone) => Served::Gone(gone),
        }
    }

    /// Hands up the whole messages, and answers the keep-alives between them (RFC 5626 §5.4).
    fn cut(
        &mut self,
        now: Moment,
        arrivals: &mut Arrivals,
        counters: &mut Counters,
    ) -> Result<(), Gone> {
        let mut pings = 0;
        loop {
            let message = self.stream.next_message(&mut pings);
            let Some(message) = message.map_err(|_| Gone::Framing)? else {
                break;
            };
            arrivals.push_message(self.flow, &message);
            counters.messages_received += 1;
            // Other bytes may be framed just as well: they prove no phone, and keep no place.
            self.has_spoken = self.has_spoken || is_sip(&message);
            self.partial_since = None;
        }
        if self.stream.is_empty() {
            self.partial_since = None;
        } else {
            self.partial_since.get_or_insert(now);
        }
        if pings > 0 {
            counters.pings += u64::try_from(pings).unwrap_or(u64::MAX);
            // One answer serves for all pings that came together, and cannot be made to grow.
            self.output.bytes.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Moment) -> Result<(), Gone> {
        let Socket::Open(socket) = &mut self.socket else {
            return Ok(());
        };
        self.output.write(socket, cx, now).map_err(|_| Gone::ByPeer)
    }
}

impl Output {
    fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    fn write(
        &mut self,
        socket: &mut TcpStream,
        cx: &mut Context<'_>,
        now: Moment,
    ) -> io::Result<()> {
        while self.waiting() > 0 {
            let bytes = self.bytes.get(self.written..).unwrap_or_default();
            match Pin::new(&mut *socket).poll_write(cx, bytes)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => {
                    self.written += count;
                    self.stalled_since = None;
                }
                Poll::Pending => {
                    self.stalled_since.get_or_insert(now);
                    self.compact();
                    return Ok(());
                }
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(OUTPUT_KEPT);
        (self.written, self.stalled_since) = (0, None);
        Ok(())
    }

    /// Drops what was written, once it is more than what waits.
    fn compact(&mut self) {
        if self.written > self.waiting() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting(_) => "Connecting",
            Self::Open(_) => "Open",
        })
    }
}

/// Whether it can be answered, or is an answer.
fn is_sip(message: &[u8]) -> bool {
    Index::default().read(message, Framing::Stream).is_ok()
}

/// Then other connections have their turn: 64 KiB.
const READS_A_TURN: usize = 4;
/// Memory that an idle connection keeps.
const OUTPUT_KEPT: usize = 1_024;
