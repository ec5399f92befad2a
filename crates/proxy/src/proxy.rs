//! The proxy as the control loop holds it: threads, and what they are told.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;

use presently_nlb::Verdict;
use presently_sip::Moment;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::counters::{Counters, LaneCounters};
use crate::lane::{Lane, LaneSeed, Order, lane_of};
use crate::sources::Sources;
use crate::{Identify, Questions, Settings};

/// Says what moment it is; each thread asks it.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// A running proxy. Dropping it stops it at once.
#[derive(Debug)]
pub struct Proxy {
    addresses: Vec<SocketAddr>,
    lanes: Vec<Side>,
}

/// The control loop's side of one thread.
#[derive(Debug)]
struct Side {
    orders: mpsc::UnboundedSender<Order>,
    counters: Arc<LaneCounters>,
}

impl Proxy {
    /// Opens the listeners and starts `threads` threads, each with listeners of its own. Their
    /// `clock` is that of the control loop.
    ///
    /// # Errors
    ///
    /// A listener or a thread that could not be opened, also since another program listens there;
    /// nothing runs then.
    pub fn start(
        settings: Settings,
        identify: Arc<dyn Identify>,
        clock: Clock,
        threads: NonZeroU16,
    ) -> Result<(Self, Questions), StartError> {
        let (asking, questions) = Questions::new(settings.limits.waiting);
        let mut addresses: Vec<_> = settings.listeners.iter().map(|one| one.address).collect();
        check_free(&addresses)?;
        let seed = LaneSeed {
            settings: Arc::new(settings),
            identify,
            asking,
            counters: Arc::default(),
            sources: Arc::new(Sources::default()),
            clock,
            number: 0,
        };
        let mut proxy = Self {
            addresses: Vec::new(),
            lanes: Vec::new(),
        };
        for number in 0..threads.get() {
            let sockets = bind_all(&mut addresses)?;
            let seed = LaneSeed {
                counters: Arc::default(),
                number,
                ..seed.clone()
            };
            proxy.lanes.push(start_lane(seed, sockets)?);
        }
        proxy.addresses = addresses;
        Ok((proxy, questions))
    }

    /// Where the listeners are, in their order, once the system has chosen their ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Carries a verdict to its path; one for a path that is gone is dropped.
    pub fn tell(&self, verdict: Verdict) {
        let (Verdict::Admit { path, .. }
        | Verdict::Cut { path, .. }
        | Verdict::Refuse { path, .. }) = &verdict;
        let lane = usize::try_from(lane_of(*path)).ok();
        if let Some(lane) = lane.and_then(|number| self.lanes.get(number)) {
            // A thread that has ended has no paths.
            let _ = lane.orders.send(Order::Judge(verdict));
        }
    }

    /// What was carried and refused so far.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for lane in &self.lanes {
            lane.counters.add_to(&mut sum);
        }
        sum
    }

    /// Closes the listeners. Connections end as they become idle, and all of them after
    /// [`crate::Limits::drain`]; then [`Questions::next`] gives `None`. Stopping a second time ends
    /// them at once.
    pub fn stop(&self) {
        for lane in &self.lanes {
            let _ = lane.orders.send(Order::Stop);
        }
    }
}

/// The proxy could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener could not be opened.
    #[error("cannot listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A thread or its runtime could not be opened.
    #[error("cannot start a thread of the proxy")]
    Thread(#[source] io::Error),
}

/// Whether nobody listens at these yet. Sockets that share a port, as those of our threads do,
/// would share it with those of another process just as well, and each get a part of its clients.
fn check_free(addresses: &[SocketAddr]) -> Result<(), StartError> {
    let mut seen = BTreeSet::new();
    // A port that the system chooses is free.
    for &address in addresses.iter().filter(|address| address.port() != 0) {
        let bound = if seen.insert(address) {
            socket(address).and_then(|socket| socket.bind(address))
        } else {
            Err(io::ErrorKind::AddrInUse.into())
        };
        bound.map_err(|source| StartError::Listen { address, source })?;
    }
    Ok(())
}

/// One socket for each listener; a port the system chose is the next thread's as well.
fn bind_all(addresses: &mut [SocketAddr]) -> Result<Vec<TcpSocket>, StartError> {
    let sockets = addresses.iter_mut().map(|address| {
        let bound = bind(*address).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (local, socket) = bound.map_err(|source| StartError::Listen {
            address: *address,
            source,
        })?;
        *address = local;
        Ok(socket)
    });
    sockets.collect()
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = socket(address)?;
    // Each thread listens for itself: the system spreads connections, and no thread hands any over.
    socket.set_reuseport(true)?;
    // Accepted connections inherit it, which saves a call for each.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections of the process before us may linger; a listener of another is still refused.
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

fn start_lane(seed: LaneSeed, sockets: Vec<TcpSocket>) -> Result<Side, StartError> {
    // At most a verdict and a cut for each path, which are bounded.
    let (orders, told) = mpsc::unbounded_channel();
    let (ready, started) = std_mpsc::channel();
    let counters = Arc::clone(&seed.counters);
    let thread = std::thread::Builder::new().name(format!("proxy-{}", seed.number));
    let spawned = thread.spawn(move || run(seed, sockets, told, &ready));
    spawned.map_err(StartError::Thread)?;
    let started = started.recv().unwrap_or_else(|_| {
        let ended = io::Error::other("it ended at once");
        Err(StartError::Thread(ended))
    });
    started.map(|()| Side { orders, counters })
}

fn run(
    seed: LaneSeed,
    sockets: Vec<TcpSocket>,
    orders: mpsc::UnboundedReceiver<Order>,
    ready: &std_mpsc::Sender<Result<(), StartError>>,
) {
    let _vital = seed.asking.vital();
    let mut builder = Builder::new_current_thread();
    builder.enable_all().event_interval(EVENT_INTERVAL);
    let runtime = match builder.build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(source) => {
            let _ = ready.send(Err(StartError::Thread(source)));
            return;
        }
    };
    let _ = runtime.block_on(async {
        let addresses: Vec<_> = seed
            .settings
            .listeners
            .iter()
            .map(|one| one.address)
            .collect();
        let opened = sockets.into_iter().zip(addresses).map(|(socket, address)| {
            let listener = socket.listen(BACKLOG);
            listener.map_err(|source| StartError::Listen { address, source })
        });
        let opened: Result<Vec<TcpListener>, _> = opened.collect();
        match opened {
            Ok(listeners) => {
                ready.send(Ok(())).ok()?;
                Rc::new(Lane::new(seed)).serve(listeners, orders).await;
            }
            Err(error) => ready.send(Err(error)).ok()?,
        }
        Some(())
    });
}

/// Connections that wait to be taken; the system lowers it to its own limit.
const BACKLOG: u32 = 4096;
/// Tasks run between looks at the sockets. Each look is a system call, and brings all that is
/// ready.
const EVENT_INTERVAL: u32 = 61;
