//! Where running traces look at what passes the sockets. While there is none, a message costs one
//! look at an empty list.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use presently_sip::{Flow, Framing, Index, Moment, Now};

use crate::trace::{Ends, Passed, Tap, Way};

/// The traces of one process.
pub(super) struct Traces {
    /// Each with its end, for a reader that stands still and does not see to it.
    taps: Vec<(Moment, Tap)>,
    /// When the present turn began.
    pub(super) now: Now,
    /// Of each listener.
    locals: Vec<SocketAddr>,
    own_ports: Arc<[u16]>,
    index: Index,
}

impl Traces {
    pub(super) fn new(locals: Vec<SocketAddr>, own_ports: Arc<[u16]>) -> Self {
        Self {
            taps: Vec::new(),
            now: Now::default(),
            locals,
            own_ports,
            index: Index::default(),
        }
    }

    /// Adds a trace for `span`, unless there are as many as there may be.
    pub(super) fn add(&mut self, tap: Tap, span: Duration) -> bool {
        self.forget();
        let has_room = self.taps.len() < TRACES_MAX;
        if has_room {
            let end = self.now.moment.after(span + GRACE);
            self.taps.push((end, tap));
        }
        has_room
    }

    /// Whether anybody looks.
    pub(super) fn is_idle(&self) -> bool {
        self.taps.is_empty()
    }

    /// Shows a message of a phone to whoever wants it.
    pub(super) fn show_phone(&mut self, way: Way, flow: Flow, parts: [&[u8]; 2]) {
        let local = self.locals.get(usize::from(flow.listener)).copied();
        self.show(way, parts, || Ends {
            transport: match flow.protocol {
                presently_sip::Protocol::Tcp => "tcp",
                presently_sip::Protocol::Udp => "udp",
            },
            local: local.map_or_else(String::new, |local| local.to_string()),
            remote: flow.remote.to_string(),
        });
    }

    /// Shows a message between two members of the pool, by their names.
    pub(super) fn show_link(&mut self, way: Way, (local, remote): (&str, &str), text: &[u8]) {
        self.show(way, [text, &[]], || Ends {
            transport: "link",
            local: local.to_owned(),
            remote: remote.to_owned(),
        });
    }

    fn show(&mut self, way: Way, [head, body]: [&[u8]; 2], ends: impl Fn() -> Ends) {
        self.forget();
        // A head alone names a length that is not there: a datagram is read all the same.
        let Ok(message) = self.index.read(head, Framing::Datagram) else {
            return;
        };
        let taps = self.taps.iter().map(|(_, tap)| tap);
        for tap in taps.filter(|tap| tap.wanted.covers(&message, &self.own_ports)) {
            tap.offer(Passed {
                at: self.now.wall,
                way,
                ends: ends(),
                message: [head, body].concat(),
                missed: 0,
            });
        }
    }

    /// Drops the traces that nobody reads, or that should have ended.
    fn forget(&mut self) {
        let now = self.now.moment;
        self.taps.retain(|(end, tap)| *end > now && !tap.is_over());
    }
}

/// Each reads every message of the process.
const TRACES_MAX: usize = 4;
/// A reader that keeps up ends in time by itself, and says so.
const GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Wanted, queue};

    #[test]
    fn a_reader_that_stands_still_holds_its_place_no_longer_than_it_asked_for() {
        let mut traces = Traces::new(Vec::new(), Arc::new([]));
        let tap = || queue(Wanted::read("a@b"));
        let held: Vec<_> = (0..TRACES_MAX).map(|_| tap()).collect();
        let mut readers = Vec::new();
        for (tap, reader) in held {
            assert!(traces.add(tap, Duration::from_mins(1)));
            readers.push(reader);
        }
        assert!(!traces.add(tap().0, Duration::from_mins(1)));
        traces.now.moment = traces.now.moment.after(Duration::from_secs(66));
        assert!(traces.add(tap().0, Duration::from_mins(1)));
        assert!(!traces.is_idle());
    }
}
