//! Four UDP sockets on loopback: what is sent goes to one server, what comes back is read in
//! rounds.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

/// The sockets; users and subscriptions are spread over them.
pub(crate) struct Network {
    server: SocketAddrV4,
    sockets: Vec<UdpSocket>,
    pub(crate) ports: Vec<u16>,
    pub(crate) undelivered: u64,
}

impl Network {
    /// Sockets from `port` on, or free ones.
    pub(crate) fn new(server: SocketAddrV4, port: u16) -> Self {
        let sockets: Vec<UdpSocket> = (0..SOCKETS)
            .map(|place| {
                let port = if port == 0 { 0 } else { port + place };
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
                let socket = socket.unwrap_or_else(|error| panic!("port {port}: {error}"));
                let _ = SockRef::from(&socket).set_recv_buffer_size(BUFFER);
                let _ = SockRef::from(&socket).set_send_buffer_size(BUFFER);
                socket.set_nonblocking(true).expect("a socket can be set");
                socket
            })
            .collect();
        let address = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
        Self {
            server,
            ports: sockets
                .iter()
                .map(|socket| address(socket).port())
                .collect(),
            sockets,
            undelivered: 0,
        }
    }

    /// Sends one datagram to the server; one that does not fit the buffer after a moment is lost,
    /// as on any network.
    pub(crate) fn send(&mut self, socket: usize, bytes: &[u8]) {
        for _ in 0..TRIES {
            match self.sockets[socket].send_to(bytes, self.server) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(&self.sockets[socket], PollFlags::OUT)];
                    let _ = poll(&mut fds, Some(&timespec(Duration::from_millis(5))));
                }
                // An ICMP answer to an earlier datagram: this one has not been sent yet.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(_) => break,
                Ok(_) => return,
            }
        }
        self.undelivered += 1;
    }

    /// Waits for a datagram, `longest` at the most.
    pub(crate) fn wait(&self, longest: Duration) {
        let sockets = self.sockets.iter();
        let mut fds: Vec<PollFd<'_>> = sockets
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        let _ = poll(&mut fds, Some(&timespec(longest)));
    }

    /// The next datagram that waits on `socket`: its length in `buffer`.
    pub(crate) fn receive(&self, socket: usize, buffer: &mut [u8]) -> Option<usize> {
        match self.sockets[socket].recv_from(buffer) {
            Ok((length, _)) => Some(length),
            // Tells of an earlier datagram; the rest waits behind it.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Some(0),
            Err(_) => None,
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    duration.try_into().expect("less than a minute")
}

const SOCKETS: u16 = 4;
const BUFFER: usize = 4 << 20;
const TRIES: usize = 200;
