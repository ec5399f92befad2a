//! A network that delays, and when told so loses, repeats and reorders.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
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
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// Lost.
    pub loss: u32,
    /// Delivered twice.
    pub repeat: u32,
    /// Delayed long enough to be overtaken.
    pub delay: u32,
    /// Delivered so late that it is of another time: up to 10 s.
    pub late: u32,
    /// Followed by a copy that somebody has changed.
    pub forged: u32,
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
    /// Phones that nothing reaches and that reach nobody.
    pub lost_phones: BTreeSet<SocketAddr>,
    /// Processes that no out-of-band datagram reaches; all else passes.
    pub deaf: BTreeSet<usize>,
    /// Which process a member lives in, and an out-of-band address belongs to.
    pub(super) homes: BTreeMap<MemberId, usize>,
    pub(super) doors: BTreeMap<SocketAddr, usize>,
    /// From which process to which no packet passes.
    cuts: BTreeSet<(usize, usize)>,
    /// What waits on connections that a cut holds up.
    stalled: Vec<(Moment, Packet)>,
    queue: BinaryHeap<Reverse<(Moment, u64)>>,
    packets: BTreeMap<u64, Packet>,
    sent: u64,
    /// The links' last delivery: nothing overtakes on them.
    link_last: Moment,
}

impl Network {
    /// Puts a packet on its way, or not.
    pub fn send(&mut self, now: Moment, packet: Packet, random: &mut fastrand::Rng) {
        let faults = match &packet {
            Packet::ToLink { from, to, .. } => {
                if self.is_stalled(*from, *to) {
                    self.stalled.push((now, packet));
                } else {
                    self.put_on_link(now, packet);
                }
                return;
            }
            Packet::ToMember { from, to, .. } => {
                let ends = (self.doors.get(from), self.doors.get(to));
                if let (Some(from), Some(to)) = ends
                    && (self.cuts.contains(&(*from, *to)) || self.deaf.contains(to))
                {
                    return;
                }
                self.wakes
            }
            Packet::ToPhone { to: phone, .. } | Packet::ToPool { from: phone, .. } => {
                if self.lost_phones.contains(phone) {
                    return;
                }
                self.phones
            }
        };
        let happens =
            |thousandths: u32, random: &mut fastrand::Rng| random.u32(0..1000) < thousandths;
        if happens(faults.forged, random) {
            let forged = packet.changed(random);
            self.put(now.after(Duration::from_millis(1)), forged);
        }
        if happens(faults.loss, random) {
            return;
        }
        let copies = 1 + u32::from(happens(faults.repeat, random));
        for _ in 0..copies {
            let is_late = happens(faults.delay, random);
            let longest = if happens(faults.late, random) {
                10_000_000
            } else if is_late {
                300_000
            } else {
                2_000
            };
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

    /// Nothing passes from one process to another any more, or again. A connection needs both
    /// ways: it holds what is sent, and is reset when that took too long.
    pub fn cut(&mut self, now: Moment, (from, to): (usize, usize), is_cut: bool) {
        if is_cut {
            self.cuts.insert((from, to));
            return;
        }
        self.cuts.remove(&(from, to));
        let stalled = std::mem::take(&mut self.stalled);
        let began = |a: &Packet| a.ends();
        let mut reset = BTreeSet::new();
        for (at, packet) in &stalled {
            if now.since(*at) > RESET_AFTER {
                reset.extend(began(packet));
            }
        }
        for (at, packet) in stalled {
            let Some((from, to)) = packet.ends() else {
                continue;
            };
            if self.is_stalled(from, to) {
                self.stalled.push((at, packet));
            } else if !reset.contains(&(from, to)) {
                self.put_on_link(now, packet);
            }
        }
    }

    /// Loses what is on its way to a process that has ended.
    pub(super) fn forget_process(&mut self, place: usize) {
        let (homes, packets) = (&self.homes, &mut self.packets);
        let is_to = |packet: &Packet| {
            let to = packet.ends().and_then(|(_, to)| homes.get(&to));
            to == Some(&place)
        };
        packets.retain(|_, packet| !is_to(packet));
        self.stalled.retain(|(_, packet)| !is_to(packet));
        self.queue
            .retain(|Reverse((_, number))| packets.contains_key(number));
    }

    fn is_stalled(&self, from: MemberId, to: MemberId) -> bool {
        let (Some(from), Some(to)) = (self.homes.get(&from), self.homes.get(&to)) else {
            return false;
        };
        self.cuts.contains(&(*from, *to)) || self.cuts.contains(&(*to, *from))
    }

    fn put_on_link(&mut self, now: Moment, packet: Packet) {
        let due = self.link_last.max(now.after(Duration::from_micros(100)));
        self.link_last = due;
        self.put(due, packet);
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

impl Packet {
    /// The ends of a link's packet.
    fn ends(&self) -> Option<(MemberId, MemberId)> {
        match self {
            Self::ToLink { from, to, .. } => Some((*from, *to)),
            _ => None,
        }
    }

    /// A copy with one bit turned over, as nobody without the key can make a better one.
    fn changed(&self, random: &mut fastrand::Rng) -> Self {
        let mut copy = self.clone();
        let (Self::ToLink { bytes, .. }
        | Self::ToMember { bytes, .. }
        | Self::ToPhone { bytes, .. }
        | Self::ToPool { bytes, .. }) = &mut copy;
        let mut changed = bytes.to_vec();
        if let Some(byte) = random.choice(changed.iter_mut()) {
            *byte ^= 1 << random.u32(0..8);
        }
        *bytes = changed.into();
        copy
    }
}

/// A connection that nothing came through for so long is given up.
const RESET_AFTER: Duration = Duration::from_secs(10);
