//! Goal: datagrams come and go as they are, and what the network says of them stops nothing.
//! Method: real sockets on loopback; waiting has a bound.

use super::side::{Side, loopback, message};
use crate::{BindError, Limits, Listen, Send, Transport};
use presently_sip::{Flow, Protocol};
use tokio::net::UdpSocket;

fn udp() -> Side {
    Side::new(&[Listen::sip(Protocol::Udp, loopback())], Limits::default())
}

#[tokio::test]
async fn a_datagram_is_a_message_and_its_flow_leads_back() {
    let mut side = udp();
    let phone = UdpSocket::bind(loopback()).await.unwrap();
    phone.send_to(b"hello", side.addresses[0]).await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    let flow = Flow::udp(0, phone.local_addr().unwrap());
    assert_eq!(side.messages, [(flow, b"hello".to_vec())]);
    let body = b" body";
    let head = |head| Send { flow, head, body };
    side.transport.send_all(&[head(b"one"), head(b"two")]);
    side.transport.send(flow, b"three", b"");
    let mut buffer = [0; 100];
    for expected in [&b"one body"[..], b"two body", b"three"] {
        let length = phone.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], expected);
    }
    assert_eq!(side.transport.counters().datagrams_sent, 3);
}

#[tokio::test]
async fn ipv6_is_carried_beside_ipv4_on_one_port() {
    let four = Transport::bind(&[Listen::sip(Protocol::Udp, loopback())]).unwrap();
    let port = four.local_addresses().unwrap()[0].port();
    let wildcard = format!("[::]:{port}").parse().unwrap();
    let mut side = Side::new(&[Listen::sip(Protocol::Udp, wildcard)], Limits::default());
    let phone = UdpSocket::bind("[::1]:0").await.unwrap();
    let to = format!("[::1]:{port}");
    phone.send_to(b"hello", to).await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    side.transport.send(side.messages[0].0, b"answer", b"");
    let mut buffer = [0; 100];
    assert_eq!(phone.recv(&mut buffer).await.unwrap(), 6);
}

#[tokio::test]
async fn more_than_a_turn_of_datagrams_arrives_whole() {
    let mut side = udp();
    let phone = UdpSocket::bind(loopback()).await.unwrap();
    for place in 0..300 {
        let text = format!("message {place}");
        phone
            .send_to(text.as_bytes(), side.addresses[0])
            .await
            .unwrap();
    }
    side.until(|side| side.messages.len() == 300).await;
    assert_eq!(side.messages[299].1, b"message 299");
}

#[tokio::test]
async fn keep_alives_and_dead_ends_disturb_nobody() {
    let mut side = udp();
    let gone = UdpSocket::bind(loopback())
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for _ in 0..3 {
        side.transport
            .send(Flow::udp(0, gone), b"nobody is there", b"");
    }
    let phone = UdpSocket::bind(loopback()).await.unwrap();
    let to = side.addresses[0];
    for bytes in [&b"\r\n\r\n"[..], b"", b"\0\0\0\0", b"jaK"] {
        phone.send_to(bytes, to).await.unwrap();
    }
    side.until(|side| side.messages.len() == 1).await;
    assert_eq!(side.messages[0].1, b"jaK");
    assert_eq!(side.transport.counters().pings, 3);
    // No listener has this number, and none is a datagram too long for UDP.
    side.transport.send(Flow::udp(9, to), b"?", b"");
    side.transport
        .send(Flow::udp(0, to), &message(&"x".repeat(70_000)), b"");
    assert_eq!(side.transport.counters().datagrams_refused, 2);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let first = Transport::bind(&[Listen::sip(protocol, loopback())]).unwrap();
        let taken = first.local_addresses().unwrap()[0];
        let error = Transport::bind(&[Listen::sip(protocol, taken)]).unwrap_err();
        assert!(matches!(error, BindError::Taken { address, .. } if address == taken));
        assert_eq!(
            error.to_string(),
            format!("{protocol}:{taken}: already taken")
        );
    }
    let foreign = Listen::sip(Protocol::Udp, "192.0.2.1:5060".parse().unwrap());
    let error = Transport::bind(&[foreign]).unwrap_err();
    assert!(matches!(error, BindError::Foreign { .. }), "{error:?}");
    let many = vec![Listen::sip(Protocol::Udp, loopback()); 256];
    assert!(matches!(Transport::bind(&many), Err(BindError::TooMany)));
}
