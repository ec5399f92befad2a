//! The phones that the vanishing users carry: real SIP towards a presence server, told nothing but
//! what happens to their users.
//!
//! Reads `EVENT USER SESSION EPOCH_MS DETAIL` from standard input, as `run.py` passes on what
//! `vanish` prints. A watcher beside the phones notes when the presence server says that somebody
//! is there or is not; the log has a line for each, `EPOCH_MS seen USER open|closed`.

mod clock;
mod link;
mod phone;
mod watcher;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::ValueEnum;
use presently_sip::Aor;
use tokio::sync::mpsc;

use self::phone::{Order, Phone};
use self::watcher::Watcher;
use crate::wall::now_ms;

/// What the phones are told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The presence server, for UDP and TCP alike.
    #[arg(long)]
    pool: SocketAddr,
    #[arg(long, default_value = "bench.example")]
    domain: String,
    /// What kind of phones they are.
    #[arg(long, value_enum, default_value = "udp")]
    kind: Kind,
    /// For how many seconds of the story a phone registers.
    #[arg(long, default_value_t = 60.0)]
    expires: f64,
    /// A phone refreshes its registration after this share of what was granted.
    #[arg(long, default_value_t = 50.0)]
    refresh_pct: f64,
    /// Divides every duration of the story; a registration lasts a whole second at the least.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Phones publish that they are open, too; else their binding alone says so.
    #[arg(long)]
    publish: bool,
    /// Nobody watches the phones.
    #[arg(long)]
    unwatched: bool,
    /// A line for whatever happens.
    #[arg(long, default_value = "/dev/null")]
    log: PathBuf,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    /// A desk phone over UDP at an address of its own: its user logs it off when leaving.
    Logoff,
    /// A program on the user's machine, over TCP; its connection is never closed.
    Tcp,
    /// A program on the user's machine, over UDP.
    Udp,
}

/// Where everything that happens is noted.
#[derive(Clone)]
struct Log(Arc<Mutex<File>>);

impl Log {
    fn line(&self, what: &str) {
        let mut file = self.0.lock().expect("nobody panics with it");
        writeln!(file, "{} {what}", now_ms()).expect("the log takes it");
    }
}

/// One line of standard input.
struct Happening {
    event: String,
    user: String,
    detail: String,
}

/// Plays the phones until standard input ends.
pub(crate) async fn run(arguments: Arguments) {
    let file = File::create(&arguments.log).expect("the log can be written");
    let log = Log(Arc::new(Mutex::new(file)));
    let arguments = Arc::new(arguments);
    let watcher = match arguments.unwatched {
        true => None,
        false => Some(Watcher::start(&arguments, log.clone()).await),
    };
    let mut happenings = read_lines();
    let mut phones: HashMap<String, mpsc::UnboundedSender<Order>> = HashMap::new();
    while let Some(happening) = happenings.recv().await {
        let user = &happening.user;
        let order = match happening.event.as_str() {
            "open" if !phones.contains_key(user) => {
                let phone = open(&arguments, &happening, &log).await;
                phones.insert(user.clone(), phone);
                if let Some(watcher) = &watcher {
                    watcher.watch(user, aor(&arguments, user));
                }
                continue;
            }
            "vanish" => phones.remove(user).zip(Some(Order::Vanish)),
            "glitch" => phones.get(user).cloned().zip(Some(Order::Mute)),
            "back" => phones.get(user).cloned().zip(Some(Order::Unmute)),
            _ => None,
        };
        if let Some((phone, order)) = order {
            // A phone that has ended needs no orders.
            let _ = phone.send(order);
        }
    }
}

/// Switches a phone on where its user is.
async fn open(
    arguments: &Arc<Arguments>,
    happening: &Happening,
    log: &Log,
) -> mpsc::UnboundedSender<Order> {
    let told = happening.detail.split(',').nth(3);
    let own = told.and_then(|it| it.parse().ok()).unwrap_or(ANYWHERE);
    let own = match arguments.kind {
        Kind::Logoff => ANYWHERE,
        Kind::Tcp | Kind::Udp => own,
    };
    let user = &happening.user;
    let (orders, taken) = mpsc::unbounded_channel();
    let (arguments, log) = (Arc::clone(arguments), log.clone());
    let (aor, user) = (aor(&arguments, user), user.clone());
    tokio::spawn(async move {
        match Phone::open(&arguments, aor, own).await {
            Ok(phone) => phone.live(taken, user, log).await,
            Err(error) => log.line(&format!("unopened {user} {error}")),
        }
    });
    orders
}

fn aor(arguments: &Arguments, user: &str) -> Aor {
    let text = format!("sip:{user}@{}", arguments.domain);
    Aor::parse(&text).expect("users have simple names")
}

/// Standard input is read by a thread of its own: the runtime has nothing for it.
fn read_lines() -> mpsc::UnboundedReceiver<Happening> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let mut words = line.splitn(5, ' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_default();
            let (event, user) = (word(), word());
            let (_session, _at) = (word(), word());
            let detail = word();
            let happening = Happening {
                event,
                user,
                detail,
            };
            if sender.send(happening).is_err() {
                return;
            }
        }
    });
    receiver
}

const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
