//! The admin port: what is counted and whether all is well. R35

use presently_tests::program::{Pool, http};

#[test]
fn each_process_says_that_it_is_alive_and_ready() {
    let mut pool = Pool::start();
    for member in pool.members() {
        for path in ["/healthz", "/readyz"] {
            let (status, text) = http(member.admin, path).unwrap();
            assert_eq!(status, 200, "{path} {text}");
        }
        assert_eq!(http(member.admin, "/nothing").unwrap().0, 404);
    }
}

// R35
#[test]
fn the_store_the_wakes_and_the_notifies_are_counted() {
    let mut pool = Pool::start();
    let common = [
        "host_operations_total",
        "host_batches_total",
        "host_operations_in_flight",
        "host_store_seconds_bucket",
        "transport_messages_received_total",
        "transport_connections",
        "pool_members",
        "pool_ready",
        "link_messages_dropped_total",
    ];
    let balancer = [
        "balancer_requests_forwarded_total",
        "balancer_assignments_asked_total",
        "transport_datagrams_received_total",
    ];
    let server = [
        "presence_commits_total",
        "presence_wakes_sent_total",
        "presence_notifies_sent_total",
        "presence_answer_seconds_bucket",
        "presence_notify_seconds_count",
        "presence_clients",
        "presence_subscriptions",
        "oob_frames_sent_total",
        "oob_items_sent_total",
        "oob_repairs_asked_total",
    ];
    for member in pool.members() {
        let (status, text) = http(member.admin, "/metrics").unwrap();
        assert_eq!(status, 200);
        let own: &[&str] = if member.name == "b1" {
            &balancer
        } else {
            &server
        };
        for name in common.iter().chain(own) {
            let is_there = text.lines().any(|line| {
                let end = line.strip_prefix(name);
                end.is_some_and(|end| end.starts_with([' ', '{']))
            });
            assert!(is_there, "{} has no {name}\n{text}", member.name);
            assert!(text.contains("# HELP"), "no help");
        }
    }
}
