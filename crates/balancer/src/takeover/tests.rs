//! Goal: who is ended and whose clients are moved, and when.
//! Method: tables of members are shown to the machine beat by beat, under virtual time; the store
//! is played by hand.

use presently_pool::{ClientId, Epoch, Incarnation};

use super::*;

const ME: MemberId = MemberId(1);
const SERVER: MemberId = MemberId(11);
const OTHER: MemberId = MemberId(12);

struct Play {
    takeover: Takeover,
    now: Moment,
    members: Vec<Member>,
    asked: Vec<(Ticket, Operation)>,
}

fn member(id: MemberId, role: Role, clients: u64) -> Member {
    Member {
        id,
        name: format!("m{}", id.0).into(),
        role,
        incarnation: Incarnation(u64::from(id.0)),
        state: MemberState::Alive,
        beat: 1,
        sip: None,
        oob: None,
        weight: 1,
        is_draining: false,
        clients,
    }
}

impl Play {
    /// A balancer, which is told of itself too, and two servers; all are seen once.
    fn new() -> Self {
        let me = member(ME, Role::Balancer, 0);
        let mut play = Self {
            takeover: Takeover::new(me.membership()),
            now: Moment(5_000_000),
            members: vec![
                me,
                member(SERVER, Role::Server, 1_000),
                member(OTHER, Role::Server, 2),
            ],
            asked: Vec::new(),
        };
        play.look();
        play
    }

    fn row(&mut self, id: MemberId) -> &mut Member {
        let row = self.members.iter_mut().find(|row| row.id == id);
        row.expect("a member of the play")
    }

    fn look(&mut self) {
        let asked = &mut self.asked;
        self.takeover.look(self.now, &self.members, asked);
    }

    /// A beat of ours is committed after `millis`, and of all others but [`SERVER`].
    fn beat_after(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
        self.row(OTHER).beat += 1;
        self.look();
    }

    fn answer(&mut self, result: Result<Outcome, Refused>) -> Option<Progress> {
        let (ticket, _) = self.asked.remove(0);
        let (now, mut result) = (self.now, result);
        let asked = &mut self.asked;
        self.takeover
            .handle_completion(now, ticket, &mut result, asked)
    }

    fn ends(&self) -> Vec<(Membership, u64)> {
        let asked = self.asked.iter();
        asked
            .filter_map(|(_, operation)| match operation {
                Operation::End { member, beat, .. } => Some((*member, *beat)),
                _ => None,
            })
            .collect()
    }

    fn takeovers(&self) -> Vec<MemberId> {
        let asked = self.asked.iter();
        asked
            .filter_map(|(_, operation)| match operation {
                Operation::TakeOver { from, .. } => Some(*from),
                _ => None,
            })
            .collect()
    }

    /// Lets [`SERVER`] stand still until its end is asked for.
    fn stand_still(&mut self) {
        for _ in 0..6 {
            self.beat_after(250);
        }
        let life = self.row(SERVER).membership();
        assert_eq!(self.ends(), [(life, 1)]);
    }
}

fn moved(count: u64, left: u64) -> Outcome {
    let one = |n| {
        let aor = Aor::parse(&format!("sip:user{n}@example.com")).expect("an address");
        let (client, epoch) = (ClientId(n), Epoch(100 + n));
        let server = OTHER;
        let assignment = Assignment {
            client,
            server,
            epoch,
        };
        (aor, assignment)
    };
    let moved = (0..count).map(one).collect();
    Outcome::TakenOver { moved, left }
}

#[test]
fn a_beat_that_stands_for_less_is_let_be() {
    let mut play = Play::new();
    for millis in [250, 250, 250, 250, 400] {
        play.beat_after(millis);
    }
    assert!(play.asked.is_empty(), "1.4 s and five beats");
    play.beat_after(100);
    assert_eq!(play.ends().len(), 1);
}

#[test]
fn a_beat_that_stands_for_three_of_ours_is_let_be() {
    let mut play = Play::new();
    for _ in 0..3 {
        play.beat_after(700);
    }
    assert!(play.asked.is_empty(), "2.1 s and three beats");
    play.beat_after(700);
    assert_eq!(play.ends().len(), 1);
    play.beat_after(700);
    assert_eq!(play.ends().len(), 1, "asked once while it is under way");
}

/// The beats that a stalled store confirms all at once are no witness of the others' silence.
#[test]
fn a_stalled_store_kills_nobody() {
    let mut play = Play::new();
    play.now = play.now.after(Duration::from_secs(10));
    for _ in 0..40 {
        play.look();
    }
    assert!(play.asked.is_empty(), "{:?}", play.asked);
    play.row(SERVER).beat += 40;
    play.row(OTHER).beat += 40;
    for _ in 0..5 {
        play.beat_after(250);
    }
    assert!(play.asked.is_empty(), "{:?}", play.asked);
}

#[test]
fn a_beat_that_moves_or_a_new_life_is_forgiven() {
    let mut play = Play::new();
    for _ in 0..5 {
        play.beat_after(250);
    }
    play.row(SERVER).beat += 1;
    for _ in 0..6 {
        play.beat_after(250);
    }
    assert!(play.asked.is_empty());
    // The same number as before, but of another life.
    play.row(SERVER).incarnation = Incarnation(77);
    for _ in 0..6 {
        play.beat_after(250);
    }
    assert!(play.asked.is_empty());
    play.beat_after(250);
    let life = play.row(SERVER).membership();
    assert_eq!(play.ends(), [(life, 2)]);
}

#[test]
fn a_balancer_that_stands_still_is_ended_too_but_never_oneself() {
    let mut play = Play::new();
    play.members.push(member(MemberId(2), Role::Balancer, 0));
    for _ in 0..20 {
        play.row(SERVER).beat += 1;
        play.beat_after(250);
    }
    let life = play.row(MemberId(2)).membership();
    assert_eq!(play.ends(), [(life, 1)]);
    assert!(play.answer(Ok(Outcome::Ended(true))).is_some());
    assert!(play.asked.is_empty(), "a balancer has no clients");
}

#[test]
fn the_clients_of_an_ended_life_are_moved_until_none_is_left() {
    let mut play = Play::new();
    play.stand_still();
    let life = play.row(SERVER).membership();
    let progress = play.answer(Ok(Outcome::Ended(true)));
    assert!(matches!(progress, Some(Progress::Ended(ended)) if ended == life));
    for left in [500, 3, 0] {
        assert_eq!(play.takeovers(), [SERVER]);
        play.row(SERVER).state = MemberState::Ended;
        play.beat_after(250);
        assert_eq!(play.takeovers(), [SERVER], "one at a time");
        let progress = play.answer(Ok(moved(2, left)));
        assert!(matches!(progress, Some(Progress::Moved(moved)) if moved.len() == 2));
    }
    play.row(SERVER).clients = 0;
    play.beat_after(250);
    assert!(play.asked.is_empty());
}

#[test]
fn one_of_two_balancers_wins_and_both_help() {
    let mut play = Play::new();
    play.stand_still();
    let progress = play.answer(Ok(Outcome::Ended(false)));
    assert!(matches!(progress, Some(Progress::Nothing)));
    assert!(play.asked.is_empty());
    play.row(SERVER).state = MemberState::Ended;
    play.beat_after(250);
    assert_eq!(play.takeovers(), [SERVER]);
    play.answer(Ok(moved(0, 400)));
    assert!(play.asked.is_empty(), "nothing moved: not before a beat");
    play.beat_after(250);
    assert_eq!(play.takeovers(), [SERVER]);
}

#[test]
fn what_the_store_could_not_do_is_tried_again() {
    for refused in [Refused::Unavailable, Refused::Unknown, Refused::Fenced] {
        let mut play = Play::new();
        play.stand_still();
        let progress = play.answer(Err(refused));
        assert!(matches!(progress, Some(Progress::Failed(held)) if held == refused));
        assert!(play.asked.is_empty());
        play.beat_after(250);
        assert_eq!(play.ends().len(), 1, "again");
        play.answer(Ok(Outcome::Ended(true)));
        assert_eq!(play.takeovers(), [SERVER]);
        play.answer(Err(refused));
        play.row(SERVER).state = MemberState::Ended;
        play.beat_after(250);
        assert_eq!(play.takeovers(), [SERVER], "again");
    }
}

#[test]
fn a_server_that_left_has_a_moment_to_return() {
    let mut play = Play::new();
    play.row(SERVER).state = MemberState::Left;
    for _ in 0..6 {
        play.beat_after(250);
        assert!(play.asked.is_empty());
    }
    play.beat_after(250);
    assert_eq!(play.takeovers(), [SERVER]);

    let mut play = Play::new();
    play.row(SERVER).state = MemberState::Left;
    for _ in 0..4 {
        play.beat_after(250);
    }
    *play.row(SERVER) = Member {
        incarnation: Incarnation(99),
        ..member(SERVER, Role::Server, 1_000)
    };
    for _ in 0..5 {
        play.beat_after(250);
    }
    assert!(play.asked.is_empty(), "it is back");
}

#[test]
fn clients_wait_while_no_other_server_lives() {
    let mut play = Play::new();
    play.row(OTHER).state = MemberState::Left;
    play.stand_still();
    play.answer(Ok(Outcome::Ended(true)));
    assert!(play.asked.is_empty());
    play.row(SERVER).state = MemberState::Ended;
    for _ in 0..8 {
        play.beat_after(250);
    }
    assert!(play.asked.is_empty());
    *play.row(OTHER) = Member {
        incarnation: Incarnation(99),
        ..member(OTHER, Role::Server, 0)
    };
    play.beat_after(250);
    assert_eq!(play.takeovers(), [SERVER]);
}

#[test]
fn a_server_whose_beat_is_missed_is_doubted() {
    let mut play = Play::new();
    for _ in 0..2 {
        play.beat_after(250);
    }
    assert!(!play.takeover.is_doubted(play.now, SERVER));
    play.beat_after(250);
    assert!(play.takeover.is_doubted(play.now, SERVER));
    assert!(!play.takeover.is_doubted(play.now, OTHER));
    play.row(SERVER).beat += 1;
    play.beat_after(250);
    assert!(!play.takeover.is_doubted(play.now, SERVER));
}

#[test]
fn a_completion_of_another_is_not_taken() {
    let mut play = Play::new();
    let mut result = Ok(Outcome::Ended(true));
    let asked = &mut play.asked;
    let taken = play
        .takeover
        .handle_completion(play.now, Ticket(1), &mut result, asked);
    assert!(taken.is_none() && matches!(result, Ok(Outcome::Ended(true))));
}
