//! Raw TCP: a connection asks once, and is a tunnel from then on.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use presently_nlb::PathKind;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::conn::Conn;
use crate::counters::LaneCounters;
use crate::identity::Found;
use crate::tunnel::{self, Ends};
use crate::{Listener, Who, connect, greeting};

/// Serves one connection until it ends. `first_word` opens a line that names the user.
pub(crate) async fn serve(
    conn: &Rc<Conn>,
    listener: &Listener,
    first_word: Option<&str>,
    stream: TcpStream,
) {
    if let Some(ends) = Box::pin(open(conn, listener, first_word, stream)).await {
        tunnel::carry(conn, ends).await;
    }
}

async fn open(
    conn: &Rc<Conn>,
    listener: &Listener,
    first_word: Option<&str>,
    mut stream: TcpStream,
) -> Option<Ends> {
    let early = greeting::read(conn, listener, &mut stream).await?;
    let (name, mut rest) = (early.name, early.rest);
    let found = match (name, first_word) {
        // Whom a trusted proxy names is not the client's to change.
        (Some(name), _) => Found::Text(name.into()),
        (None, Some(word)) => {
            rest = read_line(conn, &mut stream, rest).await?;
            name_in(&rest, word)
        }
        (None, None) => Found::Absent,
    };
    let who = Who::named(found, |name| conn.lane.identify.named(name));
    let resource = || format!("tcp {}", listener.address).into_boxed_str();
    let admitted = tokio::select! {
        biased;
        () = gone(&stream, !rest.is_empty()) => return None,
        admitted = conn.admit(&who, PathKind::Tcp, resource) => admitted,
    };
    let Ok(admitted) = admitted else {
        LaneCounters::add(&conn.lane.counters.refused);
        return None;
    };
    let server = connect::open(conn, admitted.address, listener.is_announced).await;
    let Ok(server) = server else {
        LaneCounters::add(&conn.lane.counters.failed);
        conn.note_error();
        return None;
    };
    Some(Ends {
        client: stream,
        client_early: rest,
        server,
        server_early: Bytes::new(),
    })
}

/// Reads on until a whole line is there, or as many bytes as one may have.
async fn read_line(conn: &Conn, stream: &mut TcpStream, rest: Bytes) -> Option<Bytes> {
    let mut bytes = BytesMut::from(rest);
    let before = bytes.len();
    while !bytes.contains(&b'\n') && bytes.len() < LINE_BYTES {
        greeting::read_more(stream, &mut bytes).await?;
    }
    conn.note_read(bytes.len() - before);
    Some(bytes.freeze())
}

/// Ends when a client that waits is gone: nobody reads what it sends, so nobody else would see it.
///
/// A client that closes and one that has said all it has to say and waits for the answer send the
/// same FIN: TCP cannot tell them apart until something is sent to them. So one that has said
/// something is taken for gone when its connection is reset or has timed out, and served otherwise.
/// One that ends without a byte of its own has asked for nothing, and is gone.
async fn gone(client: &TcpStream, has_spoken: bool) {
    if !has_spoken && matches!(client.peek(&mut [0]).await, Ok(0) | Err(_)) {
        return;
    }
    // If this itself cannot be waited for, the thread is ending.
    let _ = client.ready(Interest::ERROR).await;
}

/// The user whom the first line names: the word after `first_word`.
fn name_in(bytes: &[u8], first_word: &str) -> Found {
    let line = bytes.split(|byte| *byte == b'\n').next();
    let line = line.unwrap_or_default();
    let line = line.get(..LINE_BYTES).unwrap_or(line);
    let mut words = line.split(u8::is_ascii_whitespace);
    if words.find(|word| !word.is_empty()) != Some(first_word.as_bytes()) {
        return Found::Absent;
    }
    let text = std::str::from_utf8(line).ok();
    let name = text.and_then(|line| line.split_ascii_whitespace().nth(1));
    name.map_or(Found::Refused, |name| Found::Text(name.to_owned()))
}

/// A word, a name and what an application wants to know besides.
const LINE_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_user_after_its_word() {
        let alice = || Found::Text("alice".to_owned());
        for (bytes, expected) in [
            ("USER alice s1\nUSER bob s2\n", alice()),
            ("USER alice\r\n", alice()),
            ("USER\nalice", Found::Refused),
            ("USERalice\n", Found::Absent),
            ("user alice\n", Found::Absent),
            ("", Found::Absent),
        ] {
            assert_eq!(name_in(bytes.as_bytes(), "USER"), expected, "{bytes}");
        }
        assert_eq!(name_in(b"USER \xff\n", "USER"), Found::Refused);
        assert_eq!(name_in(b"USER alice \xff\n", "USER"), Found::Refused);
        assert_eq!(name_in(b"\xff alice\n", "USER"), Found::Absent);
    }
}
