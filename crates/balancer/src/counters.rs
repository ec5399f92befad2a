//! What a balancer has counted since it began.

/// Plain counts, each only growing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Requests of phones that went to a server.
    pub requests_forwarded: u64,
    /// Requests of servers that went to a phone.
    pub requests_sent: u64,
    /// Responses of servers that went to a phone.
    pub responses_sent: u64,
    /// Responses of phones that went to a server.
    pub responses_forwarded: u64,
    /// Requests the balancer answered itself, errors included.
    pub answered: u64,
    /// Of those, the ones answered 503.
    pub unavailable: u64,
    /// ACKs, which nobody answers (RFC 3261 §17).
    pub acks_dropped: u64,
    /// Responses whose top Via was not one of ours, or not for that response.
    pub branches_refused: u64,
    /// Route headers with a forged token, or one that names another host.
    pub routes_refused: u64,
    /// Requests that had been here before (RFC 3261 §16.3).
    pub loops_refused: u64,
    /// Assignments found in memory.
    pub assignments_known: u64,
    /// Assignments the store was asked for.
    pub assignments_asked: u64,
    /// Assignments that went because the table was full.
    pub assignments_forgotten: u64,
    /// Requests that had to wait for an assignment.
    pub held: u64,
    /// Repeats of a waiting request, absorbed.
    pub repeats_absorbed: u64,
    /// Copies of what was refused, refused as well: whoever refused it could not say so again.
    pub refused_again: u64,
    /// Requests refused because too many wait.
    pub waiting_refused: u64,
    /// Requests that waited as long as they may.
    pub waiting_expired: u64,
    /// Times the store could not say, and was to be asked again.
    pub store_refused: u64,
    /// Completions nobody waits for any more.
    pub completions_dropped: u64,
    /// Requests a server gave back because it is not the client's.
    pub handed_back: u64,
    /// Lives of members that stood still and were ended by this balancer.
    pub lives_ended: u64,
    /// Clients this balancer moved from servers that had ended or left.
    pub clients_taken_over: u64,
    /// Requests of a server for a phone under an epoch that was over.
    pub requests_outdated: u64,
    /// Requests that were sent again because their server died.
    pub requests_repeated: u64,
    /// Requests that could not be remembered until their answer.
    pub unanswered_forgotten: u64,
    /// Clients that lost a stream.
    pub flows_lost: u64,
    /// Clients of streams that could not be noted: their servers are not told when it goes.
    pub flows_unnoted: u64,
    /// Losses of streams that no server could be told of, for want of room.
    pub flows_forgotten: u64,
    /// Requests of servers sent in the place of a balancer that does not live.
    pub requests_sent_for_others: u64,
    /// Assignments read that name a server which does not live by the last beat.
    pub servers_gone: u64,
    /// Messages of servers that could not leave: another balancer's flow, no flow and no address,
    /// or not what a server sends.
    pub undeliverable: u64,
}
