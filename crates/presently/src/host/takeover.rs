//! Takeover as the host sees it: the balancer looks at each beat's table, new servers are told of
//! their clients, and servers read what a life that is over may have left untold.

use presently_pool::{Member, MemberId, MemberState, Role};
use presently_sip::Now;

use super::Host;

impl Host {
    /// Shows the balancer the table of members as a committed beat of its own read it.
    pub(super) fn look_for_standstill(&mut self, now: Now, by: MemberId, members: &[Member]) {
        let balancer = self.balancer.as_mut();
        if let Some(hosted) = balancer.filter(|one| one.me.member == by) {
            hosted.machine.handle_beaten(now, members, &mut hosted.out);
        }
    }

    /// Tells the new servers of clients that were taken over; everybody, when there are few.
    pub(super) fn tell_taken_over(&mut self, now: Now) {
        let Some(hosted) = &mut self.balancer else {
            return;
        };
        let moved = std::mem::take(&mut hosted.out.moved);
        let are_few = moved.len() <= TOLD_TO_ALL;
        for (client, assignment) in &moved {
            self.tell_moved(now, client, *assignment, |member| {
                are_few || member == assignment.server
            });
        }
    }

    /// A server that `members` shows in another state or life than before may have committed what
    /// it never told: the servers here read what has changed.
    pub(super) fn sweep_after(&mut self, members: &[Member]) {
        let before = self.members.iter().filter(|row| lives(row));
        let mut over = before.filter(|row| {
            let mut now = members.iter().filter(|row| lives(row));
            !now.any(|now| now.membership() == row.membership())
        });
        if over.next().is_none() {
            return;
        }
        for hosted in &mut self.servers {
            hosted.machine.sweep_changes(&mut hosted.out);
        }
    }
}

fn lives(row: &Member) -> bool {
    row.role == Role::Server && row.state == MemberState::Alive
}

/// Clients of one takeover that every member is told of; of more only their new servers are, and
/// the balancers learn by what is handed back.
const TOLD_TO_ALL: usize = 32;
