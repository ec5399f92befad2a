//! Raw TCP.

use crate::proxy_protocol;
use crate::{Asked, Carries, Listener, ProxyHeader, Settings};
use presently_nlb::{PathKind, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tests::side::{App, Side, expect, is_closed, loopback, send, with, within};

fn named() -> Settings {
    with(Listener {
        carries: Carries::Tcp {
            first_word: Some("USER".into()),
        },
        ..Listener::tcp(loopback())
    })
}

#[tokio::test]
async fn the_first_line_names_the_user_and_goes_on_to_the_server() {
    let (mut side, app) = (Side::new(named()), App::new().await);
    let mut client = side.client().await;
    send(&mut client, "USER al").await;
    send(&mut client, "ice s1\nmore").await;
    let entering = side.admit(&app).await;
    assert_eq!(entering.user.unwrap().user(), "alice");
    assert_eq!(entering.kind, PathKind::Tcp);
    let mut server = app.accept().await;
    expect(&mut server, "USER alice s1\nmore").await;
    send(&mut server, "s1\n").await;
    expect(&mut client, "s1\n").await;
    drop((client, server));
    assert_eq!(side.left().await, entering.path);
    // Bytes are counted once the system has them, perhaps after their reader has.
    let moved = entering.traffic.moved();
    assert_eq!((moved.from_user_bytes, moved.to_user_bytes), (18, 3));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_known_by_its_address() {
    let mut side = Side::new(with(Listener::tcp(loopback())));
    let app = App::new().await;
    let mut client = side.client().await;
    let entering = side.admit(&app).await;
    assert_eq!(entering.user, None);
    assert_eq!(entering.source, client.local_addr().unwrap());
    let mut server = app.accept().await;
    send(&mut server, "hello").await;
    expect(&mut client, "hello").await;
    side.cut(entering.path);
    assert!(is_closed(&mut client).await);
    assert!(is_closed(&mut server).await);
    assert_eq!(side.left().await, entering.path);
}

#[tokio::test]
async fn a_connection_that_is_refused_is_closed() {
    let mut side = Side::new(with(Listener::tcp(loopback())));
    let mut client = side.client().await;
    let path = side.entering().await.path;
    side.refuse(path, Refusal::NoServer);
    assert!(is_closed(&mut client).await);
    assert!(side.asks_nothing());
}

#[tokio::test]
async fn a_half_closed_tunnel_carries_what_is_left() {
    let mut side = Side::new(with(Listener::tcp(loopback())));
    let app = App::new().await;
    let mut client = side.client().await;
    let path = side.admit(&app).await.path;
    let mut server = app.accept().await;
    server.shutdown().await.unwrap();
    assert!(is_closed(&mut client).await);
    send(&mut client, "still here").await;
    expect(&mut server, "still here").await;
    client.shutdown().await.unwrap();
    assert!(is_closed(&mut server).await);
    assert_eq!(side.left().await, path);
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_the_other_back_and_loses_nothing() {
    let mut side = Side::new(with(Listener::tcp(loopback())));
    let app = App::new().await;
    let client = side.client().await;
    let entering = side.admit(&app).await;
    let mut server = app.accept().await;
    let (mut reading, mut writing) = client.into_split();
    let total = 16 * 1024 * 1024;
    let sent = tokio::spawn(async move {
        for number in 0..total / 4096 {
            let piece = [u8::try_from(number % 251).unwrap(); 4096];
            writing.write_all(&piece).await.unwrap();
        }
        writing.shutdown().await.unwrap();
    });
    // Until nothing more fits anywhere between the two.
    let mut before = 0;
    loop {
        tokio::time::timeout(std::time::Duration::from_millis(50), reading.read_u8())
            .await
            .unwrap_err();
        let now = entering.traffic.moved().from_user_bytes;
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    assert!(before < total, "the sender was held back");
    let mut received = 0;
    let mut piece = [0; 4096];
    while received < total {
        within(server.read_exact(&mut piece)).await.unwrap();
        let expected = u8::try_from(received / 4096 % 251).unwrap();
        assert!(piece.iter().all(|byte| *byte == expected), "at {received}");
        received += 4096;
    }
    assert!(is_closed(&mut server).await);
    within(sent).await.unwrap();
}

#[tokio::test]
async fn a_reset_of_one_side_ends_the_other() {
    let mut side = Side::new(with(Listener::tcp(loopback())));
    let app = App::new().await;
    let client = side.client().await;
    let entering = side.admit(&app).await;
    let mut server = app.accept().await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert!(is_closed(&mut server).await);
    assert_eq!(side.left().await, entering.path);
    assert_eq!(entering.traffic.moved().errors, 1);
}

/// A listener behind a trusted proxy at loopback.
fn behind(arrives_with: ProxyHeader) -> Settings {
    Settings {
        trusted: vec!["127.0.0.0/8".parse().unwrap()],
        ..with(Listener {
            arrives_with,
            ..Listener::tcp(loopback())
        })
    }
}

#[tokio::test]
async fn a_proxy_header_says_where_the_client_is() {
    for arrives_with in [ProxyHeader::Optional, ProxyHeader::Required] {
        let mut side = Side::new(behind(arrives_with));
        let app = App::new().await;
        let mut client = side.client().await;
        send(&mut client, "PROXY TCP4 203.0.113.7 192.0.2.1 1234").await;
        send(&mut client, " 80\r\nhello").await;
        let entering = side.admit(&app).await;
        assert_eq!(entering.source, "203.0.113.7:1234".parse().unwrap());
        let mut server = app.accept().await;
        expect(&mut server, "hello").await;
        drop((client, server));
        assert_eq!(side.left().await, entering.path);
        assert_eq!(entering.traffic.moved().from_user_bytes, 5);
    }
}

#[tokio::test]
async fn a_proxy_header_with_a_user_names_the_user() {
    let mut side = Side::new(behind(ProxyHeader::Required));
    let mut client = side.client().await;
    client.write_all(&header_of(Some("alice"))).await.unwrap();
    let entering = side.entering().await;
    assert_eq!(entering.user.unwrap().user(), "alice");
    assert_eq!(entering.source, "203.0.113.7:1234".parse().unwrap());
}

/// A header of version 2 that names `user`.
fn header_of(user: Option<&str>) -> Vec<u8> {
    let mut header = Vec::new();
    let [from, to] = ["203.0.113.7:1234", "192.0.2.1:80"].map(|text| text.parse().unwrap());
    proxy_protocol::write(from, to, user, &mut header);
    header
}

#[tokio::test]
async fn a_user_whom_a_trusted_proxy_names_cannot_say_to_be_another() {
    for (named, line, expected) in [
        (Some("alice"), "USER bob\n", Some("alice")),
        (Some("alice"), "no line", Some("alice")),
        (Some("no name"), "USER bob\n", None),
        (Some(""), "USER bob\n", None),
        (None, "USER bob\n", Some("bob")),
    ] {
        let mut settings = behind(ProxyHeader::Required);
        settings.listeners[0].carries = Carries::Tcp {
            first_word: Some("USER".into()),
        };
        let (mut side, app) = (Side::new(settings), App::new().await);
        let mut client = side.client().await;
        client.write_all(&header_of(named)).await.unwrap();
        send(&mut client, line).await;
        let user = side.admit(&app).await.user;
        let user = user.as_ref().map(presently_sip::Aor::user);
        assert_eq!(user, expected, "{named:?} {line:?}");
        expect(&mut app.accept().await, line).await;
    }
}

#[tokio::test]
async fn a_client_that_is_gone_while_it_waits_has_left() {
    // It has said nothing and closes; it has, and resets.
    for (settings, line) in [
        (with(Listener::tcp(loopback())), ""),
        (named(), "USER alice\nmore"),
    ] {
        let mut side = Side::new(settings);
        let mut client = side.client().await;
        send(&mut client, line).await;
        let path = side.entering().await.path;
        if !line.is_empty() {
            client.set_zero_linger().unwrap();
        }
        drop(client);
        assert_eq!(side.left().await, path, "{line:?}");
    }
}

#[tokio::test]
async fn a_client_that_has_said_all_and_waits_is_served() {
    for settings in [with(Listener::tcp(loopback())), named()] {
        let (mut side, app) = (Side::new(settings), App::new().await);
        let mut client = side.client().await;
        send(&mut client, "USER alice\n").await;
        client.shutdown().await.unwrap();
        side.admit(&app).await;
        let mut server = app.accept().await;
        expect(&mut server, "USER alice\n").await;
        assert!(is_closed(&mut server).await);
        send(&mut server, "answer").await;
        expect(&mut client, "answer").await;
    }
}

#[tokio::test]
async fn bytes_without_a_proxy_header_are_the_clients_where_it_is_optional() {
    let mut side = Side::new(behind(ProxyHeader::Optional));
    let app = App::new().await;
    let mut client = side.client().await;
    send(&mut client, "PRO").await;
    send(&mut client, "GRESS").await;
    let entering = side.admit(&app).await;
    assert_eq!(entering.source, client.local_addr().unwrap());
    expect(&mut app.accept().await, "PROGRESS").await;
}

#[tokio::test]
async fn where_a_proxy_header_is_required_all_else_is_closed() {
    let required = Listener {
        arrives_with: ProxyHeader::Required,
        ..Listener::tcp(loopback())
    };
    let header = "PROXY TCP4 203.0.113.7 192.0.2.1 1234 80\r\n";
    for (settings, bytes) in [
        (behind(ProxyHeader::Required), "hello, hello"),
        (behind(ProxyHeader::Required), "PROXY TCP4 nonsense\r\n"),
        (with(required), header),
    ] {
        let mut side = Side::new(settings);
        let mut client = side.client().await;
        send(&mut client, bytes).await;
        assert!(is_closed(&mut client).await, "{bytes}");
        assert!(side.asks_nothing());
    }
}

#[tokio::test]
async fn a_server_is_told_where_the_client_is_and_who() {
    let mut settings = named();
    settings.listeners[0].is_announced = true;
    let (mut side, app) = (Side::new(settings), App::new().await);
    let mut client = side.client().await;
    send(&mut client, "USER alice s1\n").await;
    side.admit(&app).await;
    let mut expected = Vec::new();
    let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    proxy_protocol::write(from, to, Some("alice"), &mut expected);
    expected.extend_from_slice(b"USER alice s1\n");
    let mut received = vec![0; expected.len()];
    within(app.accept().await.read_exact(&mut received))
        .await
        .unwrap();
    assert_eq!(received, expected);
}

#[tokio::test]
async fn a_user_who_is_named_and_not_believed_is_told_from_none() {
    for (settings, opening, expected) in [
        (named(), b"USER no@name\n".to_vec(), true),
        (named(), b"USER\n".to_vec(), true),
        (named(), b"hello\n".to_vec(), false),
        (
            behind(ProxyHeader::Required),
            header_of(Some("no name")),
            true,
        ),
        (behind(ProxyHeader::Required), header_of(None), false),
    ] {
        let mut side = Side::new(settings);
        let mut client = side.client().await;
        client.write_all(&opening).await.unwrap();
        let Asked::Enter {
            entering,
            is_refused,
        } = side.asked().await
        else {
            panic!("it asks");
        };
        assert_eq!((entering.user, is_refused), (None, expected), "{opening:?}");
    }
}
