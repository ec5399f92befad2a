//! Closed-loop load: requests over kept connections, a connection for each request, and tunnels
//! that echo messages.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::{Opening, header, open_session, read_head};
use crate::processes::cpu_s;

/// What the generator is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum, default_value = "http")]
    mode: Mode,
    #[arg(long, default_value = "127.0.0.1:18000")]
    to: SocketAddr,
    /// Connections at a time, each with a user of its own.
    #[arg(long, default_value_t = 64)]
    conns: usize,
    /// The size of an answer or a message.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 4.0)]
    secs: f64,
    /// Seconds before them.
    #[arg(long, default_value_t = 1.0)]
    warm_s: f64,
    /// The proxy's processes, whose CPU is counted.
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
    /// The demo servers' processes.
    #[arg(long, value_delimiter = ',')]
    apps: Vec<u32>,
    /// Processes beside the proxy whose CPU is told apart: a presence server's.
    #[arg(long, value_delimiter = ',')]
    beside: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Mode {
    /// A new connection for each request.
    Conn,
    /// Requests over kept connections.
    Http,
    /// Messages over raw TCP.
    Tcp,
    /// Messages over an upgraded connection.
    Ws,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Conn => "conn",
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Ws => "ws",
        }
    }
}

struct Plan {
    mode: Mode,
    to: SocketAddr,
    bytes: usize,
    start: Instant,
    end: Instant,
}

#[derive(Default)]
struct Tally {
    micros: Vec<u32>,
    errors: u64,
    first_error: Option<String>,
}

impl Tally {
    fn note(&mut self, plan: &Plan, began: Instant) {
        let now = Instant::now();
        if now >= plan.start && now < plan.end {
            self.micros.push((now - began).as_micros() as u32);
        }
    }

    fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    fn at(&self, share: f64) -> u32 {
        let last = self.micros.len().saturating_sub(1);
        let place = ((self.micros.len() as f64 * share) as usize).min(last);
        self.micros.get(place).copied().unwrap_or(0)
    }
}

/// Runs the load and prints what it cost.
pub(crate) async fn run(arguments: Arguments) {
    let start = Instant::now() + Duration::from_secs_f64(arguments.warm_s);
    let plan = Arc::new(Plan {
        mode: arguments.mode,
        to: arguments.to,
        bytes: arguments.bytes,
        start,
        end: start + Duration::from_secs_f64(arguments.secs),
    });
    let me = [std::process::id()];
    let spent = || {
        let groups = [&arguments.pids[..], &arguments.apps, &me, &arguments.beside];
        groups.map(cpu_s)
    };
    let workers = (0..arguments.conns).map(|place| tokio::spawn(worker(Arc::clone(&plan), place)));
    let workers: Vec<_> = workers.collect();
    tokio::time::sleep_until(plan.start.into()).await;
    let before = spent();
    tokio::time::sleep_until(plan.end.into()).await;
    let after = spent();
    let mut all = Tally::default();
    for worker in workers {
        match tokio::time::timeout(Duration::from_secs(5), worker).await {
            Ok(Ok(tally)) => all.add(tally),
            _ => all.errors += 1,
        }
    }
    all.micros.sort_unstable();
    let mut cpu = [0.0; 4];
    for (place, spent) in cpu.iter_mut().enumerate() {
        *spent = after[place] - before[place];
    }
    print(&arguments, &all, cpu);
}

fn print(arguments: &Arguments, all: &Tally, [proxy, app, generator, beside]: [f64; 4]) {
    let count = all.micros.len();
    let per = |spent: f64| spent * 1e6 / count.max(1) as f64;
    let secs = arguments.secs;
    let mebibytes = (count * arguments.bytes) as f64 / secs / 1_048_576.0;
    println!(
        "{{\"mode\":\"{}\",\"bytes\":{},\"ops\":{count},\"ops_s\":{:.0},\"mib_s\":{mebibytes:.1},\
         \"p50_us\":{},\"p99_us\":{},\"p999_us\":{},\"proxy_us\":{:.3},\"app_us\":{:.3},\
         \"gen_us\":{:.3},\"beside_us\":{:.3},\"proxy_cores\":{:.3},\"errors\":{},\
         \"first_error\":{:?}}}",
        arguments.mode.name(),
        arguments.bytes,
        count as f64 / secs,
        all.at(0.5),
        all.at(0.99),
        all.at(0.999),
        per(proxy),
        per(app),
        per(generator),
        per(beside),
        proxy / secs,
        all.errors,
        all.first_error.as_deref().unwrap_or_default()
    );
}

async fn worker(plan: Arc<Plan>, place: usize) -> Tally {
    let mut tally = Tally::default();
    while Instant::now() < plan.end {
        let outcome = match plan.mode {
            Mode::Conn => connections(&plan, place, &mut tally).await,
            Mode::Http => requests(&plan, place, &mut tally).await,
            Mode::Tcp | Mode::Ws => tunnel(&plan, place, &mut tally).await,
        };
        if let Err(error) = outcome {
            tally.errors += 1;
            tally.first_error.get_or_insert(error.to_string());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    tally
}

/// Connects from a loopback address of its own, so that closed connections never use up the ports.
async fn connect(plan: &Plan, place: usize) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let own = [127, 0, 1 + (place / 250) as u8, 1 + (place % 250) as u8];
    socket.bind(SocketAddr::from((own, 0)))?;
    let stream = socket.connect(plan.to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one answer: the cookie it sets, if any.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<String>> {
    buffer.clear();
    let length = read_head(stream, buffer).await?;
    let length = length.ok_or_else(|| Error::other("closed before the answer"))?;
    let head = &buffer[..length];
    if !head.starts_with(b"HTTP/1.1 200") {
        let start = &head[..head.len().min(40)];
        return Err(Error::other(String::from_utf8_lossy(start).into_owned()));
    }
    let body = header(head, "content-length").and_then(|it| it.parse::<usize>().ok());
    let body = body.ok_or_else(|| Error::other("no length"))?;
    let cookie = header(head, "set-cookie").and_then(|it| it.split(';').next());
    let cookie = cookie.map(str::to_owned);
    while buffer.len() < length + body {
        if stream.read_buf(buffer).await? == 0 {
            return Err(Error::other("body cut"));
        }
    }
    Ok(cookie)
}

async fn requests(plan: &Plan, place: usize, tally: &mut Tally) -> Result<()> {
    let mut stream = connect(plan, place).await?;
    let mut buffer = Vec::with_capacity(8192);
    let bytes = plan.bytes;
    let head = format!("GET /b/{bytes} HTTP/1.1\r\nHost: bench\r\nX-User: u{place}\r\n");
    let mut request = format!("{head}\r\n");
    while Instant::now() < plan.end {
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        if let Some(cookie) = answer(&mut stream, &mut buffer).await? {
            request = format!("{head}Cookie: {cookie}\r\n\r\n");
        }
        tally.note(plan, began);
    }
    Ok(())
}

async fn connections(plan: &Plan, place: usize, tally: &mut Tally) -> Result<()> {
    let mut buffer = Vec::with_capacity(8192);
    let bytes = plan.bytes;
    let request = format!(
        "GET /b/{bytes} HTTP/1.1\r\nHost: bench\r\nX-User: u{place}\r\nConnection: close\r\n\r\n"
    );
    while Instant::now() < plan.end {
        let began = Instant::now();
        let mut stream = connect(plan, place).await?;
        stream.write_all(request.as_bytes()).await?;
        answer(&mut stream, &mut buffer).await?;
        while stream.read_buf(&mut buffer).await? > 0 {}
        tally.note(plan, began);
    }
    Ok(())
}

async fn tunnel(plan: &Plan, place: usize, tally: &mut Tally) -> Result<()> {
    let mut stream = connect(plan, place).await?;
    let (user, session) = (format!("u{place}"), format!("u{place}.0"));
    let opening = Opening {
        kind: plan.mode.name(),
        user: &user,
        session: &session,
        cookie: "",
    };
    open_session(&mut stream, &opening).await?;
    let message = vec![b'm'; plan.bytes];
    let mut back = vec![0; plan.bytes];
    let (mut from, mut to) = stream.split();
    while Instant::now() < plan.end {
        let began = Instant::now();
        let (sent, got) = tokio::join!(to.write_all(&message), from.read_exact(&mut back));
        sent?;
        got?;
        tally.note(plan, began);
    }
    Ok(())
}
