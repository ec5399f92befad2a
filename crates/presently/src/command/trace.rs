//! `presently trace`: messages of somebody, as they pass running processes.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use presently::Settings;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::cli::Trace;
use crate::output::{self, tame};

pub(crate) async fn run(args: Trace) -> Result<(), Box<dyn Error>> {
    let admins = admins(&args)?;
    let (sender, mut lines) = mpsc::channel(LINES_MAX);
    for admin in &admins {
        let trace = open(*admin, &args.of, args.secs).await;
        let trace = trace.map_err(|reason| format!("no trace at {admin}: {reason}"))?;
        tokio::spawn(forward(*admin, trace, sender.clone()));
    }
    drop(sender);
    let places: Vec<_> = admins.iter().map(ToString::to_string).collect();
    let until = args
        .secs
        .map_or_else(|| "until Ctrl-C".to_owned(), |secs| format!("for {secs} s"));
    // Beside the output, which may be read by a program.
    let places = places.join(", ");
    output::aside(format_args!("tracing {} at {places}, {until}", args.of));
    let interrupted = tokio::signal::ctrl_c();
    let mut interrupted = std::pin::pin!(interrupted);
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = &mut interrupted => return Ok(()),
        };
        match line {
            Some(Ok(line)) => print(&line, args.json)?,
            Some(Err(admin)) => return Err(format!("the process at {admin} has ended").into()),
            None => return Ok(()),
        }
    }
}

/// The admin ports that were named, on the command line or in the file.
fn admins(args: &Trace) -> Result<Vec<SocketAddr>, Box<dyn Error>> {
    if !args.admin.is_empty() {
        return Ok(args.admin.clone());
    }
    let file = match &args.config {
        Some(path) => Settings::read(path)?.admin,
        None => None,
    };
    let admin =
        file.ok_or("say where the admin port of a running process is: --admin HOST:PORT")?;
    Ok(vec![admin])
}

type Answer = Lines<BufReader<TcpStream>>;

/// Asks for a trace, and reads the head of the answer.
async fn open(admin: SocketAddr, of: &str, secs: Option<u64>) -> Result<Answer, Box<dyn Error>> {
    let mut stream = tokio::time::timeout(PATIENCE, TcpStream::connect(admin)).await??;
    let secs = secs.map_or_else(String::new, |secs| format!("&secs={secs}"));
    // Of the older version an answer ends with its connection: nothing has to be put together.
    let request = format!("GET /trace?of={}{secs} HTTP/1.0\r\n\r\n", escaped(of));
    stream.write_all(request.as_bytes()).await?;
    let mut answer = BufReader::new(stream).lines();
    let next = tokio::time::timeout(PATIENCE, answer.next_line()).await;
    let status = next??.unwrap_or_default();
    while answer
        .next_line()
        .await?
        .is_some_and(|line| !line.is_empty())
    {}
    if status.split(' ').nth(1) == Some("200") {
        return Ok(answer);
    }
    if !status.starts_with("HTTP/") {
        return Err("what listens there is no admin port".into());
    }
    let mut reason = String::new();
    let body = answer.into_inner();
    body.take(REASON_MAX).read_to_string(&mut reason).await?;
    Err(tame(reason.trim()).into())
}

/// Hands on each line of a trace; at its end, whether it came too soon.
async fn forward(
    admin: SocketAddr,
    mut trace: Answer,
    lines: mpsc::Sender<Result<String, SocketAddr>>,
) {
    while let Ok(Some(line)) = trace.next_line().await {
        let is_last = serde_json::from_str::<Last>(&line).is_ok_and(|last| last.ended);
        if lines.send(Ok(line)).await.is_err() || is_last {
            return;
        }
    }
    // Whoever reads may have stopped.
    let _ = lines.send(Err(admin)).await;
}

fn print(line: &str, is_json: bool) -> Result<(), Box<dyn Error>> {
    if is_json {
        return Ok(output::line(line)?);
    }
    if let Ok(last) = serde_json::from_str::<Last>(line) {
        return Ok(output::print(missed(last.missed))?);
    }
    let shown: Shown = serde_json::from_str(line)?;
    let to = if shown.direction == "sent" {
        "to"
    } else {
        "from"
    };
    let missed = missed(shown.missed);
    let (transport, local, remote) = (shown.transport, shown.local, shown.remote);
    let (time, direction) = (shown.time, shown.direction);
    let message = tame(shown.message.trim_end());
    let text = format!("{missed}{time} {direction} {transport} {local} {to} {remote}\n{message}\n");
    Ok(output::line(text)?)
}

fn missed(missed: u64) -> String {
    match missed {
        0 => String::new(),
        _ => format!("\u{2026} {missed} messages not shown\n\n"),
    }
}

/// A message, as the admin port tells it.
#[derive(Deserialize)]
struct Shown {
    time: String,
    direction: String,
    transport: String,
    local: String,
    remote: String,
    message: String,
    missed: u64,
}

/// The last line of a trace whose time is over.
#[derive(Deserialize)]
struct Last {
    ended: bool,
    missed: u64,
}

/// As a query holds it: all but letters and digits as `%41` (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match char::from(byte) {
        letter if letter.is_ascii_alphanumeric() => letter.to_string(),
        _ => format!("%{byte:02X}"),
    });
    bytes.collect()
}

/// Lines of several processes that wait to be printed.
const LINES_MAX: usize = 16;
/// An admin port that does not answer within this time is not one.
const PATIENCE: Duration = Duration::from_secs(5);
/// A refusal is one line.
const REASON_MAX: u64 = 1_000;
