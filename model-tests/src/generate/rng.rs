//! The random numbers of the generators.

use quickcheck::Gen;

/// Evenly spread random numbers. quickcheck's own numbers are often extremes.
pub(super) struct Rng<'a>(pub(super) &'a mut Gen);

impl Rng<'_> {
    /// A number from 0 up to, but not including, `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        const BYTES: [u8; 256] = {
            let mut bytes = [0; 256];
            let mut at = 0;
            while at < 256 {
                bytes[at] = at as u8;
                at += 1;
            }
            bytes
        };
        let byte = |g: &mut Gen| u64::from(*g.choose(&BYTES).expect("there are bytes to choose from"));
        let number = (byte(self.0) << 16) | (byte(self.0) << 8) | byte(self.0);
        number % end
    }
}
