//! A hundred thousand users at one nlb: a presence server that is scripted, application servers
//! that take everything, and users, all in this process, so that the nlb is measured alone and one
//! clock times everything.
//!
//! Most users are between two requests and hold a session only; some hold a tunnel, too. Then some
//! go offline at a rate, and it is measured when the nlb says good-bye to each (it frees the slot
//! before that), and when the application server sees the tunnel closed.

mod people;
mod presence;
mod report;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::people::People;
use self::presence::Presence;
use self::report::{Report, Span, Spent};

/// What the run is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The nlb, for requests.
    #[arg(long)]
    http: SocketAddr,
    /// The nlb, for raw TCP whose first word is USER.
    #[arg(long)]
    tcp: SocketAddr,
    /// Where the scripted presence server listens for UDP.
    #[arg(long)]
    sip: SocketAddr,
    /// Where the application servers listen, with commas.
    #[arg(long, value_delimiter = ',')]
    apps: Vec<SocketAddr>,
    /// The nlb's process.
    #[arg(long)]
    pid: u32,
    #[arg(long, default_value_t = 100_000)]
    users: usize,
    /// How many of them hold a tunnel. Each costs the nlb two open files.
    #[arg(long, default_value_t = 8_000)]
    tunnels: usize,
    /// How many enter at a time.
    #[arg(long, default_value_t = 64)]
    window: usize,
    /// For how many seconds the presence server grants everything.
    #[arg(long, default_value_t = 240)]
    expires: u32,
    /// Everything is granted until the end of a period of so many seconds, so that all users are
    /// refreshed together, and users leave while they are; 0 for grants that end at random.
    #[arg(long, default_value_t = 0)]
    refresh_secs: u32,
    /// Seconds without a refresh that are measured.
    #[arg(long, default_value_t = 10)]
    idle: u64,
    /// How many go offline.
    #[arg(long, default_value_t = 3_000)]
    leave: usize,
    /// How many go offline in a second.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
}

/// Runs all phases and prints one line of JSON.
pub(crate) async fn run(arguments: Arguments) {
    let people = Rc::new(People::new(&arguments));
    people.serve(&arguments.apps).await;
    let presence = Presence::start(&arguments).await;
    let pid = arguments.pid;
    presence.wait_for_registrar().await;
    // Until the nlb has probed its application servers often enough.
    sleep(Duration::from_secs(6)).await;
    let mut report = Report::new(&arguments);
    let began = Instant::now();

    let before = Spent::of(pid);
    let first_tunnel = arguments.users - arguments.tunnels;
    people.enter(&arguments, first_tunnel).await;
    presence.wait_followed(first_tunnel).await;
    let entered = began.elapsed();
    let requested = Spent::of(pid);
    people.enter(&arguments, arguments.users).await;
    presence.wait_followed(arguments.users).await;
    sleep(Duration::from_secs(2)).await;
    report.entered(entered, before, requested, Spent::of(pid));

    let mut counts = presence.counts();
    if arguments.refresh_secs > 0 {
        let secs = arguments.refresh_secs;
        assert!(entered.as_secs() < u64::from(secs / 2), "all in one period");
        presence.wait_refreshing(counts, secs).await;
    }
    let refreshing = (Spent::of(pid), Instant::now());
    // Nothing is refreshed yet: that begins when nine twentieths of the grant are over.
    if arguments.refresh_secs == 0 {
        let before = Spent::of(pid);
        sleep(Duration::from_secs(arguments.idle)).await;
        report.idle(arguments.idle, before, Spent::of(pid));
    }
    let before = Spent::of(pid);
    let leavers = leavers(&arguments);
    let start = Instant::now();
    for (place, user) in leavers.iter().enumerate() {
        sleep_until(start + Duration::from_secs_f64(place as f64 / arguments.rate)).await;
        presence.close(*user);
    }
    let meanwhile = presence.counts().since(counts).asked();
    report.meanwhile(meanwhile, start.elapsed());
    let patience = presence.wait_gone(&leavers);
    let is_done = timeout(Duration::from_secs(60), patience).await.is_ok();
    let freed = presence.freed(&leavers);
    let cut = people.cut(&leavers, |user| presence.closed_at(user));
    report.left(
        before,
        Spent::of(pid),
        Span::of(freed),
        Span::of(cut),
        is_done,
    );
    report.others(
        presence.strangers_gone(&leavers),
        people.strangers_cut(&leavers),
    );

    let (mut before, mut start) = refreshing;
    if arguments.refresh_secs == 0 {
        (before, start) = (Spent::of(pid), Instant::now());
        counts = presence.counts();
    }
    let all = (arguments.users - arguments.leave) as u64;
    presence
        .wait_refreshed(counts, all, arguments.expires)
        .await;
    let after = presence.counts().since(counts);
    report.refreshed(start.elapsed(), before, Spent::of(pid), after);
    println!("{}", report.line());
}

/// Spread over all users, so that tunnels are among them in their share.
fn leavers(arguments: &Arguments) -> Vec<usize> {
    let step = (arguments.users / arguments.leave.max(1)).max(1);
    (0..arguments.users)
        .step_by(step)
        .take(arguments.leave)
        .collect()
}
