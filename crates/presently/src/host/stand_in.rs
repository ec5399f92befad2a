//! Who sends for a balancer that is gone.

use presently_pool::{FlowToken, Kind, Member, MemberId, MemberState, Role};
use presently_presence::ToBalancer;
use presently_sip::Protocol;

use super::Host;

impl Host {
    /// By which balancer and flow `message` leaves. A request over UDP leaves by any living
    /// balancer when its own has ended or left, for the phone's address is in the flow's token: a
    /// phone that reaches them under one address knows no difference. A stream died with its
    /// balancer, and an answer belongs to the one that asked.
    pub(super) fn leaves_by(&self, message: &ToBalancer) -> (MemberId, Option<FlowToken>) {
        let meant = (message.balancer, message.flow);
        let is_datagram = |flow: FlowToken| flow.flow.protocol == Protocol::Udp;
        if message.kind != Kind::Forward || !message.flow.is_none_or(is_datagram) {
            return meant;
        }
        let mut living = self.members.iter().filter(|row| is_living_balancer(row));
        if living.clone().any(|row| row.id == message.balancer) {
            return meant;
        }
        let Some(row) = living.next() else {
            return meant;
        };
        let balancer = row.id;
        (
            balancer,
            message.flow.map(|flow| FlowToken { balancer, ..flow }),
        )
    }
}

fn is_living_balancer(row: &Member) -> bool {
    row.role == Role::Balancer && row.state == MemberState::Alive
}
