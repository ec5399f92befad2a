//! Connections that begin as HTTP and go over to something else.

use presently_nlb::PathKind;
use tokio::io::AsyncWriteExt;

use crate::tests::side::{App, Side, expect, expect_ok, get, head, is_closed, ok, send};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nX-User: alice\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\nX-Server: s1\r\n\r\n";

// S4, S18
#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways_until_it_is_cut() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, UPGRADE).await;
    let entering = side.admit(&app).await;
    assert_eq!(entering.kind, PathKind::Http);
    let mut server = app.accept().await;
    let request = head(&mut server).await;
    assert!(request.contains("connection: upgrade\r\n"), "{request}");
    assert!(request.contains("upgrade: websocket\r\n"), "{request}");
    // What the server says with its answer, and the client before it, is carried too.
    send(&mut client, "early").await;
    send(&mut server, &format!("{SWITCHED}first")).await;
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("x-server: s1\r\n"), "{answer}");
    expect(&mut client, "first").await;
    expect(&mut server, "early").await;
    for number in 0..10 {
        let message = format!("message {number}");
        send(&mut client, &message).await;
        expect(&mut server, &message).await;
        send(&mut server, &message).await;
        expect(&mut client, &message).await;
    }
    side.cut(entering.path);
    assert!(is_closed(&mut client).await);
    assert!(is_closed(&mut server).await);
    assert_eq!(side.left().await, entering.path);
    let moved = entering.traffic.moved();
    let tunnel = "early".len() + 90;
    let total = |head: &str| u64::try_from(head.len() + tunnel).unwrap();
    assert_eq!(moved.from_user_bytes, total(UPGRADE));
    assert_eq!(moved.to_user_bytes, total(SWITCHED));
}

#[tokio::test]
async fn a_path_that_began_with_requests_stays_the_same_when_it_is_upgraded() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let path = side.admit(&app).await.path;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("page")).await;
    expect_ok(&mut client, "page").await;
    send(&mut client, UPGRADE).await;
    head(&mut server).await;
    send(&mut server, SWITCHED).await;
    head(&mut client).await;
    send(&mut server, "push").await;
    expect(&mut client, "push").await;
    drop(client);
    drop(server);
    assert_eq!(side.left().await, path, "another path was asked for");
}

#[tokio::test]
async fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, UPGRADE).await;
    side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("no")).await;
    expect_ok(&mut client, "no").await;
    send(&mut client, &get("/", "alice")).await;
    let request = head(&mut server).await;
    assert!(!request.contains("upgrade"), "{request}");
    send(&mut server, &ok("page")).await;
    expect_ok(&mut client, "page").await;
}

#[tokio::test]
async fn an_upgrade_nobody_asked_for_is_a_502() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, SWITCHED).await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn a_side_that_has_said_all_may_still_be_answered() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, UPGRADE).await;
    let path = side.admit(&app).await.path;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, SWITCHED).await;
    head(&mut client).await;
    send(&mut client, "last").await;
    client.shutdown().await.unwrap();
    expect(&mut server, "last").await;
    assert!(is_closed(&mut server).await);
    send(&mut server, "answer").await;
    expect(&mut client, "answer").await;
    server.shutdown().await.unwrap();
    assert!(is_closed(&mut client).await);
    assert_eq!(side.left().await, path);
}

// HTTP/2 in a tunnel would carry requests that nobody looks at.
#[tokio::test]
async fn an_upgrade_to_http_2_is_asked_of_no_server() {
    for (asked, goes_on) in [
        ("h2c", None),
        ("H2C/14", None),
        ("h2c, websocket", Some("upgrade: websocket\r\n")),
        ("websocket\r\nUpgrade: h2c", Some("upgrade: websocket\r\n")),
    ] {
        let (mut side, app) = (Side::http(), App::new().await);
        let mut client = side.client().await;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-User: alice\r\nConnection: Upgrade\r\n\
             Upgrade: {asked}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        );
        send(&mut client, &request).await;
        side.admit(&app).await;
        let mut server = app.accept().await;
        let carried = head(&mut server).await;
        assert!(!carried.contains("h2c") && !carried.contains("H2C"));
        assert!(!carried.contains("http2-settings"), "{carried}");
        assert_eq!(carried.contains("upgrade"), goes_on.is_some(), "{carried}");
        assert!(carried.contains(goes_on.unwrap_or_default()), "{carried}");
        send(&mut server, SWITCHED).await;
        let status = if goes_on.is_some() { "101" } else { "502" };
        let answer = head(&mut client).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{asked}");
    }
}
