//! The story: users arrive, one vanishes, one loses the connection and resumes, one returns. Each
//! step has two seconds, beside the times that users take themselves.

use std::time::{Duration, Instant};

use presently_agent::Event;

use crate::client::uuid_in;
use crate::stage::{QUIET_AFTER, Stage};

/// Plays it and prints what was seen. With `is_silent`, the presence server is told of nobody who
/// leaves.
///
/// # Errors
///
/// What did not happen in time.
pub(crate) async fn tell(stage: &mut Stage, is_silent: bool) -> Result<(), String> {
    println!("\n1. Four users log on with their phones and ask for the application.");
    for name in ["alice", "bob", "carol", "dave"] {
        within(&format!("{name} gets a server"), arrive(stage, name)).await?;
    }
    println!("   slots: {}", stage.slots());
    println!("\n2. What the nlb did before alice had access, and after.");
    let admission = [
        "registered",
        "announced",
        "recorded",
        "admitted",
        "subscribed",
        "baseline",
    ];
    let seen = print_steps(stage, "alice", 0, &admission);
    let seen = within("alice's first steps", seen).await?;
    println!("\n3. alice vanishes: her packets are swallowed, and her phone logs off.");
    tokio::time::sleep(QUIET_AFTER).await;
    let vanished = vanish(stage, "alice", is_silent);
    let (place, freed) = within("alice's slot becomes free", vanished).await?;
    let farewell = [
        "decided",
        "released",
        "unsubscribed",
        "terminated",
        "unregistered",
        "purged",
    ];
    let steps = print_steps(stage, "alice", seen, &farewell);
    within("the nlb says good-bye for alice", steps).await?;
    print_nothing_left(stage, "alice").await?;
    println!("\n4. bob is using the application when his network changes.");
    within("bob resumes", resume(stage, "bob")).await?;
    println!("\n5. alice returns, some seconds later.");
    tokio::time::sleep_until((freed + GONE_FOR).into()).await;
    stage.move_networks("alice").await?;
    within("alice returns", come_back(stage, "alice", place)).await?;
    println!("\n6. What the nlb has counted.");
    let counted = stage.counted().await?.nlb;
    let early = counted.released_by_presence + counted.released_not_resumed;
    println!(
        "   slots released early: {early}, seconds saved against the time-out: {}",
        counted.saved_secs
    );
    println!(
        "   users who resumed: {}, wrong releases: {}",
        counted.resumed, counted.wrong_releases
    );
    println!("\nThat was the story.");
    Ok(())
}

/// Gives `step` its two seconds.
async fn within<T>(what: &str, step: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(STEP_BOUND, step).await {
        Ok(done) => done.map_err(|reason| format!("{what}: {reason}")),
        Err(_) => Err(format!("{what}: not within {STEP_BOUND:?}")),
    }
}

async fn arrive(stage: &mut Stage, name: &str) -> Result<(), String> {
    let person = stage.person(name);
    person.phone.log_on().await?;
    let asked = Instant::now();
    let server = person.connect(None).await?;
    let took = span(asked, Instant::now());
    let session = stage
        .session(name)
        .await?
        .ok_or("the nlb knows no session")?;
    let uuid = session.uuid;
    println!("   {name:<6} is greeted by {server} after {took}   UUID {uuid}");
    Ok(())
}

/// Waits until the user called `name` has made `expected` steps, in this order, behind the first
/// `from`; prints them, and says how many there are by then.
async fn print_steps(
    stage: &Stage,
    name: &str,
    from: usize,
    expected: &[&str],
) -> Result<usize, String> {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let steps = stage.steps(name).await?;
        let mut wanted = expected.iter().peekable();
        for step in steps.iter().skip(from) {
            wanted.next_if(|wanted| **wanted == step.step);
        }
        if wanted.peek().is_some() {
            continue;
        }
        let steps: Vec<_> = steps.iter().skip(from).collect();
        let first = steps.first().map_or(0, |step| step.at_micros);
        for step in &steps {
            let micros = step.at_micros.saturating_sub(first);
            let after = span_of(Duration::from_micros(micros));
            println!("   {after:>9}  {:<12} {}", step.step, step.detail);
        }
        return Ok(from + steps.len());
    }
}

/// Where `name` was, and when the slot was free.
async fn vanish(
    stage: &mut Stage,
    name: &str,
    is_silent: bool,
) -> Result<(&'static str, Instant), String> {
    let place = stage.server_of(name).ok_or("she has no slot")?;
    let person = stage.person(name);
    person.network.swallow();
    let known = if is_silent {
        Instant::now()
    } else {
        person.phone.log_off().await?
    };
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while stage.server_of(name).is_some() {
        looks.tick().await;
    }
    let freed = Instant::now();
    println!(
        "   {place} was rid of her {} after the presence server knew",
        span(known, freed)
    );
    println!("   her sockets are all open still: by time-outs alone the slot would be held for");
    println!("   3600 s more (the usual time-out of a tunnel) or 350 s (the shortest default)");
    println!("   slots: {}", stage.slots());
    Ok((place, freed))
}

/// S12: nothing of the user is left.
async fn print_nothing_left(stage: &mut Stage, name: &str) -> Result<(), String> {
    if stage.session(name).await?.is_some() {
        return Err(format!("the nlb still has a session of {name}"));
    }
    let is_known = stage.is_known(&format!("sip:{name}@example.com"))?;
    println!(
        "   the nlb has no session of {name}; the pool keeps {} of hers",
        if is_known { "something" } else { "nothing" }
    );
    Ok(())
}

async fn resume(stage: &mut Stage, name: &str) -> Result<(), String> {
    let place = stage.server_of(name).ok_or("he has no slot")?;
    let before = stage
        .session(name)
        .await?
        .ok_or("the nlb knows no session")?;
    let person = stage.person(name);
    let client = person.client.as_mut().ok_or("he is not connected")?;
    client.echo("typing").await?;
    person.network.swallow();
    let known = person.phone.log_off().await?;
    // Back at once, his watchers might be told of no more than that he is there.
    let decided = decided_upon(stage, name).await?;
    let person = stage.person(name);
    person.phone.log_on().await?;
    let (heard, uuid) = person.phone.hear_of(uuid_of).await?;
    println!(
        "   his phone was sent UUID={uuid}, {} after the presence server knew",
        span(known, heard)
    );
    stage.move_networks(name).await?;
    let server = stage.person(name).connect(Some(&uuid)).await?;
    println!(
        "   he is greeted by {server} again, {} after it knew",
        span(known, Instant::now())
    );
    let after = stage
        .session(name)
        .await?
        .ok_or("the nlb knows no session")?;
    if server != place || uuid != before.uuid || after.uuid != before.uuid {
        return Err(format!("he was at {place} with {}", before.uuid));
    }
    let steps = ["decided", "messaged", "resumed"];
    print_steps(stage, name, decided, &steps).await?;
    Ok(())
}

/// Waits until it is decided that the user called `name` is asked to come back, and says how many
/// steps were made before.
async fn decided_upon(stage: &Stage, name: &str) -> Result<usize, String> {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let steps = stage.steps(name).await?;
        let decided = steps
            .iter()
            .position(|step| step.detail.contains("asked to come back"));
        if let Some(decided) = decided {
            return Ok(decided);
        }
    }
}

async fn come_back(stage: &mut Stage, name: &str, place: &str) -> Result<(), String> {
    let person = stage.person(name);
    person.phone.log_on().await?;
    let server = person.connect(None).await?;
    println!("   {name} is greeted by {server}, where she was");
    println!("   slots: {}", stage.slots());
    if server == place {
        Ok(())
    } else {
        Err(format!("she was at {place}"))
    }
}

/// The UUID in a MESSAGE.
fn uuid_of(event: &Event) -> Option<String> {
    match event {
        Event::MessageReceived { body, .. } => uuid_in(body),
        _ => None,
    }
}

fn span(from: Instant, to: Instant) -> String {
    span_of(to.saturating_duration_since(from))
}

fn span_of(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1_000.0)
}

/// Far above what it takes, far below any time-out.
const STEP_BOUND: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Whoever is back sooner had not left, and the nlb counts that as its mistake.
const GONE_FOR: Duration = Duration::from_millis(5_200);
