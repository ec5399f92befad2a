//! Users with one long session each, some of whom vanish without a packet. Runs inside the users'
//! network namespace.
//!
//! Events go to stdout, one a line, as `EPOCH_MS EVENT USER SESSION DETAIL`: `open` (kind, class,
//! server, address), `vanish` (gone or frozen), `spoke` (when the one who vanishes last sent
//! something), `return`, `glitch` (seconds), `back`, `cut` (as the user sees it), `fail`, `end`.

mod addresses;
mod life;

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::addresses::{Verb, addresses};
use self::life::{live, say};
use crate::wall::now_ms;

/// What the story is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The proxy, for requests and upgrades.
    #[arg(long)]
    http: SocketAddr,
    /// The proxy, for raw TCP.
    #[arg(long)]
    tcp: SocketAddr,
    /// Users have addresses in `10.OCTET.0.0/16`.
    #[arg(long, default_value_t = 101)]
    octet: u8,
    /// Divides every duration of the story.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    #[arg(long, default_value_t = 1000)]
    users: usize,
    /// Length of the story.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Users vanish in the first minutes only.
    #[arg(long, default_value_t = 5.0)]
    vanish_minutes: f64,
    /// Of the connected users, a minute.
    #[arg(long, default_value_t = 5.0)]
    vanish_pct: f64,
    /// Of the connected users, a minute.
    #[arg(long, default_value_t = 1.0)]
    glitch_pct: f64,
    /// Of those who vanish: the program stops, the kernel goes on.
    #[arg(long, default_value_t = 50.0)]
    frozen_pct: f64,
    /// Of those who vanish.
    #[arg(long, default_value_t = 50.0)]
    return_pct: f64,
    #[arg(long, default_value_t = 5.0)]
    return_min: f64,
    /// Users send the balancer's cookie of before.
    #[arg(long)]
    keep_cookie: bool,
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Seconds to stay after the end, for the caller to read the counters.
    #[arg(long, default_value_t = 2)]
    linger_s: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Is {
    Glitch,
    Gone,
    Live,
    Starting,
}

struct User {
    id: usize,
    state: Cell<Is>,
    connected: Cell<bool>,
    address_no: Cell<u8>,
    session_no: Cell<u32>,
    /// When it last sent something.
    spoke_ms: Cell<u128>,
    gone: Notify,
    back: Notify,
}

impl User {
    fn new(id: usize) -> Self {
        Self {
            id,
            state: Cell::new(Is::Starting),
            connected: Cell::new(false),
            address_no: Cell::new(0),
            session_no: Cell::new(0),
            spoke_ms: Cell::new(0),
            gone: Notify::new(),
            back: Notify::new(),
        }
    }

    /// How talkative it is.
    fn class(&self) -> &'static str {
        ["ping25s", "chat60s", "quiet20m"][self.id / 2 % 3]
    }

    fn kind(&self) -> &'static str {
        ["ws", "tcp"][self.id % 2]
    }
}

struct Story {
    told: Arguments,
    users: Vec<Rc<User>>,
    /// Sockets of vanished users: open, never read, never closed.
    graveyard: RefCell<Vec<TcpStream>>,
}

impl Story {
    fn address(&self, user: &User) -> Ipv4Addr {
        let block = (user.id / 250) as u8 + 8 * user.address_no.get();
        Ipv4Addr::new(10, self.told.octet, block, (user.id % 250) as u8 + 1)
    }

    /// The bench's time for seconds of the story.
    fn scaled(&self, story_s: f64) -> Duration {
        Duration::from_secs_f64(story_s / self.told.scale)
    }
}

/// Tells the story once, then leaves without closing anything.
pub(crate) async fn run(arguments: Arguments) {
    assert!(arguments.users <= USERS_MAX, "at most {USERS_MAX} users");
    let users = (0..arguments.users).map(|id| Rc::new(User::new(id)));
    let story = Rc::new(Story {
        users: users.collect(),
        told: arguments,
        graveyard: RefCell::default(),
    });
    connect_all(&story).await;
    println!("{} start - - {}", now_ms(), story.users.len());
    tell(&story).await;
    println!("{} end - - -", now_ms());
    // The caller reads the counters meanwhile, then ends the process.
    tokio::time::sleep(Duration::from_secs(story.told.linger_s)).await;
}

async fn connect_all(story: &Rc<Story>) {
    let own = story.users.iter().map(|user| story.address(user));
    addresses(Verb::Add, own.collect()).await;
    for user in &story.users {
        tokio::task::spawn_local(live(Rc::clone(story), Rc::clone(user)));
        if user.id % 50 == 49 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let waited = Instant::now();
    let is_starting = |user: &Rc<User>| user.state.get() == Is::Starting;
    while story.users.iter().any(is_starting) {
        let is_slow = waited.elapsed() > Duration::from_secs(30);
        assert!(!is_slow, "users could not all connect");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One step every ten seconds of the story.
async fn tell(story: &Rc<Story>) {
    let told = &story.told;
    let mut rng = Rng::with_seed(told.seed);
    let began = Instant::now();
    let (mut due_vanish, mut due_glitch) = (0.0, 0.0);
    for step in 1..=(told.minutes * 6.0) as u64 {
        tokio::time::sleep_until(began + story.scaled(step as f64 * 10.0)).await;
        if step as f64 / 6.0 > told.vanish_minutes {
            continue;
        }
        let alive = story.users.iter();
        let alive = alive.filter(|user| user.state.get() == Is::Live && user.connected.get());
        let mut alive: Vec<_> = alive.cloned().collect();
        due_vanish += alive.len() as f64 * told.vanish_pct / 600.0;
        due_glitch += alive.len() as f64 * told.glitch_pct / 600.0;
        let chosen = take(&mut alive, &mut due_vanish, &mut rng);
        vanish(story, &mut rng, chosen).await;
        for user in take(&mut alive, &mut due_glitch, &mut rng) {
            let lasts = 10.0 + 80.0 * rng.f64();
            user.state.set(Is::Glitch);
            tokio::task::spawn_local(glitch(Rc::clone(story), user, lasts));
        }
    }
}

/// Takes as many of `alive` as are due.
fn take(alive: &mut Vec<Rc<User>>, due: &mut f64, rng: &mut Rng) -> Vec<Rc<User>> {
    let mut taken = Vec::new();
    while *due >= 1.0 && !alive.is_empty() {
        *due -= 1.0;
        taken.push(alive.swap_remove(rng.usize(..alive.len())));
    }
    taken
}

/// These users are no more: half of them without their address, half with a kernel that still
/// acknowledges; some come back later.
async fn vanish(story: &Rc<Story>, rng: &mut Rng, users: Vec<Rc<User>>) {
    let mut dropped = Vec::new();
    let mut told = Vec::new();
    for user in users {
        user.state.set(Is::Gone);
        user.gone.notify_one();
        let is_frozen = rng.f64() < story.told.frozen_pct / 100.0;
        if !is_frozen {
            dropped.push(story.address(&user));
        }
        let how = if is_frozen { "frozen" } else { "gone" };
        told.push((user, how, rng.f64() < story.told.return_pct / 100.0));
    }
    // Each has put its socket away before its address goes.
    tokio::task::yield_now().await;
    addresses(Verb::Delete, dropped).await;
    for (user, how, returns) in told {
        say("spoke", &user, &user.spoke_ms.get().to_string());
        say("vanish", &user, how);
        if returns {
            tokio::task::spawn_local(come_back(Rc::clone(story), user));
        }
    }
}

/// The user comes back from a new address, as another session.
async fn come_back(story: Rc<Story>, user: Rc<User>) {
    tokio::time::sleep(story.scaled(story.told.return_min * 60.0)).await;
    user.address_no.set((user.address_no.get() + 1) % 31);
    addresses(Verb::Add, vec![story.address(&user)]).await;
    say("return", &user, &story.address(&user).to_string());
    user.back.notify_one();
}

/// The address is away for a while, and comes back with the connection intact.
async fn glitch(story: Rc<Story>, user: Rc<User>, lasts: f64) {
    let own = story.address(&user);
    addresses(Verb::Delete, vec![own]).await;
    say("glitch", &user, &format!("{lasts:.0}"));
    tokio::time::sleep(story.scaled(lasts)).await;
    addresses(Verb::Add, vec![own]).await;
    say("back", &user, &own.to_string());
    user.state.set(Is::Live);
}

/// Eight blocks of 250 addresses.
const USERS_MAX: usize = 2000;
