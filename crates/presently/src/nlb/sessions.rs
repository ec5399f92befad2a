//! Sessions as `/sessions` and `presently nlb status` show them.

use presently_nlb::{Nlb as Machine, SessionId, Sight, Standing, State};
use serde::{Deserialize, Serialize};

/// What is served, and where.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SessionList {
    /// The application servers.
    pub servers: Vec<ServerRow>,
    /// Sessions of users that were asked for, a page of them: up to a bound, in the order in which
    /// they began.
    pub sessions: Vec<SessionRow>,
    /// How many there are in all.
    pub sessions_total: u64,
    /// Behind which session the next page begins; absent when this is the last one.
    pub next: Option<u64>,
}

/// The rows among some sessions that were looked at in one turn of the loop.
#[derive(Debug)]
pub(super) struct Part {
    rows: Vec<SessionRow>,
    next: Option<u64>,
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
    /// A page without rows yet, of the sessions behind the one called `after`.
    pub(super) fn new(servers: Vec<ServerRow>, sessions_total: u64, after: u64) -> Self {
        Self {
            servers,
            sessions: Vec::new(),
            sessions_total,
            next: Some(after),
        }
    }

    /// Behind which session to look on: `None` when the page is full, or all were looked at.
    pub(super) fn wants(&self) -> Option<u64> {
        self.next.filter(|_| self.sessions.len() < ROWS_MAX)
    }

    /// Takes the rows of one part.
    pub(super) fn add(&mut self, part: Part) {
        self.sessions.extend(part.rows);
        self.next = part.next;
    }
}

impl Part {
    /// The sessions of users with `user` in their address, among the first behind the session
    /// called `after`.
    pub(super) fn of(machine: &Machine, user: &str, after: u64) -> Self {
        let mut last = None;
        let looked_at = machine.sessions_after(SessionId(after)).take(PART_MAX);
        let (mut rows, mut count) = (Vec::new(), 0);
        for sight in looked_at {
            (last, count) = (Some(sight.id.0), count + 1);
            if sight.user.as_str().contains(user) {
                rows.push(SessionRow::new(sight));
            }
        }
        let next = last.filter(|_| count == PART_MAX);
        Self { rows, next }
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

/// A page has this many rows, and those of the part that filled it.
const ROWS_MAX: usize = 10_000;
/// The loop stands still while it looks at so many: below a millisecond. Between two parts it does
/// whatever else there is.
const PART_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use presently_nlb::{Config, Outputs, Server};
    use presently_sip::{Aor, Moment, Now, WallTime};
    use presently_store::{Session, SessionState};

    use super::*;

    fn record(number: usize) -> Session {
        let aor = |user: String| Aor::parse(&format!("sip:{user}@example.com")).unwrap();
        Session {
            user: aor(format!("u{number:05}")),
            nlb: "nlb1".into(),
            uuid: "b0aae7ad-0983-4c7c-a00b-69741247e55d".into(),
            handle: aor(format!("nlb1.{number:016x}")),
            server: "a1".into(),
            state: SessionState::Serving,
            since: WallTime(0),
            presence: "".into(),
            sent: None,
            feed: "".into(),
            tag: None,
            until: WallTime(u64::MAX),
        }
    }

    /// An nlb that has taken up so many sessions.
    fn machine(count: usize) -> Machine {
        let now = Now {
            moment: Moment(0),
            wall: WallTime(1),
        };
        let server = Server {
            name: "a1".into(),
            address: ([127, 0, 0, 1], 1).into(),
            slots: None,
            weight: 1,
        };
        let records = (0..count).map(record).collect();
        let mut machine = Machine::new(Config::default(), vec![server], now, [1; 16], records);
        machine.handle_timeout(now, &mut Outputs::default());
        machine
    }

    /// A page, and the number of parts that it took.
    fn page(machine: &Machine, user: &str, after: u64) -> (SessionList, usize) {
        let mut list = SessionList::new(Vec::new(), 0, after);
        let mut parts = 0;
        while let Some(after) = list.wants() {
            let before = list.sessions.len();
            list.add(Part::of(machine, user, after));
            assert!(list.sessions.len() - before <= PART_MAX);
            parts += 1;
        }
        (list, parts)
    }

    #[test]
    fn a_page_is_read_in_parts_and_pages_miss_nobody() {
        let machine = machine(ROWS_MAX + 2 * PART_MAX);
        let (first, parts) = page(&machine, "", 0);
        assert_eq!(parts, ROWS_MAX.div_ceil(PART_MAX));
        let (second, _) = page(&machine, "", first.next.expect("there are more"));
        assert_eq!(second.next, None);
        let rows = first.sessions.iter().chain(&second.sessions);
        let users: std::collections::BTreeSet<&str> = rows.map(|row| &*row.user).collect();
        assert_eq!(users.len(), ROWS_MAX + 2 * PART_MAX);
        let (one, parts) = page(&machine, "u00300@", 0);
        assert_eq!((one.sessions.len(), one.next), (1, None));
        assert_eq!(parts, (ROWS_MAX + 2 * PART_MAX) / PART_MAX + 1);
    }
}
