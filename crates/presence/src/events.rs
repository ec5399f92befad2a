//! What a server logs: one event for one change of state, by client, resource and Call-ID; at debug
//! level, and never a body.

use presently_pool::{ResourceId, Version};
use presently_sip::{Aor, Message, Start};
use tracing::debug;

use crate::held::Held;

/// A client's rows were read: this server has it now.
pub(crate) fn activated(client: &Aor, epoch: u64, subscriptions: usize) {
    debug!(%client, epoch, subscriptions, "activated");
}

/// A request got its final answer, the one that begins with `answer`.
pub(crate) fn answered(held: &Held, answer: &[u8]) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let message: Message<'_> = held.message();
    let method = match message.start() {
        Start::Request { method, .. } => method,
        Start::Response { .. } => return,
    };
    let client = held.passage.client.as_ref().map(|(_, aor)| aor.as_str());
    let status = answer.get(STATUS).and_then(|it| str::from_utf8(it).ok());
    debug!(
        client,
        call_id = message.call_id(),
        ?method,
        status,
        "request answered"
    );
}

/// A document has a new version, which concerns watchers on `servers` servers.
pub(crate) fn written(resource: &ResourceId, version: Version, servers: usize) {
    debug!(client = %resource.aor, package = %resource.package, version = version.0, servers,
        "document written");
}

/// A NOTIFY with the newest state leaves.
pub(crate) fn notified(resource: &ResourceId, version: Version, call_id: &str, cseq: u32) {
    debug!(client = %resource.aor, package = %resource.package, version = version.0, call_id, cseq,
        "NOTIFY sent");
}

/// A subscription is given up: its phone refused a NOTIFY for good, or answered none.
pub(crate) fn given_up(resource: &ResourceId, call_id: &str) {
    debug!(client = %resource.aor, package = %resource.package, call_id, "subscription given up");
}

/// A phone does not answer any more whether it is there, or is heard again after that.
pub(crate) fn marked(client: &Aor, is_silent: bool) {
    debug!(%client, is_silent, "bindings marked");
}

/// Where the status stands in `SIP/2.0 200 OK`.
const STATUS: std::ops::Range<usize> = 8..11;
