//! Flows that are lost, between the balancer that sees it and the servers that are told; and which
//! balancers a server may count on.

use std::collections::BTreeMap;
use std::time::Duration;

use presently_pool::{Incarnation, Member, MemberId, MemberState, Role};
use presently_sip::{Flow, Moment, Now};

use super::Host;

/// The balancers whose beats move.
#[derive(Debug, Default)]
pub(super) struct Balancers {
    seen: BTreeMap<MemberId, Seen>,
    /// Own beats that were committed; those of one burst count once.
    own_beats: u64,
    counted_at: Option<Moment>,
}

/// A balancer as its beat stands.
#[derive(Clone, Copy, Debug)]
struct Seen {
    stands: (Incarnation, u64),
    since: Moment,
    own_beats: u64,
}

impl Balancers {
    /// Takes the table of members as a committed beat read it; the balancers that live, by a rule
    /// as slow to judge as the one that ends lives: it needs nobody who ends them.
    fn look(&mut self, now: Moment, members: &[Member]) -> Vec<MemberId> {
        let is_burst = |last: Moment| now.since(last) < BURST;
        if !self.counted_at.is_some_and(is_burst) {
            self.own_beats += 1;
            self.counted_at = Some(now);
        }
        let rows = members
            .iter()
            .filter(|row| row.role == Role::Balancer && row.state == MemberState::Alive);
        let mut living = Vec::new();
        let mut seen = BTreeMap::new();
        for row in rows {
            let stands = (row.incarnation, row.beat);
            let before = self.seen.get(&row.id).copied();
            let one = before.filter(|one| one.stands == stands).unwrap_or(Seen {
                stands,
                since: now,
                own_beats: self.own_beats,
            });
            let beats = self.own_beats - one.own_beats;
            if now.since(one.since) < STANDSTILL || beats < OWN_BEATS {
                living.push(row.id);
            }
            seen.insert(row.id, one);
        }
        self.seen = seen;
        living
    }
}

impl Host {
    /// A connection is gone, or something was sent by a flow that names none.
    pub fn handle_closed(&mut self, now: Now, flow: Flow) {
        if let Some(hosted) = &mut self.balancer {
            hosted.machine.handle_closed(now, flow, &mut hosted.out);
        }
    }

    /// Tells the servers which balancers live.
    pub(super) fn tell_balancers(&mut self, now: Now, members: &[Member]) {
        let living = self.balancers.look(now.moment, members);
        for hosted in &mut self.servers {
            let out = &mut hosted.out;
            hosted.machine.set_balancers(now, &living, out);
        }
    }

    /// Says out of band which flows the balancer has lost. Servers of this host hear it as others
    /// do.
    pub(super) fn tell_flows_gone(&mut self) {
        if let Some(hosted) = &mut self.balancer {
            for (server, client, flow) in hosted.out.flows_gone.drain(..) {
                hosted.links.machine.flow_gone(server, client, flow);
            }
        }
    }
}

/// How long a beat must have stood, and how many own beats must have been committed meanwhile.
const STANDSTILL: Duration = Duration::from_millis(1_500);
const OWN_BEATS: u64 = 4;
/// Own beats that are confirmed closer together than this come from one standstill of the store.
const BURST: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
