//! Opening the sockets.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use presently_sip::Protocol;
use socket2::{Domain, Socket, Type};

/// Where to listen, and for what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Listen {
    /// Over which protocol.
    pub protocol: Protocol,
    /// At which address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// What connections begin with; of no meaning for UDP.
    pub opening: Opening,
}

impl Listen {
    /// A listener for phones and proxies.
    #[must_use]
    pub fn sip(protocol: Protocol, address: SocketAddr) -> Self {
        Self {
            protocol,
            address,
            opening: Opening::Messages,
        }
    }

    /// A listener for members of the pool, whose connections begin with a handshake.
    #[must_use]
    pub fn raw(address: SocketAddr) -> Self {
        Self {
            protocol: Protocol::Tcp,
            address,
            opening: Opening::Raw,
        }
    }
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opening {
    /// SIP.
    Messages,
    /// Bytes that are handed up as they come, until [`crate::Transport::start_messages`].
    Raw,
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// No interface of this machine has the address.
    #[error("{protocol}:{address}: this machine does not have the address")]
    Foreign {
        /// Over which protocol.
        protocol: Protocol,
        /// Which address.
        address: SocketAddr,
    },
    /// The system would not have it.
    #[error("{protocol}:{address}: cannot listen")]
    Refused {
        /// Over which protocol.
        protocol: Protocol,
        /// Which address.
        address: SocketAddr,
        /// What it says.
        #[source]
        source: io::Error,
    },
    /// Another program listens there.
    #[error("{protocol}:{address}: already taken")]
    Taken {
        /// Over which protocol.
        protocol: Protocol,
        /// Which address.
        address: SocketAddr,
    },
    /// A flow numbers its listener in one byte.
    #[error("more than 255 listeners")]
    TooMany,
}

impl BindError {
    pub(crate) fn new(listen: &Listen, source: io::Error) -> Self {
        let (protocol, address) = (listen.protocol, listen.address);
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Taken { protocol, address },
            io::ErrorKind::AddrNotAvailable => Self::Foreign { protocol, address },
            _ => Self::Refused {
                protocol,
                address,
                source,
            },
        }
    }
}

pub(crate) fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM)?;
    // As large as the system allows: it holds what arrives while a turn lasts.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

pub(crate) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM)?;
    // Connections of the process before us may linger; two listeners are still refused.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        // A wildcard of one family leaves the other to its own listener.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
const BACKLOG: i32 = 1_024;
