//! What the proxy is told at its start. Each default has its reason beside it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Network;

/// The listeners, who is believed, and the bounds.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where clients come in; flows are named by their place here.
    pub listeners: Vec<Listener>,
    /// Who may say on whose behalf a connection comes: PROXY headers are read, and forwarding
    /// headers kept, from these only. Empty: from nobody.
    pub trusted: Vec<Network>,
    /// What a request says of its way to the application server.
    pub forwarding: Forwarding,
    /// The bounds.
    pub limits: Limits,
}

/// One address that clients connect to.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where; port 0 lets the system choose.
    pub address: SocketAddr,
    /// What comes in there.
    pub carries: Carries,
    /// Whether connections begin with a PROXY header.
    pub arrives_with: ProxyHeader,
    /// Whether connections to application servers begin with a PROXY header, version 2. An HTTP
    /// client then has upstream connections of its own, which no other client uses.
    pub is_announced: bool,
}

impl Listener {
    /// HTTP/1.1 at `address`, without PROXY headers.
    pub fn http(address: SocketAddr) -> Self {
        Self {
            address,
            carries: Carries::Http,
            arrives_with: ProxyHeader::Absent,
            is_announced: false,
        }
    }

    /// Raw TCP at `address`, its users told by what the control loop knows of their addresses.
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            carries: Carries::Tcp { first_word: None },
            ..Self::http(address)
        }
    }
}

/// What a listener carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Carries {
    /// HTTP/1.1 and what it is upgraded to.
    Http,
    /// Bytes.
    Tcp {
        /// The word that opens the first line of every connection, followed by the user's name
        /// (`USER alice …`). The line goes on to the application server untouched. `None`: the
        /// bytes say nothing about the user.
        first_word: Option<Box<str>>,
    },
}

/// Whether connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyHeader {
    /// They do not; such bytes are the client's.
    Absent,
    /// Those from trusted addresses may. Such a connection is held until its first bytes have come,
    /// so this is not for protocols in which the server speaks first.
    Optional,
    /// They all do: others are closed, and so are those from addresses that are not trusted.
    Required,
}

/// What is written into `X-Forwarded-For`, `-Proto` and `-Host`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Forwarding {
    /// The client's own headers are removed and ours written; those of a trusted proxy in front of
    /// us are kept, and its address is added.
    // Nobody can then claim another address than theirs.
    #[default]
    Own,
    /// The client's headers go on as they came.
    Untouched,
}

/// The bounds of what a stranger can make grow, or keep waiting.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of clients at one time on each thread; more wait in the listen queue.
    pub connections: usize,
    /// Connections at one time from one address, of IPv6 from one network of 64 bits, all threads
    /// together; more are closed. Trusted addresses are not counted.
    pub per_source: usize,
    /// Paths that wait for the control loop's answer, all threads together; more are refused.
    pub waiting: usize,
    /// Until the control loop must have said who may go where.
    pub verdict: Duration,
    /// Bytes of the headers of one request; more is answered with 431.
    pub header_bytes: usize,
    /// Headers of one request; more is answered with 431.
    pub headers: usize,
    /// Until the headers of a request that was begun, the PROXY header, or the first line of raw
    /// TCP must be whole. A new connection has as long to begin.
    pub header_time: Duration,
    /// How long a connection may stay open without a request.
    pub keep_alive: Duration,
    /// Until an application server must have taken a connection.
    pub connect: Duration,
    /// Until an application server must have begun its answer; what a client sends meanwhile puts
    /// it off. So long, too, a client that has no path may leave an answer unread. An answer that
    /// was begun may stand still: when its path ends is the control loop's to say.
    pub answer: Duration,
    /// Idle connections kept for each application server on each thread.
    pub pooled: usize,
    /// How long each is kept.
    pub pooled_idle: Duration,
    /// Bytes taken from one side of a tunnel at once; one such buffer a thread.
    pub tunnel_bytes: usize,
    /// How long an identity taken from unchanged headers is believed without looking again.
    pub identity: Duration,
    /// Until connections that are still busy after the stop are closed.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // 100,000 users on two cores, each with a connection, and room for their browsers'
            // second one.
            connections: 131_072,
            // The users of a large site behind one address, at a few connections each.
            per_source: 4_096,
            // As many as a logon storm brings in the seconds an answer takes.
            waiting: 65_536,
            // Longer than the machine takes to announce a user and to find room (32 s each).
            verdict: Duration::from_secs(75),
            // Cookies and a token of the largest kind; what servers usually take.
            header_bytes: 32 * 1024,
            // hyper's own; browsers send about twenty.
            headers: 100,
            // The slowest line sends 2 KiB in a few seconds.
            header_time: Duration::from_secs(10),
            // Longer than application servers usually keep theirs, so that a client's page does
            // not wait for connections; the machine may cut earlier.
            keep_alive: Duration::from_mins(2),
            // Three lost SYNs on a local network.
            connect: Duration::from_secs(5),
            // What proxies usually allow a slow page.
            answer: Duration::from_mins(1),
            // A server with more concurrent requests than this a thread is slow for other reasons.
            pooled: 256,
            // Below the time after which servers usually close (5 to 75 s), mostly.
            pooled_idle: Duration::from_secs(30),
            // A system call costs as much as copying this.
            tunnel_bytes: 64 * 1024,
            // A token that ran out is believed no longer than this.
            identity: Duration::from_mins(1),
            // A page ends; a tunnel's user is told to come again anyway.
            drain: Duration::from_secs(2),
        }
    }
}
