//! A connection to an application server, as HTTP reads and writes it: what went out and whether
//! anything came back is kept until the answer is there.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::carried::Carried;
use crate::client_io::poll_write_slices;
use crate::forward;
use crate::wakes::Wakes;

/// The connection, and what is known of the exchange on it.
pub(crate) struct UpstreamIo {
    pub(crate) stream: TcpStream,
    pub(crate) wire: Rc<Wire>,
    pub(crate) wakes: Wakes,
}

/// One request on its way. A copy of each, in case its connection was stale, would cost more than
/// anything else we do for it: it can be read back from its own bytes.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    is_heard: Cell<bool>,
    may_repeat: Cell<bool>,
    /// The head, if the request may be sent again.
    sent: RefCell<Vec<u8>>,
}

impl Wire {
    /// `request` is about to be sent.
    pub(crate) fn begin(&self, request: &Request<Carried>) {
        let is_whole = matches!(request.body(), Carried::Empty);
        self.is_heard.set(false);
        self.may_repeat
            .set(is_whole && forward::is_idempotent(request.method()));
        self.sent.borrow_mut().clear();
    }

    /// The request once more, if nothing was heard of it and it may be sent twice.
    pub(crate) fn again(&self) -> Option<Request<Carried>> {
        if self.is_heard.get() {
            return None;
        }
        read_back(&self.sent.borrow())
    }

    /// A request without a body is written at once: the first write has all of it.
    fn note_sent(&self, bytes: &[u8]) {
        let mut sent = self.sent.borrow_mut();
        if self.may_repeat.get() && sent.is_empty() {
            sent.extend_from_slice(bytes);
        }
    }
}

/// The request whose head hyper has written so, line by line; nothing, of half a head.
fn read_back(head: &[u8]) -> Option<Request<Carried>> {
    let (first, mut rest) = split_once(head, b"\r\n")?;
    let (method, target) = split_once(first, b" ")?;
    let (target, _) = split_once(target, b" ")?;
    let mut request = Request::new(Carried::Empty);
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(target).ok()?;
    let headers = request.headers_mut();
    while rest != b"\r\n" {
        let (line, next) = split_once(rest, b"\r\n")?;
        let (name, value) = split_once(line, b": ")?;
        let name = HeaderName::from_bytes(name).ok()?;
        headers.append(name, HeaderValue::from_bytes(value).ok()?);
        rest = next;
    }
    Some(request)
}

fn split_once<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = bytes.windows(mark.len()).position(|part| part == mark)?;
    let (before, after) = bytes.split_at_checked(place)?;
    Some((before, after.get(mark.len()..)?))
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Self { stream, wakes, .. } = &mut *self;
        ready!(wakes.poll_woken(|| Pin::new(stream).poll_read(cx, buffer)))?;
        if buffer.filled().len() > before {
            self.wire.is_heard.set(true);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.note_sent(bytes);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [head, ..] = slices {
            self.wire.note_sent(head);
        }
        poll_write_slices(&mut self.stream, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_as_it_was_sent() {
        let head = b"DELETE /a%20b?c=d:e HTTP/1.1\r\nhost: example.com\r\ncookie: a=b: c\r\n\
            x-many: \xff\r\nx-many: \r\n\r\n";
        let request = read_back(head).expect("it is whole");
        assert_eq!(request.method(), Method::DELETE);
        assert_eq!(request.uri(), "/a%20b?c=d:e");
        let headers = request.headers();
        assert_eq!(headers.len(), 4);
        assert_eq!(headers["cookie"], "a=b: c");
        let many: Vec<_> = headers.get_all("x-many").iter().collect();
        assert_eq!(many, [&b"\xff"[..], b""]);

        let asterisk = read_back(b"OPTIONS * HTTP/1.1\r\n\r\n").expect("it is whole");
        assert_eq!(asterisk.uri(), "*");
    }

    #[test]
    fn half_a_head_is_no_request() {
        let head = b"GET / HTTP/1.1\r\nhost: example.com\r\n\r\n";
        for length in 0..head.len() {
            assert!(read_back(&head[..length]).is_none(), "{length}");
        }
    }
}
