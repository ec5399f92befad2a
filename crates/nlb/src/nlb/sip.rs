//! SIP in and out: one flow for all handles, told apart by the handle's name.

use presently_agent::{Agent, Config as AgentConfig};
use presently_sip::{Aor, Framing, Now, Protocol, Start, Uri};

use super::Nlb;
use crate::session::record::number_of_user;
use crate::{Config, Outputs};

impl Nlb {
    /// Gives a message to whom it is for: a response to the agent in its From, a request to the one
    /// in its To. What is for nobody goes to the own line, which drops or refuses it.
    pub(super) fn on_sip(&mut self, now: Now, bytes: &[u8], out: &mut Outputs) {
        let number = self.addressee(bytes);
        if let Some(id) = number.and_then(|number| self.sessions.of_handle(number)) {
            self.with_session(now, id, out, |session, turn| {
                session.on_message(turn, bytes);
            });
        } else {
            self.reach.on_message(now, bytes, &mut self.agent);
            self.on_found(now, None, out);
        }
    }

    /// The number of the handle that `bytes` is for.
    fn addressee(&mut self, bytes: &[u8]) -> Option<u64> {
        let framing = match self.shared.config.protocol {
            Protocol::Tcp => Framing::Stream,
            Protocol::Udp => Framing::Datagram,
        };
        let message = self.index.read(bytes, framing).ok()?;
        let uri = match message.start() {
            Start::Request { .. } => message.to()?.uri,
            Start::Response { .. } => message.from()?.uri,
        };
        number_of_user(Uri::parse(uri).ok()?.user?)
    }
}

/// The agent that acts as `aor`: reached at the nlb's socket, under its own name there.
pub(super) fn agent_of(config: &Config, aor: Aor, seed: u64) -> Agent {
    let address = aor.to_string();
    let user = Uri::parse(&address).ok().and_then(|uri| uri.user);
    let user = user.unwrap_or_default().to_owned();
    let transport = match config.protocol {
        Protocol::Tcp => ";transport=tcp",
        Protocol::Udp => "",
    };
    let sent_by = &config.sent_by;
    let contact = format!("sip:{user}@{sent_by}{transport}");
    let mut agent = AgentConfig::new(aor, config.protocol, sent_by, seed);
    agent.contact = contact;
    agent.refresh_spread_percent = REFRESH_SPREAD_PERCENT;
    "presently-nlb".clone_into(&mut agent.user_agent);
    Agent::new(agent)
}

/// Users who came together do not refresh together: what was granted is refreshed after 75 to 90 %
/// of its time. Wider would cost more refreshes; this costs a twelfth.
const REFRESH_SPREAD_PERCENT: u8 = 15;
