//! The pauses between attempts to connect.

use std::time::Duration;

/// Pauses that double, each with a random part left out.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first.min(longest), longest }
    }

    /// The next pause: between half of it and all of it, as `random` says, which is in 0..1.
    pub(crate) fn pause(&mut self, random: f64) -> Duration {
        let pause = self.next.mul_f64(1.0 - random / 2.0);
        self.next = self.next.saturating_mul(2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_up_to_half_is_left_out() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(180));
        assert_eq!(
            [0.0, 1.0, 0.5, 0.0].map(|random| backoff.pause(random)),
            [ms(50), ms(50), ms(135), ms(180)]
        );
    }
}
