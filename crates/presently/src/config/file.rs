//! The configuration file: TOML, with the flags' names as keys.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::{Settings, mistyped};

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It holds something else than settings.
    #[error("{file}:{line}: {message}")]
    Invalid {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// It cannot be read.
    #[error("{file} cannot be read")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Settings {
    /// The settings in the file at `path`.
    ///
    /// # Errors
    ///
    /// There is no such file, or a key or value in it is not one of a setting: the error names its
    /// line.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        read_file(path)
    }
}

/// The settings of any kind in the file at `path`.
pub(crate) fn read_file<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&file, &text),
        Err(source) => Err(FileError::Unreadable { file, source }),
    }
}

/// As [`read_file`], of a text that is there already.
pub(crate) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        // Of several lines the first says it.
        let message = error.message().lines().next().unwrap_or_default();
        let before = text.get(..start).unwrap_or_default();
        FileError::Invalid {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            message: mistyped::in_words(message, text, start).unwrap_or_else(|| message.to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::{
        Auth, ExpiresTable, FlowsTable, LimitsTable, LogFormat, LogLevel, Role, StorePath,
    };
    use super::*;

    #[test]
    fn each_key_is_read() {
        let text = r#"
            listen = ["udp:0.0.0.0:5060,advertise=sip.example.com", "tcp:127.0.0.1:5060"]
            domains = ["example.com"]
            servers = 2
            store = "sqlite:/var/lib/presently/presently.db"
            admin = "127.0.0.1:9090"
            auth = "off"
            role = "server"
            name = "s7"
            oob = "127.0.0.1:7001"
            sip = "127.0.0.1:7002"
            weight = 4
            log = "json"
            log_level = "info"
            [expires]
            min_secs = 3
            [flows]
            grace_secs = 10
            silence_secs = 40
            ask_secs = 20
            [limits]
            server_held_mib = 16
        "#;
        let expected = Settings {
            listen: vec![
                "udp:0.0.0.0:5060,advertise=sip.example.com"
                    .parse()
                    .unwrap(),
                "tcp:127.0.0.1:5060".parse().unwrap(),
            ],
            domains: vec!["example.com".to_owned()],
            servers: Some(2),
            store: Some(StorePath("/var/lib/presently/presently.db".into())),
            admin: Some("127.0.0.1:9090".parse().unwrap()),
            auth: Some(Auth::Off),
            role: Some(Role::Server),
            name: Some("s7".to_owned()),
            oob: Some("127.0.0.1:7001".parse().unwrap()),
            sip: Some("127.0.0.1:7002".parse().unwrap()),
            weight: Some(4),
            log: Some(LogFormat::Json),
            log_level: Some(LogLevel::Info),
            expires: Some(ExpiresTable {
                min_secs: 3,
                ..ExpiresTable::default()
            }),
            flows: Some(FlowsTable {
                grace_secs: 10,
                silence_secs: 40,
                ask_secs: 20,
            }),
            limits: Some(LimitsTable {
                server_held_mib: 16,
                ..LimitsTable::default()
            }),
        };
        assert_eq!(parse::<Settings>("f", text).unwrap(), expected);
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let table = [
            ("servers = 3\nservres = 4\n", "f:2: unknown field `servres`"),
            ("\n[expires]\nmin = 3\n", "f:3: unknown field `min`"),
            (
                "listen = [\"tls:127.0.0.1:1\"]\n",
                "f:1: a listener starts with udp: or tcp:",
            ),
            ("\n\nrole = \"king\"\n", "f:3: unknown variant `king`"),
            ("servers = \n", "f:1: "),
            (
                "\nservers = 70000\n",
                "f:2: servers must be a whole number from 0 to 65535, not 70000",
            ),
            (
                "servers = \"three\"\n",
                "f:1: servers must be a whole number from 0 to 65535, not \"three\"",
            ),
            (
                "[expires]\nmin_secs = -1\n",
                "f:2: min_secs must be a whole number from 0 to 4294967295, not -1",
            ),
            ("name = 3\n", "f:1: name must be a text in quotes"),
            ("domains = 3\n", "f:1: domains must be a list in brackets"),
            ("expires = 3\n", "f:1: expires must be a table of keys"),
            (
                "servers = 2\nadmin = \"9090\"\n",
                "f:2: an address is HOST:PORT",
            ),
        ];
        for (text, expected) in table {
            let error = parse::<Settings>("f", text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
