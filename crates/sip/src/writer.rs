//! Building messages into a reused buffer; long header forms only (libpurple reads no others).

use std::fmt::Display;

use crate::{Edits, Message};

/// Appends the lines of one message to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Starts a request; the caller writes every header.
    pub fn request(out: &'a mut Vec<u8>, method: &str, uri: impl Display) -> Self {
        let _ = (method, uri);
        Self { out }
    }

    /// Adds `name: value`.
    pub fn header(&mut self, name: &str, value: impl Display) -> &mut Self {
        let _ = (name, value);
        todo!()
    }

    /// Ends the head without a body (`Content-Length: 0`).
    pub fn end(self) {
        let _ = self.out;
        todo!()
    }

    /// Ends the head with Content-Type and Content-Length and appends `body`.
    pub fn body(self, content_type: &str, body: &[u8]) {
        let _ = (content_type, body);
        todo!()
    }

    /// Ends the head with Content-Type and Content-Length for a body of `length` bytes that the caller
    /// sends beside it (one body shared by many NOTIFYs).
    pub fn shared_body(self, content_type: &str, length: usize) {
        let _ = (content_type, length);
        todo!()
    }
}

/// Starts responses (RFC 3261 §8.2.6.2).
#[derive(Debug)]
pub struct Response;

impl Response {
    /// Writes status line, Vias (through `edits`), From, To (with `to_tag` unless it has a tag or the
    /// status is 100), Call-ID and CSeq; the caller adds the rest. The phrase is the RFC's for `status`.
    pub fn to<'a>(
        out: &'a mut Vec<u8>,
        request: &Message<'_>,
        edits: &Edits<'_>,
        status: u16,
        to_tag: &str,
    ) -> Writer<'a> {
        let _ = (request, edits, status, to_tag);
        Writer { out }
    }
}
