//! The tables, and how an older store becomes a newer one.

use rusqlite::{Connection, TransactionBehavior};

use super::OpenError;

/// Marks a file as ours in `PRAGMA application_id`: "pres".
const APPLICATION: i64 = 0x7072_6573;

/// Step n brings a store that has n steps to n + 1. A step that has been released is never edited.
const STEPS: [&str; 5] = [FIRST, TAKEOVER, SESSIONS, NAMES, SILENCE];

/// What `PRAGMA user_version` says: how many steps a program must know to use the store. A step
/// that only adds (a table, an index, a column with a default) leaves it as it is, so that
/// processes of the release before go on beside the new ones; a later release's step may then take
/// away, and raises it.
const NEEDED: i64 = 1;

/// Inside, rows have integer keys with unique indexes beside them: a refresh costs a third of what
/// it costs in a table clustered by text. Texts that are lists or flows have one spelling, see
/// `text.rs`.
const FIRST: &str = "
CREATE TABLE counter (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    value INTEGER NOT NULL,
    walked INTEGER NOT NULL
) STRICT;
INSERT INTO counter VALUES (1, 0, 0);

CREATE TABLE pool (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    key BLOB NOT NULL
) STRICT;

CREATE TABLE members (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    state TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    beat INTEGER NOT NULL,
    settled INTEGER,
    weight INTEGER NOT NULL,
    clients INTEGER NOT NULL,
    sip TEXT,
    oob TEXT,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL
) STRICT;

-- release_at: null while the assignment lives and is counted in members.clients; a tombstone's end
CREATE TABLE clients (
    id INTEGER PRIMARY KEY,
    aor TEXT NOT NULL UNIQUE,
    server INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    activation INTEGER NOT NULL,
    release_at INTEGER
) STRICT;
CREATE INDEX clients_by_server ON clients (server);
CREATE INDEX clients_by_release ON clients (release_at) WHERE release_at IS NOT NULL;

CREATE TABLE credentials (
    aor TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (aor, algorithm)
) STRICT, WITHOUT ROWID;

CREATE TABLE resources (
    id INTEGER PRIMARY KEY,
    aor TEXT NOT NULL,
    package TEXT NOT NULL,
    UNIQUE (aor, package)
) STRICT;

CREATE TABLE bindings (
    id INTEGER PRIMARY KEY,
    client INTEGER NOT NULL,
    key TEXT NOT NULL,
    contact TEXT NOT NULL,
    instance TEXT,
    path TEXT NOT NULL,
    flow TEXT NOT NULL,
    call_id TEXT NOT NULL,
    cseq INTEGER NOT NULL,
    q INTEGER NOT NULL,
    user_agent TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    answer_tag TEXT,
    to_tag TEXT NOT NULL,
    UNIQUE (client, key)
) STRICT;

CREATE TABLE publications (
    id INTEGER PRIMARY KEY,
    client INTEGER NOT NULL,
    resource INTEGER NOT NULL,
    tag TEXT NOT NULL,
    content_type TEXT NOT NULL,
    flow TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    answer_tag TEXT,
    to_tag TEXT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (client, resource, tag)
) STRICT;

CREATE TABLE documents (
    resource INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    dirty INTEGER NOT NULL DEFAULT 0,
    content_type TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX documents_by_version ON documents (version);

CREATE TABLE subscriptions (
    id INTEGER PRIMARY KEY,
    client INTEGER NOT NULL,
    resource INTEGER NOT NULL,
    local_tag TEXT NOT NULL,
    event_id TEXT NOT NULL,
    owed INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    expires_at INTEGER NOT NULL,
    remote_cseq INTEGER NOT NULL,
    cseq_base INTEGER NOT NULL,
    cseq_activation INTEGER NOT NULL,
    call_id TEXT NOT NULL,
    remote_tag TEXT NOT NULL,
    local_uri TEXT NOT NULL,
    remote_uri TEXT NOT NULL,
    local_target TEXT NOT NULL,
    remote_target TEXT NOT NULL,
    route_set TEXT NOT NULL,
    is_proxied INTEGER NOT NULL,
    flow TEXT NOT NULL,
    accept TEXT NOT NULL,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    answer_tag TEXT,
    to_tag TEXT NOT NULL,
    UNIQUE (client, local_tag, event_id)
) STRICT;
CREATE INDEX subscriptions_by_resource ON subscriptions (resource, client);

CREATE TABLE repeats (
    id INTEGER PRIMARY KEY,
    client INTEGER NOT NULL,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    answer_tag TEXT,
    to_tag TEXT NOT NULL,
    until INTEGER NOT NULL,
    UNIQUE (client, request)
) STRICT;
CREATE INDEX repeats_by_end ON repeats (until);

CREATE TABLE sessions (
    user TEXT NOT NULL,
    nlb TEXT NOT NULL,
    uuid TEXT NOT NULL,
    server TEXT NOT NULL,
    state TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (user, nlb)
) STRICT, WITHOUT ROWID;
";

/// What takeover needs beside the first tables; an addition.
const TAKEOVER: &str = "
CREATE TABLE schema (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    steps INTEGER NOT NULL
) STRICT;
INSERT INTO schema VALUES (1, 2);

ALTER TABLE members ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;

-- told: the counter up to which the server before had told the client's subscriptions; null when
-- what its present server has settled says it
ALTER TABLE clients ADD COLUMN told INTEGER;
CREATE INDEX clients_untold ON clients (server) WHERE told IS NOT NULL;
CREATE INDEX clients_by_epoch ON clients (epoch);
";

/// What an nlb remembers beside the first columns of its sessions, and how it finds a phone by the
/// address it comes from; an addition.
///
/// `bindings.ip` is made of the flow by the database itself, so it is right also where a program
/// that does not know it wrote the row. Without the digits and spaces at its end a flow is
/// `1 udp 0 192.0.2.7:`, and over IPv6 `1 udp 0 [2001:db8::1]:`.
const SESSIONS: &str = "
ALTER TABLE sessions ADD COLUMN handle TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN presence TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN sent INTEGER;
ALTER TABLE sessions ADD COLUMN feed TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN tag TEXT;
-- until: the end of the nlb's lease
ALTER TABLE sessions ADD COLUMN until INTEGER NOT NULL DEFAULT 0;
CREATE INDEX sessions_by_nlb ON sessions (nlb, user);
CREATE INDEX sessions_by_end ON sessions (until);

ALTER TABLE bindings ADD COLUMN ip TEXT AS (rtrim(substr(ltrim(substr(ltrim(
    rtrim(flow, '0123456789 '), '0123456789'), 6), '0123456789'), 2), ':'));
CREATE INDEX bindings_by_ip ON bindings (ip);
";

/// Which life of an nlb holds its name; an addition.
const NAMES: &str = "
CREATE TABLE nlbs (
    name TEXT PRIMARY KEY,
    life INTEGER NOT NULL,
    beat INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Which phones leave questions unanswered, and which are behind another proxy; an addition. A
/// program that does not know it takes them for there and for direct, and leaves the marks as they
/// are.
const SILENCE: &str = "
ALTER TABLE bindings ADD COLUMN silent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bindings ADD COLUMN proxied INTEGER NOT NULL DEFAULT 0;
";

/// Brings the store to the newest version, in one transaction that other processes wait for. A
/// store that has more steps than this program knows is left as it is, if they only added.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let known = i64::try_from(STEPS.len()).expect("a handful of steps");
    if pragma(connection, "application_id")? == APPLICATION && steps(connection)? >= known {
        return needed(connection, known);
    }
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !may_be_ours(&change)? {
        return Err(OpenError::OtherProgram);
    }
    needed(&change, known)?;
    let done = usize::try_from(steps(&change)?).map_err(|_| OpenError::OtherProgram)?;
    for step in STEPS.iter().skip(done) {
        change.execute_batch(step)?;
    }
    if done < STEPS.len() {
        change.execute("UPDATE schema SET steps = ?1", [known])?;
        change.pragma_update(None, "application_id", APPLICATION)?;
        change.pragma_update(None, "user_version", NEEDED)?;
    }
    change.commit()?;
    Ok(())
}

/// Refuses a store that this program does not know enough to use.
fn needed(connection: &Connection, known: i64) -> Result<(), OpenError> {
    let found = pragma(connection, "user_version")?;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    Ok(())
}

/// How many steps the store has behind it. The first had no table to say so.
fn steps(connection: &Connection) -> Result<i64, OpenError> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'schema'";
    let is_told: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    if is_told == 0 {
        return Ok(pragma(connection, "user_version")?);
    }
    Ok(connection.query_row("SELECT steps FROM schema", [], |row| row.get(0))?)
}

/// Whether the database is one of this program, of any version.
pub(super) fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(pragma(connection, "application_id")? == APPLICATION)
}

/// Whether it is ours, or nobody's yet: nothing is in it, and no program has marked it.
pub(super) fn may_be_ours(connection: &Connection) -> rusqlite::Result<bool> {
    if is_ours(connection)? {
        return Ok(true);
    }
    let sql = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(tables == 0 && pragma(connection, "user_version")? == 0)
}

/// Refuses a store that this program cannot read as it is.
pub(super) fn check(connection: &Connection) -> Result<(), OpenError> {
    let known = i64::try_from(STEPS.len()).expect("a handful of steps");
    needed(connection, known)?;
    match steps(connection)? {
        found if found < known => Err(OpenError::Older { found, known }),
        _ => Ok(()),
    }
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}
