//! Moving a client to another server, and telling every member of it.

use presently_pool::{Assignment, Epoch, MemberId, MemberState};
use presently_sip::Aor;
use presently_store::{Completion, Operation, Outcome, Ticket};

use super::Host;
use super::turn::{HOST, tagged};

impl Host {
    /// Moves `client` to `to` if it still has `from` under `epoch`. What holds afterwards is told
    /// to every member out of band, so that the old server lets go and the new one takes up at
    /// once.
    pub fn reassign(&mut self, client: Aor, (from, epoch): (MemberId, Epoch), to: MemberId) {
        self.moves_asked += 1;
        self.moves.insert(self.moves_asked, client.clone());
        let operation = Operation::Reassign {
            client,
            from,
            epoch,
            to: Some(to),
        };
        let ticket = tagged(HOST, Ticket(self.moves_asked));
        self.batch.push((ticket, operation));
    }

    pub(super) fn on_reassigned(&mut self, completion: Completion) {
        let client = self.moves.remove(&completion.ticket.0);
        let (Some(client), Ok(Outcome::Assigned(Some(assignment)))) = (client, completion.result)
        else {
            return;
        };
        self.tell_moved(&client, assignment);
    }

    fn tell_moved(&mut self, client: &Aor, assignment: Assignment) {
        let Assignment { server, epoch, .. } = assignment;
        if let Some(hosted) = &mut self.balancer {
            hosted.machine.handle_moved(client, server, epoch);
        }
        let links = self.balancer.iter_mut().map(|hosted| &mut hosted.links);
        let links = links.chain(self.servers.iter_mut().map(|hosted| &mut hosted.links));
        let Some(links) = links.into_iter().next() else {
            return;
        };
        let alive = self
            .members
            .iter()
            .filter(|one| one.state == MemberState::Alive);
        for member in alive {
            links.machine.moved(member.id, client, server, epoch);
        }
    }
}
