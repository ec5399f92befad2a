//! `presently status`: the members of a pool at a glance.

use std::error::Error;

use presently_pool::{Member, MemberState, Role};
use serde::Serialize;

use super::store;
use super::table::{Side, counted, table};
use crate::cli::StoreArgs;
use crate::output;

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
        return Ok(output::line(serde_json::to_string(&status)?)?);
    }
    let rows: Vec<_> = status.members.iter().map(Row::cells).collect();
    output::print(table(HEADS, &rows))?;
    Ok(output::line(counted(status.clients, "client"))?)
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

    /// What a person is shown of it, under [`HEADS`].
    fn cells(&self) -> [String; 5] {
        [
            self.name.clone(),
            self.role.to_owned(),
            self.state.to_owned(),
            self.clients.to_string(),
            self.subscriptions.to_string(),
        ]
    }
}

const HEADS: [(&str, Side); 5] = [
    ("member", Side::Left),
    ("role", Side::Left),
    ("state", Side::Left),
    ("clients", Side::Right),
    ("subscriptions", Side::Right),
];
