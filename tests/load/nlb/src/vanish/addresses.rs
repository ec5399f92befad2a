//! Addresses of the users' namespace.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

/// What becomes of an address.
#[derive(Clone, Copy)]
pub(super) enum Verb {
    Add,
    Delete,
}

/// Adds or deletes addresses on the namespace's loopback device; returns once the kernel has done
/// so.
pub(super) async fn addresses(verb: Verb, list: Vec<Ipv4Addr>) {
    if list.is_empty() {
        return;
    }
    let done = tokio::task::spawn_blocking(move || change(verb, &list)).await;
    done.expect("ip does what it is told");
}

fn change(verb: Verb, list: &[Ipv4Addr]) {
    let verb = match verb {
        Verb::Add => "add",
        Verb::Delete => "del",
    };
    let mut ip = Command::new("ip");
    let ip = ip.args(["-batch", "-"]).stdin(Stdio::piped()).spawn();
    let mut ip = ip.expect("ip can be started");
    let lines = list.iter();
    let lines: String = lines
        .map(|it| format!("addr {verb} {it}/32 dev lo\n"))
        .collect();
    let mut input = ip.stdin.take().expect("it is piped");
    input.write_all(lines.as_bytes()).expect("ip reads");
    drop(input);
    let is_done = ip.wait().expect("ip ends").success();
    assert!(is_done, "ip addr {verb} failed");
}
