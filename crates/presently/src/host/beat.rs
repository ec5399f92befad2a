//! Beats: how a host's members show that they live, learn who else does, and how long its servers
//! may speak.

use std::time::Duration;

use presently_pool::{Member, MemberId, MemberState};
use presently_sip::{Moment, Now};
use presently_store::{Completion, Operation, Outcome, Refused, Ticket};

use super::Host;
use super::turn::{HOST, tagged};

/// A beat on its way to the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    member: MemberId,
    sent: Moment,
}

impl Host {
    /// Raises the beat of every member of this host that has none on its way.
    pub(super) fn beat(&mut self, now: Now) {
        self.next_beat = now.moment.after(BEAT_EVERY);
        let own: Vec<_> = self.own().collect();
        for by in own {
            if self.beats.values().any(|beat| beat.member == by.member) {
                continue;
            }
            self.counters.beats += 1;
            self.beats_asked += 1;
            let beat = Beat {
                member: by.member,
                sent: now.moment,
            };
            self.beats.insert(self.beats_asked, beat);
            let server = self.servers.iter().find(|one| one.me == by);
            let operation = Operation::Beat {
                by,
                settled: server.and_then(|one| one.machine.settled()),
                now: now.wall,
            };
            let ticket = tagged(HOST, Ticket(self.beats_asked));
            self.batch.push((ticket, operation));
        }
    }

    pub(super) fn on_beaten(&mut self, now: Now, completion: Completion) {
        let Some(beat) = self.beats.remove(&completion.ticket.0) else {
            return;
        };
        if now.moment.since(beat.sent) >= BEAT_EVERY {
            // The next is due already.
            self.next_beat = now.moment;
        }
        match completion.result {
            Ok(Outcome::Beaten { members, .. }) => {
                self.speak(now, beat);
                self.set_members(now, &members);
                self.tell_balancers(now, &members);
                self.look_for_standstill(now, beat.member, &members);
            }
            Err(Refused::Fenced) => self.is_fenced = true,
            Ok(_) | Err(_) => {}
        }
    }

    /// A member that has just joined speaks as if a beat had committed that was sent at `sent`.
    pub fn set_joined(&mut self, now: Now, sent: Moment) {
        let own: Vec<_> = self.own().map(|by| by.member).collect();
        for member in own {
            self.speak(now, Beat { member, sent });
        }
    }

    /// A server whose beat has committed may speak for a while from when it was sent: whoever takes
    /// it over waits longer than that.
    fn speak(&mut self, now: Now, beat: Beat) {
        let server = self.servers.iter_mut();
        let server = server.filter(|one| one.me.member == beat.member);
        for hosted in server {
            let until = beat.sent.after(SPEAKS_FOR);
            hosted.machine.speak_until(now, until, &mut hosted.out);
        }
    }

    /// Tells the machines who is in the pool.
    pub fn set_members(&mut self, now: Now, members: &[Member]) {
        if *self.members == *members {
            return;
        }
        self.sweep_after(members);
        self.members = members.into();
        let alive = members
            .iter()
            .filter(|member| member.state == MemberState::Alive);
        let peers: Vec<_> = alive
            .filter_map(|member| Some((member.membership(), member.oob?)))
            .collect();
        if let Some(hosted) = &mut self.balancer {
            hosted.machine.set_members(members);
            hosted.links.machine.set_peers(now.moment, &peers);
        }
        for hosted in &mut self.servers {
            hosted.links.machine.set_peers(now.moment, &peers);
            let clients = u64::try_from(hosted.machine.clients()).unwrap_or_default();
            hosted.links.machine.set_clients(clients);
            let row = members.iter().find(|row| row.membership() == hosted.me);
            let is_draining = row.is_some_and(|row| row.is_draining);
            if hosted.is_draining != is_draining {
                hosted.is_draining = is_draining;
                hosted.machine.set_draining(now.moment, is_draining);
            }
        }
    }
}

/// Four beats a second: a standstill of 1.5 s is then six missed ones.
const BEAT_EVERY: Duration = Duration::from_millis(250);
/// How long a server may speak from the sending of its last committed beat: 250 ms less than a
/// balancer waits before it ends its life.
const SPEAKS_FOR: Duration = Duration::from_millis(1_250);
