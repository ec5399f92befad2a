//! Servers that die: what phones sent them, and what was known of their lives.

use presently_pool::{Epoch, Incarnation, Member, MemberId, MemberState, Passage};
use presently_sip::Aor;
use presently_store::{Operation, Outcome, Refused, Ticket};

use super::play::{
    ALICE, OTHER, PHONE, Play, SECOND, SERVER, StoreMood, header, plain, publish, register,
    request, response, server, stream,
};

/// The table of members with a server that stands still.
fn table(beat: u64) -> [Member; 2] {
    let living = Member {
        beat,
        ..server(OTHER, MemberState::Alive)
    };
    let mut standing = server(SERVER, MemberState::Alive);
    standing.clients = 1;
    [standing, living]
}

/// Beats until the end of [`SERVER`] is asked for; gives its ticket.
fn until_end(play: &mut Play) -> Ticket {
    play.mood = StoreMood::Silent;
    for beat in 2..12 {
        assert!(play.beaten(&table(beat)).is_empty());
        if let [(ticket, Operation::End { .. })] = play.asked[..] {
            play.asked.clear();
            return ticket;
        }
        play.pass(SECOND / 4);
    }
    panic!("nobody ended it: {:?}", play.asked);
}

/// A phone over UDP repeats 0.5 s, 1.5 s and 3.5 s after its request: the last is too late.
#[test]
fn what_a_dying_server_did_not_answer_goes_to_the_next_as_soon_as_there_is_one() {
    let mut play = Play::new();
    play.phone(PHONE, register());
    play.beaten(&table(1));
    let ticket = until_end(&mut play);
    let sent = play.phone(PHONE, publish(2));
    assert_eq!(sent[0].to_server().0, SERVER, "it is not over yet");
    assert!(play.complete(ticket, Ok(Outcome::Ended(true))).is_empty());
    let [(ticket, Operation::TakeOver { from: SERVER, .. })] = play.asked[..] else {
        panic!("{:?}", play.asked);
    };
    play.asked.clear();
    assert!(
        play.phone(PHONE, publish(3)).is_empty(),
        "its server is gone"
    );
    assert!(play.pass(SECOND / 5).is_empty());
    assert!(play.asked.is_empty(), "the store would know nothing yet");
    let epoch = play.moved(ALICE, OTHER);
    let alice = Aor::parse(ALICE).unwrap();
    let moved = vec![(alice.clone(), play.assigned[&alice])];
    let sent = play.complete(ticket, Ok(Outcome::TakenOver { moved, left: 0 }));
    let mut order = Vec::new();
    for sent in &sent {
        let (server, passage, text) = sent.to_server();
        assert_eq!((server, passage.epoch), (OTHER, epoch));
        order.push(header(text, "CSeq").unwrap());
    }
    order.sort_unstable();
    assert_eq!(order, ["2 PUBLISH", "3 PUBLISH"]);
    assert_eq!(play.told, [(alice, OTHER)]);
    let counters = play.balancer.counters();
    let counted = (counters.lives_ended, counters.clients_taken_over);
    assert_eq!((counted, counters.requests_repeated), ((1, 1), 1));
    assert_eq!(play.balancer.poll_timeout(), None);
}

#[test]
fn an_end_that_is_refused_as_fenced_says_so() {
    let mut play = Play::new();
    play.beaten(&table(1));
    let ticket = until_end(&mut play);
    play.complete(ticket, Err(Refused::Fenced));
    assert!(play.fenced);
}

/// Its phone has been told that it was not done, and may have asked anew: a PUBLISH that is done
/// after all would stand beside its next.
#[test]
fn a_copy_of_what_a_server_refused_is_not_done_by_the_next() {
    let mut play = Play::new();
    let refused = publish(1);
    let repeat = |play: &mut Play| play.phone(PHONE, &refused).remove(0);
    for status in ["503 Service Unavailable", "412 Conditional Request Failed"] {
        let text = repeat(&mut play).to_server().2.to_owned();
        play.server(SERVER, &plain(), &response(&text, status), b"");
    }
    assert_eq!(
        repeat(&mut play).to_server().0,
        SERVER,
        "it knows its answer"
    );
    play.moved(ALICE, OTHER);
    let alice = Aor::parse(ALICE).unwrap();
    play.balancer
        .handle_moved(&alice, OTHER, play.assigned[&alice].epoch);
    let again = repeat(&mut play);
    assert_eq!(again.status(), 503);
    assert!(header(again.to_phone().1, "Retry-After").is_some());
    assert_eq!(play.balancer.counters().refused_again, 1);
    let next = play.phone(PHONE, publish(2)).remove(0);
    assert_eq!(next.to_server().0, OTHER);
    let text = next.to_server().2.to_owned();
    play.server(
        OTHER,
        &plain(),
        &response(&text, "412 Conditional Request Failed"),
        b"",
    );
    play.moved(ALICE, SERVER);
    play.balancer
        .handle_moved(&alice, SERVER, play.assigned[&alice].epoch);
    let judged = play.phone(PHONE, publish(2)).remove(0);
    assert_eq!(
        judged.to_server().0,
        SERVER,
        "what is wrong in itself stays so"
    );
    play.pass(SECOND * 32);
    assert_eq!(
        repeat(&mut play).to_server().0,
        SERVER,
        "no copy is so late"
    );
}

/// The same for what the balancer refused itself: there may be room by then.
#[test]
fn a_copy_of_what_the_balancer_refused_is_not_done_when_there_is_room() {
    let mut play = Play::new();
    play.mood = StoreMood::Refuses(Refused::Full);
    assert_eq!(play.phone(PHONE, publish(1))[0].status(), 503);
    play.mood = StoreMood::Answers;
    assert_eq!(play.phone(PHONE, publish(1))[0].status(), 503);
    assert_eq!(play.phone(PHONE, publish(2))[0].to_server().0, SERVER);
    assert_eq!(play.arrive(stream(), publish(1))[0].to_server().0, SERVER);
}

/// A server that comes back under its name may have lost its clients.
#[test]
fn what_is_known_of_a_life_is_not_used_in_the_next() {
    let mut play = Play::new();
    let unanswered = play.arrive(stream(), publish(1));
    assert_eq!(unanswered[0].to_server().0, SERVER);
    play.moved(ALICE, OTHER);
    let next = Member {
        incarnation: Incarnation(2),
        ..server(SERVER, MemberState::Alive)
    };
    play.balancer
        .set_members(&[next, server(OTHER, MemberState::Alive)]);
    let again = play.pass(SECOND);
    assert_eq!(
        again[0].to_server().0,
        OTHER,
        "it went to a life that is over"
    );
    assert_eq!(play.phone(PHONE, publish(2))[0].to_server().0, OTHER);
    assert_eq!(play.balancer.counters().assignments_asked, 2);
}

/// Law 1 at the last gate.
#[test]
fn a_request_under_an_epoch_that_is_over_does_not_leave_the_pool() {
    let mut play = Play::new();
    let sent = play.phone(PHONE, register());
    let (_, passage, _) = sent[0].to_server();
    let (client, _) = passage.client.clone().unwrap();
    let epoch = passage.epoch;
    let lines = ["Via: SIP/2.0/TCP server-11;branch=z9hG4bKs"];
    let notify = request("NOTIFY", "sip:alice@198.51.100.7:5070", &lines);
    let of = |epoch| Passage {
        client: Some((client, Aor::parse(ALICE).unwrap())),
        epoch,
        flow: passage.flow,
        ..plain()
    };
    let from = |play: &mut Play, server: MemberId, epoch| {
        play.server(server, &of(epoch), &notify, b"").len()
    };
    assert_eq!(from(&mut play, SERVER, epoch), 1);
    let activated = Epoch(epoch.0 + 1);
    assert_eq!(from(&mut play, SERVER, activated), 1, "newer is learnt");
    assert_eq!(from(&mut play, SERVER, epoch), 0);
    let taken_over = Epoch(epoch.0 + 2);
    assert_eq!(from(&mut play, OTHER, taken_over), 1);
    assert_eq!(from(&mut play, SERVER, activated), 0);
    assert_eq!(play.balancer.counters().requests_outdated, 2);
    let sent = play.phone(PHONE, publish(2));
    assert_eq!(sent[0].to_server().0, OTHER);
}
