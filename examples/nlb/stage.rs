//! What is on the stage: the pool, the nlb, the application servers, the users. What is printed of
//! them is read from sockets, from the admin port's answers and from the store.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use presently::config::StorePath;
use presently::nlb::{self, SessionRow, StepRow};
use presently::{Reading, Running, Settings};
use presently_sip::Aor;

use crate::application::Application;
use crate::client::Client;
use crate::desk::Desk;
use crate::network::Network;
use crate::phone::DemoPhone;
use crate::slots::Slots;

/// All that runs.
pub(crate) struct Stage {
    pool: Running,
    nlb: nlb::Running,
    applications: Vec<Application>,
    slots: Slots,
    people: BTreeMap<&'static str, Person>,
    store: Reading,
    folder: PathBuf,
}

/// One user: a phone, and a client of the application over a network of its own.
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) phone: DemoPhone,
    pub(crate) network: Network,
    /// The open connection, and where it leads.
    pub(crate) client: Option<Client>,
}

impl Stage {
    /// Starts everything but the users' logons; clients reach the nlb at `port`, or the next one
    /// that is free.
    pub(crate) async fn set(port: u16, folder: &Path) -> Result<Self, String> {
        let store = folder.join("pool.db");
        let pool = start_pool(&store)?;
        let (_, sip) = *pool.addresses().listen.first().ok_or("no listener")?;
        let (desk, slots) = (Desk::new(sip), Slots::default());
        let mut applications = Vec::new();
        for name in ["a1", "a2"] {
            applications.push(Application::start(name, desk.clone(), slots.clone()).await?);
        }
        let nlb = start_nlb(port, sip, folder, &applications)?;
        let mut people = BTreeMap::new();
        for name in CAST {
            people.insert(name, Person::new(name, sip, nlb_address(&nlb)?).await?);
        }
        let store = Reading::open(&store).map_err(|error| error.to_string())?;
        let folder = folder.to_owned();
        Ok(Self {
            pool,
            nlb,
            applications,
            slots,
            people,
            store,
            folder,
        })
    }

    /// The user called `name`.
    pub(crate) fn person(&mut self, name: &str) -> &mut Person {
        self.people.get_mut(name).expect("one of the cast")
    }

    /// A new way to the nlb for the user called `name`: the old one stays as it is.
    pub(crate) async fn move_networks(&mut self, name: &str) -> Result<(), String> {
        let network = Network::lay(nlb_address(&self.nlb)?).await?;
        self.person(name).network = network;
        Ok(())
    }

    /// From the admin port: the session of the user called `name`.
    pub(crate) async fn session(&self, name: &str) -> Result<Option<SessionRow>, String> {
        let list = self.nlb.control().sessions(&of(name), 0).await;
        let list = list.ok_or("the nlb does not answer")?;
        Ok(list.sessions.into_iter().next())
    }

    /// From the admin port: the steps of the user called `name` up to now.
    pub(crate) async fn steps(&self, name: &str) -> Result<Vec<StepRow>, String> {
        let steps = self.nlb.control().steps(&of(name)).await;
        steps.ok_or_else(|| "the nlb does not answer".to_owned())
    }

    /// From the admin port: what the nlb has counted.
    pub(crate) async fn counted(&self) -> Result<nlb::Snapshot, String> {
        let snapshot = self.nlb.control().snapshot().await;
        snapshot.ok_or_else(|| "the nlb does not answer".to_owned())
    }

    /// From the application servers: whose connections each has open.
    pub(crate) fn slots(&self) -> String {
        let texts = self.slots.all().into_iter().map(|(server, users)| {
            let names: Vec<_> = users.iter().map(String::as_str).collect();
            format!("{server} has {}", names.join(" and "))
        });
        texts.collect::<Vec<_>>().join(", ")
    }

    /// From the application servers: which has a connection of `name` open.
    pub(crate) fn server_of(&self, name: &str) -> Option<&'static str> {
        self.slots.server_of(name)
    }

    /// From the pool's store: whether it keeps anything about `aor`.
    pub(crate) fn is_known(&mut self, aor: &str) -> Result<bool, String> {
        let aor = Aor::parse(aor).map_err(|error| error.to_string())?;
        let client = self.store.client(&aor).map_err(|error| error.to_string())?;
        Ok(client.is_some_and(|it| !it.bindings.is_empty() || !it.subscriptions.is_empty()))
    }

    /// Stops the nlb, which says good-bye for everybody, and then the pool.
    pub(crate) fn strike(self) -> Result<(), String> {
        self.nlb.stop();
        self.pool.stop().map_err(|error| error.to_string())
    }

    pub(crate) fn print(&self) {
        let addresses = self.nlb.addresses();
        if let Some((protocol, sip)) = self.pool.addresses().listen.first() {
            println!("The presence server is at {protocol}:{sip}.");
        }
        for address in &addresses.listen {
            println!("The nlb takes clients at {address}.");
        }
        for application in &self.applications {
            let Application { name, address, .. } = application;
            println!("The application server {name} is at {address}.");
        }
    }

    pub(crate) fn print_invitation(&self) {
        let addresses = self.nlb.addresses();
        let (Some(http), Some(admin)) = (addresses.listen.first(), addresses.admin) else {
            return;
        };
        let pool = self.pool.addresses().listen.first();
        let pool = pool.map_or_else(String::new, |(_, address)| address.to_string());
        println!(
            "
Everything stays up. Open the page, in two windows if you like:
  http://{http}/?user=eve

From another terminal
  presently nlb status --admin {admin}
  curl http://{admin}/steps?user=eve
  cargo run --release --example nlb_client -- --pool {pool} --nlb {http} --user frank

The stores are in {}. Ctrl-C ends it.",
            self.folder.display()
        );
    }
}

impl Person {
    async fn new(name: &'static str, pool: SocketAddr, nlb: SocketAddr) -> Result<Self, String> {
        let aor = Aor::parse(&format!("sip:{name}@example.com"));
        Ok(Self {
            name,
            phone: DemoPhone::new(aor.map_err(|error| error.to_string())?, pool).await?,
            network: Network::lay(nlb).await?,
            client: None,
        })
    }

    /// Opens a connection to the application over the user's network, and says where it leads.
    pub(crate) async fn connect(&mut self, uuid: Option<&str>) -> Result<String, String> {
        let client = Client::open(self.network.address, self.name, uuid).await?;
        let server = client.server.clone();
        // The former one, if there was any, is let go only now: its end must not be a sign.
        self.client = Some(client);
        Ok(server)
    }
}

fn start_pool(store: &Path) -> Result<Running, String> {
    let settings = Settings {
        listen: vec!["udp:127.0.0.1:0".parse().expect("it is a listener")],
        store: Some(StorePath(store.to_owned())),
        ..Settings::default()
    };
    let config = presently::Config::new(settings).map_err(|error| error.to_string())?;
    presently::start(config).map_err(|error| error.to_string())
}

/// Starts the nlb with clients at `port`, or the next one that is free.
fn start_nlb(
    port: u16,
    presence: SocketAddr,
    folder: &Path,
    applications: &[Application],
) -> Result<nlb::Running, String> {
    let last = port.saturating_add(PORTS_TRIED);
    for candidate in port..=last {
        // A socket that shares its port with others would not say that it is taken.
        if std::net::TcpListener::bind(("127.0.0.1", candidate)).is_err() {
            println!("127.0.0.1:{candidate} is taken by another program; trying the next port.");
            continue;
        }
        let text = settings(candidate, presence, folder, applications);
        let settings = text.parse::<nlb::Settings>();
        let config = nlb::Config::new(settings.map_err(|error| error.to_string())?);
        let config = config.map_err(|error| error.to_string())?;
        return nlb::start(config).map_err(|error| error.to_string());
    }
    Err(format!("no port from {port} to {last} is free"))
}

fn settings(port: u16, presence: SocketAddr, folder: &Path, servers: &[Application]) -> String {
    let store = folder.join("nlb.db");
    let servers = servers.iter().map(|application| {
        let Application { name, address, .. } = application;
        format!("[[server]]\nname = \"{name}\"\naddress = \"{address}\"\nslots = 10\n")
    });
    let servers: String = servers.collect();
    format!(
        r#"
domain = "example.com"
presence = "udp:{presence}"
store = "sqlite:{store}"
admin = "127.0.0.1:0"
at_stop = "release"
user = [{{ header = "X-User" }}, {{ query = "user" }}, {{ cookie = "user" }}]

[[listen]]
kind = "http"
address = "127.0.0.1:{port}"

# Shorter than in earnest, so that a user of the demo is quiet soon.
[decision]
using_ms = {USING_MS}

{servers}"#,
        store = store.display()
    )
}

fn nlb_address(nlb: &nlb::Running) -> Result<SocketAddr, String> {
    let first = nlb.addresses().listen.first().copied();
    first.ok_or_else(|| "the nlb has no listener".to_owned())
}

/// The part of a user's address that no other user's has.
fn of(name: &str) -> String {
    format!(":{name}@")
}

/// Who plays.
const CAST: [&str; 4] = ["alice", "bob", "carol", "dave"];
/// Ports tried behind the first one.
const PORTS_TRIED: u16 = 50;
const USING_MS: u64 = 1_000;
/// After this a user who does nothing is quiet for the nlb: a notification says no more than the
/// second in which it was sent, and neither does the answer that the clock was learned from.
pub(crate) const QUIET_AFTER: Duration = Duration::from_millis(USING_MS + 2_500);
