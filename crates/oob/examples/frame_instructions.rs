//! Reads and authenticates a frame with one wake as often as the first argument says: run it under
//! `valgrind --tool=callgrind` with two counts, and the difference is what one frame costs.

use std::hint::black_box;

use presently_oob::{Frame, FrameKind, FrameWriter, Header, Item};
use presently_pool::{Incarnation, MemberId, Membership, Version};
use presently_sip::MacKey;

fn main() {
    let times: u64 = std::env::args()
        .nth(1)
        .and_then(|times| times.parse().ok())
        .unwrap_or(1_000);
    let key = MacKey::new([7; 16]);
    let header = Header {
        kind: FrameKind::Signals,
        sender: Membership {
            member: MemberId(1),
            incarnation: Incarnation(10),
        },
        receiver: MemberId(2),
        sequence: 1,
    };
    let mut datagram = Vec::new();
    let mut writer = FrameWriter::begin(&key, &header, &mut datagram);
    let is_written = writer.push(&Item::Wake {
        aor: "sip:alice@example.com",
        package: "presence",
        version: Version(8),
    });
    writer.seal();
    assert!(is_written);
    let mut versions = 0;
    for _ in 0..times {
        let Ok(frame) = Frame::open(black_box(&datagram), &key) else {
            continue;
        };
        for item in frame.items() {
            if let Ok(Item::Wake { version, .. }) = black_box(item) {
                versions += version.0;
            }
        }
    }
    println!(
        "{} bytes, {times} frames, {versions} versions",
        datagram.len()
    );
}
