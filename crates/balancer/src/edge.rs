//! What the outside calls this balancer: its listeners' names and addresses, and the domains it
//! serves.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use presently_sip::{Host, Protocol, Uri};

use crate::{Domains, Listener};

/// The balancer as phones see it.
#[derive(Debug)]
pub(crate) struct Edge {
    faces: Vec<Face>,
    domains: Domains,
    own_ports: Vec<u16>,
}

/// One listener, with the texts that are written for it again and again.
#[derive(Debug)]
pub(crate) struct Face {
    protocol: Protocol,
    host: Box<str>,
    address: Option<IpAddr>,
    port: u16,
    bound: SocketAddr,
    /// `host:port`, with a transport parameter where it is not UDP.
    pub(crate) advertised: Arc<str>,
    /// A Via value up to its branch's own part.
    via_start: Box<str>,
    /// What follows the token in our Record-Route.
    pub(crate) record_route_end: Box<str>,
}

impl Edge {
    pub(crate) fn new(listeners: &[Listener], domains: Domains) -> Self {
        let mut own_ports = Vec::new();
        for listener in listeners {
            for port in [listener.advertised_port, listener.bound.port()] {
                if port != 0 && !own_ports.contains(&port) {
                    own_ports.push(port);
                }
            }
        }
        Self {
            faces: listeners.iter().map(Face::new).collect(),
            domains,
            own_ports,
        }
    }

    pub(crate) fn set_domains(&mut self, domains: Domains) {
        self.domains = domains;
    }

    /// The ports that an address of record may carry and still be the one without.
    pub(crate) fn own_ports(&self) -> &[u16] {
        &self.own_ports
    }

    pub(crate) fn face(&self, listener: u8) -> Option<&Face> {
        self.faces.get(usize::from(listener))
    }

    /// Whether the listener of this place is one for datagrams.
    pub(crate) fn sends_datagrams(&self, listener: u8) -> bool {
        let face = self.face(listener);
        face.is_some_and(|face| face.protocol == Protocol::Udp)
    }

    /// A listener that can send a datagram to `remote`.
    pub(crate) fn datagram_listener(&self, remote: SocketAddr) -> Option<u8> {
        let fits = |face: &Face| face.protocol == Protocol::Udp && face.is_same_family(remote.ip());
        self.faces
            .iter()
            .position(fits)
            .and_then(|place| u8::try_from(place).ok())
    }

    /// Whether `host` and `port` name one of our listeners, by its advertised name or by an address
    /// (RFC 3261 §16.4). No port is ours too: a name may have been found through SRV.
    pub(crate) fn is_own(&self, host: Host<'_>, port: Option<u16>) -> bool {
        let address = host.address().map(|address| address.to_canonical());
        self.faces.iter().any(|face| {
            port.is_none_or(|port| port == face.port || port == face.bound.port())
                && face.is_called(host, address)
        })
    }

    /// Whether a request for `uri` is the pool's to answer (RFC 3261 §16.5).
    pub(crate) fn serves(&self, uri: &Uri<'_>) -> bool {
        let Domains::Listed(domains) = &self.domains else {
            return true;
        };
        // Domains first: most requests name one, and an address costs more to compare.
        (uri.port.is_none_or(|port| self.is_own_port(port))
            && domains.iter().any(|domain| is_named(uri.host, domain)))
            || self.is_own(uri.host, uri.port)
    }

    /// Whether a Route of `host` leads here: to a listener, or to a domain of ours that phones use
    /// as their outbound proxy.
    pub(crate) fn is_own_route(&self, route: &Uri<'_>, request_uri: &Uri<'_>) -> bool {
        if self.is_own(route.host, route.port) {
            return true;
        }
        if !route.port.is_none_or(|port| self.is_own_port(port)) {
            return false;
        }
        match &self.domains {
            // Any domain is served, but a Route may lead only where the request goes anyway.
            Domains::Any => is_named(route.host, request_uri.host.0),
            Domains::Listed(domains) => domains.iter().any(|domain| is_named(route.host, domain)),
        }
    }

    fn is_own_port(&self, port: u16) -> bool {
        self.own_ports.contains(&port) || port == DEFAULT_PORT
    }
}

impl Face {
    fn new(listener: &Listener) -> Self {
        let bare = listener.advertised_host.trim_matches(['[', ']']);
        let address = bare.parse::<IpAddr>().ok();
        let host: Box<str> = match address {
            Some(IpAddr::V6(_)) => format!("[{bare}]").into(),
            _ => bare.into(),
        };
        let port = listener.advertised_port;
        let mut advertised = format!("{host}:{port}");
        let mut record_route_end = format!("@{host}:{port};lr");
        if listener.protocol == Protocol::Tcp {
            advertised.push_str(";transport=tcp");
            record_route_end.push_str(";transport=tcp");
        }
        record_route_end.push('>');
        let mut via_start = String::new();
        let protocol = listener.protocol.token();
        write!(via_start, "SIP/2.0/{protocol} {host}:{port};branch=")
            .expect("a string takes all that is written");
        Self {
            protocol: listener.protocol,
            host,
            address: address.map(|address| address.to_canonical()),
            port,
            bound: listener.bound,
            advertised: advertised.into(),
            via_start: via_start.into(),
            record_route_end: record_route_end.into(),
        }
    }

    /// Appends a Via value up to its branch.
    pub(crate) fn write_via(&self, out: &mut String) {
        out.push_str(&self.via_start);
    }

    fn is_called(&self, host: Host<'_>, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => {
                self.address == Some(address)
                    || self.bound.ip().to_canonical() == address
                    || (self.bound.ip().is_unspecified() && address.is_loopback())
            }
            None => is_named(host, &self.host),
        }
    }

    fn is_same_family(&self, address: IpAddr) -> bool {
        // A wildcard IPv6 socket may be closed to IPv4; nobody but the loop knows.
        self.bound.is_ipv4() == address.is_ipv4()
    }
}

/// Whether `host` is written as `name` is; addresses are compared as such before.
pub(crate) fn is_named(host: Host<'_>, name: &str) -> bool {
    host.0.eq_ignore_ascii_case(name)
}

/// The port of a SIP URI that names none (RFC 3261 §19.1.2).
pub(crate) const DEFAULT_PORT: u16 = 5060;
