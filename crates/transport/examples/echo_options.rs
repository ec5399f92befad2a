//! Answers OPTIONS with 200 over UDP and TCP:
//! `cargo run -p presently-transport --example echo_options [ADDRESS]`. Without an address it asks
//! itself once over each and ends.

use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Instant;

use presently_sip::{
    Edits, Flow, Framing, Index, Method, Moment, Protocol, Response, Start, Writer,
};
use presently_transport::{Arrival, Arrivals, Listen, Transport};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args().nth(1);
    let address: SocketAddr = given.as_deref().unwrap_or("127.0.0.1:0").parse()?;
    let mut transport = Transport::bind(&[
        Listen::sip(Protocol::Udp, address),
        Listen::sip(Protocol::Tcp, address),
    ])?;
    let addresses = transport.local_addresses()?;
    println!("listening at {addresses:?}");
    let start = Instant::now();
    let now = || Moment(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
    let mut asked = 0;
    if let (None, [udp, tcp]) = (given, addresses.as_slice()) {
        let over_tcp = transport.connect(now(), 1, *tcp);
        for (flow, name) in [(Flow::udp(0, *udp), "UDP"), (over_tcp, "TCP")] {
            transport.send(flow, &options(name), b"");
            asked += 1;
        }
    }
    let (mut arrivals, mut index) = (Arrivals::default(), Index::default());
    let mut answered = 0;
    while asked == 0 || answered < asked {
        poll_fn(|cx| transport.poll_receive(cx, now(), &mut arrivals)).await;
        for item in &arrivals.items {
            let Arrival::Message { flow, range } = item else {
                continue;
            };
            match answer(&mut index, *flow, arrivals.bytes(range)) {
                Some(response) => transport.send(*flow, &response, b""),
                None => answered += 1,
            }
        }
        if transport.poll_timeout().is_some_and(|due| due <= now()) {
            transport.handle_timeout(now());
        }
    }
    println!("{:?}", transport.counters());
    Ok(())
}

/// The response to an OPTIONS; `None` for anything else, which is printed.
fn answer(index: &mut Index, flow: Flow, bytes: &[u8]) -> Option<Vec<u8>> {
    let framing = match flow.protocol {
        Protocol::Tcp => Framing::Stream,
        Protocol::Udp => Framing::Datagram,
    };
    let message = index.read(bytes, framing).ok()?;
    let Start::Request {
        method: Method::Options,
        ..
    } = message.start()
    else {
        println!("{}", String::from_utf8_lossy(bytes));
        return None;
    };
    let edits = Edits {
        source: Some(flow.remote),
        ..Edits::default()
    };
    let mut out = Vec::new();
    Response::to(&mut out, &message, &edits, 200, "echo").end();
    Some(out)
}

fn options(transport: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let via = format!("SIP/2.0/{transport} client.invalid;branch=z9hG4bK{transport};rport");
    let mut writer = Writer::request(&mut out, "OPTIONS", "sip:example.com");
    writer
        .header("Via", via)
        .header("Max-Forwards", 70)
        .header("From", "<sip:alice@example.com>;tag=1")
        .header("To", "<sip:example.com>")
        .header("Call-ID", transport)
        .header("CSeq", "1 OPTIONS");
    writer.end();
    out
}
