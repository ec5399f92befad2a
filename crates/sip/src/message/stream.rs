//! Framing of a byte stream (RFC 3261 §18.3, RFC 5626 §4.4.1).

use bytes::{Buf, Bytes, BytesMut};

use super::index::{BODY_MAX, HEAD_MAX, Header, Lines, Span, agree};
use super::{Name, ReadError};

/// Cuts a byte stream into messages by Content-Length (RFC 3261 §18.3), in any segmentation.
///
/// Holds at most [`BUFFER_MAX`] bytes: a caller that pushes more without taking messages out, or a
/// peer that sends a larger one, gets an error from [`Stream::next_message`] and nothing after it.
#[derive(Debug, Default)]
pub struct Stream {
    buffer: BytesMut,
    /// How far the head was searched for its end.
    searched: usize,
    /// The size of the message at the front, once its head is whole.
    size: Option<usize>,
    /// CRLFs before the next message that made no pair yet.
    crlfs: usize,
    failed: Option<ReadError>,
    overrun: bool,
}

impl Stream {
    /// Takes what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER_MAX {
            self.overrun = true;
        }
        if !self.overrun && self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole message, if one is there. `pings` counts the double CRLFs met before it, each
    /// to be answered with a single CRLF (RFC 5626 §5.4).
    ///
    /// # Errors
    ///
    /// Framing is lost (no Content-Length, conflicting ones, or over a limit): close the
    /// connection.
    pub fn next_message(&mut self, pings: &mut usize) -> Result<Option<Bytes>, ReadError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.cut(pings);
        if let Err(error) = result {
            self.failed = Some(error);
            self.buffer = BytesMut::new();
        }
        result
    }

    /// Whether nothing of a message that is not whole yet is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    fn cut(&mut self, pings: &mut usize) -> Result<Option<Bytes>, ReadError> {
        self.skip_crlfs(pings);
        let size = match self.size {
            Some(size) => size,
            None => match self.measure()? {
                Some(size) => *self.size.insert(size),
                None => return self.wait(),
            },
        };
        if self.buffer.len() < size {
            return self.wait();
        }
        (self.size, self.searched, self.crlfs) = (None, 0, 0);
        let message = self.buffer.split_to(size).freeze();
        if self.buffer.is_empty() {
            // Most connections are idle most of the time, and there are many: keep no memory.
            self.buffer = BytesMut::new();
        }
        Ok(Some(message))
    }

    /// More is needed; after an overrun no more is taken.
    fn wait(&self) -> Result<Option<Bytes>, ReadError> {
        let more = !self.overrun;
        more.then_some(None).ok_or(ReadError::Limit)
    }

    fn skip_crlfs(&mut self, pings: &mut usize) {
        loop {
            let blank = match self.buffer.as_ref() {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return,
            };
            self.buffer.advance(blank);
            self.crlfs += 1;
            if self.crlfs == 2 {
                self.crlfs = 0;
                *pings += 1;
            }
        }
    }

    /// The size of the message at the front; `None` while its head is not whole.
    fn measure(&mut self) -> Result<Option<usize>, ReadError> {
        let Some(head) = self.find_head_end()? else {
            return Ok(None);
        };
        let mut length = None;
        // The header being read, while it is a Content-Length: it may be folded.
        let mut current: Option<Header> = None;
        let mut lines = Lines::new(&self.buffer, 0);
        while lines.at < head {
            let line = lines.next_line()?;
            let is_fold = matches!(line.of(&self.buffer).first(), Some(b' ' | b'\t'));
            match current.as_mut() {
                Some(header) if is_fold => header.fold(&self.buffer, line),
                _ => {
                    let next = (!is_fold).then(|| length_header(&self.buffer, line));
                    let done = std::mem::replace(&mut current, next.flatten());
                    let value = done.map(|header| header.value.of(&self.buffer));
                    agree(&mut length, value)?;
                }
            }
        }
        let length = length.ok_or(ReadError::Syntax)?;
        if length > BODY_MAX {
            return Err(ReadError::Limit);
        }
        Ok(Some(head + length))
    }

    /// Where the head ends. A CR that stands alone is refused here, where nobody is answered yet:
    /// it would be looked for anew with each byte that arrives.
    fn find_head_end(&mut self) -> Result<Option<usize>, ReadError> {
        let mut lines = Lines::resumed(&self.buffer, self.searched);
        loop {
            self.searched = lines.at;
            let line = lines.next_line();
            if lines.stray {
                return Err(ReadError::Syntax);
            }
            match line {
                Ok(line) if line.of(&self.buffer).is_empty() => return Ok(Some(lines.at)),
                Ok(_) => {}
                Err(ReadError::Syntax) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The header in `line` when it is a Content-Length.
fn length_header(bytes: &[u8], line: Span) -> Option<Header> {
    let may_be = matches!(line.of(bytes).first(), Some(b'c' | b'C' | b'l' | b'L'));
    may_be
        .then(|| Header::read(bytes, line))
        .filter(|header| header.name == Name::ContentLength)
}

/// The most bytes a stream holds back: one message of the largest size, and what was read behind
/// it.
pub const BUFFER_MAX: usize = 2 * (HEAD_MAX + BODY_MAX);

#[cfg(test)]
mod tests;
