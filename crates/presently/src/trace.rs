//! Messages of somebody as they pass a running process: what is wanted, what has passed, and the
//! bounded queue between the loop, which never waits, and whoever reads.

pub(crate) mod mask;
mod served;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use presently_sip::{Aor, Message, Start, Timestamp, Uri, WallTime};
use serde_json::json;
use tokio::sync::mpsc;

pub(crate) use self::served::router;

/// Which messages are to be shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// Those of one Call-ID.
    CallId(String),
    /// Those that name an address of record in From, To or the Request-URI.
    Client(Aor),
}

impl Wanted {
    /// What `text` names: a SIP URI an address of record, anything else a Call-ID.
    pub(crate) fn read(text: &str) -> Self {
        match Aor::parse(text) {
            Ok(aor) => Self::Client(aor),
            Err(_) => Self::CallId(text.to_owned()),
        }
    }

    /// Whether `message` is one of them; a port in `own_ports` is no part of an address of record.
    pub(crate) fn covers(&self, message: &Message<'_>, own_ports: &[u16]) -> bool {
        let aor = match self {
            Self::CallId(call_id) => return message.call_id() == Some(call_id.as_str()),
            Self::Client(aor) => aor,
        };
        let is_named = |uri: &str| {
            let uri = Uri::parse(uri).ok();
            let named = uri.and_then(|uri| Aor::from_uri(&uri, own_ports).ok());
            named.is_some_and(|named| named == *aor)
        };
        let target = match message.start() {
            Start::Request { uri, .. } => Some(uri),
            Start::Response { .. } => None,
        };
        let ends = [message.from(), message.to()].into_iter().flatten();
        target
            .into_iter()
            .chain(ends.map(|end| end.uri))
            .any(is_named)
    }
}

/// A message that has passed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Passed {
    /// At the turn that took or wrote it.
    pub(crate) at: WallTime,
    pub(crate) way: Way,
    pub(crate) ends: Ends,
    /// All of it, as on the wire.
    pub(crate) message: Vec<u8>,
    /// How many before it found no place in the queue.
    pub(crate) missed: u64,
}

/// Into the process or out of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Received,
    Sent,
}

/// Between whom a message passes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ends {
    /// `udp` or `tcp` towards phones, `link` between members of the pool.
    pub(crate) transport: &'static str,
    /// A listener's address, or the member's name.
    pub(crate) local: String,
    pub(crate) remote: String,
}

impl Passed {
    /// One JSON object and a line break; credentials are masked.
    fn line(&self) -> String {
        let line = json!({
            "time": Timestamp(self.at).to_string(),
            "direction": match self.way {
                Way::Received => "received",
                Way::Sent => "sent",
            },
            "transport": self.ends.transport,
            "local": self.ends.local,
            "remote": self.ends.remote,
            "message": mask::masked(&self.message),
            "missed": self.missed,
        });
        format!("{line}\n")
    }
}

/// A queue for the messages of `wanted`: the loop's end and the reader's.
pub(crate) fn queue(wanted: Wanted) -> (Tap, Trace) {
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let counts = Arc::<Counts>::default();
    let tap = Tap {
        wanted,
        sender,
        counts: Arc::clone(&counts),
    };
    (tap, Trace { receiver, counts })
}

/// The loop's end of a trace.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) wanted: Wanted,
    sender: mpsc::Sender<Passed>,
    counts: Arc<Counts>,
}

/// The reader's end of a trace; dropping it ends the trace.
#[derive(Debug)]
pub(crate) struct Trace {
    receiver: mpsc::Receiver<Passed>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes that wait.
    bytes: AtomicUsize,
    /// Messages that found no place since one did.
    missed: AtomicU64,
}

impl Tap {
    /// Whether nobody reads any more.
    pub(crate) fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    /// Puts a message into the queue, or counts it where there is no room. Never waits.
    pub(crate) fn offer(&self, mut passed: Passed) {
        let length = passed.message.len();
        let waiting = self.counts.bytes.load(Ordering::Relaxed);
        match self.sender.try_reserve() {
            Ok(place) if waiting + length <= BYTES_MAX => {
                self.counts.bytes.fetch_add(length, Ordering::Relaxed);
                passed.missed = self.counts.missed.swap(0, Ordering::Relaxed);
                place.send(passed);
            }
            Ok(_) | Err(_) => {
                self.counts.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Trace {
    /// The next message; `None` when the process ends.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Passed>> {
        let polled = self.receiver.poll_recv(context);
        if let Poll::Ready(Some(passed)) = &polled {
            let length = passed.message.len();
            self.counts.bytes.fetch_sub(length, Ordering::Relaxed);
        }
        polled
    }

    /// How many found no place after the last one that did.
    fn missed(&self) -> u64 {
        self.counts.missed.load(Ordering::Relaxed)
    }
}

/// A NOTIFY to each of a thousand watchers may be one turn's.
const MESSAGES_MAX: usize = 1_024;
/// What waits for a reader that does not keep up.
const BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use presently_sip::{Framing, Index};

    use super::*;

    fn passed(bytes: usize) -> Passed {
        Passed {
            at: WallTime(0),
            way: Way::Sent,
            ends: Ends {
                transport: "udp",
                local: String::new(),
                remote: String::new(),
            },
            message: vec![b'x'; bytes],
            missed: 0,
        }
    }

    fn read(trace: &mut Trace) -> Option<Passed> {
        match trace.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(passed) => passed,
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_message_is_covered_by_each_name_it_carries() {
        let lines = [
            "SUBSCRIBE sip:alice@example.com:5070 SIP/2.0",
            "Via: SIP/2.0/UDP h;branch=z9",
            "From: <sip:bob@example.com>;tag=1",
            "To: \"A\" <sips:carol@EXAMPLE.com>",
            "Call-ID: one@two",
            "CSeq: 1 SUBSCRIBE",
        ];
        let message = lines.join("\r\n") + "\r\n\r\n";
        let mut index = Index::default();
        let message = index.read(message.as_bytes(), Framing::Datagram).unwrap();
        for (wanted, is_covered) in [
            ("sip:alice@example.com", true),
            ("sip:bob@example.com", true),
            ("sip:carol@example.com", true),
            ("sip:dave@example.com", false),
            ("sip:alice@example.org", false),
            ("one@two", true),
            ("one@tw", false),
            ("alice@example.com", false),
        ] {
            let wanted = Wanted::read(wanted);
            assert_eq!(wanted.covers(&message, &[5070]), is_covered, "{wanted:?}");
        }
    }

    #[test]
    fn a_reader_that_does_not_keep_up_misses_messages_and_is_told_how_many() {
        let (tap, mut trace) = queue(Wanted::read("one@two"));
        for _ in 0..MESSAGES_MAX + 12 {
            tap.offer(passed(1));
        }
        assert_eq!(read(&mut trace).unwrap().missed, 0);
        tap.offer(passed(1));
        let last = std::iter::from_fn(|| read(&mut trace)).last().unwrap();
        assert_eq!(last.missed, 12);
        tap.offer(passed(BYTES_MAX));
        tap.offer(passed(1));
        assert_eq!(trace.missed(), 1, "bytes are bounded too");
        assert_eq!(read(&mut trace).unwrap().missed, 0);
        tap.offer(passed(BYTES_MAX));
        assert_eq!(read(&mut trace).unwrap().missed, 1);
        drop(trace);
        assert!(tap.is_over());
    }

    #[test]
    fn a_line_is_json_with_the_time_and_without_credentials() {
        let passed = Passed {
            message: b"REGISTER sip:b SIP/2.0\r\nAuthorization: Digest 5ec2e7\r\n\r\n".to_vec(),
            at: WallTime(1_289_690_940_250_999),
            ..passed(0)
        };
        let line = passed.line();
        assert!(line.ends_with("}\n"), "{line}");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["time"], "2010-11-13T23:29:00.250Z");
        assert_eq!(line["direction"], "sent");
        let shown = line["message"].as_str().unwrap();
        assert!(shown.contains("Digest ***\r\n"), "{shown}");
    }
}
