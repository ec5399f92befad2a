//! What carries a phone's messages: a UDP socket, or a TCP connection.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use presently_sip::{Protocol, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// One flow to the presence server.
pub(super) enum Link {
    Tcp { stream: TcpStream, frames: Stream },
    Udp(UdpSocket),
}

impl Link {
    /// A flow from `own` to `pool`.
    pub(super) async fn open(protocol: Protocol, own: IpAddr, pool: SocketAddr) -> Result<Self> {
        match protocol {
            Protocol::Tcp => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::from((own, 0)))?;
                let stream = socket.connect(pool).await?;
                stream.set_nodelay(true)?;
                let frames = Stream::default();
                Ok(Self::Tcp { stream, frames })
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind((own, 0)).await?;
                socket.connect(pool).await?;
                // Until the runtime has seen the socket once, it takes nothing to send.
                socket.writable().await?;
                Ok(Self::Udp(socket))
            }
        }
    }

    pub(super) fn local(&self) -> Result<SocketAddr> {
        match self {
            Self::Tcp { stream, .. } => stream.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }

    /// The next whole message. Dropping the future loses nothing.
    pub(super) async fn receive(&mut self) -> Result<Bytes> {
        match self {
            Self::Tcp { stream, frames } => loop {
                let message = frames.next_message(&mut 0);
                let message = message.map_err(|error| Error::other(error.to_string()))?;
                if let Some(message) = message {
                    return Ok(message);
                }
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer).await? {
                    0 => return Err(ErrorKind::UnexpectedEof.into()),
                    length => frames.push(&buffer[..length]),
                }
            },
            Self::Udp(socket) => loop {
                let mut buffer = [0; 8192];
                // An error tells of an earlier datagram: the network was away for a moment.
                if let Ok(length) = socket.recv(&mut buffer).await {
                    return Ok(Bytes::copy_from_slice(&buffer[..length]));
                }
            },
        }
    }

    /// Sends one message. What a UDP socket does not take is lost, as on any network.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<()> {
        match self {
            Self::Tcp { stream, .. } => stream.write_all(message).await,
            Self::Udp(socket) => {
                let _ = socket.try_send(message);
                Ok(())
            }
        }
    }
}
