//! Metrics of flows: those that are lost, and what comes of it.

use super::Metric;

pub(super) const BALANCER: &[Metric<presently_balancer::Counters>] = &[
    (
        "balancer_flows_lost",
        "Clients whose stream was closed",
        |it| it.flows_lost,
    ),
    (
        "balancer_flows_unnoted",
        "Clients of streams that there was no room to note",
        |it| it.flows_unnoted,
    ),
    (
        "balancer_flows_forgotten",
        "Losses of streams that there was no room to keep",
        |it| it.flows_forgotten,
    ),
    (
        "balancer_requests_sent_for_others",
        "Requests of servers sent for a balancer that does not live",
        |it| it.requests_sent_for_others,
    ),
];

pub(super) const SERVER: &[Metric<presently_presence::Counters>] = &[
    ("presence_flows_gone", "Losses of flows noted", |it| {
        it.flows_gone
    }),
    (
        "presence_subscriptions_cut",
        "Subscriptions whose flow was lost",
        |it| it.subscriptions_cut,
    ),
    (
        "presence_subscriptions_renewed",
        "Subscriptions that were given another flow",
        |it| it.subscriptions_renewed,
    ),
    (
        "presence_bindings_in_grace",
        "Bindings that were given a grace for their lost flow",
        |it| it.bindings_in_grace,
    ),
    (
        "presence_phones_asked",
        "Silent phones that were asked whether they are there",
        |it| it.phones_asked,
    ),
    (
        "presence_bindings_unanswered",
        "Bindings hidden because their phone answered no question",
        |it| it.bindings_unanswered,
    ),
    (
        "presence_bindings_shown_again",
        "Hidden bindings shown again because their phone was heard",
        |it| it.bindings_shown_again,
    ),
    (
        "presence_notifies_dropped",
        "NOTIFYs that lost their way while unanswered",
        |it| it.notifies_dropped,
    ),
];
