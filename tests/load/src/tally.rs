//! What a phase has counted and timed.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counts of one phase.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tally {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Operations that ended before the load did: what a rate is made of.
    #[serde(skip)]
    pub(crate) ended_in_load: u64,
    #[serde(skip)]
    pub(crate) notifies_in_load: u64,
    /// Final answers by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Requests sent again for want of an answer.
    pub(crate) repeated: u64,
    /// Requests without a final answer in time.
    pub(crate) unanswered: u64,
    /// Answered, but a NOTIFY did not come in time.
    pub(crate) unnotified: u64,
    pub(crate) republished: u64,
    pub(crate) notifies: u64,
    /// A CSeq seen before: a repeat, or another version under the same number.
    pub(crate) notifies_repeated: u64,
    pub(crate) cseqs_reused: u64,
    pub(crate) notifies_late: u64,
    /// A higher CSeq with an older version.
    pub(crate) notifies_stale: u64,
    pub(crate) notifies_unknown: u64,
    /// They end a subscription.
    pub(crate) notifies_terminated: u64,
    #[serde(skip)]
    pub(crate) response_us: Vec<u32>,
    #[serde(skip)]
    pub(crate) notify_us: Vec<u32>,
}

/// Where times lie, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: u32,
    pub(crate) p99: u32,
    pub(crate) most: u32,
}

impl Quantiles {
    /// Of some times; zeros when there are none.
    pub(crate) fn of(times: &mut [u32]) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let place = (times.len() as f64 * share) as usize;
            times.get(place).or(times.last()).copied().unwrap_or(0)
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
            most: at(1.0),
        }
    }
}
