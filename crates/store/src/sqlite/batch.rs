//! What the operations of one transaction share: the counter and the members, read once, written
//! once.

use presently_pool::{Member, MemberId, MemberState, Membership, Role};
use rusqlite::{Connection, params};

use super::rows::int;
use super::writer::Failure;
use super::{client, commit, member, read, session, takeover};
use crate::{Operation, Outcome, Refused};

/// The counter and the members as the database has them, and what of them is still to be written.
#[derive(Debug)]
pub(super) struct Known {
    counter: u64,
    stored_counter: u64,
    members: Vec<Member>,
    recounted: Vec<MemberId>,
}

impl Known {
    /// Reads them.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let counter = read::counter(connection)?;
        Ok(Self {
            counter,
            stored_counter: counter,
            members: read::members(connection)?,
            recounted: Vec::new(),
        })
    }
}

/// One transaction of many operations.
pub(super) struct Batch<'c> {
    /// The connection, inside the transaction.
    pub(super) connection: &'c Connection,
    known: Known,
    max_clients: u64,
}

impl<'c> Batch<'c> {
    /// A transaction that has just begun.
    pub(super) fn new(connection: &'c Connection, known: Known, max_clients: u64) -> Self {
        Self {
            connection,
            known,
            max_clients,
        }
    }

    /// Does one operation.
    pub(super) fn perform(&mut self, operation: &Operation) -> Result<Outcome, Failure> {
        match operation {
            Operation::Activate { by, client } => client::activate(self, *by, client),
            Operation::Assign {
                by, client, create, ..
            } => client::assign(self, *by, client, *create),
            Operation::Beat { by, settled, now } => member::beat(self, *by, *settled, *now),
            Operation::Commit { .. } => commit::commit(self, operation),
            Operation::Drain { name, is_draining } => member::drain(self, name, *is_draining),
            Operation::End { by, member, beat } => takeover::end(self, *by, *member, *beat),
            Operation::HoldName { nlb, life, over } => session::hold_name(self, nlb, *life, *over),
            Operation::Join { .. } => member::join(self, operation),
            Operation::KeepSession(session) => session::keep(self, session),
            Operation::Leave { by } => member::leave(self, *by),
            Operation::LeaveName { nlb, life } => session::leave_name(self, nlb, *life),
            Operation::Owe { by, marks } => commit::owe(self, *by, marks),
            Operation::PurgeSession {
                user,
                nlb,
                release_at,
            } => session::purge(self, user, nlb, *release_at),
            Operation::Reassign {
                client,
                from,
                epoch,
                to,
            } => client::reassign(self, client, (*from, *epoch), *to),
            Operation::TakeOver { by, from } => takeover::take_over(self, *by, *from),
            Operation::BoundAt { .. }
            | Operation::Documents { .. }
            | Operation::Find { .. }
            | Operation::Sessions { .. }
            | Operation::Show { .. }
            | Operation::Status
            | Operation::Sweep { .. } => {
                self.write_back()?;
                read::perform(self.connection, operation)
                    .unwrap_or(Err(Failure::Refused(Refused::Unavailable)))
            }
        }
    }

    /// Writes what is still to be written; to be called before the commit.
    pub(super) fn finish(mut self) -> rusqlite::Result<Known> {
        self.write_back()?;
        Ok(self.known)
    }

    /// The next number of the store's one counter.
    pub(super) fn count_up(&mut self) -> u64 {
        self.known.counter += 1;
        self.known.counter
    }

    /// The counter.
    pub(super) fn counter(&self) -> u64 {
        self.known.counter
    }

    /// Refuses an asker whose life has ended.
    pub(super) fn check(&self, by: Membership) -> Result<(), Refused> {
        let is_alive = self.member(by.member).is_some_and(|member| {
            member.incarnation == by.incarnation && member.state == MemberState::Alive
        });
        if is_alive {
            Ok(())
        } else {
            Err(Refused::Fenced)
        }
    }

    /// Every member.
    pub(super) fn members(&self) -> &[Member] {
        &self.known.members
    }

    /// Writes what is to be written and reads the members again, after one was changed in its row.
    pub(super) fn read_members(&mut self) -> rusqlite::Result<()> {
        self.write_back()?;
        self.known.members = read::members(self.connection)?;
        Ok(())
    }

    /// Notes the beat of a member, which its row has already.
    pub(super) fn note_beat(&mut self, id: MemberId, beat: u64) {
        if let Some(member) = self.member_mut(id) {
            member.beat = beat;
        }
    }

    /// The member with this id.
    pub(super) fn member(&self, id: MemberId) -> Option<&Member> {
        self.known.members.iter().find(|member| member.id == id)
    }

    /// Whether one more client may be assigned.
    pub(super) fn has_room(&self) -> bool {
        let clients: u64 = self.members().iter().map(|member| member.clients).sum();
        clients < self.max_clients
    }

    /// The server for a new client: the fewest clients for its weight, the lowest id among equals.
    /// Where every server is being emptied, one of those.
    pub(super) fn emptiest(&self) -> Option<MemberId> {
        self.emptiest_of(takes_clients)
            .or_else(|| self.emptiest_of(serves))
    }

    /// The emptiest of the servers that `may` have it.
    pub(super) fn emptiest_of(&self, may: impl Fn(&Member) -> bool) -> Option<MemberId> {
        let servers = self.members().iter().filter(|member| may(member));
        servers
            .min_by(|a, b| {
                // a.clients / a.weight against b.clients / b.weight, without a division
                let left = u128::from(a.clients) * u128::from(b.weight);
                let right = u128::from(b.clients) * u128::from(a.weight);
                left.cmp(&right).then(a.id.cmp(&b.id))
            })
            .map(|member| member.id)
    }

    /// One client more for `server`.
    pub(super) fn count_in(&mut self, server: MemberId) {
        self.recount(server, |clients| clients + 1);
    }

    /// One client less for `server`.
    pub(super) fn count_out(&mut self, server: MemberId) {
        self.recount(server, |clients| clients.saturating_sub(1));
    }

    fn recount(&mut self, id: MemberId, change: impl FnOnce(u64) -> u64) {
        if let Some(member) = self.member_mut(id) {
            member.clients = change(member.clients);
            if !self.known.recounted.contains(&id) {
                self.known.recounted.push(id);
            }
        }
    }

    fn member_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.known.members.iter_mut().find(|member| member.id == id)
    }

    fn write_back(&mut self) -> rusqlite::Result<()> {
        if self.known.counter != self.known.stored_counter {
            self.connection
                .prepare_cached("UPDATE counter SET value = ?1")?
                .execute([int(self.known.counter)])?;
            self.known.stored_counter = self.known.counter;
        }
        for id in std::mem::take(&mut self.known.recounted) {
            let clients = self.member(id).map_or(0, |member| member.clients);
            self.connection
                .prepare_cached("UPDATE members SET clients = ?2 WHERE id = ?1")?
                .execute(params![id.0, int(clients)])?;
        }
        Ok(())
    }
}

/// Whether new clients may go to this member. A weight of 0 takes none.
pub(super) fn takes_clients(member: &Member) -> bool {
    serves(member) && !member.is_draining
}

/// Whether it is a server that lives and may have clients.
fn serves(member: &Member) -> bool {
    member.role == Role::Server && member.state == MemberState::Alive && member.weight > 0
}
