//! See `k2o_fuzz::shapes`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| k2o_fuzz::shapes(data));
