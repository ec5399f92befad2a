//! Goal: whoever takes many places takes nobody else's.
//! Method: real connections on loopback, and tables with few places.

use std::net::SocketAddr;

use super::side::{Side, is_closed, loopback, message, phone};
use crate::{Limits, Listen};
use presently_sip::Protocol;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

#[tokio::test]
async fn a_full_table_closes_the_oldest_silent_peer_and_keeps_those_that_spoke() {
    let limits = Limits {
        connections: 3,
        ..Limits::default()
    };
    let mut side = Side::tcp(limits);
    let mut spoken = Vec::new();
    for at in 0..2 {
        let mut one = phone(&side).await;
        one.write_all(&message("here")).await.unwrap();
        side.until(|side| side.messages.len() == at + 1).await;
        spoken.push(one);
    }
    let mut oldest = phone(&side).await;
    side.rest(20).await;
    let mut third = phone(&side).await;
    side.until(|side| side.closed.len() == 1).await;
    assert!(is_closed(&mut oldest).await);
    third.write_all(&message("here")).await.unwrap();
    side.until(|side| side.messages.len() == 3).await;
    // All have spoken: the next is refused.
    let mut late = phone(&side).await;
    side.rest(20).await;
    assert!(is_closed(&mut late).await);
    assert_eq!(side.transport.connections(), 3);
    let counters = side.transport.counters();
    assert_eq!((counters.evicted, counters.refused), (1, 1));
    assert_eq!(side.closed.len(), 1);
}

#[tokio::test]
async fn an_address_has_no_more_connections_than_its_share() {
    let limits = Limits {
        per_source: 2,
        ..Limits::default()
    };
    let listeners = [
        Listen::sip(Protocol::Tcp, loopback()),
        Listen::raw(loopback()),
    ];
    let mut side = Side::new(&listeners, limits);
    let mut phones = Vec::new();
    for at in 0..2 {
        let mut one = phone(&side).await;
        one.write_all(&message("here")).await.unwrap();
        side.until(|side| side.messages.len() == at + 1).await;
        phones.push(one);
    }
    let mut third = phone(&side).await;
    side.rest(20).await;
    assert!(is_closed(&mut third).await);
    let counters = side.transport.counters();
    assert_eq!((counters.accepted, counters.crowded), (2, 1));
    // Neither what we open nor what members open is of that share, and neither takes of it.
    let far = TcpListener::bind(loopback()).await.unwrap();
    let ours = side
        .transport
        .connect(side.now, 0, far.local_addr().unwrap());
    for _ in 0..3 {
        let mut member = TcpStream::connect(side.addresses[1]).await.unwrap();
        member.write_all(b"hello").await.unwrap();
        let heard = side.raw.len();
        side.until(|side| side.raw.len() > heard).await;
        side.transport.close(side.raw[heard].0);
    }
    side.transport.close(ours);
    // Another address has its own, and one that has left makes room for one.
    let from = SocketAddr::from(([127, 0, 0, 2], 0));
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from).unwrap();
    let mut other = socket.connect(side.addresses[0]).await.unwrap();
    other.write_all(&message("other")).await.unwrap();
    side.until(|side| side.messages.len() == 3).await;
    side.transport.close(side.messages[0].0);
    for is_taken in [true, false] {
        let mut next = phone(&side).await;
        let _ = next.write_all(&message("next")).await;
        side.rest(20).await;
        assert_eq!(side.messages.len(), 4);
        assert_eq!(side.transport.counters().crowded == 1, is_taken);
        phones.push(next);
    }
}

#[tokio::test]
async fn what_is_framed_and_no_sip_keeps_no_place() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let mut side = Side::tcp(limits);
    let mut stranger = phone(&side).await;
    let framed = b"x\r\nContent-Length: 0\r\n\r\n";
    stranger.write_all(framed).await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    let mut good = phone(&side).await;
    good.write_all(&message("good")).await.unwrap();
    side.until(|side| side.messages.len() == 2).await;
    assert!(is_closed(&mut stranger).await);
    assert_eq!(side.transport.counters().evicted, 1);
    let mut late = phone(&side).await;
    side.rest(20).await;
    assert!(is_closed(&mut late).await);
    assert_eq!(side.transport.counters().refused, 1);
}
