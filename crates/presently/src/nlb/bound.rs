//! Connections of raw TCP that name nobody: whose phone is registered from their host?

use std::collections::HashMap;

use presently_nlb::{Entering, PathId, PathKind};
use presently_sip::WallTime;
use presently_store::{Completion, Operation, Outcome, Ticket};

/// The paths that wait for the store to say whose they are.
#[derive(Debug, Default)]
pub(super) struct Bound {
    waiting: HashMap<PathId, Box<Entering>>,
}

impl Bound {
    /// Whether the store may know whose `entering` is, and there is room to wait for it.
    pub(super) fn is_asked(&self, entering: &Entering) -> bool {
        let is_silent = entering.user.is_none() && entering.kind == PathKind::Tcp;
        is_silent && self.waiting.len() < WAITING_MAX
    }

    /// What to ask the store.
    pub(super) fn ask(&mut self, entering: Box<Entering>, now: WallTime) -> (Ticket, Operation) {
        let ticket = Ticket(OWN | entering.path.0);
        let ip = entering.source.ip();
        self.waiting.insert(entering.path, entering);
        (ticket, Operation::BoundAt { ip, now })
    }

    /// Whether the answer is to a question of this side.
    pub(super) fn is_own(completion: &Completion) -> bool {
        completion.ticket.0 & OWN != 0
    }

    /// The path that waited for `completion`, with its user if the store knows just one.
    pub(super) fn answered(&mut self, completion: Completion) -> Option<Box<Entering>> {
        let path = PathId(completion.ticket.0 & !OWN);
        let mut entering = self.waiting.remove(&path)?;
        if let Ok(Outcome::Clients(clients)) = completion.result {
            // Several users behind one address cannot be told apart by it.
            let only = <[_; 1]>::try_from(clients).ok();
            entering.user = only.map(|[client]| client);
        }
        Some(entering)
    }

    /// The path is over; whether it waited here.
    pub(super) fn left(&mut self, path: PathId) -> bool {
        self.waiting.remove(&path).is_some()
    }
}

/// Marks the tickets of this side: the machine counts its own up from 0.
const OWN: u64 = 1 << 63;
/// A logon storm of a second; more go in as nobody's.
const WAITING_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use presently_nlb::Traffic;
    use presently_sip::{Aor, Moment};

    use super::*;

    fn entering(kind: PathKind) -> Entering {
        Entering {
            path: PathId(7),
            user: None,
            device: None,
            uuid: None,
            kind,
            source: "192.0.2.7:4000".parse().unwrap(),
            resource: "listener".into(),
            opened: Moment(0),
            traffic: Arc::new(Traffic::new(Moment(0))),
        }
    }

    #[test]
    fn only_the_one_user_of_an_address_is_believed() {
        let alice = Aor::parse("sip:alice@example.com").unwrap();
        let bob = Aor::parse("sip:bob@example.com").unwrap();
        let table = [
            (vec![], None),
            (vec![alice.clone()], Some(alice.clone())),
            (vec![alice, bob], None),
        ];
        for (clients, expected) in table {
            let mut bound = Bound::default();
            assert!(bound.is_asked(&entering(PathKind::Tcp)));
            let (ticket, _) = bound.ask(Box::new(entering(PathKind::Tcp)), WallTime(0));
            let completion = Completion {
                ticket,
                result: Ok(Outcome::Clients(clients)),
            };
            assert!(Bound::is_own(&completion));
            assert_eq!(bound.answered(completion).unwrap().user, expected);
        }
    }

    #[test]
    fn a_path_that_left_meanwhile_does_not_enter() {
        let mut bound = Bound::default();
        assert!(!bound.is_asked(&entering(PathKind::Http)));
        let (ticket, _) = bound.ask(Box::new(entering(PathKind::Tcp)), WallTime(0));
        assert!(bound.left(PathId(7)) && !bound.left(PathId(7)));
        let result = Ok(Outcome::Clients(Vec::new()));
        assert!(bound.answered(Completion { ticket, result }).is_none());
    }
}
