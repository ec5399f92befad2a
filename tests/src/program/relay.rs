//! A relay between members: takes the datagrams for one of them and passes them on, lost,
//! repeated, late and out of order as asked.

use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What a relay does to each datagram: chances in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// It is gone.
    pub lost: u8,
    /// It comes twice.
    pub repeated: u8,
    /// It waits up to `delay`, so that others overtake it.
    pub delayed: u8,
    /// The longest wait.
    pub delay: Duration,
}

/// What a relay has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relayed {
    /// Datagrams passed on, a repeated one twice.
    pub passed: u64,
    /// Datagrams that went no further.
    pub lost: u64,
}

/// A relay in front of one member's out-of-band socket; ends with the value.
#[derive(Debug)]
pub struct Relay {
    at: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    trouble: Trouble,
    to: Option<SocketAddr>,
    relayed: Relayed,
    is_over: bool,
}

/// A datagram that waits; the earliest is the greatest.
#[derive(Debug, Eq, PartialEq)]
struct Late(Instant, Vec<u8>);

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.cmp(&self.0).then_with(|| other.1.cmp(&self.1))
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Relay {
    /// A relay that drops everything until it is told where to pass it.
    pub fn start(seed: u64) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.set_read_timeout(Some(LOOK_EVERY)).expect("not zero");
        let at = socket.local_addr().expect("it is bound");
        let state = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || pass(&socket, &shared, &mut fastrand::Rng::with_seed(seed)));
        Self { at, state }
    }

    /// Where the others are to send to.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// Passes datagrams on to `to` from now on.
    pub fn aim(&self, to: SocketAddr) {
        self.change(|state| state.to = Some(to));
    }

    /// Treats datagrams like this from now on.
    pub fn trouble(&self, trouble: Trouble) {
        self.change(|state| state.trouble = trouble);
    }

    /// What it has done so far.
    pub fn relayed(&self) -> Relayed {
        self.change(|state| state.relayed)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().expect("nobody panics here"))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.change(|state| state.is_over = true);
    }
}

fn pass(socket: &UdpSocket, state: &Mutex<State>, random: &mut fastrand::Rng) {
    let mut waiting: BinaryHeap<Late> = BinaryHeap::new();
    let mut buffer = [0; 2_048];
    loop {
        let arrived = socket.recv_from(&mut buffer).ok();
        let now = Instant::now();
        let mut state = state.lock().expect("nobody panics here");
        if state.is_over {
            return;
        }
        if let Some((length, _)) = arrived {
            let datagram = buffer.get(..length).expect("it was read into it");
            let is = |chance: u8, random: &mut fastrand::Rng| random.u8(..100) < chance;
            let trouble = state.trouble;
            let copies = match (is(trouble.lost, random), is(trouble.repeated, random)) {
                (true, _) => 0,
                (false, true) => 2,
                (false, false) => 1,
            };
            state.relayed.lost += u64::from(copies == 0);
            for _ in 0..copies {
                let wait = if is(trouble.delayed, random) {
                    trouble.delay.mul_f64(random.f64())
                } else {
                    Duration::ZERO
                };
                waiting.push(Late(now + wait, datagram.to_vec()));
            }
        }
        while waiting.peek().is_some_and(|late| late.0 <= now) {
            let (Some(Late(_, datagram)), Some(to)) = (waiting.pop(), state.to) else {
                continue;
            };
            // Nobody there is as good as lost.
            let sent = socket.send_to(&datagram, to).is_ok();
            state.relayed.passed += u64::from(sent);
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(2);
