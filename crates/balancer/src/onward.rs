//! Writing what goes on to a server.

use std::ops::Range;

use presently_pool::{Assignment, Epoch, FlowToken, Kind, MemberId, Passage};
use presently_sip::{Aor, Flow, MacKey, Message, Now};

use crate::balancer::Balancer;
use crate::decision::{Named, strict_target};
use crate::edge::Face;
use crate::waiting::{Arrival, Held};
use crate::{Forward, Outputs, Source};

impl Balancer {
    /// Sends a request that waited.
    pub(crate) fn forward_held(
        &mut self,
        now: Now,
        held: Held,
        aor: Aor,
        assignment: Assignment,
        out: &mut Outputs,
    ) {
        let arrival = held.arrival;
        let count = out.forwards.len();
        self.forward(now, &arrival, &held.message(), aor, assignment, out);
        if let Some(forward) = out.forwards.get_mut(count) {
            forward.source = Source::Held(held.bytes, held.index);
        }
    }

    /// Sends a request to its client's server (RFC 3261 §16.6).
    pub(crate) fn forward(
        &mut self,
        now: Now,
        arrival: &Arrival,
        message: &Message<'_>,
        aor: Aor,
        assignment: Assignment,
        out: &mut Outputs,
    ) {
        let (flow, onward) = (arrival.flow, arrival.onward);
        self.note_flow(flow, assignment.client, arrival.method, message);
        let Some(face) = self.edge.face(flow.listener) else {
            self.counters.undeliverable += 1;
            return;
        };
        // Unknown, it began after the last beat; then the store named it, and not this table.
        let life = self.life_of(assignment.server);
        if let Some(life) = life
            && (flow.protocol.is_reliable() || life.is_doubted)
            && let Some(held) = Held::copy(now.moment, *arrival, message.bytes())
        {
            let client = Named::Aor(aor.clone());
            let is_lost = self.unanswered.keep(life.membership, client, held);
            self.counters.unanswered_forgotten += u64::from(is_lost);
        }
        let token = self.token(flow);
        let text = &mut self.scratch.text;
        text.clear();
        face.write_via(text);
        arrival.branch.write(text);
        let via = append(&mut out.text, text);
        let record_route = onward.record_routes.then(|| {
            text.clear();
            write_record_route(face, token, self.keys.current(), text);
            append(&mut out.text, text)
        });
        let strict = onward.is_strict.then(|| strict_target(message)).flatten();
        self.counters.requests_forwarded += 1;
        out.forwards.push(Forward {
            server: assignment.server,
            passage: Passage {
                kind: arrival.kind,
                client: Some((assignment.client, aor)),
                epoch: assignment.epoch,
                flow: Some(token),
                advertised: Some(face.advertised.clone()),
            },
            source: Source::Current,
            via: Some(via),
            record_route,
            request_uri: strict.map(|uri| append(&mut out.text, uri)),
            received: (arrival.kind == Kind::Forward).then_some(flow.remote),
            routes_removed: onward.routes_removed,
            max_forwards: Some(onward.max_forwards),
            vias_removed: 0,
        });
    }

    /// Sends a phone's response, which came by `flow`, to the server that asked.
    pub(crate) fn forward_response(&mut self, server: MemberId, flow: Flow, out: &mut Outputs) {
        self.counters.responses_forwarded += 1;
        out.forwards.push(Forward {
            server,
            passage: Passage {
                kind: Kind::Forward,
                client: None,
                epoch: Epoch::default(),
                flow: Some(self.token(flow)),
                advertised: None,
            },
            source: Source::Current,
            via: None,
            record_route: None,
            request_uri: None,
            received: None,
            routes_removed: 0,
            max_forwards: None,
            vias_removed: 1,
        });
    }

    pub(crate) fn token(&self, flow: Flow) -> FlowToken {
        FlowToken {
            balancer: self.membership.member,
            flow,
        }
    }
}

/// Our one Record-Route value: the listener's address and the flow, signed (RFC 5626 §5.1).
pub(crate) fn write_record_route(face: &Face, token: FlowToken, key: &MacKey, out: &mut String) {
    out.push_str("<sip:");
    token.encode(key, out);
    out.push_str(&face.record_route_end);
}

fn append(out: &mut Vec<u8>, text: &str) -> Range<usize> {
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    start..out.len()
}
