//! The phone as a whole: what its user does, what arrives, and what time brings.

mod due;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use presently_sip::{
    Aor, EntityTag, Framing, Index, Message, Method, Moment, Name, Now, Protocol, ReadError, Start,
};

use crate::incoming::{Incoming, on_other, with_quirks};
use crate::line::{Answer, Ask, Line};
use crate::publication::Publication;
use crate::registration::Registration;
use crate::subscription::Subscription;
use crate::tokens::number_of_tag;
use crate::{Config, Event, Outputs, Quirk, RequestId, SavedFeed, Subject, SubscriptionId};

/// One phone: one address of record, one flow to the pool.
///
/// Everything asked of it is kept up by itself: refreshed before it expires, tried again after a
/// failure that may pass, begun anew when the pool has lost it. Requests for one thing never
/// overlap; what is asked while one is on its way goes when that is answered.
#[derive(Debug)]
pub struct Agent {
    line: Line,
    incoming: Incoming,
    registration: Registration,
    // Boxed: a node of the tree has room for eleven.
    publications: BTreeMap<Arc<str>, Box<Publication>>,
    subscriptions: BTreeMap<SubscriptionId, Box<Subscription>>,
    next_id: u64,
    dropped: u64,
}

impl Agent {
    /// A phone that is switched on and has done nothing yet.
    pub fn new(config: Config) -> Self {
        let mut line = Line::new(config);
        Self {
            incoming: Incoming::new(&mut line),
            line,
            registration: Registration::default(),
            publications: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            next_id: 1,
            dropped: 0,
        }
    }

    /// Registers this device for `expires_secs`, and again before that ends.
    pub fn register(&mut self, now: Now, expires_secs: u32, out: &mut Outputs) {
        self.registration.lease.want(expires_secs);
        self.registration.turn(now.moment, &mut self.line, out);
        self.schedule(Subject::Registration);
    }

    /// Takes this device's registration back.
    pub fn unregister(&mut self, now: Now, out: &mut Outputs) {
        self.register(now, 0, out);
    }

    /// Publishes a document for `package`, or puts it in the place of the one published before.
    pub fn publish(
        &mut self,
        now: Now,
        package: &str,
        content_type: &str,
        body: Bytes,
        expires_secs: u32,
        out: &mut Outputs,
    ) {
        let package: Arc<str> = package.into();
        let publication = self.publications.entry(Arc::clone(&package));
        let publication =
            publication.or_insert_with(|| Box::new(Publication::new(Arc::clone(&package))));
        publication.set(content_type, body, expires_secs);
        publication.turn(now.moment, &mut self.line, out);
        self.schedule(Subject::Publication(package));
    }

    /// The pool holds a document for `package` under `etag` already, published before a restart:
    /// [`Agent::publish`], to be called next, puts its document in the place of that one
    /// (RFC 3903 §4.1). One that the pool has lost (412) is published anew.
    pub fn resume_publication(&mut self, package: &str, etag: EntityTag) {
        let package: Arc<str> = package.into();
        let publication = self.publications.entry(Arc::clone(&package));
        let publication = publication.or_insert_with(|| Box::new(Publication::new(package)));
        publication.resume(etag);
    }

    /// Refreshes the publication for `package` now, not only before it expires.
    pub fn refresh_publication(&mut self, now: Now, package: &str, out: &mut Outputs) {
        if let Some(publication) = self.publications.get_mut(package) {
            publication.lease.hurry(now.moment);
            publication.turn(now.moment, &mut self.line, out);
            self.schedule(Subject::Publication(package.into()));
        }
    }

    /// Takes the document for `package` back.
    pub fn unpublish(&mut self, now: Now, package: &str, out: &mut Outputs) {
        if let Some(publication) = self.publications.get_mut(package) {
            publication.lease.want(0);
            publication.turn(now.moment, &mut self.line, out);
            self.schedule(Subject::Publication(package.into()));
        }
    }

    /// Subscribes to `package` of `target` for `expires_secs`, and again before that ends. An empty
    /// `accept` sends none: the package's default is meant (RFC 6665 §3.1.3).
    pub fn subscribe(
        &mut self,
        now: Now,
        target: &Aor,
        package: &str,
        expires_secs: u32,
        accept: &[&str],
        out: &mut Outputs,
    ) -> SubscriptionId {
        let id = SubscriptionId(self.next_number());
        let subscription = Subscription::new(id, target.clone(), package, accept, expires_secs);
        self.subscriptions.insert(id, Box::new(subscription));
        self.with_subscription(id, |it, line| it.turn(now.moment, line, out));
        id
    }

    /// Asks for the state of `target` once (RFC 6665 §4.4.3): one [`Event::Notified`], then
    /// [`Event::SubscriptionEnded`].
    pub fn fetch(
        &mut self,
        now: Now,
        target: &Aor,
        package: &str,
        accept: &[&str],
        out: &mut Outputs,
    ) -> SubscriptionId {
        self.subscribe(now, target, package, 0, accept, out)
    }

    /// What is needed to go on with a subscription after a restart: to be asked for again after
    /// each NOTIFY and refresh. `None` without a dialog in which a NOTIFY has come.
    pub fn saved(&self, id: SubscriptionId) -> Option<SavedFeed> {
        self.subscriptions.get(&id)?.saved()
    }

    /// Goes on with a saved subscription for `expires_secs`: refreshes it in its dialog at once,
    /// and the NOTIFY that follows tells the present state. A pool that has lost the dialog (481)
    /// makes it begin anew, as one whose number the agent uses already does at once.
    pub fn resume(
        &mut self,
        now: Now,
        saved: &SavedFeed,
        expires_secs: u32,
        out: &mut Outputs,
    ) -> SubscriptionId {
        let mut id = SubscriptionId(saved.number);
        let subscription = if self.subscriptions.contains_key(&id) {
            id = SubscriptionId(self.next_number());
            let accept = saved.accept.as_str();
            Subscription::new(
                id,
                saved.target.clone(),
                &saved.package,
                &[accept],
                expires_secs,
            )
        } else {
            self.next_id = self.next_id.max(saved.number + 1);
            Subscription::resumed(id, saved, now.moment, expires_secs)
        };
        self.subscriptions.insert(id, Box::new(subscription));
        self.with_subscription(id, |it, line| it.turn(now.moment, line, out));
        id
    }

    /// Ends a subscription; one that is over already is left alone. The end is told by
    /// [`Event::SubscriptionEnded`]: with `Unsubscribed` once the NOTIFY that terminates it has
    /// come, with another reason if it does not come within 64·T1 of the answer.
    pub fn unsubscribe(&mut self, now: Now, id: SubscriptionId, out: &mut Outputs) {
        self.with_subscription(id, |it, line| {
            it.unsubscribe();
            it.turn(now.moment, line, out);
        });
    }

    /// Sends a MESSAGE (RFC 3428 §4), once.
    pub fn message(
        &mut self,
        now: Now,
        to: &Aor,
        content_type: &str,
        body: &[u8],
        out: &mut Outputs,
    ) -> RequestId {
        self.message_with(now, to, &[], content_type, body, out)
    }

    /// Sends a MESSAGE with more headers than its own, once. A line break in a value becomes a
    /// space.
    pub fn message_with(
        &mut self,
        now: Now,
        to: &Aor,
        headers: &[(&'static str, &str)],
        content_type: &str,
        body: &[u8],
        out: &mut Outputs,
    ) -> RequestId {
        let id = RequestId(self.next_number());
        let headers = headers.iter().map(|&(name, it)| (name, it.to_owned()));
        let headers = headers.collect();
        let body = Some((content_type, body));
        self.ask_once(
            now,
            (Subject::Message(id), "MESSAGE"),
            to,
            headers,
            body,
            out,
        );
        id
    }

    /// Asks what `to` can do (RFC 3261 §11), once.
    pub fn options(&mut self, now: Now, to: &Aor, out: &mut Outputs) -> RequestId {
        let id = RequestId(self.next_number());
        let what = (Subject::Options(id), "OPTIONS");
        self.ask_once(now, what, to, Vec::new(), None, out);
        id
    }

    /// Takes one whole message from the flow. What is no message, or answers nothing of ours, is
    /// dropped and counted.
    pub fn handle_message(&mut self, now: Now, bytes: &[u8], out: &mut Outputs) {
        let framing = match self.line.config.protocol {
            Protocol::Tcp => Framing::Stream,
            Protocol::Udp => Framing::Datagram,
        };
        let mut index = Index::default();
        match index.read(bytes, framing) {
            Ok(message) => match message.start() {
                Start::Request { method, .. } => self.on_request(now.moment, method, &message, out),
                Start::Response { status, .. } => {
                    self.on_response(now.moment, status, &message, out);
                }
            },
            // A keep-alive of the pool (RFC 5626 §4.4.1).
            Err(ReadError::Ping) => {}
            Err(_) => self.dropped += 1,
        }
    }

    /// The flow is gone and the owner has another, or is about to: requests under way have failed,
    /// and everything kept up is refreshed at once so that the pool knows the new flow, the
    /// registration first (RFC 5626 §4.4). What was being given back is given back over that one.
    pub fn handle_flow_lost(&mut self, now: Now, out: &mut Outputs) {
        let now = now.moment;
        for (exchange, subject) in self.line.take_all() {
            self.on_answer(now, exchange, &subject, &Answer::Unreachable, out);
        }
        self.registration.lease.hurry(now);
        self.on_due(now, Subject::Registration, out);
        let ids: Vec<SubscriptionId> = self.subscriptions.keys().copied().collect();
        for id in ids {
            self.with_subscription(id, |it, line| {
                it.hurry(now);
                it.turn(now, line, out);
            });
        }
    }

    /// Changes how the phone misbehaves from now on.
    pub fn behave(&mut self, quirks: Vec<Quirk>) {
        self.line.config.quirks = quirks;
    }

    /// What the phone was told about itself.
    pub fn config(&self) -> &Config {
        &self.line.config
    }

    /// How many messages were dropped: broken ones, and answers to nothing.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn next_number(&mut self) -> u64 {
        let number = self.next_id;
        self.next_id += 1;
        number
    }

    fn ask_once(
        &mut self,
        now: Now,
        (subject, method): (Subject, &'static str),
        to: &Aor,
        headers: Vec<(&'static str, String)>,
        body: Option<(&str, &[u8])>,
        out: &mut Outputs,
    ) {
        let ask = Ask {
            subject,
            method,
            uri: to.to_string(),
            to: format!("<{to}>"),
            from_tag: &self.line.tokens.tag(0),
            call_id: &self.line.tokens.call_id(),
            cseq: 1,
            routes: None,
            headers,
            body,
        };
        self.line.send(now.moment, &ask, out);
    }

    fn on_response(&mut self, now: Moment, status: u16, message: &Message<'_>, out: &mut Outputs) {
        if let Some((exchange, subject)) = self.line.on_response(now, status, message) {
            let answer = Answer::Response { status, message };
            self.on_answer(now, exchange, &subject, &answer, out);
        } else if status >= 200 {
            self.dropped += 1;
        }
    }

    fn on_answer(
        &mut self,
        now: Moment,
        exchange: u64,
        subject: &Subject,
        answer: &Answer<'_>,
        out: &mut Outputs,
    ) {
        let line = &mut self.line;
        match subject {
            Subject::Message(_) | Subject::Options(_) => {
                out.events.push(outcome(subject, answer));
                return;
            }
            Subject::Publication(package) => {
                if let Some(publication) = self.publications.get_mut(package) {
                    publication.on_answer(now, exchange, answer, line, out);
                }
            }
            Subject::Registration => {
                self.registration
                    .on_answer(now, exchange, answer, line, out);
            }
            Subject::Subscription(id) => {
                return self.with_subscription(*id, |it, line| {
                    it.on_answer(now, exchange, answer, line, out);
                });
            }
        }
        self.schedule(subject.clone());
    }

    fn on_request(
        &mut self,
        now: Moment,
        method: Method,
        request: &Message<'_>,
        out: &mut Outputs,
    ) {
        if !self.incoming.is_new(now, request, &self.line, out) {
            return;
        }
        let status = match (request.defect(), method) {
            (_, Method::Ack) => None,
            (Some(defect), _) => Some(defect.status()),
            (None, Method::Notify) => return self.on_notify(now, request, out),
            (None, _) => on_other(method, request, out),
        };
        if let Some(status) = status {
            self.incoming.answer(request, status, &mut self.line, out);
        }
    }

    fn on_notify(&mut self, now: Moment, notify: &Message<'_>, out: &mut Outputs) {
        let found = self.subscription_of(notify);
        let status = match found.and_then(|id| self.subscriptions.get_mut(&id)) {
            Some(subscription) => subscription.on_notify(now, notify, &mut self.line, out),
            None => 481,
        };
        if let Some(status) = with_quirks(status, &self.line.config.quirks) {
            self.incoming.answer(notify, status, &mut self.line, out);
        }
        // After the answer: what the NOTIFY makes us send comes behind it.
        if let Some(id) = found {
            self.with_subscription(id, |it, line| it.turn(now, line, out));
        }
    }

    fn subscription_of(&self, notify: &Message<'_>) -> Option<SubscriptionId> {
        let (call_id, local_tag) = (notify.call_id()?, notify.to()?.tag()?);
        let id = SubscriptionId(number_of_tag(local_tag)?);
        let subscription = self.subscriptions.get(&id)?;
        subscription.is_named(call_id, local_tag).then_some(id)
    }

    /// Lets `work` change a subscription, then forgets it when it is over and sets its timer.
    fn with_subscription(
        &mut self,
        id: SubscriptionId,
        work: impl FnOnce(&mut Subscription, &mut Line),
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        work(subscription, &mut self.line);
        if subscription.is_over() {
            self.subscriptions.remove(&id);
        }
        self.schedule(Subject::Subscription(id));
    }
}

/// What became of a request that is sent once.
fn outcome(subject: &Subject, answer: &Answer<'_>) -> Event {
    match (subject, answer) {
        (&Subject::Message(id), &Answer::Response { status, .. }) => {
            Event::MessageAnswered { id, status }
        }
        (&Subject::Options(id), &Answer::Response { status, message }) => Event::OptionsAnswered {
            id,
            status,
            packages: message
                .values(Name::AllowEvents)
                .map(str::to_owned)
                .collect(),
        },
        _ => Event::TimedOut {
            what: subject.clone(),
            again_in: None,
        },
    }
}
