//! From a configuration to a pool that is ready to run: sockets, store, membership, machines.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use presently_pool::Role;
use presently_sip::Protocol;
use presently_store::sqlite::{OpenError, Settings, Threaded};
use presently_store::{Refused, Store};
use presently_transport::{Arrivals, BindError, Limits, Listen, Transport};
use tokio::net::UdpSocket;

use super::members::{Joined, Joiner, wait_for_names};
use super::oob::OobSockets;
use super::shape::Shape;
use super::sockets::Sockets;
use super::traces::Traces;
use super::{Alarm, Clock, Control, Pool};
use crate::config::{Config, MemberConfig};

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
        let mut joined = Joined::at(clock.now().moment);
        for joiner in &opened.joiners {
            joined.add(joiner, joiner.join(store.as_mut(), &formers).await?);
        }
        let mut pool = Self::assemble(clock, store, opened, &joined, config);
        pool.store_lock = store_lock;
        Ok(pool)
    }

    fn assemble(
        clock: Clock,
        store: Box<dyn Store>,
        opened: Opened,
        joined: &Joined,
        config: Config,
    ) -> Self {
        let (sockets, bound): (Vec<_>, Vec<_>) = opened.oob.into_iter().unzip();
        let oob = joined.lives.iter().map(|life| life.membership.member);
        let oob = oob.zip(sockets);
        let (control, wishes) = Control::new();
        let listen = config.listen.iter().zip(&opened.addresses);
        let members = opened.joiners.iter().zip(bound);
        let now = clock.now().moment;
        let addresses = Addresses {
            listen: listen.map(|(listen, at)| (listen.protocol, *at)).collect(),
            admin: None,
            members: members
                .map(|(joiner, oob)| (Arc::clone(&joiner.name), oob, joiner.sip))
                .collect(),
        };
        let shape = Shape::new(config, &opened.addresses);
        Self {
            own: joined.names(),
            beaten: joined.beaten(now),
            sockets: Sockets {
                transport: opened.transport,
                arrivals: Arrivals::default(),
                links: shape.links(joined, &opened.joiners),
                oob: OobSockets::new(oob.collect()),
                clock,
                traces: Traces::new(opened.addresses.clone(), shape.own_ports()),
            },
            addresses,
            alarm: Alarm::new(clock),
            host: Box::new(shape.host(clock, store, joined)),
            joiners: opened.joiners,
            shape,
            rejoins: 0,
            stepped: (0, now),
            store_lock: Arc::default(),
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
    let limits = Limits {
        per_source: config.connections_per_address,
        silence: config.flow_silence,
        ..Limits::default()
    };
    let transport = Transport::bind_with(&listeners, limits)?;
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
