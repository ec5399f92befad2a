//! Reads: all of one operation under one snapshot, from the writer's connection or a reader's.

use std::sync::Arc;

use presently_pool::{
    Assignment, ClientId, Epoch, Member, MemberId, MemberState, Membership, ResourceId, Version,
};
use presently_sip::{Aor, WallTime};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::rows::{
    self, Cells, binding_columns, document_columns, int, member_columns, publication_columns,
    repeat_columns, subscription_columns,
};
use super::session;
use super::writer::Failure;
use crate::{
    Activated, Binding, ClientState, Document, Operation, Outcome, PoolStatus, Publication,
    Refused, Subscription, Swept,
};

/// Whether the operation only reads.
pub(super) fn is_read(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::BoundAt { .. }
            | Operation::Documents { .. }
            | Operation::Find { .. }
            | Operation::Sessions { .. }
            | Operation::Show { .. }
            | Operation::Status
            | Operation::Sweep { .. }
    )
}

/// Does an operation that only reads; `None` for any other.
pub(super) fn perform(
    connection: &Connection,
    operation: &Operation,
) -> Option<Result<Outcome, Failure>> {
    let outcome = match operation {
        Operation::BoundAt { ip, now } => {
            session::bound_at(connection, *ip, *now).map(Outcome::Clients)
        }
        Operation::Documents { resources } => {
            documents(connection, resources).map(Outcome::Documents)
        }
        Operation::Find { client } => find(connection, *client).map(Outcome::Found),
        Operation::Sessions { nlb, after } => {
            session::page(connection, nlb, after.as_ref()).map(Outcome::Sessions)
        }
        Operation::Show { client } => show(connection, client).map(Outcome::Client),
        Operation::Status => status(connection).map(Outcome::Status),
        Operation::Sweep { by, since } => {
            return Some(sweep(connection, *by, *since).map(Outcome::Swept));
        }
        _ => return None,
    };
    Some(outcome.map_err(Failure::from))
}

/// The present document of a resource, by its row.
pub(super) fn document(
    connection: &Connection,
    resource: i64,
) -> rusqlite::Result<Option<Arc<Document>>> {
    let sql = concat!(
        "SELECT ",
        document_columns!(),
        " FROM documents d JOIN resources r ON r.id = d.resource WHERE d.resource = ?1"
    );
    connection
        .prepare_cached(sql)?
        .query_row([resource], rows::document)
        .optional()
}

/// The row of a resource, if it has one.
pub(super) fn resource(
    connection: &Connection,
    resource: &ResourceId,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM resources WHERE aor = ?1 AND package = ?2")?
        .query_row((resource.aor.as_str(), resource.package.as_str()), |row| {
            row.get(0)
        })
        .optional()
}

/// Every member.
pub(super) fn members(connection: &Connection) -> rusqlite::Result<Vec<Member>> {
    let sql = concat!("SELECT ", member_columns!(), " FROM members ORDER BY id");
    all(connection, sql, [], rows::member)
}

/// The counter.
pub(super) fn counter(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT value FROM counter")?
        .query_row([], |row| Cells::new(row).number())
}

/// Fills `activated` with what its client owns.
pub(super) fn owned(
    connection: &Connection,
    aor: &Aor,
    activated: &mut Activated,
) -> rusqlite::Result<()> {
    activated.documents = documents_of(connection, aor)?;
    let client = activated.client;
    // Most first activations find nothing: one look saves four.
    if activated.activation > 1 || has_rows(connection, client)? {
        activated.bindings = bindings(connection, client)?;
        activated.publications = publications(connection, client)?;
        activated.subscriptions = subscriptions(connection, client)?;
        let sql = concat!(
            "SELECT ",
            repeat_columns!(),
            " FROM repeats WHERE client = ?1 ORDER BY id"
        );
        activated.repeats = all(connection, sql, [int(client.0)], rows::repeat)?;
    }
    Ok(())
}

/// Whether there is a row of this client, tombstones of requests included.
fn has_rows(connection: &Connection, client: ClientId) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM bindings WHERE client = ?1)
        OR EXISTS (SELECT 1 FROM subscriptions WHERE client = ?1)
        OR EXISTS (SELECT 1 FROM publications WHERE client = ?1)
        OR EXISTS (SELECT 1 FROM repeats WHERE client = ?1)";
    connection
        .prepare_cached(sql)?
        .query_row([int(client.0)], |row| row.get(0))
}

fn documents(
    connection: &Connection,
    resources: &[ResourceId],
) -> rusqlite::Result<Vec<Arc<Document>>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        document_columns!(),
        " FROM resources r CROSS JOIN documents d ON d.resource = r.id",
        " WHERE r.aor = ?1 AND r.package = ?2"
    ))?;
    let mut found = Vec::with_capacity(resources.len());
    for resource in resources {
        let key = (resource.aor.as_str(), resource.package.as_str());
        let document = statement.query_row(key, rows::document).optional()?;
        found.push(match document {
            Some(document) => document,
            None => Arc::new(Document::nothing(resource.clone(), counter(connection)?)),
        });
    }
    Ok(found)
}

fn documents_of(connection: &Connection, aor: &Aor) -> rusqlite::Result<Vec<Arc<Document>>> {
    let sql = concat!(
        "SELECT ",
        document_columns!(),
        " FROM resources r CROSS JOIN documents d ON d.resource = r.id",
        " WHERE r.aor = ?1 ORDER BY r.package"
    );
    all(connection, sql, [aor.as_str()], rows::document)
}

fn bindings(connection: &Connection, client: ClientId) -> rusqlite::Result<Vec<Binding>> {
    let sql = concat!(
        "SELECT ",
        binding_columns!(),
        " FROM bindings WHERE client = ?1 ORDER BY id"
    );
    all(connection, sql, [int(client.0)], rows::binding)
}

fn publications(connection: &Connection, client: ClientId) -> rusqlite::Result<Vec<Publication>> {
    let sql = concat!(
        "SELECT ",
        publication_columns!(),
        " FROM publications p CROSS JOIN resources r ON r.id = p.resource",
        " WHERE p.client = ?1 ORDER BY p.id"
    );
    all(connection, sql, [int(client.0)], rows::publication)
}

fn subscriptions(
    connection: &Connection,
    client: ClientId,
) -> rusqlite::Result<Vec<(Subscription, Version)>> {
    let sql = concat!(
        "SELECT ",
        subscription_columns!(),
        ", coalesce(d.version, 0)",
        " FROM subscriptions s CROSS JOIN resources r ON r.id = s.resource",
        " LEFT JOIN documents d ON d.resource = s.resource",
        " WHERE s.client = ?1 ORDER BY s.id"
    );
    all(connection, sql, [int(client.0)], |row| {
        let (subscription, mut rest) = rows::subscription(row)?;
        Ok((subscription, Version(rest.number()?)))
    })
}

fn find(connection: &Connection, client: ClientId) -> rusqlite::Result<Option<(Aor, Assignment)>> {
    let sql = "SELECT aor, server, epoch FROM clients WHERE id = ?1 AND release_at IS NULL";
    connection
        .prepare_cached(sql)?
        .query_row([int(client.0)], |row| {
            let mut cells = Cells::new(row);
            let aor = cells.aor()?;
            let server = MemberId(cells.take()?);
            let epoch = Epoch(cells.number()?);
            Ok((
                aor,
                Assignment {
                    client,
                    server,
                    epoch,
                },
            ))
        })
        .optional()
}

fn show(connection: &Connection, aor: &Aor) -> rusqlite::Result<Option<Box<ClientState>>> {
    let row = connection
        .prepare_cached("SELECT id, server, epoch, release_at FROM clients WHERE aor = ?1")?
        .query_row([aor.as_str()], |row| {
            let mut cells = Cells::new(row);
            let client = ClientId(cells.number()?);
            let server = MemberId(cells.take()?);
            let epoch = Epoch(cells.number()?);
            let is_released = cells.take::<Option<i64>>()?.is_some();
            Ok((
                Assignment {
                    client,
                    server,
                    epoch,
                },
                is_released,
            ))
        })
        .optional()?;
    let mut state = ClientState {
        assignment: row
            .filter(|(_, is_released)| !is_released)
            .map(|(assignment, _)| assignment),
        server: None,
        bindings: Vec::new(),
        publications: Vec::new(),
        documents: documents_of(connection, aor)?,
        subscriptions: Vec::new(),
        watchers: watchers(connection, aor)?,
    };
    if let Some(assignment) = state.assignment {
        state.server = members(connection)?
            .into_iter()
            .find(|member| member.id == assignment.server)
            .map(|member| member.name);
        state.bindings = bindings(connection, assignment.client)?;
        state.publications = publications(connection, assignment.client)?;
        let watched = subscriptions(connection, assignment.client)?;
        state.subscriptions = watched.into_iter().map(|(row, _)| row).collect();
    }
    let is_known = row.is_some() || !state.documents.is_empty() || !state.watchers.is_empty();
    Ok(is_known.then(|| Box::new(state)))
}

type Watcher = (Aor, ResourceId, Option<MemberId>, WallTime);

fn watchers(connection: &Connection, aor: &Aor) -> rusqlite::Result<Vec<Watcher>> {
    let sql = "SELECT c.aor, r.aor, r.package, c.server, s.expires_at
        FROM resources r CROSS JOIN subscriptions s ON s.resource = r.id
        CROSS JOIN clients c ON c.id = s.client
        WHERE r.aor = ?1 ORDER BY r.package, c.aor";
    all(connection, sql, [aor.as_str()], |row| {
        let mut cells = Cells::new(row);
        let watcher = cells.aor()?;
        let resource = cells.resource()?;
        let server = cells.take::<Option<u32>>()?.map(MemberId);
        Ok((watcher, resource, server, cells.time()?))
    })
}

fn status(connection: &Connection) -> rusqlite::Result<Box<PoolStatus>> {
    let members = members(connection)?;
    let sql =
        "SELECT c.server, count(*) FROM subscriptions s CROSS JOIN clients c ON c.id = s.client
        GROUP BY c.server ORDER BY c.server";
    let subscriptions = all(connection, sql, [], |row| {
        let mut cells = Cells::new(row);
        Ok((MemberId(cells.take()?), cells.number()?))
    })?;
    Ok(Box::new(PoolStatus {
        clients: members.iter().map(|member| member.clients).sum(),
        members,
        subscriptions,
        counter: counter(connection)?,
    }))
}

fn sweep(connection: &Connection, by: Membership, since: u64) -> Result<Swept, Failure> {
    let sql = "SELECT incarnation, state FROM members WHERE id = ?1";
    let row = connection
        .prepare_cached(sql)?
        .query_row([by.member.0], |row| {
            let mut cells = Cells::new(row);
            Ok((cells.number()?, cells.read(super::text::read_member_state)?))
        })
        .optional()?;
    if row != Some((by.incarnation.0, MemberState::Alive)) {
        return Err(Refused::Fenced.into());
    }
    Ok(Swept {
        counter: counter(connection)?,
        changed: changed(connection, by.member, since)?,
        clients: clients(connection, by.member, since)?,
    })
}

/// From 0 it goes through what the server's clients watch; else through what has changed, which is
/// less.
fn changed(
    connection: &Connection,
    server: MemberId,
    since: u64,
) -> rusqlite::Result<Vec<(ResourceId, Version)>> {
    let sql = if since == 0 {
        "SELECT DISTINCT r.aor, r.package, d.version
            FROM clients c CROSS JOIN subscriptions s ON s.client = c.id
            CROSS JOIN documents d ON d.resource = s.resource
            CROSS JOIN resources r ON r.id = s.resource
            WHERE c.server = ?1 AND d.version > ?2 ORDER BY d.version"
    } else {
        "SELECT r.aor, r.package, d.version
            FROM documents d INDEXED BY documents_by_version
            CROSS JOIN resources r ON r.id = d.resource
            WHERE d.version > ?2 AND EXISTS (
                SELECT 1 FROM subscriptions s CROSS JOIN clients c ON c.id = s.client
                WHERE s.resource = d.resource AND c.server = ?1)
            ORDER BY d.version"
    };
    all(connection, sql, params![server.0, int(since)], |row| {
        let mut cells = Cells::new(row);
        Ok((cells.resource()?, Version(cells.number()?)))
    })
}

/// From 0 the server's own; else whoever was given a server since, whichever.
fn clients(
    connection: &Connection,
    server: MemberId,
    since: u64,
) -> rusqlite::Result<Vec<(Aor, Epoch, MemberId)>> {
    let sql = if since == 0 {
        "SELECT aor, epoch, server FROM clients
            WHERE server = ?1 AND epoch > ?2 AND release_at IS NULL ORDER BY id"
    } else {
        "SELECT aor, epoch, server FROM clients INDEXED BY clients_by_epoch
            WHERE epoch > ?2 AND ?1 = ?1 AND release_at IS NULL ORDER BY epoch"
    };
    all(connection, sql, params![server.0, int(since)], |row| {
        let mut cells = Cells::new(row);
        let aor = cells.aor()?;
        Ok((aor, Epoch(cells.number()?), MemberId(cells.take()?)))
    })
}

/// All rows of a query.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    rows.collect()
}
