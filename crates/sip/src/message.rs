//! A message as an index of header spans over one buffer (RFC 3261 §7).

use std::net::SocketAddr;

use crate::{CSeq, NameAddr, Via};

/// The reusable memory of an index: one per loop. Reading a message into it allocates nothing once its
/// vector has grown.
#[derive(Clone, Debug, Default)]
pub struct Index {}

/// How the end of the message is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// One datagram is one message: Content-Length may be absent; surplus bytes are cut, a body that is
    /// too short is a [`Defect`] (RFC 3261 §18.3).
    Datagram,
    /// The bytes are one whole message as [`Stream`] cut it.
    Stream,
}

/// One SIP message: bytes, and where its parts are. Values are parsed when asked for.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
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
        /// The Request-URI as written; parse it with [`crate::Uri::parse`].
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

/// The methods we tell apart; the text of another is in the start line.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Method {
    /// RFC 3261 §13.
    Ack,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §13.
    Invite,
    /// RFC 3428 §3.
    Message,
    /// RFC 6665 §4.
    Notify,
    /// RFC 3261 §11.
    Options,
    /// Any other token.
    Other,
    /// RFC 3903 §3.
    Publish,
    /// RFC 3261 §10.
    Register,
    /// RFC 6665 §4.
    Subscribe,
}

/// Header names we tell apart, compact forms folded in (RFC 3261 §7.3.3, §20).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "each variant is the header it spells")]
pub enum Name {
    Accept,
    AcceptEncoding,
    Allow,
    AllowEvents,
    Authorization,
    CSeq,
    CallId,
    Contact,
    ContentDisposition,
    ContentEncoding,
    ContentLength,
    ContentType,
    Date,
    Event,
    Expires,
    From,
    MaxForwards,
    MinExpires,
    /// Any other name; its text is with the header.
    Other,
    Path,
    /// Ours: what the pool link says of a message ([`Edits`] removes it from what phones send).
    Presently,
    ProxyAuthorization,
    ProxyRequire,
    RecordRoute,
    Require,
    RetryAfter,
    Route,
    SipEtag,
    SipIfMatch,
    SubscriptionState,
    Supported,
    To,
    Unsupported,
    UserAgent,
    Via,
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
        let _ = (bytes, framing);
        todo!()
    }

    /// The message this index was last filled from, over the same `bytes`: how an indexed message is
    /// kept across a borrow (the index is a plain value and may be cloned and stored beside its bytes).
    #[must_use]
    pub fn message<'a>(&'a self, bytes: &'a [u8]) -> Message<'a> {
        Message { bytes, index: self }
    }
}

impl<'a> Message<'a> {
    /// The start line.
    #[must_use]
    pub fn start(&self) -> Start<'a> {
        todo!()
    }

    /// What must be answered with an error before anything else: the status and phrase are the defect's.
    #[must_use]
    pub fn defect(&self) -> Option<Defect> {
        todo!()
    }

    /// The first header called `name`: its value, white space trimmed, folds still in place.
    #[must_use]
    pub fn header(&self, name: Name) -> Option<&'a [u8]> {
        let _ = name;
        todo!()
    }

    /// As [`Message::header`], when it is UTF-8.
    #[must_use]
    pub fn text(&self, name: Name) -> Option<&'a str> {
        self.header(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of every header called `name`, split at commas outside quotes and brackets
    /// (RFC 3261 §7.3.1); values that are not UTF-8 are left out.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a str> + use<'a> {
        let _ = name;
        std::iter::empty() // replaced by the real splitter
    }

    /// Every header in order: known name, name as written, value trimmed.
    pub fn headers(&self) -> impl Iterator<Item = (Name, &'a [u8], &'a [u8])> + use<'a> {
        std::iter::empty() // replaced by the real iterator
    }

    /// The topmost Via.
    #[must_use]
    pub fn via(&self) -> Option<Via<'a>> {
        self.values(Name::Via).next().and_then(Via::parse)
    }

    /// From.
    #[must_use]
    pub fn from(&self) -> Option<NameAddr<'a>> {
        self.text(Name::From).and_then(NameAddr::parse)
    }

    /// To.
    #[must_use]
    pub fn to(&self) -> Option<NameAddr<'a>> {
        self.text(Name::To).and_then(NameAddr::parse)
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

    /// A header whose value is a count of seconds (Expires, Min-Expires) or a plain number
    /// (Max-Forwards); too large a number saturates, junk is `None` (RFC 3261 §20.19).
    #[must_use]
    pub fn number(&self, name: Name) -> Option<u32> {
        let _ = name;
        todo!()
    }

    /// The body, cut to Content-Length.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        todo!()
    }

    /// All bytes of the message, body included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// What a proxy changes in a request it passes on; pending until somebody writes the text.
///
/// A server that gets the message in memory reads through it ([`Edits::vias`],
/// [`Edits::record_routes`]); a server behind a connection gets the text of [`Edits::write`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Edits<'a> {
    /// Put on top of everything: the value of the pool link's header.
    pub presently: Option<&'a str>,
    /// A Via value to put on top.
    pub via: Option<&'a str>,
    /// The source, to be written into the top Via as `received` and, where `rport` is empty, `rport`
    /// (RFC 3261 §18.2.1, RFC 3581 §4).
    pub source: Option<SocketAddr>,
    /// How many Route values to take from the top.
    pub routes_removed: usize,
    /// A Record-Route value to put on top.
    pub record_route: Option<&'a str>,
    /// The value of Max-Forwards to write.
    pub max_forwards: Option<u32>,
    /// A Request-URI to write in place of the present one (a relayed MESSAGE, a strict route).
    pub request_uri: Option<&'a str>,
}

impl<'a> Edits<'a> {
    /// Writes the message as it stands after the edits: unknown headers byte for byte, any `Presently`
    /// header of the sender removed, Content-Length added when it was absent.
    pub fn write(&self, message: &Message<'_>, out: &mut Vec<u8>) {
        let _ = (message, out);
        todo!()
    }

    /// Writes the Via header lines of the edited message (for a response: RFC 3261 §8.2.6.2).
    pub fn write_vias(&self, message: &Message<'_>, out: &mut Vec<u8>) {
        let _ = (message, out);
        todo!()
    }

    /// The Record-Route values of the edited message, topmost first.
    pub fn record_routes<'m>(
        &self,
        message: &Message<'m>,
    ) -> impl Iterator<Item = &'m str> + use<'m, 'a>
    where
        'a: 'm,
    {
        let _ = message;
        std::iter::empty() // replaced by the real iterator
    }

    /// Writes a response without its first `vias_removed` Via values, otherwise byte for byte
    /// (RFC 3261 §16.7), with `via` and `presently` of the edits on top when they are set.
    pub fn write_response(&self, message: &Message<'_>, vias_removed: usize, out: &mut Vec<u8>) {
        let _ = (message, vias_removed, out);
        todo!()
    }
}

/// Cuts a byte stream into messages by Content-Length (RFC 3261 §18.3), in any segmentation.
#[derive(Debug, Default)]
pub struct Stream {}

impl Stream {
    /// Takes what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }

    /// The next whole message, if one is there. `pings` counts the double CRLFs met before it, each to be
    /// answered with a single CRLF (RFC 5626 §5.4).
    ///
    /// # Errors
    ///
    /// Framing is lost (no Content-Length, conflicting ones, or over a limit): close the connection.
    pub fn next_message(&mut self, pings: &mut usize) -> Result<Option<bytes::Bytes>, ReadError> {
        let _ = pings;
        todo!()
    }
}

/// What is wrong with a request that can still be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The body is shorter than Content-Length says, or Content-Length is junk.
    #[error("Content-Length does not fit")]
    ContentLength,
    /// A header that every request carries is missing, repeated or broken (RFC 3261 §8.1.1).
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
