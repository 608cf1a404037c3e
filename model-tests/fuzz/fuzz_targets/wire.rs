//! Fuzzes codec and machine together from raw bytes, beside the reference model:
//! `cd model-tests && cargo +nightly fuzz run wire`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = elockd_model_tests::wire::run(bytes) {
        panic!("{difference}");
    }
});
