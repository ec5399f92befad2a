//! Addresses as an operator writes them: `HOST:PORT`, `udp:HOST:PORT`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use presently_proxy::Network;
use presently_sip::Protocol;
use serde::Deserialize;

use crate::config::resolve;

/// A host and a port, looked up once when the file is read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Address(pub SocketAddr);

/// Where the presence server listens, and what it speaks there.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct PresenceAddress {
    /// What carries the one flow to it.
    pub protocol: Protocol,
    /// Where it is.
    pub address: SocketAddr,
}

/// A host, or a range of them, whose word about its clients is believed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Trusted(pub Network);

/// The text is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAddress {
    /// It is no host and port, or nobody knows the host.
    #[error("{text:?} is no HOST:PORT, or its host has no address")]
    Unknown {
        /// What was written.
        text: String,
    },
    /// It is no range of addresses.
    #[error("{text:?} is no address, nor an address and a number of bits")]
    Network {
        /// What was written.
        text: String,
    },
    /// It does not say over what.
    #[error("a presence server is udp:HOST:PORT or tcp:HOST:PORT, not {text:?}")]
    Protocol {
        /// What was written.
        text: String,
    },
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let unknown = || InvalidAddress::Unknown {
            text: text.to_owned(),
        };
        resolve(text).map(Self).ok_or_else(unknown)
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl FromStr for PresenceAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (protocol, address) = match text.split_once(':') {
            Some(("tcp", address)) => (Protocol::Tcp, address),
            Some(("udp", address)) => (Protocol::Udp, address),
            _ => {
                let text = text.to_owned();
                return Err(InvalidAddress::Protocol { text });
            }
        };
        let Address(address) = address.parse()?;
        Ok(Self { protocol, address })
    }
}

impl TryFrom<String> for PresenceAddress {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl TryFrom<String> for Trusted {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        let network = text.parse();
        let network = network.map(Self);
        network.map_err(|_| InvalidAddress::Network { text })
    }
}

impl fmt::Display for PresenceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.protocol, self.address)
    }
}
