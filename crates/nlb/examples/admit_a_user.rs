//! One user asks for an application server, and the machine's steps are printed until it admits
//! him: `cargo run -p presently-nlb --example admit_a_user`.
//!
//! No socket, no clock: a presence server of a few lines answers, and the store takes everything.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use presently_nlb::{
    Config, Entering, Input, Nlb, Outputs, PathId, PathKind, Server, Traffic, Verdict,
};
use presently_sip::{Aor, Edits, Framing, Index, Method, Moment, Now, Response, Start, WallTime};
use presently_store::{Completion, Outcome};

fn main() -> Result<(), Box<dyn Error>> {
    let now = Now {
        moment: Moment(0),
        wall: WallTime(1_800_000_000_000_000),
    };
    let server = Server {
        name: "desk-1".into(),
        address: "127.0.0.1:9001".parse()?,
        slots: Some(10),
        weight: 1,
    };
    let config = Config {
        aor: Aor::parse("sip:nlb1@example.com")?,
        ..Config::default()
    };
    // The seed: random in earnest, because UUIDs follow from it.
    let mut nlb = Nlb::new(config, vec![server], now, [7; 16], Vec::new());
    let mut out = Outputs::default();
    nlb.handle_timeout(now, &mut out);
    let alice = Entering {
        path: PathId(1),
        user: Some(Aor::parse("sip:alice@example.com")?),
        device: None,
        uuid: None,
        kind: PathKind::Http,
        source: "192.0.2.1:40000".parse()?,
        resource: "example.com/desk".into(),
        opened: now.moment,
        traffic: Arc::new(Traffic::new(now.moment)),
    };
    nlb.handle_input(now, Input::Enter(Box::new(alice)), &mut out);
    for round in 1..=ROUNDS_MAX {
        let now = Now {
            moment: now.moment.after(Duration::from_millis(round)),
            ..now
        };
        for step in out.steps.drain(..) {
            println!("{} ms  {}  {:?}", round - 1, step.user, step.what);
        }
        for verdict in out.verdicts.drain(..) {
            if let Verdict::Admit {
                server, address, ..
            } = verdict
            {
                println!("alice may go to {server} at {address}");
                return Ok(());
            }
        }
        let mut next = Outputs::default();
        for message in out.messages.drain(..) {
            if let Some(answer) = answer(&message)? {
                nlb.handle_input(now, Input::Sip(&answer), &mut next);
            }
        }
        for (ticket, _) in out.operations.drain(..) {
            let result = Ok(Outcome::Done);
            let done = Input::Stored(Completion { ticket, result });
            nlb.handle_input(now, done, &mut next);
        }
        if nlb.poll_timeout().is_some_and(|due| due <= now.moment) {
            nlb.handle_timeout(now, &mut next);
        }
        out = next;
    }
    Err("alice was not admitted".into())
}

/// What a presence server says to a request; nothing to an answer.
fn answer(bytes: &[u8]) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    let mut index = Index::default();
    let message = index.read(bytes, Framing::Datagram)?;
    let Start::Request { method, .. } = message.start() else {
        return Ok(None);
    };
    let first = String::from_utf8_lossy(bytes);
    let first = first.lines().next().unwrap_or_default();
    println!("      to the presence server: {first}");
    let mut text = Vec::new();
    let mut answer = Response::to(&mut text, &message, &Edits::default(), 200, "presence");
    answer.header("Expires", 600);
    match method {
        Method::Publish => answer.header("SIP-ETag", "tag"),
        _ => answer.header("Contact", "<sip:presence@192.0.2.2>"),
    };
    answer.end();
    Ok(Some(text))
}

/// Registered, announced and recorded, one after another, and room for more.
const ROUNDS_MAX: u64 = 20;
