//! The command line.

mod mistake;
mod nlb;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use presently::Settings;
use presently::config::{LogLevel, StorePath, host_port};
use presently_sip::Aor;

pub(crate) use self::mistake::tell;
pub(crate) use self::nlb::{Nlb, NlbCommand, NlbStatus};

/// A SIP/SIMPLE presence pool: many servers behind one SIP address.
#[derive(Debug, Parser)]
#[command(name = "presently", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves a pool, or one part of it; without flags a balancer and three servers on this machine
    Serve(Box<Serve>),
    /// Watches somebody's presence and prints each change, until Ctrl-C
    Watch(Watch),
    /// Publishes presence for somebody, and keeps it up until Ctrl-C
    Publish(Publish),
    /// Shows the members of a pool, their clients and subscriptions
    Status(Status),
    /// Shows all that the pool keeps about somebody
    Show(Show),
    /// Copies the store into a file while the pool runs
    Backup(Backup),
    /// Empties a server: its clients move to the others while the pool serves
    Drain(Drain),
    /// Lets a drained server have clients again
    Undrain(Undrain),
    /// Shows somebody's messages as they pass running processes
    Trace(Trace),
    /// Balances users over application servers, and follows their presence
    Nlb(Nlb),
}

/// What `serve` is told.
#[derive(Args, Debug)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct Serve {
    /// Reads settings from a TOML file; flags win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Logs more: `-v` is `--log-level info`, `-vv` is debug
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "log_level")]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

impl Serve {
    /// What the flags say, `-v` among them.
    pub(crate) fn flags(&self) -> Settings {
        let level = match self.verbose {
            0 => self.settings.log_level,
            1 => Some(LogLevel::Info),
            2 => Some(LogLevel::Debug),
            _ => Some(LogLevel::Trace),
        };
        Settings {
            log_level: level,
            ..self.settings.clone()
        }
    }
}

/// What `watch` is told.
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// Whom to watch, as in sip:alice@example.com
    #[arg(value_name = "sip:USER@DOMAIN", value_parser = aor)]
    pub(crate) presentity: Aor,
    #[command(flatten)]
    pub(crate) phone: PhoneArgs,
    /// Ends after the first state
    #[arg(long)]
    pub(crate) once: bool,
}

/// What `publish` is told.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("state").required(true)))]
pub(crate) struct Publish {
    /// About whom, as in sip:alice@example.com
    #[arg(value_name = "sip:USER@DOMAIN", value_parser = aor)]
    pub(crate) presentity: Aor,
    /// Publishes that they can be reached
    #[arg(long, group = "state")]
    pub(crate) open: bool,
    /// Publishes that they cannot be reached
    #[arg(long, group = "state")]
    pub(crate) closed: bool,
    /// A note to go with it
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Ends once it is published, and leaves it to expire after this time
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) expires: Option<u32>,
    #[command(flatten)]
    pub(crate) phone: PhoneArgs,
}

/// How `watch` and `publish` reach a pool.
#[derive(Args, Debug)]
pub(crate) struct PhoneArgs {
    /// Where the pool listens for UDP
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5060", value_parser = host_port)]
    pub(crate) pool: SocketAddr,
    /// Who asks [default: the one it is about; `publish` takes no other]
    #[arg(long = "as", value_name = "sip:ME@DOMAIN", value_parser = aor)]
    pub(crate) me: Option<Aor>,
    /// Prints one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `status` is told.
#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// What `show` is told.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Whom to show, as in sip:alice@example.com
    #[arg(value_name = "sip:USER@DOMAIN", value_parser = aor)]
    pub(crate) client: Aor,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// What `drain` is told.
#[derive(Args, Debug)]
pub(crate) struct Drain {
    /// The server, by its name in `presently status`
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Waits so many seconds at the most for it to be empty; fails if it is not
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) wait: u64,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// What `undrain` is told.
#[derive(Args, Debug)]
pub(crate) struct Undrain {
    /// The server, by its name in `presently status`
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// What `backup` is told.
#[derive(Args, Debug)]
#[command(after_help = BACKUP_HELP)]
pub(crate) struct Backup {
    /// Where the copy goes
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Puts it in the place of a file that is there already
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// What `trace` is told.
#[derive(Args, Debug)]
#[command(after_help = TRACE_HELP)]
pub(crate) struct Trace {
    /// Whose messages, as in sip:alice@example.com, or those of which Call-ID
    #[arg(value_name = "AOR|CALL-ID")]
    pub(crate) of: String,
    /// The admin port of a running process, on this machine; may be given several times
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "config", value_parser = host_port)]
    pub(crate) admin: Vec<SocketAddr>,
    /// Takes the admin port from this configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Ends after this time [default: at Ctrl-C, or after an hour]
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) secs: Option<u64>,
    /// Prints one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where `status`, `show` and `backup` read.
#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    /// Where the pool's state is kept [default: sqlite:presently.db]
    #[arg(long, value_name = "sqlite:PATH")]
    pub(crate) store: Option<StorePath>,
    /// Takes the store from this configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn aor(text: &str) -> Result<Aor, String> {
    Aor::parse(text).map_err(|_| "an address of record is like sip:alice@example.com".to_owned())
}

const BACKUP_HELP: &str = "\
The copy has everything that was committed when it began, and holds the pool's key: only its owner
may read it. To go back to it, stop every process of the pool and serve from it or from a copy:

  presently serve --store sqlite:FILE";

const TRACE_HELP: &str = "\
Messages that name the address in From, To or the Request-URI, whole, with time and flow; between
members of the pool in processes of their own (`link`) too. Credentials are masked. The process must
have been started with --admin, at an address of loopback.";

const NLB_HELP: &str = "\
At the least, the file says where the presence server is, where clients come, who they are and
where they go; docs/nlb.md has all the keys:

  domain = \"example.com\"
  presence = \"udp:127.0.0.1:5060\"
  sip = \"127.0.0.1:5080\"
  user = [{ header = \"X-User\" }]

  [[listen]]
  kind = \"http\"
  address = \"127.0.0.1:8080\"

  [[server]]
  name = \"a1\"
  address = \"127.0.0.1:9001\"
  slots = 100

SIGHUP reads the file again: [[server]] and log_level change at once, the rest needs a restart.";

const SERVE_HELP: &str = "\
The configuration file has the flags' names as keys, and two that differ:

  listen = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]
  domains = [\"example.com\"]        # --domain
  servers = 3
  store = \"sqlite:presently.db\"
  admin = \"127.0.0.1:9090\"
  auth = \"off\"
  role = \"all\"                     # also name, oob, sip, weight
  log = \"text\"
  log_level = \"warn\"

  [expires]                        # of REGISTER, SUBSCRIBE and PUBLISH; no flags
  min_secs = 30
  default_secs = 3600
  max_secs = 3600
  jitter_percent = 10              # a first grant is up to so much shorter

  [flows]                          # no flags
  grace_secs = 30                  # so long a phone that hung up or answers no more counts as there
  silence_secs = 60                # a connection that acknowledges nothing for so long is closed
  ask_secs = 0                     # a phone that says nothing for so long is asked (OPTIONS)

  [limits]                         # no flags
  balancer_held_mib = 32           # requests that wait for the store, at the balancer
  server_held_mib = 64             # and at each server; more are refused with 503
  connections_per_address = 2048   # of phones over TCP; more are closed at once

SIGHUP reads the file again: domains, [expires] and log_level change at once, the rest needs a
restart.

A balancer and two servers in processes of their own, on one machine:

  presently serve --role balancer --name b1 --store sqlite:/tmp/pool.db
  presently serve --role server --name s1 --store sqlite:/tmp/pool.db
  presently serve --role server --name s2 --store sqlite:/tmp/pool.db";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_help_names_each_flag_of_each_command() {
        let serve = [
            "--config",
            "--listen",
            "--domain",
            "--servers",
            "--store",
            "--admin",
            "--auth",
            "--role",
            "--name",
            "--oob",
            "--sip",
            "--weight",
            "--log",
            "--log-level",
            "SIGHUP",
            "--verbose",
            "-v",
            "[expires]",
            "min_secs",
            "default_secs",
            "max_secs",
            "jitter_percent",
            "[flows]",
            "grace_secs",
            "silence_secs",
            "ask_secs",
            "[limits]",
            "server_held_mib",
            "connections_per_address",
        ];
        let table: [(&str, &[&str]); 8] = [
            ("nlb", &["--config", "-v", "status", "SIGHUP", "[[server]]"]),
            ("serve", &serve),
            ("watch", &["--pool", "--as", "--json", "--once"]),
            (
                "publish",
                &[
                    "--pool",
                    "--as",
                    "--json",
                    "--open",
                    "--closed",
                    "--note",
                    "--expires",
                ],
            ),
            ("status", &["--store", "--config", "--json"]),
            (
                "trace",
                &["AOR|CALL-ID", "--admin", "--config", "--for", "--json"],
            ),
            ("show", &["--store", "--config", "--json"]),
            (
                "backup",
                &["FILE", "--store", "--config", "--json", "--force"],
            ),
        ];
        for (name, flags) in table {
            let mut cli = Cli::command();
            let command = cli.find_subcommand_mut(name).unwrap();
            let help = command.render_long_help().to_string();
            for flag in flags {
                assert!(help.contains(flag), "{name} {flag}\n{help}");
            }
        }
    }

    #[test]
    fn the_manual_names_each_flag_of_serve() {
        let manual = include_str!("../../../docs/running.md");
        let cli = Cli::command();
        let serve = cli.find_subcommand("serve").unwrap();
        for argument in serve.get_arguments() {
            let flag = argument.get_long().unwrap();
            assert!(manual.contains(&format!("`--{flag}")), "--{flag}");
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_mistyped_is_refused() {
        let table = [
            "presently serve --server 3",
            "presently serve --listen 127.0.0.1:5060",
            "presently serve --store presently.db",
            "presently serve --role king",
            "presently serve --auth digest",
            "presently publish sip:alice@example.com",
            "presently publish sip:alice@example.com --open --closed",
            "presently publish sip:alice@example.com --open --expires 0",
            "presently drain s1 --wait 18446744073709551615",
            "presently serve --admin 9090",
            "presently watch alice",
        ];
        for line in table {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
