//! The story: four people log on, watch each other, publish and leave. Each step has two seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use presently_agent::{Event, SubscriptionId, pidf, read_pidf};

use crate::scene::Scene;

/// Plays it and prints what was seen.
///
/// # Errors
///
/// What did not happen in time.
pub(crate) async fn tell(scene: &mut Scene) -> Result<(), String> {
    within("the servers begin", scene.settle()).await?;
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
    println!("\n5. alice watches carol, who publishes and then goes offline with all she had.");
    within("alice watches carol", watch(scene, "alice", "carol")).await?;
    let news = News::open("carol", "at work");
    within("carol publishes", publish(scene, &news, &["alice"])).await?;
    let leaving = go_offline(scene, "carol", "alice");
    within("carol goes offline", leaving).await?;
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
    let (at, ()) = scene.hear_of(name, registered).await?;
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
    let (at, (id, state)) = scene
        .hear_of(watcher, |event| {
            Some((id_of(event)?, shown(event, &|_: &str| true)?))
        })
        .await?;
    let span = span(asked, at);
    println!("   {watcher:<6} was told after {span} that {presentity} is {state}");
    scene.actor(watcher).watches.push(id);
    Ok(())
}

/// Publishes, and waits until the publisher has its answer and each of `watchers` was told.
async fn publish(scene: &mut Scene, news: &News, watchers: &[&str]) -> Result<(), String> {
    let before = scene.woken().await?;
    let actor = scene.actor(news.presentity);
    let body = pidf(&actor.aor, true, Some(news.note));
    let asked = actor
        .ask(move |agent, now, out| agent.publish(now, PACKAGE, PIDF, body, 600, out))
        .await;
    let published = |event: &Event| matches!(event, Event::Published { .. });
    let is_news = |text: &str| text.contains(news.note);
    let change = Change::of(news.presentity, asked, watchers);
    change.follow(scene, published, is_news, &before).await
}

async fn go_offline(scene: &mut Scene, name: &str, watcher: &str) -> Result<(), String> {
    let before = scene.woken().await?;
    let actor = scene.actor(name);
    let watches = std::mem::take(&mut actor.watches);
    let asked = actor
        .ask(move |agent, now, out| {
            for watch in watches {
                agent.unsubscribe(now, watch, out);
            }
            agent.unpublish(now, PACKAGE, out);
            agent.unregister(now, out);
        })
        .await;
    let gone = |event: &Event| matches!(event, Event::Unregistered);
    let is_closed = |text: &str| text.starts_with("closed");
    let change = Change::of(name, asked, &[watcher]);
    change.follow(scene, gone, is_closed, &before).await?;
    println!("   clients: {}", scene.clients()?);
    Ok(())
}

/// A change on its way to the watchers.
struct Change<'a> {
    presentity: &'a str,
    asked: Instant,
    watchers: Vec<&'a str>,
    answered: Option<Instant>,
    told: Vec<(&'a str, Instant, String)>,
}

impl<'a> Change<'a> {
    fn of(presentity: &'a str, asked: Instant, watchers: &[&'a str]) -> Self {
        Self {
            presentity,
            asked,
            watchers: watchers.to_vec(),
            answered: None,
            told: Vec::new(),
        }
    }

    /// Waits for everybody, for two seconds, and shows what was heard, also when somebody is
    /// missing. A server that no datagram reaches looks into the store by itself after a while;
    /// who hears by that way counts as missing.
    async fn follow(
        mut self,
        scene: &mut Scene,
        is_answer: impl Fn(&Event) -> bool,
        is_news: impl Fn(&str) -> bool,
        before: &BTreeMap<String, u64>,
    ) -> Result<(), String> {
        let until = Instant::now() + HEARING_BOUND;
        let hearing = self.hear(scene, is_answer, is_news);
        // Only heard here and looked up afterwards: a look into the store would delay the next
        // line.
        tokio::time::timeout_at(until.into(), hearing)
            .await
            .unwrap_or(Ok(()))?;
        if !self.unwoken(scene, before).await?.is_empty() {
            tokio::time::sleep_until(until.into()).await;
        }
        self.print(scene)?;
        print_woken(before, &scene.woken().await?);
        let unwoken = self.unwoken(scene, before).await?;
        let is_told = |name: &str| self.told.iter().any(|(told, ..)| *told == name);
        let watchers = self.watchers.iter().copied();
        let untold: Vec<_> = watchers.filter(|name| !is_told(name)).collect();
        match (untold.as_slice(), unwoken.as_slice(), self.answered) {
            ([], [], Some(_)) => Ok(()),
            ([], [], None) => Err(format!("within 2 s nobody answered {}", self.presentity)),
            ([], names, _) => Err(format!(
                "within 2 s no datagram woke the server of {}, which only looked into the store",
                names.join(", ")
            )),
            (names, ..) => Err(format!("within 2 s nobody told {}", names.join(", "))),
        }
    }

    /// Watchers who were told although no datagram woke their server, which is not the
    /// presentity's.
    async fn unwoken(
        &self,
        scene: &mut Scene,
        before: &BTreeMap<String, u64>,
    ) -> Result<Vec<&'a str>, String> {
        let woken = scene.woken().await?;
        let presentity = scene.actor(self.presentity).aor.clone();
        // Whoever went offline has no server any more, and none to compare with.
        let own = scene.server_of(&presentity)?;
        let mut found = Vec::new();
        for (name, ..) in &self.told {
            let aor = scene.actor(name).aor.clone();
            let server = scene.server_of(&aor)?;
            let is_woken = woken.get(&server) > before.get(&server);
            if server != own && !is_woken {
                found.push(*name);
            }
        }
        Ok(found)
    }

    async fn hear(
        &mut self,
        scene: &mut Scene,
        is_answer: impl Fn(&Event) -> bool,
        is_news: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        while self.answered.is_none() || self.told.len() < self.watchers.len() {
            let (name, at, event) = scene.hear().await?;
            if name == self.presentity && is_answer(&event) {
                self.answered = Some(at);
            }
            let is_waiting = self.told.iter().all(|(told, ..)| *told != name);
            let watcher = self.watchers.iter().find(|watcher| **watcher == name);
            if let (Some(watcher), true) = (watcher, is_waiting) {
                self.told
                    .extend(shown(&event, &is_news).map(|state| (*watcher, at, state)));
            }
        }
        Ok(())
    }

    fn print(&self, scene: &mut Scene) -> Result<(), String> {
        if let Some(at) = self.answered {
            let (name, span) = (self.presentity, span(self.asked, at));
            let aor = scene.actor(name).aor.clone();
            let (server, version) = (scene.server_of(&aor)?, scene.version_of(&aor)?);
            let place = format!("version {version}, {name} at {server}");
            println!("   {name:<6} has the answer after {span}; the store: {place}");
        }
        for (name, at, state) in &self.told {
            let aor = scene.actor(name).aor.clone();
            let server = scene.server_of(&aor)?;
            let span = span(self.asked, *at);
            println!("   {name:<6} at {server} was told after {span}: {state}");
        }
        Ok(())
    }
}

fn print_woken(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) {
    let texts = after.iter().map(|(server, now)| {
        let then = before.get(server).copied().unwrap_or_default();
        let datagrams = now.saturating_sub(then);
        match datagrams {
            0 => format!("{server} by none"),
            1 => format!("{server} by 1 datagram"),
            more => format!("{server} by {more} datagrams"),
        }
    });
    let texts: Vec<_> = texts.collect();
    println!("   woken: {}", texts.join(", "));
}

/// The state that a NOTIFY shows, if `is_wanted` takes it.
fn shown(event: &Event, is_wanted: &impl Fn(&str) -> bool) -> Option<String> {
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

fn id_of(event: &Event) -> Option<SubscriptionId> {
    match event {
        Event::Notified(notified) => Some(notified.id),
        _ => None,
    }
}

fn span(from: Instant, to: Instant) -> String {
    let span = to.saturating_duration_since(from);
    format!("{:.1} ms", span.as_secs_f64() * 1_000.0)
}

const PACKAGE: &str = "presence";
const PIDF: &str = "application/pidf+xml";
/// Far above what a healthy pool needs, far below the slow sweep that would hide a lost wake.
const STEP_BOUND: Duration = Duration::from_secs(2);
/// The rest of a step's time is for saying what was heard.
const HEARING_BOUND: Duration = Duration::from_millis(1_900);
