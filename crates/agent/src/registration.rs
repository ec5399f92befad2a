//! The registration of the phone: made, refreshed, given back (RFC 3261 §10.2).

use presently_sip::{Message, Moment, Name, NameAddr, Uri};

use crate::lease::Lease;
use crate::line::{Answer, Ask, Line};
use crate::{Event, Outputs, Subject};

/// One binding of one address of record. All REGISTERs share a Call-ID and count their CSeq up
/// (RFC 3261 §10.2).
#[derive(Debug, Default)]
pub(crate) struct Registration {
    pub(crate) lease: Lease,
    call_id: String,
    from_tag: String,
    cseq: u32,
}

impl Registration {
    /// Sends what is due.
    pub(crate) fn turn(&mut self, now: Moment, line: &mut Line, out: &mut Outputs) {
        if !self.lease.is_due(now) {
            return;
        }
        if self.call_id.is_empty() {
            self.call_id = line.tokens.call_id();
            self.from_tag = line.tokens.tag(0);
        }
        self.cseq += 1;
        let ask = Ask {
            subject: Subject::Registration,
            method: "REGISTER",
            uri: format!("sip:{}", line.config.aor.host()),
            to: line.address(),
            from_tag: &self.from_tag,
            call_id: &self.call_id,
            cseq: self.cseq,
            routes: None,
            headers: vec![
                ("Contact", line.contact()),
                ("Expires", self.lease.ask_secs().to_string()),
                ("Supported", "path".to_owned()),
            ],
            body: None,
        };
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
        if asked_secs == 0 && answer.is_unreachable() {
            self.lease.repeat();
            self.turn(now, line, out);
            return;
        }
        let event = match (answer.refusal(), answer.success()) {
            (Some(refusal), _) => {
                let again_in = self.lease.refused(now, &refusal, line.tokens.number());
                let (what, status) = (Subject::Registration, refusal.status);
                if answer.is_none() {
                    Event::TimedOut { what, again_in }
                } else {
                    Event::RegisterFailed { status, again_in }
                }
            }
            (None, Some(message)) if asked_secs > 0 => {
                let secs = granted_secs(message, &line.config.contact).unwrap_or(asked_secs);
                self.lease.granted(now, secs, line.early());
                Event::Registered {
                    expires_secs: secs,
                    date: message.text(Name::Date).map(str::to_owned),
                    contacts: message.values(Name::Contact).map(str::to_owned).collect(),
                }
            }
            _ => Event::Unregistered,
        };
        out.events.push(event);
        self.turn(now, line, out);
    }
}

/// How long our binding is held: its `expires`, else Expires (RFC 3261 §10.2.4).
fn granted_secs(response: &Message<'_>, contact: &str) -> Option<u32> {
    let ours = Uri::parse(contact).ok()?;
    let secs = response
        .values(Name::Contact)
        .filter_map(NameAddr::parse)
        .filter(|it| Uri::parse(it.uri).is_ok_and(|uri| uri.is_equal(&ours)))
        .find_map(|it| it.params.value("expires")?.parse().ok());
    secs.or_else(|| response.number(Name::Expires))
}
