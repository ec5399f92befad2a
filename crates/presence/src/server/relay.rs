//! MESSAGE relayed to the recipient's bindings (RFC 3428 §7, RFC 3261 §16).

use presently_sip::Now;

use super::Server;
use super::request::Step;
use crate::Outputs;
use crate::answer::Refusal;
use crate::held::Held;

impl Server {
    pub(super) fn on_message(
        &mut self,
        now: Now,
        _slot: usize,
        held: Held,
        out: &mut Outputs,
    ) -> Step {
        self.refuse(now, &held, &Refusal::temporarily_unavailable(), out);
        Step::Answered
    }
}
