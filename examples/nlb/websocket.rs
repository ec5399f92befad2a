//! As much of WebSocket (RFC 6455 §5) as a demo needs: short texts, whole frames.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a frame carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    Close,
    /// A ping, a pong, or something that a demo does not send.
    Other,
    Text(String),
}

/// Reads one frame, masked or not; `None` when the connection has ended.
pub(crate) async fn read(stream: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.ok()?;
    let [first, second] = head;
    let length = match second & 0x7f {
        126 => usize::from(stream.read_u16().await.ok()?),
        // Nobody here sends more.
        127 => return None,
        short => usize::from(short),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        stream.read_exact(&mut mask).await.ok()?;
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Some(match first & 0x0f {
        1 => Frame::Text(String::from_utf8_lossy(&payload).into_owned()),
        8 => Frame::Close,
        _ => Frame::Other,
    })
}

/// Writes `text` as one frame; a client's is masked, as the protocol demands (with zeros, which
/// hide nothing: a demo has no proxies to protect). `None` when the connection has ended.
pub(crate) async fn write(stream: &mut TcpStream, text: &str, is_client: bool) -> Option<()> {
    let length = u8::try_from(text.len())
        .ok()
        .filter(|length| *length < 126)?;
    let mut frame = vec![0x81, length];
    if is_client {
        frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    }
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame).await.ok()
}

/// The answer to a client's key (RFC 6455 §4.2.2).
pub(crate) fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(&sha1(text.as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = chunk
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        group <<= 8 * (3 - chunk.len());
        for place in 0..4 {
            let digit = usize::try_from(group >> (18 - 6 * place) & 63).unwrap_or(0);
            let is_there = place <= chunk.len();
            let letter = ALPHABET.get(digit).copied().filter(|_| is_there);
            text.push(char::from(letter.unwrap_or(b'=')));
        }
    }
    text
}

/// SHA-1 (RFC 3174 §6.1), which the handshake asks for and which protects nothing here.
fn sha1(message: &[u8]) -> Vec<u8> {
    let mut state: [u32; 5] = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];
    let bits = u64::try_from(message.len()).unwrap_or(0) * 8;
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&bits.to_be_bytes());
    for block in padded.chunks_exact(64) {
        let added = rounds(state, &schedule(block));
        for (word, added) in state.iter_mut().zip(added) {
            *word = word.wrapping_add(added);
        }
    }
    state.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn schedule(block: &[u8]) -> Vec<u32> {
    let words = block.chunks_exact(4);
    let words = words.map(|word| {
        word.iter()
            .fold(0, |word, byte| word << 8 | u32::from(*byte))
    });
    let mut schedule: Vec<u32> = words.collect();
    while schedule.len() < 80 {
        let back = |count: usize| schedule.iter().rev().nth(count - 1).copied();
        let of = [3, 8, 14, 16].into_iter().filter_map(back);
        schedule.push(of.fold(0, |word, other| word ^ other).rotate_left(1));
    }
    schedule
}

fn rounds(state: [u32; 5], schedule: &[u32]) -> [u32; 5] {
    let mut held = state;
    for (place, word) in schedule.iter().enumerate() {
        let [one, two, three, four, five] = held;
        let (mixed, constant) = match place {
            0..20 => (two & three | !two & four, 0x5a82_7999),
            20..40 => (two ^ three ^ four, 0x6ed9_eba1),
            40..60 => (two & three | two & four | three & four, 0x8f1b_bcdc),
            _ => (two ^ three ^ four, 0xca62_c1d6_u32),
        };
        let added = [mixed, five, constant, *word].into_iter();
        let next = added.fold(one.rotate_left(5), u32::wrapping_add);
        held = [next, one, two.rotate_left(30), three, four];
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_answers_as_its_rfc_shows() {
        // RFC 6455 §1.3.
        let answer = accept("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
