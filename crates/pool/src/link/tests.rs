//! Goal: a link opens between the two members that share a key, and between nobody else.
//! Method: both sides in memory, in any segmentation; each forgery the network could try.

use proptest::prelude::*;

use super::*;

const BALANCER: Membership = member(1, 100);
const SERVER: Membership = member(2, 200);

fn key() -> MacKey {
    MacKey::new([7; 16])
}

const fn member(id: u32, incarnation: u64) -> Membership {
    Membership {
        member: MemberId(id),
        incarnation: Incarnation(incarnation),
    }
}

/// An opener with its hello, calling the server.
fn opener(key: MacKey, nonce: u8) -> (Handshake, Vec<u8>) {
    let mut out = Vec::new();
    let side = Handshake::open(BALANCER, SERVER.member, key, [nonce; 16], &mut out);
    (side, out)
}

fn acceptor(key: MacKey, nonce: u8) -> Handshake {
    Handshake::accept(SERVER, key, [nonce; 16])
}

/// Feeds all of `bytes`; returns what came of it and what is to be sent.
fn feed(side: &mut Handshake, bytes: &[u8]) -> (Result<LinkProgress, LinkRefused>, Vec<u8>) {
    let mut out = Vec::new();
    (side.handle_bytes(bytes, &mut out), out)
}

fn established(peer: Membership, taken: usize) -> LinkProgress {
    LinkProgress::Established { peer, taken }
}

#[test]
fn two_members_of_a_pool_find_each_other() {
    let (mut balancer, hello) = opener(key(), 1);
    let mut server = acceptor(key(), 2);
    let (progress, answer) = feed(&mut server, &hello);
    assert_eq!(progress, Ok(LinkProgress::Waiting));
    let (progress, proof) = feed(&mut balancer, &answer);
    assert_eq!(progress, Ok(established(SERVER, 51)));
    let mut with_sip = proof.clone();
    with_sip.extend_from_slice(b"REGISTER sip:example.com SIP/2.0\r\n");
    let (progress, nothing) = feed(&mut server, &with_sip);
    assert_eq!(progress, Ok(established(BALANCER, 8)));
    assert!(nothing.is_empty());
}

#[test]
fn a_hello_has_these_bytes() {
    let (_, hello) = opener(key(), 9);
    let mut expected = b"presently link\x01\0\0\0\x01\0\0\0\0\0\0\0\x64".to_vec();
    expected.extend_from_slice(&[9; 16]);
    assert_eq!(hello, expected);
}

#[test]
fn another_pool_is_refused_by_both_sides() {
    let (mut balancer, hello) = opener(MacKey::new([8; 16]), 1);
    let mut server = acceptor(key(), 2);
    let (_, answer) = feed(&mut server, &hello);
    assert_eq!(feed(&mut balancer, &answer).0, Err(LinkRefused::Proof));
    // A caller that does not check the server still cannot pass itself.
    assert_eq!(feed(&mut server, &[0; 8]).0, Err(LinkRefused::Proof));
}

#[test]
fn a_proof_heard_before_is_refused() {
    let (mut balancer, hello) = opener(key(), 1);
    let (_, answer) = feed(&mut acceptor(key(), 2), &hello);
    let (_, proof) = feed(&mut balancer, &answer);
    // The same hello and proof again, to a server that drew another nonce.
    let mut server = acceptor(key(), 3);
    assert_eq!(feed(&mut server, &hello).0, Ok(LinkProgress::Waiting));
    assert_eq!(feed(&mut server, &proof).0, Err(LinkRefused::Proof));
    // The server's whole answer again, to a balancer that drew another nonce.
    let (mut balancer, _) = opener(key(), 4);
    assert_eq!(feed(&mut balancer, &answer).0, Err(LinkRefused::Proof));
}

#[test]
fn what_is_sent_back_is_refused() {
    let (mut balancer, hello) = opener(key(), 1);
    assert_eq!(
        feed(&mut balancer, &hello).0,
        Err(LinkRefused::Member(BALANCER.member))
    );
    // A hello of another name and the server's own proof sent back.
    let mut server = acceptor(key(), 2);
    let (_, hello) = opener(key(), 2);
    let (_, answer) = feed(&mut server, &hello);
    assert_eq!(feed(&mut server, &answer[43..]).0, Err(LinkRefused::Proof));
}

#[test]
fn another_member_than_the_one_called_is_refused() {
    let (mut balancer, hello) = opener(key(), 1);
    let mut other = Handshake::accept(member(3, 300), key(), [2; 16]);
    let (_, answer) = feed(&mut other, &hello);
    assert_eq!(
        feed(&mut balancer, &answer).0,
        Err(LinkRefused::Member(MemberId(3)))
    );
}

#[test]
fn an_incarnation_altered_on_the_way_is_refused() {
    let (mut balancer, hello) = opener(key(), 1);
    let mut server = acceptor(key(), 2);
    let (_, mut answer) = feed(&mut server, &hello);
    answer[26] ^= 1;
    assert_eq!(feed(&mut balancer, &answer).0, Err(LinkRefused::Proof));
}

#[test]
fn a_stranger_is_seen_at_its_first_wrong_byte() {
    let table: [(&[u8], LinkRefused); 4] = [
        (b"R", LinkRefused::Stranger),
        (b"presently l1", LinkRefused::Stranger),
        (b"\r\n\r\n", LinkRefused::Stranger),
        (b"presently link\x02", LinkRefused::Version(2)),
    ];
    for (bytes, refused) in table {
        let (progress, out) = feed(&mut acceptor(key(), 2), bytes);
        assert_eq!(progress, Err(refused), "{bytes:?}");
        assert!(out.is_empty(), "a stranger is told nothing");
    }
}

#[test]
fn a_truncated_handshake_only_waits() {
    let (_, hello) = opener(key(), 1);
    for cut in 0..hello.len() {
        let (progress, out) = feed(&mut acceptor(key(), 2), &hello[..cut]);
        assert_eq!(
            (progress, out.len()),
            (Ok(LinkProgress::Waiting), 0),
            "cut at {cut}"
        );
    }
}

proptest! {
    #[test]
    fn segments_make_no_difference(cut in 1_usize..60) {
        let (mut balancer, mut to_server) = opener(key(), 1);
        let mut server = acceptor(key(), 2);
        let mut found = [None, None];
        for _ in 0..3 {
            let mut to_balancer = Vec::new();
            for piece in to_server.chunks(cut) {
                if let LinkProgress::Established { peer, .. } =
                    server.handle_bytes(piece, &mut to_balancer).unwrap() {
                    found[0] = Some(peer);
                }
            }
            to_server.clear();
            for piece in to_balancer.chunks(cut) {
                if let LinkProgress::Established { peer, .. } =
                    balancer.handle_bytes(piece, &mut to_server).unwrap() {
                    found[1] = Some(peer);
                }
            }
        }
        prop_assert_eq!(found, [Some(BALANCER), Some(SERVER)]);
    }

    #[test]
    fn no_bytes_establish_a_link_without_the_key(bytes: Vec<u8>, hello: bool) {
        let mut server = acceptor(key(), 2);
        if hello {
            let (_, hello) = opener(key(), 1);
            feed(&mut server, &hello).0.unwrap();
        }
        let progress = feed(&mut server, &bytes).0;
        let is_established = matches!(progress, Ok(LinkProgress::Established { .. }));
        prop_assert!(!is_established);
    }
}
