//! From a configuration to a pool that is ready to run: sockets, store, membership, machines.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use presently_balancer::{Balancer, Domains, Listener};
use presently_pool::{MemberId, Membership, Role};
use presently_presence::{Secrets, Server};
use presently_sip::{MacKey, Protocol};
use presently_store::sqlite::{OpenError, Settings, Threaded};
use presently_store::{Refused, Store};
use presently_transport::{Arrivals, BindError, Listen, Transport};
use tokio::net::UdpSocket;

use super::links::PoolLinks;
use super::members::{Joiner, wait_for_names};
use super::oob::OobSockets;
use super::sockets::Sockets;
use super::{Clock, Control, Pool};
use crate::config::{self, Config, MemberConfig};
use crate::host::Host;

/// Where a pool listens, once the system has chosen what was left to it.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Towards phones, in the order of the configuration.
    pub listen: Vec<(Protocol, SocketAddr)>,
    /// Metrics and health.
    pub admin: Option<SocketAddr>,
    /// Each member of this process with its out-of-band socket and, for a server alone, its SIP
    /// link.
    pub members: Vec<(Arc<str>, SocketAddr, Option<SocketAddr>)>,
}

/// Why a pool could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener could not be opened.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// A living member has the name.
    #[error("a member called {name} is running already in this pool")]
    NameTaken {
        /// The name.
        name: Arc<str>,
    },
    /// The store did not let the member in.
    #[error("the store did not take the member in")]
    Refused(#[source] Refused),
    /// The out-of-band socket, the admin port or the loop's thread could not be opened.
    #[error("{what} cannot be opened")]
    Socket {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store could not be opened.
    #[error("store {path}")]
    Store {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
}

impl StartError {
    /// Whether another program listens where this one wanted to.
    #[must_use]
    pub fn is_address_taken(&self) -> bool {
        match self {
            Self::Listen(error) => matches!(error, BindError::Taken { .. }),
            Self::Socket { source, .. } => source.kind() == io::ErrorKind::AddrInUse,
            Self::NameTaken { .. } | Self::Refused(_) | Self::Store { .. } => false,
        }
    }
}

/// What is open before anybody is told.
struct Opened {
    transport: Transport,
    /// Of each listener, the links' behind the phones'.
    addresses: Vec<SocketAddr>,
    /// With the addresses they are bound to.
    oob: Vec<(UdpSocket, SocketAddr)>,
    joiners: Vec<Joiner>,
}

impl Pool {
    /// Opens everything and joins the pool; nothing is answered until [`Pool::run`]. Within a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// A port is taken, the store cannot be used, or a member of the same name is running.
    pub async fn open(config: Config) -> Result<Self, StartError> {
        let clock = Clock::new();
        let opened = open_sockets(&config).await?;
        let store = open_store(&config)?;
        let store_lock = store.lock_counters();
        let mut store: Box<dyn Store> = Box::new(store);
        let formers = wait_for_names(store.as_mut(), &opened.joiners).await?;
        let mut lives = Vec::new();
        let mut pool_key = [0; 16];
        let joining = clock.now().moment;
        for joiner in &opened.joiners {
            let (life, key) = joiner.join(store.as_mut(), &formers).await?;
            pool_key = key;
            lives.push((life, joiner.role, Arc::clone(&joiner.name)));
        }
        let mut host = Host::new(clock.now(), store);
        let shape = Shape::new(&config, &opened.addresses);
        for (life, role, name) in &lives {
            match role {
                Role::Balancer => {
                    let machine = shape.balancer(*life, pool_key, clock);
                    host.add_balancer(machine, *life, pool_key);
                }
                Role::Server => {
                    let machine = shape.server(*life, name, pool_key, clock);
                    host.add_server(machine, pool_key);
                }
            }
        }
        host.set_joined(clock.now(), joining);
        let mut pool = Self::assemble(clock, host, opened, &lives, pool_key, &config);
        pool.store_lock = store_lock;
        Ok(pool)
    }

    fn assemble(
        clock: Clock,
        host: Host,
        opened: Opened,
        lives: &[(Membership, Role, Arc<str>)],
        key: [u8; 16],
        config: &Config,
    ) -> Self {
        let id = |life: &Membership| life.member;
        let (oob, bound): (Vec<_>, Vec<_>) = opened.oob.into_iter().unzip();
        let oob = lives.iter().map(|(life, ..)| id(life)).zip(oob);
        let caller = lives.iter().find(|(_, role, _)| *role == Role::Balancer);
        let link_listeners = (0..).skip(config.listen.len());
        let linked = lives.iter().zip(&opened.joiners);
        let linked = linked.filter(|(_, joiner)| joiner.sip.is_some());
        let called = link_listeners.zip(linked.map(|((life, ..), _)| *life));
        let links = PoolLinks::new(key, caller.map(|(life, ..)| *life), called.collect());
        let (control, wishes) = Control::new();
        let listen = config.listen.iter().zip(&opened.addresses);
        let members = opened.joiners.iter().zip(bound);
        let now = clock.now().moment;
        Self {
            own: lives
                .iter()
                .map(|(life, _, name)| (life.member, Arc::clone(name)))
                .collect::<Vec<(MemberId, Arc<str>)>>(),
            beaten: vec![(0, now); lives.len()],
            sockets: Sockets {
                transport: opened.transport,
                arrivals: Arrivals::default(),
                links,
                oob: OobSockets::new(oob.collect()),
                clock,
            },
            addresses: Addresses {
                listen: listen.map(|(listen, at)| (listen.protocol, *at)).collect(),
                admin: None,
                members: members
                    .map(|(joiner, oob)| (Arc::clone(&joiner.name), oob, joiner.sip))
                    .collect(),
            },
            sleep: Box::pin(tokio::time::sleep_until(clock.instant(now))),
            store_lock: Arc::default(),
            host,
            clock,
            wishes,
            control,
        }
    }
}

async fn open_sockets(config: &Config) -> Result<Opened, StartError> {
    let phones = config.listen.iter();
    let phones = phones.map(|listen| Listen::sip(listen.protocol, listen.bind));
    let links = config.servers.iter().filter_map(|server| server.sip);
    let listeners: Vec<_> = phones.chain(links.map(Listen::raw)).collect();
    let transport = Transport::bind(&listeners)?;
    let addresses = transport.local_addresses().map_err(|source| {
        let what = "a listener".to_owned();
        StartError::Socket { what, source }
    })?;
    let mut links = addresses.iter().skip(config.listen.len());
    let (mut oob, mut joiners) = (Vec::new(), Vec::new());
    let balancer = config
        .balancer
        .iter()
        .map(|member| (Role::Balancer, member));
    let servers = config.servers.iter().map(|member| (Role::Server, member));
    for (role, member) in balancer.chain(servers) {
        let (socket, address) = open_oob(member).await.map_err(|source| {
            let what = format!("out-of-band socket {} of {}", member.oob, member.name);
            StartError::Socket { what, source }
        })?;
        oob.push((socket, address));
        joiners.push(Joiner {
            name: member.name.as_str().into(),
            role,
            sip: member.sip.and_then(|_| links.next().copied()),
            oob: member.oob.advertise.unwrap_or(address),
            weight: member.weight,
        });
    }
    Ok(Opened {
        transport,
        addresses,
        oob,
        joiners,
    })
}

async fn open_oob(member: &MemberConfig) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind(member.oob.bind).await?;
    // Until the runtime has seen the socket once, it takes nothing to send.
    socket.writable().await?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

fn open_store(config: &Config) -> Result<Threaded, StartError> {
    Threaded::open(&config.store, &Settings::default()).map_err(|source| StartError::Store {
        path: config.store.clone(),
        source,
    })
}

/// What all machines of a process are told.
struct Shape<'a> {
    config: &'a Config,
    listeners: Vec<Listener>,
    own_ports: Arc<[u16]>,
}

impl<'a> Shape<'a> {
    fn new(config: &'a Config, addresses: &[SocketAddr]) -> Self {
        let listeners = config.listen.iter().zip(addresses);
        let listeners: Vec<_> = listeners
            .map(|(listen, bound)| listener(listen, *bound))
            .collect();
        let ports = listeners
            .iter()
            .flat_map(|listener| [listener.advertised_port, listener.bound.port()]);
        let mut own_ports: Vec<u16> = ports.chain([DEFAULT_PORT]).collect();
        own_ports.sort_unstable();
        own_ports.dedup();
        Self {
            config,
            listeners,
            own_ports: own_ports.into(),
        }
    }

    fn balancer(&self, life: Membership, key: [u8; 16], clock: Clock) -> Balancer {
        let packages = &self.config.packages;
        let names: Vec<_> = packages.names().map(ToString::to_string).collect();
        let types: Vec<_> = packages
            .iter()
            .flat_map(|package| package.content_types().iter().copied())
            .collect();
        let config = presently_balancer::Config {
            domains: domains(&self.config.domains),
            listeners: self.listeners.clone(),
            allow_events: names.join(", ").into(),
            accept: types.join(", ").into(),
            ..presently_balancer::Config::default()
        };
        Balancer::new(config, life, MacKey::new(key), clock.now())
    }

    fn server(&self, life: Membership, name: &str, key: [u8; 16], clock: Clock) -> Server {
        let packages = Arc::clone(&self.config.packages);
        let mut config = presently_presence::Config::new(name, packages);
        config.own_ports = Arc::clone(&self.own_ports);
        config.expires = self.config.expires;
        let secrets = Secrets {
            pool: key,
            seed: rand::random(),
        };
        Server::new(clock.now(), life, config, &secrets)
    }
}

/// As a balancer is told them: none listed is any.
pub(super) fn domains(names: &[String]) -> Domains {
    if names.is_empty() {
        return Domains::Any;
    }
    let names = names.iter().map(|name| name.as_str().into());
    Domains::Listed(names.collect())
}

fn listener(listen: &config::Listen, bound: SocketAddr) -> Listener {
    let advertise = listen.advertise.as_ref();
    let host = advertise.map_or_else(|| bound.ip().to_string(), |it| it.host.clone());
    Listener {
        protocol: listen.protocol,
        advertised_host: host.into(),
        advertised_port: advertise.and_then(|it| it.port).unwrap_or(bound.port()),
        bound,
    }
}

/// SIP's own port: never part of an address of record (RFC 3261 §19.1.2).
const DEFAULT_PORT: u16 = 5060;
