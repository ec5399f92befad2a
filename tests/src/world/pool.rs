//! The members of a simulated pool: joining, starting again, and moving clients between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use presently::host::Host;
use presently_balancer::Balancer;
use presently_pool::{MemberId, Membership, Role};
use presently_presence::package::Packages;
use presently_presence::{Secrets, Server};
use presently_sip::{MacKey, Now, Protocol};
use presently_store::{Operation, Outcome};

use super::slow_store::SlowStore;
use super::{Arrangement, Node, World, aor};

impl World {
    /// Every process ends at once, as at `kill -9`, and begins again under the same names on the
    /// same store. What was on its way between members is lost.
    pub fn restart(&mut self) {
        self.hosts.clear();
        self.network.forget_members();
        self.ledger.wakes.excused = self.journal.entries().documents.len();
        self.start();
    }

    /// Makes the store answer at once from now on.
    pub fn hasten_store(&mut self) {
        for node in &self.hosts {
            node.latency.hasten();
        }
    }

    /// Moves a user to another server, and lets the members be told.
    ///
    /// # Panics
    ///
    /// The user has no server.
    pub fn reassign(&mut self, user: &str, to: MemberId) {
        assert!(self.try_reassign(user, to), "{user} is at no server");
    }

    /// Moves a user's client if a server has it in memory.
    pub fn try_reassign(&mut self, user: &str, to: MemberId) -> bool {
        let now = self.now();
        let client = aor(user);
        let mut hosts = self.hosts.iter_mut();
        let is_held = hosts.any(|node| node.host.hand_over(now, &client, Some(to)));
        // The host asks with its next turn.
        self.nudge = Some(self.now);
        is_held
    }

    pub(super) fn start(&mut self) {
        let roles = std::iter::once((Role::Balancer, 1));
        let servers: Vec<u32> = self.weights.clone();
        let roles = roles.chain(servers.into_iter().map(|weight| (Role::Server, weight)));
        for (place, (role, weight)) in (0_u16..).zip(roles) {
            if place == 0 || self.arrangement == Arrangement::Apart {
                self.add_host();
            }
            self.add_member(place, role, weight);
        }
        // Two beats: everybody is known to everybody.
        self.run_for(Duration::from_millis(600));
    }

    fn add_host(&mut self) {
        let seed = self.random.u64(..);
        let (store, latency) = SlowStore::new(self.store.clone(), self.journal.clone(), seed);
        latency.set(self.now);
        let host = Host::new(self.now(), Box::new(store));
        self.hosts.push(Node {
            host,
            latency,
            oob: Vec::new(),
        });
    }

    fn add_member(&mut self, place: u16, role: Role, weight: u32) {
        let oob = SocketAddr::from(([10, 0, 0, 1], 7000 + place));
        let name = match role {
            Role::Balancer => "b1".to_owned(),
            Role::Server => format!("s{place}"),
        };
        let (membership, key) = self.join(&name, role, oob, weight);
        self.ledger.key = Some(MacKey::new(key));
        let mut seed = [0; 16];
        self.random.fill(&mut seed);
        let now = self.now();
        let node = self.hosts.last_mut().expect("a host was added");
        node.oob.push((membership.member, oob));
        match role {
            Role::Balancer => {
                let machine = balancer(membership, key, now);
                node.host.add_balancer(machine, membership, key);
            }
            Role::Server => {
                self.ledger.names.insert(name.clone(), membership.member);
                let secrets = Secrets { pool: key, seed };
                let config = presently_presence::Config::new(&name, Arc::new(Packages::default()));
                let machine = Server::new(now, membership, config, &secrets);
                node.host.add_server(machine, key);
            }
        }
        node.host.set_joined(now, now.moment);
    }

    fn join(
        &mut self,
        name: &str,
        role: Role,
        oob: SocketAddr,
        weight: u32,
    ) -> (Membership, [u8; 16]) {
        let mut seed = [0; 16];
        self.random.fill(&mut seed);
        let Outcome::Status(status) = self.ask(Operation::Status) else {
            panic!("no status");
        };
        let mut former = status.members.iter().filter(|member| *member.name == *name);
        let outcome = self.ask(Operation::Join {
            name: name.into(),
            over: former
                .next()
                .map(|member| (member.incarnation, member.beat)),
            role,
            host: "simulation".into(),
            pid: 1,
            started: 1,
            sip: None,
            oob: Some(oob),
            weight,
            seed,
        });
        match outcome {
            Outcome::Joined {
                membership, key, ..
            } => (membership, key),
            outcome => panic!("{name} did not join: {outcome:?}"),
        }
    }
}

fn balancer(me: Membership, key: [u8; 16], now: Now) -> Balancer {
    let config = presently_balancer::Config {
        domains: presently_balancer::Domains::Listed(vec!["example.com".into()]),
        listeners: vec![listener(Protocol::Udp), listener(Protocol::Tcp)],
        ..presently_balancer::Config::default()
    };
    Balancer::new(config, me, MacKey::new(key), now)
}

fn listener(protocol: Protocol) -> presently_balancer::Listener {
    presently_balancer::Listener {
        protocol,
        advertised_host: "10.0.0.1".into(),
        advertised_port: 5060,
        bound: SocketAddr::from(([10, 0, 0, 1], 5060)),
    }
}
