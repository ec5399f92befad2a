//! A PUBLISH read from its message, and what its decision writes (RFC 3903 §6).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use presently_pool::{FlowToken, ResourceId};
use presently_sip::{EntityTag, Message, Name, WallTime};
use presently_store::{Change, Publication, REPEAT_WINDOW, Repeat};

use crate::publication::{Publish, PublishDecision};

/// Reads a PUBLISH; `if_match` is what [`if_match`] read.
pub(crate) fn read<'a>(message: &Message<'a>, if_match: Option<&'a EntityTag>) -> Publish<'a> {
    Publish {
        if_match,
        expires_secs: message.number(Name::Expires),
        content_type: message.text(Name::ContentType),
        body: message.body(),
    }
}

/// The one tag of SIP-If-Match; more than one, or none that reads, is a bad request
/// (RFC 3903 §6 step 3).
pub(crate) fn if_match(message: &Message<'_>) -> Result<Option<EntityTag>, ()> {
    if message.header(Name::SipIfMatch).is_none() {
        return Ok(None);
    }
    let mut tags = message.values(Name::SipIfMatch);
    match (tags.next().map(str::parse), tags.next()) {
        (Some(Ok(tag)), None) => Ok(Some(tag)),
        _ => Err(()),
    }
}

/// A fresh entity-tag.
pub(crate) fn new_tag(random: u64) -> EntityTag {
    let tag = format!("{random:016x}");
    tag.parse().expect("hex digits are a token")
}

/// Of which request, about what, and when.
#[derive(Clone, Debug)]
pub(crate) struct Publishing<'a> {
    pub(crate) resource: ResourceId,
    pub(crate) tag: EntityTag,
    pub(crate) flow: FlowToken,
    pub(crate) repeat: &'a Repeat,
    pub(crate) now: WallTime,
}

/// The publications after `decision`, and the change that makes them so.
pub(crate) fn apply(
    decision: &PublishDecision,
    request: &Publish<'_>,
    held: &[Publication],
    publishing: &Publishing<'_>,
) -> (Vec<Publication>, Vec<Change>) {
    let mut after = held.to_vec();
    let is_it =
        |row: &Publication, tag: &EntityTag| row.tag == *tag && row.resource == publishing.resource;
    match decision {
        PublishDecision::Nothing => {
            let change = Change::Remember {
                repeat: publishing.repeat.clone(),
                until: publishing.now.after(REPEAT_WINDOW),
            };
            (after, vec![change])
        }
        PublishDecision::Remove { tag } => {
            after.retain(|row| !is_it(row, tag));
            let mut changes = vec![Change::RemovePublication {
                resource: publishing.resource.clone(),
                tag: tag.clone(),
                tombstone: Some((
                    publishing.repeat.clone(),
                    publishing.now.after(REPEAT_WINDOW),
                )),
            }];
            let gone = held.iter().find(|row| is_it(row, tag));
            changes.extend(gone.map(|row| remember(row, publishing.now)));
            (after, changes)
        }
        PublishDecision::Refresh { tag, expires_secs } => {
            let Some(row) = after.iter_mut().find(|row| is_it(row, tag)) else {
                return (after, Vec::new());
            };
            let former = remember_young(row, publishing.now);
            renew(row, *expires_secs, publishing);
            let change = put(row, Some(tag));
            (after, std::iter::once(change).chain(former).collect())
        }
        PublishDecision::Put {
            replaces,
            expires_secs,
        } => {
            let mut row = fresh(request, publishing);
            renew(&mut row, *expires_secs, publishing);
            let mut changes = vec![put(&row, replaces.as_ref())];
            let place = replaces
                .as_ref()
                .and_then(|tag| after.iter_mut().find(|row| is_it(row, tag)));
            match place {
                Some(place) => {
                    changes.extend(remember_young(place, publishing.now));
                    *place = row;
                }
                None => after.push(row),
            }
            (after, changes)
        }
    }
}

/// A late copy of the request that made a publication must not make it again, at whichever server.
pub(crate) fn remember(gone: &Publication, now: WallTime) -> Change {
    Change::Remember {
        repeat: gone.repeat.clone(),
        until: now.after(REPEAT_WINDOW),
    }
}

/// The same of one that is replaced, unless no copy can come any more: a phone that refreshes in
/// time costs the store no row.
fn remember_young(replaced: &Publication, now: WallTime) -> Option<Change> {
    let granted = Duration::from_secs(replaced.repeat.answer.expires_secs.into());
    let age = granted.saturating_sub(replaced.expires_at.since(now));
    (age < REPEAT_WINDOW).then(|| remember(replaced, now))
}

fn fresh(request: &Publish<'_>, publishing: &Publishing<'_>) -> Publication {
    Publication {
        resource: publishing.resource.clone(),
        tag: publishing.tag.clone(),
        content_type: Arc::from(request.content_type.unwrap_or_default()),
        body: Bytes::copy_from_slice(request.body),
        flow: publishing.flow,
        modified_at: publishing.now,
        expires_at: publishing.now,
        repeat: Repeat::default(),
    }
}

/// Each 2xx gives a new tag, also to a refresh (RFC 3903 §6 step 6).
fn renew(row: &mut Publication, expires_secs: u32, publishing: &Publishing<'_>) {
    row.tag = publishing.tag.clone();
    row.flow = publishing.flow;
    row.repeat = publishing.repeat.clone();
    row.expires_at = publishing
        .now
        .after(Duration::from_secs(expires_secs.into()));
}

fn put(row: &Publication, replaces: Option<&EntityTag>) -> Change {
    Change::PutPublication {
        publication: row.clone(),
        replaces: replaces.cloned(),
    }
}
