//! Goal: the bytes on the wire are what docs/oob-wire.md says, and nothing else is read.
//! Method: exact bytes for each kind, a table of what is refused, round trips both ways.

use presently_sip::Flow;
use proptest::prelude::*;

use super::*;

fn key() -> MacKey {
    MacKey::new([7; 16])
}

fn header(kind: FrameKind) -> Header {
    Header {
        kind,
        sender: Membership {
            member: MemberId(3),
            incarnation: Incarnation(0x0102),
        },
        receiver: MemberId(4),
        sequence: 9,
    }
}

fn frame(kind: FrameKind, items: &[Item<'_>]) -> Vec<u8> {
    let (mut out, key) = (Vec::new(), key());
    let mut writer = FrameWriter::begin(&key, &header(kind), &mut out);
    for item in items {
        assert!(writer.push(item));
    }
    writer.seal();
    out
}

/// The bytes of a frame after its header and before its MAC.
fn item_bytes(item: &Item<'_>) -> Vec<u8> {
    let bytes = frame(FrameKind::Signals, &[*item]);
    bytes[26..bytes.len() - 8].to_vec()
}

fn token() -> FlowToken {
    FlowToken {
        balancer: MemberId(3),
        flow: Flow::udp(1, "192.0.2.1:5060".parse().unwrap()),
    }
}

const WAKE: Item<'static> = Item::Wake {
    aor: "sip:a@b",
    package: "presence",
    version: Version(8),
};

/// The bytes are the contract: this test changes only together with `VERSION`.
#[test]
fn a_header_has_these_bytes() {
    for (kind, byte) in [(FrameKind::Control, 1), (FrameKind::Signals, 2)] {
        let bytes = frame(kind, &[]);
        let expected = [
            1, byte, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 9,
        ];
        assert_eq!(bytes[..26], expected);
        let mac = key().mac64(&[&expected]).to_be_bytes();
        assert_eq!(bytes[26..], mac);
    }
}

/// As above.
#[test]
fn each_item_has_these_bytes() {
    let flow: [u8; 20] = [
        0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 0, 0, 0, 3, 192, 0, 2, 1, 0x13, 0xc4,
    ];
    assert_eq!(
        item_bytes(&WAKE),
        b"\x01\x08\x00\x07\0\0\0\0\0\0\0\x08presencesip:a@b"
    );
    assert_eq!(
        item_bytes(&Item::Heartbeat {
            oldest: 1,
            last: 2,
            clients: 3
        }),
        b"\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03"
    );
    assert_eq!(
        item_bytes(&Item::Repair {
            incarnation: Incarnation(1),
            first: 2,
            last: 3
        }),
        b"\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03"
    );
    assert_eq!(
        item_bytes(&Item::Moved {
            client: "sip:a@b",
            server: MemberId(6),
            epoch: Epoch(7)
        }),
        b"\x04\x00\x07\0\0\0\x06\0\0\0\0\0\0\0\x07sip:a@b"
    );
    let gone = item_bytes(&Item::FlowGone(ClientId(5), token()));
    assert_eq!((gone[0], &gone[1..]), (5, &flow[..]));
    let noted = item_bytes(&Item::FlowGoneAcknowledged(ClientId(5), token()));
    assert_eq!((noted[0], &noted[1..]), (6, &flow[..]));
}

#[test]
fn what_is_no_frame_is_refused() {
    let good = frame(FrameKind::Signals, &[WAKE]);
    assert!(Frame::open(&good, &key()).is_ok());
    let with = |place: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[place] = byte;
        bytes
    };
    let mut no_sequence = good.clone();
    no_sequence[18..26].fill(0);
    let mut late_sequence = good.clone();
    late_sequence[18] = 0x80;
    let table = [
        (vec![], FrameError::Length, "nothing"),
        (good[..33].to_vec(), FrameError::Length, "half a header"),
        (vec![1; 1_201], FrameError::Length, "too long"),
        (with(0, 2), FrameError::Version(2), "another release"),
        (with(1, 3), FrameError::Kind(3), "another kind"),
        (no_sequence, FrameError::Sequence, "a sequence of none"),
        (
            late_sequence,
            FrameError::Sequence,
            "a sequence out of reach",
        ),
        (with(2, 9), FrameError::Forged, "another sender"),
        (with(9, 9), FrameError::Forged, "another receiver"),
        (with(25, 8), FrameError::Forged, "another sequence"),
        (with(40, 0), FrameError::Forged, "another item"),
        (good[..good.len() - 1].to_vec(), FrameError::Forged, "cut"),
    ];
    for (bytes, expected, why) in table {
        assert_eq!(Frame::open(&bytes, &key()).unwrap_err(), expected, "{why}");
    }
    let other = MacKey::new([8; 16]);
    assert_eq!(Frame::open(&good, &other).unwrap_err(), FrameError::Forged);
}

#[test]
fn items_that_cannot_be_read_end_the_frame() {
    let table: [(&[u8], ItemError); 7] = [
        (b"\x00", ItemError::Kind(0)),
        (b"\x07", ItemError::Kind(7)),
        (
            b"\x01\x08\x00\x07\0\0\0\0\0\0\0\x08presence",
            ItemError::Length,
        ),
        (b"\x01\x01\x00\x00\0\0\0\0\0\0\0\x08\xff", ItemError::Text),
        (
            b"\x02\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03",
            ItemError::Length,
        ),
        (
            b"\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02",
            ItemError::Length,
        ),
        (b"\x05\0\0\0\0\0\0\0\x01\xff", ItemError::Length),
    ];
    for (items, expected) in table {
        let (mut out, key) = (Vec::new(), key());
        let writer = FrameWriter::begin(&key, &header(FrameKind::Signals), &mut out);
        writer.seal_raw(items);
        let frame = Frame::open(&out, &key).unwrap();
        let read: Vec<_> = frame.items().collect();
        assert_eq!(read, [Err(expected)], "{items:?}");
    }
}

#[test]
fn an_item_that_does_not_fit_leaves_the_frame_as_it_was() {
    let (mut out, key) = (Vec::new(), key());
    let mut writer = FrameWriter::begin(&key, &header(FrameKind::Signals), &mut out);
    let wake = |aor| Item::Wake {
        aor,
        package: "presence",
        version: Version(1),
    };
    let long = "a".repeat(1_146);
    let longer = format!("{long}a");
    assert!(!writer.push(&wake(&longer)));
    assert!(writer.push(&wake(&long)), "the frame is exactly full");
    assert!(!writer.push(&wake("")));
    assert_eq!(writer.seal(), 0..DATAGRAM_MAX);
    assert_eq!(Frame::open(&out, &key).unwrap().items().count(), 1);
}

#[derive(Clone, Debug)]
enum Owned {
    Flow(u64, u32, std::net::SocketAddr, bool),
    Heartbeat(u64, u64, u64),
    Moved(String, u32, u64),
    Repair(u64, u64, u64),
    Wake(String, String, u64),
}

impl Owned {
    fn item(&self) -> Item<'_> {
        match *self {
            Self::Flow(client, balancer, remote, gone) => {
                let token = FlowToken {
                    balancer: MemberId(balancer),
                    flow: Flow::udp(2, remote),
                };
                if gone {
                    Item::FlowGone(ClientId(client), token)
                } else {
                    Item::FlowGoneAcknowledged(ClientId(client), token)
                }
            }
            Self::Heartbeat(behind, last, clients) => Item::Heartbeat {
                oldest: last - behind % (last + 1) + 1,
                last,
                clients,
            },
            Self::Moved(ref client, server, epoch) => Item::Moved {
                client,
                server: MemberId(server),
                epoch: Epoch(epoch),
            },
            Self::Repair(incarnation, first, more) => Item::Repair {
                incarnation: Incarnation(incarnation),
                first,
                last: first.saturating_add(more),
            },
            Self::Wake(ref aor, ref package, version) => Item::Wake {
                aor,
                package,
                version: Version(version),
            },
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let address = any::<(std::net::IpAddr, u16)>().prop_map(Into::into);
    let text = "\\PC{0,40}";
    prop_oneof![
        (any::<(u64, u32, bool)>(), address)
            .prop_map(|((client, at, gone), remote)| Owned::Flow(client, at, remote, gone)),
        (any::<(u64, u64)>(), 0..1_u64 << 62)
            .prop_map(|((behind, clients), last)| Owned::Heartbeat(behind, last, clients)),
        (text, any::<(u32, u64)>())
            .prop_map(|(client, (server, epoch))| Owned::Moved(client, server, epoch)),
        any::<(u64, u64, u64)>().prop_map(|(of, first, more)| Owned::Repair(of, first, more)),
        (text, "[a-z.]{0,20}", any::<u64>())
            .prop_map(|(aor, package, version)| Owned::Wake(aor, package, version)),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(items in prop::collection::vec(owned(), 0..5)) {
        let items: Vec<_> = items.iter().map(Owned::item).collect();
        let bytes = frame(FrameKind::Control, &items);
        let key = key();
        let frame = Frame::open(&bytes, &key).unwrap();
        prop_assert_eq!(frame.header(), header(FrameKind::Control));
        let read: Result<Vec<_>, _> = frame.items().collect();
        prop_assert_eq!(read, Ok(items));
    }

    /// What reads is written to the same bytes, and nothing panics.
    #[test]
    fn hostile_bytes_are_harmless(bytes: Vec<u8>, items in prop::collection::vec(owned(), 0..3)) {
        crate::fuzz::datagram(&bytes);
        let mut mixed: Vec<u8> = items.iter().flat_map(|item| item_bytes(&item.item())).collect();
        crate::fuzz::datagram(&mixed);
        mixed.extend_from_slice(&bytes);
        crate::fuzz::datagram(&mixed);
    }
}
