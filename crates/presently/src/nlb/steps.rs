//! The steps of each session, S1 to S15 in order: as log lines, and the latest of them for
//! `/steps`.

use std::collections::VecDeque;

use presently_nlb::{CutReason, Decision, Step, What, Why};
use serde::{Deserialize, Serialize};
use tracing::Level;

/// The latest steps, in order.
#[derive(Debug, Default)]
pub(super) struct Steps {
    latest: VecDeque<Step>,
}

/// One step, as it is shown.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StepRow {
    /// Whose session; the nlb's own address for what concerns all.
    pub user: String,
    /// What happened, in a word.
    pub step: String,
    /// More of it.
    pub detail: String,
    /// When, in microseconds since 1970.
    pub at_micros: u64,
}

impl Steps {
    /// Logs `step` and keeps it for a while.
    pub(super) fn note(&mut self, step: Step) {
        log(&step);
        if self.latest.len() >= KEPT_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(step);
    }

    /// The latest steps of users with `part` in their address.
    pub(super) fn rows(&self, part: &str) -> Vec<StepRow> {
        let steps = self.latest.iter();
        let wanted = steps.filter(|step| step.user.as_str().contains(part));
        let rows = wanted.map(|step| StepRow {
            user: step.user.to_string(),
            step: name(&step.what).to_owned(),
            detail: detail(&step.what),
            at_micros: step.at.wall.0,
        });
        rows.collect()
    }
}

/// Writes one line: at the level warn what an operator should know of, else at info.
fn log(step: &Step) {
    let user = &step.user;
    if let What::Alarm | What::Unreachable = step.what {
        tracing::warn!(%user, step = name(&step.what), "{}", detail(&step.what));
    } else if tracing::enabled!(Level::INFO) {
        tracing::info!(%user, step = name(&step.what), "{}", detail(&step.what));
    }
}

/// The word for a step: part of the documented interface.
fn name(what: &What) -> &'static str {
    match what {
        What::Admitted { .. } => "admitted",
        What::Alarm => "alarm",
        What::Announced => "announced",
        What::Answered { .. } => "answered",
        What::Baseline { .. } => "baseline",
        What::Cut { .. } => "cut",
        What::Decided(_) => "decided",
        What::Deaf { .. } => "deaf",
        What::Messaged { .. } => "messaged",
        What::Moved { .. } => "moved",
        What::Notified { .. } => "notified",
        What::Placed { .. } => "placed",
        What::Purged => "purged",
        What::Queued => "queued",
        What::Reachable => "reachable",
        What::Recorded => "recorded",
        What::Refused { .. } => "refused",
        What::Registered => "registered",
        What::Released { .. } => "released",
        What::Restored => "restored",
        What::Resumed { .. } => "resumed",
        What::Subscribed => "subscribed",
        What::Terminated => "terminated",
        What::Unannounced => "unannounced",
        What::Unreachable => "unreachable",
        What::Unregistered => "unregistered",
        What::Unsubscribed => "unsubscribed",
        _ => "other",
    }
}

fn detail(what: &What) -> String {
    match what {
        What::Admitted { path, server } => format!("path {} to {server}", path.0),
        What::Alarm => "too many users left at once: nobody is released for it".to_owned(),
        What::Answered { status } => format!("the message to the user: {status}"),
        What::Baseline { is_open } | What::Notified { is_open, .. } => {
            format!("the user is {}", if *is_open { "open" } else { "closed" })
        }
        What::Cut { path, reason } => format!("path {}: {}", path.0, cut(*reason)),
        What::Decided(decision) => decided(*decision).to_owned(),
        What::Deaf { status } => format!("no feed: {status}, ordinary time-outs only"),
        What::Messaged { number } => format!("message {number} with the UUID"),
        What::Moved { server } | What::Placed { server } => format!("slot on {server}"),
        What::Refused { path, refusal } => format!("path {}: {refusal}", path.0),
        What::Released { why } => released(*why).to_owned(),
        What::Resumed { has_uuid } => {
            let with = if *has_uuid { "with" } else { "without" };
            format!("{with} the UUID of the message")
        }
        What::Unreachable => "the presence server does not answer: time-outs only".to_owned(),
        _ => String::new(),
    }
}

/// What was decided: docs/nlb.md lists these words.
fn decided(decision: Decision) -> &'static str {
    match decision {
        Decision::Baseline => "a first word: noted",
        Decision::Dismiss => "not believed: time-outs only",
        Decision::NewerPath => "a connection is newer: nothing changes",
        Decision::NoWord => "it says nothing of the user",
        Decision::Open => "the user is there again",
        Decision::Reestablish => "left while using: asked to come back",
        Decision::Release => "left: released after the grace",
        Decision::Stale => "older than what was acted on: nothing changes",
        Decision::Unchanged => "nothing new",
    }
}

fn released(why: Why) -> &'static str {
    match why {
        Why::Closed => "the nlb closes",
        Why::Earlier => "was being given back before the restart",
        Why::Idle => "the ordinary time-out",
        Why::Left => "the user left",
        Why::NotResumed => "the user was asked to come back, and did not",
        Why::Unused => "nobody was let in",
    }
}

fn cut(reason: CutReason) -> &'static str {
    match reason {
        CutReason::Idle => "nothing moved for long",
        CutReason::Left => "the user left",
        CutReason::ServerGone => "its application server is gone",
    }
}

/// Some hundred sessions' worth of steps: enough to see what has just happened to one.
const KEPT_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use presently_nlb::{Decision, Why};
    use presently_sip::{Aor, Now};

    use super::*;

    #[test]
    fn the_latest_steps_are_kept_in_order_and_told_by_user() {
        let mut steps = Steps::default();
        let note = |steps: &mut Steps, user: &str, what| {
            let user = Aor::parse(&format!("sip:{user}@example.com")).unwrap();
            let at = Now::default();
            steps.note(Step { user, at, what });
        };
        for _ in 0..KEPT_MAX {
            note(&mut steps, "bob", What::Registered);
        }
        note(&mut steps, "alice", What::Decided(Decision::Release));
        note(&mut steps, "alice", What::Released { why: Why::Left });
        let rows = steps.rows("alice");
        let words: Vec<_> = rows.iter().map(|row| (&*row.step, &*row.detail)).collect();
        let expected = [
            ("decided", "left: released after the grace"),
            ("released", "the user left"),
        ];
        assert_eq!(words, expected);
        assert_eq!(steps.rows("").len(), KEPT_MAX);
    }

    #[test]
    fn the_manual_lists_what_is_decided_in_the_words_of_the_log() {
        let manual = include_str!("../../../../docs/nlb.md");
        for decision in [
            Decision::Baseline,
            Decision::Dismiss,
            Decision::NewerPath,
            Decision::NoWord,
            Decision::Open,
            Decision::Reestablish,
            Decision::Release,
            Decision::Stale,
            Decision::Unchanged,
        ] {
            let words = format!("`{}`", decided(decision));
            assert!(manual.contains(&words), "{words}");
        }
    }
}
