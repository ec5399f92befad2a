//! Any byte stream in any segmentation: framing never panics and stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| presently_sip::fuzz::stream(bytes));
