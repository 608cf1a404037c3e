//! What a voter tells a new leader: how long ago it last had part in an earlier leadership. Whatever an old leader
//! answered, a quorum had acknowledged something of it later than the beat was sent. So the latest word of a quorum is
//! later than every beat that was answered before.
//!
//! It must never be too early. Where it is in doubt it says something later.

use crate::Moment;

/// The last word of one voter, on its own clock. It is kept in memory: a process that starts knows nothing, and says
/// its start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LastWord {
    /// The latest term that this node had part in.
    term: u64,
    /// When it last had part in that.
    part: Moment,
    /// When it last had part in any term before.
    earlier: Moment,
    /// The term that it leads itself, as far as it was told. It has part in that at every moment.
    leads: Option<u64>,
}

impl LastWord {
    /// The word of a process that starts now.
    #[must_use]
    pub fn new(start: Moment) -> Self {
        Self { term: 0, part: start, earlier: start, leads: None }
    }

    /// An append, heartbeat or piece of a snapshot of the leader of `term` came. To be called on arrival, before the
    /// engine can acknowledge it.
    pub fn heard(&mut self, term: u64, at: Moment) {
        if term < self.term {
            // The engine refuses it, if it knows the later term yet.
            self.earlier = self.earlier.max(at);
        } else {
            self.note(term, at);
        }
    }

    /// This node was elected. To be called before its [`LeaderLease`](super::LeaderLease) answers anything.
    pub fn leads(&mut self, term: u64, at: Moment) {
        self.deposed(at);
        self.note(term, at);
        self.leads = Some(term);
    }

    /// This node saw a higher vote than its own, and leads no more. To be called in the same step as
    /// [`LeaderLease::deposed`](super::LeaderLease::deposed): until then it may answer beats.
    pub fn deposed(&mut self, at: Moment) {
        match self.leads.take() {
            Some(led) if led < self.term => self.earlier = self.earlier.max(at),
            Some(_) => self.part = self.part.max(at),
            None => {}
        }
    }

    /// When this node last had part in any leadership, or started.
    #[must_use]
    pub fn latest(&self) -> Moment {
        self.part.max(self.earlier)
    }

    /// The word for the leader of `asked`: how long ago, in milliseconds, this node last had part in an earlier term.
    /// `follows` is the term of the leader that this node's engine follows now, or its own if it leads.
    ///
    /// Returns nothing unless it follows the one who asks: only then can it acknowledge nothing earlier any more.
    #[must_use]
    pub fn tell(&self, asked: u64, follows: Option<u64>, at: Moment) -> Option<u64> {
        let leads_earlier = self.leads.is_some_and(|led| led < asked);
        if follows != Some(asked) || asked < self.term || leads_earlier {
            return None;
        }
        let latest = if asked == self.term { self.earlier } else { self.earlier.max(self.part) };
        Some(at.since(latest))
    }

    fn note(&mut self, term: u64, at: Moment) {
        if term > self.term {
            self.earlier = self.earlier.max(self.part);
            self.term = term;
        }
        self.part = self.part.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a word tells of earlier terms only, and of the latest of them.
    #[test]
    fn a_word_is_the_age_of_the_last_part_in_an_earlier_term() {
        let mut word = LastWord::new(Moment(100));
        assert_eq!(word.tell(1, Some(1), Moment(150)), Some(50), "it knows of nothing since its start");
        word.heard(1, Moment(200));
        word.heard(2, Moment(300));
        assert_eq!(word.tell(2, Some(2), Moment(400)), Some(200));
        word.heard(2, Moment(450));
        assert_eq!(word.tell(2, Some(2), Moment(500)), Some(300), "its own term does not count");
        assert_eq!(word.tell(3, Some(3), Moment(500)), Some(50));
        word.heard(1, Moment(480));
        assert_eq!(word.tell(2, Some(2), Moment(500)), Some(20), "one that came late counts");
    }

    /// Goal: nobody gets a word who is not followed. Method: each way in which the follower may be behind or ahead.
    #[test]
    fn only_the_leader_that_is_followed_gets_a_word() {
        let mut word = LastWord::new(Moment(0));
        word.heard(2, Moment(10));
        assert_eq!(word.tell(3, Some(2), Moment(20)), None, "it still follows the old one");
        assert_eq!(word.tell(3, None, Moment(20)), None, "it follows nobody");
        assert_eq!(word.tell(1, Some(1), Moment(20)), None, "the one who asks is long gone");
        assert_eq!(word.tell(3, Some(3), Moment(20)), Some(10));
    }

    /// Goal: a leader has part in its own term until it is told that it leads no more.
    #[test]
    fn ones_own_leadership_counts_until_it_ends() {
        let mut word = LastWord::new(Moment(0));
        word.leads(1, Moment(10));
        assert_eq!(word.tell(1, Some(1), Moment(50)), Some(50), "its own term does not count for itself");
        assert_eq!(word.tell(2, Some(2), Moment(50)), None, "it may still answer beats");
        word.deposed(Moment(60));
        word.deposed(Moment(70));
        assert_eq!(word.tell(2, Some(2), Moment(80)), Some(20));
        word.leads(3, Moment(100));
        word.leads(4, Moment(200));
        assert_eq!(word.tell(4, Some(4), Moment(250)), Some(50), "it led before, until it was elected again");
        word.heard(5, Moment(300));
        assert_eq!(word.tell(5, Some(5), Moment(310)), None, "it does not know that it was deposed");
        word.deposed(Moment(320));
        assert_eq!(word.tell(5, Some(5), Moment(330)), Some(10));
    }
}
