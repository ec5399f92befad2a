//! Any first bytes of a client's connection: what they are said to be does not change as more come.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| presently_proxy::fuzz::proxy_protocol(bytes));
