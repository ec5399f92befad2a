//! What a host leaves to the one that follows it in the same process, on the same sockets.

use presently_balancer::Balancer;
use presently_sip::{Moment, Now};
use presently_store::Store;

use super::Host;

/// What was learnt from the sockets, which go on: phones keep their streams, and what has lain in a
/// buffer since the last turn is as old as that.
pub struct Legacy {
    balancer: Option<Box<Balancer>>,
    last_turn: Moment,
    past_until: Moment,
}

impl Host {
    /// Ends the host; the store is the caller's again.
    #[must_use]
    pub fn end(mut self, now: Now) -> (Box<dyn Store>, Legacy) {
        self.tell_flows_gone();
        if let Some(hosted) = &mut self.balancer {
            // Nobody acknowledges anything to a life that is over.
            hosted.links.machine.set_peers(now.moment, &[]);
            hosted
                .links
                .machine
                .flush(now.moment, &mut hosted.links.out);
        }
        self.hear(now);
        let legacy = Legacy {
            balancer: self.balancer.map(|hosted| Box::new(hosted.machine)),
            last_turn: self.last_turn,
            past_until: self.past_until,
        };
        (self.store, legacy)
    }

    /// Takes what the host before this one has left.
    pub fn inherit(&mut self, now: Now, legacy: Legacy) {
        (self.last_turn, self.past_until) = (legacy.last_turn, legacy.past_until);
        if let Some((hosted, former)) = self.balancer.as_mut().zip(legacy.balancer) {
            hosted.machine.succeed(now, *former, &mut hosted.out);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use presently_sip::{Flow, Framing};
    use presently_store::{Completion, Operation, Ticket};

    use super::*;

    /// It is never asked.
    struct NoStore;

    impl Store for NoStore {
        fn submit(&mut self, _: &mut Vec<(Ticket, Operation)>) {}

        fn poll(&mut self, _: &mut Context<'_>, _: &mut Vec<Completion>) -> Poll<()> {
            Poll::Pending
        }
    }

    fn at(millis: u64) -> Now {
        Now {
            moment: Moment(millis * 1_000),
            ..Now::default()
        }
    }

    #[test]
    fn a_datagram_from_before_a_long_rejoin_is_past() {
        let phone = Flow::udp(0, ([127, 0, 0, 1], 5_060).into());
        for (joined, expected) in [(11_249, 0), (11_250, 1)] {
            let (store, legacy) = Host::new(at(10_000), Box::new(NoStore)).end(at(10_100));
            let mut host = Host::new(at(joined), store);
            host.inherit(at(joined), legacy);
            host.handle_phone(at(joined), phone, b"", Framing::Datagram);
            assert_eq!(host.counters().datagrams_past, expected, "{joined}");
        }
    }
}
