//! As much of HTTP/1.1 as the demo servers and the generator speak, and how a session is opened.

use std::io::{Error, Result};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Reads one head into `buffer`, which may hold bytes already; its length with the blank line, or
/// `None` at the end of the stream.
pub(crate) async fn read_head<R: AsyncRead + Unpin>(
    stream: &mut R,
    buffer: &mut Vec<u8>,
) -> Result<Option<usize>> {
    loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            return Ok(Some(at + 4));
        }
        if buffer.len() > HEAD_MAX {
            return Err(Error::other("head too long"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// The value of a header, trimmed.
pub(crate) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(head).ok()?;
    text.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What a session is opened with.
pub(crate) struct Opening<'a> {
    /// `ws` for an upgrade, `tcp` for raw TCP.
    pub(crate) kind: &'a str,
    pub(crate) user: &'a str,
    pub(crate) session: &'a str,
    /// The balancer's cookie of before; empty for none.
    pub(crate) cookie: &'a str,
}

/// Opens a session over a fresh connection: the server's name and the cookie it set.
pub(crate) async fn open_session(
    stream: &mut TcpStream,
    opening: &Opening<'_>,
) -> Result<(String, String)> {
    if opening.kind == "tcp" {
        return open_raw(stream, opening).await;
    }
    let cookie = match opening.cookie {
        "" => String::new(),
        cookie => format!("Cookie: {cookie}\r\n"),
    };
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: bench\r\nX-User: {}\r\nX-Session: {}\r\n{cookie}\
         Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        opening.user, opening.session
    );
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::new();
    let length = read_head(stream, &mut buffer).await?;
    let length = length.ok_or_else(|| Error::other("closed before 101"))?;
    if !buffer.starts_with(b"HTTP/1.1 101") {
        let start = &buffer[..buffer.len().min(40)];
        return Err(Error::other(String::from_utf8_lossy(start).into_owned()));
    }
    let head = &buffer[..length];
    let set = header(head, "set-cookie").and_then(|it| it.split(';').next());
    let server = header(head, "x-server").unwrap_or("?");
    Ok((server.to_owned(), set.unwrap_or_default().to_owned()))
}

async fn open_raw(stream: &mut TcpStream, opening: &Opening<'_>) -> Result<(String, String)> {
    let line = format!("USER {} {}\n", opening.user, opening.session);
    stream.write_all(line.as_bytes()).await?;
    let mut name = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok((String::from_utf8_lossy(&name).into_owned(), String::new())),
            byte => name.push(byte),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|it| it == what)
}

const HEAD_MAX: usize = 65_536;
