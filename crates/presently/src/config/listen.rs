//! One listener as text: `udp:HOST:PORT[,advertise=HOST[:PORT]]`.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use presently_sip::Protocol;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Where phones reach a balancer, and what they are told about it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Listen {
    /// What it carries.
    pub protocol: Protocol,
    /// Where the socket is bound; port 0 for any free one.
    pub bind: SocketAddr,
    /// What phones are told, when it is not the bound address itself.
    pub advertise: Option<Advertise>,
}

/// The address that phones are told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Advertise {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The port, when it is not the bound one.
    pub port: Option<u16>,
}

/// The text is no listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidListen {
    /// What is advertised is no host and port.
    #[error("advertise is HOST or HOST:PORT, and no wildcard: phones are told it")]
    Advertise,
    /// The address is no host and port, or its host has no address.
    #[error("a listener is udp:HOST:PORT or tcp:HOST:PORT, with a host of this machine")]
    Address,
    /// An option is unknown.
    #[error("a listener has no option but advertise=HOST[:PORT]")]
    Option,
    /// The transport is unknown.
    #[error("a listener starts with udp: or tcp:")]
    Protocol,
}

impl FromStr for Listen {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, InvalidListen> {
        let (protocol, rest) = text.split_once(':').ok_or(InvalidListen::Protocol)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(InvalidListen::Protocol),
        };
        let (address, option) = match rest.split_once(',') {
            Some((address, option)) => (address, Some(option)),
            None => (rest, None),
        };
        let advertise = option.map(|option| {
            let value = option.strip_prefix("advertise=");
            value.ok_or(InvalidListen::Option)?.parse()
        });
        Ok(Self {
            protocol,
            bind: resolve(address).ok_or(InvalidListen::Address)?,
            advertise: advertise.transpose()?,
        })
    }
}

impl TryFrom<String> for Listen {
    type Error = InvalidListen;

    fn try_from(text: String) -> Result<Self, InvalidListen> {
        text.parse()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{protocol}:{}", self.bind)
    }
}

impl FromStr for Advertise {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, InvalidListen> {
        let bare = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address has colons of its own, and brackets only in front of a port.
            Some((host, port)) if bare(text).is_none() => {
                let port = port.parse().map_err(|_| InvalidListen::Advertise)?;
                (host, Some(port))
            }
            _ => (text, None),
        };
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let ip = bare(host);
        let is_place = match ip {
            // A wildcard is no place to send anything to.
            Some(ip) => !ip.is_unspecified(),
            None => !host.is_empty() && host.bytes().all(is_word),
        };
        if !is_place || port == Some(0) {
            return Err(InvalidListen::Advertise);
        }
        Ok(Self {
            host: ip.map_or_else(|| host.to_owned(), |ip| ip.to_string()),
            port,
        })
    }
}

/// The text is no address, or its host has none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an address is HOST:PORT, as in 127.0.0.1:9090, with a host that has an address")]
pub struct InvalidHostPort;

/// The address that `HOST:PORT` means; a name is looked up at once.
///
/// # Errors
///
/// The text is something else, or nobody knows the host.
pub fn host_port(text: &str) -> Result<SocketAddr, InvalidHostPort> {
    resolve(text).ok_or(InvalidHostPort)
}

/// As [`host_port`], of a key of the file.
pub(super) fn host_port_of_key<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    host_port(&text).map(Some).map_err(D::Error::custom)
}

/// The first address of `text`, which is an address and port or a name and port.
pub(crate) fn resolve(text: &str) -> Option<SocketAddr> {
    text.parse()
        .ok()
        .or_else(|| text.to_socket_addrs().ok()?.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_read_as_written() {
        let advertise = |host: &str, port| {
            Some(Advertise {
                host: host.to_owned(),
                port,
            })
        };
        let table = [
            ("udp:127.0.0.1:5060", Protocol::Udp, "127.0.0.1:5060", None),
            ("tcp:[::1]:5060", Protocol::Tcp, "[::1]:5060", None),
            (
                "udp:0.0.0.0:5060,advertise=sip.example.com",
                Protocol::Udp,
                "0.0.0.0:5060",
                advertise("sip.example.com", None),
            ),
            (
                "udp:0.0.0.0:5060,advertise=192.0.2.1:5070",
                Protocol::Udp,
                "0.0.0.0:5060",
                advertise("192.0.2.1", Some(5070)),
            ),
            (
                "tcp:[::]:5060,advertise=[2001:db8::1]:5070",
                Protocol::Tcp,
                "[::]:5060",
                advertise("2001:db8::1", Some(5070)),
            ),
            (
                "tcp:[::]:5060,advertise=2001:db8::1",
                Protocol::Tcp,
                "[::]:5060",
                advertise("2001:db8::1", None),
            ),
        ];
        for (text, protocol, bind, advertise) in table {
            let bind = bind.parse().unwrap();
            let expected = Listen {
                protocol,
                bind,
                advertise,
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_listener_is_refused() {
        let table = [
            ("127.0.0.1:5060", InvalidListen::Protocol),
            ("tls:127.0.0.1:5061", InvalidListen::Protocol),
            ("udp:127.0.0.1", InvalidListen::Address),
            ("udp:127.0.0.1:70000", InvalidListen::Address),
            ("udp:127.0.0.1:5060,name=x", InvalidListen::Option),
            ("udp:127.0.0.1:5060,advertise=", InvalidListen::Advertise),
            ("udp:127.0.0.1:5060,advertise=h:0", InvalidListen::Advertise),
            ("udp:127.0.0.1:5060,advertise=a b", InvalidListen::Advertise),
            (
                "udp:0.0.0.0:5060,advertise=0.0.0.0",
                InvalidListen::Advertise,
            ),
            (
                "udp:[::]:5060,advertise=[::]:5060",
                InvalidListen::Advertise,
            ),
            (
                "udp:127.0.0.1:5060,advertise=a:b:1",
                InvalidListen::Advertise,
            ),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Listen>(), Err(expected), "{text}");
        }
    }
}
