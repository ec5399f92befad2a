//! The record of a session: one write at a time, the newest word in it, tried again until the store
//! takes it, and written again before its lease ends.

use std::time::Duration;

use presently_sip::Moment;
use presently_store::{Operation, Outcome, REPEAT_WINDOW, Refused, Ticket};

use super::notice::Notice;
use super::record;
use super::{Line, Session};
use crate::turn::Turn;
use crate::{SessionId, State};

/// How the record stands.
#[derive(Debug, Default)]
pub(super) struct Writing {
    number: u16,
    in_flight: Option<u16>,
    is_dirty: bool,
    retry_at: Option<Moment>,
    /// When the row is written again so that its lease does not end.
    renew_at: Option<Moment>,
    /// The notification that is decided upon once this write is done.
    carries: Option<Notice>,
    /// Whether there may be a row.
    has_row: bool,
}

impl Writing {
    /// When [`Session::writing_due`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.retry_at.into_iter().chain(self.renew_at).min()
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.in_flight.is_some() || self.retry_at.is_some()
    }

    /// There is a row: it was read, and is written again at `renew_at` if not before.
    pub(super) fn found(&mut self, renew_at: Moment) {
        self.has_row = true;
        self.renew_at = Some(renew_at);
    }

    /// Whether the notification under way says that the user is there.
    pub(super) fn has_open(&self) -> bool {
        let carries = self.carries.as_ref();
        carries.is_some_and(|it| it.presence.state() == State::Open)
    }

    /// The notification under way counts as a first word.
    pub(super) fn expect_baseline(&mut self) {
        if let Some(notice) = &mut self.carries {
            notice.is_baseline = true;
        }
    }
}

impl Session {
    /// The record is to be written.
    pub(super) fn write(&mut self, turn: &mut Turn<'_>) {
        let has_begun = self.line >= Line::Recording || self.writing.has_row;
        if has_begun && self.line < Line::Purging {
            self.writing.is_dirty = true;
            self.flush(turn);
        }
    }

    /// The store answered.
    pub(crate) fn on_stored(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        result: &Result<Outcome, Refused>,
    ) {
        if self.writing.in_flight != Some(number_of(ticket)) {
            return;
        }
        self.writing.in_flight = None;
        if result.is_err() {
            turn.shared.counters.store_refused += 1;
            self.writing.is_dirty = true;
            self.writing.retry_at = Some(turn.now.moment.after(RETRY_AFTER));
            return;
        }
        if self.line == Line::Purging && !self.writing.has_row {
            self.on_purged(turn);
            return;
        }
        self.on_recorded(turn);
        if let Some(notice) = self.writing.carries.take() {
            self.on_noted(turn, notice);
        }
        self.flush(turn);
        self.unannounce_once_recorded(turn);
    }

    pub(super) fn writing_due(&mut self, turn: &mut Turn<'_>) {
        let writing = &mut self.writing;
        if writing.retry_at.is_some_and(|due| due <= turn.now.moment) {
            writing.retry_at = None;
            self.flush(turn);
        }
        let writing = &mut self.writing;
        if writing.renew_at.is_some_and(|due| due <= turn.now.moment) {
            writing.renew_at = None;
            self.write(turn);
        }
    }

    /// When a row that counts for `span` from `now` is written again: after half to three quarters
    /// of that, by a number that is the session's own. Sessions whose feeds are refreshed are
    /// written before; those of an outage, or of a server that grants longer than the lease, must
    /// not all be written at once.
    pub(super) fn renew_at(&self, now: Moment, span: Duration) -> Moment {
        let number = record::number_of(&self.handle).unwrap_or_default() % 256;
        let number = u32::try_from(number).unwrap_or_default();
        now.after(span / 1024 * (512 + number))
    }

    /// Whether a row is, or may be, in the store.
    pub(super) fn has_row(&self) -> bool {
        self.writing.has_row
    }

    /// Whether the store has yet to take the row as it is.
    pub(super) fn is_behind(&self) -> bool {
        self.writing.is_dirty || self.writing.is_under_way()
    }

    /// Sends the next write, unless one is on its way.
    pub(super) fn flush(&mut self, turn: &mut Turn<'_>) {
        if self.writing.is_under_way() {
            return;
        }
        if self.line == Line::Purging {
            self.writing.has_row = false;
            self.writing.renew_at = None;
            let operation = self.purge(turn);
            self.submit(turn, operation);
            return;
        }
        if self.writing.carries.is_none() && !self.is_leaving() {
            self.writing.carries = self.notices.next();
            self.writing.is_dirty |= self.writing.carries.is_some();
        }
        if self.writing.is_dirty {
            self.writing.is_dirty = false;
            let renew_at = self.renew_at(turn.now.moment, turn.shared.config.lease);
            self.writing.found(renew_at);
            let row = record::of(self, self.writing.carries.as_ref(), turn);
            self.submit(turn, Operation::KeepSession(Box::new(row)));
        }
    }

    fn submit(&mut self, turn: &mut Turn<'_>, operation: Operation) {
        let writing = &mut self.writing;
        writing.number = writing.number.wrapping_add(1);
        writing.in_flight = Some(writing.number);
        turn.submit(ticket(self.id, writing.number), operation);
    }

    fn purge(&self, turn: &Turn<'_>) -> Operation {
        Operation::PurgeSession {
            user: self.user.clone(),
            nlb: turn.shared.name.clone(),
            release_at: turn.now.wall.after(REPEAT_WINDOW),
        }
    }
}

/// Names a write of `session`.
fn ticket(session: SessionId, number: u16) -> Ticket {
    Ticket(session.0 << NUMBER_BITS | u64::from(number))
}

/// Whose write `ticket` names.
pub(crate) fn session_of(ticket: Ticket) -> SessionId {
    SessionId(ticket.0 >> NUMBER_BITS)
}

fn number_of(ticket: Ticket) -> u16 {
    u16::try_from(ticket.0 % (1 << NUMBER_BITS)).unwrap_or_default()
}

const NUMBER_BITS: u32 = 16;

/// When a write that the store refused is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
