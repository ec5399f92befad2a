//! Routes one message N times with the assignment known, for counting instructions: the difference
//! between two runs under callgrind, divided by the difference of their N, is the cost of one.
//!
//! ```sh
//! cargo build --release -p presently-balancer --example routing_instructions
//! for n in 1000 2000; do
//!     valgrind --tool=callgrind target/release/examples/routing_instructions register $n
//! done
//! ```
//!
//! What can be routed: `register`, `subscribe`, `answer` (a server's 200 to the REGISTER),
//! `notify`. The messages are indexed once, before.

use std::hint::black_box;

use bytes::Bytes;
use presently_balancer::{Balancer, Config, Domains, Listener, Outputs};
use presently_pool::{
    Assignment, ClientId, Epoch, FlowToken, Incarnation, Kind, Member, MemberId, MemberState,
    Membership, Passage, Role,
};
use presently_sip::{Flow, Framing, Index, MacKey, Now, Protocol, Response};
use presently_store::{Completion, Outcome};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "register".to_owned());
    let times: u64 = arguments
        .next()
        .map_or(1000, |text| text.parse().expect("a number"));
    let now = Now::default();
    let flow = Flow::udp(0, ([192, 0, 2, 1], 5062).into());
    let mut out = Outputs::default();
    let mut balancer = balancer(now);
    let answer = answer(&mut balancer, now, flow, &mut out);
    let bytes = match what.as_str() {
        "answer" => answer,
        "notify" => NOTIFY.as_bytes().to_vec(),
        "subscribe" => SUBSCRIBE.as_bytes().to_vec(),
        _ => REGISTER.as_bytes().to_vec(),
    };
    let mut index = Index::default();
    let message = index
        .read(&bytes, Framing::Datagram)
        .expect("the message is whole");
    let passage = Passage {
        flow: Some(FlowToken {
            balancer: BALANCER,
            flow,
        }),
        ..passage()
    };
    let body = Bytes::new();
    for _ in 0..times {
        let message = black_box(message);
        match what.as_str() {
            "answer" | "notify" => {
                balancer.handle_server(now, SERVER, &passage, message, &body, &mut out);
            }
            _ => balancer.handle_phone(now, flow, message, &mut out),
        }
        assert_eq!(out.forwards.len() + out.to_phones.len(), 1);
        black_box(&out);
        clear(&mut out);
    }
}

/// Lets the client be assigned, and gives the server's answer to its REGISTER.
fn answer(balancer: &mut Balancer, now: Now, flow: Flow, out: &mut Outputs) -> Vec<u8> {
    let mut index = Index::default();
    let message = index
        .read(REGISTER.as_bytes(), Framing::Datagram)
        .expect("the message is whole");
    balancer.handle_phone(now, flow, message, out);
    let (ticket, _) = out.operations.pop().expect("nothing is known yet");
    let assignment = Assignment {
        client: ClientId(1),
        server: SERVER,
        epoch: Epoch(1),
    };
    let result = Ok(Outcome::Assigned(Some(assignment)));
    balancer.handle_completion(now, Completion { ticket, result }, out);
    let forward = out.forwards.pop().expect("the request goes on");
    let message = forward.message(None).expect("the request was held");
    let mut answer = Vec::new();
    Response::to(&mut answer, &message, &forward.edits(&out.text), 200, "tag").end();
    clear(out);
    answer
}

fn clear(out: &mut Outputs) {
    out.text.clear();
    out.forwards.clear();
    out.to_phones.clear();
}

fn balancer(now: Now) -> Balancer {
    let config = Config {
        domains: Domains::Listed(vec!["example.com".into()]),
        listeners: vec![Listener {
            protocol: Protocol::Udp,
            advertised_host: "sip.example.com".into(),
            advertised_port: 5060,
            bound: ([192, 0, 2, 9], 5060).into(),
        }],
        ..Config::default()
    };
    let membership = Membership {
        member: BALANCER,
        incarnation: Incarnation(1),
    };
    let mut balancer = Balancer::new(config, membership, MacKey::new([7; 16]), now);
    balancer.set_members(&[Member {
        id: SERVER,
        name: "a".into(),
        role: Role::Server,
        incarnation: Incarnation(2),
        state: MemberState::Alive,
        beat: 1,
        sip: None,
        oob: None,
        weight: 1,
        is_draining: false,
        clients: 0,
    }]);
    balancer
}

fn passage() -> Passage {
    Passage {
        kind: Kind::Forward,
        client: None,
        epoch: Epoch(1),
        flow: None,
        advertised: None,
    }
}

const BALANCER: MemberId = MemberId(1);
const SERVER: MemberId = MemberId(2);

/// 758 bytes, the shape of a phone's REGISTER behind digest.
const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK-524287-1---0123456789abcdef;rport\r\n\
    Max-Forwards: 70\r\n\
    Contact: <sip:alice@192.0.2.1:5062;transport=udp>;\
    +sip.instance=\"<urn:uuid:fd1d9f43-916f-00b8-a522-b105b3a1e9d9>\";reg-id=1\r\n\
    To: <sip:alice@example.com>\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=0123abcd\r\n\
    Call-ID: 84710YzA4ZmE3YjQ3ZDk4NWY2OGE1ZGQyYTRhMGE2ZTE\r\n\
    CSeq: 2 REGISTER\r\n\
    Expires: 300\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE\r\n\
    User-Agent: phone\r\n\
    Supported: path, outbound\r\n\
    Allow-Events: presence, message-summary\r\n\
    Authorization: Digest username=\"alice\", realm=\"example.com\", nonce=\"0123\", \
    uri=\"sip:example.com\", response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5\r\n\
    Content-Length: 0\r\n\r\n";

const SUBSCRIBE: &str = "SUBSCRIBE sip:bob@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK-524287-1---0123456789abcdee;rport\r\n\
    Max-Forwards: 70\r\n\
    Contact: <sip:alice@192.0.2.1:5062;transport=udp>\r\n\
    To: <sip:bob@example.com>\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=0123abce\r\n\
    Call-ID: 84710YzA4ZmE3YjQ3ZDk4NWY2OGE1ZGQyYTRhMGE2ZTF\r\n\
    CSeq: 1 SUBSCRIBE\r\n\
    Event: presence\r\n\
    Accept: application/pidf+xml\r\n\
    Content-Length: 0\r\n\r\n";

const NOTIFY: &str = "NOTIFY sip:alice@192.0.2.1:5062 SIP/2.0\r\n\
    Via: SIP/2.0/TCP server.pool;branch=z9hG4bK0123456789abcdef\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:bob@example.com>;tag=ours\r\n\
    To: <sip:alice@example.com>;tag=0123abce\r\n\
    Call-ID: 84710YzA4ZmE3YjQ3ZDk4NWY2OGE1ZGQyYTRhMGE2ZTF\r\n\
    CSeq: 1 NOTIFY\r\n\
    Contact: <sip:aaaabbbbccccddddeeeeffff@sip.example.com:5060>\r\n\
    Event: presence\r\n\
    Subscription-State: active;expires=3599\r\n\
    Date: Sat, 21 Nov 2026 20:00:00 GMT\r\n\
    Content-Length: 0\r\n\r\n";
