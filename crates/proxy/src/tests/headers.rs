//! What an application server, and a client, get to see of each other's headers.

use crate::{Forwarding, Listener, Settings};

use crate::tests::side::{
    App, Side, expect, expect_ok, get, head, is_closed, loopback, send, with,
};

/// The head that reaches the application server of a request with these lines.
async fn carried(side: &mut Side, lines: &str) -> String {
    let app = App::new().await;
    let mut client = side.client().await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-User: alice\r\n{lines}\r\n");
    send(&mut client, &request).await;
    side.admit(&app).await;
    head(&mut app.accept().await).await
}

fn trusting() -> Side {
    Side::new(Settings {
        trusted: vec!["127.0.0.0/8".parse().unwrap()],
        ..with(Listener::http(loopback()))
    })
}

#[tokio::test]
async fn headers_of_one_connection_go_and_the_way_is_told() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    let request = "GET http://example.org/x HTTP/1.1\r\nHost: other\r\nX-User: alice\r\n\
                   Connection: close, X-Secret\r\nKeep-Alive: 5\r\nX-Secret: 1\r\n\
                   Proxy-Authorization: Basic eA==\r\n\
                   X-Forwarded-For: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\n\r\n";
    send(&mut client, request).await;
    side.admit(&app).await;
    let mut server = app.accept().await;
    let request = head(&mut server).await;
    let mut lines: Vec<&str> = request.trim_end().split("\r\n").collect();
    lines.sort_unstable();
    let expected = [
        "GET /x HTTP/1.1",
        "host: example.org",
        "via: 1.1 presently",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: example.org",
        "x-forwarded-proto: http",
        "x-user: alice",
    ];
    assert_eq!(lines, expected);
    let answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\
                  Content-Length: 0\r\nDate: today\r\n\r\n";
    send(&mut server, answer).await;
    let answer = head(&mut client).await;
    assert!(!answer.contains("keep-alive"), "{answer}");
    assert!(answer.contains("date: today\r\n"), "{answer}");
    assert!(is_closed(&mut client).await);
}

#[tokio::test]
async fn a_trusted_proxy_says_on_whose_behalf_it_asks() {
    let lines = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n";
    let request = carried(&mut trusting(), lines).await;
    assert!(
        request.contains("x-forwarded-for: 203.0.113.7, 127.0.0.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("x-forwarded-proto: https\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn headers_stay_as_they_came_if_so_set() {
    let settings = Settings {
        forwarding: Forwarding::Untouched,
        ..with(Listener::http(loopback()))
    };
    let (mut side, app) = (Side::new(settings), App::new().await);
    let mut client = side.client().await;
    let claim = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n";
    send(&mut client, claim).await;
    side.admit(&app).await;
    let request = head(&mut app.accept().await).await;
    assert!(
        request.contains("x-forwarded-for: 203.0.113.7\r\n"),
        "{request}"
    );
    assert!(!request.contains("x-forwarded-host"), "{request}");
}

// Whoever is admitted as alice is alice at the application server too.
#[tokio::test]
async fn a_client_cannot_have_us_remove_who_it_is_or_whence_it_came() {
    let lines = "Connection: x-user, via, host, forwarded, x-forwarded-proto, x-real-ip\r\n\
                 Forwarded: for=203.0.113.7\r\nX-Forwarded-Proto: https\r\n\
                 X-Real-Ip: 203.0.113.7\r\n";
    let request = carried(&mut trusting(), lines).await;
    for expected in [
        "x-user: alice\r\n",
        "via: 1.1 presently\r\n",
        "host: a\r\n",
        "forwarded: for=203.0.113.7\r\n",
        "x-forwarded-proto: https\r\n",
        "x-real-ip: 203.0.113.7\r\n",
    ] {
        assert!(request.contains(expected), "{expected} in {request}");
    }
}

#[tokio::test]
async fn a_client_claims_nothing_of_its_way() {
    let lines = "X-Forwarded-User: root\r\nX-Forwarded-Prefix: /admin\r\n\
                 X-Forwarded-User: admin\r\nX-Forwarded-Port: 443\r\n\
                 X-Forwarded-Ssl: on\r\nX-Forwarded-Server: inner\r\n\
                 X-Real-Ip: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\nVia: 1.1 edge\r\n";
    let request = carried(&mut Side::http(), lines).await;
    let mut told: Vec<&str> = request.trim_end().split("\r\n").skip(1).collect();
    told.sort_unstable();
    let expected = [
        "host: a",
        "via: 1.1 edge",
        "via: 1.1 presently",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: a",
        "x-forwarded-proto: http",
        "x-user: alice",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_trusted_proxy_says_more_of_the_way() {
    let lines = "X-Forwarded-User: root\r\nX-Forwarded-Port: 443\r\n";
    let request = carried(&mut trusting(), lines).await;
    assert!(request.contains("x-forwarded-user: root\r\n"), "{request}");
    assert!(request.contains("x-forwarded-port: 443\r\n"), "{request}");
}

// RFC 9112 §6.3
#[tokio::test]
async fn an_answer_in_chunks_is_not_cut_short_by_a_length() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    send(&mut server, answer).await;
    send(&mut server, "9\r\nall of it\r\n0\r\n\r\n").await;
    let answer = expect_ok(&mut client, "9\r\nall of it\r\n").await;
    assert!(!answer.contains("content-length"), "{answer}");
    expect(&mut client, "0\r\n\r\n").await;
}
