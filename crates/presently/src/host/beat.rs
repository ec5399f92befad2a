//! Beats: how a host's members show that they live, and learn who else does.

use std::time::Duration;

use presently_pool::{Member, MemberState};
use presently_sip::Now;
use presently_store::{Completion, Operation, Outcome, Refused, Ticket};

use super::Host;
use super::turn::{HOST, tagged};

impl Host {
    /// Raises the beat of every member of this host.
    pub(super) fn beat(&mut self, now: Now) {
        self.next_beat = now.moment.after(BEAT_EVERY);
        let beats: Vec<_> = self.own().collect();
        for by in beats {
            self.counters.beats += 1;
            let operation = Operation::Beat {
                by,
                settled: None,
                now: now.wall,
            };
            self.batch.push((tagged(HOST, BEAT), operation));
        }
    }

    pub(super) fn on_beaten(&mut self, now: Now, completion: Completion) {
        match completion.result {
            Ok(Outcome::Beaten { members, .. }) => self.set_members(now, &members),
            Err(Refused::Fenced) => self.is_fenced = true,
            Ok(_) | Err(_) => {}
        }
    }

    /// Tells the machines who is in the pool.
    pub fn set_members(&mut self, now: Now, members: &[Member]) {
        if *self.members == *members {
            return;
        }
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
        }
    }
}

/// Beats share a ticket: nobody waits for one of them.
pub(super) const BEAT: Ticket = Ticket(0);
/// Four beats a second: a standstill of 1.5 s is then six missed ones.
const BEAT_EVERY: Duration = Duration::from_millis(250);
