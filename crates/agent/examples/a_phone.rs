//! One phone over a UDP socket: registers, watches another user, publishes, and prints what
//! happens.
//!
//! ```text
//! cargo run -p presently-agent --example a_phone -- \
//!     127.0.0.1:5060 sip:al@example.com sip:bo@example.com 10
//! ```
//!
//! It ends after the given number of seconds, having taken back what it asked for.

use std::collections::hash_map::RandomState;
use std::env;
use std::error::Error;
use std::hash::BuildHasher;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use presently_agent::{Agent, Config, Event, Outputs, pidf, read_pidf};
use presently_sip::{Aor, Moment, Now, Protocol, WallTime};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let pool = next("127.0.0.1:5060");
    let user = Aor::parse(&next("sip:al@example.com"))?;
    let other = Aor::parse(&next("sip:bo@example.com"))?;
    let seconds = Duration::from_secs(next("3").parse()?);

    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(&pool)?;
    let seed = RandomState::new().hash_one(0);
    let config = Config::new(
        user.clone(),
        Protocol::Udp,
        &socket.local_addr()?.to_string(),
        seed,
    );
    let mut phone = Phone {
        agent: Agent::new(config),
        socket,
        start: Instant::now(),
    };

    let mut out = Outputs::default();
    let now = phone.now();
    phone.agent.register(now, 600, &mut out);
    let accept = ["application/pidf+xml"];
    let id = phone
        .agent
        .subscribe(now, &other, "presence", 600, &accept, &mut out);
    let document = pidf(&user, true, Some("hello"));
    phone.agent.publish(
        now,
        "presence",
        "application/pidf+xml",
        document,
        600,
        &mut out,
    );
    phone.run(seconds, &mut out)?;

    let now = phone.now();
    phone.agent.unsubscribe(now, id, &mut out);
    phone.agent.unpublish(now, "presence", &mut out);
    phone.agent.unregister(now, &mut out);
    phone.run(Duration::from_secs(1), &mut out)?;
    Ok(())
}

/// An agent, its socket, and the clock.
struct Phone {
    agent: Agent,
    socket: UdpSocket,
    start: Instant,
}

impl Phone {
    fn now(&self) -> Now {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            moment: Moment(micros(self.start.elapsed())),
            wall: WallTime(micros(wall.unwrap_or_default())),
        }
    }

    /// Sends, receives and minds the time for `span`.
    fn run(&mut self, span: Duration, out: &mut Outputs) -> Result<(), Box<dyn Error>> {
        let end = self.now().moment.after(span);
        let mut datagram = vec![0; 65_536];
        while self.now().moment < end {
            for message in out.datagrams.drain(..) {
                ignore_refusal(self.socket.send(&message))?;
            }
            out.events.drain(..).for_each(|event| print(&event));
            let due = self.agent.poll_timeout().map_or(end, |due| due.min(end));
            let wait = due.since(self.now().moment).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(wait))?;
            if let Some(length) = ignore_refusal(self.socket.recv(&mut datagram))? {
                let message = datagram.get(..length).unwrap_or_default();
                self.agent.handle_message(self.now(), message, out);
            }
            self.agent.handle_timeout(self.now(), out);
        }
        Ok(())
    }
}

/// No pool there, or nothing to read yet: the agent tries again by itself.
fn ignore_refusal(outcome: std::io::Result<usize>) -> std::io::Result<Option<usize>> {
    match outcome {
        Ok(length) => Ok(Some(length)),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::TimedOut | ErrorKind::WouldBlock => Ok(None),
            _ => Err(error),
        },
    }
}

fn print(event: &Event) {
    match event {
        Event::Notified(told) => match read_pidf(&told.body) {
            Some((open, notes)) => println!("presence: open {open}, notes {notes:?}"),
            None => println!("notified: {:?}", told.state),
        },
        event => println!("{event:?}"),
    }
}
