//! One published document: initial, modified, refreshed, removed (RFC 3903 §4).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use presently_sip::{EntityTag, Moment, Name};

use crate::lease::{Lease, Refusal};
use crate::line::{Answer, Ask, Line};
use crate::{Event, Outputs, Subject};

/// What the phone publishes for one event package.
#[derive(Debug)]
pub(crate) struct Publication {
    package: Arc<str>,
    pub(crate) lease: Lease,
    content_type: String,
    body: Bytes,
    /// The pool's name for what it holds.
    etag: Option<EntityTag>,
    /// Whether the pool has, or is being sent, the present body.
    is_sent: bool,
}

impl Publication {
    pub(crate) fn new(package: Arc<str>) -> Self {
        Self {
            package,
            lease: Lease::default(),
            content_type: String::new(),
            body: Bytes::new(),
            etag: None,
            is_sent: false,
        }
    }

    /// Takes another document, to be held for `expires_secs`.
    pub(crate) fn set(&mut self, content_type: &str, body: Bytes, expires_secs: u32) {
        content_type.clone_into(&mut self.content_type);
        self.body = body;
        self.is_sent = false;
        self.lease.want(expires_secs);
    }

    /// What the pool holds already has this name.
    pub(crate) fn resume(&mut self, etag: EntityTag) {
        self.etag.get_or_insert(etag);
    }

    /// Sends what is due. Each kind of PUBLISH is told by two things: whether it names what the
    /// pool holds, and whether it has a body (RFC 3903 §4.1).
    pub(crate) fn turn(&mut self, now: Moment, line: &mut Line, out: &mut Outputs) {
        if !self.lease.is_due(now) {
            return;
        }
        let expires_secs = self.lease.ask_secs();
        if expires_secs == 0 && self.etag.is_none() {
            self.forget(out);
            return;
        }
        let mut headers = vec![
            ("Event", self.package.to_string()),
            ("Expires", expires_secs.to_string()),
        ];
        if let Some(etag) = &self.etag {
            headers.push(("SIP-If-Match", etag.to_string()));
        }
        let with_body = expires_secs > 0 && (self.etag.is_none() || !self.is_sent);
        let ask = Ask {
            subject: Subject::Publication(Arc::clone(&self.package)),
            method: "PUBLISH",
            uri: line.config.aor.to_string(),
            to: line.address(),
            from_tag: &line.tokens.tag(0),
            call_id: &line.tokens.call_id(),
            cseq: 1,
            routes: None,
            headers,
            body: with_body.then_some((self.content_type.as_str(), self.body.as_ref())),
        };
        self.is_sent = true;
        self.lease.sent(line.send(now, &ask, out));
    }

    /// Takes the end of `exchange`.
    pub(crate) fn on_answer(
        &mut self,
        now: Moment,
        exchange: u64,
        answer: &Answer<'_>,
        line: &mut Line,
        out: &mut Outputs,
    ) {
        let Some(asked_secs) = self.lease.take(exchange) else {
            return;
        };
        match (answer.refusal(), answer.success()) {
            (Some(_), _) if asked_secs == 0 && answer.is_unreachable() => self.lease.repeat(),
            (Some(refusal), _) => self.on_refusal(now, &refusal, answer, line, out),
            (None, Some(message)) if asked_secs > 0 => {
                let expires_secs = message.number(Name::Expires).unwrap_or(asked_secs);
                let etag = message.text(Name::SipEtag);
                self.etag = etag.and_then(|text| text.parse().ok());
                self.lease.granted(now, expires_secs, line.early());
                out.events.push(Event::Published {
                    package: Arc::clone(&self.package),
                    etag: self.etag.clone(),
                    expires_secs,
                });
            }
            _ => self.forget(out),
        }
        self.turn(now, line, out);
    }

    fn on_refusal(
        &mut self,
        now: Moment,
        refusal: &Refusal,
        answer: &Answer<'_>,
        line: &mut Line,
        out: &mut Outputs,
    ) {
        if refusal.status == 412 && self.etag.take().is_some() {
            // The pool knows nothing of it any more: publish anew at once (RFC 3903 §4.1).
            if self.lease.is_wanted() {
                self.lease.again_in(now, Duration::ZERO);
            } else {
                self.forget(out);
            }
            return;
        }
        // Not known whether a body arrived: the next PUBLISH carries it again.
        self.is_sent = false;
        let again_in = self.lease.refused(now, refusal, line.tokens.number());
        let package = Arc::clone(&self.package);
        out.events.push(if answer.is_none() {
            Event::TimedOut {
                what: Subject::Publication(package),
                again_in,
            }
        } else {
            Event::PublishFailed {
                package,
                status: refusal.status,
                again_in,
            }
        });
    }

    fn forget(&mut self, out: &mut Outputs) {
        self.etag = None;
        // It may be wanted again: published while it was being removed.
        if !self.lease.is_wanted() {
            self.lease = Lease::default();
        }
        out.events.push(Event::Unpublished {
            package: Arc::clone(&self.package),
        });
    }
}
