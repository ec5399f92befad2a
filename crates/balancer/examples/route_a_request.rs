//! Routes one REGISTER: the balancer asks the store which server the client has, forwards the
//! request to it, and sends the server's 200 home. No socket: everything is a value.
//!
//! ```sh
//! cargo run --example route_a_request
//! ```

use bytes::Bytes;
use presently_balancer::{Balancer, Config, Listener, Outputs};
use presently_pool::{
    Assignment, ClientId, Epoch, Incarnation, Kind, Member, MemberId, MemberState, Membership,
    Passage, Role,
};
use presently_sip::{Edits, Flow, Framing, Index, MacKey, Now, Protocol, Response};
use presently_store::{Completion, Outcome};

fn main() {
    let now = Now::default();
    let mut balancer = Balancer::new(config(), membership(), MacKey::new([7; 16]), now);
    balancer.set_members(&[server()]);
    let (mut out, mut index) = (Outputs::default(), Index::default());

    let flow = Flow::udp(0, ([198, 51, 100, 7], 5060).into());
    let message = index
        .read(REGISTER.as_bytes(), Framing::Datagram)
        .expect("a whole message");
    balancer.handle_phone(now, flow, message, &mut out);
    println!("a phone registers, and waits until the store has answered:");
    let (ticket, operation) = out.operations.pop().expect("its client is not known yet");
    println!("  {operation:?}\n");

    let assignment = Assignment {
        client: ClientId(1),
        server: server().id,
        epoch: Epoch(1),
    };
    let result = Ok(Outcome::Assigned(Some(assignment)));
    balancer.handle_completion(now, Completion { ticket, result }, &mut out);
    let forward = out.forwards.pop().expect("it goes on now");
    let message = forward.message(None).expect("it was held");
    let mut forwarded = Vec::new();
    forward.edits(&out.text).write(&message, &mut forwarded);
    println!("it goes to server {}, as:\n", forward.server.0);
    println!("{}", String::from_utf8_lossy(&forwarded));

    let request = index
        .read(&forwarded, Framing::Stream)
        .expect("a whole message");
    let mut answer = Vec::new();
    let mut response = Response::to(&mut answer, &request, &Edits::default(), 200, "server");
    response.header("Contact", "<sip:alice@198.51.100.7>;expires=3600");
    response.end();
    let response = index
        .read(&answer, Framing::Stream)
        .expect("a whole message");
    out.text.clear();
    let passage = Passage {
        kind: Kind::Forward,
        client: None,
        epoch: Epoch(1),
        flow: None,
        advertised: None,
    };
    balancer.handle_server(
        now,
        server().id,
        &passage,
        response,
        &Bytes::new(),
        &mut out,
    );
    let home = out.to_phones.pop().expect("it goes back to the phone");
    let text = out.text.get(home.head).unwrap_or_default();
    println!("the answer goes to {}, as:\n", home.flow.remote);
    println!("{}", String::from_utf8_lossy(text));
}

fn config() -> Config {
    Config {
        listeners: vec![Listener {
            protocol: Protocol::Udp,
            advertised_host: "192.0.2.1".into(),
            advertised_port: 5060,
            bound: ([192, 0, 2, 1], 5060).into(),
        }],
        ..Config::default()
    }
}

fn membership() -> Membership {
    Membership {
        member: MemberId(1),
        incarnation: Incarnation(1),
    }
}

fn server() -> Member {
    Member {
        id: MemberId(2),
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
    }
}

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:alice@example.com>;tag=1\r\n\
    To: <sip:alice@example.com>\r\n\
    Call-ID: 1@198.51.100.7\r\n\
    CSeq: 1 REGISTER\r\n\
    Contact: <sip:alice@198.51.100.7>\r\n\
    Content-Length: 0\r\n\r\n";
