//! One subscription in memory: its row, its CSeq, and whether a NOTIFY is due.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use presently_pool::{FlowToken, MemberId, Version};
use presently_sip::{Flow, Moment, NameAddr, Scheme, TimerId, Uri};
use slab::Slab;

use super::in_flight::Place;
use super::kept::Kept;
use super::resource::Resource;
use super::settling::{Round, Settling};
use super::{RETRY_AFTER, SubscriptionSlot, Wish};
use crate::actor::{Actor, State};
use crate::reach::Reach;

/// A subscription in memory: its row, and where its NOTIFYs stand.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a reason of its own to send or to wait; one byte each, by the thousand"
)]
pub(crate) struct Live {
    pub(crate) row: Kept,
    /// The slot of the client's actor; `None` once the row is gone and only the last NOTIFY is
    /// left.
    pub(crate) actor: Option<usize>,
    /// The client's activation count, part of CSeq.
    pub(super) activation: u32,
    /// NOTIFYs begun in this activation since the base.
    pub(super) n: u32,
    pub(super) resource: u32,
    /// The version last sent.
    pub(super) sent: Version,
    /// What another server may have sent before: nothing older goes out (law 4).
    pub(crate) floor: Version,
    /// A NOTIFY is due whatever the version: a SUBSCRIBE was answered, or one went unanswered.
    pub(super) is_forced: bool,
    /// Its flow is gone: nothing is sent before there is another.
    pub(super) is_cut: bool,
    /// A write of the row is in flight: its CSeq base is about to change.
    pub(crate) is_frozen: bool,
    pub(super) ending: Option<Ending>,
    pub(super) in_flight: Option<Place>,
    /// The round of the oldest thing that is neither answered nor noted in the store as owed.
    pub(super) unsettled: Option<Round>,
    /// The round in which the NOTIFY in flight left: it tells all that was known before.
    pub(super) sent_in: Round,
    /// A note that a NOTIFY is owed is on its way to the store.
    pub(super) is_marking: bool,
    /// No NOTIFY before this: the least interval, or the pause after a failure.
    pub(super) not_before: Moment,
    /// What is in flight, or goes next, stands for one whose repeat was refused.
    pub(super) is_substitute: bool,
    /// Time-outs in a row.
    pub(super) timeouts: u8,
    pub(super) expires: Moment,
    pub(super) timer: Option<(Moment, TimerId)>,
    pub(super) generation: u32,
}

/// How a subscription comes into memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entrance {
    /// Its SUBSCRIBE was answered: it is due a NOTIFY.
    Subscribed,
    /// Found in the store by an activation: due one unless it was told what there is.
    Found {
        /// The present version of its resource: nothing older goes out.
        floor: Version,
        /// Whether it was told that.
        is_told: bool,
        /// The round in which the activation began.
        round: Round,
    },
}

/// Why a subscription ends (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// Its subscriber refused a NOTIFY, or left several unanswered: nothing more is said.
    Gone,
    /// It was not refreshed, or the subscriber ended it.
    Timeout,
}

impl Live {
    /// Where its resource is in the notifier's table.
    pub(super) fn resource_key(&self) -> usize {
        usize::try_from(self.resource).unwrap_or(usize::MAX)
    }

    /// The highest CSeq that may have been used in the dialog.
    pub(crate) fn used_cseq(&self) -> u32 {
        self.cseq(self.n)
    }

    /// A departure from RFC 3261 §12.2.1.1: CSeq only grows, but not by one, so that no NOTIFY
    /// costs a write. Base + (activation − activation at base)·2¹² + n (design: one write per
    /// refresh, none per NOTIFY).
    pub(super) fn cseq(&self, n: u32) -> u32 {
        let activations = self.activation.saturating_sub(self.row.cseq_activation);
        self.row
            .cseq_base
            .saturating_add(activations.saturating_mul(NUMBERS_PER_BASE))
            .saturating_add(n)
    }

    /// Something of `round` is to be told, unless the store knows already that a NOTIFY is owed.
    pub(super) fn unsettle(&mut self, round: Round, settling: &mut Settling) {
        if self.unsettled.is_none() && !self.row.owed && self.actor.is_some() {
            self.unsettled = Some(settling.begin_in(round));
        }
    }

    /// Whether something is neither answered nor noted in the store as owed.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled.is_some()
    }

    /// Nothing is open here any more.
    pub(super) fn settle(&mut self, settling: &mut Settling) {
        if let Some(round) = self.unsettled.take() {
            settling.end(round);
        }
    }

    /// What was in flight is answered; `true` when the store's note of an owed NOTIFY is to go.
    pub(super) fn note_answer(&mut self, is_due: bool, settling: &mut Settling) -> bool {
        if is_due {
            // What became known after it left is still to be told.
            if let Some(round) = self.unsettled.take() {
                self.unsettled = Some(settling.begin_in(self.sent_in));
                settling.end(round);
            }
            return false;
        }
        self.settle(settling);
        // A write of the row that is on its way notes it anew.
        let clears = self.row.owed && !self.is_frozen;
        self.row.owed &= !clears;
        clears
    }

    /// A NOTIFY was refused in a way that does not end the subscription (RFC 6665 §4.2.2): the
    /// newest state is tried again, after a pause.
    pub(super) fn on_refusal(
        &mut self,
        now: Moment,
        (status, retry_after): (u16, Option<u32>),
        was_repeated: bool,
    ) {
        self.is_forced = true;
        // A phone that has taken the first and remembers it no more finds its repeat out of order
        // (RFC 3261 §12.2.2): no reason to keep the newest state from it. Only once, for who
        // refuses that as well means it.
        let is_out_of_order = status == 500 && was_repeated && retry_after.is_none();
        self.is_substitute = is_out_of_order && !self.is_substitute;
        if !self.is_substitute {
            let pause = retry_after.map_or(RETRY_AFTER, |secs| Duration::from_secs(secs.into()));
            self.not_before = now.after(pause.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX));
        }
    }

    pub(super) fn is_due(&self, resource: &Resource) -> bool {
        self.is_forced || self.ending.is_some() || resource.version() > self.sent
    }

    /// Whether a NOTIFY waits for nothing but its time.
    pub(super) fn is_ready(&self, resource: &Resource) -> bool {
        self.in_flight.is_none()
            && !self.is_frozen
            && self.ending != Some(Ending::Gone)
            && self.n + 1 < NUMBERS_PER_BASE
            && resource.is_known_to(self.floor)
            && self.is_due(resource)
    }

    pub(super) fn may_notify(&self, resource: &Resource, now: Moment) -> bool {
        now >= self.not_before && self.is_ready(resource)
    }

    /// When its timer is due, if time alone moves it: `repeat` is when what is in flight goes again
    /// or is given up; `may_go` says that a NOTIFY waits for its time only. What has ended does not
    /// expire once more.
    pub(super) fn next_timeout(&self, repeat: Option<Moment>, may_go: bool) -> Option<Moment> {
        let next = repeat.or_else(|| may_go.then_some(self.not_before));
        let expires = self.ending.is_none().then_some(self.expires);
        next.into_iter().chain(expires).min()
    }

    /// Whether the CSeq base must be rewritten.
    pub(super) fn wish(&self, slot: SubscriptionSlot) -> Wish {
        match self.actor {
            Some(actor) if self.n > REBASE_ABOVE && !self.is_frozen => Wish::Rebase(slot, actor),
            _ => Wish::Nothing,
        }
    }

    /// The URI of the first hop where that is a strict router, which wants to stand in the
    /// Request-URI (RFC 3261 §12.2.1.1).
    pub(super) fn strict_hop(&self) -> Option<&str> {
        let hop = NameAddr::parse(self.row.common.route_set.first()?)?;
        let uri = Uri::parse(hop.uri).ok()?;
        (!uri.params.has("lr")).then_some(hop.uri)
    }

    /// Whether its client is being handed over: the store may have given it to another server
    /// before this one hears of it.
    pub(super) fn is_leaving(&self, actors: &Slab<Actor>) -> bool {
        let actor = self.actor.and_then(|actor| actors.get(actor));
        actor.is_some_and(|actor| matches!(actor.state, State::Leaving))
    }

    /// By which balancer and flow a NOTIFY leaves; `None` while there is no way to the phone. The
    /// current flow, unless another proxy stands between that is to be reached by datagrams at an
    /// address which can be read from the route set or the target.
    pub(crate) fn way(&self, reach: &Reach) -> Option<(MemberId, Option<FlowToken>)> {
        let current = self.row.flow;
        if self.row.common.is_proxied
            && let Some((address, port)) = self.hop_address()
        {
            // A loose hop stands in the Route, where the balancer finds it; a strict one does not.
            let strict = self.strict_hop().map(|_| FlowToken {
                flow: Flow::udp(
                    current.flow.listener,
                    SocketAddr::new(address, port.unwrap_or(SIP_PORT)),
                ),
                ..current
            });
            return Some((reach.any(current.balancer)?, strict));
        }
        if self.is_cut {
            return None;
        }
        Some((reach.balancer(&current)?, Some(current)))
    }

    /// Whether its NOTIFYs leave by another balancer than the one its phone last spoke to.
    pub(super) fn is_stood_in_for(&self, reach: &Reach) -> bool {
        let way = self.way(reach);
        way.is_some_and(|(balancer, _)| balancer != self.row.flow.balancer)
    }

    /// Where the first hop of the route set is, or the target without one. A stream is not opened
    /// to it: a hop that asks for one is reached by the one it came by.
    fn hop_address(&self) -> Option<(IpAddr, Option<u16>)> {
        let hop = match self.row.common.route_set.first() {
            Some(hop) => NameAddr::parse(hop)?.uri,
            // A URI, no header's value: its parameters are its own.
            None => self.row.remote_target(),
        };
        let uri = Uri::parse(hop).ok()?;
        let transport = uri.params.value("transport").unwrap_or("udp");
        let is_datagram = uri.scheme == Scheme::Sip && transport.eq_ignore_ascii_case("udp");
        Some((uri.host.address()?, uri.port)).filter(|_| is_datagram)
    }
}

/// The subscription at `slot`, while other parts of its notifier are in use.
pub(super) fn find(live: &mut Slab<Box<Live>>, slot: SubscriptionSlot) -> Option<&mut Live> {
    live.get_mut(slot.key()).map(|live| &mut **live)
}

/// 2¹² CSeq numbers belong to one base and activation.
const NUMBERS_PER_BASE: u32 = 1 << 12;
/// Past this many the base is rewritten, long before the numbers run out.
const REBASE_ABOVE: u32 = NUMBERS_PER_BASE * 3 / 4;
/// The port of a SIP URI that names none (RFC 3261 §19.1.2).
const SIP_PORT: u16 = 5060;
/// The shortest pause after a refusal: a phone that says 0 each time would be told and refuse again
/// as fast as messages travel, for as long as it is subscribed.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
/// The longest pause a phone's Retry-After is obeyed for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);
