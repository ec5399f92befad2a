//! Somebody who watches all users, to note when the presence server knows what has happened.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use presently_agent::{Agent, Config, Event, Outputs, SubscriptionId, read_pidf};
use presently_sip::{Aor, Protocol};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::clock::Clock;
use super::link::Link;
use super::{ANYWHERE, Arguments, Log};

/// Takes names of users to watch.
pub(super) struct Watcher(UnboundedSender<(String, Aor)>);

/// The watching itself.
struct Watching {
    agent: Agent,
    link: Link,
    clock: Clock,
    out: Outputs,
    users: HashMap<SubscriptionId, String>,
    /// Subscriptions asked for and not answered yet.
    unanswered: HashSet<SubscriptionId>,
    log: Log,
}

impl Watcher {
    /// A watcher with a flow of its own.
    pub(super) async fn start(told: &Arc<Arguments>, log: Log) -> Self {
        let link = Link::open(Protocol::Udp, ANYWHERE, told.pool).await;
        let link = link.expect("the presence server can be reached");
        let sent_by = link.local().expect("it is bound").to_string();
        let aor = super::aor(told, "watcher");
        let config = Config::new(aor, Protocol::Udp, &sent_by, fastrand::u64(..));
        let watching = Watching {
            agent: Agent::new(config),
            link,
            clock: Clock::new(),
            out: Outputs::default(),
            users: HashMap::new(),
            unanswered: HashSet::new(),
            log,
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(watching.watch(receiver));
        Self(sender)
    }

    /// Watches `user` from now on; once is enough.
    pub(super) fn watch(&self, user: &str, aor: Aor) {
        // It lives as long as the phones do.
        let _ = self.0.send((user.to_owned(), aor));
    }
}

impl Watching {
    async fn watch(mut self, mut wanted: UnboundedReceiver<(String, Aor)>) {
        loop {
            self.flush().await;
            tokio::select! {
                Some((user, aor)) = wanted.recv(), if self.unanswered.len() < ASKED_MAX => {
                    self.subscribe(user, &aor);
                }
                Ok(message) = self.link.receive() => {
                    let now = self.clock.now();
                    self.agent.handle_message(now, &message, &mut self.out);
                }
                () = self.clock.until(self.agent.poll_timeout()) => {
                    self.agent.handle_timeout(self.clock.now(), &mut self.out);
                }
            }
        }
    }

    fn subscribe(&mut self, user: String, aor: &Aor) {
        if self.users.values().any(|known| *known == user) {
            return;
        }
        let (now, accept) = (self.clock.now(), ["application/pidf+xml"]);
        let id = self
            .agent
            .subscribe(now, aor, "presence", 3600, &accept, &mut self.out);
        self.users.insert(id, user);
        self.unanswered.insert(id);
    }

    async fn flush(&mut self) {
        for message in self.out.datagrams.drain(..) {
            let _ = self.link.send(&message).await;
        }
        for event in self.out.events.drain(..) {
            match event {
                Event::Notified(notified) => {
                    let user = self.users.get(&notified.id);
                    if let (Some(user), Some((is_open, _))) = (user, read_pidf(&notified.body)) {
                        let state = if is_open { "open" } else { "closed" };
                        self.log.line(&format!("seen {user} {state}"));
                    }
                }
                Event::Subscribed { id, .. } => {
                    self.unanswered.remove(&id);
                }
                Event::SubscribeFailed { id, status, .. } => {
                    self.unanswered.remove(&id);
                    self.log.line(&format!("watcher refused {status}"));
                }
                Event::TimedOut { .. } => self.log.line("watcher timed-out"),
                _ => {}
            }
        }
    }
}

/// A server lets one client have so many requests waiting; more are refused.
const ASKED_MAX: usize = 16;
