//! Clients that move to another server, and telling every member of it.

use presently_pool::{Assignment, MemberId, MemberState};
use presently_sip::{Aor, Now};

use super::Host;

impl Host {
    /// Hands `client` over from a server of this host to `to`, or to the emptiest other one. What
    /// holds afterwards is told to every member out of band. `false` when the client is at no
    /// server here.
    pub fn hand_over(&mut self, now: Now, client: &Aor, to: Option<MemberId>) -> bool {
        let mut servers = self.servers.iter_mut();
        servers.any(|hosted| {
            let out = &mut hosted.out;
            hosted.machine.hand_over(now, client, to, out)
        })
    }

    /// Tells of the clients that this host's servers have handed over.
    pub(super) fn tell_handed_over(&mut self, now: Now) {
        for place in 0..self.servers.len() {
            let Some(hosted) = self.servers.get_mut(place) else {
                continue;
            };
            let mut moved = std::mem::take(&mut hosted.out.moved);
            for (client, assignment) in moved.drain(..) {
                self.tell_moved(now, &client, assignment, |_| true);
            }
            if let Some(hosted) = self.servers.get_mut(place) {
                hosted.out.moved = moved;
            }
        }
    }

    /// Tells the living members that `is_told` names that a client has another server.
    pub(super) fn tell_moved(
        &mut self,
        now: Now,
        client: &Aor,
        assignment: Assignment,
        is_told: impl Fn(MemberId) -> bool,
    ) {
        let Assignment { server, epoch, .. } = assignment;
        if let Some(hosted) = &mut self.balancer {
            hosted.machine.handle_moved(client, server, epoch);
        }
        let balancer = self.balancer.iter_mut();
        let balancer = balancer.map(|hosted| (hosted.me.member, &mut hosted.links));
        let servers = self.servers.iter_mut();
        let servers = servers.map(|hosted| (hosted.me.member, &mut hosted.links));
        let Some((me, links)) = balancer.chain(servers).next() else {
            return;
        };
        let alive = self
            .members
            .iter()
            .filter(|one| one.state == MemberState::Alive && is_told(one.id));
        for member in alive {
            links.machine.moved(member.id, client, server, epoch);
        }
        // No link leads to oneself.
        let mut servers = self.servers.iter_mut();
        if let Some(hosted) = servers.find(|hosted| hosted.me.member == me) {
            let to = (server, epoch);
            hosted
                .machine
                .handle_moved(now, client, to, &mut hosted.out);
        }
    }
}
