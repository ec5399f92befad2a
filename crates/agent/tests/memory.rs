//! Goal: 100,000 agents fit into one process.
//! Method: count what is allocated for each that has registered, published and subscribed, has
//! been told something, and rests; one test only, so that nothing else of this process counts.

use std::alloc::System;
use std::time::Duration;

use presently_agent::{Agent, Config, Outputs, pidf};
use presently_sip::{
    Aor, Edits, Framing, Index, Moment, Now, Protocol, Response, WallTime, Writer,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const AGENTS: usize = 1_000;
/// Measured 2,640; what malloc adds to each of some thirty pieces is not counted.
const BYTES_MAX: usize = 3_000;

#[test]
fn an_agent_at_rest_is_small() {
    let template = config();
    let mut out = Outputs::default();
    // The first one grows what all share.
    drop(resting(&template, 0, &mut out));
    let region = Region::new(ALLOCATOR);
    let agents: Vec<Agent> = (0..AGENTS)
        .map(|number| resting(&template, number, &mut out))
        .collect();
    let change = region.change();
    let bytes = (change.bytes_allocated - change.bytes_deallocated) / AGENTS;
    println!(
        "{bytes} bytes an agent, {} of them in place",
        size_of::<Agent>()
    );
    assert!(bytes <= BYTES_MAX, "{bytes}");
    assert!(agents.iter().all(|agent| agent.dropped() == 0));
}

fn config() -> Config {
    let aor = Aor::parse("sip:nlb1@example.com").expect("an address of record");
    let mut config = Config::new(aor, Protocol::Udp, "192.0.2.7:5060", 0);
    config.route = Some("<sip:presence.example.com;lr>".to_owned());
    config
}

/// An agent that has done all that an nlb wants of one, and waits for its next refresh.
fn resting(template: &Config, number: usize, out: &mut Outputs) -> Agent {
    let aor = format!("sip:nlb1.{number:016x}@example.com");
    let aor = Aor::parse(&aor).expect("an address of record");
    let user = Aor::parse(&format!("sip:user{number}@example.com")).expect("another");
    let mut config = template.clone();
    config.aor = aor.clone();
    config.seed = number.try_into().expect("small");
    let mut agent = Agent::new(config);
    let mut now = Now {
        moment: Moment(1),
        wall: WallTime(1),
    };
    agent.register(now, 3600, out);
    let document = pidf(&aor, true, Some("https://app.example.com/"));
    agent.publish(now, "presence", "application/pidf+xml", document, 3600, out);
    agent.subscribe(now, &user, "presence", 3600, &["application/pidf+xml"], out);
    let mut subscribe = Vec::new();
    for request in std::mem::take(&mut out.datagrams) {
        agent.handle_message(now, &answer(&request), out);
        if request.starts_with(b"SUBSCRIBE") {
            subscribe = request.to_vec();
        }
    }
    for cseq in 1..=3 {
        agent.handle_message(now, &notify(&subscribe, &user, cseq), out);
        now.moment = now.moment.after(Duration::from_secs(40));
        agent.handle_timeout(now, out);
    }
    assert_eq!(out.datagrams.len(), 3, "each NOTIFY was answered");
    assert_eq!(out.events.len(), 6, "{:?}", out.events);
    out.datagrams.clear();
    out.events.clear();
    agent
}

fn answer(request: &[u8]) -> Vec<u8> {
    let mut index = Index::default();
    let message = index.read(request, Framing::Datagram).expect("whole");
    let mut text = Vec::new();
    let edits = Edits::default();
    let mut response = Response::to(&mut text, &message, &edits, 200, "aJ4bC9dE1fGh2");
    response
        .header("Expires", 3600)
        .header("Contact", "<sip:owner@presence.example.com>")
        .header("Record-Route", "<sip:presence.example.com;lr>")
        .header("SIP-ETag", "a.17.1b2f3c4d");
    response.end();
    text
}

fn notify(subscribe: &[u8], user: &Aor, cseq: u32) -> Vec<u8> {
    let text = std::str::from_utf8(subscribe).expect("text");
    let header = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
        lines.next().expect("every request has it")
    };
    let mut out = Vec::new();
    let mut writer = Writer::request(&mut out, "NOTIFY", "sip:phone@192.0.2.7:5060");
    let via = format!("SIP/2.0/UDP presence.example.com;branch=z9hG4bK{cseq}");
    writer
        .header("Via", via)
        .header("Max-Forwards", 70)
        .header("From", format!("<{user}>;tag=aJ4bC9dE1fGh2"))
        .header("To", header("From: "))
        .header("Call-ID", header("Call-ID: "))
        .header("CSeq", format!("{cseq} NOTIFY"))
        .header("Contact", "<sip:owner@presence.example.com>")
        .header("Event", "presence")
        .header("Subscription-State", "active;expires=3600");
    writer.body("application/pidf+xml", &pidf(user, true, None));
    out
}
