//! One thread of the proxy: its listeners, its connections, and what they share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use presently_nlb::{PathId, Verdict};
use presently_sip::Moment;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;

use crate::ask::Asking;
use crate::conn::Conn;
use crate::counters::LaneCounters;
use crate::slots::Slots;
use crate::sources::Sources;
use crate::upstream::Pool;
use crate::{Carries, Clock, Identify, Limits, Listener, Settings};
use crate::{http, tcp};

/// What all connections of one thread share.
pub(crate) struct Lane {
    pub(crate) settings: Arc<Settings>,
    pub(crate) identify: Arc<dyn Identify>,
    pub(crate) asking: Asking,
    pub(crate) paths: RefCell<HashMap<PathId, Rc<Conn>>>,
    pub(crate) pool: Pool,
    pub(crate) counters: Arc<LaneCounters>,
    /// What one read of a tunnel goes through.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// What identifies the request at hand.
    pub(crate) marks: RefCell<Vec<u8>>,
    sources: Arc<Sources>,
    conns: RefCell<Slots<Rc<Conn>>>,
    room: Notify,
    emptied: Notify,
    clock: Clock,
    now: Cell<Moment>,
    number: u16,
    paths_made: Cell<u64>,
}

/// What a thread is started with.
#[derive(Clone)]
pub(crate) struct LaneSeed {
    pub(crate) settings: Arc<Settings>,
    pub(crate) identify: Arc<dyn Identify>,
    pub(crate) asking: Asking,
    pub(crate) counters: Arc<LaneCounters>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) clock: Clock,
    pub(crate) number: u16,
}

/// What the control loop tells a thread.
#[derive(Debug)]
pub(crate) enum Order {
    /// What becomes of a path.
    Judge(Verdict),
    /// To take no more connections, and to end as they do.
    Stop,
}

impl Lane {
    pub(crate) fn new(seed: LaneSeed) -> Self {
        let scratch = vec![0; seed.settings.limits.tunnel_bytes.max(1)];
        let lane = Self {
            identify: seed.identify,
            asking: seed.asking,
            paths: RefCell::default(),
            pool: Pool::default(),
            counters: seed.counters,
            scratch: RefCell::new(scratch.into_boxed_slice()),
            marks: RefCell::default(),
            sources: seed.sources,
            conns: RefCell::default(),
            room: Notify::new(),
            emptied: Notify::new(),
            clock: seed.clock,
            now: Cell::default(),
            number: seed.number,
            paths_made: Cell::new(0),
            settings: seed.settings,
        };
        lane.read_clock();
        lane
    }

    /// Serves until it is told to stop and its connections have ended, or their time is over.
    pub(crate) async fn serve(
        self: Rc<Self>,
        listeners: Vec<TcpListener>,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) {
        let accepting = (0..).zip(listeners).map(|(place, listener)| {
            let lane = Rc::clone(&self);
            spawn_local(async move { lane.accept(place, listener).await })
        });
        let accepting: Vec<_> = accepting.collect();
        let sweeping = spawn_local(Rc::clone(&self).sweep());
        while let Some(Order::Judge(verdict)) = orders.recv().await {
            self.judge(&verdict);
        }
        for task in accepting {
            task.abort();
        }
        self.for_each(|conn| conn.stop());
        let drain = tokio::time::sleep(self.limits().drain);
        tokio::pin!(drain);
        while self.conns.borrow().len() > 0 {
            tokio::select! {
                () = self.emptied.notified() => {}
                () = &mut drain => break,
                order = orders.recv() => match order {
                    Some(Order::Judge(verdict)) => self.judge(&verdict),
                    // Stopped twice, or nobody is there to say more: at once.
                    Some(Order::Stop) | None => break,
                },
            }
        }
        sweeping.abort();
        // Connections and their thread hold each other: without this neither would be given back.
        let conns = self.conns.take();
        for conn in conns.iter() {
            conn.end();
            conn.leave();
        }
    }

    fn judge(&self, verdict: &Verdict) {
        let (Verdict::Admit { path, .. }
        | Verdict::Cut { path, .. }
        | Verdict::Refuse { path, .. }) = verdict;
        let conn = self.paths.borrow().get(path).map(Rc::clone);
        if let Some(conn) = conn {
            conn.take(verdict);
        }
    }

    /// Takes connections of one listener, as long as there is room.
    async fn accept(self: Rc<Self>, place: usize, listener: TcpListener) {
        let _vital = self.asking.vital();
        loop {
            while self.conns.borrow().len() >= self.limits().connections {
                self.room.notified().await;
            }
            if let Ok((stream, peer)) = listener.accept().await {
                self.open(place, stream, peer);
                continue;
            }
            // Out of descriptors, most likely: asking again at once would only spin.
            LaneCounters::add(&self.counters.accept_failed);
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }

    fn open(self: &Rc<Self>, place: usize, stream: TcpStream, peer: SocketAddr) {
        self.read_clock();
        LaneCounters::add(&self.counters.accepted);
        let is_trusted = self.trusts(peer);
        let most = self.limits().per_source;
        if !is_trusted && !self.sources.enter(peer.ip(), most) {
            LaneCounters::add(&self.counters.crowded);
            return;
        }
        let conn = Rc::new(Conn::new(Rc::clone(self), peer));
        let slot = self.conns.borrow_mut().insert(Rc::clone(&conn));
        let room = Room {
            slot,
            source: (!is_trusted).then(|| peer.ip()),
            conn,
        };
        spawn_local(async move {
            let conn = &room.conn;
            if let Some(listener) = conn.lane.settings.listeners.get(place) {
                conn.run(carry(conn, listener, stream)).await;
            }
        });
    }

    fn close(&self, slot: usize) {
        let mut conns = self.conns.borrow_mut();
        conns.remove(slot);
        LaneCounters::add(&self.counters.closed);
        self.room.notify_one();
        if conns.len() == 0 {
            self.emptied.notify_one();
        }
    }

    /// Looks at everyone's time, which are seconds: no connection needs a timer of its own.
    async fn sweep(self: Rc<Self>) {
        let _vital = self.asking.vital();
        let mut interval = tokio::time::interval(SWEEP);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.read_clock();
            let now = self.now();
            self.for_each(|conn| conn.check_time(now));
            self.pool.expire(now, self.limits().pooled_idle);
        }
    }

    fn for_each(&self, mut act: impl FnMut(&Rc<Conn>)) {
        // Ending one may wake, never run, another: nothing is taken out meanwhile.
        for conn in self.conns.borrow().iter() {
            act(conn);
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// Whether this address may speak for others.
    pub(crate) fn trusts(&self, address: SocketAddr) -> bool {
        let mut trusted = self.settings.trusted.iter();
        trusted.any(|network| network.contains(address.ip()))
    }

    pub(crate) fn next_path(&self) -> PathId {
        let made = self.paths_made.get() + 1;
        self.paths_made.set(made);
        PathId(u64::from(self.number) << PATH_BITS | made)
    }

    /// The moment as last read: once each time a task runs.
    pub(crate) fn now(&self) -> Moment {
        self.now.get()
    }

    pub(crate) fn read_clock(&self) {
        self.now.set((self.clock)());
    }
}

/// What a connection takes up, given back when its task ends: also by a panic, which costs this
/// connection and no other.
struct Room {
    conn: Rc<Conn>,
    slot: usize,
    /// The address that has one connection more by this one.
    source: Option<IpAddr>,
}

impl Drop for Room {
    fn drop(&mut self) {
        // Where the path has left must be known before the connection's room is free.
        self.conn.leave();
        let lane = &self.conn.lane;
        lane.close(self.slot);
        if let Some(source) = self.source {
            lane.sources.leave(source);
        }
    }
}

async fn carry(conn: &Rc<Conn>, listener: &Listener, stream: TcpStream) {
    match &listener.carries {
        Carries::Http => http::serve(conn, listener, stream).await,
        Carries::Tcp { first_word } => {
            tcp::serve(conn, listener, first_word.as_deref(), stream).await;
        }
    }
}

/// The thread whose path this is.
pub(crate) fn lane_of(path: PathId) -> u64 {
    path.0 >> PATH_BITS
}

/// Paths of one thread: enough for a million a second over centuries.
const PATH_BITS: u32 = 48;
/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between looks at the times of all connections.
const SWEEP: Duration = Duration::from_millis(500);
