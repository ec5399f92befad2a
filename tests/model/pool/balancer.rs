//! What a balancer does: it ends lives that stand still and moves their clients.

use super::state::{Balancer, Client, Law, PROCESSES, Publisher, State};
use crate::rules::{Rule, Rules};

impl State {
    /// A balancer has seen the same beat for 1.5 s, and its own commit meanwhile.
    pub(crate) fn decide_end(&mut self, by: usize, id: usize) {
        let is_over = self.store.members[id].is_alive && self.stands_still(id);
        if let (true, Ok(id)) = (is_over, u8::try_from(id)) {
            self.balancers[by].ending = Some((id, true));
        }
    }

    /// Ends the life, if it is still the one and the beat is.
    pub(crate) fn commit_end(&mut self, rules: Rules, by: usize) {
        let Some((id, is_same)) = self.balancers[by].ending.take() else {
            return;
        };
        if rules.keep(Rule::EndCompares) && !is_same {
            return;
        }
        let id = usize::from(id);
        if !self.store.members[id].is_alive {
            self.broken = Some(Law::OneWinner);
        }
        self.store.members[id].is_alive = false;
        self.stir(id);
    }

    /// Finds a client that stands on an ended life.
    pub(crate) fn decide_move(&mut self, by: usize, client: Client) {
        if !self.store.members[usize::from(self.server_of(client))].is_alive {
            self.balancers[by].moving = Some((client, true));
        }
    }

    /// Moves it, if it still has its epoch.
    pub(crate) fn commit_move(&mut self, rules: Rules, by: usize, to: usize) {
        let Some((client, is_same)) = self.balancers[by].moving.take() else {
            return;
        };
        if rules.keep(Rule::MoveCompares) && !is_same {
            return;
        }
        self.move_to(rules, by, client, to);
    }

    /// Moves a client of a server that lives, over its head.
    pub(crate) fn reassign(&mut self, rules: Rules, by: usize, client: Client, to: usize) {
        if usize::from(self.server_of(client)) != to {
            self.faults.moves -= 1;
            self.move_to(rules, by, client, to);
        }
    }

    fn move_to(&mut self, rules: Rules, by: usize, client: Client, to: usize) {
        let from = usize::from(self.server_of(client));
        self.assign(rules, client, to);
        for id in [from, to] {
            self.balancers[by].to_tell[id] |= !rules.keep(Rule::SweepCompares);
        }
    }

    /// Tells the members concerned of a move.
    pub(crate) fn tell(&mut self, rules: Rules, by: usize) {
        let to_tell = std::mem::take(&mut self.balancers[by].to_tell);
        for (id, _) in to_tell.iter().enumerate().filter(|(_, is_due)| **is_due) {
            self.tell_moved(rules, id);
        }
    }

    /// The store's side of every move: a fresh epoch, and how far the client was told.
    pub(crate) fn assign(&mut self, rules: Rules, client: Client, to: usize) {
        let from = usize::from(self.server_of(client));
        let Ok(to) = u8::try_from(to) else {
            return;
        };
        self.change_epoch(client);
        match client {
            Client::Publisher => self.store.publisher = to,
            Client::Watcher => {
                self.store.watcher.server = to;
                let settled = self.store.members[from].settled;
                let older = self.store.watcher.told;
                let older = older.filter(|_| rules.keep(Rule::ToldOldest));
                let told = older.unwrap_or(settled);
                self.store.watcher.told = rules.keep(Rule::ToldKept).then_some(told);
            }
        }
    }

    /// Gives a client a fresh epoch: nothing that compares the old one holds.
    pub(crate) fn change_epoch(&mut self, client: Client) {
        match client {
            Client::Watcher => self.store.watcher.epoch += 1,
            Client::Publisher => {
                for process in 0..PROCESSES {
                    if let Publisher::Idle { is_current, .. }
                    | Publisher::Writing { is_current, .. } =
                        &mut self.servers[process].publisher
                    {
                        *is_current = false;
                    }
                }
            }
        }
        for (moved, is_same) in self.balancers.iter_mut().flat_map(|one| &mut one.moving) {
            *is_same &= *moved != client;
        }
    }

    /// A member's beat or life has changed: nothing that compares the old one holds.
    pub(crate) fn stir(&mut self, id: usize) {
        for (ending, is_same) in self.balancers.iter_mut().flat_map(|one| &mut one.ending) {
            *is_same &= usize::from(*ending) != id;
        }
        for process in 0..PROCESSES {
            if super::state::member(process) == id
                && let Some(is_same) = &mut self.servers[process].joining
            {
                *is_same = false;
            }
        }
    }

    /// The balancer is gone, with what it had decided.
    pub(crate) fn kill_balancer(&mut self, by: usize) {
        self.balancers[by] = Balancer::out();
    }
}
