//! The order of turns in a line. The first turns set it, as soon as everybody has had one. It must be the same from
//! then on, because whoever has had a turn joins again at the end.

use super::LoadError;
use std::collections::VecDeque;

pub(super) struct Order {
    /// How many connections are in line.
    everybody: usize,
    /// Those that have had a turn, the last one at the back. Once it is everybody, the next turn is the front's.
    had: VecDeque<usize>,
    /// Turns of connections that came again before everybody had had a turn.
    early: usize,
}

impl Order {
    pub(super) fn new(everybody: usize) -> Self {
        Self { everybody, had: VecDeque::with_capacity(everybody), early: 0 }
    }

    /// Notes a turn.
    ///
    /// A connection may come again before everybody has had a turn: then another one joined later than this one joined
    /// again, which happens where the line has several nodes. It is an error if that happens more often than there are
    /// connections.
    pub(super) fn turn(&mut self, who: usize) -> Result<(), LoadError> {
        let expected = self.had.front().copied().unwrap_or(who);
        if self.had.len() == self.everybody {
            self.had.pop_front();
            if expected != who {
                return Err(LoadError::OutOfTurn { expected, got: who });
            }
        } else if let Some(at) = self.had.iter().position(|&one| one == who) {
            // The order is set by turns after the last one joined, so what came before this turn tells nothing.
            self.had.drain(..=at);
            self.early += 1;
            if self.early > self.everybody {
                return Err(LoadError::OutOfTurn { expected, got: who });
            }
        }
        self.had.push_back(who);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_wrong(everybody: usize, turns: &[usize]) -> Option<usize> {
        let mut order = Order::new(everybody);
        turns.iter().position(|&who| order.turn(who).is_err())
    }

    /// Goal: the same order over and over passes, also if one joins only after others have joined again, and the first
    /// turn that breaks it is found.
    #[test]
    fn the_order_is_that_of_everybody() {
        assert_eq!(first_wrong(3, &[2, 0, 1, 2, 0, 1, 2, 0, 1]), None);
        assert_eq!(first_wrong(3, &[2, 0, 1, 2, 1, 0]), Some(4));
        assert_eq!(first_wrong(3, &[2, 0, 1, 0]), Some(3));
        // 1 joins after 2 and 0 have joined again.
        assert_eq!(first_wrong(3, &[2, 0, 2, 0, 1, 2, 0, 1]), None);
        assert_eq!(first_wrong(3, &[2, 0, 2, 0, 1, 0]), Some(5));
        // 1 never joins.
        assert_eq!(first_wrong(3, &[2, 0, 2, 0, 2, 0, 2, 0]), Some(5));
        assert_eq!(first_wrong(1, &[0, 0, 0]), None);
    }
}
