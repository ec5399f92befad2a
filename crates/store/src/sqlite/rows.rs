//! Rows as values: what each table's columns are in Rust, in the order of the column lists here.

use std::error::Error;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{FlowToken, Incarnation, Member, MemberId, PackageName, ResourceId, Version};
use presently_sip::{Aor, EntityTag, WallTime};
use rusqlite::Row;
use rusqlite::types::{FromSql, Type};

use super::text;
use crate::{
    Answer, Binding, BindingKey, DialogId, Document, Publication, Repeat, RequestKey, Session,
    Subscription,
};

/// For [`binding`].
macro_rules! binding_columns {
    () => {
        "key, contact, instance, path, flow, call_id, cseq, q, user_agent, expires_at, \
         silent, proxied, request, status, granted, answer_tag, to_tag"
    };
}

/// For [`document`].
macro_rules! document_columns {
    () => {
        "r.aor, r.package, d.version, d.content_type, d.body"
    };
}

/// For [`member`].
macro_rules! member_columns {
    () => {
        "id, name, role, state, incarnation, beat, weight, draining, clients, sip, oob"
    };
}

/// For [`publication`].
macro_rules! publication_columns {
    () => {
        "r.aor, r.package, p.tag, p.content_type, p.flow, p.modified_at, p.expires_at, \
         p.request, p.status, p.granted, p.answer_tag, p.to_tag, p.body"
    };
}

/// For [`repeat`].
macro_rules! repeat_columns {
    () => {
        "request, status, granted, answer_tag, to_tag"
    };
}

/// For [`session`].
macro_rules! session_columns {
    () => {
        "user, nlb, uuid, handle, server, state, since, presence, sent, feed, tag, until"
    };
}

/// For [`subscription`].
macro_rules! subscription_columns {
    () => {
        "r.aor, r.package, s.local_tag, s.event_id, s.owed, s.state, s.expires_at, s.remote_cseq, \
         s.cseq_base, s.cseq_activation, s.call_id, s.remote_tag, s.local_uri, s.remote_uri, \
         s.local_target, s.remote_target, s.route_set, s.is_proxied, s.flow, s.accept, \
         s.request, s.status, s.granted, s.answer_tag, s.to_tag"
    };
}

pub(super) use {
    binding_columns, document_columns, member_columns, publication_columns, repeat_columns,
    session_columns, subscription_columns,
};

/// The cells of one row, taken from left to right.
pub(super) struct Cells<'a, 'stmt> {
    row: &'a Row<'stmt>,
    next: usize,
}

impl<'a, 'stmt> Cells<'a, 'stmt> {
    /// All cells of `row`.
    pub(super) fn new(row: &'a Row<'stmt>) -> Self {
        Self { row, next: 0 }
    }

    /// The next cell.
    pub(super) fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let cell = self.row.get(self.next);
        self.next += 1;
        cell
    }

    /// The next cell, a number that is never negative.
    pub(super) fn number(&mut self) -> rusqlite::Result<u64> {
        let number: i64 = self.take()?;
        u64::try_from(number)
            .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(self.next, number))
    }

    /// The next cell, a time.
    pub(super) fn time(&mut self) -> rusqlite::Result<WallTime> {
        self.number().map(WallTime)
    }

    /// The next cell, a time if there is one.
    fn maybe_time(&mut self) -> rusqlite::Result<Option<WallTime>> {
        let time: Option<i64> = self.take()?;
        let time = time.map(|time| {
            u64::try_from(time)
                .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(self.next, time))
        });
        Ok(time.transpose()?.map(WallTime))
    }

    /// The next cell, a text of which `read` makes a value.
    pub(super) fn read<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
        let column = self.next;
        self.next += 1;
        read(self.row.get_ref(column)?.as_str()?).ok_or_else(|| unreadable(column))
    }

    /// The next cell, an address of record.
    pub(super) fn aor(&mut self) -> rusqlite::Result<Aor> {
        self.read(|text| Some(Aor::from_canonical(text)))
    }

    /// The next two cells, a resource.
    pub(super) fn resource(&mut self) -> rusqlite::Result<ResourceId> {
        Ok(ResourceId {
            aor: self.aor()?,
            package: self.read(|text| Some(PackageName::new(text)))?,
        })
    }

    fn tag(&mut self) -> rusqlite::Result<EntityTag> {
        self.read(|text| EntityTag::from_str(text).ok())
    }

    fn maybe<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<Option<T>> {
        let column = self.next;
        self.next += 1;
        match self.row.get_ref(column)?.as_str_or_null()? {
            None => Ok(None),
            Some(text) => read(text).map(Some).ok_or_else(|| unreadable(column)),
        }
    }

    fn flow(&mut self) -> rusqlite::Result<FlowToken> {
        self.read(text::read_flow)
    }

    fn bytes(&mut self) -> rusqlite::Result<Bytes> {
        self.take::<Vec<u8>>().map(Bytes::from)
    }

    fn repeat(&mut self) -> rusqlite::Result<Repeat> {
        Ok(Repeat {
            request: RequestKey(self.take()?),
            answer: Answer {
                status: self.take()?,
                expires_secs: self.take()?,
                tag: self.maybe(|text| EntityTag::from_str(text).ok())?,
                to_tag: self.take()?,
            },
        })
    }
}

/// A row of `bindings`.
pub(super) fn binding(row: &Row<'_>) -> rusqlite::Result<Binding> {
    let mut cells = Cells::new(row);
    Ok(Binding {
        key: BindingKey(cells.take()?),
        contact: cells.take()?,
        instance: cells.take()?,
        path: cells.read(text::read_list)?,
        flow: cells.flow()?,
        call_id: cells.take()?,
        cseq: cells.take()?,
        q: cells.take()?,
        user_agent: cells.take()?,
        expires_at: cells.time()?,
        is_silent: cells.take()?,
        is_proxied: cells.take()?,
        repeat: cells.repeat()?,
    })
}

/// A row of `documents` joined to its resource.
pub(super) fn document(row: &Row<'_>) -> rusqlite::Result<Arc<Document>> {
    let mut cells = Cells::new(row);
    Ok(Arc::new(Document {
        resource: cells.resource()?,
        version: Version(cells.number()?),
        content_type: cells.take()?,
        body: cells.bytes()?,
    }))
}

/// A row of `members`.
pub(super) fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    let mut cells = Cells::new(row);
    Ok(Member {
        id: MemberId(cells.take()?),
        name: cells.take()?,
        role: cells.read(text::read_role)?,
        state: cells.read(text::read_member_state)?,
        incarnation: Incarnation(cells.number()?),
        beat: cells.number()?,
        weight: cells.take()?,
        is_draining: cells.take()?,
        clients: cells.number()?,
        sip: cells.maybe(|text| text.parse().ok())?,
        oob: cells.maybe(|text| text.parse().ok())?,
    })
}

/// A row of `publications` joined to its resource.
pub(super) fn publication(row: &Row<'_>) -> rusqlite::Result<Publication> {
    let mut cells = Cells::new(row);
    Ok(Publication {
        resource: cells.resource()?,
        tag: cells.tag()?,
        content_type: cells.take()?,
        flow: cells.flow()?,
        modified_at: cells.time()?,
        expires_at: cells.time()?,
        repeat: cells.repeat()?,
        body: cells.bytes()?,
    })
}

/// A row of `repeats`.
pub(super) fn repeat(row: &Row<'_>) -> rusqlite::Result<Repeat> {
    Cells::new(row).repeat()
}

/// A row of `sessions`.
pub(super) fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let mut cells = Cells::new(row);
    Ok(Session {
        user: cells.aor()?,
        nlb: cells.take()?,
        uuid: cells.take()?,
        handle: cells.aor()?,
        server: cells.take()?,
        state: cells.read(text::read_session_state)?,
        since: cells.time()?,
        presence: cells.take()?,
        sent: cells.maybe_time()?,
        feed: cells.take()?,
        tag: cells.maybe(|text| EntityTag::from_str(text).ok())?,
        until: cells.time()?,
    })
}

/// A row of `subscriptions` joined to its resource, and the cells after it.
pub(super) fn subscription<'a, 'stmt>(
    row: &'a Row<'stmt>,
) -> rusqlite::Result<(Subscription, Cells<'a, 'stmt>)> {
    let mut cells = Cells::new(row);
    let resource = cells.resource()?;
    let local_tag = cells.take()?;
    let subscription = Subscription {
        resource,
        event_id: cells.take()?,
        owed: cells.take()?,
        state: cells.read(text::read_subscription_state)?,
        expires_at: cells.time()?,
        remote_cseq: cells.take()?,
        cseq_base: cells.take()?,
        cseq_activation: cells.take()?,
        dialog: DialogId {
            call_id: cells.take()?,
            local_tag,
            remote_tag: cells.take()?,
        },
        local_uri: cells.take()?,
        remote_uri: cells.take()?,
        local_target: cells.take()?,
        remote_target: cells.take()?,
        route_set: cells.read(text::read_list)?,
        is_proxied: cells.take()?,
        flow: cells.flow()?,
        accept: cells.take()?,
        repeat: cells.repeat()?,
    };
    Ok((subscription, cells))
}

/// A number as a column holds it; what is above the largest becomes the largest.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The text of an answer's entity-tag, null when there is none.
pub(super) fn answer_tag(repeat: &Repeat) -> Option<&str> {
    repeat.answer.tag.as_ref().map(EntityTag::as_str)
}

fn unreadable(column: usize) -> rusqlite::Error {
    let why: Box<dyn Error + Send + Sync> = "a value that this program did not write".into();
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why)
}
