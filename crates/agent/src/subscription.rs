//! One subscription as its subscriber keeps it (RFC 6665 §4.1).
//!
//! ```text
//!   SUBSCRIBE ──► 2xx or NOTIFY make the dialog ──► refreshed before it ends ──► unsubscribed
//!     ▲                                                │
//!     └── anew, in another dialog ◄────────────────────┘ 481, terminated, expired, no NOTIFY
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use presently_sip::transaction::TRANSACTION;
use presently_sip::{Aor, Message, Moment, Name};

use crate::dialog::Dialog;
use crate::lease::{Lease, Refusal, backoff};
use crate::line::{Answer, Ask, Line};
use crate::status::{Status, split};
use crate::{
    Ended, Event, Notified, Outputs, Quirk, SavedFeed, Subject, SubscriptionId, SubscriptionState,
};

/// What the phone wants to be told about one target, in one dialog after another.
#[derive(Debug)]
pub(crate) struct Subscription {
    id: SubscriptionId,
    target: Aor,
    package: Arc<str>,
    /// The Accept value; empty for none.
    accept: String,
    is_fetch: bool,
    lease: Lease,
    call_id: String,
    local_tag: String,
    /// 0 until a dialog is tried: the next SUBSCRIBE starts one.
    cseq: u32,
    dialog: Option<Dialog>,
    /// A NOTIFY must come before this moment (RFC 6665 §4.1.2.4).
    timer_n: Option<Moment>,
    /// Whether a NOTIFY came in the present dialog, since it was resumed if it was.
    is_notified: bool,
    /// When the present dialog was begun.
    began: Moment,
    short_lives: u32,
    is_over: bool,
}

impl Subscription {
    /// Wants `target` watched for `expires_secs`, or told once when that is 0.
    pub(crate) fn new(
        id: SubscriptionId,
        target: Aor,
        package: &str,
        accept: &[&str],
        expires_secs: u32,
    ) -> Self {
        let mut lease = Lease::default();
        lease.want(expires_secs);
        Self {
            id,
            target,
            package: package.into(),
            accept: accept.join(", "),
            is_fetch: expires_secs == 0,
            lease,
            call_id: String::new(),
            local_tag: String::new(),
            cseq: 0,
            dialog: None,
            timer_n: None,
            is_notified: false,
            began: Moment::default(),
            short_lives: 0,
            is_over: false,
        }
    }

    /// Goes on in a saved dialog for `expires_secs`: it is refreshed at once.
    pub(crate) fn resumed(
        id: SubscriptionId,
        saved: &SavedFeed,
        now: Moment,
        expires_secs: u32,
    ) -> Self {
        let mut lease = Lease::default();
        lease.resume(now, expires_secs);
        Self {
            accept: saved.accept.clone(),
            lease,
            call_id: saved.call_id.clone(),
            local_tag: saved.local_tag.clone(),
            cseq: saved.cseq.saturating_add(CSEQ_SKIPPED),
            dialog: Some(saved.dialog.clone()),
            began: now,
            ..Self::new(id, saved.target.clone(), &saved.package, &[], expires_secs)
        }
    }

    /// What it takes to go on with it; `None` without a dialog in which a NOTIFY has come.
    pub(crate) fn saved(&self) -> Option<SavedFeed> {
        let dialog = self.dialog.clone()?;
        dialog.remote_cseq?;
        let saved = SavedFeed {
            number: self.id.0,
            target: self.target.clone(),
            package: Arc::clone(&self.package),
            accept: self.accept.clone(),
            call_id: self.call_id.clone(),
            local_tag: self.local_tag.clone(),
            cseq: self.cseq,
            dialog,
        };
        saved.checked()
    }

    /// Not wanted any more.
    pub(crate) fn unsubscribe(&mut self) {
        self.lease.want(0);
    }

    /// The flow is another one.
    pub(crate) fn hurry(&mut self, now: Moment) {
        if self.lease.is_wanted() || self.is_fetch {
            self.lease.hurry(now);
        } else {
            // Neither the request for the end nor the NOTIFY that tells it comes over the old one.
            self.lease.repeat();
        }
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        let moments = [self.timer_n, self.lease.poll_timeout()];
        moments.into_iter().flatten().min()
    }

    /// Whether a NOTIFY of this Call-ID and To tag is for it.
    pub(crate) fn is_named(&self, call_id: &str, local_tag: &str) -> bool {
        self.call_id == call_id && self.local_tag == local_tag
    }

    /// Sends what is due.
    pub(crate) fn turn(&mut self, now: Moment, line: &mut Line, out: &mut Outputs) {
        if self.is_over || !self.lease.is_due(now) {
            return;
        }
        if !self.lease.is_wanted() && self.dialog.is_none() && !(self.is_fetch && self.cseq == 0) {
            self.end(Ended::Unbegun, out);
            return;
        }
        if self.lease.is_wanted() && self.dialog.is_some() && self.lease.is_over(now) {
            // Refreshing failed for so long that the pool has let go of it.
            self.start_over();
        }
        if self.cseq == 0 {
            self.call_id = line.tokens.call_id();
            self.local_tag = line.tokens.tag(self.id.0);
            self.began = now;
        }
        self.cseq += 1;
        let exchange = line.send(now, &self.ask(line), out);
        self.lease.sent(exchange);
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
            (Some(refusal), _) if asked_secs == 0 && self.is_fetch => {
                self.is_over = true;
                out.events.push(self.failure(&refusal, answer, None));
            }
            // Asked for again by `hurry`.
            (Some(_), _) if asked_secs == 0 && answer.is_unreachable() => {}
            (Some(_), _) if asked_secs == 0 && answer.is_none() => {
                self.end(Ended::Unanswered, out);
            }
            (Some(refusal), _) if asked_secs == 0 => {
                let status = refusal.status;
                self.end(Ended::Refused { status }, out);
            }
            (Some(refusal), _) if self.dialog.is_some() => {
                self.on_refused_refresh(now, &refusal, answer, line, out);
            }
            (Some(refusal), _) => {
                let again_in = self.lease.refused(now, &refusal, line.tokens.number());
                self.is_over = again_in.is_none();
                if refusal.status != 423 {
                    self.start_over();
                }
                out.events.push(self.failure(&refusal, answer, again_in));
            }
            (None, Some(response)) => {
                self.on_success(now, asked_secs, line.early(), response, out);
            }
            (None, None) => {}
        }
        self.turn(now, line, out);
    }

    /// Takes a NOTIFY that [`Subscription::is_named`]; returns the status to answer with.
    pub(crate) fn on_notify(
        &mut self,
        now: Moment,
        notify: &Message<'_>,
        line: &mut Line,
        out: &mut Outputs,
    ) -> u16 {
        let (Some(cseq), Some(remote_tag)) = (notify.cseq(), notify.from().and_then(|it| it.tag()))
        else {
            return 400;
        };
        let Some(status) = Status::of(notify) else {
            return 400;
        };
        // Without an `id`: the SUBSCRIBE had none (RFC 6665 §8.2.1).
        let event = notify.text(Name::Event).map(split);
        let is_ours = event.is_some_and(|(it, params)| it == &*self.package && !params.has("id"));
        if !is_ours || !self.enter_dialog(remote_tag, notify) {
            return 481;
        }
        let Some(dialog) = &mut self.dialog else {
            return 400;
        };
        if let Some(last) = dialog.remote_cseq.filter(|last| *last >= cseq.number) {
            let (id, cseq) = (self.id, cseq.number);
            out.events.push(Event::OutOfOrder { id, cseq, last });
            return 500;
        }
        dialog.remote_cseq = Some(cseq.number);
        dialog.refresh_target(notify);
        self.is_notified = true;
        if self.lease.is_wanted() {
            self.timer_n = None;
        }
        out.events
            .push(Event::Notified(self.notified(cseq.number, &status, notify)));
        match (status.state, status.expires_secs) {
            (
                SubscriptionState::Terminated {
                    reason,
                    retry_after_secs,
                },
                _,
            ) => {
                self.on_terminated(now, reason, retry_after_secs, line, out);
            }
            (_, Some(secs)) => self.lease.remains(now, secs),
            (_, None) => {}
        }
        200
    }

    /// Time has come to [`Subscription::poll_timeout`].
    pub(crate) fn on_timeout(&mut self, now: Moment, line: &mut Line, out: &mut Outputs) {
        if self.timer_n.is_some_and(|due| due <= now) {
            self.timer_n = None;
            if self.lease.is_wanted() {
                self.anew(now, Ended::Unanswered, None, line, out);
            } else {
                self.end(Ended::Unanswered, out);
            }
        }
        self.turn(now, line, out);
    }

    fn on_success(
        &mut self,
        now: Moment,
        asked_secs: u32,
        early: u16,
        response: &Message<'_>,
        out: &mut Outputs,
    ) {
        let expires_secs = response.number(Name::Expires).unwrap_or(asked_secs);
        match &mut self.dialog {
            Some(dialog) => dialog.refresh_target(response),
            None => self.dialog = Dialog::of_response(response, &self.target.to_string()),
        }
        if asked_secs == 0 || !self.is_notified {
            self.timer_n = Some(now.after(TRANSACTION));
        }
        if asked_secs > 0 {
            self.lease.granted(now, expires_secs, early);
            let id = self.id;
            out.events.push(Event::Subscribed { id, expires_secs });
        }
    }

    /// A refresh was refused: some statuses end the dialog, others leave it until it expires
    /// (RFC 6665 §4.1.2.1).
    fn on_refused_refresh(
        &mut self,
        now: Moment,
        refusal: &Refusal,
        answer: &Answer<'_>,
        line: &mut Line,
        out: &mut Outputs,
    ) {
        let status = refusal.status;
        match status {
            481 => self.anew(
                now,
                Ended::Refused { status },
                Some(Duration::ZERO),
                line,
                out,
            ),
            404 | 405 | 410 | 416 | 480 | 482..=485 | 489 | 501 | 604 => {
                self.end(Ended::Refused { status }, out);
            }
            _ => {
                let again_in = self.lease.refused(now, refusal, line.tokens.number());
                if again_in.is_none() {
                    self.lease.wait_for_end();
                }
                out.events.push(self.failure(refusal, answer, again_in));
            }
        }
    }

    fn on_terminated(
        &mut self,
        now: Moment,
        reason: String,
        retry_after_secs: Option<u32>,
        line: &mut Line,
        out: &mut Outputs,
    ) {
        if !self.lease.is_wanted() {
            let reason = if self.is_fetch {
                Ended::Terminated { reason }
            } else {
                Ended::Unsubscribed
            };
            self.end(reason, out);
            return;
        }
        // What each reason asks for: RFC 6665 §4.1.3.
        let wait = match reason.as_str() {
            "deactivated" | "timeout" => Some(Duration::ZERO),
            "invariant" | "noresource" | "rejected" => {
                self.end(Ended::Terminated { reason }, out);
                return;
            }
            _ => retry_after_secs.map(|secs| Duration::from_secs(secs.into())),
        };
        self.anew(now, Ended::Terminated { reason }, wait, line, out);
    }

    /// Whether a NOTIFY with this From tag is of our dialog, or makes it. The first NOTIFY decides
    /// which dialog it is; one of another fork is refused (RFC 6665 §4.1.2.4, RFC 3856 §6.9).
    fn enter_dialog(&mut self, remote_tag: &str, notify: &Message<'_>) -> bool {
        match &self.dialog {
            Some(dialog) if dialog.remote_tag == remote_tag => true,
            Some(dialog) if dialog.remote_cseq.is_some() => false,
            _ => {
                self.dialog = Dialog::of_notify(notify, &self.target.to_string());
                self.dialog.is_some()
            }
        }
    }

    /// The dialog is over and another is tried: after `wait`, or in a while. A subscription that
    /// keeps ending soon after it began is not begun again at once: two machines could go round for
    /// ever.
    fn anew(
        &mut self,
        now: Moment,
        reason: Ended,
        wait: Option<Duration>,
        line: &mut Line,
        out: &mut Outputs,
    ) {
        let lived = now.since(self.began);
        self.short_lives = if lived < SHORT_LIFE {
            self.short_lives + 1
        } else {
            0
        };
        let longer = backoff(self.short_lives.saturating_sub(2), line.tokens.number());
        let wait = match wait {
            Some(wait) if self.short_lives < 2 => wait,
            Some(wait) => wait.max(longer),
            None => longer,
        };
        self.start_over();
        self.lease.again_in(now, wait);
        let (id, again_in) = (self.id, Some(wait));
        out.events.push(Event::SubscriptionEnded {
            id,
            reason,
            again_in,
        });
    }

    fn start_over(&mut self) {
        self.dialog = None;
        self.is_notified = false;
        self.timer_n = None;
        self.cseq = 0;
    }

    fn end(&mut self, reason: Ended, out: &mut Outputs) {
        self.is_over = true;
        let (id, again_in) = (self.id, None);
        out.events.push(Event::SubscriptionEnded {
            id,
            reason,
            again_in,
        });
    }

    fn failure(&self, refusal: &Refusal, answer: &Answer<'_>, again_in: Option<Duration>) -> Event {
        let (id, status) = (self.id, refusal.status);
        if answer.is_none() {
            let what = Subject::Subscription(id);
            return Event::TimedOut { what, again_in };
        }
        Event::SubscribeFailed {
            id,
            status,
            again_in,
        }
    }

    fn ask(&self, line: &Line) -> Ask<'_> {
        let mut headers = vec![
            ("Contact", line.contact()),
            ("Event", self.package.to_string()),
            ("Expires", self.lease.ask_secs().to_string()),
            ("Allow-Events", self.package.to_string()),
        ];
        if !self.accept.is_empty() && !line.has_quirk(Quirk::NoAccept) {
            headers.push(("Accept", self.accept.clone()));
        }
        let dialog = self.dialog.as_ref();
        Ask {
            subject: Subject::Subscription(self.id),
            method: "SUBSCRIBE",
            uri: dialog.map_or_else(|| self.target.to_string(), |it| it.target.clone()),
            to: match dialog {
                Some(dialog) => format!("<{}>;tag={}", self.target, dialog.remote_tag),
                None => format!("<{}>", self.target),
            },
            from_tag: &self.local_tag,
            call_id: &self.call_id,
            cseq: self.cseq,
            routes: dialog.map(|it| it.routes.as_slice()),
            headers,
            body: None,
        }
    }

    fn notified(&self, cseq: u32, status: &Status, notify: &Message<'_>) -> Notified {
        Notified {
            id: self.id,
            package: Arc::clone(&self.package),
            state: status.state.clone(),
            expires_secs: status.expires_secs,
            content_type: notify
                .text(Name::ContentType)
                .unwrap_or_default()
                .to_owned(),
            body: Bytes::copy_from_slice(notify.body()),
            cseq,
            call_id: self.call_id.clone(),
            date: notify.text(Name::Date).map(str::to_owned),
        }
    }
}

/// CSeq numbers left out when a dialog is resumed: refreshes that went out after it was saved.
const CSEQ_SKIPPED: u32 = 256;
/// A dialog that ended sooner was short.
const SHORT_LIFE: Duration = Duration::from_secs(10);
