//! Goal: servers count on no balancer that is dead, and on each that lives. Method: tables of
//! members as beats read them, under a virtual clock.

use presently_pool::Membership;

use super::*;

const SECOND: u64 = 1_000_000;

fn row(id: u32, incarnation: u64, beat: u64) -> Member {
    Member {
        id: MemberId(id),
        name: format!("b{id}").into(),
        role: Role::Balancer,
        incarnation: Incarnation(incarnation),
        state: MemberState::Alive,
        beat,
        sip: None,
        oob: None,
        weight: 1,
        is_draining: false,
        clients: 0,
    }
}

#[test]
fn a_balancer_lives_while_its_beat_moves() {
    let mut balancers = Balancers::default();
    let mut living = Vec::new();
    for look in 0..12_u64 {
        let members = [row(1, 1, look), row(2, 1, 7)];
        living = balancers.look(Moment(look * SECOND / 4), &members);
        let is_early = look < 6;
        assert_eq!(living.contains(&MemberId(2)), is_early, "look {look}");
    }
    assert_eq!(living, [MemberId(1)]);
    let anew = [row(1, 1, 12), row(2, 5, 0)];
    living = balancers.look(Moment(3 * SECOND), &anew);
    assert_eq!(living, [MemberId(1), MemberId(2)], "another life");
    let mut left = row(2, 5, 1);
    left.state = MemberState::Left;
    living = balancers.look(Moment(4 * SECOND), &[row(1, 1, 13), left]);
    assert_eq!(living, [MemberId(1)]);
}

#[test]
fn a_store_that_stood_still_makes_no_balancer_dead() {
    let mut balancers = Balancers::default();
    let members = [row(1, 1, 3)];
    assert_eq!(balancers.look(Moment(0), &members).len(), 1);
    // A minute later many beats are confirmed at once.
    for look in 0..20 {
        let now = Moment(60 * SECOND + look);
        assert_eq!(balancers.look(now, &members).len(), 1);
    }
    let life: Membership = members[0].membership();
    assert_eq!(life.member, MemberId(1));
}
