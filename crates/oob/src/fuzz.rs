//! What a fuzzer calls, and what `cargo test` runs over a corpus.

use presently_pool::{Incarnation, MemberId, Membership};
use presently_sip::{MacKey, Moment};

use crate::{Frame, FrameKind, FrameWriter, Header, Links, Outputs};

/// Any datagram: nothing panics, what reads is written to the same bytes, and what follows a header
/// that is authentic reaches the machine too.
pub fn datagram(bytes: &[u8]) {
    read(bytes);
    for kind in [FrameKind::Control, FrameKind::Signals] {
        let signed = signed(kind, bytes);
        read(&signed);
        deliver(&signed);
    }
    deliver(bytes);
}

fn read(bytes: &[u8]) {
    let key = key();
    let Ok(frame) = Frame::open(bytes, &key) else {
        return;
    };
    let mut again = Vec::new();
    let mut writer = FrameWriter::begin(&key, &frame.header(), &mut again);
    for item in frame.items() {
        let Ok(item) = item else { return };
        assert!(writer.push(&item), "what was read fits: {item:?}");
    }
    writer.seal();
    assert_eq!(again, bytes, "what reads is written to the same bytes");
}

fn deliver(bytes: &[u8]) {
    let mut links = Links::new(membership(2), key());
    let mut out = Outputs::default();
    let address = ([127, 0, 0, 1], 1).into();
    links.set_peers(Moment(0), &[(membership(1), address)]);
    links.handle_datagram(Moment(0), bytes, address, &mut out);
    for _ in 0..50 {
        let now = links.poll_timeout().expect("there is a peer");
        links.handle_timeout(now, &mut out);
        links.flush(now, &mut out);
    }
}

/// A frame of our peer's whose items are `bytes`.
fn signed(kind: FrameKind, bytes: &[u8]) -> Vec<u8> {
    let header = Header {
        kind,
        sender: membership(1),
        receiver: MemberId(2),
        sequence: 7,
    };
    let (mut out, key) = (Vec::new(), key());
    FrameWriter::begin(&key, &header, &mut out).seal_raw(bytes);
    out
}

fn membership(id: u32) -> Membership {
    Membership {
        member: MemberId(id),
        incarnation: Incarnation(1),
    }
}

fn key() -> MacKey {
    MacKey::new([0; 16])
}
