//! How long each stage takes, as histograms.

use std::fmt;

use presently_sip::Spans;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{ServerSnapshot, Snapshot};

/// One histogram of each server: its name, what it times, and where it stands.
type Stage = (&'static str, &'static str, fn(&ServerSnapshot) -> &Spans);

const SERVER: [Stage; 2] = [
    (
        "presence_answer_seconds",
        "From the arrival of a request at its server to its final answer",
        |server| &server.counters.answer_spans,
    ),
    (
        "presence_notify_seconds",
        "From the first sending of a NOTIFY to its 2xx",
        |server| &server.counters.notify_spans,
    ),
];

/// Writes the histograms of the loop and of its servers.
pub(super) fn write(encoder: &mut DescriptorEncoder<'_>, now: &Snapshot) -> fmt::Result {
    let (name, help) = (
        "host_store_seconds",
        "From an operation given to the store to its completion, one at a time",
    );
    let one = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    write_one(one, &now.host.store_spans)?;
    for (name, help, read) in SERVER {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for server in &now.servers {
            let label = [("server", &*server.name)];
            write_one(family.encode_family(&label)?, read(server))?;
        }
    }
    Ok(())
}

fn write_one(mut encoder: MetricEncoder<'_>, spans: &Spans) -> fmt::Result {
    let buckets: Vec<(f64, u64)> = spans.buckets().collect();
    encoder.encode_histogram::<NoLabelSet>(spans.sum().as_secs_f64(), spans.count(), &buckets, None)
}
