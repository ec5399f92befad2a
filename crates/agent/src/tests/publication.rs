//! Publications: the four kinds of PUBLISH, and what the pool may answer (RFC 3903 §4).

use bytes::Bytes;

use super::*;

fn publish(bench: &mut Bench, document: &'static str) {
    let (now, body) = (bench.now, Bytes::from_static(document.as_bytes()));
    let content_type = "application/pidf+xml";
    bench
        .agent
        .publish(now, "presence", content_type, body, 600, &mut bench.out);
}

/// A phone whose first document is held under the tag `one`.
fn published() -> Bench {
    let mut bench = Bench::new();
    publish(&mut bench, "<first/>");
    let request = bench.sent_one();
    bench.answer(&request, 200, &[("SIP-ETag", "one"), ("Expires", "600")]);
    assert!(matches!(bench.event(), Event::Published { .. }));
    bench
}

#[track_caller]
fn assert_publish(request: &str, if_match: &str, expires: &str, document: &str) {
    assert_eq!(method(request), "PUBLISH");
    assert_eq!(header(request, "Event"), "presence");
    assert_eq!(header(request, "SIP-If-Match"), if_match);
    assert_eq!(header(request, "Expires"), expires);
    assert_eq!(body(request), document);
}

#[test]
fn a_lost_flow_repeats_what_was_being_given_back() {
    let mut bench = published();
    bench.agent.register(bench.now, 600, &mut bench.out);
    let register = bench.sent_one();
    bench.answer(&register, 200, &[("Expires", "600")]);
    bench.events();
    bench.agent.unpublish(bench.now, "presence", &mut bench.out);
    bench.agent.unregister(bench.now, &mut bench.out);
    bench.sent();
    bench.agent.handle_flow_lost(bench.now, &mut bench.out);
    assert_eq!(bench.events(), []);
    let sent = bench.sent();
    assert_publish(&sent[0], "one", "0", "");
    assert_eq!(header(&sent[1], "CSeq"), "3 REGISTER");
    assert_eq!(header(&sent[1], "Expires"), "0");
    bench.answer(&sent[0], 200, &[]);
    bench.answer(&sent[1], 200, &[]);
    let ends = bench.events();
    assert!(matches!(
        ends[..],
        [Event::Unpublished { .. }, Event::Unregistered]
    ));
}

#[test]
fn it_is_initial_then_refreshed_without_body_modified_and_removed() {
    let mut bench = Bench::new();
    publish(&mut bench, "<first/>");
    let initial = bench.sent_one();
    assert!(initial.starts_with("PUBLISH sip:al@example.com SIP/2.0\r\n"));
    assert_publish(&initial, "", "600", "<first/>");
    bench.answer(&initial, 200, &[("SIP-ETag", "one"), ("Expires", "300")]);
    let published = Event::Published {
        package: "presence".into(),
        etag: Some("one".parse().unwrap()),
        expires_secs: 300,
    };
    assert_eq!(bench.event(), published);

    assert_eq!(bench.skip(), 270_000);
    let refresh = bench.sent_one();
    assert_publish(&refresh, "one", "600", "");
    bench.answer(&refresh, 200, &[("SIP-ETag", "two")]);

    publish(&mut bench, "<second/>");
    let modify = bench.sent_one();
    assert_publish(&modify, "two", "600", "<second/>");
    bench.answer(&modify, 200, &[("SIP-ETag", "three")]);
    bench.events();

    bench.agent.unpublish(bench.now, "presence", &mut bench.out);
    let remove = bench.sent_one();
    assert_publish(&remove, "three", "0", "");
    bench.answer(&remove, 200, &[("SIP-ETag", "four")]);
    let package = "presence".into();
    assert_eq!(bench.event(), Event::Unpublished { package });
    assert_eq!(bench.agent.poll_timeout(), None);
}

#[test]
fn after_412_it_is_published_anew_with_its_body() {
    let mut bench = published();
    bench
        .agent
        .refresh_publication(bench.now, "presence", &mut bench.out);
    let refresh = bench.sent_one();
    bench.answer(&refresh, 412, &[]);
    assert_publish(&bench.sent_one(), "", "600", "<first/>");
    assert_eq!(bench.events(), []);
}

#[test]
fn a_412_to_a_removal_means_that_it_is_gone() {
    let mut bench = published();
    bench.agent.unpublish(bench.now, "presence", &mut bench.out);
    let remove = bench.sent_one();
    bench.answer(&remove, 412, &[]);
    let package = "presence".into();
    assert_eq!(bench.event(), Event::Unpublished { package });
    assert_eq!(bench.sent(), Vec::<String>::new());
}

#[test]
fn changes_meanwhile_wait_for_the_answer_and_only_the_last_goes() {
    let mut bench = published();
    publish(&mut bench, "<second/>");
    let modify = bench.sent_one();
    publish(&mut bench, "<third/>");
    publish(&mut bench, "<fourth/>");
    assert_eq!(bench.sent(), Vec::<String>::new());
    bench.answer(&modify, 200, &[("SIP-ETag", "two")]);
    assert_publish(&bench.sent_one(), "two", "600", "<fourth/>");
}

#[test]
fn a_body_whose_fate_is_unknown_is_sent_again() {
    let mut bench = published();
    publish(&mut bench, "<second/>");
    bench.wait(32_000);
    bench.sent();
    assert!(matches!(bench.event(), Event::TimedOut { .. }));
    bench.skip();
    assert_publish(&bench.sent_one(), "one", "600", "<second/>");
}

#[test]
fn a_longer_interval_is_asked_for_when_the_pool_insists() {
    let mut bench = Bench::new();
    publish(&mut bench, "<first/>");
    let initial = bench.sent_one();
    bench.answer(&initial, 423, &[("Min-Expires", "3600")]);
    assert_publish(&bench.sent_one(), "", "3600", "<first/>");
}

#[test]
fn a_refusal_for_good_is_told_and_left() {
    let mut bench = Bench::new();
    publish(&mut bench, "<first/>");
    let initial = bench.sent_one();
    bench.answer(&initial, 489, &[]);
    let failed = Event::PublishFailed {
        package: "presence".into(),
        status: 489,
        again_in: None,
    };
    assert_eq!(bench.event(), failed);
    assert_eq!(bench.agent.poll_timeout(), None);
}
