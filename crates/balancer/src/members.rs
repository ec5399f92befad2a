//! What the table of members means to a balancer: which servers live, who is taken over, and where
//! clients have gone.

use presently_pool::{
    Assignment, Epoch, Incarnation, Member, MemberId, MemberState, Membership, Role,
};
use presently_sip::{Aor, Now};
use presently_store::{Completion, Refused};

use crate::Outputs;
use crate::balancer::Balancer;
use crate::decision::Named;
use crate::takeover::Progress;

/// A server that lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) membership: Membership,
    /// Whether its beat has been missed for a while.
    pub(crate) is_doubted: bool,
}

impl Balancer {
    /// Takes the table of members as it stood at the start: which servers live.
    pub fn set_members(&mut self, members: &[Member]) {
        let lives =
            |member: &&Member| member.role == Role::Server && member.state == MemberState::Alive;
        let before = std::mem::take(&mut self.servers);
        let alive = members.iter().filter(lives).map(|member| Life {
            membership: member.membership(),
            is_doubted: false,
        });
        self.servers.extend(alive);
        if before.iter().any(|life| !self.is_alive(life.membership)) {
            self.look_for_orphans();
        }
    }

    /// Takes the table of members as a committed beat of this balancer read it: which servers live,
    /// whose beat stands still, and whose clients need another server.
    pub fn handle_beaten(&mut self, now: Now, members: &[Member], out: &mut Outputs) {
        self.set_members(members);
        self.takeover.look(now.moment, members, &mut out.operations);
        for life in &mut self.servers {
            let member = life.membership.member;
            life.is_doubted = self.takeover.is_doubted(now.moment, member);
        }
    }

    /// A server said out of band that `client` has moved to `server`.
    pub fn handle_moved(&mut self, client: &Aor, server: MemberId, epoch: Epoch) {
        let incarnation = self.incarnation_of(server);
        self.cache.move_to(client, server, epoch, incarnation);
    }

    /// Takes what came of a takeover's operation; gives back a completion that is none.
    pub(crate) fn take_progress(
        &mut self,
        now: Now,
        mut completion: Completion,
        out: &mut Outputs,
    ) -> Option<Completion> {
        let progress = self.takeover.handle_completion(
            now.moment,
            completion.ticket,
            &mut completion.result,
            &mut out.operations,
        );
        match progress {
            None => return Some(completion),
            Some(Progress::Ended(life)) => {
                self.counters.lives_ended += 1;
                self.servers.retain(|held| held.membership != life);
                self.look_for_orphans();
            }
            Some(Progress::Failed(refused)) => {
                out.fenced |= refused == Refused::Fenced;
                self.counters.store_refused += 1;
            }
            Some(Progress::Moved(moved)) => self.on_taken_over(now, moved, out),
            Some(Progress::Nothing) => {}
        }
        None
    }

    /// Whether `server` lives, in whichever life.
    pub(crate) fn lives(&self, server: MemberId) -> bool {
        self.life_of(server).is_some()
    }

    /// Whether this very life goes on.
    pub(crate) fn is_alive(&self, life: Membership) -> bool {
        self.servers.iter().any(|held| held.membership == life)
    }

    /// The present life of `server`.
    pub(crate) fn life_of(&self, server: MemberId) -> Option<Life> {
        let mut servers = self.servers.iter();
        servers
            .find(|life| life.membership.member == server)
            .copied()
    }

    /// The life of `server` that an assignment learnt now belongs to; one that never was when it is
    /// not known to live.
    pub(crate) fn incarnation_of(&self, server: MemberId) -> Incarnation {
        let life = self.life_of(server);
        life.map_or_else(Incarnation::default, |life| life.membership.incarnation)
    }

    /// Clients have other servers: what waited for that goes on.
    fn on_taken_over(&mut self, now: Now, moved: Vec<(Aor, Assignment)>, out: &mut Outputs) {
        for (aor, assignment) in &moved {
            self.counters.clients_taken_over += 1;
            self.handle_moved(aor, assignment.server, assignment.epoch);
            let names = [Named::Aor(aor.clone()), Named::Row(assignment.client)];
            for name in names {
                if let Some(queue) = self.waiting.take_resting(&name) {
                    self.on_assignment(now, aor, *assignment, queue, out);
                }
            }
        }
        out.moved.extend(moved);
    }

    fn look_for_orphans(&mut self) {
        let servers = &self.servers;
        self.has_orphans = self
            .unanswered
            .has_orphans(|life| servers.iter().any(|held| held.membership == life));
    }
}
