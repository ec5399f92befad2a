//! Connections to application servers, opened within their time.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use crate::conn::{Conn, Phase};
use crate::counters::LaneCounters;
use crate::greeting;
use crate::http::in_time;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failed {
    /// Its time is over.
    Late,
    /// The server, or the network, does not take it.
    Refused,
}

/// Opens a connection to `address` on behalf of `conn`; the PROXY header first, if it is announced.
pub(crate) async fn open(
    conn: &Rc<Conn>,
    address: SocketAddr,
    is_announced: bool,
) -> Result<TcpStream, Failed> {
    conn.enter_phase(Phase::Connecting);
    let opened = in_time(conn, async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        LaneCounters::add(&conn.lane.counters.upstreams);
        if is_announced {
            greeting::write(conn, &mut stream).await?;
        }
        Ok::<_, std::io::Error>(stream)
    });
    match opened.await {
        None => Err(Failed::Late),
        Some(Err(_)) => Err(Failed::Refused),
        Some(Ok(stream)) => Ok(stream),
    }
}
