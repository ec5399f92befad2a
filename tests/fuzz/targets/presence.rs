//! Any body of a NOTIFY to the nlb: reading never panics and agrees with itself.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| presently_nlb::fuzz::presence(bytes));
