//! What a server counts; the program exports it.

use std::time::Duration;

use presently_sip::Spans;

/// Plain totals since the server was made.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "each field is the noun it counts")]
pub struct Counters {
    pub requests_received: u64,
    pub requests_refused: u64,
    pub requests_held: u64,
    pub requests_handed_back: u64,
    pub requests_repeated: u64,
    pub requests_unreadable: u64,
    pub responses_unmatched: u64,
    pub commits: u64,
    pub commits_refused: u64,
    pub documents_written: u64,
    pub documents_read: u64,
    pub tuples_dropped: u64,
    pub wakes_sent: u64,
    pub wakes_received: u64,
    pub notifies_sent: u64,
    pub notifies_resent: u64,
    pub notifies_answered: u64,
    pub notifies_refused: u64,
    pub notifies_timed_out: u64,
    pub notifies_dropped: u64,
    pub flows_gone: u64,
    pub subscriptions_cut: u64,
    pub subscriptions_renewed: u64,
    pub bindings_in_grace: u64,
    pub bindings_unanswered: u64,
    pub bindings_shown_again: u64,
    pub phones_asked: u64,
    pub sweeps: u64,
    pub sweeps_found: u64,
    pub activations: u64,
    pub subscriptions_resumed: u64,
    pub subscriptions_told_again: u64,
    pub clients_handed_over: u64,
    pub answers_held: u64,
    pub messages_relayed: u64,
    /// From the arrival of a request to its final answer.
    pub answer_spans: Spans,
    /// From the first sending of a NOTIFY to its 2xx.
    pub notify_spans: Spans,
}

impl Counters {
    /// A NOTIFY that was first sent `span` ago got its final answer.
    pub(crate) fn notify_ended(&mut self, status: u16, span: Duration) {
        match status {
            200..=299 => {
                self.notifies_answered += 1;
                self.notify_spans.add(span);
            }
            _ => self.notifies_refused += 1,
        }
    }
}
