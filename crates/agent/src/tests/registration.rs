//! The registration: made, refreshed, tried again, given back.

use super::*;
use crate::Subject;

fn registered(expires_secs: u32, contacts: &[&str]) -> Event {
    Event::Registered {
        expires_secs,
        date: None,
        contacts: contacts.iter().map(|&it| it.to_owned()).collect(),
    }
}

#[test]
fn it_is_refreshed_before_it_ends_and_given_back() {
    let mut bench = Bench::new();
    bench.agent.register(bench.now, 600, &mut bench.out);
    let first = bench.sent_one();
    assert!(first.starts_with("REGISTER sip:example.com SIP/2.0\r\n"));
    assert_eq!(header(&first, "Expires"), "600");
    assert_eq!(header(&first, "Contact"), "<sip:phone@192.0.2.7:5060>");
    bench.answer(&first, 200, &[("Expires", "600")]);
    assert_eq!(bench.event(), registered(600, &[]));
    assert_eq!(bench.skip(), 540_000);
    let second = bench.sent_one();
    assert_eq!(header(&second, "Call-ID"), header(&first, "Call-ID"));
    assert_eq!(header(&first, "CSeq"), "1 REGISTER");
    assert_eq!(header(&second, "CSeq"), "2 REGISTER");
    bench.answer(&second, 200, &[]);
    bench.events();
    bench.agent.unregister(bench.now, &mut bench.out);
    let last = bench.sent_one();
    assert_eq!(header(&last, "Expires"), "0");
    bench.answer(&last, 200, &[]);
    assert_eq!(bench.event(), Event::Unregistered);
    assert_eq!(bench.agent.poll_timeout(), None);
}

#[test]
fn the_interval_of_its_own_contact_counts() {
    let mut bench = Bench::new();
    bench.agent.register(bench.now, 600, &mut bench.out);
    let request = bench.sent_one();
    let other = "<sip:phone@192.0.2.9>;expires=50";
    let ours = "<sip:phone@192.0.2.7:5060>;expires=100";
    let headers = [("Contact", other), ("Contact", ours), ("Expires", "900")];
    bench.answer(&request, 200, &headers);
    assert_eq!(bench.event(), registered(100, &[other, ours]));
    assert_eq!(bench.skip(), 90_000);
}

#[test]
fn unanswered_it_is_resent_alike_then_tried_again_later_and_later() {
    let mut bench = Bench::new();
    bench.agent.register(bench.now, 600, &mut bench.out);
    bench.wait(32_000);
    let sent = bench.sent();
    assert_eq!(sent.len(), 11);
    assert!(sent.iter().all(|it| *it == sent[0]));
    let Event::TimedOut { what, again_in } = bench.event() else {
        panic!("not timed out");
    };
    assert_eq!(what, Subject::Registration);
    let first_wait = again_in.unwrap();
    assert!(first_wait > Duration::from_secs(2) && first_wait <= Duration::from_secs(4));
    bench.skip();
    assert_ne!(bench.sent_one(), sent[0]);
    bench.wait(32_000);
    let Event::TimedOut { again_in, .. } = bench.event() else {
        panic!("not timed out");
    };
    assert!(again_in.unwrap() > first_wait);
}

#[test]
fn an_answer_that_came_too_late_is_dropped() {
    let mut bench = Bench::new();
    bench.agent.register(bench.now, 600, &mut bench.out);
    bench.wait(32_000);
    let sent = bench.sent();
    bench.events();
    bench.answer(&sent[0], 200, &[]);
    assert_eq!((bench.events().len(), bench.agent.dropped()), (0, 1));
}

#[test]
fn an_answer_to_something_else_is_dropped() {
    let mut bench = Bench::new();
    bench.agent.register(bench.now, 600, &mut bench.out);
    let answer = response(&bench.sent_one(), 200, &[]);
    let via = answer.lines().find(|it| it.starts_with("Via")).unwrap();
    let branch = via.split_once("branch=").unwrap().1;
    bench.receive(&answer.replace("1 REGISTER", "1 PUBLISH"));
    bench.receive(&answer.replace(branch, "z9hG4bK1.0"));
    bench.receive(&answer.replace(branch, "z9hG4bK"));
    assert_eq!((bench.events().len(), bench.agent.dropped()), (0, 3));
    bench.receive(&answer);
    assert_eq!(bench.event(), registered(600, &[]));
}

#[test]
fn a_provisional_is_no_answer_and_a_repeated_answer_says_nothing_twice() {
    let mut bench = Bench::new();
    bench.agent.register(bench.now, 600, &mut bench.out);
    let request = bench.sent_one();
    bench.answer(&request, 100, &[]);
    assert_eq!(bench.events(), []);
    bench.answer(&request, 200, &[]);
    bench.answer(&request, 200, &[]);
    assert_eq!(bench.event(), registered(600, &[]));
}

#[test]
fn each_refusal_is_obeyed() {
    let table = [
        // status  header                      again after  with Expires
        (423, ("Min-Expires", "900"), Some(0), "900"),
        (503, ("Retry-After", "5"), Some(5000), "600"),
        (
            503,
            ("Retry-After", "7 (busy);duration=9"),
            Some(7000),
            "600",
        ),
        (500, ("Retry-After", "1"), Some(1000), "600"),
        (403, ("X-None", ""), None, ""),
        (404, ("X-None", ""), None, ""),
    ];
    for (status, header_said, again_millis, expires) in table {
        let mut bench = Bench::new();
        bench.agent.register(bench.now, 600, &mut bench.out);
        let request = bench.sent_one();
        bench.answer(&request, status, &[header_said]);
        let again_in = again_millis.map(Duration::from_millis);
        assert_eq!(bench.event(), Event::RegisterFailed { status, again_in });
        match again_millis {
            None => assert_eq!(bench.agent.poll_timeout(), None, "{status}"),
            Some(millis) => {
                if millis > 0 {
                    assert_eq!(bench.skip(), millis);
                }
                assert_eq!(header(&bench.sent_one(), "Expires"), expires, "{status}");
            }
        }
    }
}

#[test]
fn a_pool_that_grants_nothing_is_not_asked_in_a_circle() {
    let mut bench = Bench::new();
    bench.agent.register(bench.now, 600, &mut bench.out);
    for _ in 0..3 {
        let request = bench.sent_one();
        bench.answer(&request, 200, &[("Expires", "0")]);
        assert_eq!(bench.event(), registered(0, &[]));
        assert_eq!(bench.skip(), 1000);
    }
}

#[test]
fn a_wish_made_meanwhile_goes_when_the_first_is_answered() {
    let mut bench = Bench::new();
    bench.agent.register(bench.now, 600, &mut bench.out);
    let first = bench.sent_one();
    bench.agent.unregister(bench.now, &mut bench.out);
    assert_eq!(bench.sent(), Vec::<String>::new());
    bench.answer(&first, 200, &[]);
    assert_eq!(header(&bench.sent_one(), "Expires"), "0");
}

#[test]
fn a_phone_over_tcp_sends_once_and_comes_back_by_itself_when_the_flow_is_lost() {
    let mut config = config("sip:al@example.com", 1);
    config.protocol = Protocol::Tcp;
    config.instance = Some("urn:uuid:1".to_owned());
    let mut bench = Bench::with(config);
    bench.agent.register(bench.now, 600, &mut bench.out);
    let request = bench.sent_one();
    assert!(header(&request, "Via").starts_with("SIP/2.0/TCP "));
    assert!(header(&request, "Contact").ends_with(">;+sip.instance=\"<urn:uuid:1>\""));
    bench.wait(10_000);
    assert_eq!(bench.sent(), Vec::<String>::new());
    bench.agent.handle_flow_lost(bench.now, &mut bench.out);
    assert!(matches!(bench.event(), Event::TimedOut { .. }));
    assert_eq!(header(&bench.sent_one(), "CSeq"), "2 REGISTER");
}

#[test]
fn an_owner_may_let_requests_repeat_and_refreshes_wait() {
    let mut bench = Bench::new();
    bench.agent.register(bench.now, 600, &mut bench.out);
    let request = bench.sent_one();
    assert!(bench.agent.is_asking() && bench.agent.poll_refresh().is_none());
    // Timer E (RFC 3261 §17.1.2.2).
    assert_eq!(bench.agent.poll_repeat(), Some(at(500).moment));
    bench.now = at(500);
    bench.agent.handle_repeats(bench.now, &mut bench.out);
    assert_eq!(bench.sent_one(), request);
    bench.answer(&request, 200, &[("Expires", "600")]);
    bench.events();
    assert!(!bench.agent.is_asking() && bench.agent.poll_repeat().is_none());
    let due = bench.agent.poll_refresh().expect("it is refreshed");
    assert_eq!(due, at(540_500).moment);
    bench.now = at(560_000);
    bench.agent.handle_repeats(bench.now, &mut bench.out);
    assert!(bench.sent().is_empty());
    bench.agent.handle_timeout(bench.now, &mut bench.out);
    assert!(bench.sent_one().starts_with("REGISTER "));
}

#[test]
fn refreshes_are_spread_as_far_as_configured() {
    let due_of = |seed| {
        let mut config = config("sip:al@example.com", seed);
        config.refresh_spread_percent = 15;
        let mut bench = Bench::with(config);
        bench.agent.register(bench.now, 1_000, &mut bench.out);
        let request = bench.sent_one();
        bench.answer(&request, 200, &[("Expires", "1000")]);
        let due = bench.agent.poll_refresh().expect("it is refreshed");
        due.since(at(0).moment).as_secs()
    };
    let mut tenths = [0; 10];
    for seed in 0..200 {
        let due = due_of(seed);
        assert!((750..=900).contains(&due), "{seed}: {due}");
        tenths[usize::try_from(due - 750).unwrap() / 16] += 1;
    }
    assert!(tenths.iter().all(|count| *count > 5), "{tenths:?}");
}
