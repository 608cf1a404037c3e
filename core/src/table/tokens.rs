//! Fencing tokens: numbers that only ever go up. The driver reserves ranges, so that they go up across restarts too.
//! The machine gives the tokens out one by one.

/// The tokens that are left to give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// The next token. It is above every token that was given out.
    next: u64,
    /// The last token that may be given out. One below `next` if none is left.
    last: u64,
}

impl Tokens {
    /// The highest token there can ever be. Up to it, a program that keeps numbers as doubles can tell tokens apart.
    pub(crate) const MAX: u64 = (1 << 53) - 1;

    /// None yet.
    pub(crate) const NONE: Self = Self { next: 1, last: 0 };

    /// The tokens of a snapshot.
    pub(crate) const fn restored(next: u64, last: u64) -> Self {
        Self { next, last }
    }

    /// The next token. It is above every token that was given out.
    pub(crate) const fn next(self) -> u64 {
        self.next
    }

    /// The last token that may be given out. One below `next` if none is left.
    pub(crate) const fn last(self) -> u64 {
        self.last
    }

    /// Adds the part of a range that is above all earlier ranges. If there is a gap before it, the new range replaces
    /// what is left, because the numbers in the gap may be another's.
    pub(crate) fn extend(&mut self, first: u64, last: u64) {
        let last = last.min(Self::MAX);
        if last <= self.last || last < first {
            return;
        }
        if first > self.last + 1 {
            self.next = first;
        }
        self.last = last;
    }

    pub(crate) fn left(self) -> u64 {
        self.last + 1 - self.next
    }

    /// Takes the next token, if one is left.
    pub(crate) fn draw(&mut self) -> Option<u64> {
        if self.left() == 0 {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// The token of a hold, in seven bytes, to keep records small: no token needs more than 53 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldToken([u8; 7]);

impl HeldToken {
    /// None was drawn for the hold yet.
    pub(super) const NONE: Self = Self([0; 7]);

    /// A token that was drawn.
    pub(super) fn of(token: u64) -> Self {
        assert!((1..=Tokens::MAX).contains(&token), "no token is {token}");
        let mut bytes = [0; 7];
        bytes.copy_from_slice(&token.to_le_bytes()[..7]);
        Self(bytes)
    }

    /// The token, if one was drawn.
    pub(super) fn get(self) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes[..7].copy_from_slice(&self.0);
        Some(u64::from_le_bytes(bytes)).filter(|_| self != Self::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_ascend_whatever_ranges_come() {
        let mut tokens = Tokens::NONE;
        assert_eq!((tokens.left(), tokens.draw()), (0, None));
        tokens.extend(5, 6);
        assert_eq!(tokens.draw(), Some(5));
        tokens.extend(1, 6);
        assert_eq!(tokens.left(), 1, "what was given out is not given out again");
        tokens.extend(7, 8);
        assert_eq!([tokens.draw(), tokens.draw(), tokens.draw()], [Some(6), Some(7), Some(8)]);
        assert_eq!(tokens.draw(), None);
        tokens.extend(3, 9);
        assert_eq!((tokens.draw(), tokens.draw()), (Some(9), None));
        tokens.extend(20, 10);
        assert_eq!(tokens.left(), 0, "an empty range is none");
        tokens.extend(30, 31);
        tokens.extend(40, 41);
        assert_eq!(tokens.draw(), Some(40), "a range that lies further up takes the place of the rest");
    }

    #[test]
    fn a_hold_keeps_every_token_there_can_be() {
        assert_eq!(HeldToken::NONE.get(), None);
        for token in [1, 255, 256, 1 << 52, Tokens::MAX] {
            assert_eq!(HeldToken::of(token).get(), Some(token));
        }
    }

    #[test]
    fn tokens_end_where_doubles_stop_to_tell_them_apart() {
        let mut tokens = Tokens::NONE;
        tokens.extend(Tokens::MAX - 1, u64::MAX);
        assert_eq!([tokens.draw(), tokens.draw()], [Some(Tokens::MAX - 1), Some(Tokens::MAX)]);
        tokens.extend(0, u64::MAX);
        assert_eq!((tokens.left(), tokens.draw()), (0, None));
        tokens.extend(u64::MAX, u64::MAX);
        assert_eq!(tokens.left(), 0);
    }
}
