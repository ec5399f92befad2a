//! Building messages into a reused buffer; long header forms only (libpurple reads no others).

use std::fmt::Display;

use crate::put::{append, put, put_decimal};
use crate::{Edits, Message, Name};

/// Appends the lines of one message to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Starts a request; the caller writes every header.
    pub fn request(out: &'a mut Vec<u8>, method: &str, uri: impl Display) -> Self {
        append(out, format_args!("{method} {uri} SIP/2.0\r\n"));
        Self { out }
    }

    /// Where in the buffer the next line goes.
    #[must_use]
    pub fn place(&self) -> usize {
        self.out.len()
    }

    /// Adds `name: value`. A line break inside the value becomes a space: no value can end its
    /// line, and a fold is undone.
    pub fn header(&mut self, name: &str, value: impl Display) -> &mut Self {
        put(self.out, &[name, ": "]);
        let start = self.out.len();
        append(self.out, format_args!("{value}"));
        let written = self.out.get_mut(start..).unwrap_or_default();
        for byte in written {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Ends the head without a body (`Content-Length: 0`).
    pub fn end(self) {
        self.out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }

    /// Ends the head with Content-Type and Content-Length and appends `body`.
    pub fn body(self, content_type: &str, body: &[u8]) {
        let Self { out } = self;
        Writer { out }.shared_body(content_type, body.len());
        out.extend_from_slice(body);
    }

    /// Ends the head with Content-Type and Content-Length for a body of `length` bytes that the
    /// caller sends beside it (one body shared by many NOTIFYs).
    pub fn shared_body(mut self, content_type: &str, length: usize) {
        self.header(Name::ContentType.as_str(), content_type)
            .header(Name::ContentLength.as_str(), length);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Starts responses (RFC 3261 §8.2.6.2).
#[derive(Debug)]
pub struct Response;

impl Response {
    /// Writes status line, Vias (through `edits`), From, To (with `to_tag` unless it has a tag or
    /// the status is 100), Call-ID and CSeq; the caller adds the rest. The phrase is the RFC's for
    /// `status`.
    pub fn to<'a>(
        out: &'a mut Vec<u8>,
        request: &Message<'_>,
        edits: &Edits<'_>,
        status: u16,
        to_tag: &str,
    ) -> Writer<'a> {
        put(out, &["SIP/2.0 "]);
        put_decimal(out, status);
        put(out, &[" ", Self::reason(status), "\r\n"]);
        edits.write_vias(request, out);
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            let Some(value) = request.header(name) else {
                continue;
            };
            put(out, &[name.as_str(), ": "]);
            out.extend_from_slice(value);
            if name == Name::To && status != 100 && !to_tag.is_empty() && !has_tag(request) {
                put(out, &[";tag=", to_tag]);
            }
            out.extend_from_slice(b"\r\n");
        }
        if status == 100 {
            copy_timestamp(request, out);
        }
        Writer { out }
    }

    /// The phrase that goes with `status` (RFC 3261 §21 and the RFCs that added to it).
    #[must_use]
    pub fn reason(status: u16) -> &'static str {
        REASONS
            .binary_search_by_key(&status, |(listed, _)| *listed)
            .ok()
            .and_then(|at| REASONS.get(at))
            .map_or_else(|| class_reason(status), |(_, reason)| *reason)
    }
}

fn has_tag(request: &Message<'_>) -> bool {
    request.to().is_some_and(|to| to.params.has("tag"))
}

/// A 100 carries the Timestamp of its request (RFC 3261 §8.2.6.1).
fn copy_timestamp(request: &Message<'_>, out: &mut Vec<u8>) {
    let timestamp = request
        .headers()
        .find(|(_, name, _)| name.eq_ignore_ascii_case(b"Timestamp"));
    if let Some((_, _, value)) = timestamp {
        put(out, &["Timestamp: "]);
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

/// An unknown status means what its class means (RFC 3261 §8.1.3.2).
fn class_reason(status: u16) -> &'static str {
    match status / 100 {
        1 => "Session Progress",
        2 => "OK",
        3 => "Multiple Choices",
        4 => "Bad Request",
        5 => "Server Internal Error",
        _ => "Busy Everywhere",
    }
}

/// In order of status: RFC 3261 §21; 202 and 489 RFC 6665 §8.3; 412 RFC 3903 §11.2; 417 RFC 4412
/// §12.2 and others as the registry of RFC 3261 §27.4 lists them.
const REASONS: [(u16, &str); 56] = [
    (100, "Trying"),
    (180, "Ringing"),
    (181, "Call Is Being Forwarded"),
    (182, "Queued"),
    (183, "Session Progress"),
    (200, "OK"),
    (202, "Accepted"),
    (204, "No Notification"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Moved Temporarily"),
    (305, "Use Proxy"),
    (380, "Alternative Service"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (410, "Gone"),
    (412, "Conditional Request Failed"),
    (413, "Request Entity Too Large"),
    (414, "Request-URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Unsupported URI Scheme"),
    (420, "Bad Extension"),
    (421, "Extension Required"),
    (423, "Interval Too Brief"),
    (430, "Flow Failed"),
    (439, "First Hop Lacks Outbound Support"),
    (480, "Temporarily Unavailable"),
    (481, "Call/Transaction Does Not Exist"),
    (482, "Loop Detected"),
    (483, "Too Many Hops"),
    (484, "Address Incomplete"),
    (485, "Ambiguous"),
    (486, "Busy Here"),
    (487, "Request Terminated"),
    (488, "Not Acceptable Here"),
    (489, "Bad Event"),
    (491, "Request Pending"),
    (493, "Undecipherable"),
    (500, "Server Internal Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Server Time-out"),
    (505, "Version Not Supported"),
    (513, "Message Too Large"),
    (600, "Busy Everywhere"),
    (603, "Decline"),
    (604, "Does Not Exist Anywhere"),
    (606, "Not Acceptable"),
];

#[cfg(test)]
mod tests;
