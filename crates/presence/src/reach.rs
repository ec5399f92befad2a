//! By which balancer something can reach a phone: flows outlive balancers as far as the network
//! lets them.

use presently_pool::{FlowToken, MemberId};

/// The balancers that live, as far as this server knows.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// The lowest first; `None` before anybody has said: then all do.
    balancers: Option<Vec<MemberId>>,
}

impl Reach {
    /// Takes the balancers that live; says whether these are others than before.
    pub(crate) fn set(&mut self, living: &[MemberId]) -> bool {
        let mut living = living.to_vec();
        living.sort_unstable();
        let is_news = self.balancers.as_ref() != Some(&living);
        self.balancers = Some(living);
        is_news
    }

    /// The balancer by which a request leaves by `flow`; `None` when the flow is cut. Datagrams go
    /// by any balancer, because to the phone all have one name; a stream is gone with the balancer
    /// that held it.
    pub(crate) fn balancer(&self, flow: &FlowToken) -> Option<MemberId> {
        match self.any(flow.balancer) {
            Some(other) if other != flow.balancer && flow.flow.protocol.is_reliable() => None,
            living => living,
        }
    }

    /// `wanted` if it lives, else another that does.
    pub(crate) fn any(&self, wanted: MemberId) -> Option<MemberId> {
        let Some(living) = &self.balancers else {
            return Some(wanted);
        };
        let is_living = living.contains(&wanted);
        is_living
            .then_some(wanted)
            .or_else(|| living.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use presently_sip::{Flow, Protocol};

    use super::*;

    fn token(balancer: u32, protocol: Protocol) -> FlowToken {
        let remote: SocketAddr = ([192, 0, 2, 1], 5060).into();
        FlowToken {
            balancer: MemberId(balancer),
            flow: Flow {
                protocol,
                ..Flow::udp(0, remote)
            },
        }
    }

    #[test]
    fn a_dead_balancers_datagrams_go_by_the_lowest_that_lives_and_its_streams_not_at_all() {
        let mut reach = Reach::default();
        let [udp, tcp] = [Protocol::Udp, Protocol::Tcp];
        assert_eq!(reach.balancer(&token(9, tcp)), Some(MemberId(9)), "unknown");
        assert!(reach.set(&[MemberId(7), MemberId(3)]));
        assert!(!reach.set(&[MemberId(3), MemberId(7)]));
        let table = [
            (7, udp, Some(7)),
            (7, tcp, Some(7)),
            (5, udp, Some(3)),
            (5, tcp, None),
        ];
        for (balancer, protocol, expected) in table {
            let found = reach.balancer(&token(balancer, protocol));
            assert_eq!(found, expected.map(MemberId), "{balancer} {protocol}");
        }
        assert!(reach.set(&[]));
        assert_eq!(reach.balancer(&token(5, udp)), None);
    }
}
