//! A lock's name within its slot: the name itself if it is short, else the place of its bytes.

use crate::storage::TextPlace;

/// A name in 30 bytes. Up to [`Name::SHORT`] bytes are stored here. A longer name is stored elsewhere, and this has its
/// place. Together with the rest of a [`Lock`](super::Lock) it fills 56 bytes without a gap. An enum of the two
/// cases would not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    /// The length of a short name. For a long one, `LONG`, which is more than there are `bytes`.
    len: u8,
    bytes: [u8; Self::SHORT],
}

impl Name {
    /// The length of the longest name that is stored in the slot.
    pub(super) const SHORT: usize = 29;
    const LONG: u8 = u8::MAX;

    /// A short name. Panics if it is longer than `SHORT`.
    pub(super) fn short(name: &[u8]) -> Self {
        let mut bytes = [0; Self::SHORT];
        bytes[..name.len()].copy_from_slice(name);
        Self { len: name.len() as u8, bytes }
    }

    /// A long name that is stored at this place.
    pub(super) fn long(place: TextPlace) -> Self {
        let mut bytes = [0; Self::SHORT];
        bytes[..4].copy_from_slice(&place.chunk.to_le_bytes());
        bytes[4..8].copy_from_slice(&place.offset.to_le_bytes());
        Self { len: Self::LONG, bytes }
    }

    /// Whether it is in the slot.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.len != Self::LONG
    }

    /// The name if it is short, else its place as `Err`.
    pub(super) fn get(&self) -> Result<&[u8], TextPlace> {
        self.bytes.get(..usize::from(self.len)).ok_or_else(|| {
            let (words, _) = self.bytes.as_chunks();
            TextPlace { chunk: u32::from_le_bytes(words[0]), offset: u32::from_le_bytes(words[1]) }
        })
    }
}

/// Whether two names are the same. Most names are so short that a call into the C library would cost more than this.
#[inline]
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    a.len() == b.len()
        && a_words.iter().zip(b_words).all(|(a, b)| a == b)
        && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}
