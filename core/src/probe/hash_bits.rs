//! Poor hashes, for tests: with a few bits, most names have the hash of another. So a test of little size reaches long
//! chains, and two names that only their bytes tell apart.
//!
//! They exist only with the feature `canaries`, which only the tests switch on. Without it every hash keeps its bits,
//! and this takes neither memory nor time.

/// How many bits of each hash are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashBits {
    #[cfg(feature = "canaries")]
    mask: u32,
}

#[cfg(feature = "canaries")]
impl HashBits {
    /// All, as in production.
    pub const ALL: Self = Self { mask: u32::MAX };

    /// The lowest bits alone. With 0 all hashes are equal.
    #[must_use]
    pub const fn lowest(bits: u32) -> Self {
        Self { mask: if bits < 32 { (1 << bits) - 1 } else { u32::MAX } }
    }

    /// What is left of a hash.
    #[inline]
    pub(crate) const fn of(self, hash: u32) -> u32 {
        hash & self.mask
    }
}

#[cfg(not(feature = "canaries"))]
impl HashBits {
    /// All, as in production.
    pub const ALL: Self = Self {};

    /// All as well, in a build without canaries.
    #[must_use]
    pub const fn lowest(_: u32) -> Self {
        Self::ALL
    }

    /// The hash.
    #[inline]
    #[expect(clippy::unused_self, reason = "with canaries it is used")]
    pub(crate) const fn of(self, hash: u32) -> u32 {
        hash
    }
}

#[cfg(all(test, feature = "canaries"))]
mod tests {
    use super::*;

    #[test]
    fn so_many_bits_are_left() {
        let left = |bits: u32| HashBits::lowest(bits).of(0xFFFF_FFF5);
        assert_eq!([0, 1, 4, 31, 32].map(left), [0, 1, 5, 0x7FFF_FFF5, 0xFFFF_FFF5]);
        assert_eq!(HashBits::ALL, HashBits::lowest(32));
    }
}
