//! The steps before and after access, in their order: registered, announced, recorded, admitted,
//! followed (S1–S5); and what becomes of them when the presence server refuses.

use std::time::Duration;

use presently_agent::{Event, Subject, pidf};
use presently_sip::Moment;

use super::{Line, Session};
use crate::reach::Reached;
use crate::turn::Turn;
use crate::{Refusal, State, What, Why};

impl Session {
    /// Begins the steps, if there is a slot and the presence server is there.
    pub(super) fn begin(&mut self, turn: &mut Turn<'_>) {
        if self.line != Line::Idle || self.server.is_none() || turn.shared.is_ending() {
            return;
        }
        if !turn.shared.is_reachable() {
            if turn.shared.reached == Reached::Lost {
                self.serve_unannounced(turn);
            }
            return;
        }
        self.line = Line::Registering;
        self.asked.registration = true;
        self.why = "is being registered";
        let secs = turn.shared.config.register_secs;
        self.agent.register(turn.now, secs, turn.agent);
    }

    /// Something happened to its handle.
    pub(super) fn on_event(&mut self, turn: &mut Turn<'_>, event: Event) {
        match event {
            Event::Registered { .. } => self.on_registered(turn),
            Event::Published { etag, .. } => {
                self.tag = etag;
                self.on_published(turn);
            }
            Event::Subscribed { id, .. } if self.feed == Some(id) => {
                turn.step(&self.user, What::Subscribed);
                self.write(turn);
            }
            Event::Notified(notified) if self.feed == Some(notified.id) => {
                self.on_notified(turn, &notified);
            }
            Event::MessageAnswered { id, status } => self.on_answered(turn, id, status),
            Event::TimedOut {
                what: Subject::Message(id),
                ..
            } => self.on_answered(turn, id, 408),
            Event::SubscriptionEnded {
                again_in: Some(_), ..
            } => self.notices.expect_baseline(),
            event => self.on_end(turn, &event),
        }
    }

    /// The record is written: access, and then the feed.
    pub(super) fn on_recorded(&mut self, turn: &mut Turn<'_>) {
        if self.line != Line::Recording {
            return;
        }
        turn.step(&self.user, What::Recorded);
        self.line = Line::Following;
        self.has_access = true;
        self.why = "was announced";
        self.admit_waiting(turn);
        self.follow(turn);
    }

    /// Asks again for what was refused.
    pub(super) fn repair_due(&mut self, turn: &mut Turn<'_>) {
        if self.repair_at.is_none_or(|due| due > turn.now.moment) {
            return;
        }
        self.repair_at = None;
        match self.line {
            Line::Idle => self.begin(turn),
            Line::Following => {
                let secs = turn.shared.config.register_secs;
                self.agent.register(turn.now, secs, turn.agent);
                self.agent
                    .refresh_publication(turn.now, PACKAGE, turn.agent);
                if self.feed.is_none() {
                    self.follow(turn);
                }
            }
            _ => {}
        }
    }

    fn on_registered(&mut self, turn: &mut Turn<'_>) {
        if self.line != Line::Registering {
            return;
        }
        turn.step(&self.user, What::Registered);
        self.line = Line::Announcing;
        self.asked.announcement = true;
        self.why = "is being announced";
        let note = note(&self.resource);
        let body = pidf(&self.handle, true, Some(&note));
        let secs = turn.shared.config.register_secs;
        if let Some(tag) = self.tag.take() {
            self.agent.resume_publication(PACKAGE, tag);
        }
        self.agent
            .publish(turn.now, PACKAGE, PIDF, body, secs, turn.agent);
    }

    fn on_published(&mut self, turn: &mut Turn<'_>) {
        if self.line == Line::Announcing {
            turn.step(&self.user, What::Announced);
            self.line = Line::Recording;
            self.resource = Box::default();
            self.why = "is being recorded";
        }
        self.write(turn);
    }

    /// Subscribes to the user's presence, in the dialog of the record if there is one.
    fn follow(&mut self, turn: &mut Turn<'_>) {
        let secs = turn.shared.config.subscribe_secs;
        self.notices.expect_baseline();
        let (now, user) = (turn.now, &self.user);
        let feed = if let Some(saved) = self.saved.take() {
            self.agent.resume(now, &saved, secs, turn.agent)
        } else {
            self.agent
                .subscribe(now, user, PACKAGE, secs, &[PIDF], turn.agent)
        };
        self.feed = Some(feed);
    }

    /// Something ended, or was refused.
    fn on_end(&mut self, turn: &mut Turn<'_>, event: &Event) {
        let Some((subject, status)) = ended(event) else {
            return;
        };
        if self.is_leaving() {
            self.on_given_back(turn, &subject);
            return;
        }
        match (self.line, subject) {
            (Line::Registering, Subject::Registration)
            | (Line::Announcing, Subject::Publication(_)) => self.on_unannounced(turn),
            (Line::Following, Subject::Subscription(id)) if self.feed == Some(id) => {
                self.feed = None;
                // Of a refresh that was refused the dialog goes on (RFC 6665 §4.1.2.1): it would be
                // a second feed beside the next one.
                self.agent.unsubscribe(turn.now, id, turn.agent);
                turn.step(&self.user, What::Deaf { status });
                self.why = "its feed was refused";
                self.forget_presence(turn);
                self.repair_at = Some(later(turn));
            }
            (Line::Following, Subject::Registration | Subject::Publication(_)) => {
                self.repair_at = Some(later(turn));
            }
            _ => {}
        }
    }

    /// The presence server does not want the handle: no access, or at least no more steps.
    fn on_unannounced(&mut self, turn: &mut Turn<'_>) {
        self.line = Line::Idle;
        self.why = "its announcement was refused";
        if self.has_access {
            self.repair_at = Some(later(turn));
        } else {
            self.refuse_waiting(turn, Refusal::Unannounced);
            if !self.is_leaving() {
                self.release(turn, Why::Unused);
            }
        }
    }

    /// Nothing is known of the user any more: ordinary time-outs only.
    pub(super) fn forget_presence(&mut self, turn: &mut Turn<'_>) {
        self.presence = State::Unknown;
        self.dismiss(turn);
        self.set_followed(turn, false);
    }

    pub(super) fn set_followed(&mut self, turn: &mut Turn<'_>, is_followed: bool) {
        let followed = &mut turn.shared.counters.followed;
        match (self.is_followed, is_followed) {
            (false, true) => *followed += 1,
            (true, false) => *followed = followed.saturating_sub(1),
            _ => {}
        }
        self.is_followed = is_followed;
    }
}

/// What has ended for good and with which status, if `event` says so.
fn ended(event: &Event) -> Option<(Subject, u16)> {
    Some(match event {
        Event::PublishFailed {
            package,
            status,
            again_in: None,
        } => (Subject::Publication(package.clone()), *status),
        Event::RegisterFailed {
            status,
            again_in: None,
        } => (Subject::Registration, *status),
        Event::SubscribeFailed {
            id,
            status,
            again_in: None,
        } => (Subject::Subscription(*id), *status),
        Event::SubscriptionEnded {
            id, again_in: None, ..
        } => (Subject::Subscription(*id), 0),
        Event::TimedOut {
            what,
            again_in: None,
        } => (what.clone(), 408),
        Event::Unpublished { package } => (Subject::Publication(package.clone()), 0),
        Event::Unregistered => (Subject::Registration, 0),
        _ => return None,
    })
}

/// The note of an announcement: what was asked for, without what XML cannot say (XML 1.0 §2.2), and
/// not too long.
fn note(resource: &str) -> String {
    let is_said = |it: &char| !it.is_control() && !matches!(it, '\u{fffe}' | '\u{ffff}');
    resource
        .chars()
        .filter(is_said)
        .take(NOTE_CHARS_MAX)
        .collect()
}

fn later(turn: &Turn<'_>) -> Moment {
    turn.now.moment.after(REPAIR_AFTER)
}

pub(super) const PACKAGE: &str = "presence";
const PIDF: &str = "application/pidf+xml";

/// The longest note: a person reads it.
const NOTE_CHARS_MAX: usize = 200;

/// When something that was refused for good is asked for again: a server's configuration may have
/// changed.
const REPAIR_AFTER: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_short_and_can_be_said_in_xml() {
        assert_eq!(note("a.example/<x>&\u{1}\r\n\u{ffff}y"), "a.example/<x>&y");
        assert_eq!(note(&"ü".repeat(1000)).chars().count(), NOTE_CHARS_MAX);
    }
}
