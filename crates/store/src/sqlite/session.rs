//! What an nlb remembers of those it serves, the leases that end it, and who has the nlb's name.

use std::net::IpAddr;

use presently_pool::{ClientId, MemberId};
use presently_sip::{Aor, EntityTag, WallTime};
use rusqlite::{Connection, OptionalExtension, params};

use super::batch::Batch;
use super::rows::{self, Cells, int, session_columns};
use super::writer::Failure;
use super::{client, read, text};
use crate::{BOUND_AT_ONCE, Holder, Outcome, REPEAT_WINDOW, SESSIONS_AT_ONCE, Session};

/// [`crate::Operation::KeepSession`].
pub(super) fn keep(batch: &mut Batch<'_>, session: &Session) -> Result<Outcome, Failure> {
    let sql = "INSERT INTO sessions (user, nlb, uuid, server, state, since, handle, presence, sent,
            feed, tag, until)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
        ON CONFLICT (user, nlb) DO UPDATE SET uuid = ?3, server = ?4, state = ?5, since = ?6,
            handle = ?7, presence = ?8, sent = ?9, feed = ?10, tag = ?11, until = ?12";
    batch.connection.prepare_cached(sql)?.execute(params![
        session.user.as_str(),
        session.nlb,
        session.uuid,
        session.server,
        text::session_state(session.state),
        int(session.since.0),
        session.handle.as_str(),
        session.presence,
        session.sent.map(|sent| int(sent.0)),
        session.feed,
        session.tag.as_ref().map(EntityTag::as_str),
        int(session.until.0),
    ])?;
    Ok(Outcome::Done)
}

/// [`crate::Operation::PurgeSession`].
pub(super) fn purge(
    batch: &mut Batch<'_>,
    user: &Aor,
    nlb: &str,
    release_at: WallTime,
) -> Result<Outcome, Failure> {
    let released = remove(batch, user.as_str(), nlb, release_at)?;
    Ok(Outcome::Purged { released })
}

/// Clears away the sessions whose lease is over, `limit` at the most. Their nlb is gone, or it has
/// none of them in mind any more.
pub(super) fn purge_over(batch: &mut Batch<'_>, now: WallTime, limit: i64) -> rusqlite::Result<()> {
    let sql = "SELECT user, nlb FROM sessions WHERE until <= ?1 ORDER BY until LIMIT ?2";
    let over: Vec<(String, String)> =
        read::all(batch.connection, sql, params![int(now.0), limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    for (user, nlb) in over {
        remove(batch, &user, &nlb, now.after(REPEAT_WINDOW))?;
    }
    Ok(())
}

/// [`crate::Operation::HoldName`].
pub(super) fn hold_name(
    batch: &mut Batch<'_>,
    nlb: &str,
    life: u64,
    over: Option<Holder>,
) -> Result<Outcome, Failure> {
    let sql = "INSERT INTO nlbs VALUES (?1, ?2, 0)
        ON CONFLICT (name) DO UPDATE SET life = ?2, beat = beat + 1
            WHERE life = ?2 OR (life = ?3 AND beat = ?4)";
    let (over_life, over_beat) = over.map(|it| (int(it.life), int(it.beat))).unzip();
    let params = params![nlb, int(life), over_life, over_beat];
    batch.connection.prepare_cached(sql)?.execute(params)?;
    let held = batch
        .connection
        .prepare_cached("SELECT life, beat FROM nlbs WHERE name = ?1")?
        .query_row([nlb], |row| {
            let mut cells = Cells::new(row);
            Ok(Holder {
                life: cells.number()?,
                beat: cells.number()?,
            })
        })?;
    Ok(Outcome::Held(held))
}

/// [`crate::Operation::LeaveName`].
pub(super) fn leave_name(batch: &mut Batch<'_>, nlb: &str, life: u64) -> Result<Outcome, Failure> {
    let sql = "DELETE FROM nlbs WHERE name = ?1 AND life = ?2";
    let mut statement = batch.connection.prepare_cached(sql)?;
    statement.execute(params![nlb, int(life)])?;
    Ok(Outcome::Done)
}

/// [`crate::Operation::Sessions`].
pub(super) fn page(
    connection: &Connection,
    nlb: &str,
    after: Option<&Aor>,
) -> rusqlite::Result<Vec<Session>> {
    let limit = i64::try_from(SESSIONS_AT_ONCE).unwrap_or(i64::MAX);
    // No text is smaller than the empty one, and that may be a user's too.
    let sql = concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions INDEXED BY sessions_by_nlb",
        " WHERE nlb = ?1 AND (?2 IS NULL OR user > ?2) ORDER BY user LIMIT ?3"
    );
    let after = after.map(Aor::as_str);
    read::all(connection, sql, params![nlb, after, limit], rows::session)
}

/// [`crate::Operation::BoundAt`]. What it looks at is bounded too: all the phones of a town may be
/// behind one address.
pub(super) fn bound_at(
    connection: &Connection,
    ip: IpAddr,
    now: WallTime,
) -> rusqlite::Result<Vec<Aor>> {
    let sql = "SELECT DISTINCT c.aor
        FROM (SELECT client FROM bindings INDEXED BY bindings_by_ip
            WHERE ip IN (?1, ?2) AND expires_at > ?3 LIMIT ?4) b
        CROSS JOIN clients c ON c.id = b.client
        WHERE c.release_at IS NULL ORDER BY c.aor";
    let limit = i64::try_from(BOUND_AT_ONCE).unwrap_or(i64::MAX);
    let [plain, mapped] = text::flow_hosts(ip);
    let params = params![plain, mapped, int(now.0), limit];
    read::all(connection, sql, params, |row| Cells::new(row).aor())
}

/// Removes a session, and releases its user's assignment if nothing else of it lives; says whether
/// it did.
fn remove(
    batch: &mut Batch<'_>,
    user: &str,
    nlb: &str,
    release_at: WallTime,
) -> rusqlite::Result<bool> {
    batch
        .connection
        .prepare_cached("DELETE FROM sessions WHERE user = ?1 AND nlb = ?2")?
        .execute([user, nlb])?;
    let row = batch
        .connection
        .prepare_cached("SELECT id, server FROM clients WHERE aor = ?1 AND release_at IS NULL")?
        .query_row([user], |row| {
            let mut cells = Cells::new(row);
            Ok((ClientId(cells.number()?), MemberId(cells.take()?)))
        })
        .optional()?;
    match row {
        Some((id, server)) => client::release(batch, id, server, release_at),
        None => Ok(false),
    }
}
