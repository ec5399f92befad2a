//! What a balancer and a server say to each other about one SIP message.
//!
//! In memory it is this struct; over a connection it is the value of the `Presently` header, which
//! the balancer removes from everything that phones send and receive:
//!
//! ```text
//! forward;c=7,sip:alice@example.com;e=12;f=3,udp,0,192.0.2.1:5060;a=192.0.2.9:5060
//! kind    client, its address       epoch flow and its balancer   advertised address
//! ```
//!
//! The fields stand in this order; one that is absent is left out. Bytes that would end a field or
//! a header are escaped as `%` and two hexadecimal digits.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use presently_sip::{Aor, Flow, Protocol};

use crate::{ClientId, Epoch, FlowToken, MemberId};

/// What the message is on the link.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// To a server: a phone's request, or a phone's response to a request of the server's.
    /// To a balancer: the server's response, or a request to leave by `flow`.
    Forward,
    /// To a balancer: a request whose sender is not its client's server; `epoch` is the newer one
    /// if known.
    HandBack,
    /// To a server: a request that was handed back once; the receiver holds it, never hands it
    /// back.
    Marked,
}

/// The envelope of one SIP message between a balancer and a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Passage {
    /// What the message is on the link.
    pub kind: Kind,
    /// The client the request is routed by, or whose dialog a NOTIFY belongs to; absent on
    /// responses and on other requests to phones.
    pub client: Option<(ClientId, Aor)>,
    /// The epoch the sender believes in.
    pub epoch: Epoch,
    /// The flow the message came by or is to leave by.
    pub flow: Option<FlowToken>,
    /// Host and port, with a transport parameter where it is not UDP, of the listener's advertised
    /// address: what Contact and Record-Route name (`127.0.0.1:5060;transport=tcp`).
    pub advertised: Option<Arc<str>>,
}

impl Passage {
    /// Appends the value of the `Presently` header: visible ASCII, no comma outside the client and
    /// the flow, no white space. An IPv6 flow label is not kept.
    pub fn write(&self, out: &mut String) {
        self.write_to(out).expect("a String takes everything");
    }

    /// Reads a header value back. Exactly the texts that [`Passage::write`] writes are read.
    ///
    /// # Errors
    ///
    /// The text is not what [`Passage::write`] writes.
    pub fn read(text: &str) -> Result<Self, InvalidPassage> {
        let passage = Self::read_fields(text).ok_or(InvalidPassage)?;
        // Strict by construction: whatever was read leniently must be written as it stood.
        let mut rest = Expected(text);
        match passage.write_to(&mut rest) {
            Ok(()) if rest.0.is_empty() => Ok(passage),
            _ => Err(InvalidPassage),
        }
    }

    fn write_to(&self, out: &mut impl Write) -> fmt::Result {
        out.write_str(self.kind.word())?;
        if let Some((client, aor)) = &self.client {
            write!(out, ";c={},", client.0)?;
            Escaping(out).write_str(aor.as_str())?;
        }
        write!(out, ";e={}", self.epoch.0)?;
        if let Some(token) = &self.flow {
            write_flow(token, out)?;
        }
        if let Some(advertised) = &self.advertised {
            out.write_str(";a=")?;
            Escaping(out).write_str(advertised)?;
        }
        Ok(())
    }

    fn read_fields(text: &str) -> Option<Self> {
        let mut fields = text.split(';');
        let mut passage = Self {
            kind: Kind::from_word(fields.next()?)?,
            client: None,
            epoch: Epoch::default(),
            flow: None,
            advertised: None,
        };
        for field in fields {
            let (name, value) = field.split_once('=')?;
            match name {
                "a" => passage.advertised = Some(unescape(value)?.into()),
                "c" => passage.client = Some(read_client(value)?),
                "e" => passage.epoch = Epoch(value.parse().ok()?),
                "f" => passage.flow = Some(read_flow(value)?),
                _ => return None,
            }
        }
        Some(passage)
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::HandBack => "back",
            Self::Marked => "marked",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Forward, Self::HandBack, Self::Marked]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// The header value is not a passage.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a pool link envelope")]
pub struct InvalidPassage;

fn read_client(value: &str) -> Option<(ClientId, Aor)> {
    let (id, aor) = value.split_once(',')?;
    let aor = Aor::from_key(&unescape(aor)?).ok()?;
    Some((ClientId(id.parse().ok()?), aor))
}

fn write_flow(token: &FlowToken, out: &mut impl Write) -> fmt::Result {
    let flow = token.flow;
    let protocol = match flow.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    write!(out, ";f={},{protocol},{},", token.balancer.0, flow.listener)?;
    // The Display of an address writes its scope but no flow label.
    write!(Escaping(out), "{}", flow.remote)?;
    match flow.protocol {
        Protocol::Tcp => write!(out, ",{},{}", flow.slot, flow.generation),
        Protocol::Udp => Ok(()),
    }
}

fn read_flow(value: &str) -> Option<FlowToken> {
    let mut parts = value.split(',');
    let balancer = MemberId(number(parts.next())?);
    let protocol = parts.next()?;
    let listener = number(parts.next())?;
    let remote: SocketAddr = unescape(parts.next()?)?.parse().ok()?;
    let flow = match protocol {
        "tcp" => Flow {
            protocol: Protocol::Tcp,
            listener,
            remote,
            slot: number(parts.next())?,
            generation: number(parts.next())?,
        },
        "udp" => Flow::udp(listener, remote),
        _ => return None,
    };
    parts
        .next()
        .is_none()
        .then_some(FlowToken { balancer, flow })
}

fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

/// Escapes what is written to it, so that it can stand in one field of one header line.
struct Escaping<'a, W>(&'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if is_plain(byte) {
                self.0.write_char(char::from(byte))?;
            } else {
                write!(self.0, "%{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()&+$/@:[]".contains(&byte)
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest.split_first_chunk::<2>()?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A sink that takes only the text it holds: comparing without a second copy of it.
struct Expected<'a>(&'a str);

impl Write for Expected<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(text).ok_or(fmt::Error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
