//! Phones over real sockets: an agent each, driven without threads.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use presently_agent::{Agent, Config, Event, Outputs, SubscriptionId, pidf, read_pidf};
use presently_sip::{Moment, Now, Protocol, WallTime};

use super::Member;
use super::pool::aor;
use super::wire::whole;

/// Phones that live side by side: while one is waited for, the others answer too.
#[derive(Debug, Default)]
pub struct Town {
    /// In the order they came.
    pub phones: Vec<Phone>,
}

/// One phone.
#[derive(Debug)]
pub struct Phone {
    /// What happened to it.
    pub events: Vec<Event>,
    /// Every message it was sent, with who sent it.
    pub heard: Vec<(SocketAddr, String)>,
    /// Its user.
    pub user: String,
    agent: Agent,
    line: Line,
    out: Outputs,
    started: Instant,
}

#[derive(Debug)]
enum Line {
    Tcp { stream: TcpStream, read: Vec<u8> },
    Udp { socket: UdpSocket, pool: SocketAddr },
}

impl Town {
    /// A phone of `user` over UDP.
    pub fn udp(&mut self, user: &str, pool: SocketAddr) -> usize {
        let host = if pool.is_ipv6() { "::1" } else { "127.0.0.1" };
        self.udp_at(user, pool, host)
    }

    /// A phone of `user` over UDP whose address is `host`, one of this machine's.
    pub fn udp_at(&mut self, user: &str, pool: SocketAddr, host: &str) -> usize {
        let host: IpAddr = host.parse().expect("an address");
        let socket = UdpSocket::bind((host, 0)).expect("a free port");
        let at = socket.local_addr().expect("it is bound");
        socket.set_nonblocking(true).expect("a socket can");
        self.add(user, Protocol::Udp, at, Line::Udp { socket, pool })
    }

    /// A phone of `user` over TCP.
    pub fn tcp(&mut self, user: &str, pool: SocketAddr) -> usize {
        let stream = TcpStream::connect(pool).expect("the pool listens");
        let at = stream.local_addr().expect("it is connected");
        stream.set_nonblocking(true).expect("a socket can");
        let read = Vec::new();
        self.add(user, Protocol::Tcp, at, Line::Tcp { stream, read })
    }

    fn add(&mut self, user: &str, protocol: Protocol, at: SocketAddr, line: Line) -> usize {
        // Its own port is enough to tell it from the others.
        let seed = u64::from(at.port());
        let config = Config::new(aor(user), protocol, &at.to_string(), seed);
        self.phones.push(Phone {
            events: Vec::new(),
            heard: Vec::new(),
            user: user.to_owned(),
            agent: Agent::new(config),
            line,
            out: Outputs::default(),
            started: Instant::now(),
        });
        self.phones.len() - 1
    }

    /// The phone at `place`.
    pub fn phone(&mut self, place: usize) -> &mut Phone {
        self.phones.get_mut(place).expect("it was added")
    }

    /// Registers the phone at `place` and waits for the answer.
    pub fn register(&mut self, place: usize) {
        self.phone(place).register(600);
        self.until("registered", |town| {
            let phone = town.phone(place);
            phone.saw(|event| matches!(event, Event::Registered { .. }))
        });
    }

    /// Subscribes the phone at `place` to `user` and waits for the first state.
    pub fn watch(&mut self, place: usize, user: &str) -> SubscriptionId {
        let id = self.phone(place).subscribe(user, 600);
        self.until("a first NOTIFY", |town| {
            town.phone(place).shows(id).is_some()
        });
        id
    }

    /// Publishes for the phone at `place` and waits for the answer.
    pub fn publish(&mut self, place: usize, open: bool, note: &str) {
        let phone = self.phone(place);
        let is_answer = |event: &Event| matches!(event, Event::Published { .. });
        let before = phone.count(is_answer);
        phone.publish(open, note);
        self.until("published", |town| {
            town.phone(place).count(is_answer) > before
        });
    }

    /// A user who logs on with a phone over UDP: registers, and says that somebody is there.
    pub fn log_on(&mut self, user: &str, pool: SocketAddr) -> usize {
        let phone = self.udp(user, pool);
        self.register(phone);
        self.publish(phone, true, "here");
        phone
    }

    /// The phone at `place` takes back what it said and its registration, and waits for the answer.
    pub fn log_off(&mut self, place: usize) {
        self.phone(place).ask(|agent, now, out| {
            agent.unpublish(now, "presence", out);
            agent.unregister(now, out);
        });
        self.until("logged off", |town| {
            let gone = |event: &Event| matches!(event, Event::Unregistered);
            town.phone(place).saw(gone)
        });
    }

    /// Waits until the phone at `place` shows `open` and `note`.
    pub fn until_shown(&mut self, place: usize, id: SubscriptionId, open: bool, note: &str) {
        let expected = Some((open, note.to_owned()));
        self.until(note, |town| town.phone(place).shows(id) == expected);
    }

    /// Lets everybody live until `is_done`; panics when that takes too long.
    pub fn until(&mut self, what: &str, mut is_done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + WITHIN;
        loop {
            let is_busy = self.turn();
            if is_done(self) {
                return;
            }
            let tell = || {
                let tell = |phone: &Phone| format!("{}: {:?}\n", phone.user, phone.events.last());
                self.phones.iter().map(tell).collect::<String>()
            };
            assert!(
                Instant::now() < end,
                "{what}: not within {WITHIN:?}\n{}",
                tell()
            );
            if !is_busy {
                thread::park_timeout(Duration::from_millis(1));
            }
        }
    }

    /// Lets everybody live for `span`.
    pub fn live(&mut self, span: Duration) {
        let end = Instant::now() + span;
        self.until("time to pass", |_| Instant::now() >= end);
    }

    pub(super) fn turn(&mut self) -> bool {
        // All of them, not only up to the first that is busy.
        self.phones
            .iter_mut()
            .fold(false, |is_busy, phone| is_busy | phone.turn())
    }
}

impl Phone {
    /// Lets `work` ask the agent for something, and sends what comes of it.
    pub fn ask<T>(&mut self, work: impl FnOnce(&mut Agent, Now, &mut Outputs) -> T) -> T {
        let now = self.now();
        let answer = work(&mut self.agent, now, &mut self.out);
        self.flush();
        answer
    }

    /// Asks to be registered; 0 to be forgotten.
    pub fn register(&mut self, expires_secs: u32) {
        self.ask(|agent, now, out| agent.register(now, expires_secs, out));
    }

    /// Asks to be told of `user`.
    pub fn subscribe(&mut self, user: &str, expires_secs: u32) -> SubscriptionId {
        let target = aor(user);
        let accept = ["application/pidf+xml"];
        self.ask(|agent, now, out| {
            agent.subscribe(now, &target, "presence", expires_secs, &accept, out)
        })
    }

    /// Publishes a document.
    pub fn publish(&mut self, open: bool, note: &str) {
        let body = pidf(&aor(&self.user), open, Some(note));
        self.ask(|agent, now, out| {
            agent.publish(now, "presence", "application/pidf+xml", body, 600, out);
        });
    }

    /// Closes its connection, as a phone does that loses its network.
    pub fn hang_up(&mut self) {
        if let Line::Tcp { stream, .. } = &self.line {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Sends to `pool` from now on: over a new connection, or by datagrams.
    pub fn turn_to(&mut self, pool: SocketAddr) {
        match &mut self.line {
            Line::Tcp { stream, read } => {
                *stream = TcpStream::connect(pool).expect("the pool listens");
                stream.set_nonblocking(true).expect("a socket can");
                read.clear();
            }
            Line::Udp { pool: held, .. } => *held = pool,
        }
    }

    /// Whether an event such as this has come.
    pub fn saw(&self, is_it: impl FnMut(&Event) -> bool) -> bool {
        self.events.iter().any(is_it)
    }

    /// How many events such as this have come.
    pub fn count(&self, mut is_it: impl FnMut(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is_it(event)).count()
    }

    /// What the last NOTIFY of `id` said: open or not, and the notes.
    pub fn shows(&self, id: SubscriptionId) -> Option<(bool, String)> {
        let body = self.events.iter().rev().find_map(|event| match event {
            Event::Notified(told) if told.id == id && !told.body.is_empty() => Some(&told.body),
            _ => None,
        })?;
        read_pidf(body).map(|(open, notes)| (open, notes.join(" ")))
    }

    /// How many NOTIFYs `id` had.
    pub fn notified(&self, id: SubscriptionId) -> usize {
        self.count(|event| matches!(event, Event::Notified(told) if told.id == id))
    }

    /// Sends to `balancer` from now on, over TCP by a new connection, and refreshes what it has.
    pub fn move_to(&mut self, balancer: &Member) {
        match &mut self.line {
            Line::Tcp { stream, read } => {
                let to = balancer.listener("tcp");
                *stream = TcpStream::connect(to).expect("the balancer listens");
                stream.set_nonblocking(true).expect("a socket can");
                read.clear();
            }
            Line::Udp { pool, .. } => *pool = balancer.listener("udp"),
        }
        self.ask(|agent, now, out| agent.handle_flow_lost(now, out));
    }

    /// Sends to `balancer` from now on, if it is a phone over UDP.
    pub fn led_to(&mut self, balancer: &Member) {
        if let Line::Udp { pool, .. } = &mut self.line {
            *pool = balancer.listener("udp");
        }
    }

    fn now(&self) -> Now {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            moment: Moment(micros(self.started.elapsed())),
            wall: WallTime(micros(wall.unwrap_or_default())),
        }
    }

    fn turn(&mut self) -> bool {
        let mut is_busy = false;
        while let Some((from, bytes)) = self.line.receive() {
            is_busy = true;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.heard.push((from, text));
            let now = self.now();
            self.agent.handle_message(now, &bytes, &mut self.out);
        }
        let now = self.now();
        if self
            .agent
            .poll_timeout()
            .is_some_and(|due| due <= now.moment)
        {
            self.agent.handle_timeout(now, &mut self.out);
        }
        self.flush();
        is_busy
    }

    fn flush(&mut self) {
        for message in self.out.datagrams.drain(..) {
            self.line.send(&message);
        }
        self.events.append(&mut self.out.events);
    }
}

impl Line {
    fn send(&mut self, message: &[u8]) {
        match self {
            // Nobody there for a moment is as good as lost: the agent repeats it.
            Self::Udp { socket, pool } => drop(socket.send_to(message, *pool)),
            Self::Tcp { stream, .. } => {
                let mut rest = message;
                while !rest.is_empty() {
                    match stream.write(rest) {
                        Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                        Err(_) => return,
                    }
                }
            }
        }
    }

    fn receive(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let mut buffer = [0; 65_536];
        match self {
            Self::Udp { socket, .. } => {
                let (length, from) = socket.recv_from(&mut buffer).ok()?;
                Some((from, buffer.get(..length)?.to_vec()))
            }
            Self::Tcp { stream, read } => {
                if let Ok(length) = stream.read(&mut buffer) {
                    read.extend_from_slice(buffer.get(..length)?);
                }
                let from = stream.peer_addr().ok()?;
                Some((from, whole(read)?))
            }
        }
    }
}

const WITHIN: Duration = Duration::from_secs(15);
