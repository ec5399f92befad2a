//! A network that delays, and when told so loses, repeats and reorders.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use presently_pool::MemberId;
use presently_sip::Moment;

/// Something on its way.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are addresses and bytes")]
pub enum Packet {
    /// A SIP message over the link between two members: reliable and in order.
    ToLink {
        from: MemberId,
        to: MemberId,
        bytes: Bytes,
    },
    /// An out-of-band datagram.
    ToMember {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Bytes,
    },
    /// A SIP datagram to a phone.
    ToPhone { to: SocketAddr, bytes: Bytes },
    /// A SIP datagram from a phone.
    ToPool { from: SocketAddr, bytes: Bytes },
}

/// What happens to datagrams, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Lost.
    pub loss: u32,
    /// Delivered twice.
    pub repeat: u32,
    /// Delayed long enough to be overtaken.
    pub delay: u32,
}

/// Everything on its way.
#[derive(Debug, Default)]
pub struct Network {
    /// Between phones and pool.
    pub phones: Faults,
    /// Between members, out of band.
    pub wakes: Faults,
    /// How long every message to and from phones takes; by chance when not set.
    pub phone_delay: Option<Duration>,
    /// Phones that are farther away than others, and by how much.
    pub far: BTreeMap<SocketAddr, Duration>,
    queue: BinaryHeap<Reverse<(Moment, u64)>>,
    packets: BTreeMap<u64, Packet>,
    sent: u64,
    /// The links' last delivery: nothing overtakes on them.
    link_last: Moment,
}

impl Network {
    /// Puts a packet on its way, or not.
    pub fn send(&mut self, now: Moment, packet: Packet, random: &mut fastrand::Rng) {
        let faults = match packet {
            Packet::ToLink { .. } => {
                let due = self.link_last.max(now.after(Duration::from_micros(100)));
                self.link_last = due;
                self.put(due, packet);
                return;
            }
            Packet::ToMember { .. } => self.wakes,
            Packet::ToPhone { .. } | Packet::ToPool { .. } => self.phones,
        };
        let happens =
            |thousandths: u32, random: &mut fastrand::Rng| random.u32(0..1000) < thousandths;
        if happens(faults.loss, random) {
            return;
        }
        let copies = 1 + u32::from(happens(faults.repeat, random));
        for _ in 0..copies {
            let is_late = happens(faults.delay, random);
            let longest = if is_late { 300_000 } else { 2_000 };
            let delay = Duration::from_micros(random.u64(100..longest));
            let delay = self.usual_delay(&packet).unwrap_or(delay);
            self.put(now.after(delay), packet.clone());
        }
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.queue.peek().map(|Reverse((due, _))| *due)
    }

    /// The next packet that has arrived.
    pub fn take_due(&mut self, now: Moment) -> Option<Packet> {
        let Reverse((due, _)) = self.queue.peek()?;
        if *due > now {
            return None;
        }
        let Reverse((_, number)) = self.queue.pop()?;
        self.packets.remove(&number)
    }

    /// Loses everything on its way between members.
    pub fn forget_members(&mut self) {
        let packets = &mut self.packets;
        packets
            .retain(|_, packet| matches!(packet, Packet::ToPhone { .. } | Packet::ToPool { .. }));
        self.queue
            .retain(|Reverse((_, number))| packets.contains_key(number));
    }

    /// What a packet of a phone is said to take.
    fn usual_delay(&self, packet: &Packet) -> Option<Duration> {
        let phone = match packet {
            Packet::ToPhone { to, .. } => to,
            Packet::ToPool { from, .. } => from,
            Packet::ToLink { .. } | Packet::ToMember { .. } => return None,
        };
        self.far.get(phone).copied().or(self.phone_delay)
    }

    fn put(&mut self, due: Moment, packet: Packet) {
        self.sent += 1;
        self.queue.push(Reverse((due, self.sent)));
        self.packets.insert(self.sent, packet);
    }
}
