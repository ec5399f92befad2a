//! Bindings that were taken back, and REGISTERs from before that: RFC 3261 §10.3 step 7 goes by the
//! binding's CSeq, and a binding that is gone has none.
//!
//! A datagram may be seconds late, and be read by a server that never had the client. So the last
//! CSeq is kept for 64·T1 where the store keeps the requests that removed something.

use presently_sip::MacKey;
use presently_store::{Answer, Binding, BindingKey, Repeat, RequestKey};

use crate::actor::Actor;
use crate::registrar::{Contacts, Register, RegisterError};

/// What is kept of the bindings that `request` takes back.
pub(crate) fn last_words(key: &MacKey, request: &Register, gone: &[Binding]) -> Vec<Repeat> {
    let words = gone.iter().map(|row| last_word(key, request, row));
    words.collect()
}

/// The last CSeq of the Call-ID that made a binding, in the place of granted seconds. Its key is
/// never that of a request.
fn last_word(key: &MacKey, request: &Register, gone: &Binding) -> Repeat {
    let is_own = gone.call_id == request.call_id;
    Repeat {
        request: order_key(key, &gone.call_id, &gone.key),
        answer: Answer {
            status: RegisterError::OutOfOrder.status(),
            expires_secs: if is_own { request.cseq } else { gone.cseq },
            tag: None,
            to_tag: "-".into(),
        },
    }
}

/// Whether `request` would make a binding again that a later one of the same Call-ID took back.
pub(crate) fn is_stale(key: &MacKey, request: &Register, actor: &Actor) -> bool {
    let Contacts::Some(contacts) = &request.contacts else {
        return false;
    };
    let mut made = contacts.iter().filter(|one| one.expires_secs != Some(0));
    made.any(|contact| {
        let name = contact.key();
        let is_held = actor.bindings.iter().any(|binding| binding.key == name);
        let last = actor.last_granted(&order_key(key, &request.call_id, &name));
        !is_held && last.is_some_and(|last| request.cseq <= last)
    })
}

fn order_key(key: &MacKey, call_id: &str, binding: &BindingKey) -> RequestKey {
    RequestKey(key.mac128(&[b"order", call_id.as_bytes(), binding.0.as_bytes()]))
}
