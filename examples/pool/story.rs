//! The story: four people log on, watch each other, publish and leave. Each step has two seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use presently_agent::{Event, pidf, read_pidf};
use presently_sip::Aor;

use crate::scene::{Scene, Woken};

/// Plays it and prints what was seen.
///
/// # Errors
///
/// What did not happen in time.
pub(crate) async fn tell(scene: &mut Scene) -> Result<(), String> {
    println!("\n1. Four phones log on; each gets the server with the fewest clients.");
    for name in ["alice", "bob", "carol", "dave"] {
        within(&format!("{name} logs on"), log_on(scene, name)).await?;
    }
    println!("\n2. bob, carol and dave watch alice.");
    for name in ["bob", "carol", "dave"] {
        let what = format!("{name} watches alice");
        within(&what, watch(scene, name, "alice")).await?;
    }
    println!("   subscriptions: {}", scene.subscriptions()?);
    println!(
        "\n3. alice says where she is: one commit, one wake for each other server with a watcher."
    );
    let everybody = ["bob", "carol", "dave"];
    let news = News::open("alice", "in the garden");
    within("alice publishes", publish(scene, &news, &everybody)).await?;
    println!("\n4. alice changes her mind.");
    let news = News::open("alice", "on the phone");
    within("alice publishes again", publish(scene, &news, &everybody)).await?;
    println!("\n5. alice watches dave; dave comes and goes.");
    within("alice watches dave", watch(scene, "alice", "dave")).await?;
    let news = News::open("dave", "at work");
    within("dave publishes", publish(scene, &news, &["alice"])).await?;
    within("dave goes offline", go_offline(scene, "dave", "alice")).await?;
    println!("\nThat was the story.");
    Ok(())
}

/// What somebody publishes.
struct News {
    presentity: &'static str,
    note: &'static str,
}

impl News {
    fn open(presentity: &'static str, note: &'static str) -> Self {
        Self { presentity, note }
    }
}

/// Gives `step` its two seconds.
async fn within(what: &str, step: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    match tokio::time::timeout(STEP_BOUND, step).await {
        Ok(done) => done.map_err(|reason| format!("{what}: {reason}")),
        Err(_) => Err(format!(
            "{what}: not everything was seen within {STEP_BOUND:?}"
        )),
    }
}

async fn log_on(scene: &mut Scene, name: &str) -> Result<(), String> {
    let actor = scene.actor(name);
    let aor = actor.aor.clone();
    let asked = actor
        .ask(|agent, now, out| agent.register(now, 600, out))
        .await;
    let registered = |event: &Event| matches!(event, Event::Registered { .. }).then_some(());
    let (at, ()) = actor.hear(registered).await?;
    let server = scene.server_of(&aor)?;
    let clients = scene.clients()?;
    println!(
        "   {name:<6} is at {server} after {}   clients: {clients}",
        span(asked, at)
    );
    Ok(())
}

async fn watch(scene: &mut Scene, watcher: &str, presentity: &str) -> Result<(), String> {
    let target = scene.actor(presentity).aor.clone();
    let actor = scene.actor(watcher);
    let asked = actor
        .ask(move |agent, now, out| {
            agent.subscribe(now, &target, PACKAGE, 600, &[PIDF], out);
        })
        .await;
    let (at, state) = actor.hear(|event| shown(event, |_| true)).await?;
    let span = span(asked, at);
    println!("   {watcher:<6} was told after {span} that {presentity} is {state}");
    Ok(())
}

/// Publishes, then shows the answer, the version, who was told, and which servers were woken for it.
async fn publish(scene: &mut Scene, news: &News, watchers: &[&str]) -> Result<(), String> {
    let before = scene.woken().await?;
    let actor = scene.actor(news.presentity);
    let aor = actor.aor.clone();
    let body = pidf(&aor, true, Some(news.note));
    let asked = actor
        .ask(move |agent, now, out| agent.publish(now, PACKAGE, PIDF, body, 600, out))
        .await;
    let published = |event: &Event| matches!(event, Event::Published { .. }).then_some(());
    let (at, ()) = actor.hear(published).await?;
    print_commit(scene, news.presentity, &aor, span(asked, at))?;
    for watcher in watchers {
        let is_news = |text: &str| text.contains(news.note);
        let heard = scene
            .actor(watcher)
            .hear(|event| shown(event, is_news))
            .await;
        print_told(scene, watcher, asked, heard?)?;
    }
    print_woken(&before, &scene.woken().await?);
    Ok(())
}

async fn go_offline(scene: &mut Scene, name: &str, watcher: &str) -> Result<(), String> {
    let before = scene.woken().await?;
    let actor = scene.actor(name);
    let aor = actor.aor.clone();
    let asked = actor
        .ask(|agent, now, out| {
            agent.unpublish(now, PACKAGE, out);
            agent.unregister(now, out);
        })
        .await;
    let gone = |event: &Event| matches!(event, Event::Unregistered).then_some(());
    let (at, ()) = actor.hear(gone).await?;
    print_commit(scene, name, &aor, span(asked, at))?;
    let is_closed = |text: &str| text.starts_with("closed");
    let heard = scene
        .actor(watcher)
        .hear(|event| shown(event, is_closed))
        .await;
    print_told(scene, watcher, asked, heard?)?;
    print_woken(&before, &scene.woken().await?);
    println!("   clients: {}", scene.clients()?);
    Ok(())
}

fn print_commit(scene: &mut Scene, name: &str, aor: &Aor, span: String) -> Result<(), String> {
    let (server, version) = (scene.server_of(aor)?, scene.version_of(aor)?);
    println!("   {name} has the answer after {span}; committed by {server} as version {version}");
    Ok(())
}

fn print_told(
    scene: &mut Scene,
    watcher: &str,
    asked: Instant,
    (at, state): (Instant, String),
) -> Result<(), String> {
    let aor = scene.actor(watcher).aor.clone();
    let server = scene.server_of(&aor)?;
    let span = span(asked, at);
    println!("   {watcher:<6} at {server} was told after {span}: {state}");
    Ok(())
}

fn print_woken(before: &BTreeMap<String, Woken>, after: &BTreeMap<String, Woken>) {
    for (server, now) in after {
        let then = before.get(server).copied().unwrap_or_default();
        let datagrams = now.datagrams.saturating_sub(then.datagrams);
        let wakes = now.wakes.saturating_sub(then.wakes);
        if datagrams > 0 || wakes > 0 {
            println!("   {server} was woken by {datagrams} datagram(s), {wakes} wake(s)");
        } else {
            println!("   {server} was not woken");
        }
    }
}

/// The state that a NOTIFY shows, if `is_wanted` takes it.
fn shown(event: &Event, is_wanted: impl Fn(&str) -> bool) -> Option<String> {
    let Event::Notified(notified) = event else {
        return None;
    };
    let (is_open, notes) = read_pidf(&notified.body)?;
    let state = if is_open { "open" } else { "closed" };
    let text = match notes.as_slice() {
        [] => state.to_owned(),
        notes => format!("{state}, \"{}\"", notes.join("; ")),
    };
    is_wanted(&text).then_some(text)
}

fn span(from: Instant, to: Instant) -> String {
    let span = to.saturating_duration_since(from);
    format!("{:.1} ms", span.as_secs_f64() * 1_000.0)
}

const PACKAGE: &str = "presence";
const PIDF: &str = "application/pidf+xml";
/// Far above what a healthy pool needs, far below the slow sweep that would hide a lost wake.
const STEP_BOUND: Duration = Duration::from_secs(2);
