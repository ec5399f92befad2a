//! What one phone is told about itself.

use presently_sip::{Aor, Protocol};

use crate::Quirk;

/// Who a phone is and how it reaches the pool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Its user.
    pub aor: Aor,
    /// The name shown beside the address; empty for none.
    pub display: String,
    /// What tells this device from the user's others (`urn:uuid:…`, RFC 5626 §4.1); `None` for a
    /// phone that does not say.
    pub instance: Option<String>,
    /// Where it wants to be reached: the text of a URI.
    pub contact: String,
    /// Host and port it writes into its Via.
    pub sent_by: String,
    /// What carries its one flow to the pool.
    pub protocol: Protocol,
    /// A Route value to start every request outside a dialog with; `None` for a phone that just
    /// sends everything to its outbound proxy.
    pub route: Option<String>,
    /// What it says it is (User-Agent).
    pub user_agent: String,
    /// Where tags, branches and Call-IDs come from. Two phones with one seed choose the same ones,
    /// as two phones that seed from the clock do; in earnest, take it from the system.
    pub seed: u64,
    /// Over how much of the time granted, in percent before nine tenths of it, refreshes are spread
    /// at random; 0 for a phone, which makes room for nobody.
    pub refresh_spread_percent: u8,
    /// What it does otherwise than a good phone; empty by default.
    pub quirks: Vec<Quirk>,
}

impl Config {
    /// A good phone of `aor` at `sent_by` (`192.0.2.7:5060`), reached there too.
    pub fn new(aor: Aor, protocol: Protocol, sent_by: &str, seed: u64) -> Self {
        let transport = match protocol {
            Protocol::Tcp => ";transport=tcp",
            // UDP is what a SIP URI means without the parameter (RFC 3263 §4.1).
            Protocol::Udp => "",
        };
        Self {
            contact: format!("sip:phone@{sent_by}{transport}"),
            aor,
            display: String::new(),
            instance: None,
            sent_by: sent_by.to_owned(),
            protocol,
            route: None,
            user_agent: "presently-agent".to_owned(),
            seed,
            refresh_spread_percent: 0,
            quirks: Vec::new(),
        }
    }
}
