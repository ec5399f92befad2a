//! The one pass that finds the parts of a message, and the limits it holds.

use memchr::memchr2;

use super::{Defect, Message, Method, Name, ReadError};
use crate::text::{decimal, is_token};

/// The reusable memory of an index: one per loop. Reading a message into it allocates nothing once
/// its vector has grown.
#[derive(Clone, Debug, Default)]
pub struct Index {
    pub(super) start: StartLine,
    pub(super) headers: Vec<Header>,
    pub(super) body: Span,
    /// What the pass itself saw wrong; [`Message::defect`] looks at the values.
    pub(super) flaw: Option<Defect>,
}

/// How the end of the message is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// One datagram is one message: Content-Length may be absent; surplus bytes are cut, a body
    /// that is too short is a [`Defect`] (RFC 3261 §18.3).
    Datagram,
    /// The bytes are one whole message as [`crate::Stream`] cut it.
    Stream,
}

impl Index {
    /// Reads `bytes` as one message.
    ///
    /// Lenient where the answer can say what is wrong: see [`Message::defect`].
    ///
    /// # Errors
    ///
    /// Nothing in it can be answered: the caller counts and drops it.
    pub fn read<'a>(
        &'a mut self,
        bytes: &'a [u8],
        framing: Framing,
    ) -> Result<Message<'a>, ReadError> {
        self.headers.clear();
        self.flaw = None;
        let start = bytes
            .iter()
            .position(|byte| !matches!(byte, b'\r' | b'\n'))
            .ok_or(ReadError::Ping)?;
        let mut lines = Lines::new(bytes, start);
        let line = lines.next_line()?;
        self.read_start(bytes, line)?;
        self.read_headers(&mut lines)?;
        if lines.stray {
            self.blame(Defect::Header(Name::Other));
        }
        self.measure(bytes, lines.at, framing);
        // Without a Via there is nobody to answer (RFC 3261 §18.2.2).
        let answerable = self.headers.iter().any(|header| header.name == Name::Via);
        answerable
            .then(|| self.message(bytes))
            .ok_or(ReadError::Syntax)
    }

    /// The message this index was last filled from, over the same `bytes`: how an indexed message
    /// is kept across a borrow (the index is a plain value and may be cloned and stored beside its
    /// bytes).
    #[must_use]
    pub fn message<'a>(&'a self, bytes: &'a [u8]) -> Message<'a> {
        let head = bytes.get(..self.body.range().start).unwrap_or_default();
        Message {
            bytes,
            head: std::str::from_utf8(head).ok(),
            index: self,
        }
    }

    fn read_start(&mut self, bytes: &[u8], line: Span) -> Result<(), ReadError> {
        if line.len() > START_LINE_MAX {
            return Err(ReadError::Limit);
        }
        let line = line.trimmed_end(bytes);
        let text = line.of(bytes);
        self.start = match text.get(..VERSION_START.len()) {
            Some(start) if start.eq_ignore_ascii_case(VERSION_START) => read_status(line, text)?,
            _ => self.read_request(line, text)?,
        };
        Ok(())
    }

    /// `Method SP Request-URI SP SIP-Version` (RFC 3261 §7.1). White space inside the URI leaves it
    /// for [`Message::defect`], which can be answered.
    fn read_request(&mut self, line: Span, text: &[u8]) -> Result<StartLine, ReadError> {
        let first = memchr::memchr(b' ', text).ok_or(ReadError::Syntax)?;
        let last = memchr::memrchr(b' ', text).ok_or(ReadError::Syntax)?;
        let (method, version) = text
            .get(..first)
            .zip(text.get(last + 1..))
            .ok_or(ReadError::Syntax)?;
        if !is_token(method) {
            return Err(ReadError::Syntax);
        }
        if !version.eq_ignore_ascii_case(VERSION) {
            let other_version = version
                .get(..VERSION_START.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(VERSION_START));
            if !other_version {
                return Err(ReadError::Syntax);
            }
            self.blame(Defect::Version);
        }
        Ok(StartLine::Request {
            method: Method::from_text(method),
            method_text: line.part(0, first),
            uri: line.part((first + 1).min(last), last),
        })
    }

    fn read_headers(&mut self, lines: &mut Lines<'_>) -> Result<(), ReadError> {
        loop {
            let line = lines.next_line()?;
            let text = line.of(lines.bytes);
            match text.first() {
                None => return Ok(()),
                Some(b' ' | b'\t') => self.fold(lines.bytes, line),
                Some(_) if self.headers.len() == HEADERS_MAX => return Err(ReadError::Limit),
                Some(_) => {
                    let header = Header::read(lines.bytes, line);
                    if header.is_broken(lines.bytes) {
                        self.blame(Defect::Header(Name::Other));
                    }
                    self.headers.push(header);
                }
            }
        }
    }

    /// A line that starts with white space continues the one before (RFC 3261 §7.3.1).
    fn fold(&mut self, bytes: &[u8], line: Span) {
        match self.headers.last_mut() {
            Some(header) => header.fold(bytes, line),
            None => self.blame(Defect::Header(Name::Other)),
        }
    }

    /// Finds the body by Content-Length (RFC 3261 §18.3).
    fn measure(&mut self, bytes: &[u8], head: usize, framing: Framing) {
        let there = bytes.len() - head;
        let lengths = self
            .headers
            .iter()
            .filter(|header| header.name == Name::ContentLength)
            .map(|header| header.value.of(bytes));
        let (length, flaw) = match (content_length(lengths), framing) {
            (Err(_), _) | (Ok(None), Framing::Stream) => (there, Some(Defect::ContentLength)),
            (Ok(None), Framing::Datagram) => (there, None),
            (Ok(Some(length)), _) if length > BODY_MAX => (there, Some(Defect::TooLarge)),
            (Ok(Some(length)), _) if length > there => (there, Some(Defect::ContentLength)),
            (Ok(Some(length)), Framing::Stream) if length < there => {
                (length, Some(Defect::ContentLength))
            }
            (Ok(Some(length)), _) => (length, None),
        };
        if let Some(flaw) = flaw {
            self.blame(flaw);
        } else if length > BODY_MAX {
            self.blame(Defect::TooLarge);
        }
        self.body = Span::new(head, head + length);
    }

    /// Keeps the first flaw: it is the one answered.
    fn blame(&mut self, defect: Defect) {
        self.flaw.get_or_insert(defect);
    }
}

/// `SIP-Version SP Status-Code SP Reason-Phrase` (RFC 3261 §7.2); the phrase may be missing.
fn read_status(line: Span, text: &[u8]) -> Result<StartLine, ReadError> {
    let (version, rest) = text.split_at_checked(VERSION.len()).unwrap_or_default();
    let [b' ', rest @ ..] = rest else {
        return Err(ReadError::Syntax);
    };
    let (digits, reason) = rest.split_at_checked(3).ok_or(ReadError::Syntax)?;
    let status = decimal(digits)
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (100..700).contains(status))
        .ok_or(ReadError::Syntax)?;
    if !version.eq_ignore_ascii_case(VERSION) || !matches!(reason.first(), None | Some(b' ')) {
        return Err(ReadError::Syntax);
    }
    let reason = line.part((text.len() - reason.len() + 1).min(text.len()), text.len());
    Ok(StartLine::Response { status, reason })
}

/// The one length that all Content-Length values name.
fn content_length<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<usize>, ReadError> {
    let mut length = None;
    values.try_for_each(|value| agree(&mut length, Some(value)))?;
    Ok(length)
}

/// Takes in one more Content-Length, if there is one; junk, or another length, is an error.
pub(super) fn agree(length: &mut Option<usize>, value: Option<&[u8]>) -> Result<(), ReadError> {
    let Some(value) = value else {
        return Ok(());
    };
    let value = decimal(value)
        .and_then(|value| usize::try_from(value).ok())
        .ok_or(ReadError::Syntax)?;
    let agreed = *length.get_or_insert(value) == value;
    agreed.then_some(()).ok_or(ReadError::Syntax)
}

/// Where the parts of the start line are.
#[derive(Clone, Copy, Debug)]
pub(super) enum StartLine {
    Request {
        method: Method,
        method_text: Span,
        uri: Span,
    },
    Response {
        status: u16,
        reason: Span,
    },
}

impl Default for StartLine {
    fn default() -> Self {
        Self::Response {
            status: 0,
            reason: Span::default(),
        }
    }
}

/// One header, folds included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) name: Name,
    /// From the first byte of the name to the last of the line, white space at its end left out.
    pub(super) line: Span,
    pub(super) name_text: Span,
    pub(super) value: Span,
    colon: u32,
}

impl Header {
    pub(super) fn read(bytes: &[u8], line: Span) -> Self {
        let text = line.of(bytes);
        let colon = text
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(text.len());
        let name_text = line.part(0, colon).trimmed_end(bytes);
        let mut header = Self {
            name: Name::from_text(name_text.of(bytes)),
            line,
            name_text,
            value: Span::default(),
            colon: line.part(colon, colon).start,
        };
        header.trim(bytes);
        header
    }

    /// Takes in a continuation line.
    pub(super) fn fold(&mut self, bytes: &[u8], line: Span) {
        self.line.end = line.end;
        self.trim(bytes);
    }

    /// No colon in its first line, or a name that is no token.
    fn is_broken(&self, bytes: &[u8]) -> bool {
        self.colon == self.line.end
            || self.name == Name::Other && !is_token(self.name_text.of(bytes))
    }

    fn trim(&mut self, bytes: &[u8]) {
        let value = Span {
            start: self.colon.saturating_add(1).min(self.line.end),
            end: self.line.end,
        };
        self.value = value.trimmed_end(bytes).trimmed_start(bytes);
    }
}

/// A part of the message by its place; `of` gives it back, and nothing when the bytes are others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        let place = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            start: place(start),
            end: place(end),
        }
    }

    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.range()).unwrap_or_default()
    }

    pub(super) fn range(self) -> std::ops::Range<usize> {
        let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
        place(self.start)..place(self.end)
    }

    fn len(self) -> usize {
        self.range().len()
    }

    fn part(self, from: usize, to: usize) -> Self {
        let start = self.range().start;
        Self::new(start + from, start + to)
    }

    fn trimmed_end(self, bytes: &[u8]) -> Self {
        self.part(0, self.of(bytes).trim_ascii_end().len())
    }

    fn trimmed_start(self, bytes: &[u8]) -> Self {
        let blanks = self.len() - self.of(bytes).trim_ascii_start().len();
        self.part(blanks, self.len())
    }
}

/// The lines of a head, whether they end in CRLF or in LF alone.
pub(super) struct Lines<'a> {
    pub(super) bytes: &'a [u8],
    /// Where the next line starts.
    pub(super) at: usize,
    /// Whether a CR stood alone. Another reader may take it for the end of a line, so such a
    /// message must not be passed on.
    pub(super) stray: bool,
    limit: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            stray: false,
            limit: at.saturating_add(HEAD_MAX),
        }
    }

    /// Goes on at `at` in a head that starts with the first byte.
    pub(super) fn resumed(bytes: &'a [u8], at: usize) -> Self {
        let limit = HEAD_MAX;
        Self {
            limit,
            ..Self::new(bytes, at)
        }
    }

    /// The next line without its end; `Syntax` when the bytes end first.
    pub(super) fn next_line(&mut self) -> Result<Span, ReadError> {
        let mut from = self.at;
        loop {
            let rest = self.bytes.get(from..).unwrap_or_default();
            let found = memchr2(b'\r', b'\n', rest).map_or(self.bytes.len(), |found| from + found);
            if found > self.limit {
                return Err(ReadError::Limit);
            }
            let (end, next) = match self.bytes.get(found..) {
                Some([b'\n', ..]) => (found, found + 1),
                Some([b'\r', b'\n', ..]) => (found, found + 2),
                Some([b'\r', _, ..]) => {
                    self.stray = true;
                    from = found + 1;
                    continue;
                }
                _ => return Err(ReadError::Syntax),
            };
            let line = Span::new(self.at, end);
            self.at = next;
            return Ok(line);
        }
    }
}

const VERSION: &[u8] = b"SIP/2.0";
const VERSION_START: &[u8] = b"SIP/";

/// The longest start line.
pub(super) const START_LINE_MAX: usize = 8 * 1024;
/// The most bytes before the body: past it a message is dropped, a connection closed.
pub(super) const HEAD_MAX: usize = 16 * 1024;
/// The most header lines, folds not counted.
pub(super) const HEADERS_MAX: usize = 128;
/// The largest body: past it the answer is 413, and a connection is closed.
pub(super) const BODY_MAX: usize = 64 * 1024;
