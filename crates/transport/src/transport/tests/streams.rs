//! Goal: streams carry whole messages, and no peer can hurt another or grow without a bound.
//! Method: real connections on loopback, and a clock that the test turns; waiting has a bound.

use std::time::Duration;

use super::side::{Side, is_closed, loopback, message, phone, read};
use crate::{Limits, Listen, NO_LISTENER};
use presently_sip::{Flow, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn bodies(side: &Side) -> Vec<String> {
    let bodies = side.messages.iter().map(|(_, bytes)| {
        let text = String::from_utf8_lossy(bytes);
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    });
    bodies.collect()
}

#[tokio::test]
async fn messages_arrive_whole_in_any_segments() {
    let mut side = Side::tcp(Limits::default());
    let texts = ["one", "", "three and more", "\r\n\r\n"];
    let all: Vec<u8> = texts.iter().flat_map(|text| message(text)).collect();
    for size in [1, 2, 7, 100, all.len()] {
        side.messages.clear();
        let mut phone = phone(&side).await;
        for segment in all.chunks(size) {
            phone.write_all(segment).await.unwrap();
            // A turn for each, so that it is read as it was sent.
            tokio::task::yield_now().await;
            side.rest(0).await;
        }
        side.until(|side| side.messages.len() == texts.len()).await;
        assert_eq!(bodies(&side), texts, "segments of {size}");
    }
}

#[tokio::test]
async fn an_answer_goes_back_by_the_flow_it_came_by() {
    let mut side = Side::tcp(Limits::default());
    let (mut first, mut second) = (phone(&side).await, phone(&side).await);
    first.write_all(&message("first")).await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    second.write_all(&message("second")).await.unwrap();
    side.until(|side| side.messages.len() == 2).await;
    for (flow, _) in side.messages.clone() {
        let to = if flow.remote == first.local_addr().unwrap() {
            "1"
        } else {
            "2"
        };
        side.transport.send(flow, b"to ", to.as_bytes());
    }
    side.rest(10).await;
    assert_eq!(read(&mut first, 4).await, b"to 1");
    assert_eq!(read(&mut second, 4).await, b"to 2");
}

#[tokio::test]
async fn a_ping_between_messages_is_answered_and_a_message_is_not_disturbed() {
    let mut side = Side::tcp(Limits::default());
    let mut phone = phone(&side).await;
    phone.write_all(b"\r\n\r\n").await.unwrap();
    side.rest(20).await;
    assert_eq!(read(&mut phone, 2).await, b"\r\n");
    let mut bytes = message("a");
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend(message("b"));
    phone.write_all(&bytes).await.unwrap();
    side.until(|side| side.messages.len() == 2).await;
    assert_eq!(bodies(&side), ["a", "b"]);
    assert_eq!(read(&mut phone, 2).await, b"\r\n");
    assert_eq!(side.transport.counters().pings, 2);
}

#[tokio::test]
async fn a_peer_that_does_not_read_delays_nobody_and_is_closed() {
    let mut side = Side::tcp(Limits::default());
    let (mut deaf, mut other) = (phone(&side).await, phone(&side).await);
    deaf.write_all(&message("deaf")).await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    other.write_all(&message("other")).await.unwrap();
    side.until(|side| side.messages.len() == 2).await;
    let (deaf_flow, other_flow) = (side.messages[0].0, side.messages[1].0);
    let large = vec![b'x'; 100_000];
    for round in 0..200_u32 {
        side.transport.send(deaf_flow, &large, b"");
        side.transport.send(other_flow, &round.to_be_bytes(), b"");
        side.rest(1).await;
        assert_eq!(read(&mut other, 4).await, round.to_be_bytes());
        if !side.closed.is_empty() {
            break;
        }
    }
    assert_eq!(side.closed, [deaf_flow], "its bound was reached");
    assert_eq!(side.transport.counters().closed_stalled, 1);
}

#[tokio::test]
async fn a_peer_that_stops_reading_is_closed_in_time() {
    let limits = Limits {
        output: 100_000_000,
        ..Limits::default()
    };
    let mut side = Side::tcp(limits);
    let mut deaf = phone(&side).await;
    deaf.write_all(&message("deaf")).await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    let flow = side.messages[0].0;
    side.transport.send(flow, &vec![b'x'; 20_000_000], b"");
    side.rest(20).await;
    side.pass(Duration::from_secs(19)).await;
    assert!(side.closed.is_empty());
    side.pass(Duration::from_secs(3)).await;
    assert_eq!(side.closed, [flow]);
}

#[tokio::test]
async fn what_was_waiting_arrives_whole_once_the_peer_reads() {
    let limits = Limits {
        output: 100_000_000,
        ..Limits::default()
    };
    let mut side = Side::tcp(limits);
    let mut slow = phone(&side).await;
    slow.write_all(&message("slow")).await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    let flow = side.messages[0].0;
    let sent: Vec<u8> = (0..10_000_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    for part in sent.chunks(1_000_000) {
        side.transport.send(flow, part, b"");
    }
    let mut received = vec![0; sent.len()];
    tokio::select! {
        () = side.until(|_| false) => unreachable!(),
        read = slow.read_exact(&mut received) => { read.unwrap(); }
    }
    assert!(received == sent, "not a byte lost or moved");
}

#[tokio::test]
async fn silent_and_slow_peers_are_closed_and_good_ones_stay() {
    let mut side = Side::tcp(Limits::default());
    let mut good = phone(&side).await;
    good.write_all(&message("good")).await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    let good_flow = side.messages[0].0;
    let mut silent = phone(&side).await;
    let mut slow = phone(&side).await;
    slow.write_all(b"REGISTER sip:").await.unwrap();
    silent.write_all(b"\r\n").await.unwrap();
    side.rest(20).await;
    side.pass(Duration::from_secs(19)).await;
    assert_eq!(side.closed.len(), 0);
    // A byte now and then is no message.
    slow.write_all(b"e").await.unwrap();
    side.rest(20).await;
    side.pass(Duration::from_secs(2)).await;
    assert_eq!(side.transport.counters().closed_slow, 1);
    assert!(is_closed(&mut slow).await);
    side.pass(Duration::from_secs(10)).await;
    assert_eq!(side.transport.counters().closed_silent, 1);
    assert!(is_closed(&mut silent).await);
    side.pass(Duration::from_secs(100)).await;
    assert!(!side.closed.contains(&good_flow));
    good.write_all(&message("still here")).await.unwrap();
    side.until(|side| side.messages.len() == 2).await;
}

#[tokio::test]
async fn a_used_slot_never_delivers_to_the_wrong_peer() {
    let mut side = Side::tcp(Limits::default());
    let mut first = phone(&side).await;
    first.write_all(&message("first")).await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    let old = side.messages[0].0;
    drop(first);
    side.rest(20).await;
    side.pass(Duration::from_secs(4)).await;
    assert_eq!(side.closed, [old]);
    let mut second = phone(&side).await;
    second.write_all(&message("second")).await.unwrap();
    side.until(|side| side.messages.len() == 2).await;
    let new = side.messages[1].0;
    assert_eq!(
        (old.slot, old.generation != new.generation),
        (new.slot, true)
    );
    // Neither the old flow, nor one that guesses, reaches the connection.
    side.transport.send(old, b"for the first", b"");
    side.transport.send(
        Flow {
            remote: old.remote,
            ..new
        },
        b"for nobody",
        b"",
    );
    side.transport
        .send(Flow { listener: 9, ..new }, b"for nobody", b"");
    side.transport.send(new, b"for the second", b"");
    side.rest(20).await;
    assert_eq!(read(&mut second, 14).await, b"for the second");
    assert_eq!(side.transport.counters().messages_undeliverable, 3);
    // Whoever wrote by a flow that names nothing is told that it is gone.
    assert_eq!(side.closed.len(), 4);
    assert!(side.closed.contains(&old) && !side.closed.contains(&new));
}

#[tokio::test]
async fn flows_of_two_lives_have_other_names() {
    let mut generations = Vec::new();
    for _ in 0..2 {
        let mut side = Side::tcp(Limits::default());
        let mut phone = phone(&side).await;
        phone.write_all(&message("first")).await.unwrap();
        side.until(|side| side.messages.len() == 1).await;
        generations.push(side.messages[0].0.generation);
    }
    assert_ne!(generations[0], generations[1]);
}

#[tokio::test]
async fn a_half_closed_peer_gets_its_answer_and_then_its_flow_ends() {
    let mut side = Side::tcp(Limits::default());
    let mut phone = phone(&side).await;
    phone.write_all(&message("last words")).await.unwrap();
    phone.shutdown().await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    let flow = side.messages[0].0;
    side.rest(20).await;
    side.transport.send(flow, b"answer", b"");
    side.rest(20).await;
    assert_eq!(read(&mut phone, 6).await, b"answer");
    assert!(side.closed.is_empty());
    side.pass(Duration::from_secs(4)).await;
    assert_eq!(side.closed, [flow]);
}

#[tokio::test]
async fn what_is_no_sip_is_closed() {
    let mut side = Side::tcp(Limits::default());
    let mut stranger = phone(&side).await;
    let no_length = b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n\r\n";
    stranger.write_all(no_length).await.unwrap();
    side.until(|side| side.closed.len() == 1).await;
    assert!(is_closed(&mut stranger).await);
    let mut endless = phone(&side).await;
    let header = vec![b'a'; 1_000_000];
    let _ = tokio::join!(
        endless.write_all(&header),
        side.until(|side| side.closed.len() == 2)
    );
    assert_eq!(side.transport.counters().closed_framing, 2);
}

#[tokio::test]
async fn many_connections_are_served() {
    let mut side = Side::tcp(Limits::default());
    let mut phones = Vec::new();
    for place in 0..300 {
        let mut phone = phone(&side).await;
        phone.write_all(&message(&place.to_string())).await.unwrap();
        phones.push(phone);
        side.rest(1).await;
    }
    side.until(|side| side.messages.len() == 300).await;
    for (flow, _) in side.messages.clone() {
        side.transport.send(flow, b"ok", b"");
    }
    side.rest(20).await;
    for phone in &mut phones {
        assert_eq!(read(phone, 2).await, b"ok");
    }
}

#[tokio::test]
async fn a_connection_of_ours_takes_what_is_sent_before_it_stands() {
    let mut side = Side::tcp(Limits::default());
    let far = TcpListener::bind(loopback()).await.unwrap();
    let to = far.local_addr().unwrap();
    let flow = side.transport.connect(side.now, 0, to);
    side.transport.send(flow, &message("early"), b"");
    assert_eq!(
        side.transport.connect(side.now, 0, to),
        flow,
        "one is enough"
    );
    let accept = async { far.accept().await.unwrap().0 };
    let mut peer = tokio::select! {
        peer = accept => peer,
        () = side.until(|_| false) => unreachable!(),
    };
    side.rest(20).await;
    assert_eq!(
        read(&mut peer, message("early").len()).await,
        message("early")
    );
    peer.write_all(&message("back")).await.unwrap();
    side.until(|side| side.messages.len() == 1).await;
    assert_eq!(side.messages[0].0, flow);
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_is_reported() {
    let mut side = Side::tcp(Limits::default());
    let nobody = TcpListener::bind(loopback()).await.unwrap();
    let to = nobody.local_addr().unwrap();
    drop(nobody);
    let flow = side.transport.connect(side.now, 0, to);
    side.until(|side| !side.closed.is_empty()).await;
    assert_eq!(side.closed, [flow]);
    assert_ne!(
        side.transport.connect(side.now, 0, to),
        flow,
        "the next is another"
    );
}

#[tokio::test]
async fn a_link_begins_with_bytes_and_goes_on_with_messages() {
    let mut server = Side::new(&[Listen::raw(loopback())], Limits::default());
    let mut balancer = Side::tcp(Limits::default());
    let flow = balancer
        .transport
        .connect_raw(balancer.now, server.addresses[0]);
    assert_eq!((flow.listener, flow.protocol), (NO_LISTENER, Protocol::Tcp));
    let mut bytes = b"hello".to_vec();
    bytes.extend(message("behind the hello"));
    balancer.transport.send(flow, &bytes, b"");
    let far = tokio::select! {
        () = balancer.until(|_| false) => unreachable!(),
        () = server.until(|server| !server.raw.is_empty()) => server.raw[0].0,
    };
    let (hello, rest) = server.raw[0].1.split_at(5);
    assert_eq!(hello, b"hello");
    server.transport.start_messages(far, rest);
    server.until(|server| server.messages.len() == 1).await;
    server.transport.send(far, b"welcome", b"");
    server.rest(20).await;
    balancer.until(|balancer| !balancer.raw.is_empty()).await;
    balancer.transport.start_messages(flow, b"");
    server.transport.send(far, &message("from the server"), b"");
    server.rest(20).await;
    balancer
        .until(|balancer| balancer.messages.len() == 1)
        .await;
    // A link that stands is not a silent peer.
    server.pass(Duration::from_secs(100)).await;
    assert!(server.closed.is_empty());
    server.transport.close(far);
    assert_eq!(server.transport.connections(), 0);
    // The other end hears of it at once: what it wrote from then on would be lost.
    balancer.until(|balancer| !balancer.closed.is_empty()).await;
}

#[tokio::test]
async fn a_link_without_a_handshake_is_closed_in_time() {
    let mut server = Side::new(&[Listen::raw(loopback())], Limits::default());
    let mut stranger = TcpStream::connect(server.addresses[0]).await.unwrap();
    server.rest(20).await;
    server.pass(Duration::from_secs(32)).await;
    assert!(is_closed(&mut stranger).await);
    assert_eq!(server.transport.counters().closed_silent, 1);
}

#[tokio::test]
async fn a_member_that_reads_slowly_loses_no_link() {
    let limits = Limits {
        link_output: 1_000_000,
        ..Limits::default()
    };
    let mut server = Side::new(&[Listen::raw(loopback())], limits);
    let mut member = TcpStream::connect(server.addresses[0]).await.unwrap();
    member.write_all(b"hello").await.unwrap();
    server.until(|server| !server.raw.is_empty()).await;
    let flow = server.raw[0].0;
    server.transport.start_messages(flow, b"");
    // All in one turn: nothing is read meanwhile.
    let message = vec![b'x'; 100_000];
    for _ in 0..15 {
        server.transport.send(flow, &message, b"");
    }
    assert_eq!(server.transport.counters().messages_undeliverable, 5);
    let mut received = vec![0; 1_000_000];
    tokio::select! {
        () = server.until(|_| false) => unreachable!(),
        read = member.read_exact(&mut received) => { read.unwrap(); }
    }
    server.transport.send(flow, b"later", b"");
    server.rest(20).await;
    assert_eq!(read(&mut member, 5).await, b"later");
    assert!(server.closed.is_empty());
}
