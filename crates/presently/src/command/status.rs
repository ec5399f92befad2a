//! `presently status`: the members of a pool at a glance.

use std::error::Error;

use presently_pool::{Member, MemberState, Role};
use serde::Serialize;

use super::store;
use crate::cli::StoreArgs;

pub(crate) fn run(args: &StoreArgs) -> Result<(), Box<dyn Error>> {
    let status = store::open(args)?.status()?;
    let members = status.members.iter().map(|member| {
        let of_it = status.subscriptions.iter().find(|(id, _)| *id == member.id);
        Row::new(member, of_it.map_or(0, |(_, count)| *count))
    });
    let status = Status {
        clients: status.clients,
        members: members.collect(),
    };
    if args.json {
        println!("{}", serde_json::to_string(&status)?);
        return Ok(());
    }
    println!(
        "{:<12} {:<9} {:<6} {:>8} {:>14}",
        "member", "role", "state", "clients", "subscriptions"
    );
    for row in &status.members {
        println!(
            "{:<12} {:<9} {:<6} {:>8} {:>14}",
            row.name, row.role, row.state, row.clients, row.subscriptions
        );
    }
    println!("{} clients", status.clients);
    Ok(())
}

#[derive(Serialize)]
struct Status {
    clients: u64,
    members: Vec<Row>,
}

/// One member, as it is shown.
#[derive(Serialize)]
struct Row {
    name: String,
    role: &'static str,
    state: &'static str,
    incarnation: u64,
    beat: u64,
    sip: Option<String>,
    oob: Option<String>,
    weight: u32,
    clients: u64,
    subscriptions: u64,
}

impl Row {
    fn new(member: &Member, subscriptions: u64) -> Self {
        Self {
            name: member.name.to_string(),
            role: match member.role {
                Role::Balancer => "balancer",
                Role::Server => "server",
            },
            state: match member.state {
                MemberState::Alive if member.is_draining => "draining",
                MemberState::Alive => "alive",
                MemberState::Ended => "ended",
                MemberState::Left => "left",
            },
            incarnation: member.incarnation.0,
            beat: member.beat,
            sip: member.sip.map(|address| address.to_string()),
            oob: member.oob.map(|address| address.to_string()),
            weight: member.weight,
            clients: member.clients,
            subscriptions,
        }
    }
}
