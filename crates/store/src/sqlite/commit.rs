//! One write of one client's actor.

use std::sync::Arc;

use presently_pool::{ClientId, MemberId, Membership, ResourceId, Version};
use presently_sip::{EntityTag, WallTime};
use rusqlite::{Connection, params};

use super::batch::Batch;
use super::rows::{self, int};
use super::writer::Failure;
use super::{client, read, text};
use crate::{
    Binding, Change, Document, Mark, Operation, Outcome, Publication, REPEATS_MAX, Refused, Repeat,
    Subscription, Written,
};

/// [`Operation::Commit`].
pub(super) fn commit(batch: &mut Batch<'_>, operation: &Operation) -> Result<Outcome, Failure> {
    let Operation::Commit {
        by,
        client,
        epoch,
        changes,
        release_at,
    } = operation
    else {
        return Err(Refused::Unavailable.into());
    };
    batch.check(*by)?;
    if !client::is_owned(batch.connection, *client, by.member, *epoch)? {
        return Err(Refused::Fenced.into());
    }
    let mut changing = Changing {
        connection: batch.connection,
        client: *client,
        last: None,
    };
    let mut written = Vec::new();
    for change in changes {
        if let Change::WriteDocument { .. } = change {
            let version = Version(batch.count_up());
            written.push(changing.write_document(change, version)?);
        } else {
            changing.apply(change)?;
        }
    }
    let read = changing.read_documents(changes, batch.counter())?;
    let may_be_empty = changes.is_empty() || changes.iter().any(removes);
    let released = may_be_empty && client::release(batch, *client, by.member, *release_at)?;
    Ok(Outcome::Committed {
        written,
        read,
        released,
    })
}

/// Whether nothing may be left of the client after it. Only then is it looked for.
fn removes(change: &Change) -> bool {
    matches!(
        change,
        Change::RemoveBinding { .. }
            | Change::RemovePublication { .. }
            | Change::RemoveSubscription { .. }
    )
}

/// [`Operation::Owe`]. A mark of an actor that is not its client's any more is left out: whoever
/// has the client now knows better.
pub(super) fn owe(
    batch: &mut Batch<'_>,
    by: Membership,
    marks: &[Mark],
) -> Result<Outcome, Failure> {
    batch.check(by)?;
    let sql = "UPDATE subscriptions SET owed = ?4
        WHERE client = ?1 AND local_tag = ?2 AND event_id = ?3 AND owed <> ?4
            AND EXISTS (SELECT 1 FROM clients WHERE id = ?1 AND server = ?5 AND epoch = ?6)";
    let mut statement = batch.connection.prepare_cached(sql)?;
    for mark in marks {
        statement.execute(params![
            int(mark.client.0),
            mark.key.local_tag,
            mark.key.event_id,
            mark.owed,
            by.member.0,
            int(mark.epoch.0)
        ])?;
    }
    Ok(Outcome::Done)
}

/// The changes of one commit.
struct Changing<'a> {
    connection: &'a Connection,
    client: ClientId,
    /// The resource of the last change and its row: a publication and its document name the same.
    last: Option<(&'a ResourceId, i64)>,
}

impl<'a> Changing<'a> {
    fn apply(&mut self, change: &'a Change) -> rusqlite::Result<()> {
        match change {
            Change::PutBinding(binding) => self.put_binding(binding),
            Change::PutPublication {
                publication,
                replaces,
            } => self.put_publication(publication, replaces.as_ref()),
            Change::PutSubscription(subscription) => self.put_subscription(subscription),
            Change::RemoveBinding { key, tombstone } => {
                self.execute(
                    "DELETE FROM bindings WHERE client = ?1 AND key = ?2",
                    params![self.id(), key.0],
                )?;
                self.bury(tombstone.as_ref())
            }
            Change::RemovePublication {
                resource,
                tag,
                tombstone,
            } => {
                self.execute(
                    "DELETE FROM publications WHERE client = ?1 AND tag = ?4 AND resource =
                        (SELECT id FROM resources WHERE aor = ?2 AND package = ?3)",
                    params![
                        self.id(),
                        resource.aor.as_str(),
                        resource.package.as_str(),
                        tag.as_str()
                    ],
                )?;
                self.bury(tombstone.as_ref())
            }
            Change::RemoveSubscription { key, tombstone } => {
                self.execute(
                    "DELETE FROM subscriptions
                        WHERE client = ?1 AND local_tag = ?2 AND event_id = ?3",
                    params![self.id(), key.local_tag, key.event_id],
                )?;
                self.bury(tombstone.as_ref())
            }
            Change::Remember { repeat, until } => self.remember(repeat, *until),
            Change::ReadDocument(_) | Change::WriteDocument { .. } => Ok(()),
        }
    }

    fn put_binding(&self, binding: &Binding) -> rusqlite::Result<()> {
        let answer = &binding.repeat.answer;
        self.execute(
            "INSERT INTO bindings (client, key, contact, instance, path, flow, call_id, cseq, q,
                    user_agent, expires_at, request, status, granted, answer_tag, to_tag, silent,
                    proxied)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                    ?17, ?18)
                ON CONFLICT (client, key) DO UPDATE SET contact = ?3, instance = ?4, path = ?5,
                    flow = ?6, call_id = ?7, cseq = ?8, q = ?9, user_agent = ?10,
                    expires_at = ?11, request = ?12, status = ?13, granted = ?14,
                    answer_tag = ?15, to_tag = ?16, silent = ?17, proxied = ?18",
            params![
                self.id(),
                binding.key.0,
                binding.contact,
                binding.instance,
                text::list(&binding.path),
                text::flow(&binding.flow),
                binding.call_id,
                binding.cseq,
                binding.q,
                binding.user_agent,
                int(binding.expires_at.0),
                binding.repeat.request.0,
                answer.status,
                answer.expires_secs,
                rows::answer_tag(&binding.repeat),
                answer.to_tag,
                binding.is_silent,
                binding.is_proxied,
            ],
        )
    }

    fn put_publication(
        &mut self,
        publication: &'a Publication,
        replaces: Option<&EntityTag>,
    ) -> rusqlite::Result<()> {
        let resource = self.resource(&publication.resource)?;
        let answer = &publication.repeat.answer;
        let flow = text::flow(&publication.flow);
        let params = params![
            self.id(),
            resource,
            publication.tag.as_str(),
            publication.content_type,
            flow,
            int(publication.modified_at.0),
            int(publication.expires_at.0),
            publication.repeat.request.0,
            answer.status,
            answer.expires_secs,
            rows::answer_tag(&publication.repeat),
            answer.to_tag,
            &publication.body[..],
            replaces.map(EntityTag::as_str),
        ];
        if replaces.is_some() {
            let replaced = self
                .connection
                .prepare_cached(
                    "UPDATE OR REPLACE publications SET tag = ?3, content_type = ?4, flow = ?5,
                        modified_at = ?6, expires_at = ?7, request = ?8, status = ?9,
                        granted = ?10, answer_tag = ?11, to_tag = ?12, body = ?13
                    WHERE client = ?1 AND resource = ?2 AND tag = ?14",
                )?
                .execute(params)?;
            if replaced > 0 {
                return Ok(());
            }
        }
        self.execute(
            "INSERT OR REPLACE INTO publications (client, resource, tag, content_type, flow,
                    modified_at, expires_at, request, status, granted, answer_tag, to_tag, body)
                SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 WHERE ?14 IS ?14",
            params,
        )
    }

    fn put_subscription(&mut self, subscription: &'a Subscription) -> rusqlite::Result<()> {
        let resource = self.resource(&subscription.resource)?;
        let answer = &subscription.repeat.answer;
        let route_set = text::list(&subscription.route_set);
        let flow = text::flow(&subscription.flow);
        let params = params![
            self.id(),
            resource,
            subscription.dialog.local_tag,
            subscription.event_id,
            subscription.owed,
            text::subscription_state(subscription.state),
            int(subscription.expires_at.0),
            subscription.remote_cseq,
            subscription.cseq_base,
            subscription.cseq_activation,
            subscription.dialog.call_id,
            subscription.dialog.remote_tag,
            subscription.local_uri,
            subscription.remote_uri,
            subscription.local_target,
            subscription.remote_target,
            route_set,
            subscription.is_proxied,
            flow,
            subscription.accept,
            subscription.repeat.request.0,
            answer.status,
            answer.expires_secs,
            rows::answer_tag(&subscription.repeat),
            answer.to_tag,
        ];
        // An upsert would write the index by resource again at each refresh.
        let refreshed = self
            .connection
            .prepare_cached(
                "UPDATE subscriptions SET owed = ?5, state = ?6, expires_at = ?7, remote_cseq = ?8,
                        cseq_base = ?9, cseq_activation = ?10, call_id = ?11, remote_tag = ?12,
                        local_uri = ?13, remote_uri = ?14, local_target = ?15,
                        remote_target = ?16, route_set = ?17, is_proxied = ?18, flow = ?19,
                        accept = ?20, request = ?21, status = ?22, granted = ?23,
                        answer_tag = ?24, to_tag = ?25
                    WHERE client = ?1 AND local_tag = ?3 AND event_id = ?4 AND resource = ?2",
            )?
            .execute(params)?;
        if refreshed > 0 {
            return Ok(());
        }
        self.execute(
            "INSERT OR REPLACE INTO subscriptions (client, resource, local_tag, event_id, owed,
                    state, expires_at, remote_cseq, cseq_base, cseq_activation, call_id,
                    remote_tag, local_uri, remote_uri, local_target, remote_target, route_set,
                    is_proxied, flow, accept, request, status, granted, answer_tag, to_tag)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                    ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)",
            params,
        )
    }

    fn write_document(
        &mut self,
        change: &'a Change,
        version: Version,
    ) -> rusqlite::Result<Written> {
        let Change::WriteDocument {
            resource,
            content_type,
            body,
        } = change
        else {
            unreachable!("asked for document writes only");
        };
        let row = self.resource(resource)?;
        self.execute(
            "INSERT INTO documents (resource, version, content_type, body) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (resource) DO UPDATE SET version = ?2, content_type = ?3, body = ?4",
            params![row, int(version.0), content_type, &body[..]],
        )?;
        Ok(Written {
            resource: resource.clone(),
            version,
            servers: self.watching_servers(row)?,
        })
    }

    /// Few servers and many watchers: what is here already is found faster here than by `DISTINCT`,
    /// which opens a table in memory for each statement.
    fn watching_servers(&self, resource: i64) -> rusqlite::Result<Vec<MemberId>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT c.server FROM subscriptions s CROSS JOIN clients c ON c.id = s.client
                WHERE s.resource = ?1",
        )?;
        let mut rows = statement.query([resource])?;
        let mut servers = Vec::new();
        while let Some(row) = rows.next()? {
            let server = MemberId(row.get(0)?);
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        Ok(servers)
    }

    fn read_documents(
        &mut self,
        changes: &'a [Change],
        counter: u64,
    ) -> rusqlite::Result<Vec<Arc<Document>>> {
        let mut documents = Vec::new();
        for change in changes {
            let Change::ReadDocument(resource) = change else {
                continue;
            };
            let row = match self.last {
                Some((last, row)) if last == resource => Some(row),
                _ => read::resource(self.connection, resource)?,
            };
            let document = match row {
                Some(row) => read::document(self.connection, row)?,
                None => None,
            };
            let nothing = || Arc::new(Document::nothing(resource.clone(), counter));
            documents.push(document.unwrap_or_else(nothing));
        }
        Ok(documents)
    }

    /// Keeps the request of a removal, if a request did it.
    fn bury(&self, tombstone: Option<&(Repeat, WallTime)>) -> rusqlite::Result<()> {
        match tombstone {
            Some((repeat, until)) => self.remember(repeat, *until),
            None => Ok(()),
        }
    }

    fn remember(&self, repeat: &Repeat, until: WallTime) -> rusqlite::Result<()> {
        self.execute(
            "INSERT OR REPLACE INTO repeats (client, request, status, granted, answer_tag, to_tag,
                    until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                self.id(),
                repeat.request.0,
                repeat.answer.status,
                repeat.answer.expires_secs,
                rows::answer_tag(repeat),
                repeat.answer.to_tag,
                int(until.0),
            ],
        )?;
        // Each has a greater number than those before it.
        let oldest = "DELETE FROM repeats WHERE client = ?1 AND id <=
            (SELECT id FROM repeats WHERE client = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        let most = i64::try_from(REPEATS_MAX).unwrap_or(i64::MAX);
        self.execute(oldest, params![self.id(), most])
    }

    /// The row of a resource, made if there is none.
    fn resource(&mut self, resource: &'a ResourceId) -> rusqlite::Result<i64> {
        if let Some((last, row)) = self.last
            && last == resource
        {
            return Ok(row);
        }
        let row = match read::resource(self.connection, resource)? {
            Some(row) => row,
            None => self
                .connection
                .prepare_cached("INSERT INTO resources (aor, package) VALUES (?1, ?2)")?
                .insert((resource.aor.as_str(), resource.package.as_str()))?,
        };
        self.last = Some((resource, row));
        Ok(row)
    }

    fn id(&self) -> i64 {
        int(self.client.0)
    }

    fn execute(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }
}
