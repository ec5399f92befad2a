//! Takeover: ending a life that stands still, and moving the clients of an ended one.

use presently_pool::{Assignment, ClientId, Epoch, MemberId, MemberState, Membership};
use rusqlite::params;

use super::batch::Batch;
use super::client;
use super::rows::{Cells, int};
use super::text;
use super::writer::Failure;
use crate::{Outcome, TAKEN_AT_ONCE};

/// [`crate::Operation::End`].
pub(super) fn end(
    batch: &mut Batch<'_>,
    by: Membership,
    member: Membership,
    beat: u64,
) -> Result<Outcome, Failure> {
    batch.check(by)?;
    let stands = batch.member(member.member).is_some_and(|row| {
        row.membership() == member && row.beat == beat && row.state == MemberState::Alive
    });
    if !stands || member == by {
        return Ok(Outcome::Ended(false));
    }
    batch
        .connection
        .prepare_cached("UPDATE members SET state = ?2 WHERE id = ?1")?
        .execute(params![
            member.member.0,
            text::member_state(MemberState::Ended)
        ])?;
    batch.read_members()?;
    Ok(Outcome::Ended(true))
}

/// [`crate::Operation::TakeOver`].
pub(super) fn take_over(
    batch: &mut Batch<'_>,
    by: Membership,
    from: MemberId,
) -> Result<Outcome, Failure> {
    batch.check(by)?;
    let is_over = batch
        .member(from)
        .is_some_and(|row| row.state != MemberState::Alive);
    let mut moved = Vec::new();
    if is_over {
        for (aor, assignment) in clients_of(batch, from)? {
            let Some(to) = batch.emptiest() else {
                break;
            };
            moved.push((aor, client::hand_over(batch, assignment, to)?));
        }
    }
    let left = batch.member(from).filter(|_| is_over);
    let left = left.map_or(0, |row| row.clients);
    Ok(Outcome::TakenOver { moved, left })
}

fn clients_of(
    batch: &Batch<'_>,
    server: MemberId,
) -> rusqlite::Result<Vec<(presently_sip::Aor, Assignment)>> {
    let sql = "SELECT aor, id, epoch FROM clients
        WHERE server = ?1 AND release_at IS NULL ORDER BY id LIMIT ?2";
    let limit = i64::try_from(TAKEN_AT_ONCE).unwrap_or(i64::MAX);
    let mut statement = batch.connection.prepare_cached(sql)?;
    let rows = statement.query_map([int(u64::from(server.0)), limit], |row| {
        let mut cells = Cells::new(row);
        let aor = cells.aor()?;
        let client = ClientId(cells.number()?);
        let epoch = Epoch(cells.number()?);
        Ok((
            aor,
            Assignment {
                client,
                server,
                epoch,
            },
        ))
    })?;
    rows.collect()
}
