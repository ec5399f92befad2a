//! Where a stream is cut, and where it ends.

use super::super::tests::REGISTER;
use super::*;

/// Cuts `text` whole and tells how it ended.
fn cut(text: &[u8]) -> (usize, Option<ReadError>) {
    let (mut stream, mut pings, mut messages) = (Stream::default(), 0, 0);
    stream.push(text);
    loop {
        match stream.next_message(&mut pings) {
            Ok(Some(_)) => messages += 1,
            Ok(None) => return (messages, None),
            Err(error) => {
                assert_eq!(
                    stream.next_message(&mut pings),
                    Err(error),
                    "an error is the end"
                );
                return (messages, Some(error));
            }
        }
    }
}

#[test]
fn a_stream_ends_where_framing_is_lost() {
    let table = [
        (String::new(), 1, None),
        (
            REGISTER.replace("Content-Length: 0\r\n", ""),
            1,
            Some(ReadError::Syntax),
        ),
        (
            REGISTER.replace("Length: 0", "Length: x"),
            1,
            Some(ReadError::Syntax),
        ),
        (
            REGISTER.replace("Length: 0", "Length: 0\r\nl: 1"),
            1,
            Some(ReadError::Syntax),
        ),
        (
            REGISTER.replace("Length: 0", "Length: 65537"),
            1,
            Some(ReadError::Limit),
        ),
        (
            REGISTER.replace("Length: 0", "Length:\r\n 0\r\n\t"),
            2,
            None,
        ),
        (
            REGISTER.replace("Via", "X: a\rb\r\nVia"),
            1,
            Some(ReadError::Syntax),
        ),
        ("a".repeat(HEAD_MAX), 1, None), // it may still end
        ("a".repeat(HEAD_MAX + 1), 1, Some(ReadError::Limit)),
    ];
    for (second, messages, error) in table {
        let text = format!("{REGISTER}{second}");
        assert_eq!(cut(text.as_bytes()), (messages, error), "{second}");
    }
}

#[test]
fn a_stream_holds_no_more_than_it_says() {
    let whole =
        REGISTER.replace("Length: 0", &format!("Length: {BODY_MAX}")) + &"x".repeat(BODY_MAX);
    assert_eq!(cut(whole.as_bytes()), (1, None));
    let too_much = REGISTER.repeat(BUFFER_MAX / REGISTER.len() + 1);
    assert_eq!(cut(too_much.as_bytes()), (0, Some(ReadError::Limit)));
    let (mut stream, mut pings) = (Stream::default(), 0);
    stream.push(REGISTER.as_bytes());
    stream.push(&vec![b'a'; BUFFER_MAX]);
    assert!(stream.next_message(&mut pings).unwrap().is_some());
    assert_eq!(stream.next_message(&mut pings), Err(ReadError::Limit));
}

#[test]
fn a_stream_is_cut_in_any_segmentation() {
    let text = format!("\r\n\r\n{REGISTER}\r\n\r\n{REGISTER}");
    for size in 1..text.len() {
        let (mut stream, mut pings, mut messages) = (Stream::default(), 0, 0);
        for segment in text.as_bytes().chunks(size) {
            stream.push(segment);
            while let Some(message) = stream.next_message(&mut pings).unwrap() {
                assert_eq!(message, REGISTER);
                messages += 1;
            }
        }
        assert_eq!((messages, pings), (2, 2), "in pieces of {size}");
    }
}
