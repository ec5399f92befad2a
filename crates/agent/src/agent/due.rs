//! What time brings: requests repeated or given up, and whatever is due to be asked for again.

use presently_sip::{Moment, Now};

use super::Agent;
use crate::agenda::Timer;
use crate::line::Answer;
use crate::{Outputs, Subject};

impl Agent {
    /// When [`Agent::handle_timeout`] is due next.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.line.agenda.next()
    }

    /// Does everything that is due by now.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Outputs) {
        let now = now.moment;
        while let Some(timer) = self.line.agenda.take_due(now) {
            match timer {
                Timer::Exchange(number) => self.on_exchange_due(now, number, out),
                Timer::Subject(subject) => self.on_due(now, subject, out),
            }
        }
    }

    /// As [`Agent::poll_timeout`], of requests under way alone.
    pub fn poll_repeat(&self) -> Option<Moment> {
        self.line.agenda.next_exchange()
    }

    /// As [`Agent::poll_timeout`], of all that no request is under way for: refreshes most of all.
    pub fn poll_refresh(&self) -> Option<Moment> {
        self.line.agenda.next_subject()
    }

    /// Repeats or gives up requests under way whose time has come. An owner of very many agents
    /// calls this in time, and [`Agent::handle_timeout`] for a few of them at a time.
    pub fn handle_repeats(&mut self, now: Now, out: &mut Outputs) {
        while let Some(number) = self.line.agenda.take_due_exchange(now.moment) {
            self.on_exchange_due(now.moment, number, out);
        }
    }

    /// Whether a request waits for its answer.
    pub fn is_asking(&self) -> bool {
        self.line.is_asking()
    }

    pub(super) fn on_due(&mut self, now: Moment, subject: Subject, out: &mut Outputs) {
        let line = &mut self.line;
        match &subject {
            Subject::Message(_) | Subject::Options(_) => {}
            Subject::Publication(package) => {
                if let Some(publication) = self.publications.get_mut(package) {
                    publication.turn(now, line, out);
                }
            }
            Subject::Registration => self.registration.turn(now, line, out),
            Subject::Subscription(id) => {
                return self.with_subscription(*id, |it, line| it.on_timeout(now, line, out));
            }
        }
        self.schedule(subject);
    }

    /// Sets the timer of `subject` by what it says now.
    pub(super) fn schedule(&mut self, subject: Subject) {
        let due = match &subject {
            Subject::Message(_) | Subject::Options(_) => None,
            Subject::Publication(package) => {
                let publication = self.publications.get(package);
                publication.and_then(|it| it.lease.poll_timeout())
            }
            Subject::Registration => self.registration.lease.poll_timeout(),
            Subject::Subscription(id) => {
                let subscription = self.subscriptions.get(id);
                subscription.and_then(|it| it.poll_timeout())
            }
        };
        self.line.agenda.set(Timer::Subject(subject), due);
    }

    fn on_exchange_due(&mut self, now: Moment, number: u64, out: &mut Outputs) {
        if let Some((exchange, subject)) = self.line.on_timeout(now, number, out) {
            self.on_answer(now, exchange, &subject, &Answer::TimedOut, out);
        }
    }
}
