//! What moves on one path: written by the proxy for each piece of data, read by the machine when it
//! has to decide.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use presently_sip::Moment;

/// The counters of one path, shared by the proxy that carries its bytes and the machine that asks
/// whether its user was there. Plain numbers: a reader may see one a moment before another.
#[derive(Debug, Default)]
pub struct Traffic {
    from_user_bytes: AtomicU64,
    from_user_at: AtomicU64,
    to_user_bytes: AtomicU64,
    to_user_at: AtomicU64,
    errors: AtomicU64,
}

impl Traffic {
    /// A path that opened at `now`: opening it was a sign of its user.
    pub fn new(now: Moment) -> Self {
        let traffic = Self::default();
        traffic.from_user_at.store(now.0, Relaxed);
        traffic
    }

    /// The user sent `bytes`; 0 counts as a sign of the user too (a request without a body).
    pub fn from_user(&self, now: Moment, bytes: u64) {
        self.from_user_bytes.fetch_add(bytes, Relaxed);
        self.from_user_at.store(now.0, Relaxed);
    }

    /// The user's connection took `bytes`.
    pub fn to_user(&self, now: Moment, bytes: u64) {
        self.to_user_bytes.fetch_add(bytes, Relaxed);
        self.to_user_at.store(now.0, Relaxed);
    }

    /// Something failed on the path: a server that could not be reached, an answer cut short.
    pub fn error(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    /// What has moved so far.
    pub fn moved(&self) -> Moved {
        Moved {
            from_user_bytes: self.from_user_bytes.load(Relaxed),
            from_user_at: Moment(self.from_user_at.load(Relaxed)),
            to_user_bytes: self.to_user_bytes.load(Relaxed),
            to_user_at: Moment(self.to_user_at.load(Relaxed)),
            errors: self.errors.load(Relaxed),
        }
    }
}

/// A reading of [`Traffic`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Moved {
    /// Bytes the user sent.
    pub from_user_bytes: u64,
    /// When the user last sent something, or opened the path.
    pub from_user_at: Moment,
    /// Bytes the user was sent.
    pub to_user_bytes: u64,
    /// When the user's connection last took something; 0 when never.
    pub to_user_at: Moment,
    /// What failed.
    pub errors: u64,
}

impl Moved {
    /// When bytes last moved, either way.
    pub fn last_at(&self) -> Moment {
        self.from_user_at.max(self.to_user_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_and_either_direction_are_movement() {
        let traffic = Traffic::new(Moment(5));
        assert_eq!(traffic.moved().last_at(), Moment(5));
        traffic.to_user(Moment(9), 100);
        traffic.from_user(Moment(7), 3);
        let moved = traffic.moved();
        assert_eq!(moved.last_at(), Moment(9));
        assert_eq!((moved.from_user_bytes, moved.to_user_bytes), (3, 100));
    }
}
