//! Connections that close.

use std::net::SocketAddr;

use presently_sip::{Flow, Protocol};

use super::World;
use super::process::State;

impl World {
    /// Closes the connection by which [`World::raw_send`] sends from `from`.
    pub fn hang_up(&mut self, from: SocketAddr) {
        let flow = Flow {
            protocol: Protocol::Tcp,
            slot: 1,
            generation: 1,
            ..Flow::udp(1, from)
        };
        for process in &mut self.processes {
            let now = process.clock.now(self.now);
            if let State::Running(host) = &mut process.state {
                host.handle_closed(now, flow);
                process.is_touched = true;
            }
        }
        self.step();
    }
}
