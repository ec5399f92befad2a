//! Raw TCP.

use presently_nlb::{PathKind, Refusal};
use presently_proxy::{Carries, Listener, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::side::{App, Side, expect, is_closed, loopback, send, with, within};

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
