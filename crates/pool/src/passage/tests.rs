//! Goal: what one member writes the other reads, and nothing else is read.
//! Method: exact texts, a table of texts that are refused, and round trips both ways.

use proptest::prelude::*;

use super::*;

fn full() -> Passage {
    Passage {
        kind: Kind::Marked,
        client: Some((ClientId(7), Aor::parse("sip:alice@example.com").unwrap())),
        epoch: Epoch(12),
        flow: Some(FlowToken {
            balancer: MemberId(3),
            flow: Flow {
                protocol: Protocol::Tcp,
                listener: 1,
                remote: "[2001:db8::1]:5060".parse().unwrap(),
                slot: 17,
                generation: 4,
            },
        }),
        advertised: Some("127.0.0.1:5060;transport=tcp".into()),
    }
}

fn written(passage: &Passage) -> String {
    let mut text = String::new();
    passage.write(&mut text);
    text
}

#[test]
fn a_passage_has_this_text() {
    assert_eq!(
        written(&full()),
        "marked;c=7,sip:alice@example.com;e=12;f=3,tcp,1,[2001:db8::1]:5060,17,4\
         ;a=127.0.0.1:5060%3btransport%3dtcp"
    );
    let bare = Passage {
        kind: Kind::HandBack,
        client: None,
        epoch: Epoch(0),
        flow: None,
        advertised: None,
    };
    assert_eq!(written(&bare), "back;e=0");
}

#[test]
fn only_what_is_written_is_read() {
    let table = [
        ("", "nothing"),
        ("forward", "no epoch"),
        ("Forward;e=1", "another case"),
        ("forward;e=01", "a leading zero"),
        ("forward;e=+1", "a sign"),
        ("forward;e=1;e=1", "a field twice"),
        ("forward;e=1;c=7,sip:a@b", "another order"),
        ("forward;e=1;x=2", "an unknown field"),
        ("forward;e=1;", "an empty field"),
        ("forward; e=1", "white space"),
        ("forward;e=18446744073709551616", "a number too large"),
        (
            "forward;c=7,tel:5;e=1",
            "a client that is no address of record",
        ),
        ("forward;c=7,sip:a@B;e=1", "a client in another spelling"),
        ("forward;e=1;a=%3B", "an escape in upper case"),
        ("forward;e=1;a=%41", "an escape of what needs none"),
        ("forward;e=1;a=%4", "half an escape"),
        ("forward;e=1;a=%ff", "escapes that are no UTF-8"),
        ("forward;e=1;a=b=c", "an unescaped equals sign"),
        (
            "forward;e=1;f=3,udp,0,192.0.2.1:5060,1",
            "a datagram flow with a slot",
        ),
        (
            "forward;e=1;f=3,tcp,0,192.0.2.1:5060,1",
            "a stream flow without a generation",
        ),
        (
            "forward;e=1;f=3,udp,256,192.0.2.1:5060",
            "a listener over the limit",
        ),
        ("forward;e=1;f=3,udp,0,example.com:5060", "a flow to a name"),
    ];
    for (text, why) in table {
        assert_eq!(Passage::read(text), Err(InvalidPassage), "{why}: {text}");
    }
}

#[test]
fn every_byte_of_an_advertised_text_survives() {
    let text: String = (0..=255_u8).map(char::from).collect();
    let passage = Passage {
        advertised: Some(text.into()),
        ..full()
    };
    let line = written(&passage);
    assert!(line.bytes().all(|byte| byte.is_ascii_graphic()), "{line}");
    assert_eq!(Passage::read(&line), Ok(passage));
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from),
    ]
}

fn flows() -> impl Strategy<Value = Flow> {
    let stream = (any::<u8>(), addresses(), any::<u32>(), any::<u32>()).prop_map(
        |(listener, remote, slot, generation)| Flow {
            protocol: Protocol::Tcp,
            listener,
            remote,
            slot,
            generation,
        },
    );
    let datagram = (any::<u8>(), addresses()).prop_map(|(listener, to)| Flow::udp(listener, to));
    prop_oneof![stream, datagram]
}

fn passages() -> impl Strategy<Value = Passage> {
    let clients = (any::<u64>(), "[^\\x00-\\x20\\x7f<>@%]{1,20}").prop_map(|(id, user)| {
        let mut uri = String::from("sip:");
        for byte in user.bytes() {
            write!(uri, "%{byte:02X}").unwrap();
        }
        let aor = Aor::parse(&(uri + "@example.com")).ok()?;
        Some((ClientId(id), aor))
    });
    let kinds = prop_oneof![
        Just(Kind::Forward),
        Just(Kind::HandBack),
        Just(Kind::Marked)
    ];
    let tokens = (any::<u32>(), flows()).prop_map(|(balancer, flow)| FlowToken {
        balancer: MemberId(balancer),
        flow,
    });
    (
        kinds,
        clients,
        any::<u64>(),
        proptest::option::of(tokens),
        proptest::option::of(any::<String>()),
    )
        .prop_map(|(kind, client, epoch, flow, advertised)| Passage {
            kind,
            client,
            epoch: Epoch(epoch),
            flow,
            advertised: advertised.map(Into::into),
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read(passage in passages()) {
        prop_assert_eq!(Passage::read(&written(&passage)), Ok(passage));
    }

    #[test]
    fn what_is_read_is_written_the_same(
        text in "(forward|back|marked)(;[acefx]=[ -~]{0,12}){0,4}",
    ) {
        if let Ok(passage) = Passage::read(&text) {
            prop_assert_eq!(written(&passage), text);
        }
    }

    #[test]
    fn no_text_makes_reading_panic(text: String) {
        let _ = Passage::read(&text);
    }

    #[test]
    fn a_broken_text_never_reads_as_another_spelling(
        passage in passages(), at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f,
    ) {
        let mut bytes = written(&passage).into_bytes();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let text = String::from_utf8(bytes).unwrap();
        if let Ok(passage) = Passage::read(&text) {
            prop_assert_eq!(written(&passage), text);
        }
    }
}
