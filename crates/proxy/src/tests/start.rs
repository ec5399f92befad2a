//! Who may listen where.

use std::io;
use std::net::SocketAddr;

use crate::{Listener, Settings, StartError};
use tokio::net::TcpStream;

use crate::tests::side::{App, Side, get, head, is_closed, ok, send, with, within};

/// Where a start failed since somebody listens there.
fn taken(started: Result<Side, StartError>) -> SocketAddr {
    match started.err() {
        Some(StartError::Listen { address, source }) => {
            assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
            address
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_second_proxy_at_the_address_of_a_first_does_not_start() {
    let first = Side::http();
    let address = first.proxy.addresses()[0];
    let second = Side::start(with(Listener::http(address)));
    assert_eq!(taken(second), address);
    let everywhere = SocketAddr::from(([0, 0, 0, 0], address.port()));
    assert_eq!(
        taken(Side::start(with(Listener::http(everywhere)))),
        everywhere
    );
}

#[tokio::test]
async fn two_listeners_have_two_addresses() {
    let free = App::new().await.address();
    let twice = Settings {
        listeners: vec![Listener::http(free), Listener::tcp(free)],
        ..Settings::default()
    };
    assert_eq!(taken(Side::start(twice)), free);
}

#[tokio::test]
async fn a_proxy_starts_again_at_once_beside_the_connections_of_the_one_before() {
    let (mut side, app) = (Side::http(), App::new().await);
    let address = side.proxy.addresses()[0];
    let mut busy = side.client().await;
    send(&mut busy, &get("/", "alice")).await;
    side.admit(&app).await;
    let mut server = app.accept().await;
    head(&mut server).await;
    let mut idle = side.client().await;
    side.proxy.stop();
    // Closed by our end, which lingers then.
    assert!(is_closed(&mut idle).await);
    while TcpStream::connect(address).await.is_ok() {}
    let next = Side::start(with(Listener::http(address))).unwrap();
    assert_eq!(next.proxy.addresses(), [address]);
    send(&mut server, &ok("a")).await;
    assert!(head(&mut busy).await.starts_with("HTTP/1.1 200 "));
    let mut client = next.client().await;
    send(&mut client, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(within(head(&mut client)).await.starts_with("HTTP/1.1 405 "));
}
