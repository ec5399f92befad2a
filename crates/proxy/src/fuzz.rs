//! What must hold for any bytes: each function can be a fuzz target, and panics when it does
//! not hold. `cargo test` runs it over random ones. Not part of the API.

use crate::proxy_protocol::{LENGTH_MAX, Opening, read};

/// Any first bytes of a connection: what they are said to be does not change when more come, once
/// it is said; and it is said in time.
///
/// # Panics
///
/// That does not hold.
pub fn proxy_protocol(bytes: &[u8]) {
    let whole = read(bytes);
    assert!(whole != Ok(Opening::More) || bytes.len() < LENGTH_MAX);
    if let Ok(Opening::Whole(announced)) = &whole {
        assert!(announced.length <= bytes.len().min(LENGTH_MAX));
    }
    let mut said = Ok(Opening::More);
    for end in 0..=bytes.len().min(LENGTH_MAX) {
        let now = read(bytes.get(..end).unwrap_or(bytes));
        assert!(
            said == Ok(Opening::More) || said == now,
            "{said:?} became {now:?}"
        );
        said = now;
    }
    assert_eq!(said, whole);
}
