//! Which flow leads to a phone whose old one is gone, or may be: pure decisions over what the
//! client's bindings say.

use presently_pool::FlowToken;
use presently_sip::{Edits, Message, Name, Uri};
use presently_store::Binding;

use crate::notifier::Kept;

/// A phone that registered over another flow than before.
#[derive(Clone, Debug)]
pub(crate) struct Renewal {
    /// The flows it had.
    pub(crate) formers: Vec<FlowToken>,
    /// The flow it has.
    pub(crate) flow: FlowToken,
}

impl Renewal {
    /// What a REGISTER over `flow` that puts `put` says of the flows of `held`: a binding of the
    /// same key, instance or Call-ID is the same phone's (RFC 5626 §6, RFC 3261 §10.2.4). Behind
    /// another proxy a flow is not the phone's own, and says nothing.
    pub(crate) fn of(held: &[Binding], put: &[Binding], flow: FlowToken) -> Option<Self> {
        let is_direct = !put.is_empty() && put.iter().all(Binding::is_direct);
        let is_former = |binding: &&Binding| {
            binding.flow != flow && put.iter().any(|put| is_same_phone(binding, put))
        };
        is_direct.then(|| Self {
            formers: held
                .iter()
                .filter(is_former)
                .map(|binding| binding.flow)
                .collect(),
            flow,
        })
    }
}

/// The flow of the one binding that is surely of the phone that subscribed: its Contact is the
/// subscription's target, or is it but for the port, which changes with each connection.
pub(crate) fn flow_of<'a>(
    row: &Kept,
    bindings: impl Iterator<Item = &'a Binding> + Clone,
) -> Option<FlowToken> {
    if row.common.is_proxied {
        return None;
    }
    let target = Uri::parse(row.remote_target()).ok()?;
    let direct = bindings.filter(|binding| binding.is_direct());
    let fits = |binding: &Binding, port_counts: bool| {
        Uri::parse(&binding.contact).is_ok_and(|contact| {
            contact.user == target.user
                && contact.host.0.eq_ignore_ascii_case(target.host.0)
                && (contact.port == target.port
                    || !port_counts && binding.flow.flow.protocol.is_reliable())
        })
    };
    let only = |port_counts| {
        let mut fitting = direct
            .clone()
            .filter(|binding| fits(binding, port_counts))
            .map(|binding| binding.flow);
        let first = fitting.next()?;
        fitting.all(|flow| flow == first).then_some(first)
    };
    only(true).or_else(|| only(false))
}

/// Whether another proxy stands before the pool: more than one Via below the balancer's.
pub(crate) fn is_proxied(message: &Message<'_>, edits: &Edits<'_>) -> bool {
    let written = message.values(Name::Via).count();
    written + usize::from(edits.via.is_some()) > 2
}

fn is_same_phone(held: &Binding, put: &Binding) -> bool {
    held.key == put.key
        || held.call_id == put.call_id
        || (held.instance.is_some() && held.instance == put.instance)
}

#[cfg(test)]
mod tests;
