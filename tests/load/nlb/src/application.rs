//! The demo application server: HTTP/1.1 with keep-alive, an upgrade that echoes, raw TCP that
//! echoes; one slot for each live session, and a log of when it was taken and given back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::http::{header, read_head};
use crate::wall::now_ms;

/// What the server is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What it calls itself in `X-Server` and in its log.
    #[arg(long, default_value = "s1")]
    name: String,
    #[arg(long, default_value = "127.0.0.1:18101")]
    http: SocketAddr,
    #[arg(long, default_value = "127.0.0.1:18201")]
    tcp: SocketAddr,
    /// For balancers that know one address of a server: HTTP, or raw TCP if it begins like that.
    #[arg(long, default_value = "127.0.0.1:18301")]
    both: SocketAddr,
    /// A line for each session that opens or closes.
    #[arg(long, default_value = "/dev/null")]
    log: PathBuf,
    /// Pings a session after so many seconds of silence; 0 never.
    #[arg(long, default_value_t = 0.0)]
    ping_s: f64,
}

struct App {
    name: String,
    ping: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    live: BTreeMap<String, u32>,
    log: BufWriter<File>,
}

/// One occupied slot: logged when it opens, and when it is dropped.
struct Slot {
    app: Arc<App>,
    user: String,
    session: String,
    kind: &'static str,
}

impl Slot {
    fn open(app: &Arc<App>, user: &str, session: &str, kind: &'static str) -> Self {
        let slot = Self {
            app: Arc::clone(app),
            user: user.to_owned(),
            session: session.to_owned(),
            kind,
        };
        let mut state = app.state.lock().expect("nobody panics with it");
        *state.live.entry(user.to_owned()).or_insert(0) += 1;
        slot.log(&mut state, "open");
        drop(state);
        slot
    }

    fn log(&self, state: &mut State, event: &str) {
        let (user, session, kind) = (&self.user, &self.session, self.kind);
        let (at, name) = (now_ms(), &self.app.name);
        writeln!(state.log, "{at} {event} {user} {session} {kind} {name}").expect("the log");
        state.log.flush().expect("the log takes it");
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.app.state.lock().expect("nobody panics with it");
        self.log(&mut state, "close");
        if let Some(count) = state.live.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                state.live.remove(&self.user);
            }
        }
    }
}

/// Serves until it is ended from outside.
pub(crate) async fn run(arguments: Arguments) {
    let log = File::create(&arguments.log).expect("the log can be written");
    let app = Arc::new(App {
        ping: (arguments.ping_s > 0.0).then(|| Duration::from_secs_f64(arguments.ping_s)),
        state: Mutex::new(State {
            live: BTreeMap::new(),
            log: BufWriter::new(log),
        }),
        name: arguments.name,
    });
    let http = TcpListener::bind(arguments.http).await.expect("bind http");
    let tcp = TcpListener::bind(arguments.tcp).await.expect("bind tcp");
    let both = TcpListener::bind(arguments.both).await.expect("bind both");
    println!("READY {}", app.name);
    loop {
        let app = Arc::clone(&app);
        tokio::select! {
            Ok((stream, _)) = http.accept() => drop(tokio::spawn(serve_http(app, stream))),
            Ok((stream, _)) = tcp.accept() => drop(tokio::spawn(serve_tcp(app, stream))),
            Ok((stream, _)) = both.accept() => drop(tokio::spawn(serve_both(app, stream))),
        }
    }
}

async fn serve_both(app: Arc<App>, stream: TcpStream) -> std::io::Result<()> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    match &first {
        b"U" => serve_tcp(app, stream).await,
        _ => serve_http(app, stream).await,
    }
}

async fn serve_http(app: Arc<App>, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    while let Some(length) = read_head(&mut stream, &mut buffer).await? {
        let head: Vec<u8> = buffer.drain(..length).collect();
        if header(&head, "upgrade").is_some() {
            return upgrade(app, stream, &head, &buffer).await;
        }
        skip_body(&mut stream, &head, &mut buffer).await?;
        let is_last =
            header(&head, "connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
        let body = body(&app, &head);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Server: {}\r\n\
             Content-Length: {}\r\n{}\r\n{body}",
            app.name,
            body.len(),
            if is_last { "Connection: close\r\n" } else { "" }
        );
        stream.write_all(answer.as_bytes()).await?;
        if is_last {
            return stream.shutdown().await;
        }
    }
    Ok(())
}

async fn upgrade(
    app: Arc<App>,
    mut stream: TcpStream,
    head: &[u8],
    rest: &[u8],
) -> std::io::Result<()> {
    let said = |name| header(head, name).unwrap_or("-");
    let slot = Slot::open(&app, said("x-user"), said("x-session"), "ws");
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Server: {}\r\n\r\n",
        app.name
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.write_all(rest).await?;
    echo(slot, stream).await
}

async fn skip_body(
    stream: &mut TcpStream,
    head: &[u8],
    buffer: &mut Vec<u8>,
) -> std::io::Result<()> {
    let length = header(head, "content-length").and_then(|it| it.parse().ok());
    let mut left: usize = length.unwrap_or(0);
    left -= buffer.drain(..left.min(buffer.len())).count();
    while left > 0 {
        let mut chunk = vec![0; left.min(CHUNK_BYTES)];
        left -= stream.read_exact(&mut chunk).await?;
    }
    Ok(())
}

/// `/b/N` is N bytes, `/_sessions` who is here.
fn body(app: &App, head: &[u8]) -> String {
    let line = std::str::from_utf8(head).unwrap_or_default();
    let path = line.split(' ').nth(1).unwrap_or("/");
    if path == "/_sessions" {
        let state = app.state.lock().expect("nobody panics with it");
        let lines = state
            .live
            .iter()
            .map(|(user, count)| format!("{user} {count}\n"));
        return lines.collect();
    }
    let length = path.strip_prefix("/b/").and_then(|it| it.parse().ok());
    "x".repeat(length.unwrap_or(128))
}

async fn serve_tcp(app: Arc<App>, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(b'\n') => break,
            Ok(byte) if line.len() < LINE_MAX => line.push(byte),
            _ => return Ok(()),
        }
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    let mut words = line.split(' ').skip(1);
    let mut word = || words.next().unwrap_or("-");
    let slot = Slot::open(&app, word(), word(), "tcp");
    stream
        .write_all(format!("{}\n", app.name).as_bytes())
        .await?;
    echo(slot, stream).await
}

async fn echo(slot: Slot, stream: TcpStream) -> std::io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let mut buffer = vec![0; CHUNK_BYTES];
    let every = slot.app.ping;
    loop {
        let length = match every {
            None => from.read(&mut buffer).await?,
            Some(every) => tokio::select! {
                length = from.read(&mut buffer) => length?,
                () = tokio::time::sleep(every) => {
                    to.write_all(b"\x89\x00").await?;
                    continue;
                }
            },
        };
        if length == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
}

const CHUNK_BYTES: usize = 16_384;
const LINE_MAX: usize = 256;
