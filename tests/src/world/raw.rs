//! SIP ends that are only an address: a test gives the text they send and reads the text they get.

use std::net::SocketAddr;

use presently_sip::{Flow, Moment, Protocol};

use super::{Packet, StoreFaults, World};

/// A message that reached an address without a phone.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When it arrived.
    pub at: Moment,
    /// Where.
    pub to: SocketAddr,
    /// The message.
    pub text: String,
}

impl World {
    /// Sends `text` from `from`: as a datagram over the virtual network, or at once as one message
    /// of a connection, which a simulated network has no reason to cut.
    pub fn raw_send(&mut self, from: SocketAddr, protocol: Protocol, text: &[u8]) {
        if protocol == Protocol::Udp {
            let bytes = text.to_vec().into();
            let packet = Packet::ToPool { from, bytes };
            self.network.send(self.now, packet, &mut self.random);
            return;
        }
        self.ledger.hear_phone(text);
        let flow = Flow {
            protocol,
            slot: 1,
            generation: 1,
            ..Flow::udp(1, from)
        };
        self.deliver_stream(flow, text);
        self.step();
    }

    /// Takes the store away from every host, or brings it back.
    pub fn set_store_away(&mut self, is_away: bool) {
        let faults = StoreFaults {
            is_away,
            ..StoreFaults::default()
        };
        for place in 0..self.processes.len() {
            self.set_store_faults(place, faults);
        }
    }

    /// What is wrong with the store, as one process sees it.
    pub fn set_store_faults(&mut self, place: usize, faults: StoreFaults) {
        let process = &self.processes[place];
        process.line.set(self.now);
        process.line.set_faults(faults);
    }

    /// Takes what has reached addresses without a phone, in order of arrival.
    pub fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    /// Whether there is something to take.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    pub(super) fn hear_raw(&mut self, to: SocketAddr, bytes: &[u8]) {
        self.heard.push(Heard {
            at: self.now,
            to,
            text: String::from_utf8_lossy(bytes).into_owned(),
        });
    }
}
