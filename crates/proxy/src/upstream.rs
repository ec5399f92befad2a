//! Connections to application servers: opened, lent to one request at a time, kept for the next.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use presently_sip::Moment;
use tokio::net::TcpStream;

use crate::carried::Carried;
use crate::upstream_io::{UpstreamIo, Wire};
use crate::wakes::Wakes;

/// One connection that speaks HTTP/1.1. Nobody polls it but who holds it: hyper's two halves of it
/// are driven within the task of the client's connection, so that no other task is woken for a
/// request.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    requests: SendRequest<Carried>,
    driven: Driven,
    wire: Rc<Wire>,
    idle_since: Moment,
}

/// The half of a connection that reads and writes.
struct Driven {
    connection: Box<Connection<TokioIo<UpstreamIo>, Carried>>,
    is_over: bool,
    wakes: Wakes,
}

/// Why an application server gave no answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unanswered {
    /// It took too long.
    Late,
    /// The connection ended, or what came is no answer.
    Broken,
}

impl Upstream {
    /// Begins to speak HTTP on a connection.
    pub(crate) async fn open(stream: TcpStream, address: SocketAddr) -> hyper::Result<Self> {
        let (wire, wakes) = (Rc::new(Wire::default()), Wakes::new());
        let io = UpstreamIo {
            stream,
            wire: Rc::clone(&wire),
            wakes: wakes.clone(),
        };
        let (requests, connection) = Builder::new().handshake(TokioIo::new(io)).await?;
        let driven = Driven {
            connection: Box::new(connection),
            is_over: false,
            wakes,
        };
        Ok(Self {
            address,
            requests,
            driven,
            wire,
            idle_since: Moment::default(),
        })
    }

    /// Sends the request in `outgoing` and waits for the head of its answer; `is_late` ends the
    /// waiting. A request that may be sent once more is put back.
    pub(crate) async fn exchange(
        &mut self,
        outgoing: &mut Option<Request<Carried>>,
        mut is_late: impl FnMut() -> bool,
    ) -> Result<Response<Incoming>, Unanswered> {
        let (driven, requests) = (&mut self.driven, &mut self.requests);
        let answer = {
            let request = outgoing.take().ok_or(Unanswered::Broken)?;
            self.wire.begin(&request);
            driven.wakes.quietly(|| requests.try_send_request(request))
        };
        let mut answer = std::pin::pin!(answer);
        let answer = std::future::poll_fn(|cx| {
            if is_late() {
                return Poll::Ready(None);
            }
            driven.wakes.hold(cx);
            driven.drive();
            // The answer moves only when the connection is driven: it need not wake anybody.
            let mut unheard = Context::from_waker(Waker::noop());
            answer.as_mut().poll(&mut unheard).map(Some)
        });
        let answer = answer.await.ok_or(Unanswered::Late)?;
        answer.map_err(|mut error| {
            *outgoing = error.take_message().or_else(|| self.wire.again());
            Unanswered::Broken
        })
    }

    /// Lets the connection read and write what it can, and wakes the task of `cx` for the rest.
    pub(crate) fn drive(&mut self, cx: &Context<'_>) {
        self.driven.wakes.hold(cx);
        self.driven.drive();
    }

    /// Takes what is there of an answer's body, which moves only when the connection is driven: it
    /// need not wake anybody.
    pub(crate) fn poll_body(
        &self,
        body: &mut Incoming,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let mut unheard = Context::from_waker(Waker::noop());
        let wakes = &self.driven.wakes;
        wakes.quietly(|| Pin::new(body).poll_frame(&mut unheard))
    }

    /// Wakes no longer who used it.
    pub(crate) fn release(&self) {
        self.driven.wakes.release();
    }

    /// Whether another request may follow.
    fn is_ready(&mut self) -> bool {
        if self.driven.wakes.is_woken() || !self.requests.is_ready() {
            self.driven.drive();
        }
        !self.driven.is_over && self.requests.is_ready()
    }

    /// Takes the connection itself, after an upgrade, and what was read of it beyond the answer.
    pub(crate) fn into_stream(mut self) -> (TcpStream, Bytes) {
        self.release();
        self.driven.drive();
        let parts = self.driven.connection.into_parts();
        (parts.io.into_inner().stream, parts.read_buf)
    }
}

impl Driven {
    fn drive(&mut self) {
        // How it ended is told by the answer or its body.
        if !self.is_over {
            let polled = self
                .wakes
                .poll(|cx| self.connection.poll_without_shutdown(cx));
            self.is_over = polled.is_ready();
        }
    }
}

/// Idle connections of one thread, by server; the last one used is the first to be used again.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<BTreeMap<SocketAddr, Vec<Upstream>>>,
}

impl Pool {
    /// A connection to `address` that was open when last looked at.
    pub(crate) fn take(&self, address: SocketAddr) -> Option<Upstream> {
        let mut idle = self.idle.borrow_mut();
        let idle = idle.get_mut(&address)?;
        loop {
            let mut upstream = idle.pop()?;
            if upstream.is_ready() {
                return Some(upstream);
            }
        }
    }

    /// Keeps a connection for the next request, if one may follow and there is room.
    pub(crate) fn put(&self, mut upstream: Upstream, now: Moment, most: usize) {
        if !upstream.is_ready() {
            return;
        }
        upstream.idle_since = now;
        let mut idle = self.idle.borrow_mut();
        let idle = idle.entry(upstream.address).or_default();
        if idle.len() < most {
            idle.push(upstream);
        }
    }

    /// Closes those that nobody used for `span`, and forgets servers without any.
    pub(crate) fn expire(&self, now: Moment, span: Duration) {
        self.idle.borrow_mut().retain(|_, idle| {
            idle.retain(|upstream| now.since(upstream.idle_since) < span);
            !idle.is_empty()
        });
    }
}
