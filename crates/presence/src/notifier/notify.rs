//! Writing a NOTIFY (RFC 6665 §4.2.2): once when it is due, and again, the same bytes, until
//! answered.

use bytes::Bytes;
use presently_pool::{Epoch, FlowToken, Kind};
use presently_sip::transaction::ClientTransaction;
use presently_sip::{Date, Protocol};

use super::in_flight::{InFlight, Unanswered};
use super::resource::Resource;
use super::{Bench, Live, SubscriptionSlot};
use crate::ToBalancer;
use crate::branch::{Branch, Purpose};
use crate::events;

/// Begins a NOTIFY with the newest state.
pub(super) fn send(
    slot: SubscriptionSlot,
    live: &mut Live,
    resource: &mut Resource,
    unanswered: &mut Unanswered,
    bench: &mut Bench<'_>,
) {
    let Some(package) = bench.packages.find(&resource.id.package) else {
        return;
    };
    let now = bench.now;
    live.n += 1;
    live.sent_in = bench.round;
    live.sent = resource.version();
    live.is_forced = false;
    live.not_before = now.moment.after(bench.min_interval);
    let protocol = live.row.flow.flow.protocol;
    let left = live.expires.since(now.moment).as_secs();
    live.in_flight = Some(unanswered.insert(InFlight {
        transaction: ClientTransaction::new(now.moment, protocol),
        cseq: live.cseq(live.n),
        key: bench.random.next_u32(),
        target: None,
        date: now.wall,
        expires_secs: match live.ending {
            Some(_) => None,
            None => Some(u32::try_from(left).unwrap_or(u32::MAX)),
        },
        document: resource.render(&**package, &live.row.common.accept),
        is_last: live.ending.is_some(),
    }));
    bench.counters.notifies_sent += 1;
    events::notified(
        &resource.id,
        live.sent,
        live.row.call_id(),
        live.cseq(live.n),
    );
    resend(slot, live, unanswered, bench);
}

/// Sends what is in flight; the same bytes each time.
pub(super) fn resend(
    slot: SubscriptionSlot,
    live: &Live,
    unanswered: &Unanswered,
    bench: &mut Bench<'_>,
) {
    let Some(sent) = unanswered.get(live.in_flight) else {
        return;
    };
    let Some((balancer, flow)) = live.way(bench.reach) else {
        return;
    };
    let start = bench.out.text.len();
    let body = write(slot, live, sent, bench);
    // With its epoch, so that a balancer drops what comes too late from a former owner.
    let owner = live.actor.and_then(|actor| bench.actors.get(actor));
    bench.out.to_balancers.push(ToBalancer {
        balancer,
        kind: Kind::Forward,
        client: owner.map(|actor| (actor.client, actor.aor.clone())),
        flow,
        epoch: owner.map_or(Epoch::default(), |actor| actor.epoch),
        head: start..bench.out.text.len(),
        body,
    });
}

/// The phone is on another flow than `former`. Over a stream nobody repeats a NOTIFY, its answer
/// may be gone with the stream, and the same one again would be out of order to a phone that has
/// had it (RFC 3261 §12.2.2): it is given up, and the newest state goes. A last word has no
/// successor and is repeated.
pub(super) fn follow(
    slot: SubscriptionSlot,
    live: &mut Live,
    former: FlowToken,
    unanswered: &mut Unanswered,
    bench: &mut Bench<'_>,
) {
    if former != live.row.flow && former.flow.protocol.is_reliable() {
        give_up(slot, live, unanswered, bench);
    }
}

/// Gives up what is in flight over a stream for the newest state.
pub(super) fn give_up(
    slot: SubscriptionSlot,
    live: &mut Live,
    unanswered: &mut Unanswered,
    bench: &mut Bench<'_>,
) {
    match unanswered.get(live.in_flight) {
        Some(sent) if !sent.is_last => {
            unanswered.take(&mut live.in_flight);
            bench.counters.notifies_dropped += 1;
            live.is_forced = true;
        }
        Some(_) if !bench.is_mute => {
            bench.counters.notifies_resent += 1;
            resend(slot, live, unanswered, bench);
        }
        _ => {}
    }
}

/// Appends the head; returns the body that goes with it.
fn write(slot: SubscriptionSlot, live: &Live, sent: &InFlight, bench: &mut Bench<'_>) -> Bytes {
    let (row, common) = (&live.row, &live.row.common);
    let strict = live.strict_hop();
    let target = sent.target.as_deref().unwrap_or(row.remote_target());
    let out = &mut bench.out.text;
    put(
        out,
        &[
            b"NOTIFY ",
            strict.unwrap_or(target).as_bytes(),
            b" SIP/2.0\r\nVia: SIP/2.0/",
        ],
    );
    put(
        out,
        &[
            Protocol::Tcp.token().as_bytes(),
            b" ",
            bench.name.as_bytes(),
            b";branch=",
        ],
    );
    let branch = Branch {
        purpose: Purpose::Notify,
        slot: slot.0,
        generation: live.generation,
        key: sent.key,
    };
    branch.write(out);
    put(out, &[b"\r\nMax-Forwards: 70\r\n"]);
    for route in common.route_set.iter().skip(usize::from(strict.is_some())) {
        put(out, &[b"Route: ", route.as_bytes(), b"\r\n"]);
    }
    if strict.is_some() {
        put(out, &[b"Route: <", target.as_bytes(), b">\r\n"]);
    }
    put(
        out,
        &[
            b"From: <",
            row.local_uri().as_bytes(),
            b">;tag=",
            row.local_tag().as_bytes(),
        ],
    );
    put(
        out,
        &[
            b"\r\nTo: <",
            common.remote_uri.as_bytes(),
            b">;tag=",
            row.remote_tag().as_bytes(),
        ],
    );
    put(
        out,
        &[b"\r\nCall-ID: ", row.call_id().as_bytes(), b"\r\nCSeq: "],
    );
    number(out, sent.cseq);
    put(
        out,
        &[
            b" NOTIFY\r\nContact: <",
            common.local_target.as_bytes(),
            b">\r\nEvent: ",
        ],
    );
    put(out, &[common.package.as_str().as_bytes()]);
    let event_id = row.event_id();
    if !event_id.is_empty() {
        put(out, &[b";id=", event_id.as_bytes()]);
    }
    put(out, &[b"\r\nSubscription-State: "]);
    match sent.expires_secs {
        Some(secs) => {
            put(out, &[b"active;expires="]);
            number(out, secs);
        }
        None => put(out, &[b"terminated;reason=timeout"]),
    }
    put(out, &[b"\r\nDate: "]);
    Date(sent.date).write(out);
    content(out, sent)
}

/// Ends the head with what it carries; a numbered document is put together here.
fn content(out: &mut Vec<u8>, sent: &InFlight) -> Bytes {
    let document = &sent.document;
    let numbered = document.tail.as_ref().map(|tail| {
        let mut body = document.head.to_vec();
        number(&mut body, sent.cseq);
        body.extend_from_slice(tail);
        Bytes::from(body)
    });
    let body = numbered.unwrap_or_else(|| document.head.clone());
    if !body.is_empty() {
        put(
            out,
            &[b"\r\nContent-Type: ", document.content_type.as_bytes()],
        );
    }
    put(out, &[b"\r\nContent-Length: "]);
    number(out, u32::try_from(body.len()).unwrap_or(u32::MAX));
    put(out, &[b"\r\n\r\n"]);
    body
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Decimal digits without the formatting machinery: this runs three times for each NOTIFY.
fn number(out: &mut Vec<u8>, value: u32) {
    let mut digits = [0_u8; 10];
    let mut rest = value;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(digits.len() - used));
}
