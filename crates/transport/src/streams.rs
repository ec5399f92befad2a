//! All TCP connections of a loop, in numbered slots.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use presently_sip::{Flow, Moment, Protocol};
use slab::Slab;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

use crate::connection::{Connection, Gone, Served};
use crate::ready::Ready;
use crate::sources::Sources;
use crate::{Arrival, Arrivals, Counters, Limits, Opening};

/// How a connection comes about: by which listener, and what it begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) listener: u8,
    pub(crate) opening: Opening,
}

/// The table of connections. Full, it closes the oldest that has not said anything; when all have,
/// it takes no more.
#[derive(Debug)]
pub(crate) struct Streams {
    limits: Limits,
    connections: Slab<Connection>,
    /// Connections that sent no whole message yet, the oldest first.
    unproven: BTreeSet<(Moment, usize)>,
    by_remote: HashMap<(u8, SocketAddr), usize>,
    sources: Sources,
    ready: Ready,
    /// Slots to serve, from former turns.
    waiting: Vec<usize>,
    generations: u32,
    closed: Vec<Flow>,
}

impl Streams {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            connections: Slab::new(),
            unproven: BTreeSet::new(),
            by_remote: HashMap::new(),
            sources: Sources::default(),
            ready: Ready::default(),
            waiting: Vec::new(),
            // Not from 0: a flow of a former life must not name a connection of this one.
            generations: any_number(),
            closed: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Takes a connection that a peer has opened, if there is room for it and its address has no
    /// more than its share. Members of the pool have no bound of their own: those that cannot name
    /// themselves are closed in time.
    pub(crate) fn accept(
        &mut self,
        now: Moment,
        entry: Entry,
        (socket, remote): (TcpStream, SocketAddr),
        counters: &mut Counters,
    ) {
        let is_phone = entry.opening == Opening::Messages;
        if is_phone && !self.sources.has_room(remote.ip(), self.limits.per_source) {
            counters.crowded += 1;
            return;
        }
        if !self.make_room(counters) {
            counters.refused += 1;
            return;
        }
        counters.accepted += 1;
        let _ = socket.set_nodelay(true);
        watch(&SockRef::from(&socket), self.limits.silence);
        let flow = self.next_flow(entry.listener, remote);
        let waker = self.ready.waker(self.connections.vacant_key());
        let connection = Connection::accepted(now, flow, socket, entry.opening, waker);
        if let Some(address) = connection.source() {
            self.sources.enter(address);
        }
        self.insert(connection);
    }

    /// The connection to `remote` by `listener`, opened if there is none. Its failure is reported
    /// as that of any other.
    pub(crate) fn connect(
        &mut self,
        now: Moment,
        entry: Entry,
        (from, remote): (Option<SocketAddr>, SocketAddr),
        counters: &mut Counters,
    ) -> Flow {
        let known = self.by_remote.get(&(entry.listener, remote));
        let known = known.and_then(|&slot| self.connections.get(slot));
        if let Some(known) = known.filter(|known| known.is_usable()) {
            return known.flow();
        }
        let has_room = self.make_room(counters);
        let flow = self.next_flow(entry.listener, remote);
        if !has_room {
            counters.refused += 1;
            self.report(Some(flow));
            return flow;
        }
        counters.opened += 1;
        let connect = connect_from(from, remote, self.limits.silence);
        let waker = self.ready.waker(self.connections.vacant_key());
        let opening = entry.opening;
        self.insert(Connection::connecting(now, flow, connect, opening, waker));
        flow
    }

    pub(crate) fn send(&mut self, flow: Flow, parts: [&[u8]; 2], counters: &mut Counters) {
        let limits = self.limits;
        let Some((slot, connection)) = self.get(flow) else {
            counters.messages_undeliverable += 1;
            // Whoever sent it does not know yet; it may be a flow of a former life of the process.
            self.report(Some(flow));
            return;
        };
        match connection.send(parts, &limits) {
            Ok(true) => counters.messages_sent += 1,
            Ok(false) => counters.messages_undeliverable += 1,
            Err(gone) => self.remove(slot, gone, counters),
        }
    }

    pub(crate) fn start_messages(&mut self, flow: Flow, rest: &[u8]) {
        if let Some((slot, connection)) = self.get(flow) {
            connection.start_messages(rest);
            let opened = connection.opened();
            self.unproven.remove(&(opened, slot));
        }
    }

    /// Ends a connection that the caller wants no more of; it is not reported.
    pub(crate) fn close(&mut self, flow: Flow) {
        if let Some((slot, _)) = self.get(flow) {
            self.forget(slot);
        }
    }

    /// Serves the connections that were woken; `true` when some are left for the next turn.
    pub(crate) fn serve(
        &mut self,
        now: Moment,
        scratch: &mut [u8],
        arrivals: &mut Arrivals,
        counters: &mut Counters,
    ) -> bool {
        self.ready.take(&mut self.waiting);
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut served = 0;
        for &slot in &waiting {
            if served >= CONNECTIONS_A_TURN || arrivals.arena.len() > BYTES_A_TURN {
                break;
            }
            served += 1;
            self.serve_one(now, slot, scratch, arrivals, counters);
        }
        waiting.drain(..served);
        self.waiting = waiting;
        let closed = self.closed.drain(..);
        arrivals
            .items
            .extend(closed.map(|flow| Arrival::Closed { flow }));
        !self.waiting.is_empty()
    }

    /// Closes what has been silent, slow or stalled for too long.
    pub(crate) fn enforce_limits(&mut self, now: Moment, counters: &mut Counters) {
        let overdue: Vec<(usize, Gone)> = self
            .connections
            .iter()
            .filter_map(|(slot, one)| Some((slot, one.overdue(now, &self.limits)?)))
            .collect();
        for (slot, gone) in overdue {
            self.remove(slot, gone, counters);
        }
    }

    /// Whether connections were closed that the caller has not heard of.
    pub(crate) fn has_news(&self) -> bool {
        !self.closed.is_empty()
    }

    fn serve_one(
        &mut self,
        now: Moment,
        slot: usize,
        scratch: &mut [u8],
        arrivals: &mut Arrivals,
        counters: &mut Counters,
    ) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let was_unproven = !connection.has_spoken();
        let served = connection.serve(now, scratch, arrivals, counters);
        if was_unproven && connection.has_spoken() {
            self.unproven.remove(&(connection.opened(), slot));
        }
        match served {
            Served::Again => connection.wake(),
            Served::Gone(gone) => self.remove(slot, gone, counters),
            Served::Waiting => {}
        }
    }

    /// The connection a flow names: slots are used again, generations are not.
    fn get(&mut self, flow: Flow) -> Option<(usize, &mut Connection)> {
        let slot = usize::try_from(flow.slot).ok()?;
        let connection = self.connections.get_mut(slot)?;
        (connection.flow() == flow).then_some((slot, connection))
    }

    fn next_flow(&mut self, listener: u8, remote: SocketAddr) -> Flow {
        self.generations = self.generations.wrapping_add(1);
        Flow {
            protocol: Protocol::Tcp,
            listener,
            remote,
            slot: slot_number(self.connections.vacant_key()),
            generation: self.generations,
        }
    }

    fn insert(&mut self, connection: Connection) {
        let (flow, opened) = (connection.flow(), connection.opened());
        // Served at once: its socket has never been asked, so nothing would wake it.
        connection.wake();
        let slot = self.connections.insert(connection);
        self.unproven.insert((opened, slot));
        self.by_remote.insert((flow.listener, flow.remote), slot);
    }

    fn make_room(&mut self, counters: &mut Counters) -> bool {
        if self.connections.len() < self.limits.connections {
            return true;
        }
        let Some(&(_, slot)) = self.unproven.first() else {
            return false;
        };
        counters.evicted += 1;
        let flow = self.forget(slot);
        self.report(flow);
        true
    }

    fn remove(&mut self, slot: usize, gone: Gone, counters: &mut Counters) {
        let counter = match gone {
            Gone::ByPeer => &mut counters.closed_by_peer,
            Gone::Framing => &mut counters.closed_framing,
            Gone::Silent => &mut counters.closed_silent,
            Gone::Slow => &mut counters.closed_slow,
            Gone::Stalled => &mut counters.closed_stalled,
            Gone::Unreachable => &mut counters.failed,
        };
        *counter += 1;
        let flow = self.forget(slot);
        self.report(flow);
    }

    /// The end of a connection is an arrival of the next turn, which it brings about.
    fn report(&mut self, flow: Option<Flow>) {
        self.closed.extend(flow);
        self.ready.wake_parent();
    }

    fn forget(&mut self, slot: usize) -> Option<Flow> {
        let connection = self.connections.try_remove(slot)?;
        let flow = connection.flow();
        self.unproven.remove(&(connection.opened(), slot));
        if let Some(address) = connection.source() {
            self.sources.leave(address);
        }
        let key = (flow.listener, flow.remote);
        if self.by_remote.get(&key) == Some(&slot) {
            self.by_remote.remove(&key);
        }
        Some(flow)
    }
}

async fn connect_from(
    from: Option<SocketAddr>,
    remote: SocketAddr,
    silence: Duration,
) -> std::io::Result<TcpStream> {
    let socket = if remote.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(from) = from.filter(|from| from.is_ipv4() == remote.is_ipv4()) {
        // From the listener's own address, any port.
        socket.bind(SocketAddr::new(from.ip(), 0))?;
    }
    watch(&SockRef::from(&socket), silence);
    socket.connect(remote).await
}

/// Has the system end a connection whose peer's machine acknowledges nothing for `silence`, be it
/// data or the question whether it is there. A system that cannot is left as it is.
fn watch(socket: &SockRef<'_>, silence: Duration) {
    if silence.is_zero() {
        return;
    }
    let asked = TcpKeepalive::new()
        .with_time(silence / 2)
        .with_interval(silence / 6)
        .with_retries(3);
    let _ = socket.set_tcp_keepalive(&asked);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(silence));
}

/// Another number each time, with no need to be unpredictable.
fn any_number() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn slot_number(slot: usize) -> u32 {
    u32::try_from(slot).expect("fewer connections than a flow can number")
}

/// Then datagrams have their turn.
const CONNECTIONS_A_TURN: usize = 256;
/// What streams may add to one turn, one connection's share apart.
const BYTES_A_TURN: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A socket that was opened and told of `silence`.
    fn watched(silence: Duration) -> std::net::TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        watch(&SockRef::from(&socket), silence);
        socket
    }

    #[test]
    fn a_silent_peer_is_asked_three_times_in_the_second_half() {
        let socket = watched(Duration::from_mins(1));
        let socket = SockRef::from(&socket);
        assert!(socket.keepalive().unwrap());
        let (half, tenth) = (Duration::from_secs(30), Duration::from_secs(10));
        assert_eq!(socket.tcp_keepalive_time().unwrap(), half);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), tenth);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        #[cfg(target_os = "linux")]
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_mins(1))
        );
    }

    #[test]
    fn without_a_bound_the_system_has_its_way() {
        let socket = watched(Duration::ZERO);
        assert!(!SockRef::from(&socket).keepalive().unwrap());
    }
}
