//! What of changed settings a running nlb takes over, and what needs a restart.

use super::config::{check_servers, servers};
use super::{ConfigError, Control, Settings};

impl Settings {
    /// The keys whose value differs from that in `other` and that only a restart puts into force:
    /// all but `server` and `log_level`.
    #[must_use]
    pub fn needing_restart(&self, other: &Self) -> Vec<&'static str> {
        // Each by its name: a new key must be put on one of the two sides.
        let Self {
            name,
            domain,
            presence,
            presence_from,
            sip,
            when_unreachable,
            at_stop,
            store,
            admin,
            threads,
            trusted,
            forwarding,
            aor,
            anonymous,
            log,
            log_level: _,
            listen,
            by_address,
            user,
            device,
            server: _,
            health,
            decision,
            resume,
            guard,
            timeouts,
            refresh,
            limits,
        } = self;
        let differs = [
            ("name", *name != other.name),
            ("domain", *domain != other.domain),
            ("presence", *presence != other.presence),
            ("presence_from", *presence_from != other.presence_from),
            ("sip", *sip != other.sip),
            (
                "when_unreachable",
                *when_unreachable != other.when_unreachable,
            ),
            ("at_stop", *at_stop != other.at_stop),
            ("store", *store != other.store),
            ("admin", *admin != other.admin),
            ("threads", *threads != other.threads),
            ("trusted", *trusted != other.trusted),
            ("forwarding", *forwarding != other.forwarding),
            ("aor", *aor != other.aor),
            ("anonymous", *anonymous != other.anonymous),
            ("log", *log != other.log),
            ("listen", *listen != other.listen),
            ("by_address", *by_address != other.by_address),
            ("user", *user != other.user),
            ("device", *device != other.device),
            ("health", *health != other.health),
            ("decision", *decision != other.decision),
            ("resume", *resume != other.resume),
            ("guard", *guard != other.guard),
            ("timeouts", *timeouts != other.timeouts),
            ("refresh", *refresh != other.refresh),
            ("limits", *limits != other.limits),
        ];
        let changed = differs.into_iter().filter(|(_, differs)| *differs);
        changed.map(|(key, _)| key).collect()
    }
}

impl Control {
    /// Takes over what of `settings` may change while the nlb runs: the application servers.
    /// Returns once requests go to them; false when the nlb has ended or is stuck for a second: it
    /// is not done later then.
    ///
    /// # Errors
    ///
    /// The servers do not fit together; nothing has changed then.
    pub async fn take_over(&self, settings: &Settings) -> Result<bool, ConfigError> {
        check_servers(&settings.server)?;
        let done = self.set_servers(servers(&settings.server)).await;
        Ok(done.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn what_needs_a_restart_is_told_and_servers_do_not() {
        let least = "domain = \"example.com\"\npresence = \"udp:127.0.0.1:5060\"\n";
        let server = "[[server]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n";
        let read = |text: &str| parse::<Settings>("f", text).unwrap();
        let present = read(least);
        let table = [
            (format!("{least}{server}"), vec![]),
            (format!("log_level = \"info\"\n{least}"), vec![]),
            (
                format!("aor = \"sip:x-{{user}}@example.com\"\n{least}"),
                vec!["aor"],
            ),
            (
                format!("{least}[decision]\ngrace_ms = 1\n[guard]\nat_least = 1\n"),
                vec!["decision", "guard"],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(read(&text).needing_restart(&present), expected, "{text}");
        }
    }
}
