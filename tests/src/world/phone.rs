//! A simulated phone: an agent and what it has seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use presently_agent::{Agent, Config, Event, Notified, Outputs, Subject, SubscriptionId};
use presently_sip::{Aor, Moment, Now, Protocol};

/// One phone.
pub struct Phone {
    /// Who.
    pub aor: Aor,
    /// Where.
    pub address: SocketAddr,
    /// The machine.
    pub agent: Agent,
    /// What happened, in order.
    pub events: Vec<(Moment, Event)>,
    /// What its user wants watched.
    pub watches: BTreeMap<SubscriptionId, Aor>,
    out: Outputs,
}

impl Phone {
    /// A phone of `user@example.com` with an address of its own.
    ///
    /// # Panics
    ///
    /// `user` is no user part.
    #[must_use]
    pub fn new(user: &str, place: usize, seed: u64) -> Self {
        let aor = super::aor(user);
        let [.., high, low] = place.to_be_bytes();
        let address = SocketAddr::from(([10, 1, high, low], 5062));
        let config = Config::new(aor.clone(), Protocol::Udp, &address.to_string(), seed);
        Self {
            aor,
            address,
            agent: Agent::new(config),
            events: Vec::new(),
            watches: BTreeMap::new(),
            out: Outputs::default(),
        }
    }

    /// Logs on.
    pub fn register(&mut self, now: Now, expires_secs: u32) {
        self.agent.register(now, expires_secs, &mut self.out);
    }

    /// Logs off.
    pub fn unregister(&mut self, now: Now) {
        self.agent.unregister(now, &mut self.out);
    }

    /// Publishes open or closed with a note.
    pub fn publish(&mut self, now: Now, open: bool, note: &str) {
        self.publish_for(now, open, note, 3600);
    }

    /// The same, refreshed before `expires_secs` are over.
    pub fn publish_for(&mut self, now: Now, open: bool, note: &str, expires_secs: u32) {
        let body = presently_agent::pidf(&self.aor, open, Some(note));
        self.publish_body(now, body, expires_secs);
    }

    /// Publishes a document of the test's own.
    pub fn publish_body(&mut self, now: Now, body: Bytes, expires_secs: u32) {
        self.agent.publish(
            now,
            "presence",
            "application/pidf+xml",
            body,
            expires_secs,
            &mut self.out,
        );
    }

    /// Takes its publication back.
    pub fn unpublish(&mut self, now: Now) {
        self.agent.unpublish(now, "presence", &mut self.out);
    }

    /// Watches somebody for an hour at a time.
    pub fn subscribe(&mut self, now: Now, target: &Aor) -> SubscriptionId {
        self.subscribe_for(now, target, 3600)
    }

    /// Watches somebody, and refreshes that before `expires_secs` are over.
    pub fn subscribe_for(&mut self, now: Now, target: &Aor, expires_secs: u32) -> SubscriptionId {
        let accept = ["application/pidf+xml"];
        let id = self.agent.subscribe(
            now,
            target,
            "presence",
            expires_secs,
            &accept,
            &mut self.out,
        );
        self.watches.insert(id, target.clone());
        id
    }

    /// Asks for somebody's state once.
    pub fn fetch(&mut self, now: Now, target: &Aor) -> SubscriptionId {
        let accept = ["application/pidf+xml"];
        self.agent
            .fetch(now, target, "presence", &accept, &mut self.out)
    }

    /// Stops watching.
    pub fn unsubscribe(&mut self, now: Now, id: SubscriptionId) {
        self.watches.remove(&id);
        self.agent.unsubscribe(now, id, &mut self.out);
    }

    /// Sends a MESSAGE.
    pub fn message(&mut self, now: Now, to: &Aor, text: &str) {
        self.agent
            .message(now, to, "text/plain", text.as_bytes(), &mut self.out);
    }

    /// Takes what arrived.
    pub fn handle_message(&mut self, now: Now, bytes: &[u8]) {
        self.agent.handle_message(now, bytes, &mut self.out);
        self.note(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.agent.handle_timeout(now, &mut self.out);
        self.note(now);
    }

    /// When something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.agent.poll_timeout()
    }

    /// Every NOTIFY taken, in order.
    pub fn notified(&self) -> impl Iterator<Item = &Notified> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::Notified(notified) => Some(notified),
            _ => None,
        })
    }

    /// What the last NOTIFY of a subscription said: open or not, and its first note.
    #[must_use]
    pub fn shows(&self, id: SubscriptionId) -> Option<(bool, String)> {
        let last = self
            .notified()
            .filter(|notified| notified.id == id)
            .last()?;
        let (open, notes) = presently_agent::read_pidf(&last.body)?;
        Some((open, notes.into_iter().next().unwrap_or_default()))
    }

    /// The notes that a subscription's NOTIFYs showed first, in order.
    #[must_use]
    pub fn notes(&self, id: SubscriptionId) -> Vec<String> {
        let of = self.notified().filter(|notified| notified.id == id);
        let read = of.filter_map(|notified| presently_agent::read_pidf(&notified.body));
        read.map(|(_, notes)| notes.into_iter().next().unwrap_or_default())
            .collect()
    }

    /// Whether a subscription has not ended, or is to begin again.
    #[must_use]
    pub fn is_live(&self, id: SubscriptionId) -> bool {
        let last = self.events.iter().rev().find_map(|(_, event)| match event {
            Event::SubscriptionEnded {
                id: of, again_in, ..
            }
            | Event::SubscribeFailed {
                id: of, again_in, ..
            } if *of == id => Some(again_in.is_some()),
            Event::TimedOut {
                what: Subject::Subscription(of),
                again_in,
            } if *of == id => Some(again_in.is_some()),
            Event::Subscribed { id: of, .. } if *of == id => Some(true),
            _ => None,
        });
        last.unwrap_or(true)
    }

    /// The Call-ID of the dialog in which a subscription stands, if it stands for sure: granted or
    /// notified in it, and nothing else heard of it since.
    #[must_use]
    pub fn holds(&self, id: SubscriptionId) -> Option<&str> {
        let mut granted = false;
        for (_, event) in self.events.iter().rev() {
            match event {
                Event::Notified(notified) if notified.id == id => return Some(&notified.call_id),
                Event::Subscribed { id: of, .. } if *of == id => granted = true,
                Event::SubscriptionEnded { id: of, .. } | Event::SubscribeFailed { id: of, .. }
                    if *of == id =>
                {
                    return None;
                }
                Event::TimedOut {
                    what: Subject::Subscription(of),
                    ..
                } if *of == id && !granted => return None,
                _ => {}
            }
        }
        None
    }

    pub(super) fn take_datagrams(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.out.datagrams)
    }

    fn note(&mut self, now: Now) {
        let events = self.out.events.drain(..);
        self.events.extend(events.map(|event| (now.moment, event)));
    }
}
