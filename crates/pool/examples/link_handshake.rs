//! Two members open a link: each shows that it holds the pool's key, in either's memory.
//!
//! `cargo run -p presently-pool --example link_handshake`

use presently_pool::{
    ClientId, ContactToken, Handshake, Incarnation, LinkProgress, MemberId, Membership,
};
use presently_sip::MacKey;

fn main() {
    let key = || MacKey::new(*b"sixteen bytes ok");
    let balancer = member(1);
    let server = member(2);

    // Nonces come from the system's random source in earnest.
    let (mut to_server, mut to_balancer) = (Vec::new(), Vec::new());
    let mut opener = Handshake::open(balancer, server.member, key(), [7; 16], &mut to_server);
    let mut acceptor = Handshake::accept(server, key(), [9; 16]);

    let mut established = 0;
    while established < 2 {
        let bytes = std::mem::take(&mut to_server);
        established += step("the server", &mut acceptor, &bytes, &mut to_balancer);
        let bytes = std::mem::take(&mut to_balancer);
        established += step("the balancer", &mut opener, &bytes, &mut to_server);
    }

    let mut token = String::new();
    ContactToken(ClientId(42)).encode(&key(), &mut token);
    println!("a Contact that any balancer can verify: sip:{token}@pool.example");
    assert!(ContactToken::decode(&token, &key()).is_some());
}

fn step(who: &str, end: &mut Handshake, bytes: &[u8], out: &mut Vec<u8>) -> u32 {
    if bytes.is_empty() {
        return 0;
    }
    match end.handle_bytes(bytes, out) {
        Ok(LinkProgress::Established { peer, .. }) => {
            println!(
                "{who} has seen that the far end is member {}",
                peer.member.0
            );
            1
        }
        Ok(LinkProgress::Waiting) => 0,
        Err(refused) => panic!("{who} closes the link: {refused}"),
    }
}

fn member(id: u32) -> Membership {
    Membership {
        member: MemberId(id),
        incarnation: Incarnation(1),
    }
}
