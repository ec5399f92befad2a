//! Takeover: whose beat stands still, whose life is ended for it, and whose clients are moved.
//!
//! ```text
//!            the beat moves
//!   watched ◄───┐  stands for STANDSTILL and OWN_BEATS      the store says so
//!      │ └──────┘ ─────────────────────────────► End ─────────────────────► ended
//!      │ says good-bye                                                        │
//!      └────────────► left ──── RETURN_WITHIN ────► TakeOver ◄────────────────┘
//!                                                     │ ▲ clients are left
//!                                                     └─┘
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use presently_pool::{Assignment, Member, MemberId, MemberState, Membership, Role};
use presently_sip::{Aor, Moment};
use presently_store::{Operation, Outcome, Refused, Ticket};

/// What a balancer has seen of the other members, and what it is doing about them.
///
/// It never looks at its own membership. Its tables are bounded by the table of members.
#[derive(Debug)]
pub(crate) struct Takeover {
    me: Membership,
    seen: BTreeMap<MemberId, Seen>,
    /// Own beats that were committed; those of one burst count once.
    own_beats: u64,
    counted_at: Option<Moment>,
    asked: BTreeMap<u64, Asked>,
    tickets_given: u64,
}

/// A member as its beat stands.
#[derive(Debug)]
struct Seen {
    row: Member,
    /// When the row stood like this first.
    since: Moment,
    /// The own beats that had been committed then.
    own_beats: u64,
}

/// An operation under way; one for each member at the most.
#[derive(Debug)]
enum Asked {
    End(Membership),
    TakeOver(Moving),
}

/// Clients of one member on their way to others, over several operations.
#[derive(Clone, Copy, Debug)]
struct Moving {
    from: MemberId,
    began: Moment,
    clients: usize,
}

/// What came of an operation.
#[derive(Debug)]
pub(crate) enum Progress {
    /// This balancer has ended that life.
    Ended(Membership),
    /// The store did not do it; the next beat's table says what is to be done.
    Failed(Refused),
    /// These clients have other servers now.
    Moved(Vec<(Aor, Assignment)>),
    /// Somebody else was faster, or there was nothing to do.
    Nothing,
}

impl Takeover {
    pub(crate) fn new(me: Membership) -> Self {
        Self {
            me,
            seen: BTreeMap::new(),
            own_beats: 0,
            counted_at: None,
            asked: BTreeMap::new(),
            tickets_given: 0,
        }
    }

    /// Takes the table of members as a committed beat of ours read it, and asks for what it calls
    /// for.
    pub(crate) fn look(
        &mut self,
        now: Moment,
        members: &[Member],
        operations: &mut Vec<(Ticket, Operation)>,
    ) {
        self.count_beat(now);
        let is_known = |id: &MemberId| members.iter().any(|row| row.id == *id);
        self.seen.retain(|id, _| is_known(id));
        for row in members {
            if row.id != self.me.member {
                self.see(now, row);
            }
        }
        let places: Vec<_> = self.seen.keys().copied().collect();
        for member in places {
            self.act(now, member, operations);
        }
    }

    /// Takes what came of the operation under `ticket`; `None` when it is not one of these.
    pub(crate) fn handle_completion(
        &mut self,
        now: Moment,
        ticket: Ticket,
        result: &mut Result<Outcome, Refused>,
        operations: &mut Vec<(Ticket, Operation)>,
    ) -> Option<Progress> {
        let asked = self.asked.remove(&ticket.0)?;
        let outcome = match std::mem::replace(result, Ok(Outcome::Done)) {
            Ok(outcome) => outcome,
            Err(refused) => return Some(Progress::Failed(refused)),
        };
        Some(match (asked, outcome) {
            (Asked::End(life), Outcome::Ended(true)) => {
                self.on_ended(now, life, operations);
                Progress::Ended(life)
            }
            (Asked::TakeOver(moving), Outcome::TakenOver { moved, left }) => {
                self.on_taken_over(now, moving, (moved.len(), left), operations);
                Progress::Moved(moved)
            }
            _ => Progress::Nothing,
        })
    }

    /// Whether the beat of a living member has been missed for a while: what is sent to it may
    /// have to be sent again elsewhere.
    pub(crate) fn is_doubted(&self, now: Moment, member: MemberId) -> bool {
        let seen = self.seen.get(&member);
        seen.is_some_and(|seen| now.since(seen.since) >= DOUBT)
    }

    /// A stalled store may confirm many beats at once: they say no more about others than one.
    fn count_beat(&mut self, now: Moment) {
        let is_burst = |last: Moment| now.since(last) < BURST;
        if !self.counted_at.is_some_and(is_burst) {
            self.own_beats += 1;
            self.counted_at = Some(now);
        }
    }

    fn see(&mut self, now: Moment, row: &Member) {
        let seen = self.seen.entry(row.id).or_insert_with(|| Seen {
            row: row.clone(),
            since: now,
            own_beats: self.own_beats,
        });
        let stands = |row: &Member| (row.incarnation, row.state, row.beat);
        if stands(&seen.row) != stands(row) {
            seen.since = now;
            seen.own_beats = self.own_beats;
        }
        seen.row.clone_from(row);
    }

    /// Asks for what the state of `member` calls for, unless something is under way.
    fn act(&mut self, now: Moment, member: MemberId, operations: &mut Vec<(Ticket, Operation)>) {
        let Some(seen) = self.seen.get(&member) else {
            return;
        };
        if self.asked.values().any(|asked| asked.member() == member) {
            return;
        }
        let span = now.since(seen.since);
        let own_beats = self.own_beats.saturating_sub(seen.own_beats);
        let row = &seen.row;
        match row.state {
            MemberState::Alive if span >= STANDSTILL && own_beats >= OWN_BEATS => {
                let (life, beat) = (row.membership(), row.beat);
                let operation = Operation::End {
                    by: self.me,
                    member: life,
                    beat,
                };
                self.ask(Asked::End(life), operation, operations);
            }
            MemberState::Ended => self.take_over(now, member, operations),
            MemberState::Left if span >= RETURN_WITHIN => {
                self.take_over(now, member, operations);
            }
            MemberState::Alive | MemberState::Left => {}
        }
    }

    /// Asks for the clients of `member` to be moved, if it has any and somebody can take them.
    fn take_over(
        &mut self,
        now: Moment,
        from: MemberId,
        operations: &mut Vec<(Ticket, Operation)>,
    ) {
        let row = self.seen.get(&from).map(|seen| &seen.row);
        let has_clients = row.is_some_and(|row| row.role == Role::Server && row.clients > 0);
        let lives = |row: &Member| row.role == Role::Server && row.state == MemberState::Alive;
        let mut others = self.seen.values().map(|seen| &seen.row);
        if has_clients && others.any(lives) {
            let began = now;
            let clients = 0;
            self.go_on(
                Moving {
                    from,
                    began,
                    clients,
                },
                operations,
            );
        }
    }

    fn go_on(&mut self, moving: Moving, operations: &mut Vec<(Ticket, Operation)>) {
        let operation = Operation::TakeOver {
            by: self.me,
            from: moving.from,
        };
        self.ask(Asked::TakeOver(moving), operation, operations);
    }

    fn ask(
        &mut self,
        asked: Asked,
        operation: Operation,
        operations: &mut Vec<(Ticket, Operation)>,
    ) {
        self.tickets_given += 1;
        let ticket = self.tickets_given | OURS;
        self.asked.insert(ticket, asked);
        operations.push((Ticket(ticket), operation));
    }

    fn on_ended(
        &mut self,
        now: Moment,
        life: Membership,
        operations: &mut Vec<(Ticket, Operation)>,
    ) {
        let Some(seen) = self.seen.get_mut(&life.member) else {
            return;
        };
        if seen.row.membership() != life {
            return;
        }
        let stood_ms = millis(now.since(seen.since));
        seen.row.state = MemberState::Ended;
        seen.since = now;
        tracing::warn!(
            member = &*seen.row.name,
            incarnation = life.incarnation.0,
            clients = seen.row.clients,
            ms = stood_ms,
            "a member stood still: its life is ended"
        );
        self.take_over(now, life.member, operations);
    }

    fn on_taken_over(
        &mut self,
        now: Moment,
        mut moving: Moving,
        (moved, left): (usize, u64),
        operations: &mut Vec<(Ticket, Operation)>,
    ) {
        moving.clients += moved;
        let seen = self.seen.get_mut(&moving.from);
        if let Some(seen) = seen {
            // What the next table says is newer.
            seen.row.clients = left;
            if moving.clients > 0 && (left == 0 || moved == 0) {
                tracing::info!(
                    member = &*seen.row.name,
                    incarnation = seen.row.incarnation.0,
                    clients = moving.clients,
                    left,
                    ms = millis(now.since(moving.began)),
                    "its clients are taken over"
                );
            }
        }
        if left > 0 && moved > 0 {
            self.go_on(moving, operations);
        }
    }
}

impl Asked {
    fn member(&self) -> MemberId {
        match self {
            Self::End(life) => life.member,
            Self::TakeOver(moving) => moving.from,
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// How long a beat must have stood before the life is ended: six beats missed.
const STANDSTILL: Duration = Duration::from_millis(1_500);
/// Own beats that must have been committed meanwhile: a store that stands still kills nobody.
const OWN_BEATS: u64 = 4;
/// Own beats that are confirmed closer together than this come from one standstill of the store.
const BURST: Duration = Duration::from_millis(200);
/// How long the clients of a server that said good-bye wait for its return: longer than a restart
/// in place takes, and with the beats around it short of the 3 s in which a client is answered.
const RETURN_WITHIN: Duration = Duration::from_millis(1_500);
/// More than two beats missed. A phone over UDP repeats 0.5 s and 1.5 s after its request, so that
/// one of its copies comes while the server is doubted, and none has to wait for the one at 3.5 s.
const DOUBT: Duration = Duration::from_millis(600);
/// Marks these tickets: those of waiting requests count from 1 and never come so far.
const OURS: u64 = 1 << 47;

#[cfg(test)]
mod tests;
