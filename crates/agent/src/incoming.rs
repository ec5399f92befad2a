//! Requests that come to the phone, each answered once and its repeats alike.

use bytes::Bytes;
use presently_sip::transaction::{Answered, Arrival, TransactionKey};
use presently_sip::{
    Edits, Flow, MacKey, Message, Method, Moment, Name, Protocol, Response, Start,
};

use crate::line::Line;
use crate::{Event, Outputs, Quirk};

/// The answering end of the phone.
#[derive(Debug)]
pub(crate) struct Incoming {
    key: MacKey,
    answered: Answered,
}

impl Incoming {
    pub(crate) fn new(line: &mut Line) -> Self {
        let mut key = [0; 16];
        for half in key.chunks_mut(8) {
            half.copy_from_slice(&line.tokens.number().to_be_bytes());
        }
        Self {
            key: MacKey::new(key),
            answered: Answered::new(ANSWERS_BYTES, UNFINISHED_MAX),
        }
    }

    /// Whether `request` is to be acted on; a repeat is answered here as it was the first time.
    pub(crate) fn is_new(
        &mut self,
        now: Moment,
        request: &Message<'_>,
        line: &Line,
        out: &mut Outputs,
    ) -> bool {
        if line.config.protocol.is_reliable() {
            return true;
        }
        let Some(key) = self.key_of(request) else {
            return true;
        };
        match self.answered.arrive(now, key) {
            Arrival::New => return true,
            Arrival::Repeated(record) => {
                if let Some((status, tag)) = from_record(record) {
                    out.datagrams.push(write(request, status, tag, line));
                }
            }
            // A phone that answers at once never gets here; a silent one stays silent.
            Arrival::InProgress { .. } => {}
        }
        false
    }

    /// Answers `request` with `status`, and remembers that for repeats.
    pub(crate) fn answer(
        &mut self,
        now: Moment,
        request: &Message<'_>,
        status: u16,
        line: &mut Line,
        out: &mut Outputs,
    ) {
        let tag = line.tokens.tag(0);
        if let (Protocol::Udp, Some(key)) = (line.config.protocol, self.key_of(request)) {
            self.answered.answer(now, key, &to_record(status, &tag));
        }
        out.datagrams.push(write(request, status, &tag, line));
    }

    /// The phone has one flow, so its name tells nothing.
    fn key_of(&self, request: &Message<'_>) -> Option<TransactionKey> {
        let flow = Flow::udp(0, ([0, 0, 0, 0], 0).into());
        TransactionKey::of(&self.key, request, &flow)
    }
}

/// The status for a request other than NOTIFY; `None` for one that is never answered.
pub(crate) fn on_other(method: Method, request: &Message<'_>, out: &mut Outputs) -> Option<u16> {
    match method {
        Method::Ack => None,
        // What it takes back was answered at once.
        Method::Cancel => Some(481),
        Method::Message => {
            out.events.push(Event::MessageReceived {
                from: request.from().map_or("", |it| it.uri).to_owned(),
                content_type: request
                    .text(Name::ContentType)
                    .unwrap_or_default()
                    .to_owned(),
                body: Bytes::copy_from_slice(request.body()),
            });
            Some(200)
        }
        Method::Options => Some(200),
        _ => Some(405),
    }
}

/// What the phone answers a NOTIFY with that deserved `status`; `None` for nothing.
pub(crate) fn with_quirks(status: u16, quirks: &[Quirk]) -> Option<u16> {
    if quirks.contains(&Quirk::SilentToNotify) {
        return None;
    }
    let other = quirks.iter().find_map(|quirk| match quirk {
        Quirk::NotifyStatus(status) => Some(*status),
        _ => None,
    });
    Some(other.unwrap_or(status))
}

/// The answer to `request`: with the same status and To tag it is the same answer.
fn write(request: &Message<'_>, status: u16, tag: &str, line: &Line) -> Bytes {
    let mut text = Vec::with_capacity(RESPONSE_USUAL);
    let mut writer = Response::to(&mut text, request, &Edits::default(), status, tag);
    writer
        .header("User-Agent", &line.config.user_agent)
        .header("Allow", ALLOW);
    if is_method(request, Method::Options) {
        writer.header("Accept", ACCEPT);
    }
    writer.end();
    line.finish(text)
}

/// What is remembered of an answer.
fn to_record(status: u16, tag: &str) -> Vec<u8> {
    [&status.to_be_bytes(), tag.as_bytes()].concat()
}

fn from_record(record: &[u8]) -> Option<(u16, &str)> {
    let (status, tag) = record.split_first_chunk()?;
    let tag = std::str::from_utf8(tag).ok()?;
    Some((u16::from_be_bytes(*status), tag))
}

fn is_method(request: &Message<'_>, wanted: Method) -> bool {
    matches!(request.start(), Start::Request { method, .. } if method == wanted)
}

const ALLOW: &str = "MESSAGE, NOTIFY, OPTIONS";
const ACCEPT: &str = "application/pidf+xml, text/plain";
/// What is remembered for repeats: 32 answers of the last half minute. At the bound the oldest
/// goes; a later repeat of its NOTIFY then has an old CSeq and gets 500.
const ANSWERS_BYTES: usize = 2048;
const UNFINISHED_MAX: usize = 64;
const RESPONSE_USUAL: usize = 512;
