//! `presently nlb status`: the sessions of a running nlb at a glance.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use presently::nlb::{ServerRow, SessionList, SessionRow, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli::NlbStatus;
use crate::command::table::{Side, counted, table};
use crate::output::{self, Untold};

pub(super) async fn run(args: NlbStatus) -> Result<(), Box<dyn Error>> {
    let file = match &args.config {
        Some(path) => Settings::read(path)?.admin,
        None => None,
    };
    if args.config.is_some() && file.is_none() {
        return Err("that nlb has no admin port (admin = \"HOST:PORT\")".into());
    }
    let admin = args.admin.or(file).unwrap_or(ADMIN);
    let mut list = SessionList {
        next: Some(0),
        ..SessionList::default()
    };
    while let Some(after) = list.next {
        let page = tokio::time::timeout(PATIENCE, ask(admin, after)).await;
        let page = page.map_err(|_| "the admin port does not answer")??;
        let mut page: SessionList = serde_json::from_str(&page)?;
        list.sessions.append(&mut page.sessions);
        page.sessions = list.sessions;
        list = page;
    }
    if args.json {
        output::line(serde_json::to_string(&list)?)?;
    } else {
        print(&list)?;
    }
    Ok(())
}

/// The page of sessions behind the one of the number `after`.
async fn ask(admin: SocketAddr, after: u64) -> Result<String, Box<dyn Error>> {
    let stream = TcpStream::connect(admin).await;
    let mut stream = stream.map_err(|error| format!("no nlb answers at {admin}: {error}"))?;
    let request = format!(
        "GET /sessions?after={after} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some("404") => Err(format!("what answers at {admin} is no nlb").into()),
        _ => Err(body.trim().to_owned().into()),
    }
}

fn print(list: &SessionList) -> Result<(), Untold> {
    let servers: Vec<_> = list.servers.iter().map(cells_of_server).collect();
    output::print(table(SERVER_HEADS, &servers))?;
    if !list.sessions.is_empty() {
        let sessions: Vec<_> = list.sessions.iter().map(cells_of_session).collect();
        output::print(format_args!("\n{}", table(SESSION_HEADS, &sessions)))?;
    }
    output::line(counted(list.sessions_total, "session"))
}

fn cells_of_server(row: &ServerRow) -> [String; 5] {
    let slots = row.slots.map(|slots| slots.to_string());
    [
        row.server.clone(),
        row.state.clone(),
        row.sessions.to_string(),
        slots.unwrap_or_else(|| "any".to_owned()),
        row.address.clone(),
    ]
}

fn cells_of_session(row: &SessionRow) -> [String; 8] {
    [
        row.user.clone(),
        row.server.clone().unwrap_or_else(|| "-".to_owned()),
        row.state.clone(),
        age(row.since),
        row.paths.to_string(),
        (row.from_user_bytes + row.to_user_bytes).to_string(),
        row.uuid.clone(),
        row.why.clone(),
    ]
}

/// How long ago that was, in the largest unit that leaves at least two.
fn age(since: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let secs = now.unwrap_or_default().as_secs().saturating_sub(since);
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        _ => format!("{} h", secs / 3_600),
    }
}

const ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9091);
/// A loop that does not answer in a second says so itself.
const PATIENCE: Duration = Duration::from_secs(5);

const SERVER_HEADS: [(&str, Side); 5] = [
    ("server", Side::Left),
    ("state", Side::Left),
    ("sessions", Side::Right),
    ("slots", Side::Right),
    ("address", Side::Left),
];
const SESSION_HEADS: [(&str, Side); 8] = [
    ("user", Side::Left),
    ("server", Side::Left),
    ("state", Side::Left),
    ("since", Side::Right),
    ("paths", Side::Right),
    ("bytes", Side::Right),
    ("uuid", Side::Left),
    ("why", Side::Left),
];
