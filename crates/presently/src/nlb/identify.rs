//! Whom a request speaks for, by the lists `user` and `device` of the configuration.

use hyper::header::HeaderName;
use hyper::{HeaderMap, Uri};
use presently_proxy::{Identify, Who};
use presently_sip::Aor;

use super::Config;
use super::settings::Source;

/// The lists, as the proxy asks for them.
pub(super) struct Identity {
    headers: Vec<HeaderName>,
    aor: String,
}

impl Identity {
    pub(super) fn new(config: &Config) -> Self {
        let headers = config
            .settings
            .user
            .iter()
            .filter_map(|source| match source {
                Source::Header(name) => name.parse().ok(),
                _ => None,
            });
        Self {
            headers: headers.collect(),
            aor: config.aor.clone(),
        }
    }
}

impl Identify for Identity {
    fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    fn reads_query(&self) -> bool {
        false
    }

    fn who(&self, _target: &Uri, headers: &HeaderMap) -> Who {
        let mut names = self.headers.iter();
        let name = names.find_map(|name| headers.get(name)?.to_str().ok());
        Who {
            user: name.and_then(|name| self.named(name)),
            ..Who::default()
        }
    }

    fn named(&self, name: &str) -> Option<Aor> {
        Aor::parse(&self.aor.replace("{user}", name)).ok()
    }
}
