//! What can be wrong with a message: what is answered, and what is dropped.

use super::{Message, Name, Start};
use crate::text::Commas;
use crate::{CSeq, NameAddr, Uri, Via};

/// What is wrong with a request that can still be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The body is shorter than Content-Length says, or Content-Length is junk.
    #[error("Content-Length does not fit")]
    ContentLength,
    /// A header that every request carries is missing, repeated or broken (RFC 3261 §8.1.1);
    /// [`Name::Other`] is a line that is no header.
    #[error("{0:?} is missing or broken")]
    Header(Name),
    /// The body is over the limit.
    #[error("the body is too large")]
    TooLarge,
    /// The Request-URI is no URI.
    #[error("the Request-URI is broken")]
    Uri,
    /// Not SIP/2.0.
    #[error("the version is not SIP/2.0")]
    Version,
}

impl Defect {
    /// The status to answer with.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::ContentLength | Self::Header(_) | Self::Uri => 400,
            Self::TooLarge => 413,
            Self::Version => 505,
        }
    }
}

/// Why bytes are not a message that could be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// More header lines, or a longer head, than the limits allow.
    #[error("over a limit")]
    Limit,
    /// Only CRLFs: a keep-alive (RFC 5626 §4.4.1).
    #[error("a keep-alive")]
    Ping,
    /// No start line, no end of the headers, or no Via to answer by.
    #[error("not a SIP message")]
    Syntax,
}

impl Message<'_> {
    /// What must be answered with an error before anything else: the status and phrase are the
    /// defect's. A response with a defect is to be dropped.
    #[must_use]
    pub fn defect(&self) -> Option<Defect> {
        self.index
            .flaw
            .or_else(|| self.header_defect().map(Defect::Header))
            .or_else(|| self.uri_defect())
    }

    /// The header of RFC 3261 §8.1.1 that is missing, repeated or broken. A missing Max-Forwards is
    /// accepted: old phones send none.
    fn header_defect(&self) -> Option<Name> {
        let address_is_broken = |address: Option<NameAddr<'_>>| {
            address.is_none_or(|address| Uri::parse(address.uri).is_err())
        };
        let broken = [
            (Name::Via, !self.has_whole_vias()),
            (Name::From, address_is_broken(self.from())),
            (Name::To, address_is_broken(self.to())),
            (Name::CallId, self.call_id().is_none_or(str::is_empty)),
            (Name::CSeq, !self.has_whole_cseq()),
            (Name::MaxForwards, self.has_broken_max_forwards()),
        ];
        let repeated = |name: Name| name != Name::Via && self.count(name) > 1;
        broken
            .into_iter()
            .find(|(name, broken)| *broken || repeated(*name))
            .map(|(name, _)| name)
    }

    fn has_whole_vias(&self) -> bool {
        let is_whole =
            |value| std::str::from_utf8(value).is_ok_and(|text| Via::parse(text).is_some());
        let headers = self.index.headers.iter();
        headers
            .filter(|header| header.name == Name::Via)
            .all(|header| {
                let mut values = Commas::new(header.value.of(self.bytes)).peekable();
                values.peek().is_some() && values.all(is_whole)
            })
    }

    /// The method of CSeq must be the request's (RFC 3261 §8.1.1.5).
    fn has_whole_cseq(&self) -> bool {
        match (self.start(), self.cseq()) {
            (Start::Request { method_text, .. }, Some(CSeq { method, .. })) => {
                method == method_text
            }
            (Start::Response { .. }, Some(_)) => true,
            (_, None) => false,
        }
    }

    fn has_broken_max_forwards(&self) -> bool {
        self.header(Name::MaxForwards).is_some() && self.number(Name::MaxForwards).is_none()
    }

    fn uri_defect(&self) -> Option<Defect> {
        let Start::Request { uri, .. } = self.start() else {
            return None;
        };
        // Headers have no place in a Request-URI (RFC 3261 §19.1.1).
        let is_whole = Uri::parse(uri).is_ok_and(|uri| uri.headers.is_none());
        (!is_whole).then_some(Defect::Uri)
    }

    fn count(&self, name: Name) -> usize {
        let headers = self.index.headers.iter();
        headers.filter(|header| header.name == name).count()
    }
}
