//! A subscription's row as memory keeps it, packed, because there are many: what one client's
//! subscriptions say alike is kept once, and the texts that are a dialog's own lie in one piece.

use std::sync::Arc;

use presently_pool::{FlowToken, PackageName, ResourceId};
use presently_sip::WallTime;
use presently_store::{
    Answer, DialogId, Repeat, RequestKey, Subscription, SubscriptionKey, SubscriptionState,
};
use slab::Slab;

use super::{Live, Notifier, SubscriptionSlot};
use crate::actor::Actor;

/// A [`Subscription`] without its resource, which its watchers share.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) common: Arc<Common>,
    /// The texts of this dialog, one after the other: Call-ID, our tag, the subscriber's, our URI,
    /// the subscriber's Contact (some phones have one for each dialog), the event's `id`.
    texts: Box<str>,
    /// Where each of them but the last ends.
    ends: [u32; 5],
    pub(crate) flow: FlowToken,
    pub(crate) owed: bool,
    pub(crate) cseq_base: u32,
    pub(crate) cseq_activation: u32,
    remote_cseq: u32,
    state: SubscriptionState,
    expires_at: WallTime,
    /// The request that wrote it; the To tag of its answer is our tag.
    pub(crate) request: RequestKey,
    status: u16,
    expires_secs: u32,
}

/// What the subscriptions of one phone mostly have in common.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Common {
    pub(crate) package: PackageName,
    pub(crate) remote_uri: Arc<str>,
    pub(crate) local_target: Arc<str>,
    pub(crate) route_set: Vec<Arc<str>>,
    pub(crate) is_proxied: bool,
    pub(crate) accept: Arc<str>,
}

impl Kept {
    /// Packs `row`; what one of `kin` says as well is taken from it.
    pub(crate) fn new<'a>(row: Subscription, mut kin: impl Iterator<Item = &'a Self>) -> Self {
        let dialog = &row.dialog;
        let own: [&str; 6] = [
            &dialog.call_id,
            &dialog.local_tag,
            &dialog.remote_tag,
            &row.local_uri,
            &row.remote_target,
            &row.event_id,
        ];
        let mut end = 0;
        let ends = [own[0], own[1], own[2], own[3], own[4]].map(|text| {
            end += u32::try_from(text.len()).expect("a text of a message is short");
            end
        });
        let texts = own.concat().into();
        let common = Common {
            package: row.resource.package,
            remote_uri: row.remote_uri,
            local_target: row.local_target,
            route_set: row.route_set,
            is_proxied: row.is_proxied,
            accept: row.accept,
        };
        let known = kin.find(|kin| *kin.common == common);
        Self {
            common: known.map_or_else(|| Arc::new(common), |kin| kin.common.clone()),
            texts,
            ends,
            flow: row.flow,
            owed: row.owed,
            cseq_base: row.cseq_base,
            cseq_activation: row.cseq_activation,
            remote_cseq: row.remote_cseq,
            state: row.state,
            expires_at: row.expires_at,
            request: row.repeat.request,
            status: row.repeat.answer.status,
            expires_secs: row.repeat.answer.expires_secs,
        }
    }

    /// The row as the store has it.
    pub(crate) fn row(&self, resource: &ResourceId) -> Subscription {
        let common = &self.common;
        Subscription {
            resource: resource.clone(),
            dialog: DialogId {
                call_id: self.call_id().into(),
                local_tag: self.local_tag().into(),
                remote_tag: self.remote_tag().into(),
            },
            event_id: self.event_id().into(),
            local_uri: self.local_uri().into(),
            remote_uri: common.remote_uri.clone(),
            local_target: common.local_target.clone(),
            remote_target: self.remote_target().into(),
            route_set: common.route_set.clone(),
            is_proxied: common.is_proxied,
            flow: self.flow,
            remote_cseq: self.remote_cseq,
            cseq_base: self.cseq_base,
            cseq_activation: self.cseq_activation,
            state: self.state,
            accept: common.accept.clone(),
            expires_at: self.expires_at,
            owed: self.owed,
            repeat: Repeat {
                request: self.request,
                answer: self.answer(),
            },
        }
    }

    /// Its place among the client's subscriptions.
    pub(crate) fn key(&self) -> SubscriptionKey {
        SubscriptionKey {
            local_tag: self.local_tag().into(),
            event_id: self.event_id().into(),
        }
    }

    /// What the request that wrote it was answered.
    pub(crate) fn answer(&self) -> Answer {
        Answer {
            status: self.status,
            expires_secs: self.expires_secs,
            tag: None,
            to_tag: self.local_tag().into(),
        }
    }

    pub(crate) fn call_id(&self) -> &str {
        self.text(0, self.ends[0])
    }

    pub(crate) fn local_tag(&self) -> &str {
        self.text(self.ends[0], self.ends[1])
    }

    pub(crate) fn remote_tag(&self) -> &str {
        self.text(self.ends[1], self.ends[2])
    }

    pub(crate) fn local_uri(&self) -> &str {
        self.text(self.ends[2], self.ends[3])
    }

    pub(crate) fn remote_target(&self) -> &str {
        self.text(self.ends[3], self.ends[4])
    }

    pub(crate) fn event_id(&self) -> &str {
        let start = usize::try_from(self.ends[4]).ok();
        start
            .and_then(|start| self.texts.get(start..))
            .unwrap_or_default()
    }

    fn text(&self, start: u32, end: u32) -> &str {
        let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
        let text = self.texts.get(place(start)..place(end));
        text.unwrap_or_default()
    }
}

impl Notifier {
    /// What a subscription watches.
    pub(crate) fn resource_id(&self, live: &Live) -> Option<&ResourceId> {
        let resource = self.resources.get(live.resource_key());
        resource.map(|resource| &resource.id)
    }

    /// A subscription's row as it is to be in the store.
    pub(crate) fn row(&self, slot: SubscriptionSlot) -> Option<Subscription> {
        let live = self.get(slot)?;
        Some(live.row.row(self.resource_id(live)?))
    }
}

/// The subscriptions of the client at `actor` whose texts a row of its may share, the newest first.
pub(super) fn kin<'a>(
    live: &'a Slab<Box<Live>>,
    actor: Option<&'a Actor>,
) -> impl Iterator<Item = &'a Kept> {
    let slots: &[SubscriptionSlot] = actor.map_or(&[], |actor| &actor.subscriptions);
    let live = slots
        .iter()
        .rev()
        .take(KIN_MAX)
        .map(|slot| live.get(slot.key()));
    live.flatten().map(|live| &live.row)
}

/// A phone's worth of lamps: enough for one phone to find its own among those of the client's
/// others.
const KIN_MAX: usize = 20;
