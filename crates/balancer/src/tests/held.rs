//! Requests that wait for an assignment, takeover and hand-backs.

use std::time::Duration;

use presently_pool::{Epoch, Kind, MemberState, Passage};
use presently_sip::Aor;
use presently_store::{Operation, Outcome, Refused};

use super::play::{
    ALICE, OTHER, PHONE, Play, SECOND, SERVER, Sent, StoreMood, config, header, plain, publish,
    register, request, response, server, stream,
};
use crate::Config;

#[test]
fn requests_of_one_client_go_on_in_order_and_repeats_are_absorbed() {
    let mut play = Play::new();
    play.mood = StoreMood::Silent;
    assert!(play.phone(PHONE, register()).is_empty());
    for cseq in 2..5 {
        assert!(play.phone(PHONE, publish(cseq)).is_empty());
        assert!(play.phone(PHONE, publish(2)).is_empty());
    }
    assert_eq!(play.asked.len(), 1, "one question for all of them");
    assert_eq!(play.balancer.counters().repeats_absorbed, 3);
    play.mood = StoreMood::Answers;
    let sent = play.settle();
    let order: Vec<_> = sent
        .iter()
        .map(|sent| header(sent.to_server().2, "CSeq").unwrap())
        .collect();
    assert_eq!(order, ["1 REGISTER", "2 PUBLISH", "3 PUBLISH", "4 PUBLISH"]);
    assert_eq!(play.balancer.poll_timeout(), None);
    // What waited is answered as what did not.
    let text = sent[2].to_server().2.to_owned();
    let answered = play.server(SERVER, &plain(), &response(&text, "200 OK"), b"");
    assert_eq!(answered[0].to_phone().0.remote, PHONE.parse().unwrap());
}

#[test]
fn only_what_may_assign_asks_for_an_assignment() {
    let contact = "Contact: <sip:alice@198.51.100.7>";
    let dialog = "To: <sip:bob@example.com>;tag=1";
    let bob = "sip:bob@example.com";
    let table: [(&str, &str, &[&str], bool); 11] = [
        ("REGISTER", "sip:example.com", &[contact], true),
        (
            "REGISTER",
            "sip:example.com",
            &[contact, "Expires: 60"],
            true,
        ),
        (
            "REGISTER",
            "sip:example.com",
            &["Contact: <sip:a@192.0.2.5>;expires=9", "Expires: 0"],
            true,
        ),
        ("REGISTER", "sip:example.com", &[], false),
        (
            "REGISTER",
            "sip:example.com",
            &[contact, "Expires: 0"],
            false,
        ),
        (
            "REGISTER",
            "sip:example.com",
            &["Contact: *", "Expires: 0"],
            false,
        ),
        (
            "REGISTER",
            "sip:example.com",
            &["Contact: <sip:a@192.0.2.5>;expires=0"],
            false,
        ),
        ("PUBLISH", ALICE, &[], true),
        ("SUBSCRIBE", bob, &[], true),
        ("SUBSCRIBE", bob, &[dialog], false),
        ("MESSAGE", bob, &[], false),
    ];
    for (method, uri, lines, expected) in table {
        let mut play = Play::new();
        play.mood = StoreMood::Silent;
        play.phone(PHONE, request(method, uri, lines));
        let Operation::Assign { create, .. } = &play.asked[0].1 else {
            panic!("{:?}", play.asked);
        };
        assert_eq!(*create, expected, "{method} {lines:?}");
    }
}

#[test]
fn without_an_assignment_each_request_has_its_answer() {
    let contact = "Contact: <sip:alice@198.51.100.7>";
    let dialog = "To: <sip:bob@example.com>;tag=1";
    let bob = "sip:bob@example.com";
    let table: [(&str, &str, &[&str], u16); 7] = [
        ("REGISTER", "sip:example.com", &[], 200),
        (
            "REGISTER",
            "sip:example.com",
            &["Contact: *", "Expires: 0"],
            200,
        ),
        ("MESSAGE", bob, &[], 480),
        ("SUBSCRIBE", bob, &[dialog], 481),
        ("REGISTER", "sip:example.com", &[contact], 503),
        ("SUBSCRIBE", bob, &[], 503),
        ("PUBLISH", bob, &[], 503),
    ];
    for (method, uri, lines, status) in table {
        let mut play = Play::new();
        play.mood = StoreMood::HasNoServer;
        let sent = play.phone(PHONE, request(method, uri, lines));
        assert_eq!(sent[0].status(), status, "{method} {lines:?}");
        let answer = sent[0].to_phone().1;
        assert_eq!(header(answer, "Retry-After").is_some(), status == 503);
        assert_eq!(header(answer, "Contact"), None);
    }
}

/// A question that may not assign is under way when a request comes that may.
#[test]
fn a_later_request_that_may_assign_asks_again() {
    let mut play = Play::new();
    play.mood = StoreMood::Silent;
    play.phone(PHONE, request("REGISTER", "sip:example.com", &[]));
    play.phone(PHONE, publish(2));
    play.mood = StoreMood::Answers;
    let sent = play.settle();
    assert_eq!(sent[0].status(), 200);
    assert_eq!(header(sent[1].to_server().2, "CSeq"), Some("2 PUBLISH"));
}

#[test]
fn a_store_that_is_away_is_asked_again_until_it_answers() {
    for refused in [Refused::Unavailable, Refused::Unknown] {
        let mut play = Play::new();
        play.mood = StoreMood::Refuses(refused);
        assert!(play.phone(PHONE, register()).is_empty());
        assert!(play.pass(15 * SECOND).is_empty());
        let asked = play.balancer.counters().assignments_asked;
        assert!((50..=70).contains(&asked), "{asked}");
        play.mood = StoreMood::Answers;
        assert_eq!(play.pass(SECOND)[0].to_server().0, SERVER);
    }
}

#[test]
fn a_request_waits_twenty_seconds_and_no_longer() {
    for mood in [StoreMood::Refuses(Refused::Unavailable), StoreMood::Silent] {
        let mut play = Play::new();
        play.mood = mood;
        play.phone(PHONE, register());
        play.pass(5 * SECOND);
        play.phone(PHONE, publish(2));
        assert!(play.pass(Duration::from_millis(14_999)).is_empty());
        let first = play.pass(Duration::from_millis(1));
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].status(), 503);
        assert!(header(first[0].to_phone().1, "Retry-After").is_some());
        assert_eq!(play.pass(5 * SECOND)[0].status(), 503);
        assert_eq!(play.balancer.poll_timeout(), None);
        // An answer that comes later finds nobody, and does no harm.
        play.mood = StoreMood::Answers;
        assert!(play.settle().is_empty());
    }
}

#[test]
fn a_full_table_of_clients_is_said_at_once_and_a_fenced_balancer_says_so() {
    let mut play = Play::new();
    play.mood = StoreMood::Refuses(Refused::Full);
    assert_eq!(play.phone(PHONE, register())[0].status(), 503);
    assert!(!play.fenced);
    play.mood = StoreMood::Refuses(Refused::Fenced);
    assert!(play.phone(PHONE, publish(2)).is_empty());
    assert!(play.fenced);
}

#[test]
fn each_bound_of_the_waiting_table_is_answered_503() {
    let tables = [
        Config {
            waiting_max: 4,
            ..config()
        },
        Config {
            waiting_bytes_max: 4 * publish(2).len(),
            ..config()
        },
        Config {
            waiting_per_client_max: 4,
            ..config()
        },
    ];
    for config in tables {
        let mut play = Play::with(config);
        play.mood = StoreMood::Silent;
        for cseq in 1..5 {
            assert!(play.phone(PHONE, publish(cseq)).is_empty());
        }
        let sent = play.phone(PHONE, publish(5));
        assert_eq!(sent[0].status(), 503);
        let secs = header(sent[0].to_phone().1, "Retry-After").and_then(|it| it.parse().ok());
        assert!(secs.is_some_and(|secs: u32| (5..=15).contains(&secs)));
        assert_eq!(play.balancer.counters().waiting_refused, 1);
        assert!(
            play.phone(PHONE, publish(4)).is_empty(),
            "a repeat needs no room"
        );
        play.mood = StoreMood::Answers;
        assert_eq!(play.settle().len(), 4);
        play.mood = StoreMood::Silent;
        assert_eq!(play.phone(PHONE, publish(6))[0].to_server().0, SERVER);
    }
}

#[test]
fn the_oldest_assignment_is_forgotten_at_the_bound() {
    let mut play = Play::with(Config {
        cache_max: 2,
        ..config()
    });
    for user in ["a", "b", "c", "c", "b", "a"] {
        let uri = format!("sip:{user}@example.com");
        play.phone(PHONE, request("PUBLISH", &uri, &[]));
    }
    assert_eq!(play.balancer.counters().assignments_asked, 4);
    assert_eq!(play.balancer.counters().assignments_known, 2);
    assert_eq!(play.balancer.counters().assignments_forgotten, 2);
}

#[test]
fn a_client_of_a_dead_server_waits_for_its_takeover() {
    let mut play = Play::new();
    play.phone(PHONE, register());
    let members = [
        server(SERVER, MemberState::Ended),
        server(OTHER, MemberState::Alive),
    ];
    play.balancer.set_members(&members);
    assert!(play.phone(PHONE, publish(2)).is_empty());
    assert!(play.pass(SECOND).is_empty());
    let epoch = play.moved(ALICE, OTHER);
    let sent = play.pass(SECOND);
    let (server, passage, _) = sent[0].to_server();
    assert_eq!(
        (server, passage.epoch, passage.kind),
        (OTHER, epoch, Kind::Forward)
    );
}

#[test]
fn a_move_is_learnt_out_of_band_and_an_old_one_ignored() {
    let mut play = Play::new();
    play.phone(PHONE, register());
    let alice = Aor::parse(ALICE).unwrap();
    play.balancer.handle_moved(&alice, OTHER, Epoch(900));
    play.balancer.handle_moved(&alice, SERVER, Epoch(899));
    let sent = play.phone(PHONE, publish(2));
    let (server, passage, _) = sent[0].to_server();
    assert_eq!((server, passage.epoch), (OTHER, Epoch(900)));
    assert_eq!(play.balancer.counters().assignments_asked, 1);
}

fn hand_back(passage: &Passage, epoch: Epoch) -> Passage {
    Passage {
        kind: Kind::HandBack,
        epoch,
        ..passage.clone()
    }
}

#[test]
fn a_request_handed_back_goes_once_more_with_a_mark() {
    let mut play = Play::new();
    let sent = play.phone(PHONE, request("SUBSCRIBE", "sip:bob@example.com", &[]));
    let (_, passage, text) = sent[0].to_server();
    let (passage, text) = (passage.clone(), text.to_owned());
    let epoch = play.moved(ALICE, OTHER);
    let again = play.server(SERVER, &hand_back(&passage, epoch), &text, b"");
    let (server, marked, again) = again[0].to_server();
    assert_eq!(
        (server, marked.kind, marked.epoch),
        (OTHER, Kind::Marked, epoch)
    );
    assert_eq!(
        (&marked.flow, &marked.client),
        (&passage.flow, &passage.client)
    );
    assert_eq!(marked.advertised, passage.advertised);
    assert_eq!(again, text, "nothing is edited twice");
    let answered = play.server(OTHER, &plain(), &response(&text, "200 OK"), b"");
    assert_eq!(answered[0].to_phone().0.remote, PHONE.parse().unwrap());

    // The next that the old server hands back needs no question.
    let asked = play.balancer.counters().assignments_asked;
    let more = play.server(SERVER, &hand_back(&passage, epoch), &text, b"");
    assert_eq!(more[0].to_server().0, OTHER);
    assert_eq!(play.balancer.counters().assignments_asked, asked);
}

#[test]
fn what_is_handed_back_and_finds_nobody_is_answered_to_the_phone() {
    let mut play = Play::new();
    let sent = play.phone(PHONE, register());
    let (_, passage, text) = sent[0].to_server();
    let (passage, text) = (passage.clone(), text.to_owned());
    play.assigned.clear();
    play.mood = StoreMood::HasNoServer;
    let sent = play.server(SERVER, &hand_back(&passage, Epoch(0)), &text, b"");
    assert_eq!(sent[0].status(), 503);
    let (flow, answer) = sent[0].to_phone();
    assert_eq!(flow.remote, PHONE.parse().unwrap());
    assert_eq!(answer.matches("Via: ").count(), 1, "{answer}");
    assert!(answer.contains("branch=z9hG4bKphone"), "{answer}");

    // Nobody hands back what was not forwarded.
    let alien = text.replace("CSeq: 1 ", "CSeq: 2 ");
    assert!(
        play.server(SERVER, &hand_back(&passage, Epoch(0)), &alien, b"")
            .is_empty()
    );
}

#[test]
fn a_completion_nobody_waits_for_is_dropped() {
    let mut play = Play::new();
    let ticket = presently_store::Ticket(77);
    assert!(play.complete(ticket, Ok(Outcome::Done)).is_empty());
    assert_eq!(play.balancer.counters().completions_dropped, 1);
}

/// A phone does not repeat what it sent over a stream.
#[test]
fn a_streams_request_is_repeated_when_its_server_dies_unanswered() {
    let mut play = Play::new();
    let unanswered = play.arrive(stream(), publish(1))[0]
        .to_server()
        .2
        .to_owned();
    let answered = play.arrive(stream(), publish(2))[0]
        .to_server()
        .2
        .to_owned();
    let trying = response(&unanswered, "100 Trying");
    assert_eq!(play.server(SERVER, &plain(), &trying, b"").len(), 1);
    let done = response(&answered, "200 OK");
    assert_eq!(play.server(SERVER, &plain(), &done, b"").len(), 1);
    play.phone(PHONE, publish(3));
    assert_eq!(play.balancer.poll_timeout(), None);

    let members = [
        server(SERVER, MemberState::Ended),
        server(OTHER, MemberState::Alive),
    ];
    play.balancer.set_members(&members);
    assert!(play.pass(SECOND).is_empty(), "not taken over yet");
    play.moved(ALICE, OTHER);
    let sent = play.pass(SECOND);
    assert_eq!(sent.len(), 1, "{sent:?}");
    let (server, passage, text) = sent[0].to_server();
    assert_eq!((server, passage.kind), (OTHER, Kind::Forward));
    assert_eq!(text, unanswered, "a repeat is the same request");
    assert_eq!(play.balancer.counters().requests_repeated, 1);
    assert_eq!(play.balancer.poll_timeout(), None);
}

#[test]
fn a_streams_request_goes_again_when_the_link_it_went_by_broke() {
    let mut play = Play::new();
    let sent = play.arrive(stream(), publish(1));
    let first = sent[0].to_server().2.to_owned();
    assert!(
        play.break_link(OTHER).is_empty(),
        "it did not go by that one"
    );
    let again = play.break_link(SERVER);
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0].to_server().0, SERVER);
    assert_eq!(again[0].to_server().2, first);
}

/// One is with its server, one waits for the store; what came as datagrams comes again by itself.
#[test]
fn what_came_by_streams_goes_on_when_the_balancer_begins_a_new_life() {
    let mut play = Play::new();
    play.arrive(stream(), publish(1));
    play.mood = StoreMood::Silent;
    play.moved(ALICE, OTHER);
    let bob = |cseq: u32| publish(cseq).replace("alice@example", "bob@example");
    play.arrive(stream(), bob(2));
    play.phone(PHONE, bob(3));
    play.begin_anew();
    play.mood = StoreMood::Answers;
    let sent = play.settle();
    let of = |sent: &Sent| header(sent.to_server().2, "CSeq").map(ToOwned::to_owned);
    let of: Vec<_> = sent.iter().filter_map(of).collect();
    assert_eq!(of, ["1 PUBLISH", "2 PUBLISH"]);
    assert_eq!(sent[0].to_server().0, OTHER, "as the store says now");
}

#[test]
fn a_streams_request_is_not_repeated_after_64_t1_or_beyond_the_bound() {
    let mut play = Play::with(Config {
        unanswered_max: 2,
        ..config()
    });
    play.arrive(stream(), publish(1));
    play.pass(32 * SECOND);
    for cseq in 2..5 {
        play.arrive(stream(), publish(cseq));
    }
    assert_eq!(play.balancer.counters().unanswered_forgotten, 2);
    play.moved(ALICE, OTHER);
    play.balancer
        .set_members(&[server(OTHER, MemberState::Alive)]);
    let sent = play.pass(SECOND);
    let order: Vec<_> = sent
        .iter()
        .map(|sent| header(sent.to_server().2, "CSeq").unwrap())
        .collect();
    assert_eq!(order, ["3 PUBLISH", "4 PUBLISH"]);
    play.pass(32 * SECOND);
    play.balancer
        .set_members(&[server(SERVER, MemberState::Alive)]);
    assert!(play.pass(SECOND).is_empty());
}
