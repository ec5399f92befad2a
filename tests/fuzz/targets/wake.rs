//! Any out-of-band datagram: decoding never panics, and what decodes encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| presently_oob::fuzz::datagram(bytes));
