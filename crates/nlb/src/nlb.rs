//! The nlb as one machine: every session, its own line, and the presence server's reach.

use presently_sip::{Moment, Now};
use presently_store::Session as Record;

use crate::{Config, Counters, Input, Outputs, Server, Servers, Sight};

/// The whole nlb but its sockets: who has access, who is followed, who is released.
#[derive(Debug)]
pub struct Nlb {
    config: Config,
    servers: Servers,
    counters: Counters,
}

impl Nlb {
    /// An nlb that begins at `now` with `records`, its own rows of an earlier life. Whoever knows
    /// `seed` can guess UUIDs.
    pub fn new(
        config: Config,
        servers: Vec<Server>,
        _now: Now,
        _seed: [u8; 16],
        _records: Vec<Record>,
    ) -> Self {
        Self {
            config,
            servers: Servers::new(servers),
            counters: Counters::default(),
        }
    }

    /// Takes one thing that happened.
    pub fn handle_input(&mut self, _now: Now, _input: Input<'_>, _out: &mut Outputs) {}

    /// When [`Nlb::handle_timeout`] is due next; at once after [`Nlb::new`].
    pub fn poll_timeout(&self) -> Option<Moment> {
        None
    }

    /// Does everything that is due by now.
    pub fn handle_timeout(&mut self, _now: Now, _out: &mut Outputs) {}

    /// Every session, for people.
    pub fn sessions(&self) -> impl Iterator<Item = Sight> {
        std::iter::empty()
    }

    /// The application servers with their sessions.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How it was configured.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether, after [`Input::Stop`] or [`Input::Close`], nothing is left to be done.
    pub fn is_idle(&self) -> bool {
        true
    }

    /// Whether the presence server is there.
    pub fn is_reachable(&self) -> bool {
        false
    }
}
