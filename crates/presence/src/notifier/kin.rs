//! One client's subscriptions say much the same: what they have in common is kept once.

use std::sync::Arc;

use presently_store::Subscription;

use super::{Notifier, SubscriptionSlot};

impl Notifier {
    /// Lets `row` use the text of its client's subscription at `kin` wherever both say the same.
    pub(crate) fn share_text(&self, row: &mut Subscription, kin: Option<SubscriptionSlot>) {
        if let Some(live) = kin.and_then(|slot| self.get(slot)) {
            share(row, &live.row);
        }
    }
}

/// Lets `row` use the text of `kin` wherever both say the same.
pub(super) fn share(row: &mut Subscription, kin: &Subscription) {
    if row.resource.package == kin.resource.package {
        row.resource.package = kin.resource.package.clone();
    }
    let texts = [
        (&mut row.accept, &kin.accept),
        (&mut row.event_id, &kin.event_id),
        (&mut row.local_target, &kin.local_target),
        (&mut row.remote_target, &kin.remote_target),
        (&mut row.remote_uri, &kin.remote_uri),
    ];
    let routes = row.route_set.iter_mut().zip(&kin.route_set);
    for (text, known) in texts.into_iter().chain(routes) {
        if *text == *known {
            *text = Arc::clone(known);
        }
    }
}
