//! Any PUBLISH body: judging never panics, and what is accepted composes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| presently_presence::fuzz::pidf(bytes));
