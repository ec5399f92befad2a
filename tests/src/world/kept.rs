//! What phones were granted and must not lose.

use presently_agent::{Ended, Event, Subject, SubscriptionId};
use presently_sip::Moment;

use super::World;

/// Something that a phone did not ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mishap {
    /// Which phone.
    pub place: usize,
    /// When.
    pub at: Moment,
    /// What.
    pub kind: MishapKind,
}

/// What a phone did not ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MishapKind {
    /// A final answer that refused a REGISTER, PUBLISH or SUBSCRIBE.
    Refused(u16),
    /// A NOTIFY that ended a subscription.
    Terminated,
    /// No answer in time.
    TimedOut,
}

impl World {
    /// Everything that happened to the phones and they did not cause.
    #[must_use]
    pub fn mishaps(&self) -> Vec<Mishap> {
        let mut mishaps = Vec::new();
        for (place, phone) in self.phones.iter().enumerate() {
            let wants = |id: &SubscriptionId| phone.watches.contains_key(id);
            let all = phone.events.iter().filter_map(|(at, event)| {
                let kind = kind_of(event, wants)?;
                Some(Mishap {
                    place,
                    at: *at,
                    kind,
                })
            });
            mishaps.extend(all);
        }
        mishaps.sort_by_key(|mishap| mishap.at);
        mishaps
    }

    /// Subscriptions that a phone holds to be granted and that the store does not have.
    pub(super) fn check_kept(&mut self, place: usize, broken: &mut Vec<String>) {
        let user = self.phones[place].aor.user().to_owned();
        let rows = self.show(&user).map(|state| state.subscriptions);
        let rows = rows.unwrap_or_default();
        let phone = &self.phones[place];
        for id in phone.watches.keys() {
            let Some(call_id) = phone.holds(*id) else {
                continue;
            };
            if !rows.iter().any(|row| *row.dialog.call_id == *call_id) {
                broken.push(format!("{user} at {place} lost its subscription {call_id}"));
            }
        }
    }
}

fn kind_of(event: &Event, wants: impl Fn(&SubscriptionId) -> bool) -> Option<MishapKind> {
    match event {
        Event::PublishFailed { status, .. } | Event::RegisterFailed { status, .. } => {
            Some(MishapKind::Refused(*status))
        }
        Event::SubscribeFailed { id, status, .. } if wants(id) => {
            Some(MishapKind::Refused(*status))
        }
        Event::SubscriptionEnded { id, reason, .. } if wants(id) => match reason {
            Ended::Refused { status } => Some(MishapKind::Refused(*status)),
            Ended::Terminated { .. } => Some(MishapKind::Terminated),
            Ended::Unanswered => Some(MishapKind::TimedOut),
            Ended::Unbegun | Ended::Unsubscribed => None,
        },
        Event::TimedOut { what, .. } => match what {
            Subject::Subscription(id) if !wants(id) => None,
            Subject::Message(_) | Subject::Options(_) => None,
            _ => Some(MishapKind::TimedOut),
        },
        _ => None,
    }
}
