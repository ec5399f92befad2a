//! A client's connection, counted.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::conn::Conn;

/// The connection, what was read of it before, and who counts.
pub(crate) struct ClientIo {
    pub(crate) stream: TcpStream,
    pub(crate) early: Bytes,
    pub(crate) conn: Rc<Conn>,
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            // Counted when it was read.
            let taken = self.early.len().min(buffer.remaining());
            buffer.put_slice(self.early.get(..taken).unwrap_or_default());
            self.early.advance(taken);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let taken = buffer.filled().len() - before;
        if taken > 0 {
            self.conn.note_read(taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.conn.note_written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(poll_write_slices(&mut self.stream, cx, slices))?;
        self.conn.note_written(written);
        Poll::Ready(Ok(written))
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

/// Writes pieces in one call: a small message is put together first, which costs less than telling
/// the system of its pieces.
pub(crate) fn poll_write_slices(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    slices: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    if let [whole] = slices {
        return stream.poll_write(cx, whole);
    }
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    if total > SMALL_BYTES {
        return stream.poll_write_vectored(cx, slices);
    }
    let mut whole = [0; SMALL_BYTES];
    let mut room = whole.as_mut_slice();
    for slice in slices {
        // There is room: the sum was looked at.
        let (piece, rest) = room.split_at_mut(slice.len());
        piece.copy_from_slice(slice);
        room = rest;
    }
    stream.poll_write(cx, whole.get(..total).unwrap_or_default())
}

/// A head and a short body.
const SMALL_BYTES: usize = 2048;
