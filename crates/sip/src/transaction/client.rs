//! Non-INVITE client transaction (RFC 3261 §17.1.2).
//!
//! ```text
//!              1xx               2xx-6xx
//!   Trying ─────────► Proceeding ────────► Completed ──K──► Terminated
//!     │  E: resend        E: resend                             ▲
//!     ├──────────────────── 2xx-6xx ──► Completed               │
//!     └─────────── F, or the transport failed ──────────────────┘
//! ```
//!
//! The request's bytes stay with the owner: the machine says when to send them again.

use std::time::Duration;

use super::{T1, T2, T4, TRANSACTION};
use crate::{Moment, Protocol};

/// The asking end of one request other than INVITE.
///
/// The owner sends the request once, makes this, feeds it inputs, and obeys each [`Action`].
#[derive(Clone, Debug)]
pub struct ClientTransaction {
    state: State,
    interval: Duration,
    timer_e: Option<Moment>,
    timer_f: Option<Moment>,
    timer_k: Option<Moment>,
    protocol: Protocol,
}

/// What happens to a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Input {
    /// A response that matches it arrived.
    Response {
        /// The status of the response.
        status: u16,
    },
    /// Time has come to [`ClientTransaction::poll_timeout`], or later.
    Timeout,
    /// The request cannot be sent, or its connection is gone.
    TransportFailed,
}

/// What the owner does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Action {
    /// Take the final response just fed; it is the only one that will be passed on.
    Answered,
    /// Nothing: a provisional, a repeat, or a timer that only ends the absorbing of repeats.
    Nothing,
    /// Send the same bytes again.
    Resend,
    /// Give up: no answer came in 64·T1. An answer after this is dropped (RFC 4320 §4.2).
    TimedOut,
    /// Give up: treat it as a 503 (RFC 3261 §8.1.3.1).
    Unreachable,
}

impl ClientTransaction {
    /// Starts in Trying; the owner has sent the request at `now`.
    pub fn new(now: Moment, protocol: Protocol) -> Self {
        Self {
            state: State::Trying,
            interval: T1,
            timer_e: (!protocol.is_reliable()).then(|| now.after(T1)),
            timer_f: Some(now.after(TRANSACTION)),
            timer_k: None,
            protocol,
        }
    }

    /// Takes one input.
    pub fn handle_input(&mut self, now: Moment, input: Input) -> Action {
        match (self.state, input) {
            (State::Trying | State::Proceeding, Input::Response { status }) => {
                self.on_response(now, status)
            }
            (State::Trying | State::Proceeding, Input::Timeout) => self.on_waiting(now),
            (State::Trying | State::Proceeding, Input::TransportFailed) => {
                self.end(Action::Unreachable)
            }
            (State::Completed, Input::Timeout) if is_due(self.timer_k, now) => {
                self.end(Action::Nothing)
            }
            // A repeated final response is absorbed here: that is what Completed is for.
            (State::Completed | State::Terminated, _) => Action::Nothing,
        }
    }

    /// When [`Input::Timeout`] is due next; `None` once the transaction may be dropped.
    pub fn poll_timeout(&self) -> Option<Moment> {
        [self.timer_e, self.timer_f, self.timer_k]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether the request was sent more than once: an answer may be that to a repeat.
    pub fn is_repeated(&self) -> bool {
        self.interval > T1
    }

    fn on_response(&mut self, now: Moment, status: u16) -> Action {
        if status < 200 {
            self.state = State::Proceeding;
            return Action::Nothing;
        }
        (self.timer_e, self.timer_f) = (None, None);
        if self.protocol.is_reliable() {
            // Timer K is zero: nothing can be repeated to us.
            return self.end(Action::Answered);
        }
        self.state = State::Completed;
        self.timer_k = Some(now.after(T4));
        Action::Answered
    }

    fn on_waiting(&mut self, now: Moment) -> Action {
        if is_due(self.timer_f, now) {
            return self.end(Action::TimedOut);
        }
        if !is_due(self.timer_e, now) {
            return Action::Nothing;
        }
        self.interval = match self.state {
            State::Proceeding => T2,
            _ => (self.interval * 2).min(T2),
        };
        // Counted from now, not from when it was due: a late owner sends once, not a burst.
        self.timer_e = Some(now.after(self.interval));
        Action::Resend
    }

    fn end(&mut self, action: Action) -> Action {
        self.state = State::Terminated;
        (self.timer_e, self.timer_f, self.timer_k) = (None, None, None);
        action
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Completed,
    Proceeding,
    Terminated,
    Trying,
}

fn is_due(timer: Option<Moment>, now: Moment) -> bool {
    timer.is_some_and(|due| due <= now)
}

#[cfg(test)]
mod tests;
