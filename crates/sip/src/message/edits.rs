//! What a proxy changes in a message, kept apart from the message until somebody writes it.

use std::net::SocketAddr;

use super::index::Header;
use super::{Message, Name, Start};
use crate::Via;
use crate::put::{put, put_address, put_decimal};
use crate::text::{Commas, cut_outside};

/// What a proxy changes in a request it passes on; pending until somebody writes the text.
///
/// A server that gets the message in memory reads through it ([`Edits::write_vias`],
/// [`Edits::record_routes`]); a server behind a connection gets the text of [`Edits::write`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Edits<'a> {
    /// Put on top of everything: the value of the pool link's header.
    pub presently: Option<&'a str>,
    /// A Via value to put on top.
    pub via: Option<&'a str>,
    /// The source, to be written into the top Via as `received` and, where `rport` is empty,
    /// `rport` (RFC 3261 §18.2.1, RFC 3581 §4). A `received` of the sender's own is taken out.
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
    /// Writes the message as it stands after the edits: unknown headers byte for byte, any
    /// `Presently` header of the sender removed, Content-Length added when it was absent.
    pub fn write(&self, message: &Message<'_>, out: &mut Vec<u8>) {
        self.write_start(message, out);
        self.write_top(out);
        write_optional(out, Name::RecordRoute, self.record_route);
        let mut routes = Removal::new(self.routes_removed);
        let mut top_via = true;
        for header in &message.index.headers {
            match header.name {
                Name::Presently => {}
                Name::Via if std::mem::take(&mut top_via) => {
                    self.write_top_via(message.bytes, header, out);
                }
                Name::MaxForwards if self.max_forwards.is_some() => {}
                Name::Route => routes.write(message.bytes, header, out),
                _ => write_raw(message.bytes, header, out),
            }
        }
        if let Some(hops) = self.max_forwards {
            write_number(out, Name::MaxForwards, hops);
        }
        write_end(message, out);
    }

    /// Writes the Via header lines of the edited message (for a response: RFC 3261 §8.2.6.2).
    pub fn write_vias(&self, message: &Message<'_>, out: &mut Vec<u8>) {
        write_optional(out, Name::Via, self.via);
        let headers = message.index.headers.iter();
        let mut vias = headers.filter(|header| header.name == Name::Via);
        if let Some(top) = vias.next() {
            self.write_top_via(message.bytes, top, out);
        }
        for header in vias {
            write_value(out, Name::Via, header.value.of(message.bytes));
        }
    }

    /// The Record-Route values of the edited message, topmost first.
    pub fn record_routes<'m>(
        &self,
        message: &Message<'m>,
    ) -> impl Iterator<Item = &'m str> + use<'m, 'a>
    where
        'a: 'm,
    {
        let own: Option<&'m str> = self.record_route;
        own.into_iter().chain(message.values(Name::RecordRoute))
    }

    /// Writes a response without its first `vias_removed` Via values, otherwise byte for byte
    /// (RFC 3261 §16.7), with `via` and `presently` of the edits on top when they are set. A
    /// `Presently` header of the sender is removed, Content-Length added when it was absent.
    pub fn write_response(&self, message: &Message<'_>, vias_removed: usize, out: &mut Vec<u8>) {
        self.write_start(message, out);
        self.write_top(out);
        let mut vias = Removal::new(vias_removed);
        for header in &message.index.headers {
            match header.name {
                Name::Presently => {}
                Name::Via => vias.write(message.bytes, header, out),
                _ => write_raw(message.bytes, header, out),
            }
        }
        write_end(message, out);
    }

    fn write_start(&self, message: &Message<'_>, out: &mut Vec<u8>) {
        match message.start() {
            Start::Request {
                method_text, uri, ..
            } => {
                let uri = self.request_uri.unwrap_or(uri);
                put(out, &[method_text, " ", uri, " SIP/2.0\r\n"]);
            }
            Start::Response { status, reason } => {
                put(out, &["SIP/2.0 "]);
                put_decimal(out, status);
                put(out, &[" "]);
                out.extend_from_slice(reason);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn write_top(&self, out: &mut Vec<u8>) {
        write_optional(out, Name::Presently, self.presently);
        write_optional(out, Name::Via, self.via);
    }

    /// Writes the line of the topmost Via with what its receiver adds.
    fn write_top_via(&self, bytes: &[u8], header: &Header, out: &mut Vec<u8>) {
        let mut values = Commas::new(header.value.of(bytes));
        let top = values.next().unwrap_or_default();
        let parsed = std::str::from_utf8(top)
            .ok()
            .and_then(|text| Some((text, Via::parse(text)?)));
        let (Some(source), Some((text, via))) = (self.source, parsed) else {
            return write_value(out, Name::Via, header.value.of(bytes));
        };
        out.extend_from_slice(b"Via: ");
        write_received(text, &via, source, out);
        if !values.rest().is_empty() {
            out.extend_from_slice(b", ");
            out.extend_from_slice(values.rest());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes `via` as a server does that got it from `source` (RFC 3261 §18.2.1, RFC 3581 §4).
fn write_received(text: &str, via: &Via<'_>, source: SocketAddr, out: &mut Vec<u8>) {
    let (sent_by, _) = cut_outside(text, b';');
    put(out, &[sent_by.trim_ascii_end()]);
    let mut is_asked = false;
    for (name, value) in via.params.iter() {
        if name.eq_ignore_ascii_case("received") {
            continue;
        }
        put(out, &[";", name]);
        match value {
            None | Some("") if name.eq_ignore_ascii_case("rport") => {
                is_asked = true;
                put(out, &["="]);
                put_decimal(out, source.port());
            }
            Some(value) => put(out, &["=", value]),
            None => {}
        }
    }
    let address = source.ip().to_canonical();
    // RFC 3581 §4: who asked for rport gets `received` even where it says nothing new.
    if is_asked || via.host.address() != Some(address) {
        put(out, &[";received="]);
        put_address(out, address);
    }
}

/// Leaves out the first values of a header that may be spread over lines.
struct Removal {
    left: usize,
}

impl Removal {
    fn new(count: usize) -> Self {
        Self { left: count }
    }

    fn write(&mut self, bytes: &[u8], header: &Header, out: &mut Vec<u8>) {
        if self.left == 0 {
            return write_raw(bytes, header, out);
        }
        let mut values = Commas::new(header.value.of(bytes));
        while self.left > 0 {
            match values.next() {
                // What is not UTF-8 was never shown to the one who counted, and goes along.
                Some(value) if std::str::from_utf8(value).is_err() => {}
                Some(_) => self.left -= 1,
                None => return,
            }
        }
        if !values.rest().is_empty() {
            write_value(out, header.name, values.rest());
        }
    }
}

/// The line as it was, folds included, ended by CRLF.
fn write_raw(bytes: &[u8], header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(header.line.of(bytes));
    out.extend_from_slice(b"\r\n");
}

fn write_value(out: &mut Vec<u8>, name: Name, value: &[u8]) {
    put(out, &[name.as_str(), ": "]);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_optional(out: &mut Vec<u8>, name: Name, value: Option<&str>) {
    if let Some(value) = value {
        write_value(out, name, value.as_bytes());
    }
}

fn write_number(out: &mut Vec<u8>, name: Name, value: u32) {
    put(out, &[name.as_str(), ": "]);
    put_decimal(out, value);
    put(out, &["\r\n"]);
}

fn write_end(message: &Message<'_>, out: &mut Vec<u8>) {
    let body = message.body();
    if message.header(Name::ContentLength).is_none() {
        let length = u32::try_from(body.len()).expect("a place in a message is below 2³²");
        write_number(out, Name::ContentLength, length);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests;
