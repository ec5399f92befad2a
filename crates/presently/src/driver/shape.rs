//! The machines of a process: what the configuration tells them, and a host made of them.

use std::net::SocketAddr;
use std::sync::Arc;

use presently_balancer::{Balancer, Domains, Listener};
use presently_pool::{Membership, Role};
use presently_presence::{Expires, Secrets, Server};
use presently_sip::MacKey;
use presently_store::Store;

use super::Clock;
use super::links::PoolLinks;
use super::members::{Joined, Joiner};
use crate::config::{self, Config};
use crate::host::Host;

/// What all machines of a process are told, each time they begin.
pub(super) struct Shape {
    config: Config,
    listeners: Vec<Listener>,
    own_ports: Arc<[u16]>,
    domains: Domains,
    expires: Expires,
}

impl Shape {
    pub(super) fn new(config: Config, addresses: &[SocketAddr]) -> Self {
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
            domains: domains(&config.domains),
            expires: config.expires,
            config,
            listeners,
            own_ports: own_ports.into(),
        }
    }

    /// What is served and granted from now on, by the machines that begin later too.
    pub(super) fn set_terms(&mut self, domains: &Domains, expires: Expires) {
        self.domains.clone_from(domains);
        self.expires = expires;
    }

    /// The ports that are no part of an address of record.
    pub(super) fn own_ports(&self) -> Arc<[u16]> {
        Arc::clone(&self.own_ports)
    }

    /// A host in the lives of `joined`.
    pub(super) fn host(&self, clock: Clock, store: Box<dyn Store>, joined: &Joined) -> Host {
        let mut host = Host::new(clock.now(), store);
        for life in &joined.lives {
            match life.role {
                Role::Balancer => {
                    let machine = self.balancer(life.membership, joined.key, clock);
                    host.add_balancer(machine, life.membership, joined.key);
                }
                Role::Server => {
                    let machine = self.server(life.membership, &life.name, joined.key, clock);
                    host.add_server(machine, joined.key);
                }
            }
        }
        host.set_joined(clock.now(), joined.began);
        host
    }

    /// The links of the lives of `joined` to members of other processes.
    pub(super) fn links(&self, joined: &Joined, joiners: &[Joiner]) -> PoolLinks {
        let lives = &joined.lives;
        let mut balancers = lives.iter().filter(|life| life.role == Role::Balancer);
        let caller = balancers.next().map(|life| life.membership);
        let listeners = (0..).skip(self.config.listen.len());
        let linked = lives.iter().zip(joiners);
        let linked = linked.filter(|(_, joiner)| joiner.sip.is_some());
        let called = listeners.zip(linked.map(|(life, _)| life.membership));
        PoolLinks::new(joined.key, caller, called.collect())
    }

    fn balancer(&self, life: Membership, key: [u8; 16], clock: Clock) -> Balancer {
        let packages = &self.config.packages;
        let names: Vec<_> = packages.names().map(ToString::to_string).collect();
        let types: Vec<_> = packages
            .iter()
            .flat_map(|package| package.content_types().iter().copied())
            .collect();
        let config = presently_balancer::Config {
            domains: self.domains.clone(),
            listeners: self.listeners.clone(),
            allow_events: names.join(", ").into(),
            accept: types.join(", ").into(),
            waiting_bytes_max: self.config.balancer_held_bytes,
            ..presently_balancer::Config::default()
        };
        Balancer::new(config, life, MacKey::new(key), clock.now())
    }

    fn server(&self, life: Membership, name: &str, key: [u8; 16], clock: Clock) -> Server {
        let packages = Arc::clone(&self.config.packages);
        let mut config = presently_presence::Config::new(name, packages);
        config.own_ports = Arc::clone(&self.own_ports);
        config.expires = self.expires;
        config.flow_grace = self.config.flow_grace;
        config.ask_after = self.config.ask_after;
        config.held_bytes_max = self.config.server_held_bytes;
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
