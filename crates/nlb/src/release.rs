//! What a notification means for a session: the release decision.

/// What is done about a notification.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Decision {
    /// It is the first word of its feed: noted, and nothing more (S5).
    Baseline,
    /// The user or the device has left and was not using anything: released after the grace (S10).
    Release,
}
