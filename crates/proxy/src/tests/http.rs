//! Requests, one after the other and one connection after the other.

use std::sync::Arc;

use crate::Listener;
use crate::identity::{AorTemplate, Identity, Jwt, JwtAlgorithm, JwtKey, Source, TokenPlace};
use presently_nlb::{PathKind, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tests::side::{
    App, Side, expect, expect_ok, get, head, is_closed, loopback, ok, send, with, within,
};

// S4
#[tokio::test]
async fn a_user_asks_once_a_connection_and_then_goes_straight_on() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/first?a=b", "alice")).await;
    let entering = side.admit(&app).await;
    assert_eq!(entering.user.unwrap().as_str(), "sip:alice@example.com");
    assert_eq!(&*entering.resource, "example.com/first");
    assert_eq!(entering.kind, PathKind::Http);
    let mut server = app.accept().await;
    for number in 0..3 {
        let path = if number == 0 { "/first?a=b" } else { "/next" };
        if number > 0 {
            send(&mut client, &get(path, "alice")).await;
        }
        let request = head(&mut server).await;
        assert!(
            request.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{request}"
        );
        send(&mut server, &ok("hello")).await;
        expect_ok(&mut client, "hello").await;
    }
    assert!(side.asks_nothing());
    drop(client);
    assert_eq!(side.left().await, entering.path);
    // Bytes are counted once the system has them, perhaps after their reader has.
    let moved = entering.traffic.moved();
    assert!(
        moved.from_user_bytes > 150 && moved.to_user_bytes > 120,
        "{moved:?}"
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    let both = get("/1", "alice") + &get("/2", "alice");
    send(&mut client, &both).await;
    side.admit(&app).await;
    let mut server = app.accept().await;
    for path in ["/1", "/2"] {
        let request = head(&mut server).await;
        assert!(request.starts_with(&format!("GET {path} ")), "{request}");
        send(&mut server, &ok(path)).await;
        expect_ok(&mut client, path).await;
    }
}

#[tokio::test]
async fn another_user_on_the_connection_leaves_and_enters_anew() {
    let (mut side, app, other) = (Side::http(), App::new().await, App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let alice = side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("a")).await;
    expect_ok(&mut client, "a").await;
    send(&mut client, &get("/", "bob")).await;
    assert_eq!(side.left().await, alice.path);
    let bob = side.admit(&other).await;
    assert_ne!(bob.path, alice.path);
    assert_eq!(bob.user.unwrap().user(), "bob");
    let mut server = other.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("b")).await;
    expect_ok(&mut client, "b").await;
}

#[tokio::test]
async fn a_refusal_is_answered_and_the_connection_may_ask_again() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let path = side.entering().await.path;
    side.refuse(path, Refusal::NoSlot);
    let refused = head(&mut client).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: "), "{refused}");
    expect(&mut client, "no slot became free\n").await;
    send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let entering = side.entering().await;
    assert_eq!(entering.user, None);
    side.refuse(entering.path, Refusal::Anonymous);
    assert!(head(&mut client).await.starts_with("HTTP/1.1 403 "));
    expect(&mut client, "the request names no user\n").await;
    send(&mut client, &get("/", "alice")).await;
    // A path that was refused has not left: nothing of it is there to give back.
    side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
}

fn token(from: TokenPlace) -> Source {
    let key = JwtKey::new(JwtAlgorithm::Hs256, &[7; 32]).unwrap();
    Source::Jwt(Box::new(Jwt {
        claim: "sub".into(),
        key,
        from,
        issuer: None,
        audience: None,
    }))
}

#[tokio::test]
async fn who_names_nobody_is_challenged_for_what_a_client_can_be_asked_for() {
    let basic = "www-authenticate: Basic realm=\"presently\", charset=\"UTF-8\"";
    let bearer = "www-authenticate: Bearer realm=\"presently\"";
    let cookie = || token(TokenPlace::Cookie("user".into()));
    let table = [
        (vec![Source::Basic], 401, vec![basic]),
        (
            vec![token(TokenPlace::Bearer), Source::Basic],
            401,
            vec![bearer, basic],
        ),
        (
            vec![Source::Query("user".into()), Source::Basic, Source::Basic],
            401,
            vec![basic],
        ),
        (vec![Source::Cookie("user".into()), cookie()], 403, vec![]),
        (vec![], 403, vec![]),
    ];
    for (users, status, challenges) in table {
        let template = AorTemplate::parse("sip:{user}@example.com").unwrap();
        let identity = Identity::new(users, vec![Source::Basic], template);
        let settings = with(Listener::http(loopback()));
        let mut side = Side::start_with(settings, Arc::new(identity)).unwrap();
        let mut client = side.client().await;
        send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let path = side.entering().await.path;
        side.refuse(path, Refusal::Anonymous);
        let answer = head(&mut client).await;
        let began = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&began), "{answer}");
        let lines = answer.lines();
        let asked: Vec<_> = lines.filter(|line| line.starts_with("www-")).collect();
        assert_eq!(asked, challenges);
    }
}

#[tokio::test]
async fn a_client_that_goes_while_it_waits_has_left() {
    let mut side = Side::http();
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let path = side.entering().await.path;
    drop(client);
    assert_eq!(side.left().await, path);
}

// S18
#[tokio::test]
async fn a_cut_closes_both_sides_while_an_answer_is_under_way() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let path = side.admit(&app).await.path;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(
        &mut server,
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    )
    .await;
    expect_ok(&mut client, "half").await;
    side.cut(path);
    assert!(is_closed(&mut client).await);
    assert!(is_closed(&mut server).await);
    assert_eq!(side.left().await, path);
}

// S18
#[tokio::test]
async fn a_cut_closes_an_idle_connection() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let path = side.admit(&app).await.path;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("")).await;
    head(&mut client).await;
    side.cut(path);
    assert!(is_closed(&mut client).await);
    assert_eq!(side.left().await, path);
}

#[tokio::test]
async fn a_body_goes_through_both_ways_in_chunks_and_with_trailers() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nX-User: alice\r\nTE: trailers\r\n\
                Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
    send(&mut client, post).await;
    side.admit(&app).await;
    send(&mut client, "4\r\nping\r\n").await;
    let mut server = app.accept().await;
    let request = head(&mut server).await;
    assert!(
        request.contains("transfer-encoding: chunked\r\n"),
        "{request}"
    );
    assert!(!request.contains("content-length"), "{request}");
    expect(&mut server, "4\r\nping\r\n").await;
    send(&mut client, "0\r\n\r\n").await;
    expect(&mut server, "0\r\n\r\n").await;
    let answer = "HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n";
    send(&mut server, answer).await;
    send(&mut server, "4\r\npong\r\n").await;
    expect_ok(&mut client, "4\r\npong\r\n").await;
    send(&mut server, "0\r\nx-sum: 1\r\n\r\n").await;
    expect(&mut client, "0\r\nx-sum: 1\r\n\r\n").await;
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_to_go_on() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    let put = "PUT / HTTP/1.1\r\nHost: a\r\nX-User: alice\r\nExpect: 100-continue\r\n\
               Content-Length: 2\r\n\r\n";
    send(&mut client, put).await;
    side.admit(&app).await;
    assert_eq!(head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    send(&mut client, "hi").await;
    let mut server = app.accept().await;
    let request = head(&mut server).await;
    assert!(!request.contains("expect"), "{request}");
    expect(&mut server, "hi").await;
    send(&mut server, "HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 204 "));
}

#[tokio::test]
async fn an_answer_to_head_has_a_length_and_no_body() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(
        &mut client,
        "HEAD / HTTP/1.1\r\nHost: a\r\nX-User: alice\r\n\r\n",
    )
    .await;
    side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    assert!(head(&mut client).await.contains("content-length: 5\r\n"));
    send(&mut client, &get("/", "alice")).await;
    head(&mut server).await;
    send(&mut server, &ok("next")).await;
    expect_ok(&mut client, "next").await;
}

#[tokio::test]
async fn a_connection_to_a_server_serves_other_clients_afterwards() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut server = None;
    for user in ["alice", "bob"] {
        let mut client = side.client().await;
        send(&mut client, &get("/", user)).await;
        let path = side.admit(&app).await.path;
        let server = match &mut server {
            Some(server) => server,
            none => none.insert(app.accept().await),
        };
        head(server).await;
        send(server, &ok(user)).await;
        expect_ok(&mut client, user).await;
        drop(client);
        assert_eq!(side.left().await, path);
    }
    assert_eq!(side.proxy.counters().upstreams, 1);
}

#[tokio::test]
async fn a_request_on_a_stale_connection_is_sent_once_more() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("a")).await;
    expect_ok(&mut client, "a").await;
    // The server takes the request, and closes without a word.
    let again = "DELETE /again?now HTTP/1.1\r\nHost: a\r\nX-User: alice\r\n\
        Cookie: a=b: c\r\nX-Many: 1\r\nX-Many:\r\n\r\n";
    send(&mut client, again).await;
    let first = head(&mut server).await;
    assert!(first.starts_with("DELETE /again?now ") && first.contains("cookie: a=b: c\r\n"));
    drop(server);
    let mut server = app.accept().await;
    assert_eq!(head(&mut server).await, first);
    send(&mut server, &ok("b")).await;
    expect_ok(&mut client, "b").await;
    assert_eq!(side.proxy.counters().retried, 1);
}

#[tokio::test]
async fn a_request_that_may_have_been_acted_on_is_not_sent_again() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let entering = side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("a")).await;
    expect_ok(&mut client, "a").await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nX-User: alice\r\nContent-Length: 0\r\n\r\n";
    send(&mut client, post).await;
    head(&mut server).await;
    drop(server);
    assert!(head(&mut client).await.starts_with("HTTP/1.1 502 "));
    assert_eq!(entering.traffic.moved().errors, 1);
}

#[tokio::test]
async fn a_server_that_dies_in_its_answer_ends_the_clients_connection() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let entering = side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(
        &mut server,
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    )
    .await;
    expect_ok(&mut client, "half").await;
    drop(server);
    assert!(is_closed(&mut client).await);
    assert_eq!(side.left().await, entering.path);
    assert_eq!(entering.traffic.moved().errors, 1);
}

#[tokio::test]
async fn a_path_that_is_sent_elsewhere_asks_there_next() {
    let (mut side, old, new) = (Side::http(), App::new().await, App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let entering = side.admit(&old).await;
    let mut server = old.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("old")).await;
    expect_ok(&mut client, "old").await;
    side.proxy.tell(presently_nlb::Verdict::Admit {
        path: entering.path,
        server: "s1".into(),
        address: new.address(),
    });
    // Verdicts are taken in their order: after this one, that one was.
    let mut other = side.client().await;
    send(&mut other, &get("/", "bob")).await;
    let path = side.entering().await.path;
    side.refuse(path, presently_nlb::Refusal::NoSlot);
    assert!(head(&mut other).await.starts_with("HTTP/1.1 503 "));
    send(&mut client, &get("/", "alice")).await;
    let mut server = new.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("new")).await;
    expect_ok(&mut client, "new").await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_a_502() {
    let mut side = Side::http();
    let gone = App::new().await;
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let entering = side.entering().await;
    let address = gone.address();
    drop(gone);
    side.proxy.tell(presently_nlb::Verdict::Admit {
        path: entering.path,
        server: "s1".into(),
        address,
    });
    assert!(head(&mut client).await.starts_with("HTTP/1.1 502 "));
    assert_eq!(side.proxy.counters().failed, 1);
}

#[tokio::test]
async fn a_server_that_answers_nonsense_is_a_502() {
    let (mut side, app) = (Side::http(), App::new().await);
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, "SSH-2.0-OpenSSH\r\n\r\n").await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn a_tunnel_to_anywhere_is_not_ours_to_open() {
    let side = Side::http();
    let mut client = side.client().await;
    send(
        &mut client,
        "CONNECT example.com:25 HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn a_proxy_that_stops_finishes_what_it_was_asked() {
    let (mut side, app) = (Side::http(), App::new().await);
    let [mut busy, mut idle] = [side.client().await, side.client().await];
    send(&mut idle, &get("/", "bob")).await;
    let bob = side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    send(&mut server, &ok("b")).await;
    expect_ok(&mut idle, "b").await;
    send(&mut busy, &get("/", "alice")).await;
    let alice = side.admit(&app).await;
    head(&mut server).await;
    side.proxy.stop();
    assert!(is_closed(&mut idle).await);
    assert_eq!(side.left().await, bob.path);
    send(&mut server, &ok("a")).await;
    expect_ok(&mut busy, "a").await;
    assert!(is_closed(&mut busy).await);
    assert_eq!(side.left().await, alice.path);
    assert!(within(side.questions.next()).await.is_none());
    assert!(
        tokio::net::TcpStream::connect(side.proxy.addresses()[0])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_client_that_goes_while_it_waits_leaves_at_once() {
    let mut side = Side::http();
    let mut client = side.client().await;
    send(&mut client, &get("/", "alice")).await;
    let path = side.entering().await.path;
    client.shutdown().await.unwrap();
    assert_eq!(side.left().await, path);
}

#[tokio::test]
async fn a_server_that_is_told_of_a_client_serves_no_other_by_that_connection() {
    let listener = Listener {
        is_announced: true,
        ..Listener::http(loopback())
    };
    let (mut side, app) = (Side::new(with(listener)), App::new().await);
    let mut client = side.client().await;
    let mut header = Vec::new();
    let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    for (user, requests) in [("alice", 2), ("bob", 1)] {
        let mut server = None;
        for _ in 0..requests {
            send(&mut client, &get("/", user)).await;
            if server.is_none() {
                if user == "bob" {
                    side.left().await;
                }
                side.admit(&app).await;
                let mut accepted = app.accept().await;
                header.clear();
                crate::proxy_protocol::write(from, to, Some(user), &mut header);
                let mut received = vec![0; header.len()];
                within(accepted.read_exact(&mut received)).await.unwrap();
                assert_eq!(received, header);
                server = Some(accepted);
            }
            let server = server.as_mut().unwrap();
            assert!(head(server).await.contains(&format!("x-user: {user}\r\n")));
            send(server, &ok(user)).await;
            expect_ok(&mut client, user).await;
        }
    }
}
