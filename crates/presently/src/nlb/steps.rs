//! Each step of each session as one log line: the trace of S1 to S15, in order.

use presently_nlb::{Step, What};

/// Writes one line: at the level info what is a session's, at warn what an operator should know of.
pub(super) fn log(step: &Step) {
    let user = &step.user;
    let (name, detail) = (name(&step.what), detail(&step.what));
    if let What::Alarm | What::Unreachable = step.what {
        tracing::warn!(%user, step = name, "{detail}");
    } else {
        tracing::info!(%user, step = name, "{detail}");
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
        What::Resumed => "resumed",
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
        What::Cut { path, reason } => format!("path {}: {reason:?}", path.0),
        What::Decided(decision) => format!("{decision:?}"),
        What::Deaf { status } => format!("no feed: {status}, ordinary time-outs only"),
        What::Messaged { number } => format!("message {number} with the UUID"),
        What::Moved { server } | What::Placed { server } => format!("slot on {server}"),
        What::Refused { path, refusal } => format!("path {}: {refusal}", path.0),
        What::Released { why } => format!("{why:?}"),
        What::Unreachable => "the presence server does not answer: time-outs only".to_owned(),
        _ => String::new(),
    }
}
