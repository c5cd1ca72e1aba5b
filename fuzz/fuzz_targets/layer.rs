//! See `k2o_fuzz::layer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| k2o_fuzz::layer(data));
