//! The hash over what clients choose. Its key is the driver's secret, so nobody can aim at one bucket of an index.

use crate::config::Storage;
use crate::probe::HashBits;
use siphasher::sip::SipHasher13;

/// SipHash-1-3 with a key, cut to 32 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hasher {
    sip: SipHasher13,
    bits: HashBits,
}

impl Hasher {
    pub(super) fn new(storage: &Storage) -> Self {
        let (first, second) = storage.hash_key;
        Self { sip: SipHasher13::new_with_keys(first, second), bits: storage.hash_bits }
    }

    /// The hash of some bytes. With another salt it is another.
    #[inline]
    pub(super) fn hash(&self, bytes: &[u8], salt: u32) -> u32 {
        self.bits.of(self.sip.hash(bytes) as u32 ^ salt)
    }
}
