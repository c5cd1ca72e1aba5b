//! See `k2o_fuzz::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| k2o_fuzz::config(data));
