//! The bodies that pass through: those of requests, and those of answers.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::conn::{Conn, Phase};
use crate::upstream::Upstream;

/// The body of a request on its way to an application server. One without a body can be made
/// again.
#[derive(Debug)]
pub(crate) enum Carried {
    Empty,
    Streamed(Incoming),
}

impl Carried {
    pub(crate) fn new(body: Incoming) -> Self {
        if body.is_end_stream() {
            Self::Empty
        } else {
            Self::Streamed(body)
        }
    }
}

impl Body for Carried {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}

/// The body of an answer on its way to the client.
pub(crate) enum Answer {
    /// None.
    Empty,
    /// Ours.
    Text(Option<Bytes>),
    /// The application server's.
    Streamed(Box<Flowing>),
}

/// The body of an application server's answer, and the connection it comes by.
pub(crate) struct Flowing {
    body: Incoming,
    upstream: Option<Upstream>,
    keeper: Keeper,
}

/// Where a connection to an application server goes when its answer has been read.
pub(crate) struct Keeper {
    pub(crate) conn: Rc<Conn>,
    /// The client's own place, when no other client may use the connection.
    pub(crate) own: Option<Rc<crate::http::OwnUpstream>>,
}

impl Keeper {
    /// Keeps the connection for the next request.
    pub(crate) fn keep(&self, upstream: Upstream) {
        upstream.release();
        if let Some(own) = &self.own {
            own.replace(Some(upstream));
            return;
        }
        let lane = &self.conn.lane;
        lane.pool.put(upstream, lane.now(), lane.limits().pooled);
    }
}

impl Flowing {
    /// The rest of an answer; nothing, when there is none.
    pub(crate) fn begin(body: Incoming, upstream: Upstream, keeper: Keeper) -> Answer {
        if body.is_end_stream() {
            keeper.keep(upstream);
            keeper.conn.enter_phase(Phase::Idle);
            return Answer::Empty;
        }
        keeper.conn.enter_phase(Phase::Moving);
        Answer::Streamed(Box::new(Self {
            body,
            upstream: Some(upstream),
            keeper,
        }))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(upstream) = &mut self.upstream else {
            return Pin::new(&mut self.body).poll_frame(cx);
        };
        let mut frame = upstream.poll_body(&mut self.body);
        if frame.is_pending() {
            upstream.drive(cx);
            frame = upstream.poll_body(&mut self.body);
        }
        match &frame {
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => {}
            Poll::Ready(Some(Ok(_)) | None) => self.finish(),
            Poll::Ready(Some(Err(_))) => {
                self.keeper.conn.note_error();
                self.upstream = None;
            }
            Poll::Pending => {}
        }
        frame
    }

    fn finish(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            self.keeper.keep(upstream);
        }
    }
}

impl Drop for Flowing {
    fn drop(&mut self) {
        self.keeper.conn.enter_phase(Phase::Idle);
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Streamed(flowing) => flowing.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) => text.is_none(),
            Self::Streamed(flowing) => flowing.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Text(text) => {
                let length = text.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Streamed(flowing) => flowing.body.size_hint(),
        }
    }
}
