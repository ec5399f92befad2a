//! The real nlb: its process, application servers behind it, and clients in front.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use presently::nlb::{SessionList, SessionRow, StepRow};
use presently_store::sqlite::Inline;
use presently_store::{Operation, Outcome, Session, Store, Ticket};

use super::process::{Process, presently, until};
use super::{Metrics, Place, http};

/// A process that runs `presently nlb`.
#[derive(Debug)]
pub struct Nlb {
    /// While it runs.
    pub process: Process,
    /// Where its clients come.
    pub http: SocketAddr,
    /// Its admin port.
    pub admin: SocketAddr,
    file: String,
}

impl Nlb {
    /// What a file says at the least: a free SIP port, its own store, users by `X-User`.
    pub fn settings(place: &Place, presence: SocketAddr, servers: &[&Application]) -> String {
        let sip = free_address();
        let store = place.path("nlb.db").display().to_string();
        let head = format!(
            "domain = \"example.com\"\npresence = \"udp:{presence}\"\nsip = \"{sip}\"\n\
             store = \"sqlite:{store}\"\nadmin = \"127.0.0.1:0\"\nthreads = 1\n\
             user = [{{ header = \"X-User\" }}]\n\
             [[listen]]\nkind = \"http\"\naddress = \"127.0.0.1:0\"\n\
             [health]\nevery_ms = 50\nfall = 2\n[decision]\nusing_ms = 1000\n\
             [refresh]\nprobe_ms = 300\n"
        );
        head + &Self::servers(servers)
    }

    /// The part of a file that names `servers`.
    pub fn servers(servers: &[&Application]) -> String {
        let tables = servers.iter().map(|server| {
            let Application { name, address, .. } = server;
            format!("[[server]]\nname = \"{name}\"\naddress = \"{address}\"\nslots = 10\n")
        });
        tables.collect()
    }

    /// Starts one with these settings and waits until it is ready.
    pub fn start(place: &Place, settings: &str) -> Self {
        let file = place.write("nlb.toml", settings);
        let (process, http, admin) = spawn(&file);
        let nlb = Self {
            process,
            http,
            admin,
            file,
        };
        nlb.until_ready(200);
        nlb
    }

    /// Starts it again after its end, with the same file.
    pub fn restart(&mut self) {
        (self.process, self.http, self.admin) = spawn(&self.file);
        self.until_ready(200);
    }

    /// Waits until `/readyz` answers with `status`.
    pub fn until_ready(&self, status: u16) {
        until(&format!("readiness {status}"), WITHIN, || {
            http(self.admin, "/readyz").filter(|(found, _)| *found == status)
        });
    }

    /// Its file's path.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where its clients come, in the order of its listeners.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        let said = self.process.said();
        let listeners = said.iter().filter_map(|line| address_of(line, "clients"));
        listeners.collect()
    }

    /// Its rows in its own store.
    pub fn records(&self) -> Vec<Session> {
        let folder = Path::new(&self.file).parent();
        let path = folder.expect("it is in a directory").join("nlb.db");
        let mut store = Inline::open_to_read(&path).expect("the nlb made it");
        let nlb = "nlb1".into();
        store.submit(&mut vec![(
            Ticket(0),
            Operation::Sessions { nlb, after: None },
        )]);
        let mut done = Vec::new();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = store.poll(&mut cx, &mut done);
        match done.pop().expect("it is inline").result {
            Ok(Outcome::Sessions(rows)) => rows,
            other => panic!("{other:?}"),
        }
    }

    /// What `/sessions` says.
    pub fn sessions(&self) -> SessionList {
        let (status, body) = http(self.admin, "/sessions").expect("the admin port answers");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("it is a list")
    }

    /// The session of the user called `name`.
    pub fn session(&self, name: &str) -> Option<SessionRow> {
        let user = format!("sip:{name}@example.com");
        let mut rows = self.sessions().sessions.into_iter();
        // A session that is being given back may stand before the one that began anew.
        rows.rfind(|row| row.user == user)
    }

    /// What `/steps` says of the user called `name`.
    pub fn steps(&self, name: &str) -> Vec<StepRow> {
        let path = format!("/steps?user=:{name}@");
        let (status, body) = http(self.admin, &path).expect("the admin port answers");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("it is a list")
    }

    /// Waits until the user called `name` has made `expected` steps, in this order, whatever came
    /// between.
    pub fn until_steps(&self, name: &str, expected: &[&str]) {
        let mut seen = Vec::new();
        let end = std::time::Instant::now() + WITHIN;
        while !is_in_order(&seen, expected) {
            assert!(std::time::Instant::now() < end, "{expected:?} in {seen:?}");
            seen = self.steps(name).into_iter().map(|row| row.step).collect();
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// What `/metrics` says.
    pub fn metrics(&self) -> Metrics {
        Metrics::of(self.admin)
    }
}

/// An address that nobody has, over UDP and TCP, and that nobody is given: below the ports that the
/// system gives out.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |at: &SocketAddr| UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok();
    let mut candidates = std::iter::from_fn(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() * 64;
        let port = 20_000 + number % 12_000;
        Some(([127, 0, 0, 1], u16::try_from(port).ok()?).into())
    });
    let found = candidates.by_ref().take(12_000).find(is_free);
    found.expect("a free port")
}

fn is_in_order(seen: &[String], expected: &[&str]) -> bool {
    let mut expected = expected.iter().peekable();
    for step in seen {
        expected.next_if(|expected| **expected == step);
    }
    expected.peek().is_none()
}

fn spawn(file: &str) -> (Process, SocketAddr, SocketAddr) {
    let mut process = Process::spawn(&mut presently(["nlb", "--config", file, "-v"]));
    let http = process.hear("a listener", |line| address_of(line, "clients"));
    let admin = process.hear("an admin port", |line| {
        let url = line.trim().strip_prefix("admin    http://")?;
        url.strip_suffix("/metrics")?.parse().ok()
    });
    (process, http, admin)
}

/// The address that a line of the summary names behind `word`.
fn address_of(line: &str, word: &str) -> Option<SocketAddr> {
    line.trim().strip_prefix(word)?.trim().parse().ok()
}

/// An application server: greets an upgraded connection with its name and echoes its lines; counts
/// who is there.
#[derive(Debug)]
pub struct Application {
    /// Its name.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    live: Arc<Mutex<BTreeMap<String, usize>>>,
    is_dead: Arc<AtomicBool>,
}

impl Application {
    /// Starts one.
    pub fn start(name: &'static str) -> Self {
        Self::start_with(name, |_| {})
    }

    /// Starts one that says whom each request is from, before it does anything about it.
    pub fn start_with(name: &'static str, asked: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let application = Self {
            name,
            address: listener.local_addr().expect("it is bound"),
            live: Arc::default(),
            is_dead: Arc::default(),
        };
        let (live, is_dead) = (
            Arc::clone(&application.live),
            Arc::clone(&application.is_dead),
        );
        let asked = Arc::new(asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_dead.load(Ordering::Relaxed) {
                    return;
                }
                let (live, is_dead) = (Arc::clone(&live), Arc::clone(&is_dead));
                let asked = Arc::clone(&asked);
                thread::spawn(move || serve(stream, name, &*asked, &live, &is_dead));
            }
        });
        application
    }

    /// How many connections of the user called `name` are open.
    pub fn live(&self, name: &str) -> usize {
        let live = self.live.lock().expect("nobody panics with it");
        live.get(name).copied().unwrap_or(0)
    }

    /// Closes everything at once, as a process that is killed.
    pub fn die(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
        // So that the thread that takes connections looks.
        drop(TcpStream::connect(self.address));
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.die();
    }
}

fn serve(
    stream: TcpStream,
    name: &str,
    asked: &dyn Fn(&str),
    live: &Mutex<BTreeMap<String, usize>>,
    is_dead: &AtomicBool,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let head = read_head(&mut reader)?;
        let header = |wanted: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(key, _)| key.eq_ignore_ascii_case(wanted))
        };
        let user = header("x-user").map_or("", |(_, value)| value).to_owned();
        asked(&user);
        if header("upgrade").is_none() {
            let length = name.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
            stream.write_all(answer.as_bytes()).ok()?;
            continue;
        }
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";
        stream
            .write_all(format!("{answer}{name}\n").as_bytes())
            .ok()?;
        *live.lock().ok()?.entry(user.clone()).or_default() += 1;
        echo(&mut stream, is_dead);
        *live.lock().ok()?.entry(user).or_default() -= 1;
        return None;
    }
}

/// Echoes until the connection ends, or the server does.
fn echo(stream: &mut TcpStream, is_dead: &AtomicBool) {
    let mut buffer = [0; 1_024];
    let _ = stream.set_read_timeout(Some(Duration::from_millis(10)));
    while !is_dead.load(Ordering::Relaxed) {
        let length = match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        if stream
            .write_all(buffer.get(..length).unwrap_or_default())
            .is_err()
        {
            return;
        }
    }
}

/// A client with an upgraded connection.
#[derive(Debug)]
pub struct Guest {
    stream: BufReader<TcpStream>,
    /// The application server, as it says itself.
    pub server: String,
}

impl Guest {
    /// Asks for an upgrade at `nlb` as the user called `name`; the status when that is refused.
    pub fn open(nlb: SocketAddr, name: &str, uuid: Option<&str>) -> Result<Self, u16> {
        let uuid = uuid.map_or_else(String::new, |uuid| format!("Presently-Session: {uuid}\r\n"));
        Self::ask(nlb, "/desk", &format!("X-User: {name}\r\n{uuid}"))
    }

    /// Asks for an upgrade of `target` with these headers, a line each.
    pub fn ask(nlb: SocketAddr, target: &str, headers: &str) -> Result<Self, u16> {
        Self::behind(nlb, b"", target, headers).expect("an answer")
    }

    /// As [`Guest::open`], over a listener of raw TCP and behind `opening`; `None` when the
    /// connection is closed without an answer.
    pub fn try_open(nlb: SocketAddr, opening: &[u8]) -> Option<Self> {
        Self::behind(nlb, opening, "/desk", "")?.ok()
    }

    fn behind(
        nlb: SocketAddr,
        opening: &[u8],
        target: &str,
        headers: &str,
    ) -> Option<Result<Self, u16>> {
        let stream = TcpStream::connect(nlb).expect("the nlb listens");
        let timeout = stream.set_read_timeout(Some(WITHIN));
        timeout.expect("a socket can");
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {nlb}\r\n{headers}Upgrade: echo\r\n\
             Connection: Upgrade\r\n\r\n"
        );
        let bytes = [opening, request.as_bytes()].concat();
        let mut stream = BufReader::new(stream);
        stream.get_mut().write_all(&bytes).ok()?;
        let head = read_head(&mut stream)?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        match status.expect("a status") {
            101 => {}
            status => return Some(Err(status)),
        }
        let mut server = String::new();
        stream.read_line(&mut server).expect("the server greets");
        let server = server.trim().to_owned();
        Some(Ok(Self { stream, server }))
    }

    /// Says a line and waits for its echo; false when the connection has ended.
    pub fn echo(&mut self) -> bool {
        let mut line = String::new();
        let said = self.stream.get_mut().write_all(b"hello\n");
        said.is_ok() && self.stream.read_line(&mut line).is_ok() && line == "hello\n"
    }

    /// Waits until the other side has closed the connection.
    pub fn until_closed(&mut self) {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        let is_reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(read.as_ref().map_or_else(is_reset, |_| true), "{read:?}");
    }
}

fn read_head(stream: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

const WITHIN: Duration = Duration::from_secs(15);
