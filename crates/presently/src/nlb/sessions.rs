//! Sessions as `/sessions` and `presently nlb status` show them.

use presently_nlb::{Nlb as Machine, Sight, Standing, State};
use serde::{Deserialize, Serialize};

/// What is served, and where.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SessionList {
    /// The application servers.
    pub servers: Vec<ServerRow>,
    /// Sessions of users that were asked for, up to a bound.
    pub sessions: Vec<SessionRow>,
    /// How many there are in all.
    pub sessions_total: u64,
}

/// One application server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ServerRow {
    /// Its name.
    pub server: String,
    /// Its address.
    pub address: String,
    /// `up`, `down` or `draining`.
    pub state: String,
    /// Live sessions.
    pub sessions: u64,
    /// How many it takes; `None` for any number.
    pub slots: Option<u32>,
}

/// One session.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SessionRow {
    /// Its user's address of record.
    pub user: String,
    /// Its UUID.
    pub uuid: String,
    /// The address of record under which the nlb acts for the user.
    pub handle: String,
    /// Its application server; `None` while it waits for one.
    pub server: Option<String>,
    /// How it stands.
    pub state: String,
    /// What its feed says of the user: `open`, `closed`, or `unknown`.
    pub presence: String,
    /// When it began, in seconds since 1970.
    pub since: u64,
    /// Its open connections.
    pub paths: u64,
    /// Bytes from the user over them.
    pub from_user_bytes: u64,
    /// Bytes to the user over them.
    pub to_user_bytes: u64,
    /// Why it stands like this.
    pub why: String,
}

impl SessionList {
    /// The sessions of users with `part` in their address.
    pub(super) fn of(machine: &Machine, part: &str) -> Self {
        let sessions = machine.sessions();
        let wanted = sessions.filter(|sight| sight.user.as_str().contains(part));
        Self {
            servers: ServerRow::all(machine),
            sessions: wanted.take(ROWS_MAX).map(SessionRow::new).collect(),
            sessions_total: machine.counters().sessions,
        }
    }
}

impl ServerRow {
    /// The application servers of `machine`.
    pub(super) fn all(machine: &Machine) -> Vec<Self> {
        machine.servers().iter().map(Self::new).collect()
    }

    fn new(standing: Standing<'_>) -> Self {
        let state = match (standing.is_draining, standing.is_up) {
            (true, _) => "draining",
            (false, true) => "up",
            (false, false) => "down",
        };
        Self {
            server: standing.server.name.to_string(),
            address: standing.server.address.to_string(),
            state: state.to_owned(),
            sessions: number(standing.live),
            slots: standing.server.slots,
        }
    }
}

impl SessionRow {
    fn new(sight: Sight) -> Self {
        Self {
            user: sight.user.to_string(),
            uuid: sight.uuid,
            handle: sight.handle.to_string(),
            server: sight.server.map(|server| server.to_string()),
            state: sight.stage.to_string(),
            presence: presence(sight.presence).to_owned(),
            since: sight.since.secs(),
            paths: number(sight.paths),
            from_user_bytes: sight.from_user_bytes,
            to_user_bytes: sight.to_user_bytes,
            why: sight.why.to_owned(),
        }
    }
}

fn presence(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open => "open",
        State::Unknown => "unknown",
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The loop stands still while it writes them: some milliseconds.
const ROWS_MAX: usize = 10_000;
