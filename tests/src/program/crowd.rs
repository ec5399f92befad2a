//! A crowd: phones that publish without pause while each watches some of the others, and what must
//! be true of them whatever happens to the pool.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use presently_agent::{Event, SubscriptionId};

use super::{Member, Phone, Pool, Town};

/// How many phones, and how many others each of them watches.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Phones over UDP.
    pub udp: usize,
    /// Phones over TCP.
    pub tcp: usize,
    /// Subscriptions of each.
    pub watches: usize,
}

/// The phones, their subscriptions and what they have published.
#[derive(Debug)]
pub struct Crowd {
    /// The phones; phone `n` is the user `p<n>`.
    pub town: Town,
    subscriptions: Vec<Subscription>,
    /// The number each has published last.
    published: Vec<u64>,
    /// How often each SUBSCRIBE was to be granted.
    granted: u32,
    next: usize,
    due: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Subscription {
    watcher: usize,
    presentity: usize,
    id: SubscriptionId,
}

/// What the watchers saw, once all is quiet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// NOTIFYs with a document.
    pub notifies: usize,
    /// Those that said again what the watcher had.
    pub repeated: usize,
    /// From the last change to the last watcher that showed it.
    pub converged_in: Duration,
}

impl Crowd {
    /// Registers, publishes and subscribes everybody; waits until each watcher shows a state.
    pub fn gather(pool: &Pool, size: Size) -> Self {
        let mut town = Town::default();
        let all = size.udp + size.tcp;
        for number in 0..all {
            let user = format!("p{number}");
            let phone = match number < size.udp {
                true => town.udp(&user, pool.udp()),
                false => town.tcp(&user, pool.tcp()),
            };
            town.register(phone);
            town.phone(phone).publish(true, "0");
        }
        let mut subscriptions = Vec::new();
        for watcher in 0..all {
            for step in 1..=size.watches {
                // Steps of unlike length, so that watchers of one are spread over the servers.
                let presentity = (watcher + step * step) % all;
                let id = town
                    .phone(watcher)
                    .subscribe(&format!("p{presentity}"), 600);
                subscriptions.push(Subscription {
                    watcher,
                    presentity,
                    id,
                });
            }
        }
        let mut crowd = Self {
            town,
            subscriptions,
            published: vec![0; all],
            granted: 1,
            next: 0,
            due: Instant::now(),
        };
        crowd.quiet();
        crowd
    }

    /// Lets everybody live under load for `span`.
    pub fn live(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.turn();
        }
    }

    /// Lets everybody live under load until `look` sees something; looks every 50 ms.
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + WITHIN;
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            assert!(Instant::now() < end, "{what}: not within {WITHIN:?}");
            self.live(LOOK_EVERY);
        }
    }

    /// Ends the load, waits until every watcher shows the last state of whom it watches, and checks
    /// that no phone noticed anything: the same dialogs, numbers that grow, entity-tags that hold.
    pub fn settle(&mut self) -> Told {
        let converged_in = self.quiet();
        let mut told = Told {
            converged_in,
            ..Told::default()
        };
        for phone in &self.town.phones {
            check_undisturbed(phone, self.granted);
        }
        for subscription in &self.subscriptions {
            self.check(*subscription, &mut told);
        }
        told
    }

    /// Everybody finds another balancer and refreshes what it has: the registration and each
    /// subscription, in its dialog (RFC 5626 §4.4).
    pub fn move_to(&mut self, balancer: &Member) {
        self.granted += 1;
        for phone in &mut self.town.phones {
            phone.move_to(balancer);
        }
    }

    /// The phones over UDP reach `balancer` from now on, and have nothing to ask of it yet: its
    /// address is that of the one before, as far as they know.
    pub fn led_to(&mut self, balancer: &Member) {
        for phone in &mut self.town.phones {
            phone.led_to(balancer);
        }
    }

    /// One turn of everybody; the next in order publishes when it is time.
    fn turn(&mut self) {
        if Instant::now() >= self.due {
            self.due = Instant::now() + CHANGE_EVERY;
            self.change(self.next);
            self.next = (self.next + 1) % self.published.len();
        }
        if !self.town.turn() {
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn change(&mut self, phone: usize) {
        let published = self.published.get_mut(phone).expect("one for each");
        *published += 1;
        let note = published.to_string();
        self.town.phone(phone).publish(true, &note);
    }

    /// Waits, without load, until each watcher shows the last state; gives how long that took.
    fn quiet(&mut self) -> Duration {
        let start = Instant::now();
        loop {
            while self.town.turn() {}
            let behind = self.behind();
            if behind.is_empty() {
                return start.elapsed();
            }
            let tell = |it: &Subscription| self.tell(*it);
            assert!(
                start.elapsed() < WITHIN,
                "{} subscriptions are behind: {:#?}",
                behind.len(),
                behind.iter().take(3).map(tell).collect::<Vec<_>>()
            );
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn behind(&self) -> Vec<Subscription> {
        let wanted = |presentity: usize| self.published.get(presentity).expect("one for each");
        let is_behind = |it: &&Subscription| {
            let phone = self.town.phones.get(it.watcher).expect("it was added");
            let shown = phone.shows(it.id);
            shown.is_none_or(|(_, note)| note != wanted(it.presentity).to_string())
        };
        let all = self.subscriptions.iter();
        all.filter(is_behind).copied().collect()
    }

    fn tell(&self, subscription: Subscription) -> String {
        let Subscription {
            watcher,
            presentity,
            id,
        } = subscription;
        let (Some(one), Some(other)) = (
            self.town.phones.get(watcher),
            self.town.phones.get(presentity),
        ) else {
            return String::new();
        };
        let published = self.published.get(presentity).expect("one for each");
        format!(
            "{} shows {:?} of {}, which published {published} and heard at last {:?}",
            one.user,
            one.shows(id),
            other.user,
            other.heard.last().map(|(_, text)| text)
        )
    }

    fn check(&self, subscription: Subscription, told: &mut Told) {
        let phone = self
            .town
            .phones
            .get(subscription.watcher)
            .expect("it was added");
        let numbers = phone.events.iter().filter_map(|event| match event {
            Event::Notified(notified) if notified.id == subscription.id => {
                let (_, notes) = presently_agent::read_pidf(&notified.body)?;
                notes.concat().parse::<u64>().ok()
            }
            _ => None,
        });
        let mut last = None;
        for number in numbers {
            told.notifies += 1;
            told.repeated += usize::from(last == Some(number));
            assert!(
                last <= Some(number),
                "{number} after {last:?} to {}",
                phone.user
            );
            last = Some(number);
        }
    }
}

/// Everything asked for was granted, as often as it was asked for; nothing else was heard of it.
fn check_undisturbed(phone: &Phone, granted: u32) {
    let mut subscribed: BTreeMap<SubscriptionId, u32> = BTreeMap::new();
    for event in &phone.events {
        match event {
            Event::Notified(_) | Event::Published { .. } | Event::Registered { .. } => {}
            Event::Subscribed { id, .. } => *subscribed.entry(*id).or_default() += 1,
            other => panic!("{}: {other:?}", phone.user),
        }
    }
    assert!(
        subscribed.values().all(|count| *count == granted),
        "{}: {subscribed:?}",
        phone.user
    );
    let refused = phone.heard.iter().find(|(_, text)| {
        let status = text.strip_prefix("SIP/2.0 ").and_then(|it| it.get(..1));
        !matches!(status, None | Some("1" | "2"))
    });
    assert_eq!(refused, None, "{}", phone.user);
}

const CHANGE_EVERY: Duration = Duration::from_millis(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const WITHIN: Duration = Duration::from_secs(25);
