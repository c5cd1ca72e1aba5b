//! See `k2o_fuzz::graphs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| k2o_fuzz::graphs(data));
