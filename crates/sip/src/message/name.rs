//! The methods and header names we tell apart (RFC 3261 §7.1, §7.3).

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

impl Method {
    /// The method that `text` spells; methods are compared with case (RFC 3261 §7.1).
    #[must_use]
    pub fn from_text(text: &[u8]) -> Self {
        match text {
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"INVITE" => Self::Invite,
            b"MESSAGE" => Self::Message,
            b"NOTIFY" => Self::Notify,
            b"OPTIONS" => Self::Options,
            b"PUBLISH" => Self::Publish,
            b"REGISTER" => Self::Register,
            b"SUBSCRIBE" => Self::Subscribe,
            _ => Self::Other,
        }
    }
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
    /// Ours: what the pool link says of a message ([`crate::Edits`] removes it from what phones
    /// send).
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

impl Name {
    /// The header that `text` names, long or compact, without regard to case (RFC 3261 §7.3.1).
    #[must_use]
    pub fn from_text(text: &[u8]) -> Self {
        let Some(first) = text.first() else {
            return Self::Other;
        };
        if text.len() == 1 {
            return Self::from_compact(first.to_ascii_lowercase());
        }
        let candidate = Self::candidate(first.to_ascii_lowercase(), text.len());
        // Most senders write the RFC's own spelling, which is the cheaper one to compare.
        let same = |name: &Self| {
            let spelling = name.as_str().as_bytes();
            spelling == text || spelling.eq_ignore_ascii_case(text)
        };
        // Contact is the one name that shares first letter and length with another.
        [candidate, Self::Contact]
            .into_iter()
            .find(same)
            .unwrap_or(Self::Other)
    }

    /// The long form; empty for [`Name::Other`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "Accept",
            Self::AcceptEncoding => "Accept-Encoding",
            Self::Allow => "Allow",
            Self::AllowEvents => "Allow-Events",
            Self::Authorization => "Authorization",
            Self::CSeq => "CSeq",
            Self::CallId => "Call-ID",
            Self::Contact => "Contact",
            Self::ContentDisposition => "Content-Disposition",
            Self::ContentEncoding => "Content-Encoding",
            Self::ContentLength => "Content-Length",
            Self::ContentType => "Content-Type",
            Self::Date => "Date",
            Self::Event => "Event",
            Self::Expires => "Expires",
            Self::From => "From",
            Self::MaxForwards => "Max-Forwards",
            Self::MinExpires => "Min-Expires",
            Self::Other => "",
            Self::Path => "Path",
            Self::Presently => "Presently",
            Self::ProxyAuthorization => "Proxy-Authorization",
            Self::ProxyRequire => "Proxy-Require",
            Self::RecordRoute => "Record-Route",
            Self::Require => "Require",
            Self::RetryAfter => "Retry-After",
            Self::Route => "Route",
            Self::SipEtag => "SIP-ETag",
            Self::SipIfMatch => "SIP-If-Match",
            Self::SubscriptionState => "Subscription-State",
            Self::Supported => "Supported",
            Self::To => "To",
            Self::Unsupported => "Unsupported",
            Self::UserAgent => "User-Agent",
            Self::Via => "Via",
        }
    }

    /// Compact forms: RFC 3261 §7.3.3 and §20; `o` and `u` from RFC 6665 §8.4.
    fn from_compact(letter: u8) -> Self {
        match letter {
            b'c' => Self::ContentType,
            b'e' => Self::ContentEncoding,
            b'f' => Self::From,
            b'i' => Self::CallId,
            b'k' => Self::Supported,
            b'l' => Self::ContentLength,
            b'm' => Self::Contact,
            b'o' => Self::Event,
            b't' => Self::To,
            b'u' => Self::AllowEvents,
            b'v' => Self::Via,
            _ => Self::Other,
        }
    }

    /// The name that a first letter and a length leave possible, still to be compared.
    fn candidate(first: u8, length: usize) -> Self {
        match (first, length) {
            (b'a', 5) => Self::Allow,
            (b'a', 6) => Self::Accept,
            (b'a', 12) => Self::AllowEvents,
            (b'a', 13) => Self::Authorization,
            (b'a', 15) => Self::AcceptEncoding,
            (b'c', 4) => Self::CSeq,
            (b'c', 7) => Self::CallId,
            (b'c', 12) => Self::ContentType,
            (b'c', 14) => Self::ContentLength,
            (b'c', 16) => Self::ContentEncoding,
            (b'c', 19) => Self::ContentDisposition,
            (b'd', 4) => Self::Date,
            (b'e', 5) => Self::Event,
            (b'e', 7) => Self::Expires,
            (b'f', 4) => Self::From,
            (b'm', 11) => Self::MinExpires,
            (b'm', 12) => Self::MaxForwards,
            (b'p', 4) => Self::Path,
            (b'p', 9) => Self::Presently,
            (b'p', 13) => Self::ProxyRequire,
            (b'p', 19) => Self::ProxyAuthorization,
            (b'r', 5) => Self::Route,
            (b'r', 7) => Self::Require,
            (b'r', 11) => Self::RetryAfter,
            (b'r', 12) => Self::RecordRoute,
            (b's', 8) => Self::SipEtag,
            (b's', 9) => Self::Supported,
            (b's', 12) => Self::SipIfMatch,
            (b's', 18) => Self::SubscriptionState,
            (b't', 2) => Self::To,
            (b'u', 10) => Self::UserAgent,
            (b'u', 11) => Self::Unsupported,
            (b'v', 3) => Self::Via,
            _ => Self::Other,
        }
    }
}
