//! Where a member takes out-of-band datagrams, as text: `HOST:PORT[,advertise=HOST:PORT]`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;

use super::listen::resolve;

/// Where a member takes out-of-band datagrams, and where the others are told to send them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct OobAddress {
    /// Where the socket is bound; port 0 for any free one.
    pub bind: SocketAddr,
    /// What other members are told, when it is not the bound address itself: behind an address
    /// translation, or a relay.
    pub advertise: Option<SocketAddr>,
}

/// The text is no out-of-band address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an out-of-band address is HOST:PORT[,advertise=HOST:PORT]")]
pub struct InvalidOobAddress;

impl From<SocketAddr> for OobAddress {
    fn from(bind: SocketAddr) -> Self {
        Self {
            bind,
            advertise: None,
        }
    }
}

impl FromStr for OobAddress {
    type Err = InvalidOobAddress;

    fn from_str(text: &str) -> Result<Self, InvalidOobAddress> {
        let (bind, option) = match text.split_once(',') {
            Some((bind, option)) => (bind, Some(option)),
            None => (text, None),
        };
        let bind = resolve(bind).ok_or(InvalidOobAddress)?;
        let advertise = option.map(|option| {
            let address = option.strip_prefix("advertise=").and_then(resolve);
            // Nobody is reached at port 0.
            let address = address.filter(|address| address.port() != 0);
            address.ok_or(InvalidOobAddress)
        });
        Ok(Self {
            bind,
            advertise: advertise.transpose()?,
        })
    }
}

impl TryFrom<String> for OobAddress {
    type Error = InvalidOobAddress;

    fn try_from(text: String) -> Result<Self, InvalidOobAddress> {
        text.parse()
    }
}

impl fmt::Display for OobAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_written() {
        let table = [
            ("127.0.0.1:7000", "127.0.0.1:7000", None),
            (
                "0.0.0.0:7000,advertise=192.0.2.1:7100",
                "0.0.0.0:7000",
                Some("192.0.2.1:7100"),
            ),
            (
                "[::]:7000,advertise=[2001:db8::1]:7000",
                "[::]:7000",
                Some("[2001:db8::1]:7000"),
            ),
        ];
        for (text, bind, advertise) in table {
            let expected = OobAddress {
                bind: bind.parse().unwrap(),
                advertise: advertise.map(|text| text.parse().unwrap()),
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let table = [
            "127.0.0.1",
            "127.0.0.1:7000,127.0.0.1:7001",
            "127.0.0.1:7000,advertise=127.0.0.1",
            "127.0.0.1:7000,advertise=127.0.0.1:0",
        ];
        for text in table {
            assert_eq!(text.parse::<OobAddress>(), Err(InvalidOobAddress), "{text}");
        }
    }
}
