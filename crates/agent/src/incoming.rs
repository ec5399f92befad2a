//! Requests that come to the phone, each answered once and its repeats alike.

use bytes::Bytes;
use presently_sip::transaction::{TRANSACTION, TransactionKey};
use presently_sip::{Edits, Flow, MacKey, Message, Method, Moment, Name, Response, Start};

use crate::line::Line;
use crate::tokens;
use crate::{Event, Outputs, Quirk};

/// The answering end of the phone.
#[derive(Debug)]
pub(crate) struct Incoming {
    key: MacKey,
    /// Requests of the last half minute in the order they came.
    recent: Vec<Recent>,
}

/// A request that may be repeated (RFC 3261 §17.2.2).
#[derive(Debug)]
struct Recent {
    key: TransactionKey,
    until: Moment,
    /// Its status and the random part of its To tag; `None` for one that is never answered.
    answer: Option<(u16, u64)>,
}

impl Incoming {
    pub(crate) fn new(line: &mut Line) -> Self {
        let mut key = [0; 16];
        for half in key.chunks_mut(8) {
            half.copy_from_slice(&line.tokens.number().to_be_bytes());
        }
        Self {
            key: MacKey::new(key),
            recent: Vec::new(),
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
        self.recent.retain(|it| it.until > now);
        if let Some(known) = self.recent.iter().find(|it| it.key == key) {
            if let Some((status, random)) = known.answer {
                let tag = tokens::tag(0, random);
                out.datagrams.push(write(request, status, &tag, line));
            }
            return false;
        }
        if self.recent.len() >= RECENT_MAX {
            self.recent.remove(0);
        }
        self.recent.push(Recent {
            key,
            until: now.after(TRANSACTION),
            answer: None,
        });
        true
    }

    /// Answers `request` with `status`, and remembers that for repeats.
    pub(crate) fn answer(
        &mut self,
        request: &Message<'_>,
        status: u16,
        line: &mut Line,
        out: &mut Outputs,
    ) {
        let random = line.tokens.number();
        let key = self.key_of(request);
        let mut recent = self.recent.iter_mut();
        if let Some(recent) = recent.find(|it| Some(&it.key) == key.as_ref()) {
            recent.answer = Some((status, random));
        }
        let tag = tokens::tag(0, random);
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

fn is_method(request: &Message<'_>, wanted: Method) -> bool {
    matches!(request.start(), Start::Request { method, .. } if method == wanted)
}

const ALLOW: &str = "MESSAGE, NOTIFY, OPTIONS";
const ACCEPT: &str = "application/pidf+xml, text/plain";
/// Requests remembered for their repeats. At the bound the oldest goes; a later repeat of its
/// NOTIFY then has an old CSeq and gets 500.
const RECENT_MAX: usize = 32;
const RESPONSE_USUAL: usize = 512;
