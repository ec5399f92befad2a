//! What was seen on the wire, for the laws to be checked against.

use std::collections::BTreeMap;

use bytes::Bytes;
use presently_sip::{Framing, Index, Method, Moment, Name, Now, Start};

/// Everything worth remembering of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    /// NOTIFYs that left the pool, by dialog (Call-ID and our tag).
    pub notifies: BTreeMap<(String, String), Vec<Sent>>,
    /// Laws found broken, with what shows it.
    pub broken: Vec<String>,
    /// Final answers that left the pool, by status.
    pub answers: BTreeMap<u16, u64>,
    index: Index,
}

/// One NOTIFY, the first time its CSeq was seen.
#[derive(Debug)]
pub struct Sent {
    /// When.
    pub at: Moment,
    /// Its number.
    pub cseq: u32,
    /// Whether the phone's final answer reached the pool.
    pub is_answered: bool,
    /// How often it was sent.
    pub times: u32,
    bytes: Bytes,
}

impl Ledger {
    /// Notes a message that left the pool, and checks what can be checked at once: law 5.
    pub fn sent_to_phone(&mut self, now: Now, bytes: &[u8]) {
        let Self {
            notifies,
            broken,
            answers,
            index,
        } = self;
        let Ok(message) = index.read(bytes, Framing::Datagram) else {
            broken.push(format!("unreadable: {}", String::from_utf8_lossy(bytes)));
            return;
        };
        if message.header(Name::Presently).is_some() {
            broken.push("the pool link's header left the pool".to_owned());
        }
        match message.start() {
            Start::Response { status, .. } => *answers.entry(status).or_default() += 1,
            Start::Request { method, .. } => {
                if let Some(defect) = message.defect() {
                    broken.push(format!("{defect}: {}", String::from_utf8_lossy(bytes)));
                }
                if method != Method::Notify {
                    return;
                }
                let call_id = message.call_id().unwrap_or_default().to_owned();
                let tag = message
                    .from()
                    .and_then(|from| from.tag())
                    .unwrap_or_default();
                let cseq = message.cseq().map_or(0, |cseq| cseq.number);
                let dialog = (call_id, tag.to_owned());
                let sent = notifies.entry(dialog.clone()).or_default();
                note(sent, now.moment, cseq, bytes, &dialog, broken);
            }
        }
    }

    /// Notes a message that reached the pool: answers to NOTIFYs.
    pub fn hear_phone(&mut self, bytes: &[u8]) {
        let Ok(message) = self.index.read(bytes, Framing::Datagram) else {
            return;
        };
        let Start::Response { status, .. } = message.start() else {
            return;
        };
        let Some(cseq) = message.cseq().filter(|cseq| cseq.method == "NOTIFY") else {
            return;
        };
        let tag = message
            .from()
            .and_then(|from| from.tag())
            .unwrap_or_default();
        let dialog = (
            message.call_id().unwrap_or_default().to_owned(),
            tag.to_owned(),
        );
        let sent = self.notifies.get_mut(&dialog);
        let sent = sent.and_then(|sent| sent.iter_mut().find(|sent| sent.cseq == cseq.number));
        if let Some(sent) = sent.filter(|_| status >= 200) {
            sent.is_answered = true;
        }
    }
}

/// Law 5: CSeq only grows, a number is one message byte for byte, and a new one waits for the answer to the
/// last, or for its time-out.
fn note(
    sent: &mut Vec<Sent>,
    now: Moment,
    cseq: u32,
    bytes: &[u8],
    dialog: &(String, String),
    broken: &mut Vec<String>,
) {
    if let Some(last) = sent.last_mut() {
        if last.cseq == cseq {
            last.times += 1;
            if last.bytes != bytes {
                broken.push(format!(
                    "law 5: {dialog:?} {cseq} was sent again with other bytes"
                ));
            }
            return;
        }
        if cseq < last.cseq {
            broken.push(format!("law 5: {dialog:?} CSeq {cseq} after {}", last.cseq));
        }
        let has_timed_out = now.since(last.at).as_secs() >= 32;
        if !last.is_answered && !has_timed_out {
            broken.push(format!(
                "law 5: {dialog:?} {cseq} while {} is unanswered",
                last.cseq
            ));
        }
    }
    sent.push(Sent {
        at: now,
        cseq,
        is_answered: false,
        times: 1,
        bytes: Bytes::copy_from_slice(bytes),
    });
}
