//! Which server transaction a request belongs to (RFC 3261 §17.2.3), as one keyed hash.

use std::hash::{Hash, Hasher};

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::{Flow, Message, Method, Start, Via};

/// Names one server transaction.
///
/// A repeat of a request gives an equal key. Two phones that chose the same branch, Call-ID, tag and
/// sequence number in the same second give different ones, because the users and the flow are part of it. The
/// hash is keyed: nobody outside can make two requests meet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TransactionKey(u128);

impl TransactionKey {
    /// The transaction of `request`, which arrived by `flow`; `None` for a response and for a request
    /// without what names a transaction. An ACK gives the key of its INVITE (RFC 3261 §17.2.3).
    pub fn of(secret: &[u8; 16], request: &Message<'_>, flow: &Flow) -> Option<Self> {
        let Start::Request {
            method,
            method_text,
            ..
        } = request.start()
        else {
            return None;
        };
        let method_text = match method {
            Method::Ack => "INVITE",
            _ => method_text,
        };
        Self::with_method(secret, request, flow, method_text)
    }

    /// The transaction of the request that `cancel` takes back, had that request been a `method`
    /// (RFC 3261 §9.2: a CANCEL does not say what it cancels).
    pub fn cancelled_by(
        secret: &[u8; 16],
        cancel: &Message<'_>,
        flow: &Flow,
        method: &str,
    ) -> Option<Self> {
        Self::with_method(secret, cancel, flow, method)
    }

    #[cfg(test)]
    pub(super) fn for_test(number: u128) -> Self {
        Self(number)
    }

    fn with_method(
        secret: &[u8; 16],
        request: &Message<'_>,
        flow: &Flow,
        method: &str,
    ) -> Option<Self> {
        let Start::Request { uri, .. } = request.start() else {
            return None;
        };
        let (via, from, to) = (request.via()?, request.from()?, request.to()?);
        let mut hasher = SipHasher24::new_with_key(secret);
        flow.hash(&mut hasher);
        method.hash(&mut hasher);
        uri.hash(&mut hasher);
        hash_via(&via, &mut hasher);
        from.uri.hash(&mut hasher);
        from.tag().hash(&mut hasher);
        to.uri.hash(&mut hasher);
        request.call_id()?.hash(&mut hasher);
        request.cseq()?.number.hash(&mut hasher);
        if !has_cookie(&via) {
            // The branch need not be unique then: the whole Via and the To tag count as well
            // (RFC 3261 §17.2.3). An ACK carries another To tag; no answer of ours needs its key.
            via.params.0.hash(&mut hasher);
            to.tag().hash(&mut hasher);
        }
        Some(Self(hasher.finish128().as_u128()))
    }
}

fn hash_via(via: &Via<'_>, hasher: &mut SipHasher24) {
    for byte in via.host.0.bytes() {
        hasher.write_u8(byte.to_ascii_lowercase());
    }
    // Ends the host: no host has such a byte.
    hasher.write_u8(0xff);
    via.port.hash(hasher);
    via.branch().hash(hasher);
}

/// Whether the branch promises to be unique (RFC 3261 §8.1.1.7).
fn has_cookie(via: &Via<'_>) -> bool {
    via.branch().is_some_and(|branch| {
        let cookie = branch.get(..COOKIE.len());
        cookie.is_some_and(|cookie| cookie.eq_ignore_ascii_case(COOKIE))
            && branch.len() > COOKIE.len()
    })
}

const COOKIE: &str = "z9hG4bK";
