//! Bytes both ways between a client and an application server, until both have said all they have
//! to say.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::conn::{Conn, Phase, wide};
use crate::counters::LaneCounters;

/// The two connections of a tunnel, and what was read of each before it began.
pub(crate) struct Ends {
    pub(crate) client: TcpStream,
    pub(crate) client_early: Bytes,
    pub(crate) server: TcpStream,
    pub(crate) server_early: Bytes,
}

/// One direction. A tunnel owns no buffer: what is read goes through the thread's, and only what
/// the other side does not take at once is copied and held.
#[derive(Default)]
struct Way {
    held: Bytes,
    is_read: bool,
    is_closed: bool,
}

/// Carries bytes until both directions are closed, or one has failed.
pub(crate) async fn carry(conn: &Rc<Conn>, ends: Ends) {
    conn.enter_phase(Phase::Tunnel);
    LaneCounters::add(&conn.lane.counters.tunnels);
    let Some(traffic) = conn.traffic() else {
        return;
    };
    let (mut client, mut server) = (ends.client, ends.server);
    let mut to_server = Way::holding(ends.client_early);
    let mut to_client = Way::holding(ends.server_early);
    let lane = &conn.lane;
    // What came with the server's answer; the client's early bytes were counted as they were read.
    if !to_client.held.is_empty() {
        traffic.to_user(lane.now(), wide(to_client.held.len()));
    }
    let carried = poll_fn(|cx| {
        let scratch = &mut *lane.scratch.borrow_mut();
        let up = to_server.carry(cx, (&mut client, &mut server), scratch, |bytes| {
            traffic.from_user(lane.now(), bytes);
        });
        let down = to_client.carry(cx, (&mut server, &mut client), scratch, |bytes| {
            traffic.to_user(lane.now(), bytes);
        });
        match (up, down) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
            (Poll::Pending, _) | (_, Poll::Pending) => Poll::Pending,
        }
    });
    if carried.await.is_err() {
        traffic.error();
    }
}

impl Way {
    fn holding(held: Bytes) -> Self {
        Self {
            held,
            ..Self::default()
        }
    }

    /// Carries what there is; ready once this direction is closed. Of a read that does not fill
    /// the buffer the runtime knows that nothing is left, so that a message costs one read and one
    /// write.
    fn carry(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut TcpStream, &mut TcpStream),
        scratch: &mut [u8],
        mut note: impl FnMut(u64),
    ) -> Poll<io::Result<()>> {
        while !self.is_closed {
            if !self.held.is_empty() {
                ready!(self.write_held(cx, to))?;
            }
            if self.is_read {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.is_closed = true;
                break;
            }
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                self.is_read = true;
                continue;
            }
            note(wide(bytes.len()));
            let written = match Pin::new(&mut *to).poll_write(cx, bytes) {
                Poll::Pending => 0,
                Poll::Ready(written) => written?,
            };
            let rest = bytes.get(written..).unwrap_or_default();
            if !rest.is_empty() {
                self.held = Bytes::copy_from_slice(rest);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn write_held(&mut self, cx: &mut Context<'_>, to: &mut TcpStream) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(written);
        }
        // What was allocated for it is given back.
        self.held = Bytes::new();
        Poll::Ready(Ok(()))
    }
}
