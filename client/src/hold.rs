//! One hold, as its guard and its keeper see it. Whether it can be counted on is decided here, by the clock and by what
//! the daemon answered.

use crate::lost::Lost;
use elockd_core::Kind;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What a guard says about its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is held.
    Held {
        /// How often it was resumed on a new connection.
        resumed: u32,
    },
    /// The connection was lost, and a new one is being tried. The lock is still held, because the grace is not over.
    Resuming,
    /// It is not held any more, or cannot be counted on. This is final.
    Lost(Lost),
    /// It was released.
    Released,
}

/// A lock that is held, and what is known about it.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) kind: Kind,
    pub(crate) name: Vec<u8>,
    known: watch::Sender<Known>,
}

/// An answer that says that the hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// When the question was sent. The hold stood then, or later.
    pub(crate) sent: Instant,
    /// The fencing token. `None` if the daemon has none.
    pub(crate) token: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    state: State,
    proof: Proof,
    /// For how long the proof is good.
    good_for: Duration,
    /// How often it was resumed.
    resumed: u32,
    /// Whether the daemon cannot be asked because the session waits for another lock. Then the end of the proof is not
    /// the end of the hold: the next answer tells.
    is_unasked: bool,
    /// Whether its release was ordered. Then nobody may count on it any more, though the daemon may not know yet.
    is_given_up: bool,
}

impl Known {
    fn is_over(&self) -> bool {
        matches!(self.state, State::Lost(_) | State::Released)
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now < self.proof.sent + self.good_for
    }

    /// Takes note that the proof is too old, if it is. Returns whether anything changed.
    fn expire(&mut self, now: Instant) -> bool {
        if self.is_over() || self.is_unasked || self.is_fresh(now) {
            return false;
        }
        self.state = State::Lost(if self.state == State::Resuming { Lost::NotResumed } else { Lost::Silent });
        true
    }
}

impl Hold {
    pub(crate) fn new(kind: Kind, name: Vec<u8>, proof: Proof, good_for: Duration) -> Self {
        let state = State::Held { resumed: 0 };
        let known = Known { state, proof, good_for, resumed: 0, is_unasked: false, is_given_up: false };
        Self { kind, name, known: watch::Sender::new(known) }
    }

    /// Changes what is known, after taking note of an end by the clock. Watchers are told if `change` says so.
    fn change(&self, change: impl FnOnce(&mut Known, Instant) -> bool) {
        let now = Instant::now();
        self.known.send_if_modified(|known| {
            let has_expired = known.expire(now);
            change(known, now) || has_expired
        });
    }

    pub(crate) fn state(&self) -> State {
        self.change(|_, _| false);
        self.known.borrow().state
    }

    /// Whether the lock is held for certain, at this moment.
    pub(crate) fn is_held(&self) -> bool {
        let mut is_held = false;
        self.change(|known, now| {
            is_held = !known.is_over() && !known.is_given_up && known.is_fresh(now);
            false
        });
        is_held
    }

    pub(crate) fn lost(&self) -> Option<Lost> {
        match self.state() {
            State::Lost(lost) => Some(lost),
            _ => None,
        }
    }

    pub(crate) fn token(&self) -> Option<u64> {
        self.known.borrow().proof.token
    }

    pub(crate) fn proven(&self) -> Instant {
        self.known.borrow().proof.sent
    }

    /// When the last proof is not good any more. `None` if it does not matter now.
    pub(crate) fn expiry(&self) -> Option<Instant> {
        let known = self.known.borrow();
        let counts = !known.is_over() && !known.is_unasked;
        counts.then(|| known.proof.sent + known.good_for)
    }

    /// Takes an answer to the hold's own question. Another token means another hold: this one is lost.
    pub(crate) fn prove(&self, proof: Proof) {
        self.change(|known, _| {
            if known.is_over() {
                return false;
            }
            if known.proof.token.is_some() && known.proof.token != proof.token {
                known.state = State::Lost(Lost::Stolen);
                return true;
            }
            known.proof = Proof { sent: known.proof.sent.max(proof.sent), token: proof.token };
            known.is_unasked = false;
            false
        });
    }

    /// From now on until the next proof the daemon cannot be asked.
    pub(crate) fn stop_asking(&self) {
        self.change(|known, _| {
            known.is_unasked = true;
            false
        });
    }

    /// The connection is lost, and the daemon keeps the hold for the grace.
    pub(crate) fn begin_resuming(&self, grace: Duration) {
        self.change(|known, now| {
            if known.is_over() {
                return false;
            }
            known.state = State::Resuming;
            known.good_for = grace;
            known.is_unasked = false;
            known.expire(now);
            true
        });
    }

    /// A new connection has the hold.
    pub(crate) fn end_resuming(&self, proof: Proof, good_for: Duration) {
        self.prove(proof);
        self.change(|known, _| {
            if known.is_over() {
                return false;
            }
            known.resumed += 1;
            known.state = State::Held { resumed: known.resumed };
            known.good_for = good_for;
            true
        });
    }

    /// It is lost, unless it was over before. Returns the reason that counts.
    pub(crate) fn lose(&self, lost: Lost) -> Lost {
        let mut reason = lost;
        self.change(|known, _| match known.state {
            State::Lost(earlier) => {
                reason = earlier;
                false
            }
            State::Released => false,
            _ => {
                known.state = State::Lost(lost);
                true
            }
        });
        reason
    }

    /// Its release is ordered.
    pub(crate) fn give_up(&self) {
        self.change(|known, _| {
            known.is_given_up = true;
            false
        });
    }

    /// It was released. Returns the reason if it was lost before.
    pub(crate) fn release(&self) -> Result<(), Lost> {
        let mut result = Ok(());
        self.change(|known, _| {
            if let State::Lost(lost) = known.state {
                result = Err(lost);
                return false;
            }
            known.state = State::Released;
            true
        });
        result
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Waits until it is lost. For ever if it is released.
    pub(crate) async fn until_lost(&self) -> Lost {
        let mut known = self.subscribe();
        loop {
            known.mark_unchanged();
            match self.state() {
                State::Lost(lost) => return lost,
                State::Released => std::future::pending().await,
                State::Held { .. } | State::Resuming => {}
            }
            // The sender is in `self`.
            let _ = known.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const GOOD_FOR: Duration = Duration::from_secs(8);

    fn proof(token: Option<u64>) -> Proof {
        Proof { sent: Instant::now(), token }
    }

    fn held_with(token: Option<u64>) -> Hold {
        Hold::new(Kind::Exclusive, b"a".to_vec(), proof(token), GOOD_FOR)
    }

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_the_sending_of_the_question() {
        let hold = held_with(Some(1));
        advance(Duration::from_secs(2)).await;
        let sent = proof(Some(1));
        advance(Duration::from_secs(5)).await;
        hold.prove(sent);
        advance(Duration::from_millis(2_999)).await;
        assert!(hold.is_held());
        advance(Duration::from_millis(1)).await;
        assert!(!hold.is_held());
        hold.prove(proof(Some(1)));
        assert!(!hold.is_held(), "who was told that it is lost must not be told otherwise");
        assert_eq!(hold.until_lost().await, Lost::Silent);
    }

    #[tokio::test(start_paused = true)]
    async fn another_token_is_another_hold() {
        for (had, has, lost) in [
            (Some(1), Some(1), None),
            (None, Some(1), None),
            (None, None, None),
            (Some(1), Some(2), Some(Lost::Stolen)),
        ] {
            let hold = held_with(had);
            hold.prove(proof(has));
            assert_eq!(hold.lost(), lost);
            assert_eq!(hold.token(), if lost.is_some() { had } else { has });
        }
        let hold = held_with(Some(1));
        hold.prove(proof(None));
        assert_eq!(hold.lost(), Some(Lost::Stolen));
    }

    #[tokio::test(start_paused = true)]
    async fn while_it_resumes_it_is_held_for_the_grace_since_the_last_proof() {
        let first = held_with(Some(1));
        advance(Duration::from_secs(3)).await;
        first.begin_resuming(Duration::from_secs(10));
        assert_eq!(first.state(), State::Resuming);
        advance(Duration::from_millis(6_999)).await;
        assert!(first.is_held());
        advance(Duration::from_millis(1)).await;
        assert!(!first.is_held());
        assert_eq!(first.state(), State::Lost(Lost::NotResumed));

        let hold = held_with(Some(1));
        advance(Duration::from_secs(3)).await;
        hold.begin_resuming(Duration::from_secs(2));
        assert_eq!(hold.lost(), Some(Lost::NotResumed), "the grace may be over already");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_waits_cannot_say_that_it_is_held_or_lost() {
        let hold = held_with(Some(1));
        hold.stop_asking();
        advance(GOOD_FOR).await;
        assert!(!hold.is_held());
        assert_eq!((hold.lost(), hold.expiry()), (None, None));
        hold.prove(proof(Some(1)));
        assert!(hold.is_held() && hold.expiry().is_some());
        advance(GOOD_FOR).await;
        assert_eq!(hold.lost(), Some(Lost::Silent), "from the answer on it counts again");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_end_counts() {
        let first = held_with(None);
        assert_eq!(first.lose(Lost::Closed), Lost::Closed);
        assert_eq!(first.lose(Lost::Stolen), Lost::Closed);
        assert_eq!(first.release(), Err(Lost::Closed));
        let hold = held_with(None);
        hold.give_up();
        assert!(!hold.is_held(), "whoever gives it up must not count on it");
        assert_eq!(hold.release(), Ok(()));
        hold.lose(Lost::Closed);
        assert_eq!(hold.state(), State::Released);
    }
}
