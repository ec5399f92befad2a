//! Members: the balancers and servers of one pool.

use std::net::SocketAddr;
use std::sync::Arc;

/// A member's place in the store's table; a name keeps its id over restarts.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberId(pub u32);

/// Which life of a member: a restart is a new incarnation, from the store's one counter.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Incarnation(pub u64);

/// One life of one member: what every operation of the store is checked against.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Membership {
    /// Who.
    pub member: MemberId,
    /// In which life.
    pub incarnation: Incarnation,
}

/// What a member does.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// Assigns clients and routes requests.
    Balancer,
    /// Hosts clients.
    Server,
}

/// How a member stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MemberState {
    /// Serves, and gets new clients.
    Alive,
    /// Its incarnation was ended by a balancer.
    Ended,
    /// Said good-bye.
    Left,
}

/// A row of the members table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its configured name, unique in the pool.
    pub name: Arc<str>,
    /// What it does.
    pub role: Role,
    /// Which life.
    pub incarnation: Incarnation,
    /// How it stands.
    pub state: MemberState,
    /// The counter by which it shows that it lives.
    pub beat: u64,
    /// Where a balancer reaches a server's SIP link; absent when it shares the balancer's process.
    pub sip: Option<SocketAddr>,
    /// Where it takes out-of-band datagrams.
    pub oob: Option<SocketAddr>,
    /// Its share of clients relative to others; 1 is ordinary.
    pub weight: u32,
    /// An operator wants it empty: it gets no new clients and hands over those it has.
    pub is_draining: bool,
    /// How many clients are assigned to it.
    pub clients: u64,
}

impl Member {
    /// Its present life.
    #[must_use]
    pub fn membership(&self) -> Membership {
        Membership {
            member: self.id,
            incarnation: self.incarnation,
        }
    }
}
