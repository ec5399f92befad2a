//! The client of an application behind the nlb: a WebSocket, and how it is resumed with a UUID.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::websocket::{self, Frame};

/// One open WebSocket.
pub(crate) struct Client {
    stream: TcpStream,
    /// The application server, as it says itself.
    pub(crate) server: String,
}

impl Client {
    /// Opens one for `user` at `nlb`. With `uuid` it resumes: the login is the same as ever, the
    /// UUID only says which session is meant.
    pub(crate) async fn open(
        nlb: SocketAddr,
        user: &str,
        uuid: Option<&str>,
    ) -> Result<Self, String> {
        let stream = TcpStream::connect(nlb).await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        let resume = uuid.map_or_else(String::new, |uuid| format!("Presently-Session: {uuid}\r\n"));
        let request = format!(
            "GET /socket HTTP/1.1\r\nHost: {nlb}\r\nX-User: {user}\r\n{resume}\
             Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        let sent = stream.write_all(request.as_bytes()).await;
        sent.map_err(|error| error.to_string())?;
        let head = read_head(&mut stream)
            .await
            .ok_or("the answer was cut short")?;
        let first = head.lines().next().unwrap_or_default();
        if !first.starts_with("HTTP/1.1 101 ") {
            return Err(format!("the nlb answered {first}"));
        }
        match websocket::read(&mut stream).await {
            Some(Frame::Text(server)) => Ok(Self { stream, server }),
            _ => Err("the application server said nothing".to_owned()),
        }
    }

    /// Says something and waits for the echo.
    pub(crate) async fn echo(&mut self, text: &str) -> Result<(), String> {
        let ended = "the connection has ended";
        let sent = websocket::write(&mut self.stream, text, true).await;
        sent.ok_or(ended)?;
        match websocket::read(&mut self.stream).await {
            Some(Frame::Text(echo)) if echo == text => Ok(()),
            Some(_) => Err("that was no echo".to_owned()),
            None => Err(ended.to_owned()),
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// The UUID in the body of a MESSAGE of the nlb.
pub(crate) fn uuid_in(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("UUID="))?;
    Some(value.trim().to_owned())
}

/// The key of a handshake hides nothing, so one does for all.
const KEY: &str = "cHJlc2VudGx5IGRlbW8ga2U=";
