//! What stands before a connection's own bytes: the PROXY header, read from clients and written to
//! application servers.

use std::io;
use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::conn::Conn;
use crate::proxy_protocol::{self, LENGTH_MAX, Opening};
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
    let is_believed = conn.lane.trusts(conn.source.get());
    let is_read = match listener.arrives_with {
        ProxyHeader::Absent => false,
        ProxyHeader::Optional => is_believed,
        ProxyHeader::Required if is_believed => true,
        ProxyHeader::Required => return None,
    };
    if listener.is_announced {
        conn.destination.set(stream.local_addr().ok());
    }
    if !is_read {
        return Some(Early::default());
    }
    let mut bytes = BytesMut::new();
    let announced = loop {
        match proxy_protocol::read(&bytes).ok()? {
            Opening::Absent if listener.arrives_with == ProxyHeader::Required => return None,
            Opening::Absent => break None,
            Opening::More => read_more(stream, &mut bytes).await?,
            Opening::Whole(announced) => break Some(announced),
        }
    };
    let name = announced.and_then(|announced| {
        bytes.advance(announced.length.min(bytes.len()));
        if let Some((source, destination)) = announced.addresses {
            conn.source.set(source);
            conn.destination.set(Some(destination));
        }
        announced.user
    });
    conn.note_read(bytes.len());
    Some(Early {
        rest: bytes.freeze(),
        name,
    })
}

/// Reads until there are more bytes than before; `None` when no more will come.
pub(crate) async fn read_more(stream: &mut TcpStream, bytes: &mut BytesMut) -> Option<()> {
    bytes.reserve(LENGTH_MAX);
    match stream.read_buf(bytes).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

/// Writes the PROXY header for `conn`.
pub(crate) async fn write(conn: &Conn, stream: &mut TcpStream) -> io::Result<()> {
    let Some(destination) = conn.destination.get() else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let user = conn.user();
    let name = user.as_ref().map(presently_sip::Aor::user);
    let mut header = Vec::new();
    proxy_protocol::write(conn.source.get(), destination, name, &mut header);
    stream.write_all(&header).await
}
