//! A first look at the store: one publication finds its watcher's server.
//!
//! `cargo run -p presently-store --features sqlite --example read_a_store`

use std::error::Error;
use std::task::{Context, Waker};

use bytes::Bytes;
use presently_pool::{FlowToken, MemberId, Membership, PackageName, ResourceId, Role};
use presently_sip::{Aor, Flow, WallTime};
use presently_store::sqlite::Inline;
use presently_store::{
    Activated, Change, DialogId, Operation, Outcome, Publication, Repeat, Store, Subscription,
    SubscriptionState, Ticket,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut store = Inline::open_in_memory()?;

    // A pool is a balancer and servers. Joining begins a life: each operation is checked against
    // it.
    let balancer = join(&mut store, "balancer", Role::Balancer)?;
    let servers = [
        join(&mut store, "server a", Role::Server)?,
        join(&mut store, "server b", Role::Server)?,
    ];

    // The balancer gives each client the server with the fewest clients; that server activates it.
    let alice = Aor::from_canonical("sip:alice@example.com");
    let bob = Aor::from_canonical("sip:bob@example.com");
    let (at_alice, her) = log_on(&mut store, balancer, servers, &alice)?;
    let (at_bob, his) = log_on(&mut store, balancer, servers, &bob)?;

    // Bob's actor commits a subscription to Alice's presence; the same commit reads her document.
    let presence = ResourceId {
        aor: alice,
        package: PackageName::new("presence"),
    };
    let changes = vec![
        Change::PutSubscription(Box::new(subscription(&presence)?)),
        Change::ReadDocument(presence.clone()),
    ];
    let outcome = commit(&mut store, at_bob, &his, changes)?;
    println!("bob's first NOTIFY would carry {outcome:?}\n");

    // Alice's actor commits a publication and her document. It learns whom to wake.
    let changes = vec![
        Change::PutPublication {
            publication: publication(&presence)?,
            replaces: None,
        },
        Change::WriteDocument {
            resource: presence.clone(),
            content_type: "application/pidf+xml".into(),
            body: Bytes::from_static(b"<presence/>"),
        },
    ];
    let outcome = commit(&mut store, at_alice, &her, changes)?;
    println!("alice's server wakes {outcome:?}\n");

    // Bob's server was woken and reads what the wake was about.
    let outcome = ask(
        &mut store,
        Operation::Documents {
            resources: vec![presence],
        },
    )?;
    println!("bob's server reads {outcome:?}");
    Ok(())
}

/// Does one operation. A driver submits a turn's operations together and polls in its loop.
fn ask(store: &mut impl Store, operation: Operation) -> Result<Outcome, Box<dyn Error>> {
    store.submit(&mut vec![(Ticket(0), operation)]);
    let mut done = Vec::new();
    let ready = store.poll(&mut Context::from_waker(Waker::noop()), &mut done);
    assert!(ready.is_ready(), "this store is finished at once");
    let completion = done.pop().ok_or("one operation, one completion")?;
    Ok(completion.result?)
}

fn join(store: &mut impl Store, name: &str, role: Role) -> Result<Membership, Box<dyn Error>> {
    let operation = Operation::Join {
        name: name.into(),
        over: None,
        role,
        host: "localhost".into(),
        pid: 1,
        started: 1,
        sip: None,
        oob: None,
        weight: 1,
        seed: [0; 16],
    };
    match ask(store, operation)? {
        Outcome::Joined { membership, .. } => Ok(membership),
        other => Err(format!("not joined: {other:?}").into()),
    }
}

fn log_on(
    store: &mut impl Store,
    balancer: Membership,
    servers: [Membership; 2],
    client: &Aor,
) -> Result<(Membership, Activated), Box<dyn Error>> {
    let assign = Operation::Assign {
        by: balancer,
        client: client.clone(),
        create: true,
        now: WallTime(0),
    };
    let Outcome::Assigned(Some(assignment)) = ask(store, assign)? else {
        return Err("no server is alive".into());
    };
    println!("{client:?} is assigned: {assignment:?}");
    let by = servers
        .into_iter()
        .find(|by| by.member == assignment.server)
        .ok_or("a server of ours")?;
    let activate = Operation::Activate {
        by,
        client: client.clone(),
    };
    match ask(store, activate)? {
        Outcome::Activated(Some(activated)) => Ok((by, *activated)),
        other => Err(format!("not activated: {other:?}").into()),
    }
}

fn commit(
    store: &mut impl Store,
    by: Membership,
    activated: &Activated,
    changes: Vec<Change>,
) -> Result<Outcome, Box<dyn Error>> {
    let operation = Operation::Commit {
        by,
        client: activated.client,
        epoch: activated.epoch,
        changes,
        release_at: WallTime(32_000_000),
    };
    ask(store, operation)
}

fn publication(presence: &ResourceId) -> Result<Publication, Box<dyn Error>> {
    Ok(Publication {
        resource: presence.clone(),
        tag: "first".parse()?,
        content_type: "application/pidf+xml".into(),
        body: Bytes::from_static(b"<presence/>"),
        flow: flow()?,
        modified_at: WallTime(0),
        expires_at: WallTime(3_600_000_000),
        repeat: Repeat::default(),
    })
}

fn subscription(presence: &ResourceId) -> Result<Subscription, Box<dyn Error>> {
    Ok(Subscription {
        resource: presence.clone(),
        dialog: DialogId {
            call_id: "1@192.0.2.7".into(),
            local_tag: "ours".into(),
            remote_tag: "bob's".into(),
        },
        event_id: "".into(),
        local_uri: "<sip:alice@example.com>".into(),
        remote_uri: "<sip:bob@example.com>".into(),
        local_target: "sip:pool.example.com".into(),
        remote_target: "sip:bob@192.0.2.7".into(),
        route_set: Vec::new(),
        is_proxied: false,
        flow: flow()?,
        remote_cseq: 1,
        cseq_base: 1,
        cseq_activation: 1,
        state: SubscriptionState::Active,
        accept: "".into(),
        expires_at: WallTime(3_600_000_000),
        owed: true,
        repeat: Repeat::default(),
    })
}

fn flow() -> Result<FlowToken, Box<dyn Error>> {
    Ok(FlowToken {
        balancer: MemberId(1),
        flow: Flow::udp(0, "192.0.2.7:5060".parse()?),
    })
}
