//! Requests that come again, and what is kept of an answer so that it can be given again: only what
//! the request does not say itself, for a repeat brings that along.
//!
//! ```text
//! +------------+------------------+--------+--------------------------------------+
//! | status (2) | tag's length (1) | To tag | the answer past what the request says |
//! +------------+------------------+--------+--------------------------------------+
//! status 0: the whole answer follows, as a phone wrote it (a relayed one)
//! ```

use presently_pool::Passage;
use presently_sip::transaction::{Arrival, TRYING_AFTER, TransactionKey};
use presently_sip::{Edits, Message, Method, Moment, Now, Response, Start, Writer};

use super::{Server, send};
use crate::Outputs;
use crate::events;
use crate::held::Held;

/// An answer that was just written into the turn's text.
pub(super) struct Answered<'a> {
    pub(super) status: u16,
    pub(super) to_tag: &'a str,
    /// Where it begins.
    pub(super) start: usize,
    /// Where what is not the request's begins.
    pub(super) own: usize,
}

impl Server {
    /// Whether a request is the first of its kind; a repeat is answered or absorbed here
    /// (RFC 3261 §17.2.2), and a slow one gets 100, over UDP not before Timer E reaches T2 (RFC
    /// 4320 §4.1).
    pub(super) fn is_new(
        &mut self,
        now: Moment,
        passage: &Passage,
        (message, edits): (&Message<'_>, &Edits<'_>),
        transaction: TransactionKey,
        out: &mut Outputs,
    ) -> bool {
        let is_mute = self.is_mute(now);
        match self.transactions.arrive(now, transaction) {
            Arrival::New => true,
            Arrival::Repeated(answer) => {
                self.counters.requests_repeated += 1;
                if !is_mute {
                    let start = out.text.len();
                    write_again(answer, message, edits, &mut out.text);
                    send(passage, start, out);
                }
                false
            }
            Arrival::InProgress { since } => {
                self.counters.requests_repeated += 1;
                if now.since(since) >= TRYING_AFTER {
                    let start = out.text.len();
                    presently_sip::Response::to(&mut out.text, message, edits, 100, "").end();
                    send(passage, start, out);
                }
                false
            }
        }
    }

    /// Keeps a final answer for repeats and sends it.
    pub(super) fn finish(
        &mut self,
        now: Now,
        held: &Held,
        answered: &Answered<'_>,
        out: &mut Outputs,
    ) {
        let span = now.moment.since(held.arrived);
        self.counters.answer_spans.add(span);
        let (start, end) = (answered.start, out.text.len());
        if let Some(answer) = out.text.get(start..) {
            events::answered(held, answer);
        }
        // Put together behind the turn's text, and taken away again.
        put_kept(answered, &mut out.text);
        out.text.extend_from_within(answered.own..end);
        if let Some(kept) = out.text.get(end..) {
            self.transactions.answer(now.moment, held.key, kept);
        }
        out.text.truncate(end);
        self.reply(now, &held.passage, start, out);
    }

    /// Keeps the answer that a phone gave to a relayed request, and passes it on.
    pub(super) fn finish_relayed(&mut self, now: Now, held: &Held, text: &[u8], out: &mut Outputs) {
        let kept = [&WHOLE.to_be_bytes(), text].concat();
        self.transactions.answer(now.moment, held.key, &kept);
        let start = out.text.len();
        out.text.extend_from_slice(text);
        self.reply(now, &held.passage, start, out);
    }
}

/// Begins the answer to a request with all that the request says itself: a dialog's route set goes
/// back as it came (RFC 3261 §12.1.1).
pub(super) fn begin<'a>(
    out: &'a mut Vec<u8>,
    (message, edits): (&Message<'_>, &Edits<'_>),
    status: u16,
    to_tag: &str,
) -> Writer<'a> {
    let mut writer = Response::to(out, message, edits, status, to_tag);
    let is_subscribe = matches!(
        message.start(),
        Start::Request {
            method: Method::Subscribe,
            ..
        }
    );
    if is_subscribe && (200..300).contains(&status) {
        for route in edits.record_routes(message) {
            writer.header("Record-Route", route);
        }
    }
    writer
}

/// Appends what is kept of an answer, but for its own part.
fn put_kept(answered: &Answered<'_>, out: &mut Vec<u8>) {
    let tag = answered.to_tag.as_bytes();
    let length = u8::try_from(tag.len()).expect("a tag of ours has 13 letters");
    out.extend_from_slice(&answered.status.to_be_bytes());
    out.push(length);
    out.extend_from_slice(tag);
}

/// Writes the answer of which `kept` is kept to a repeat of its request.
fn write_again(kept: &[u8], message: &Message<'_>, edits: &Edits<'_>, out: &mut Vec<u8>) {
    let Some((status, rest)) = kept.split_first_chunk() else {
        return;
    };
    let status = u16::from_be_bytes(*status);
    if status == WHOLE {
        out.extend_from_slice(rest);
        return;
    }
    let tag = rest.split_first().and_then(|(length, rest)| {
        let (tag, own) = rest.split_at_checked(usize::from(*length))?;
        Some((str::from_utf8(tag).ok()?, own))
    });
    if let Some((tag, own)) = tag {
        begin(out, (message, edits), status, tag);
        out.extend_from_slice(own);
    }
}

/// In place of a status: the whole answer is kept.
const WHOLE: u16 = 0;

#[cfg(test)]
mod tests {
    use presently_sip::{Framing, Index};

    use super::*;

    const SUBSCRIBE: &str = "SUBSCRIBE sip:bob@example.test SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1\r\n\
        Record-Route: <sip:proxy.example.test;lr>\r\n\
        From: <sip:alice@example.test>;tag=1\r\nTo: <sip:bob@example.test>\r\nCall-ID: c\r\n\
        CSeq: 1 SUBSCRIBE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

    // RFC 3261 §17.2.2
    #[test]
    fn a_repeat_is_answered_with_the_same_bytes_from_what_is_kept() {
        let edits = Edits {
            via: Some("SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKb"),
            record_route: Some("<sip:token@192.0.2.9;lr>"),
            ..Edits::default()
        };
        let mut index = Index::default();
        let message = index
            .read(SUBSCRIBE.as_bytes(), Framing::Datagram)
            .expect("it is a message");
        for (status, to_tag) in [(200, "ours"), (403, ""), (423, "ours")] {
            let mut text = b"of another answer".to_vec();
            let start = text.len();
            let mut writer = begin(&mut text, (&message, &edits), status, to_tag);
            let own = writer.place();
            writer.header("Expires", 60);
            writer.end();
            let answered = Answered {
                status,
                to_tag,
                start,
                own,
            };
            let mut kept = Vec::new();
            put_kept(&answered, &mut kept);
            kept.extend_from_slice(&text[own..]);
            assert!(kept.len() < 60, "{} bytes", kept.len());
            let mut again = Vec::new();
            write_again(&kept, &message, &edits, &mut again);
            assert_eq!(again, text[start..], "{status}");
        }
        let whole = [&WHOLE.to_be_bytes(), &b"SIP/2.0 200 OK"[..]].concat();
        let mut again = Vec::new();
        write_again(&whole, &message, &edits, &mut again);
        assert_eq!(again, b"SIP/2.0 200 OK");
    }
}
