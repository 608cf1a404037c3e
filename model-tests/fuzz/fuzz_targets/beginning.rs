//! Fuzzes what comes before the first line: the judge of other protocols, and the header of the PROXY protocol:
//! `cd model-tests && cargo +nightly fuzz run beginning`.

#![no_main]

use elockd_core::wire::Beginning;
use elockd_server::listen::ProxyHeader;
use libfuzzer_sys::fuzz_target;

const MAX_LINE_BYTES: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    // What is decided by some bytes is not changed by more.
    let whole = Beginning::of(bytes, MAX_LINE_BYTES);
    for len in 0..bytes.len() {
        let part = Beginning::of(&bytes[..len], MAX_LINE_BYTES);
        assert!(part == Beginning::Open || part == whole, "{len} bytes: {part:?}, all: {whole:?}");
    }
    // A header is read as a connection reads it: never more than it asks for, and to an end.
    let mut len = 0;
    while let Ok(ProxyHeader::Lacks(count)) = ProxyHeader::read(&bytes[..len]) {
        assert!(count > 0, "it would ask for ever");
        if len + count > bytes.len() {
            break;
        }
        // A byte at a time is the same as all at once.
        for part in len..len + count {
            assert!(matches!(ProxyHeader::read(&bytes[..part]), Ok(ProxyHeader::Lacks(_)) | Err(_)));
        }
        len += count;
    }
});
