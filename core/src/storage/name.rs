//! A lock's name in memory: up to 30 bytes stand in the slot itself, longer ones on the heap.

/// Any bytes, at most `u16::MAX` of them (the configured limit is a `u16`).
#[derive(Clone, Debug)]
pub(crate) enum Name {
    /// The first `len` bytes; the rest are zero and mean nothing.
    Inline { len: u8, bytes: [u8; Name::INLINE] },
    /// Longer than fits.
    Heap(Box<[u8]>),
}

impl Name {
    /// The longest name that needs no allocation. With it a `Name` takes 32 bytes.
    const INLINE: usize = 30;

    pub(crate) fn new(name: &[u8]) -> Self {
        if name.len() <= Self::INLINE {
            let mut bytes = [0; Self::INLINE];
            bytes[..name.len()].copy_from_slice(name);
            Self::Inline { len: name.len() as u8, bytes }
        } else {
            Self::Heap(name.into())
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(name) => name,
        }
    }

    /// Bytes outside the slot.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Heap(name) => name.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_any_bytes_of_any_length() {
        assert_eq!(size_of::<Name>(), 32);
        for len in [0, 1, 29, 30, 31, 4096] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 256) as u8).collect();
            let name = Name::new(&bytes);
            assert_eq!(name.as_bytes(), bytes);
            assert_eq!(name.heap_bytes(), if len > 30 { len } else { 0 });
        }
    }
}
