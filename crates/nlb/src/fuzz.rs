//! What must hold for any bytes: each function can be a fuzz target, and panics when it does
//! not hold. `cargo test` runs it over real documents and mutations of them. Not part of the API.

use crate::{Presence, State};

/// Any body of a NOTIFY: reading it never panics, and what is read agrees with itself.
///
/// # Panics
///
/// It does not.
pub fn presence(body: &[u8]) {
    let Some(presence) = Presence::read(body) else {
        return;
    };
    let is_any_open = presence
        .tuples
        .iter()
        .any(|tuple| tuple.state == State::Open);
    assert_eq!(presence.state() == State::Open, is_any_open);
    for tuple in &presence.tuples {
        let named = [Some(&tuple.id), tuple.contact.as_ref()];
        for device in named.into_iter().flatten() {
            assert!(presence.device_state(device).is_some(), "{device}");
        }
        assert!(presence.newest() >= tuple.timestamp);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CORPUS: [(&[u8], State); 8] = [
        (
            include_bytes!("../../../tests/data/pidf/baresip-closed.xml"),
            State::Closed,
        ),
        (
            include_bytes!("../../../tests/data/pidf/baresip-open.xml"),
            State::Open,
        ),
        (
            include_bytes!("../../../tests/data/pidf/linphone-open.xml"),
            State::Open,
        ),
        (
            include_bytes!("../../../tests/data/pidf/pjsua2-busy.xml"),
            State::Open,
        ),
        (
            include_bytes!("../../../tests/data/pidf/purple-closed.xml"),
            State::Closed,
        ),
        (
            include_bytes!("../../../tests/data/pidf/sipjs-open.xml"),
            State::Open,
        ),
        (
            include_bytes!("../../../tests/data/pidf/sofia-open.xml"),
            State::Open,
        ),
        (
            include_bytes!("../../../tests/data/pidf/twinkle-closed.xml"),
            State::Closed,
        ),
    ];

    #[test]
    fn what_real_phones_publish_is_read() {
        for (body, expected) in CORPUS {
            let state = Presence::read(body).map(|presence| presence.state());
            assert_eq!(state, Some(expected), "{}", String::from_utf8_lossy(body));
            presence(body);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_hold(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            presence(&body);
        }

        #[test]
        fn mutations_of_real_documents_hold(
            which in 0..CORPUS.len(),
            edits in proptest::collection::vec(
                (any::<prop::sample::Index>(), 0..6_usize, "[<>/\"'=&;:!-]{0,2}|xmlns|[a-z]"),
                1..5,
            ),
        ) {
            let mut body = CORPUS[which].0.to_vec();
            for (at, removed, insert) in edits {
                let at = at.index(body.len() + 1);
                let end = (at + removed).min(body.len());
                body.splice(at..end, insert.bytes());
            }
            presence(&body);
        }
    }
}
