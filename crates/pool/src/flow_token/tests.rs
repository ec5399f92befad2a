//! Goal: a token names one flow, and only the pool can make one.
//! Method: exact bytes, alterations of every letter, and round trips both ways.

use proptest::prelude::*;

use super::*;

fn key() -> MacKey {
    MacKey::new([7; 16])
}

fn token() -> FlowToken {
    FlowToken {
        balancer: MemberId(3),
        flow: Flow::udp(1, "192.0.2.1:5060".parse().unwrap()),
    }
}

fn text(token: &FlowToken, key: &MacKey) -> String {
    let mut text = String::new();
    token.encode(key, &mut text);
    text
}

#[test]
fn a_token_has_these_bytes() {
    let mut bytes = Vec::new();
    token().write_bytes(&mut bytes);
    assert_eq!(bytes, [0, 1, 0, 0, 0, 3, 192, 0, 2, 1, 0x13, 0xc4]);
    let stream = Flow {
        protocol: Protocol::Tcp,
        remote: "[2001:db8::1]:5060".parse().unwrap(),
        slot: 5,
        generation: 6,
        ..token().flow
    };
    bytes.clear();
    FlowToken {
        flow: stream,
        ..token()
    }
    .write_bytes(&mut bytes);
    assert_eq!(
        bytes,
        [
            3, 1, 0, 0, 0, 3, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x13, 0xc4,
            0, 0, 0, 5, 0, 0, 0, 6
        ]
    );
}

#[test]
fn a_token_is_short_and_can_stand_anywhere_in_a_message() {
    let text = text(&token(), &key());
    assert_eq!(text.len(), 32);
    assert!(
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    );
}

#[test]
fn an_altered_token_is_refused() {
    let text = text(&token(), &key());
    assert_eq!(FlowToken::decode(&text, &key()), Some(token()));
    for place in 0..text.len() {
        let mut altered = text.clone().into_bytes();
        altered[place] = if altered[place] == b'a' { b'b' } else { b'a' };
        let altered = String::from_utf8(altered).unwrap();
        assert_eq!(FlowToken::decode(&altered, &key()), None, "letter {place}");
        assert_eq!(
            FlowToken::decode(&text[..place], &key()),
            None,
            "cut at {place}"
        );
    }
    assert_eq!(FlowToken::decode(&format!("{text}a"), &key()), None);
    assert_eq!(
        FlowToken::decode(&text.to_uppercase(), &key()),
        Some(token()),
        "hosts and branches are compared in either case"
    );
    assert_eq!(
        FlowToken::decode(&text, &MacKey::new([8; 16])),
        None,
        "another key"
    );
    assert_eq!(
        FlowToken::decode(&"a".repeat(1 << 16), &key()),
        None,
        "too long"
    );
}

proptest! {
    #[test]
    fn what_is_encoded_decodes(
        balancer: u32, listener: u8, ip: std::net::IpAddr, port: u16, scope: u32,
        slot: u32, generation: u32, stream: bool,
    ) {
        let mut remote = SocketAddr::new(ip, port);
        if let SocketAddr::V6(address) = &mut remote {
            address.set_scope_id(scope);
        }
        let mut flow = Flow::udp(listener, remote);
        if stream {
            flow = Flow { protocol: Protocol::Tcp, slot, generation, ..flow };
        }
        let token = FlowToken { balancer: MemberId(balancer), flow };
        prop_assert_eq!(FlowToken::decode(&text(&token, &key()), &key()), Some(token));
        let mut bytes = Vec::new();
        token.write_bytes(&mut bytes);
        bytes.push(9);
        prop_assert_eq!(FlowToken::read_bytes(&bytes), Some((token, &[9][..])));
    }

    #[test]
    fn what_is_read_is_written_the_same(bytes: Vec<u8>) {
        if let Some((token, rest)) = FlowToken::read_bytes(&bytes) {
            let mut again = Vec::new();
            token.write_bytes(&mut again);
            again.extend_from_slice(rest);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn no_text_makes_decoding_panic(text: String) {
        prop_assert_eq!(FlowToken::decode(&text, &key()), None);
    }
}
