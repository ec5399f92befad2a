//! Assignments: which server a client has, and the counts that follow it.

use presently_pool::{Assignment, ClientId, Epoch, MemberId, Membership};
use presently_sip::{Aor, WallTime};
use rusqlite::{Connection, OptionalExtension, params};

use super::batch::{self, Batch};
use super::read;
use super::rows::{Cells, int};
use super::writer::Failure;
use crate::{Activated, Outcome, REPEAT_WINDOW, Refused};

/// A row of `clients`.
struct Row {
    assignment: Assignment,
    is_released: bool,
}

/// [`crate::Operation::Activate`].
pub(super) fn activate(
    batch: &mut Batch<'_>,
    by: Membership,
    client: &Aor,
) -> Result<Outcome, Failure> {
    batch.check(by)?;
    let sql = "SELECT c.id, c.activation, coalesce(c.told, m.settled, 0)
        FROM clients c JOIN members m ON m.id = c.server
        WHERE c.aor = ?1 AND c.server = ?2 AND c.release_at IS NULL";
    let row = batch
        .connection
        .prepare_cached(sql)?
        .query_row(params![client.as_str(), by.member.0], |row| {
            let mut cells = Cells::new(row);
            let id = ClientId(cells.number()?);
            Ok((id, cells.take::<u32>()?, cells.number()?))
        })
        .optional()?;
    let Some((id, activation, told)) = row else {
        return Ok(Outcome::Activated(None));
    };
    let (epoch, activation) = (batch.count_up(), activation.saturating_add(1));
    // Not `RETURNING`: it opens a table in memory for each statement, which costs more than this.
    batch
        .connection
        .prepare_cached("UPDATE clients SET epoch = ?2, activation = ?3 WHERE id = ?1")?
        .execute(params![int(id.0), int(epoch), activation])?;
    let mut activated = Box::new(Activated {
        client: id,
        epoch: Epoch(epoch),
        activation,
        told,
        bindings: Vec::new(),
        publications: Vec::new(),
        documents: Vec::new(),
        subscriptions: Vec::new(),
        repeats: Vec::new(),
    });
    read::owned(batch.connection, client, &mut activated)?;
    Ok(Outcome::Activated(Some(activated)))
}

/// [`crate::Operation::Assign`]. A client that has a server keeps it, whatever its state: only a
/// compare-and-set takes a live client away.
pub(super) fn assign(
    batch: &mut Batch<'_>,
    by: Membership,
    client: &Aor,
    create: bool,
) -> Result<Outcome, Failure> {
    batch.check(by)?;
    let row = row(batch.connection, client)?;
    match row {
        Some(row) if !row.is_released => return Ok(Outcome::Assigned(Some(row.assignment))),
        _ if !create => return Ok(Outcome::Assigned(None)),
        _ => {}
    }
    let Some(server) = batch.emptiest() else {
        return Ok(Outcome::Assigned(None));
    };
    if !batch.has_room() {
        return Err(Refused::Full.into());
    }
    let epoch = batch.count_up();
    let id = match row {
        Some(row) => {
            let id = row.assignment.client;
            place(batch.connection, id, server, epoch)?;
            id
        }
        None => insert(batch.connection, client, server, epoch)?,
    };
    batch.count_in(server);
    Ok(Outcome::Assigned(Some(Assignment {
        client: id,
        server,
        epoch: Epoch(epoch),
    })))
}

/// [`crate::Operation::Reassign`]. Moves nothing to a member that takes no clients.
pub(super) fn reassign(
    batch: &mut Batch<'_>,
    client: &Aor,
    from: (MemberId, Epoch),
    to: Option<MemberId>,
) -> Result<Outcome, Failure> {
    let row = row(batch.connection, client)?.filter(|row| !row.is_released);
    let Some(Row { assignment, .. }) = row else {
        return Ok(Outcome::Assigned(None));
    };
    let to = match to {
        Some(to) => batch.member(to).filter(|to| batch::takes_clients(to)),
        None => batch
            .emptiest_of(|one| batch::takes_clients(one) && one.id != from.0)
            .and_then(|id| batch.member(id)),
    };
    let to = to.map(|to| to.id);
    let Some(to) = to.filter(|_| (assignment.server, assignment.epoch) == from) else {
        return Ok(Outcome::Assigned(Some(assignment)));
    };
    let assignment = hand_over(batch, assignment, to)?;
    Ok(Outcome::Assigned(Some(assignment)))
}

/// Gives a client that lives to another server. What its former server had told it stays known
/// until the new one has settled more; a move before that keeps the older word.
pub(super) fn hand_over(
    batch: &mut Batch<'_>,
    assignment: Assignment,
    to: MemberId,
) -> rusqlite::Result<Assignment> {
    let epoch = batch.count_up();
    let sql = "UPDATE clients SET server = ?2, epoch = ?3,
        told = coalesce(told, (SELECT settled FROM members WHERE id = ?4), 0) WHERE id = ?1";
    batch.connection.prepare_cached(sql)?.execute(params![
        int(assignment.client.0),
        to.0,
        int(epoch),
        assignment.server.0
    ])?;
    batch.count_out(assignment.server);
    batch.count_in(to);
    Ok(Assignment {
        server: to,
        epoch: Epoch(epoch),
        ..assignment
    })
}

/// Whether `server` has the client under `epoch`.
pub(super) fn is_owned(
    connection: &Connection,
    client: ClientId,
    server: MemberId,
    epoch: Epoch,
) -> rusqlite::Result<bool> {
    let sql = "SELECT server, epoch FROM clients WHERE id = ?1 AND release_at IS NULL";
    let row = connection
        .prepare_cached(sql)?
        .query_row([int(client.0)], |row| {
            let mut cells = Cells::new(row);
            Ok((cells.take()?, cells.number()?))
        })
        .optional()?;
    Ok(row == Some((server.0, epoch.0)))
}

/// Makes the row a tombstone until `release_at`, 64·T1 from now, if nothing of the client lives;
/// says whether it did. A session lives while its lease lasts.
pub(super) fn release(
    batch: &mut Batch<'_>,
    client: ClientId,
    server: MemberId,
    release_at: WallTime,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE clients SET release_at = ?2 WHERE id = ?1 AND release_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM bindings WHERE client = ?1)
        AND NOT EXISTS (SELECT 1 FROM subscriptions WHERE client = ?1)
        AND NOT EXISTS (SELECT 1 FROM publications WHERE client = ?1)
        AND NOT EXISTS (SELECT 1 FROM sessions WHERE user = clients.aor AND until > ?3)";
    let window_micros = REPEAT_WINDOW.as_secs() * 1_000_000;
    let now = int(release_at.0.saturating_sub(window_micros));
    let changed =
        batch
            .connection
            .prepare_cached(sql)?
            .execute([int(client.0), int(release_at.0), now])?;
    if changed > 0 {
        batch.count_out(server);
    }
    Ok(changed > 0)
}

fn row(connection: &Connection, client: &Aor) -> rusqlite::Result<Option<Row>> {
    connection
        .prepare_cached("SELECT id, server, epoch, release_at FROM clients WHERE aor = ?1")?
        .query_row([client.as_str()], |row| {
            let mut cells = Cells::new(row);
            Ok(Row {
                assignment: Assignment {
                    client: ClientId(cells.number()?),
                    server: MemberId(cells.take()?),
                    epoch: Epoch(cells.number()?),
                },
                is_released: cells.take::<Option<i64>>()?.is_some(),
            })
        })
        .optional()
}

/// Inserts the row of a new client. Its id is its first epoch: from the counter, so never used
/// again.
fn insert(
    connection: &Connection,
    client: &Aor,
    server: MemberId,
    epoch: u64,
) -> rusqlite::Result<ClientId> {
    connection
        .prepare_cached(
            "INSERT INTO clients (id, aor, server, epoch, activation) VALUES (?1, ?2, ?3, ?1, 0)",
        )?
        .execute(params![int(epoch), client.as_str(), server.0])?;
    Ok(ClientId(epoch))
}

/// Gives a tombstone to `server` under `epoch`: nothing of what it was lives.
fn place(
    connection: &Connection,
    client: ClientId,
    server: MemberId,
    epoch: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE clients SET server = ?2, epoch = ?3, told = NULL, release_at = NULL
                WHERE id = ?1",
        )?
        .execute(params![int(client.0), server.0, int(epoch)])?;
    Ok(())
}
