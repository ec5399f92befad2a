//! What a stranger cannot make grow, or keep waiting.

use std::time::Duration;

use crate::{Carries, Limits, Listener, Settings};
use presently_nlb::{PathId, Refusal};
use tokio::io::AsyncReadExt;

use crate::tests::side::{
    App, Side, expect, expect_ok, get, head, is_closed, loopback, ok, send, with, within,
};

fn limited(change: impl FnOnce(&mut Limits)) -> Side {
    let mut settings = with(Listener::http(loopback()));
    change(&mut settings.limits);
    Side::new(settings)
}

const SOON: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_closed() {
    let side = limited(|limits| limits.header_time = SOON);
    let mut slow = side.client().await;
    send(&mut slow, "GET / HTTP/1.1\r\nHost").await;
    let mut silent = side.client().await;
    assert!(is_closed(&mut slow).await);
    assert!(is_closed(&mut silent).await);
    while side.proxy.counters().closed < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_in_the_end() {
    let mut side = limited(|limits| limits.keep_alive = SOON);
    let app = App::new().await;
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let path = side.admit(&app).await.path;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("a")).await;
    expect_ok(&mut client, "a").await;
    assert!(is_closed(&mut client).await);
    assert_eq!(side.left().await, path);
}

#[tokio::test]
async fn too_many_bytes_or_headers_are_a_431() {
    for padding in [
        format!("X-A: {}\r\n", "a".repeat(40_000)),
        "X-A: 1\r\n".repeat(101),
    ] {
        let side = Side::http();
        let mut client = side.client().await;
        send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n").await;
        send(&mut client, &padding).await;
        send(&mut client, "\r\n").await;
        let answer = head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(is_closed(&mut client).await);
    }
}

#[tokio::test]
async fn nonsense_is_a_400() {
    let side = Side::http();
    let mut client = side.client().await;
    send(&mut client, "\u{1}\u{2}\u{3} nonsense\r\n\r\n").await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 400 "));
    assert!(is_closed(&mut client).await);
}

#[tokio::test]
async fn an_address_has_no_more_connections_than_it_may() {
    let side = limited(|limits| limits.per_source = 1);
    let first = side.client().await;
    let mut second = side.client().await;
    assert!(is_closed(&mut second).await);
    drop(first);
    while side.proxy.counters().closed < 1 {
        tokio::task::yield_now().await;
    }
    let mut third = side.client().await;
    send(&mut third, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    head(&mut third).await;
    assert_eq!(side.proxy.counters().crowded, 1);
}

#[tokio::test]
async fn a_full_thread_takes_the_next_when_one_has_left() {
    let side = limited(|limits| limits.connections = 1);
    let first = side.client().await;
    while side.proxy.counters().accepted < 1 {
        tokio::task::yield_now().await;
    }
    let mut second = side.client().await;
    send(&mut second, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(side.proxy.counters().accepted, 1);
    drop(first);
    assert!(head(&mut second).await.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn a_control_loop_that_has_too_much_to_answer_is_not_asked() {
    let mut side = limited(|limits| limits.waiting = 1);
    let [mut first, mut second] = [side.client().await, side.client().await];
    send(&mut first, &get("/", "alice")).await;
    while side.proxy.counters().requests < 1 {
        tokio::task::yield_now().await;
    }
    send(&mut second, &get("/", "bob")).await;
    assert!(head(&mut second).await.starts_with("HTTP/1.1 503 "));
    let path = side.entering().await.path;
    side.refuse(path, Refusal::Full);
    assert!(head(&mut first).await.starts_with("HTTP/1.1 503 "));
    assert!(side.asks_nothing());
}

#[tokio::test]
async fn a_verdict_that_does_not_come_is_a_503() {
    let mut side = limited(|limits| limits.verdict = SOON);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let path = side.entering().await.path;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 503 "));
    assert_eq!(side.left().await, path);
    // A verdict that comes too late finds nobody, and neither does one for a path that never was.
    side.cut(path);
    side.cut(PathId(u64::MAX));
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_a_504() {
    let mut side = limited(|limits| limits.answer = SOON);
    let app = App::new().await;
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 504 "));
    assert!(is_closed(&mut server).await);
}

// An event stream may say nothing for hours.
#[tokio::test]
async fn an_answer_that_stands_still_is_not_ended_by_time() {
    let mut side = limited(|limits| limits.answer = SOON);
    let app = App::new().await;
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let path = side.admit(&app).await.path;
    let mut server = app.accept().await;
    head(&mut server).await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n";
    send(&mut server, &format!("{answer}half")).await;
    expect_ok(&mut client, "half").await;
    let read = tokio::time::timeout(10 * SOON, client.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
    send(&mut server, "more").await;
    expect(&mut client, "more").await;
    assert!(side.asks_nothing());
    drop(client);
    assert_eq!(side.left().await, path);
}

#[tokio::test]
async fn a_first_line_without_end_is_not_waited_for() {
    let mut settings: Settings = with(Listener {
        carries: Carries::Tcp {
            first_word: Some("USER".into()),
        },
        ..Listener::tcp(loopback())
    });
    settings.limits.header_time = SOON;
    let mut side = Side::new(settings);
    let mut slow = side.client().await;
    send(&mut slow, "USER").await;
    assert!(is_closed(&mut slow).await);
    // One that is too long names nobody.
    let mut long = side.client().await;
    send(&mut long, &format!("USERalice {}", "a".repeat(600))).await;
    assert_eq!(side.entering().await.user, None);
}

#[tokio::test]
async fn a_stop_ends_what_does_not_end_by_itself() {
    let mut settings = with(Listener::tcp(loopback()));
    settings.limits.drain = SOON;
    let mut side = Side::new(settings);
    let app = App::new().await;
    let mut client = side.client().await;
    let path = side.admit(&app).await.path;
    let mut server = app.accept().await;
    side.proxy.stop();
    assert!(is_closed(&mut client).await);
    assert!(is_closed(&mut server).await);
    assert_eq!(side.left().await, path);
    assert!(within(side.questions.next()).await.is_none());
}
