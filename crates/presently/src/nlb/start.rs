//! From a configuration to an nlb that is ready to run: sockets, store, records, proxy.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use presently_nlb::{Nlb as Machine, Outputs};
use presently_proxy::{Probes, Proxy};
use presently_sip::Aor;
use presently_store::sqlite::{OpenError, Settings, Threaded};
use presently_store::{Operation, Outcome, Refused, Session, Store};
use presently_transport::BindError;
use tokio::net::TcpListener;

use super::bound::Bound;
use super::driver::{Addresses, Nlb};
use super::line::Line;
use super::metrics::HostCounters;
use super::name::Name;
use super::steps::Steps;
use super::{Config, Control, admin, config};
use crate::driver::{Alarm, Clock, ask};

/// Why an nlb could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The admin port could not be opened.
    #[error("admin port {address} cannot be opened")]
    Admin {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The SIP socket could not be opened.
    #[error(transparent)]
    Line(#[from] BindError),
    /// A listener towards clients, or a thread behind it, could not be opened.
    #[error(transparent)]
    Proxy(#[from] presently_proxy::StartError),
    /// An nlb of this name runs already.
    #[error("an nlb called {name} runs on this store: each needs a name of its own")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The loop's thread or runtime could not be made.
    #[error("the loop cannot be started")]
    Runtime(#[source] io::Error),
    /// The store could not be opened.
    #[error("store {path}")]
    Store {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The store did not write, or did not tell the sessions of an earlier run.
    #[error("the store does not answer")]
    Unanswered(#[source] Refused),
}

impl Nlb {
    /// Opens everything; nobody is admitted until [`Nlb::run`]. Within a tokio runtime.
    ///
    /// # Errors
    ///
    /// A port is taken, or the store cannot be used.
    pub async fn open(config: Config) -> Result<Self, StartError> {
        let clock = Clock::new();
        let admin = match config.admin {
            Some(address) => Some(bind_admin(address).await?),
            None => None,
        };
        let line = Line::open(&config)?;
        let sip = line.address().map_err(StartError::Runtime)?;
        let store = open_store(&config)?;
        let store_lock = store.lock_counters();
        let mut store: Box<dyn Store> = Box::new(store);
        let name = Name::take(store.as_mut(), &config.name).await?;
        let records = read_records(store.as_mut(), &config.name).await?;
        let servers = config::servers(&config.settings.server);
        let machine = config.machine(sip);
        let bound = Bound::new(machine.aor.clone());
        let machine = Machine::new(machine, servers, clock.now(), rand::random(), records);
        let servers = machine.servers();
        let probes = Probes::start(config.probes(), config::probed(servers));
        let probed = servers.count();
        let identify = Arc::new(config.identity.clone());
        let proxy = config.proxy();
        let now = Arc::new(move || clock.now().moment);
        let (proxy, questions) = Proxy::start(proxy, identify, now, config.threads)?;
        let (control, wishes) = Control::new();
        let addresses = Addresses {
            listen: proxy.addresses().to_vec(),
            sip: (config.presence.protocol, sip),
            admin: admin.as_ref().map(|(_, address)| *address),
        };
        if let Some((listener, _)) = admin {
            tokio::spawn(admin::serve(listener, control.clone()));
        }
        Ok(Self {
            machine,
            out: Outputs::default(),
            steps: Steps::default(),
            line,
            proxy,
            questions,
            is_drained: false,
            has_proxy_failed: false,
            store,
            store_lock,
            done: Vec::new(),
            bound,
            name,
            probes,
            probed,
            alarm: Alarm::new(clock),
            clock,
            wishes,
            control,
            addresses,
            counters: HostCounters::default(),
            config,
        })
    }
}

async fn bind_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let not_opened = |source| StartError::Admin { address, source };
    let listener = TcpListener::bind(address).await.map_err(not_opened)?;
    let address = listener.local_addr().map_err(not_opened)?;
    Ok((listener, address))
}

fn open_store(config: &Config) -> Result<Threaded, StartError> {
    let settings = Settings {
        max_waiting: WAITING_MAX,
        ..Settings::default()
    };
    Threaded::open(&config.store, &settings).map_err(|source| StartError::Store {
        path: config.store.clone(),
        source,
    })
}

/// The sessions that an earlier run of the nlb called `name` left behind.
async fn read_records(store: &mut dyn Store, name: &str) -> Result<Vec<Session>, StartError> {
    let nlb: Arc<str> = name.into();
    let mut records: Vec<Session> = Vec::new();
    loop {
        let after: Option<Aor> = records.last().map(|last| last.user.clone());
        let nlb = Arc::clone(&nlb);
        let page = ask(store, Operation::Sessions { nlb, after }).await;
        match page.map_err(StartError::Unanswered)? {
            Outcome::Sessions(page) if !page.is_empty() => records.extend(page),
            _ => return Ok(records),
        }
    }
}

/// A write and a purge for each of as many users as may come and go while a disk stands still.
const WAITING_MAX: usize = 131_072;
