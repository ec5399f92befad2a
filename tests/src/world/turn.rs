//! What arrives at a process, and its turns.

use std::net::SocketAddr;
use std::task::{Context, Waker};

use presently_pool::Role;
use presently_sip::{Flow, Framing, Now};

use super::process::{Doom, State};
use super::wire::Wire;
use super::{Packet, World};

impl World {
    pub(super) fn deliver(&mut self, packet: Packet) {
        let place = match &packet {
            Packet::ToPhone { to, bytes } => {
                let (to, bytes) = (*to, bytes.clone());
                return self.deliver_to_phone(to, &bytes);
            }
            Packet::ToPool { from, .. } => self.front(*from),
            Packet::ToMember { to, .. } => self.network.doors.get(to).copied(),
            Packet::ToLink { to, .. } => self.network.homes.get(to).copied(),
        };
        // Nobody is there: it is lost.
        let Some(place) = place else { return };
        let process = &mut self.processes[place];
        let now = process.clock.now(self.now);
        match &mut process.state {
            State::Ended | State::Joining(_) => {}
            // As a socket's buffer: what comes when it is full is lost.
            State::Paused(paused) => {
                if paused.inbox.len() < INBOX_MAX {
                    paused.inbox.push(packet);
                }
            }
            State::Running(host) => {
                process.is_touched = true;
                match packet {
                    Packet::ToPool { from, bytes } => {
                        self.ledger.hear_phone(&bytes);
                        let flow = Flow::udp(0, from);
                        host.handle_phone(now, flow, &bytes, Framing::Datagram);
                    }
                    Packet::ToMember { from, to, bytes } => {
                        let mut seats = process.seats.iter().zip(&process.lives);
                        if let Some((_, life)) = seats.find(|(seat, _)| seat.oob == to) {
                            host.handle_datagram(now, life.member, from, &bytes);
                        }
                    }
                    Packet::ToLink { from, to, bytes } => host.handle_link(now, from, to, &bytes),
                    Packet::ToPhone { .. } => {}
                }
            }
        }
    }

    /// Takes a message that a phone sends over a connection to its balancer.
    pub(super) fn deliver_stream(&mut self, flow: Flow, text: &[u8]) {
        let Some(place) = self.front(flow.remote) else {
            return;
        };
        let process = &mut self.processes[place];
        let now = process.clock.now(self.now);
        process.is_touched = true;
        if let Some(host) = process.host_mut() {
            host.handle_phone(now, flow, text, Framing::Stream);
        }
    }

    /// What of a process is due.
    pub(super) fn step_process(&mut self, place: usize) {
        let now = self.now;
        let process = &mut self.processes[place];
        if process.next_due().is_none_or(|due| due > now) {
            return;
        }
        match &mut process.state {
            State::Ended | State::Paused(_) => {}
            State::Joining(_) => self.look(place),
            State::Running(host) => {
                let local = process.clock.now(now);
                process.line.set(now);
                if host.poll_timeout() <= local.moment {
                    host.handle_timeout(local);
                }
                let is_told = process.line.next_due().is_some_and(|due| due <= now);
                let has_work = process.is_touched || is_told;
                match process.doom.filter(|_| has_work) {
                    Some(Doom::StandsStill) => self.stop(place, Some(local)),
                    Some(Doom::Ends(messages)) => {
                        self.turn(place, local, Some(messages));
                        self.kill(place);
                    }
                    None => {
                        self.turn(place, local, None);
                        self.after_turn(place);
                    }
                }
            }
        }
    }

    /// One turn of a process that believes it is `believed`; of what it sends only `messages`
    /// leave.
    pub(super) fn turn(&mut self, place: usize, believed: Now, messages: Option<u32>) {
        let Self {
            processes,
            network,
            ledger,
            random,
            now,
            ..
        } = self;
        let process = &mut processes[place];
        process.line.set(*now);
        process.is_touched = false;
        process.waker.take();
        let waker = Waker::from(process.waker.clone());
        let State::Running(host) = &mut process.state else {
            return;
        };
        let mut wire = Wire {
            at: *now,
            clock: process.clock,
            seats: &process.seats,
            lives: &process.lives,
            network,
            ledger,
            random,
            messages,
        };
        host.turn(believed, &mut Context::from_waker(&waker), &mut wire);
    }

    fn after_turn(&mut self, place: usize) {
        let process = &self.processes[place];
        if process.host().is_some_and(|host| host.is_fenced()) {
            self.join_anew(place);
        } else {
            self.end_leaving(place);
        }
    }

    fn deliver_to_phone(&mut self, to: SocketAddr, bytes: &[u8]) {
        let now = self.now();
        if self.nlb.as_ref().is_some_and(|nlb| nlb.address == to) {
            return self.deliver_to_nlb(bytes);
        }
        match self.phones.iter().position(|phone| phone.address == to) {
            Some(place) => {
                self.phones[place].handle_message(now, bytes);
                self.collect(place);
            }
            None => self.hear_raw(to, bytes),
        }
    }

    /// The process whose balancer takes what comes from a phone: all share one address, and one of
    /// those that are there has it for this phone.
    fn front(&self, phone: SocketAddr) -> Option<usize> {
        let count = self.processes.len();
        let is_balancer = |place: &usize| {
            let mut seats = self.processes[*place].seats.iter();
            seats.any(|seat| seat.role == Role::Balancer)
        };
        let balancers: Vec<usize> = (0..count).filter(is_balancer).collect();
        let first = match phone.ip() {
            std::net::IpAddr::V4(ip) => usize::from(ip.octets()[3]),
            std::net::IpAddr::V6(_) => 0,
        };
        let turned = (0..balancers.len()).map(|step| balancers[(first + step) % balancers.len()]);
        let mut there = turned.filter(|place| self.processes[*place].takes_phones(self.now));
        there.next()
    }
}

/// What a process that stands still finds in its sockets' buffers at the most.
const INBOX_MAX: usize = 256;
