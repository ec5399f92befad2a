//! Any datagram: reading and taking apart never panics, and what reads writes back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| presently_sip::fuzz::message(bytes));
