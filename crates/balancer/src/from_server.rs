//! What comes from servers, and what phones answer them.

use std::net::SocketAddr;

use bytes::Bytes;
use presently_pool::{FlowToken, Kind, MemberId, Passage};
use presently_sip::{
    Edits, Flow, Message, Method, Moment, Name, NameAddr, Now, Protocol, Scheme, Start, Uri, Via,
};

use crate::balancer::Balancer;
use crate::branch::{Below, Branch, Origin};
use crate::decision::{MAX_FORWARDS, Named, Onward};
use crate::edge::DEFAULT_PORT;
use crate::onward::write_record_route;
use crate::refusals::By;
use crate::waiting::{Arrival, Held};
use crate::{Outputs, ToPhone};

impl Balancer {
    /// Takes a message that came from a server: its response to a request that was forwarded, a
    /// request to a phone, or a request it hands back. A request that is handed back stands as the
    /// server saw it, with our Via on top. `body` is the body when `message` is the head alone.
    pub fn handle_server(
        &mut self,
        now: Now,
        server: MemberId,
        passage: &Passage,
        message: Message<'_>,
        body: &Bytes,
        out: &mut Outputs,
    ) {
        match (message.start(), passage.kind) {
            (Start::Response { status, .. }, _) => {
                self.on_server_response(now, server, status, &message, body, out);
            }
            (Start::Request { method, .. }, Kind::HandBack) => {
                self.on_hand_back(now, server, passage, method, &message, body, out);
            }
            (Start::Request { method, uri, .. }, Kind::Forward) => {
                if self.is_outdated(server, passage) {
                    self.counters.requests_outdated += 1;
                    return;
                }
                let left = self.send_request(server, passage, method, uri, &message, body, out);
                self.counters.undeliverable += u64::from(left.is_none());
            }
            (Start::Request { .. }, Kind::Marked) => self.counters.undeliverable += 1,
        }
    }

    /// A phone's response belongs to the server that our branch names (RFC 3261 §16.11), also when
    /// the table does not show yet that it lives: one that has just joined anew may ask a phone
    /// before the next beat, and on a stream nobody says the answer twice.
    pub(crate) fn on_phone_response(
        &mut self,
        now: Now,
        flow: Flow,
        message: &Message<'_>,
        out: &mut Outputs,
    ) {
        let Some((branch, _)) = self.own_branch(now.moment, message) else {
            self.counters.branches_refused += 1;
            return;
        };
        match branch.origin {
            Origin::Server(server) => self.forward_response(server, flow, out),
            Origin::Phone(_) => self.counters.branches_refused += 1,
        }
    }

    /// Whether a server speaks for a client under an epoch that is over (law 1 at the last gate).
    /// A newer one than is known is learnt: each activation takes a fresh one.
    fn is_outdated(&mut self, server: MemberId, passage: &Passage) -> bool {
        let Some((_, aor)) = &passage.client else {
            return false;
        };
        let known = self.cache.find(&Named::Aor(aor.clone()));
        let is_old = known.is_some_and(|(_, known, _)| passage.epoch < known.epoch);
        if !is_old {
            self.handle_moved(aor, server, passage.epoch);
        }
        is_old
    }

    fn on_server_response(
        &mut self,
        now: Now,
        server: MemberId,
        status: u16,
        message: &Message<'_>,
        body: &Bytes,
        out: &mut Outputs,
    ) {
        let own = self.own_branch(now.moment, message);
        let Some((branch, below)) = own else {
            self.counters.branches_refused += 1;
            return;
        };
        let Origin::Phone(flow) = branch.origin else {
            self.counters.branches_refused += 1;
            return;
        };
        if status >= 200 {
            self.unanswered.answered(branch.identity());
        }
        // What is wrong with a request itself is as wrong elsewhere.
        if (500..600).contains(&status) && !flow.protocol.is_reliable() {
            let life = self.life_of(server).map(|life| By::Server(life.membership));
            let by = life.unwrap_or(By::Balancer);
            self.refusals.note(now.moment, branch.identity(), by);
        }
        if self.edge.face(flow.listener).is_none() {
            self.counters.undeliverable += 1;
            return;
        }
        let start = out.text.len();
        Edits::default().write_response(message, 1, &mut out.text);
        self.counters.responses_sent += 1;
        out.to_phones.push(ToPhone {
            flow: below.answer_flow(flow),
            head: start..out.text.len(),
            body: body.clone(),
        });
    }

    /// Our branch on top of a message, if it is authentic, and the Via below it.
    fn own_branch<'a>(
        &mut self,
        now: Moment,
        message: &Message<'a>,
    ) -> Option<(Branch, Below<'a>)> {
        let mut vias = message.values(Name::Via);
        let top = Via::parse(vias.next()?)?;
        let branch = Branch::parse(top.branch()?, &mut self.scratch.bytes)?;
        let via = Via::parse(vias.next()?)?;
        let below = Below::read(message, &via)?;
        branch
            .is_authentic(now, &below, &self.keys, &mut self.scratch.parts)
            .then_some((branch, below))
    }

    /// Writes a server's request for a phone; `None` when it cannot leave.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one message that came apart at the link"
    )]
    fn send_request(
        &mut self,
        server: MemberId,
        passage: &Passage,
        method: Method,
        uri: &str,
        message: &Message<'_>,
        body: &Bytes,
        out: &mut Outputs,
    ) -> Option<()> {
        let routes_removed = self.own_routes(message);
        let flow = match passage.flow {
            Some(token) => self.own_flow(token)?,
            None => self.flow_to(message, uri, routes_removed)?,
        };
        let hops = message.number(Name::MaxForwards).unwrap_or(MAX_FORWARDS);
        let max_forwards = hops.checked_sub(1)?;
        let token = self.token(flow);
        let client = passage.client.as_ref().map(|(client, _)| *client);
        self.note_reached(flow, client, message);
        let face = self.edge.face(flow.listener)?;
        let below = Below::read(message, &message.via()?)?;
        let origin = Origin::Server(server);
        let branch = Branch::of(origin, &below, &self.keys, &mut self.scratch.parts);
        let via = &mut self.scratch.text;
        via.clear();
        face.write_via(via);
        branch.write(via);
        if flow.protocol == Protocol::Udp {
            // RFC 3581 §3.
            via.push_str(";rport");
        }
        let record_route = &mut self.scratch.record_route;
        record_route.clear();
        if method == Method::Notify {
            write_record_route(face, token, self.keys.current(), record_route);
        }
        let edits = Edits {
            via: Some(via),
            record_route: (!record_route.is_empty()).then_some(record_route),
            routes_removed,
            max_forwards: Some(max_forwards),
            ..Edits::default()
        };
        let start = out.text.len();
        edits.write(message, &mut out.text);
        self.counters.requests_sent += 1;
        out.to_phones.push(ToPhone {
            flow,
            head: start..out.text.len(),
            body: body.clone(),
        });
        Some(())
    }

    /// The flow of a token, if this balancer can send by it: its own, or another's for datagrams.
    /// To the phone all balancers have one name, and listeners in the same order.
    fn own_flow(&mut self, token: FlowToken) -> Option<Flow> {
        let flow = token.flow;
        if token.balancer == self.membership.member {
            return Some(flow);
        }
        if flow.protocol.is_reliable() || !self.edge.sends_datagrams(flow.listener) {
            return None;
        }
        self.counters.requests_sent_for_others += 1;
        Some(flow)
    }

    /// How many Route values on top name this balancer.
    fn own_routes(&self, message: &Message<'_>) -> usize {
        let is_own = |value: &&str| {
            let uri = NameAddr::parse(value).and_then(|route| Uri::parse(route.uri).ok());
            uri.is_some_and(|uri| self.edge.is_own(uri.host, uri.port))
        };
        message.values(Name::Route).take_while(is_own).count()
    }

    /// The flow to the first Route that is not ours, else to the Request-URI, where that is an
    /// address to be reached by datagrams (RFC 3261 §8.1.2).
    fn flow_to(&self, message: &Message<'_>, uri: &str, routes_removed: usize) -> Option<Flow> {
        let route = message.values(Name::Route).nth(routes_removed);
        let next = match route {
            Some(route) => NameAddr::parse(route)?.uri,
            None => uri,
        };
        let next = Uri::parse(next).ok()?;
        let transport = next.params.value("transport").unwrap_or("udp");
        if next.scheme != Scheme::Sip || !transport.eq_ignore_ascii_case("udp") {
            return None;
        }
        let port = next.port.unwrap_or(DEFAULT_PORT);
        if self.edge.is_own(next.host, Some(port)) {
            return None;
        }
        let remote = SocketAddr::new(next.host.address()?, port);
        let listener = self.edge.datagram_listener(remote)?;
        Some(Flow::udp(listener, remote))
    }

    /// A server is not the client's: the request goes once more, marked, to the one that is.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one message that came apart at the link"
    )]
    fn on_hand_back(
        &mut self,
        now: Now,
        server: MemberId,
        passage: &Passage,
        method: Method,
        message: &Message<'_>,
        body: &Bytes,
        out: &mut Outputs,
    ) {
        self.counters.handed_back += 1;
        let own = self.own_branch(now.moment, message);
        let Some((branch, Origin::Phone(flow))) = own.map(|(branch, _)| (branch, branch.origin))
        else {
            self.counters.branches_refused += 1;
            return;
        };
        let Some((_, aor)) = &passage.client else {
            self.counters.undeliverable += 1;
            return;
        };
        let arrival = Arrival {
            flow,
            branch,
            method,
            onward: Onward {
                routes_removed: 0,
                max_forwards: message.number(Name::MaxForwards).unwrap_or(MAX_FORWARDS),
                is_strict: false,
                record_routes: false,
            },
            kind: Kind::Marked,
        };
        let mut bytes = Vec::with_capacity(message.bytes().len() + body.len());
        Edits::default().write_response(message, 1, &mut bytes);
        bytes.extend_from_slice(body);
        let Some(held) = Held::copy(now.moment, arrival, &bytes) else {
            self.counters.undeliverable += 1;
            return;
        };
        let client = Named::Aor(aor.clone());
        if let Some((_, known, _)) = self.cache.find(&client)
            && (known.server == server || known.epoch < passage.epoch)
        {
            self.cache.forget(aor);
        }
        match self.known(&client) {
            Some((aor, assignment)) => self.forward_held(now, held, aor, assignment, out),
            None => self.wait(now, client, held, out),
        }
    }
}
