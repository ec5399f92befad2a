//! A message as an index of header spans over one buffer (RFC 3261 §7).

mod defect;
mod edits;
mod index;
mod name;
mod stream;

pub use defect::{Defect, ReadError};
pub use edits::Edits;
pub use index::{Framing, Index};
pub use name::{Method, Name};
pub use stream::{BUFFER_MAX, Stream};

use crate::text::{self, Commas};
use crate::{CSeq, NameAddr, Via};

/// One SIP message: bytes, and where its parts are. Values are parsed when asked for.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// All before the body, where that is UTF-8: judged once, not for each value.
    head: Option<&'a str>,
    index: &'a Index,
}

/// The start line (RFC 3261 §7.1, §7.2).
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// A request.
    Request {
        /// The method, compared with case.
        method: Method,
        /// The method as written.
        method_text: &'a str,
        /// The Request-URI as written; parse it with [`crate::Uri::parse`]. Empty when it is not
        /// UTF-8.
        uri: &'a str,
    },
    /// A response.
    Response {
        /// 100 to 699.
        status: u16,
        /// The phrase's bytes, which need not be UTF-8.
        reason: &'a [u8],
    },
}

impl<'a> Message<'a> {
    /// The start line.
    #[must_use]
    pub fn start(&self) -> Start<'a> {
        let text = |span| self.text_of(span).unwrap_or_default();
        match self.index.start {
            index::StartLine::Request {
                method,
                method_text,
                uri,
            } => Start::Request {
                method,
                method_text: text(method_text),
                uri: text(uri),
            },
            index::StartLine::Response { status, reason } => Start::Response {
                status,
                reason: reason.of(self.bytes),
            },
        }
    }

    /// The first header called `name`: its value, white space trimmed, folds still in place.
    #[must_use]
    pub fn header(&self, name: Name) -> Option<&'a [u8]> {
        let mut headers = self.index.headers.iter();
        headers
            .find(|header| header.name == name)
            .map(|header| header.value.of(self.bytes))
    }

    /// As [`Message::header`], when it is UTF-8.
    #[must_use]
    pub fn text(&self, name: Name) -> Option<&'a str> {
        let mut headers = self.index.headers.iter();
        let header = headers.find(|header| header.name == name)?;
        self.text_of(header.value)
    }

    /// Every value of every header called `name`, split at commas outside quotes and brackets
    /// (RFC 3261 §7.3.1); values that are not UTF-8 are left out. Date, Call-ID, Authorization and
    /// their like hold one value, commas included: ask [`Message::text`] for them.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a str> + use<'a> {
        let bytes = self.bytes;
        let headers = self.index.headers.iter();
        headers
            .filter(move |header| header.name == name)
            .flat_map(move |header| Commas::new(header.value.of(bytes)))
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Every header in order: known name, name as written, value trimmed.
    pub fn headers(&self) -> impl Iterator<Item = (Name, &'a [u8], &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        self.index.headers.iter().map(move |header| {
            let (name_text, value) = (header.name_text.of(bytes), header.value.of(bytes));
            (header.name, name_text, value)
        })
    }

    /// The option-tags that must be understood (RFC 3261 §8.2.2.3).
    pub fn require_tags(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.values(Name::Require)
    }

    /// The topmost Via.
    #[must_use]
    pub fn via(&self) -> Option<Via<'a>> {
        self.values(Name::Via).next().and_then(Via::parse)
    }

    /// From.
    #[must_use]
    pub fn from(&self) -> Option<NameAddr<'a>> {
        self.name_addr(Name::From)
    }

    /// To.
    #[must_use]
    pub fn to(&self) -> Option<NameAddr<'a>> {
        self.name_addr(Name::To)
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> Option<&'a str> {
        self.text(Name::CallId)
    }

    /// CSeq.
    #[must_use]
    pub fn cseq(&self) -> Option<CSeq<'a>> {
        self.text(Name::CSeq).and_then(CSeq::parse)
    }

    /// A header whose value is a count of seconds (Expires, Min-Expires; Retry-After without what
    /// may follow the count) or a plain number (Max-Forwards); too large a number saturates, junk
    /// is `None` (RFC 3261 §20.19).
    #[must_use]
    pub fn number(&self, name: Name) -> Option<u32> {
        let value = self.header(name)?;
        if name != Name::RetryAfter {
            return text::decimal(value);
        }
        // A comment or parameters may follow (RFC 3261 §20.33).
        let count = value.split(|byte| b";(".contains(byte)).next()?;
        text::decimal(count.trim_ascii())
    }

    /// The body, cut to Content-Length.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.index.body.of(self.bytes)
    }

    /// Where its parts are: clone it beside a copy of the bytes to keep the message.
    #[must_use]
    pub fn index(&self) -> &'a Index {
        self.index
    }

    /// All bytes of the message, body included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Reads one address. A display name that is not UTF-8 is given up, not the address behind it.
    fn name_addr(&self, name: Name) -> Option<NameAddr<'a>> {
        let text = self.text(name).or_else(|| {
            let value = self.header(name)?;
            let address = text::find_outside(value, b'<').and_then(|at| value.get(at..))?;
            std::str::from_utf8(address).ok()
        });
        text.and_then(NameAddr::parse)
    }

    /// A part of the head, when it is UTF-8.
    fn text_of(&self, span: index::Span) -> Option<&'a str> {
        match self.head {
            Some(head) => head.get(span.range()),
            None => std::str::from_utf8(span.of(self.bytes)).ok(),
        }
    }
}

#[cfg(test)]
mod tests;
