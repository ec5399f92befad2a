//! What must hold for any bytes: the fuzz targets call these, and so do tests over the corpus.
//! Not part of the API.

use crate::{
    Aor, CSeq, Date, Edits, Framing, Index, MacKey, Message, Name, NameAddr, Params, Response,
    Stream, Uri, Via, request_key,
};

/// Any datagram: reading never panics; what is written of a message reads as the same message; an
/// answer to it can be read.
///
/// # Panics
///
/// One of these does not hold.
pub fn message(bytes: &[u8]) {
    let mut index = Index::default();
    let Ok(message) = index.read(bytes, Framing::Datagram) else {
        return;
    };
    values(&message);
    if message.defect().is_some() {
        answer(&message, 400);
        return;
    }
    forward(&message);
    answer(&message, 200);
}

/// Any bytes of a connection, in pieces whose sizes they say themselves: what is cut does not
/// depend on the pieces, each message cut is whole, and no more is held back than promised.
///
/// # Panics
///
/// One of these does not hold.
pub fn stream(bytes: &[u8]) {
    let size = bytes.first().map_or(1, |size| usize::from(*size) + 1);
    let whole = cut(bytes, bytes.len().max(1));
    let pieces = cut(bytes, size);
    assert_eq!(whole, pieces, "cut otherwise in pieces of {size}");
}

fn cut(bytes: &[u8], size: usize) -> (Vec<bytes::Bytes>, usize, bool) {
    let (mut stream, mut messages, mut pings) = (Stream::default(), Vec::new(), 0);
    for piece in bytes.chunks(size) {
        stream.push(piece);
        loop {
            match stream.next_message(&mut pings) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, pings, true),
            }
        }
    }
    for message in &messages {
        let mut index = Index::default();
        if let Ok(message) = index.read(message, Framing::Stream) {
            assert_ne!(
                message.defect(),
                Some(crate::Defect::ContentLength),
                "{}",
                message.bytes().escape_ascii()
            );
        }
    }
    (messages, pings, false)
}

/// Asks for every value there is.
fn values(message: &Message<'_>) {
    for (name, _, value) in message.headers() {
        let Ok(text) = std::str::from_utf8(value) else {
            continue;
        };
        let _ = (CSeq::parse(text), Date::parse(text), message.number(name));
        for value in message.values(name) {
            params(Via::parse(value).map_or(Params(value), |via| via.params));
            if let Some(address) = NameAddr::parse(value) {
                params(address.params);
                uri(address.uri);
            }
        }
    }
    let _ = request_key(message, &MacKey::new([0; 16]));
}

fn params(params: Params<'_>) {
    for (name, _) in params.iter() {
        assert!(params.has(name));
        let _ = params.unquoted(name);
    }
}

fn uri(text: &str) {
    let Ok(uri) = Uri::parse(text) else {
        return;
    };
    params(uri.params);
    assert!(uri.is_equal(&uri), "{text} equals itself");
    if let Ok(aor) = Aor::from_uri(&uri, &[5060]) {
        let written = aor.to_string();
        assert_eq!(Aor::parse(&written).as_ref(), Ok(&aor), "{text}");
        assert_eq!(Aor::from_key(aor.as_str()).as_ref(), Ok(&aor), "{text}");
    }
}

fn forward(message: &Message<'_>) {
    let edits = Edits {
        via: Some("SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKfuzz"),
        source: Some(([198, 51, 100, 7], 5071).into()),
        routes_removed: 1,
        max_forwards: Some(69),
        ..Edits::default()
    };
    let mut out = Vec::new();
    edits.write(message, &mut out);
    let mut index = Index::default();
    let again = index.read(&out, Framing::Stream);
    let again = again.expect("what is written can be read");
    assert_eq!(again.defect(), None);
    assert_eq!(again.body(), message.body());
    assert_eq!(again.call_id(), message.call_id());
    assert_eq!(again.number(Name::MaxForwards), Some(69));
    let counts = |name| (again.values(name).count(), message.values(name).count());
    let (after, before) = counts(Name::Via);
    assert_eq!(after, before + 1);
    let (after, before) = counts(Name::Route);
    assert_eq!(after, before.saturating_sub(1));
}

fn answer(message: &Message<'_>, status: u16) {
    let mut out = Vec::new();
    Response::to(&mut out, message, &Edits::default(), status, "tag").end();
    let mut index = Index::default();
    let answer = index.read(&out, Framing::Stream);
    let answer = answer.expect("an answer can be read");
    assert_eq!(answer.body(), b"");
    assert_eq!(
        answer.header(Name::Via).is_some(),
        message.header(Name::Via).is_some()
    );
}
