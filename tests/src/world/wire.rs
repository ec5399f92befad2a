//! What leaves a process: onto the network, and into the ledger.

use std::net::SocketAddr;

use presently::host::Outside;
use presently_pool::{MemberId, Membership};
use presently_sip::{Flow, Moment};

use super::clock::Clock;
use super::process::Seat;
use super::{Ledger, Network, Packet};

/// What a host sends goes onto the network and into the ledger.
pub(super) struct Wire<'a> {
    /// The world's time.
    pub(super) at: Moment,
    pub(super) clock: Clock,
    pub(super) seats: &'a [Seat],
    pub(super) lives: &'a [Membership],
    pub(super) network: &'a mut Network,
    pub(super) ledger: &'a mut Ledger,
    pub(super) random: &'a mut fastrand::Rng,
    /// So many messages leave before the process ends; all when `None`.
    pub(super) messages: Option<u32>,
}

impl Wire<'_> {
    /// Whether one more message leaves.
    fn leaves(&mut self) -> bool {
        match &mut self.messages {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    fn life(&self, member: MemberId) -> Option<Membership> {
        let mut lives = self.lives.iter();
        lives.find(|life| life.member == member).copied()
    }
}

impl Outside for Wire<'_> {
    fn now(&mut self) -> Moment {
        self.clock.now(self.at).moment
    }

    fn to_phone(&mut self, flow: Flow, head: &[u8], body: &[u8]) {
        if !self.leaves() {
            return;
        }
        let bytes = [head, body].concat();
        self.ledger.sent_to_phone(self.at, self.lives, &bytes);
        let packet = Packet::ToPhone {
            to: flow.remote,
            bytes: bytes.into(),
        };
        self.network.send(self.at, packet, self.random);
    }

    fn to_link(&mut self, from: MemberId, to: MemberId, text: &[u8]) {
        if !self.leaves() {
            return;
        }
        if let Some(life) = self.life(from) {
            self.ledger.sent_over_link(self.at, life, to, text);
        }
        let bytes = text.to_vec().into();
        let packet = Packet::ToLink { from, to, bytes };
        self.network.send(self.at, packet, self.random);
    }

    fn to_member(&mut self, from: MemberId, to: SocketAddr, datagram: &[u8]) {
        if !self.leaves() {
            return;
        }
        self.ledger.sent_out_of_band(self.at, datagram);
        let mut seats = self.seats.iter().zip(self.lives);
        let Some((seat, _)) = seats.find(|(_, life)| life.member == from) else {
            return;
        };
        let packet = Packet::ToMember {
            from: seat.oob,
            to,
            bytes: datagram.to_vec().into(),
        };
        self.network.send(self.at, packet, self.random);
    }
}
