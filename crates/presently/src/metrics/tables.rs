//! What is exported: each metric's name, what it counts, and where it stands.

use presently_store::sqlite::LockCounters;

use super::{Metric, Snapshot};
use crate::driver::LinkCounters;
use crate::host;

pub(super) const HOST: &[Metric<host::Counters>] = &[
    ("host_turns", "Turns of the loop", |it| it.turns),
    ("host_batches", "Batches given to the store", |it| {
        it.batches
    }),
    ("host_operations", "Operations given to the store", |it| {
        it.operations
    }),
    (
        "host_completions_refused",
        "Operations the store refused",
        |it| it.completions_refused,
    ),
    (
        "host_datagrams_past",
        "Datagrams dropped because they lay in a socket while the process stood still",
        |it| it.datagrams_past,
    ),
    (
        "host_messages_unreadable",
        "Messages of phones that were no SIP",
        |it| it.messages_unreadable,
    ),
    (
        "host_link_messages_unreadable",
        "Messages of members that were none",
        |it| it.link_messages_unreadable,
    ),
    ("host_beats", "Beats sent to the store", |it| it.beats),
    (
        "host_turns_held_back",
        "Turns in which a server's time to speak ran out: its words waited for a beat",
        |it| it.turns_held_back,
    ),
    (
        "host_words_lost",
        "Messages held back for which there was no room, or no beat within 32 s",
        |it| it.words_lost,
    ),
];

pub(super) const POOL: &[Metric<Snapshot>] = &[(
    "pool_rejoins",
    "Times the process was taken for dead and joined anew",
    |it| it.rejoins,
)];

pub(crate) const TRANSPORT: &[Metric<presently_transport::Counters>] = &[
    (
        "transport_datagrams_received",
        "SIP datagrams taken",
        |it| it.datagrams_received,
    ),
    ("transport_datagrams_sent", "SIP datagrams sent", |it| {
        it.datagrams_sent
    }),
    (
        "transport_datagrams_dropped",
        "SIP datagrams the socket had no room for",
        |it| it.datagrams_dropped,
    ),
    (
        "transport_datagrams_refused",
        "SIP datagrams the system would not send",
        |it| it.datagrams_refused,
    ),
    (
        "transport_messages_received",
        "SIP messages taken from streams",
        |it| it.messages_received,
    ),
    (
        "transport_messages_sent",
        "SIP messages given to streams",
        |it| it.messages_sent,
    ),
    (
        "transport_messages_undeliverable",
        "SIP messages for a flow that is gone",
        |it| it.messages_undeliverable,
    ),
    ("transport_pings", "Keep-alives", |it| it.pings),
    (
        "transport_connections_accepted",
        "Connections accepted",
        |it| it.accepted,
    ),
    ("transport_connections_opened", "Connections opened", |it| {
        it.opened
    }),
    (
        "transport_connections_failed",
        "Connections that failed to open",
        |it| it.failed,
    ),
    (
        "transport_connections_refused",
        "Connections refused at the bound",
        |it| it.refused,
    ),
    (
        "transport_connections_crowded",
        "Connections refused to an address that had enough",
        |it| it.crowded,
    ),
    (
        "transport_connections_evicted",
        "Silent connections closed to make room",
        |it| it.evicted,
    ),
    (
        "transport_connections_timed_out",
        "Connections closed by a time limit",
        |it| it.closed_silent + it.closed_slow + it.closed_stalled,
    ),
    (
        "transport_connections_malformed",
        "Connections closed for what they carried",
        |it| it.closed_framing,
    ),
];

pub(super) const LINKS: &[Metric<LinkCounters>] = &[
    (
        "link_connections_opened",
        "Links to other members opened",
        |it| it.opened,
    ),
    (
        "link_connections_broken",
        "Links to other members lost",
        |it| it.broken,
    ),
    ("link_connections_refused", "Links refused", |it| it.refused),
    (
        "link_messages_dropped",
        "Messages for a member without a link",
        |it| it.messages_dropped,
    ),
];

pub(crate) const STORE_LOCK: &[Metric<LockCounters>] = &[
    (
        "store_members_killed",
        "Paused members that kept the lock of the store's file and were killed",
        LockCounters::killed,
    ),
    (
        "store_lock_alarms",
        "Times another process kept the lock of the store's file for 750 ms",
        LockCounters::kept,
    ),
];

pub(super) const BALANCER: &[Metric<presently_balancer::Counters>] = &[
    (
        "balancer_requests_forwarded",
        "Requests of phones given to servers",
        |it| it.requests_forwarded,
    ),
    (
        "balancer_requests_sent",
        "Requests of servers sent to phones",
        |it| it.requests_sent,
    ),
    (
        "balancer_responses_sent",
        "Responses of servers sent to phones",
        |it| it.responses_sent,
    ),
    (
        "balancer_responses_forwarded",
        "Responses of phones given to servers",
        |it| it.responses_forwarded,
    ),
    (
        "balancer_requests_answered",
        "Requests answered by the balancer itself",
        |it| it.answered,
    ),
    (
        "balancer_requests_unavailable",
        "Requests answered 503",
        |it| it.unavailable,
    ),
    (
        "balancer_branches_refused",
        "Responses to nothing of ours",
        |it| it.branches_refused,
    ),
    (
        "balancer_routes_refused",
        "Requests with a forged route",
        |it| it.routes_refused,
    ),
    (
        "balancer_loops_refused",
        "Requests that had been here before",
        |it| it.loops_refused,
    ),
    (
        "balancer_assignments_known",
        "Assignments found in memory",
        |it| it.assignments_known,
    ),
    (
        "balancer_assignments_asked",
        "Assignments asked of the store",
        |it| it.assignments_asked,
    ),
    (
        "balancer_requests_held",
        "Requests that waited for an assignment",
        |it| it.held,
    ),
    (
        "balancer_requests_refused_again",
        "Copies of refused requests, refused as well",
        |it| it.refused_again,
    ),
    (
        "balancer_requests_expired",
        "Requests that waited too long",
        |it| it.waiting_expired,
    ),
    (
        "balancer_requests_handed_back",
        "Requests a server gave back",
        |it| it.handed_back,
    ),
    (
        "balancer_requests_repeated",
        "Requests sent again because their server died",
        |it| it.requests_repeated,
    ),
    (
        "balancer_requests_outdated",
        "Requests of servers under an epoch that was over",
        |it| it.requests_outdated,
    ),
    (
        "balancer_lives_ended",
        "Members that stood still and were ended",
        |it| it.lives_ended,
    ),
    (
        "balancer_clients_taken_over",
        "Clients moved from members that ended or left",
        |it| it.clients_taken_over,
    ),
    (
        "balancer_servers_gone",
        "Assignments read that name a server which does not live",
        |it| it.servers_gone,
    ),
    (
        "balancer_messages_undeliverable",
        "Messages that could not leave",
        |it| it.undeliverable,
    ),
];

pub(super) const SERVER: &[Metric<presently_presence::Counters>] = &[
    ("presence_requests_received", "Requests taken", |it| {
        it.requests_received
    }),
    ("presence_requests_refused", "Requests refused", |it| {
        it.requests_refused
    }),
    (
        "presence_requests_held",
        "Requests that waited for the store or their assignment",
        |it| it.requests_held,
    ),
    (
        "presence_requests_handed_back",
        "Requests of clients of other servers",
        |it| it.requests_handed_back,
    ),
    ("presence_requests_repeated", "Requests seen before", |it| {
        it.requests_repeated
    }),
    ("presence_commits", "Writes committed", |it| it.commits),
    ("presence_commits_refused", "Writes refused", |it| {
        it.commits_refused
    }),
    ("presence_documents_written", "Documents written", |it| {
        it.documents_written
    }),
    ("presence_documents_read", "Documents read", |it| {
        it.documents_read
    }),
    (
        "presence_tuples_dropped",
        "Tuples that did not fit a document",
        |it| it.tuples_dropped,
    ),
    ("presence_wakes_sent", "Wakes for other servers", |it| {
        it.wakes_sent
    }),
    (
        "presence_wakes_received",
        "Wakes from other servers",
        |it| it.wakes_received,
    ),
    ("presence_notifies_sent", "NOTIFYs sent", |it| {
        it.notifies_sent
    }),
    ("presence_notifies_resent", "NOTIFYs sent again", |it| {
        it.notifies_resent
    }),
    ("presence_notifies_answered", "NOTIFYs answered", |it| {
        it.notifies_answered
    }),
    ("presence_notifies_refused", "NOTIFYs refused", |it| {
        it.notifies_refused
    }),
    (
        "presence_notifies_timed_out",
        "NOTIFYs without an answer",
        |it| it.notifies_timed_out,
    ),
    ("presence_sweeps", "Sweeps of the store", |it| it.sweeps),
    (
        "presence_sweeps_found",
        "Changes that a sweep found",
        |it| it.sweeps_found,
    ),
    ("presence_activations", "Clients brought to memory", |it| {
        it.activations
    }),
    (
        "presence_subscriptions_resumed",
        "Subscriptions brought to memory",
        |it| it.subscriptions_resumed,
    ),
    (
        "presence_subscriptions_told_again",
        "Of those, such as may not have been told",
        |it| it.subscriptions_told_again,
    ),
    (
        "presence_clients_handed_over",
        "Clients handed over to other servers",
        |it| it.clients_handed_over,
    ),
    (
        "presence_answers_held",
        "Answers that waited for a beat",
        |it| it.answers_held,
    ),
    ("presence_messages_relayed", "MESSAGEs relayed", |it| {
        it.messages_relayed
    }),
];

pub(super) const OOB: &[Metric<presently_oob::Counters>] = &[
    ("oob_frames_sent", "Datagrams with wakes sent", |it| {
        it.frames_sent
    }),
    (
        "oob_controls_sent",
        "Heartbeats and repair requests sent",
        |it| it.controls_sent,
    ),
    ("oob_items_sent", "Items sent", |it| it.items_sent),
    ("oob_frames_taken", "Datagrams with wakes taken", |it| {
        it.frames_taken
    }),
    ("oob_items_taken", "Items taken", |it| it.items_taken),
    ("oob_frames_repaired", "Datagrams sent again", |it| {
        it.frames_repaired
    }),
    ("oob_repairs_asked", "Repairs asked for", |it| {
        it.repairs_asked
    }),
    ("oob_gaps", "Losses that were not repaired", |it| it.gaps),
    (
        "oob_unheard",
        "Seconds in which a living peer was not heard",
        |it| it.unheard,
    ),
    (
        "oob_items_dropped",
        "Items that had no link or no room",
        |it| it.items_dropped,
    ),
    (
        "oob_frames_refused",
        "Datagrams that were forged, broken or not for us",
        |it| it.forged + it.malformed + it.misdirected + it.unknown_sender + it.old_incarnation,
    ),
    ("oob_frames_repeated", "Datagrams heard before", |it| {
        it.repeated
    }),
];
