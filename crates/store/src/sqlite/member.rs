//! Members: joining, beating, leaving; and what a beat clears away.

use presently_pool::{Incarnation, Member, MemberId, MemberState, Membership, Role};
use presently_sip::WallTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::batch::Batch;
use super::rows::{Cells, int};
use super::writer::Failure;
use super::{session, text};
use crate::{Operation, Outcome, Refused};

/// [`Operation::Join`].
pub(super) fn join(batch: &mut Batch<'_>, operation: &Operation) -> Result<Outcome, Failure> {
    let Operation::Join {
        name,
        over,
        role,
        host,
        pid,
        started,
        sip,
        oob,
        weight,
        seed,
    } = operation
    else {
        return Err(Refused::Unavailable.into());
    };
    let former = batch.members().iter().find(|one| *one.name == **name);
    let living = former.filter(|one| one.state == MemberState::Alive);
    if living.is_some_and(|one| *over != Some((one.incarnation, one.beat))) {
        return Err(Refused::Fenced.into());
    }
    let incarnation = batch.count_up();
    // Another role under an old name keeps its id too: its clients wait to be moved.
    let sql =
        "INSERT INTO members (name, role, state, incarnation, beat, weight, clients, sip, oob,
            host, pid, started)
        VALUES (?1, ?2, ?10, ?3, 0, ?4, 0, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT (name) DO UPDATE SET role = excluded.role, state = excluded.state,
            incarnation = excluded.incarnation, beat = excluded.beat, weight = excluded.weight,
            sip = excluded.sip, oob = excluded.oob, host = excluded.host, pid = excluded.pid,
            started = excluded.started
        RETURNING id";
    let id = batch.connection.prepare_cached(sql)?.query_row(
        params![
            name,
            text::role(*role),
            int(incarnation),
            weight,
            sip.map(|address| address.to_string()),
            oob.map(|address| address.to_string()),
            host,
            pid,
            int(*started),
            text::member_state(MemberState::Alive),
        ],
        |row| row.get(0),
    )?;
    batch.read_members()?;
    Ok(Outcome::Joined {
        membership: Membership {
            member: MemberId(id),
            incarnation: Incarnation(incarnation),
        },
        key: pool_key(batch.connection, seed)?,
        members: present(batch),
    })
}

/// [`Operation::Beat`].
pub(super) fn beat(
    batch: &mut Batch<'_>,
    by: Membership,
    settled: Option<u64>,
    now: WallTime,
) -> Result<Outcome, Failure> {
    batch.check(by)?;
    let beat = batch.member(by.member).map_or(0, |member| member.beat) + 1;
    batch
        .connection
        .prepare_cached(
            "UPDATE members SET beat = ?2, settled = coalesce(?3, settled) WHERE id = ?1",
        )?
        .execute(params![by.member.0, int(beat), settled.map(int)])?;
    batch.note_beat(by.member, beat);
    if let Some(settled) = settled {
        forget_told(batch.connection, by.member, settled)?;
    }
    session::purge_over(batch, now, MAX_PURGED)?;
    purge(batch.connection, now)?;
    Ok(Outcome::Beaten {
        beat,
        counter: batch.counter(),
        members: present(batch),
    })
}

/// [`Operation::Leave`].
pub(super) fn leave(batch: &mut Batch<'_>, by: Membership) -> Result<Outcome, Failure> {
    batch.check(by)?;
    batch
        .connection
        .prepare_cached("UPDATE members SET state = ?2 WHERE id = ?1")?
        .execute(params![by.member.0, text::member_state(MemberState::Left)])?;
    batch.read_members()?;
    Ok(Outcome::Done)
}

/// [`Operation::Drain`].
pub(super) fn drain(
    batch: &mut Batch<'_>,
    name: &str,
    is_draining: bool,
) -> Result<Outcome, Failure> {
    batch
        .connection
        .prepare_cached("UPDATE members SET draining = ?2 WHERE name = ?1 AND role = ?3")?
        .execute(params![name, is_draining, text::role(Role::Server)])?;
    batch.read_members()?;
    let member = batch.members().iter().find(|member| *member.name == *name);
    Ok(Outcome::Drained(member.cloned()))
}

/// What an earlier server had told its clients is over where this one has settled more.
fn forget_told(connection: &Connection, server: MemberId, settled: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE clients SET told = NULL WHERE id IN
        (SELECT id FROM clients WHERE server = ?1 AND told IS NOT NULL AND epoch <= ?2 LIMIT ?3)";
    connection
        .prepare_cached(sql)?
        .execute(params![server.0, int(settled), MAX_FORGOTTEN])?;
    Ok(())
}

/// Every member that has not left, and those whose clients wait for another server.
fn present(batch: &Batch<'_>) -> Vec<Member> {
    let members = batch.members().iter();
    let present = members.filter(|member| member.state != MemberState::Left || member.clients > 0);
    present.cloned().collect()
}

fn pool_key(connection: &Connection, seed: &[u8; 16]) -> rusqlite::Result<[u8; 16]> {
    connection
        .prepare_cached("INSERT INTO pool (one, key) VALUES (1, ?1) ON CONFLICT DO NOTHING")?
        .execute([seed])?;
    connection
        .prepare_cached("SELECT key FROM pool")?
        .query_row([], |row| row.get(0))
}

/// Clears away what is over. Each statement is bounded, so that a beat never waits long for it.
fn purge(connection: &Connection, now: WallTime) -> rusqlite::Result<()> {
    let over = "DELETE FROM repeats WHERE id IN
        (SELECT id FROM repeats WHERE until <= ?1 ORDER BY until LIMIT ?2)";
    connection
        .prepare_cached(over)?
        .execute(params![int(now.0), MAX_PURGED])?;
    let released = "DELETE FROM clients WHERE id IN
        (SELECT id FROM clients WHERE release_at <= ?1 ORDER BY release_at LIMIT ?2)";
    connection
        .prepare_cached(released)?
        .execute(params![int(now.0), MAX_PURGED])?;
    purge_resources(connection)
}

/// Walks on through the names of resources and drops those that nothing refers to any more, and
/// before them the documents of clients that are gone where nobody watches them. Subscribers make
/// names, and phones that come once documents, so they must not stay.
fn purge_resources(connection: &Connection) -> rusqlite::Result<()> {
    let next = connection
        .prepare_cached("SELECT walked FROM counter")?
        .query_row([], |row| row.get::<_, i64>(0))?;
    let end = connection
        .prepare_cached("SELECT id FROM resources WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2")?
        .query_row([next, MAX_WALKED], |row| Cells::new(row).take::<i64>())
        .optional()?;
    let end = end.unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "DELETE FROM documents WHERE resource > ?1 AND resource <= ?2
                AND NOT EXISTS (SELECT 1 FROM resources r JOIN clients c ON c.aor = r.aor
                    WHERE r.id = documents.resource)
                AND NOT EXISTS (SELECT 1 FROM subscriptions s
                    WHERE s.resource = documents.resource)",
        )?
        .execute([next, end])?;
    connection
        .prepare_cached(
            "DELETE FROM resources WHERE id > ?1 AND id <= ?2
                AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.resource = resources.id)
                AND NOT EXISTS (SELECT 1 FROM subscriptions s WHERE s.resource = resources.id)
                AND NOT EXISTS (SELECT 1 FROM clients c JOIN publications p ON p.client = c.id
                    WHERE c.aor = resources.aor AND p.resource = resources.id)",
        )?
        .execute([next, end])?;
    let walked = if end == i64::MAX { 0 } else { end };
    connection
        .prepare_cached("UPDATE counter SET walked = ?1 WHERE walked <> ?1")?
        .execute([walked])?;
    Ok(())
}

/// Moved clients that a beat makes the server's own; the rest wait for the next settled counter,
/// and would only be told again something they know.
const MAX_FORGOTTEN: i64 = 2_000;
/// Rows of each kind that a beat clears away: four beats a second keep up with 2,000 logoffs a
/// second for each member.
const MAX_PURGED: i64 = 500;
/// Names of resources that a beat looks at: 0.4 ms in a store of 100,000, and 1.6 where all go.
const MAX_WALKED: i64 = 50;
