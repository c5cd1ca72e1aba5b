//! See `k2o_fuzz::weights`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| k2o_fuzz::weights(data));
