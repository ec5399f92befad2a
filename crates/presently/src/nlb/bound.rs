//! Connections of raw TCP that name nobody: whose phone is registered from their host?

use std::collections::HashMap;

use presently_nlb::{Entering, PathId, PathKind};
use presently_sip::{Aor, WallTime};
use presently_store::{Completion, Operation, Outcome, Ticket};

/// The paths that wait for the store to say whose they are.
#[derive(Debug)]
pub(super) struct Bound {
    /// The nlb's own address: it and its handles are registered from some host, too.
    own: Aor,
    waiting: HashMap<PathId, Box<Entering>>,
}

impl Bound {
    /// Of an nlb that is registered as `own`.
    pub(super) fn new(own: Aor) -> Self {
        Self {
            own,
            waiting: HashMap::new(),
        }
    }

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
        if let Ok(Outcome::Clients(mut clients)) = completion.result {
            clients.retain(|client| !self.is_the_nlbs(client));
            // Several users behind one address cannot be told apart by it.
            let only = <[_; 1]>::try_from(clients).ok();
            entering.user = only.map(|[client]| client);
        }
        Some(entering)
    }

    /// Whether `client` is the nlb itself, or one of its handles.
    fn is_the_nlbs(&self, client: &Aor) -> bool {
        let rest = client.user().strip_prefix(self.own.user());
        let is_named = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        is_named && client.host() == self.own.host()
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
    use presently_sip::Moment;

    use super::*;

    fn own() -> Aor {
        Aor::parse("sip:nlb1@example.com").unwrap()
    }

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
        let aor = |user: &str| Aor::parse(&format!("sip:{user}@example.com")).unwrap();
        let (alice, bob) = (aor("alice"), aor("bob"));
        let table = [
            (vec![], None),
            (vec![alice.clone()], Some(alice.clone())),
            (
                vec![aor("nlb1"), alice.clone(), aor("nlb1.x7")],
                Some(alice.clone()),
            ),
            (vec![aor("nlb12")], Some(aor("nlb12"))),
            (vec![alice, bob], None),
        ];
        for (clients, expected) in table {
            let mut bound = Bound::new(own());
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
        let mut bound = Bound::new(own());
        assert!(!bound.is_asked(&entering(PathKind::Http)));
        let (ticket, _) = bound.ask(Box::new(entering(PathKind::Tcp)), WallTime(0));
        assert!(bound.left(PathId(7)) && !bound.left(PathId(7)));
        let result = Ok(Outcome::Clients(Vec::new()));
        assert!(bound.answered(Completion { ticket, result }).is_none());
    }
}
