//! The record of a session in the database (S13), written and read.

use presently_sip::{Aor, Now, WallTime};
use presently_store::{Session as Record, SessionState};

use crate::session::{Line, Notice, Session, Uuid};
use crate::turn::{Ending, Turn};
use crate::{Sent, Stage, State};

/// The row of `session` as it is to be written; `notice` is newer than what it decided upon.
pub(crate) fn of(session: &Session, notice: Option<&Notice>, turn: &Turn<'_>) -> Record {
    let (state, sent) = match notice {
        Some(notice) => (notice.presence.state(), Some(notice.sent)),
        None => (session.presence(), session.acted()),
    };
    let feed = session.saved_feed().map(|it| it.to_string());
    Record {
        user: session.user.clone(),
        nlb: turn.shared.name.clone(),
        uuid: session.uuid.to_string().into(),
        handle: session.handle.clone(),
        server: session.server.clone().unwrap_or_else(|| "".into()),
        state: match session.stage() {
            // Whom this life has no time for the next one goes on to give back.
            _ if turn.shared.ending == Ending::Close => SessionState::Releasing,
            Stage::Releasing => SessionState::Releasing,
            // Of an earlier life, whose announcement is gone: a restart gives no access on it (S3).
            _ if !session.has_access && session.line < Line::Recording => SessionState::Releasing,
            Stage::Resuming => SessionState::Resuming,
            _ => SessionState::Serving,
        },
        since: session.since,
        presence: word(state).into(),
        sent: sent.map(|sent| wall_of(sent, turn.now)),
        feed: feed.unwrap_or_default().into(),
        tag: session.tag.clone(),
        until: turn.now.wall.after(turn.shared.config.lease),
    }
}

/// What a row is known by: its UUID and the number of its handle. `None` for a row that this
/// program did not write.
pub(crate) fn names_of(record: &Record) -> Option<(Uuid, u64)> {
    Some((Uuid::parse(&record.uuid)?, number_of(&record.handle)?))
}

/// The handle called `number`, of the nlb `own`.
pub(crate) fn handle(own: &Aor, number: u64) -> Aor {
    // Of the parts of an address of record and a number, so one itself.
    Aor::from_canonical(&format!("sip:{}.{number:016x}@{}", own.user(), own.host()))
}

/// The number of a handle.
pub(crate) fn number_of(handle: &Aor) -> Option<u64> {
    number_of_user(handle.user())
}

/// The number of the handle whose user part is `user`.
pub(crate) fn number_of_user(user: &str) -> Option<u64> {
    let (_, number) = user.rsplit_once('.')?;
    let is_whole = number.len() == 16;
    let number = u64::from_str_radix(number, 16).ok()?;
    is_whole.then_some(number)
}

/// When it was sent at the latest, in wall time: for people.
fn wall_of(sent: Sent, now: Now) -> WallTime {
    let ago = now.moment.since(sent.latest).as_micros();
    let ago = u64::try_from(ago).unwrap_or(u64::MAX);
    WallTime(now.wall.0.saturating_sub(ago))
}

fn word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open => "open",
        State::Unknown => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // S16
    #[test]
    fn a_handle_is_the_nlbs_name_and_a_number() {
        let own = Aor::parse("sip:nlb1@example.com").unwrap();
        let handle = handle(&own, 0xab);
        assert_eq!(handle.as_str(), "sip:nlb1.00000000000000ab@example.com");
        assert_eq!(Aor::parse(&handle.to_string()), Ok(handle.clone()));
        assert_eq!(number_of(&handle), Some(0xab));
        for other in ["sip:nlb1@example.com", "sip:al.ab@example.com"] {
            assert_eq!(number_of(&Aor::parse(other).unwrap()), None);
        }
    }
}
