//! What the balancer answers itself, statelessly: the same answer for a repeat (RFC 3261 §8.2.7).

use presently_sip::{Edits, Flow, Message, Name, Response, base32};

use crate::balancer::Balancer;
use crate::branch::Below;
use crate::decision::{Refusal, is_listed};
use crate::{Outputs, ToPhone};

/// An answer of our own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// A REGISTER found no binding and left none (RFC 3261 §10.3 step 8).
    NoBindings,
    /// What the pool can do (RFC 3261 §11.2).
    Options,
    /// An error.
    Refused(Refusal),
}

impl Balancer {
    /// Answers `request`, which came by `flow`.
    pub(crate) fn answer(
        &mut self,
        flow: Flow,
        request: &Message<'_>,
        answer: Answer,
        out: &mut Outputs,
    ) {
        let status = match answer {
            Answer::NoBindings | Answer::Options => 200,
            Answer::Refused(refusal) => refusal.status(),
        };
        self.counters.answered += 1;
        self.counters.unavailable += u64::from(status == 503);
        let drawn = self.sign_to_tag(request);
        let edits = Edits {
            source: Some(flow.remote),
            ..Edits::default()
        };
        let start = out.text.len();
        let to_tag = &self.scratch.text;
        let mut response = Response::to(&mut out.text, request, &edits, status, to_tag);
        let config = &self.config;
        match answer {
            Answer::Options => {
                response
                    .header("Allow", ALLOW)
                    .header("Accept", &config.accept)
                    .header("Supported", &config.supported)
                    .header("Allow-Events", &config.allow_events);
            }
            Answer::Refused(Refusal::BadExtension(name)) => {
                let known: &str = match name {
                    Name::Require => &config.supported,
                    _ => "",
                };
                for tag in request.values(name).filter(|tag| !is_listed(tag, known)) {
                    response.header("Unsupported", tag);
                }
            }
            Answer::Refused(Refusal::Method) => {
                response.header("Allow", ALLOW);
            }
            Answer::Refused(Refusal::Unavailable) => {
                // Those refused together do not come back together, and a repeat is told the same.
                let secs = u64::from(config.retry_after_secs);
                response.header("Retry-After", secs + drawn % (2 * secs + 1));
            }
            Answer::NoBindings | Answer::Refused(_) => {}
        }
        response.end();
        out.to_phones.push(ToPhone {
            flow: answer_flow(flow, request),
            head: start..out.text.len(),
            body: bytes::Bytes::new(),
        });
    }

    /// Writes the To tag of an answer to `request`: a function of the request alone (RFC 3261
    /// §8.2.7).
    /// With the number it was made from.
    fn sign_to_tag(&mut self, request: &Message<'_>) -> u64 {
        let parts = &mut self.scratch.parts;
        parts.begin(b"to tag");
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            parts.push(request.header(name).unwrap_or_default());
        }
        let mac = parts.mac(self.keys.current());
        self.scratch.text.clear();
        base32(&mac.to_be_bytes(), &mut self.scratch.text);
        mac
    }
}

/// Where the answer to `request` goes, which came by `flow`; to the source if its Via is broken.
fn answer_flow(flow: Flow, request: &Message<'_>) -> Flow {
    let via = request.via();
    let below = via.and_then(|via| Below::read(request, &via));
    below.map_or(flow, |below| below.answer_flow(flow))
}

/// What the pool serves.
const ALLOW: &str = "MESSAGE, OPTIONS, PUBLISH, REGISTER, SUBSCRIBE";
