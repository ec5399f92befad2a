//! All sockets of one loop.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use presently_sip::{Flow, Moment, Protocol};
use tokio::net::TcpListener;

use crate::datagrams::Datagrams;
use crate::streams::{Entry, Streams};
use crate::{Arrivals, BindError, Counters, Limits, Listen, Opening, bind};

/// Listeners and connections, polled by one loop.
#[derive(Debug)]
pub struct Transport {
    listeners: Vec<Listener>,
    streams: Streams,
    counters: Counters,
    scratch: Vec<u8>,
    outgoing: Vec<u8>,
    limits_due: Option<Moment>,
    accept_again: Option<Moment>,
}

#[derive(Debug)]
enum Listener {
    Datagrams(Datagrams),
    Streams(TcpListener, Opening),
}

/// One message to send: a head of its own, and a body that others may share.
#[derive(Clone, Copy, Debug)]
pub struct Send<'a> {
    /// By which flow.
    pub flow: Flow,
    /// Start line and headers, with the empty line.
    pub head: &'a [u8],
    /// What follows them.
    pub body: &'a [u8],
}

impl Transport {
    /// Opens the listeners; a flow names each by its place in `listeners`. Within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The first listener that cannot be opened; none is then open.
    pub fn bind(listeners: &[Listen]) -> Result<Self, BindError> {
        Self::bind_with(listeners, Limits::default())
    }

    /// As [`Transport::bind`], with other limits.
    ///
    /// # Errors
    ///
    /// As [`Transport::bind`].
    pub fn bind_with(listeners: &[Listen], limits: Limits) -> Result<Self, BindError> {
        if listeners.len() > usize::from(NO_LISTENER) {
            return Err(BindError::TooMany);
        }
        let open = (0..)
            .zip(listeners)
            .map(|(place, listen)| Listener::bind(listen, place));
        Ok(Self {
            listeners: open.collect::<Result<_, _>>()?,
            streams: Streams::new(limits),
            counters: Counters::default(),
            scratch: vec![0; SCRATCH_BYTES],
            outgoing: Vec::new(),
            limits_due: None,
            accept_again: None,
        })
    }

    /// Where the listeners are, in their order, once the system has chosen their ports.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn local_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(Listener::local_address).collect()
    }

    /// Takes what has arrived: datagrams until the sockets are empty, whole messages of streams,
    /// ended connections; each bounded, so that a turn is. `Ready` when there is something in
    /// `arrivals`, which holds this turn's arrivals only.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        arrivals: &mut Arrivals,
    ) -> Poll<()> {
        arrivals.clear();
        self.streams.ready().set_parent(cx.waker());
        let mut is_more = false;
        for place in 0..self.listeners.len() {
            is_more |= self.poll_listener(place, cx, now, arrivals);
        }
        is_more |= self
            .streams
            .serve(now, &mut self.scratch, arrivals, &mut self.counters);
        if self.streams.len() > 0 {
            self.limits_due.get_or_insert(now.after(LIMITS_INTERVAL));
        }
        if !arrivals.items.is_empty() {
            return Poll::Ready(());
        }
        if is_more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Sends a message: a datagram at once or not at all; on a stream it waits, within a bound,
    /// until the peer reads. Beyond the bound the connection is closed and reported.
    pub fn send(&mut self, flow: Flow, head: &[u8], body: &[u8]) {
        match flow.protocol {
            Protocol::Tcp => self.streams.send(flow, [head, body], &mut self.counters),
            Protocol::Udp => self.send_datagram(flow, head, body),
        }
    }

    /// Sends what a turn has to send.
    pub fn send_all(&mut self, items: &[Send<'_>]) {
        for item in items {
            self.send(item.flow, item.head, item.body);
        }
    }

    /// The TCP connection to `remote` from the address of `listener`: the one there is, or a new
    /// one, which may be sent to at once. That it could not be opened is reported as its end.
    pub fn connect(&mut self, now: Moment, listener: u8, remote: SocketAddr) -> Flow {
        let from = self
            .listeners
            .get(usize::from(listener))
            .and_then(|listener| listener.local_address().ok())
            .filter(|address| !address.ip().is_unspecified());
        let entry = Entry {
            listener,
            opening: Opening::Messages,
        };
        let counters = &mut self.counters;
        self.streams.connect(now, entry, (from, remote), counters)
    }

    /// As [`Transport::connect`], to a member of the pool: the connection belongs to no listener
    /// ([`NO_LISTENER`]) and begins with a handshake.
    pub fn connect_raw(&mut self, now: Moment, remote: SocketAddr) -> Flow {
        let entry = Entry {
            listener: NO_LISTENER,
            opening: Opening::Raw,
        };
        let counters = &mut self.counters;
        self.streams.connect(now, entry, (None, remote), counters)
    }

    /// Ends the handshake of a connection: what follows, beginning with `rest`, is SIP.
    pub fn start_messages(&mut self, flow: Flow, rest: &[u8]) {
        self.streams.start_messages(flow, rest);
    }

    /// Closes a connection; this end of it is not reported.
    pub fn close(&mut self, flow: Flow) {
        self.streams.close(flow);
    }

    /// When [`Transport::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        [self.limits_due, self.accept_again]
            .into_iter()
            .flatten()
            .min()
    }

    /// Closes connections whose time is over. [`Transport::poll_receive`] follows, and reports
    /// them.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.accept_again = self.accept_again.filter(|due| *due > now);
        if self.limits_due.is_some_and(|due| due <= now) {
            self.streams.enforce_limits(now, &mut self.counters);
            let is_needed = self.streams.len() > 0 || self.streams.has_news();
            self.limits_due = is_needed.then(|| now.after(LIMITS_INTERVAL));
        }
    }

    /// What was carried and refused so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.streams.len()
    }

    fn poll_listener(
        &mut self,
        place: usize,
        cx: &mut Context<'_>,
        now: Moment,
        arrivals: &mut Arrivals,
    ) -> bool {
        match self.listeners.get(place) {
            Some(Listener::Datagrams(socket)) => {
                socket.receive(cx, &mut self.scratch, arrivals, &mut self.counters)
            }
            Some(Listener::Streams(..)) => self.accept(place, cx, now),
            None => false,
        }
    }

    /// Takes new connections, a bounded number a turn; `true` when there may be more.
    fn accept(&mut self, place: usize, cx: &mut Context<'_>, now: Moment) -> bool {
        let Some(Listener::Streams(listener, opening)) = self.listeners.get(place) else {
            return false;
        };
        if self.accept_again.is_some() {
            return false;
        }
        let entry = Entry {
            listener: u8::try_from(place).expect("at most 255 listeners"),
            opening: *opening,
        };
        for _ in 0..ACCEPTS_A_TURN {
            match listener.poll_accept(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(new)) => {
                    let counters = &mut self.counters;
                    self.streams.accept(now, entry, new, counters);
                }
                Poll::Ready(Err(_)) => {
                    // Out of descriptors, most likely: asking again at once would only spin.
                    self.counters.failed += 1;
                    self.accept_again = Some(now.after(ACCEPT_PAUSE));
                    return false;
                }
            }
        }
        true
    }

    fn send_datagram(&mut self, flow: Flow, head: &[u8], body: &[u8]) {
        let listener = self.listeners.get(usize::from(flow.listener));
        let Some(Listener::Datagrams(socket)) = listener else {
            self.counters.datagrams_refused += 1;
            return;
        };
        if body.is_empty() {
            return socket.send(flow.remote, head, &mut self.counters);
        }
        self.outgoing.clear();
        self.outgoing.extend_from_slice(head);
        self.outgoing.extend_from_slice(body);
        socket.send(flow.remote, &self.outgoing, &mut self.counters);
    }
}

impl Listener {
    fn bind(listen: &Listen, place: u8) -> Result<Self, BindError> {
        Ok(match listen.protocol {
            Protocol::Tcp => {
                let socket = bind::tcp(listen.address).and_then(TcpListener::from_std);
                let socket = socket.map_err(|error| BindError::new(listen, error))?;
                Self::Streams(socket, listen.opening)
            }
            Protocol::Udp => Self::Datagrams(Datagrams::bind(listen, place)?),
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Datagrams(socket) => socket.local_address(),
            Self::Streams(socket, _) => socket.local_addr(),
        }
    }
}

/// The listener of connections that belong to none: those to members of the pool.
pub const NO_LISTENER: u8 = u8::MAX;

/// The largest datagram there is.
const SCRATCH_BYTES: usize = 65_536;
/// Then those that were accepted have their turn.
const ACCEPTS_A_TURN: usize = 32;
/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between looks at the time limits of all connections, which are seconds.
const LIMITS_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
