//! Two members on this machine wake each other over UDP: `cargo run -p presently-oob --example
//! oob_link`.
//!
//! A driver of `Links` without a runtime: a socket, a clock, and nothing that decides.

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use presently_oob::{Event, Links, Outputs};
use presently_pool::{Incarnation, MemberId, Membership, PackageName, ResourceId, Version, Wake};
use presently_sip::{Aor, MacKey, Moment};

/// A member: its machine and its socket.
struct Member {
    name: &'static str,
    links: Links,
    socket: UdpSocket,
}

impl Member {
    fn new(name: &'static str, own: Membership) -> Result<Self, Box<dyn Error>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        // The pool's key: random in earnest, and known to its members only.
        let links = Links::new(own, MacKey::new([7; 16]));
        Ok(Self {
            name,
            links,
            socket,
        })
    }

    /// One turn: what has arrived, what is due, what is to be sent.
    fn turn(&mut self, now: Moment) -> Result<(), Box<dyn Error>> {
        let (mut out, mut datagram) = (Outputs::default(), [0; 1_500]);
        if let Ok((length, from)) = self.socket.recv_from(&mut datagram) {
            let bytes = datagram.get(..length).unwrap_or_default();
            self.links.handle_datagram(now, bytes, from, &mut out);
        }
        if self.links.poll_timeout().is_some_and(|due| due <= now) {
            self.links.handle_timeout(now, &mut out);
        }
        self.links.flush(now, &mut out);
        for (to, bytes) in out.transmits() {
            self.socket.send_to(bytes, to)?;
        }
        for event in &out.events {
            match event {
                Event::PeerHeard { .. } => {}
                Event::Woken(wake) => println!(
                    "{}: {} / {} is at {}",
                    self.name, wake.resource.aor, wake.resource.package, wake.version.0
                ),
                other => println!("{}: {other:?}", self.name),
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let life = |member| Membership {
        member: MemberId(member),
        incarnation: Incarnation(u64::from(member) * 10),
    };
    let mut members = [Member::new("A", life(1))?, Member::new("B", life(2))?];
    let mut peers: Vec<(Membership, SocketAddr)> = Vec::new();
    for (member, own) in members.iter().zip([life(1), life(2)]) {
        peers.push((own, member.socket.local_addr()?));
    }
    let start = Instant::now();
    let now = || Moment(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
    for member in &mut members {
        member.links.set_peers(now(), &peers);
    }
    for version in 1..=10 {
        let wake = Wake {
            resource: ResourceId {
                aor: Aor::parse("sip:alice@example.com")?,
                package: PackageName::new("presence"),
            },
            version: Version(version),
        };
        let [a, b] = &mut members;
        a.links.wake(MemberId(2), &wake);
        a.turn(now())?;
        b.turn(now())?;
    }
    while now() < Moment(300_000) {
        for member in &mut members {
            member.turn(now())?;
        }
    }
    println!("A: {:?}", members[0].links.counters());
    Ok(())
}
