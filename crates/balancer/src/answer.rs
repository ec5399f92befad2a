//! What the balancer answers itself, statelessly: the same answer for a repeat (RFC 3261 §8.2.7).

use presently_sip::{Edits, Flow, Message, Name, Protocol, Response, Via, base32};

use crate::balancer::Balancer;
use crate::decision::{Refusal, is_listed};
use crate::edge::DEFAULT_PORT;
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
        self.sign_to_tag(request);
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
                response.header("Retry-After", config.retry_after_secs);
            }
            Answer::NoBindings | Answer::Refused(_) => {}
        }
        response.end();
        out.to_phones.push(ToPhone {
            flow: answer_flow(flow, request.via().as_ref()),
            head: start..out.text.len(),
            body: bytes::Bytes::new(),
        });
    }

    /// Writes the To tag of an answer to `request`: a function of the request alone (RFC 3261 §8.2.7).
    fn sign_to_tag(&mut self, request: &Message<'_>) {
        let parts = &mut self.scratch.parts;
        parts.begin(b"to tag");
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            parts.push(request.header(name).unwrap_or_default());
        }
        let mac = parts.mac(self.keys.current());
        self.scratch.text.clear();
        base32(&mac.to_be_bytes(), &mut self.scratch.text);
    }
}

/// Where a response goes whose request came by `flow` and had `via` on top: over a stream, back; in a
/// datagram, to the source's address, and its port if that was asked for, else the port of sent-by
/// (RFC 3261 §18.2.2, RFC 3581 §4). An `maddr` is not followed: a response goes to no third party.
pub(crate) fn answer_flow(flow: Flow, via: Option<&Via<'_>>) -> Flow {
    let mut flow = flow;
    if let Some(via) = via
        && flow.protocol == Protocol::Udp
        && !via.params.has("rport")
    {
        flow.remote.set_port(via.port.unwrap_or(DEFAULT_PORT));
    }
    flow
}

/// What the pool serves.
const ALLOW: &str = "MESSAGE, OPTIONS, PUBLISH, REGISTER, SUBSCRIBE";
