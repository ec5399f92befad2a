//! The release decision: what a notification means, from what is held and what was said.
//!
//! ```text
//!   open ──► closed, newer, believed ──┬─ was not using ──► Release, after the grace
//!                                      ├─ was using ──────► Reestablish
//!                                      └─ a path is newer ► NewerPath: nothing changes
//! ```

mod guard;
mod recent;

use std::time::Duration;

use presently_sip::Moment;

use crate::{Sent, State};
pub use guard::{Closure, Guard, GuardLimits};
pub(crate) use recent::Recent;

/// What is done about a notification.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Decision {
    /// It is the first word of its feed: noted, and nothing more (S5).
    Baseline,
    /// Too many are said to have left, or the presence server is not there: ordinary time-outs only
    /// (S22, S23).
    Dismiss,
    /// A path was opened after it was sent: it changes nothing (S24).
    NewerPath,
    /// It does not say whether the user is there.
    NoWord,
    /// The user is there, and was not before.
    Open,
    /// The user left while using something: asked to come back (S8).
    Reestablish,
    /// The user left and was not using anything: released after the grace (S10).
    Release,
    /// It was sent before the last one that was acted on (S21).
    Stale,
    /// It says what was known; or the user has gone who was never seen (S6).
    Unchanged,
}

/// What is held when a notification is decided upon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held<'a> {
    /// What the feed said before; unknown before its first word.
    pub(crate) presence: State,
    /// Whether this is the first word of a feed, or the first after an outage.
    pub(crate) is_baseline: bool,
    /// When the last notification that changed something was sent.
    pub(crate) acted: Option<Sent>,
    /// Whether the presence server is there.
    pub(crate) is_reachable: bool,
    /// The paths it is about.
    pub(crate) paths: &'a [Use],
}

/// How one path was used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Use {
    /// When it was opened.
    pub(crate) opened: Moment,
    /// When something last moved on it; opening counts.
    pub(crate) moved: Moment,
    /// When it was closed; `None` while it is open.
    pub(crate) closed: Option<Moment>,
}

/// What a notification says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// Whether the user, or the device, is there.
    pub(crate) state: State,
    /// When it was sent.
    pub(crate) sent: Sent,
}

/// Decides upon `told`. `window` is how long after its last byte a path counts as used.
///
/// The guard has its say afterwards, and only about what would be acted on: it counts closures.
pub(crate) fn decide(held: &Held<'_>, told: &Told, window: Duration) -> Decision {
    let is_stale = |acted: Sent| told.sent.latest < acted.earliest;
    match (held.presence, told.state) {
        (_, State::Unknown) => Decision::NoWord,
        _ if held.is_baseline => Decision::Baseline,
        _ if held.acted.is_some_and(is_stale) => Decision::Stale,
        (State::Open, State::Closed) if !held.is_reachable => Decision::Dismiss,
        (State::Open, State::Closed) => on_closed(held.paths, told.sent, window),
        (State::Open, State::Open) | (_, State::Closed) => Decision::Unchanged,
        (_, State::Open) => Decision::Open,
    }
}

/// Whether some path was in use when the notification was sent, or has been since (S7, S20). A path
/// that was closed before it was sent was not.
pub(crate) fn is_using(paths: &[Use], sent: Sent, window: Duration) -> bool {
    let from = before(sent.earliest, window);
    let was_there = |path: &Use| path.closed.is_none_or(|closed| closed >= sent.earliest);
    paths
        .iter()
        .any(|path| was_there(path) && path.moved >= from)
}

/// When every path will have been idle for `window`; `None` without a path that is open.
pub(crate) fn idle_at(paths: &[Use], window: Duration) -> Option<Moment> {
    let open = paths.iter().filter(|path| path.closed.is_none());
    open.map(|path| path.moved.after(window)).max()
}

fn on_closed(paths: &[Use], sent: Sent, window: Duration) -> Decision {
    let is_newer = |path: &Use| path.closed.is_none() && path.opened > sent.latest;
    if paths.iter().any(is_newer) {
        Decision::NewerPath
    } else if is_using(paths, sent, window) {
        Decision::Reestablish
    } else {
        Decision::Release
    }
}

fn before(moment: Moment, span: Duration) -> Moment {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Moment(moment.0.saturating_sub(micros))
}

#[cfg(test)]
mod tests;
