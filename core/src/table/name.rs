//! A lock's name within its slot: itself when it is short, else where it is.

/// A name in 30 bytes: itself when it has up to [`Name::SHORT`] bytes, else the position of where it is. Together with
/// the rest of a [`Lock`](super::Lock) it fills 56 bytes without a gap, which no enum of the two would.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    /// More than there are `bytes` for a long one.
    len: u8,
    bytes: [u8; Self::SHORT],
}

impl Name {
    /// The longest name that stands in the slot itself.
    pub(super) const SHORT: usize = 29;
    const LONG: u8 = u8::MAX;

    /// A name that is short.
    pub(super) fn short(name: &[u8]) -> Self {
        let mut bytes = [0; Self::SHORT];
        bytes[..name.len()].copy_from_slice(name);
        Self { len: name.len() as u8, bytes }
    }

    /// A name that is at this position.
    pub(super) fn long(position: u32) -> Self {
        let mut bytes = [0; Self::SHORT];
        bytes[..4].copy_from_slice(&position.to_le_bytes());
        Self { len: Self::LONG, bytes }
    }

    /// The name, or the position of a long one.
    pub(super) fn get(&self) -> Result<&[u8], u32> {
        self.bytes.get(..usize::from(self.len)).ok_or_else(|| {
            let [a, b, c, d, ..] = self.bytes;
            u32::from_le_bytes([a, b, c, d])
        })
    }
}

/// Whether two names are the same. Most are too short for a call of the C library to be worth it.
#[inline]
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    a.len() == b.len()
        && a_words.iter().zip(b_words).all(|(a, b)| a == b)
        && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}
