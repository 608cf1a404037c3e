//! Damaged snapshots.

use super::rng::Rng;
use quickcheck::{Arbitrary, Gen};

/// One change to the bytes of a snapshot. A position counts from the start, modulo the length.
#[derive(Clone, Debug)]
pub enum Damage {
    /// The snapshot ends here.
    Cut(u16),
    /// One bit is flipped.
    Flip(u16, u8),
    /// A byte is replaced.
    Set(u16, u8),
    /// Each of some bytes is replaced by a large number with this many bits, as the format writes it.
    Huge(u16, u8, u8),
    /// Bytes are inserted.
    Insert(u16, Vec<u8>),
    /// This many bytes are repeated.
    Repeat(u16, u8),
    /// Everything behind the header is replaced.
    Garbage(Vec<u8>),
}

impl Arbitrary for Damage {
    fn arbitrary(g: &mut Gen) -> Self {
        let at = u16::arbitrary(g);
        let byte = u8::arbitrary(g);
        match Rng(g).below(16) {
            0..2 => Self::Cut(at),
            2..6 => Self::Flip(at, byte % 8),
            6..10 => Self::Set(at, byte),
            10..13 => {
                let mut rng = Rng(g);
                Self::Huge(at, 1 + rng.below(6) as u8, 55 + rng.below(10) as u8)
            }
            13 => Self::Insert(at, Arbitrary::arbitrary(g)),
            14 => Self::Repeat(at, byte),
            _ => Self::Garbage(Arbitrary::arbitrary(g)),
        }
    }
}

impl Damage {
    /// Applies the change to a snapshot whose header is `header` bytes long.
    pub fn apply(&self, header: usize, bytes: &mut Vec<u8>) {
        // Nothing is left to damage.
        if bytes.is_empty() {
            return;
        }
        let place = |at: &u16| usize::from(*at) % bytes.len();
        match self {
            Self::Cut(at) => bytes.truncate(place(at)),
            Self::Flip(at, bit) => {
                let at = place(at);
                bytes[at] ^= 1 << bit;
            }
            Self::Set(at, byte) => {
                let at = place(at);
                bytes[at] = *byte;
            }
            Self::Huge(at, count, bits) => {
                let at = place(at);
                let end = (at + usize::from(*count)).min(bytes.len());
                // A little below a power of two, so that counting on does not pass a limit there.
                let number = ((u64::MAX >> (64 - bits)) - u64::from(u32::MAX)).to_le_bytes();
                // A byte that announces eight more, and the eight.
                let huge = [253].into_iter().chain(number);
                bytes.splice(at..end, std::iter::repeat_n(huge, end - at).flatten());
            }
            Self::Insert(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Repeat(at, count) => {
                let at = place(at);
                let end = (at + usize::from(*count)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            Self::Garbage(garbage) => {
                bytes.truncate(header);
                bytes.extend(garbage);
            }
        }
    }
}
