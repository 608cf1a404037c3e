//! The judge of `elock check`: it is told of each hold when it begins and when it ends, and finds two holds of one lock
//! at one time, and tokens that do not ascend.
//!
//! Both are told in the order in which they were seen, and no time lies after the moment at which it is told. The end
//! of a hold may lie before that moment: somebody who was stopped learns late that the lock was lost. So two holds are
//! compared only when both have ended. Of each lock the judge keeps those that have not ended, and those that one of
//! them may overlap.

use std::fmt;
use std::time::Duration;

/// Who held a lock, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    /// The number of the client.
    pub(crate) client: u16,
    /// When it began, since the start of the check.
    pub(crate) from: Duration,
    /// The fencing token, if the daemon has tokens.
    pub(crate) token: Option<u64>,
}

/// A hold that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) begun: Begun,
    /// When it ended.
    pub(crate) until: Duration,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Two holds of one lock overlap. The first of them ended first.
    Twice(Over, Over),
    /// The second began after the first, and its token is not greater.
    Descending(Begun, Begun),
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.client)?;
        self.token.map_or(Ok(()), |token| write!(f, " with token {token}"))
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { begun, until } = self;
        write!(f, "by {begun} from {:.6} s to {:.6} s", begun.from.as_secs_f64(), until.as_secs_f64())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice(first, second) => write!(f, "was held twice: {first}, and {second}"),
            Self::Descending(first, second) => write!(
                f,
                "was given with tokens that do not ascend: at {:.6} s to {first}, and at {:.6} s to {second}",
                first.from.as_secs_f64(),
                second.from.as_secs_f64(),
            ),
        }
    }
}

/// The judge of one lock.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Holds that have not ended.
    open: Vec<Begun>,
    /// Holds that have ended, but not before each of the open ones began.
    over: Vec<Over>,
    /// The one with a token that began last.
    last: Option<Begun>,
}

impl Judge {
    /// A hold has begun. A client has at most one at a time.
    pub(crate) fn begin(&mut self, begun: Begun) -> Option<Finding> {
        self.open.push(begun);
        let earlier = begun.token.and_then(|_| self.last.replace(begun))?;
        (earlier.token >= begun.token).then_some(Finding::Descending(earlier, begun))
    }

    /// The hold of this client has ended. Returns what was found, one for each hold that it overlaps, and the hold.
    pub(crate) fn end(&mut self, client: u16, until: Duration) -> (Option<Over>, Vec<Finding>) {
        let Some(at) = self.open.iter().position(|begun| begun.client == client) else {
            return (None, Vec::new());
        };
        let begun = self.open.swap_remove(at);
        // A clock that was read late may put the end before the begin. Such a hold is no time at all.
        let this = Over { begun, until: until.max(begun.from) };
        let overlaps = |other: &&Over| this.begun.from.max(other.begun.from) < this.until.min(other.until);
        let found = self.over.iter().filter(overlaps).map(|other| Finding::Twice(*other, this)).collect();
        self.over.push(this);
        let open = &self.open;
        self.over.retain(|over| open.iter().any(|begun| begun.from < over.until));
        (Some(this), found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(client: u16, from: u64, token: Option<u64>) -> Begun {
        Begun { client, from: Duration::from_millis(from), token }
    }

    fn over(client: u16, from: u64, until: u64) -> Over {
        Over { begun: begun(client, from, None), until: Duration::from_millis(until) }
    }

    /// Goal: the judge finds each overlap, whoever ends first, and no more. Method: holds of clients 0, 1, … are told
    /// of in the order of their times, or their ends as late as stands there.
    fn overlaps(holds: &[(u64, u64, u64)]) -> (Vec<(u16, u16)>, Judge) {
        let mut events = Vec::new();
        for (client, (from, until, told)) in (0..).zip(holds) {
            events.extend([(*from, 1, client, *from), (*told, 0, client, *until)]);
        }
        events.sort_unstable();
        let (mut judge, mut found) = (Judge::default(), Vec::new());
        for (_, kind, client, time) in events {
            if kind == 1 {
                assert_eq!(judge.begin(begun(client, time, None)), None);
                continue;
            }
            for finding in judge.end(client, Duration::from_millis(time)).1 {
                let Finding::Twice(a, b) = finding else { panic!("{finding}") };
                found.push((a.begun.client.min(b.begun.client), a.begun.client.max(b.begun.client)));
            }
        }
        found.sort_unstable();
        (found, judge)
    }

    #[test]
    fn an_overlap_is_found_whoever_ends_first() {
        for (holds, expected) in [
            (&[(0, 5, 5), (4, 9, 9)][..], &[(0, 1)][..]),
            (&[(0, 9, 9), (4, 5, 5)], &[(0, 1)]),
            (&[(0, 9, 9), (2, 3, 3), (4, 5, 5)], &[(0, 1), (0, 2)]),
            (&[(0, 5, 5), (1, 6, 6), (2, 7, 7)], &[(0, 1), (0, 2), (1, 2)]),
            (&[(0, 9, 9), (0, 9, 9)], &[(0, 1)]),
        ] {
            assert_eq!(overlaps(holds).0, expected, "{holds:?}");
        }
    }

    #[test]
    fn edges_that_touch_are_no_overlap() {
        assert_eq!(overlaps(&[(0, 5, 5), (5, 9, 9), (9, 10, 10)]).0, []);
        // The end of one is told late, so that they are compared.
        assert_eq!(overlaps(&[(0, 5, 20), (5, 9, 9)]).0, []);
        assert_eq!(overlaps(&[(0, 5, 5), (5, 9, 9), (4, 4, 20)]).0, [], "no time at all overlaps nothing");
    }

    #[test]
    fn what_counts_is_when_a_hold_ended_and_not_when_that_was_told() {
        assert_eq!(overlaps(&[(0, 4, 20), (5, 9, 9), (10, 12, 12)]).0, []);
        assert_eq!(overlaps(&[(0, 6, 20), (5, 9, 9), (10, 12, 12)]).0, [(0, 1)]);
    }

    #[test]
    fn only_what_may_still_overlap_is_kept() {
        let one_by_one: Vec<_> = (0..1000).map(|at| (at, at + 1, at + 1)).collect();
        let (found, judge) = overlaps(&one_by_one);
        assert_eq!((found.len(), judge.open.len(), judge.over.len()), (0, 0, 0));
        let mut judge = Judge::default();
        judge.begin(begun(1, 0, None));
        judge.begin(begun(2, 5, None));
        judge.end(1, Duration::from_millis(6));
        assert_eq!(judge.over, [over(1, 0, 6)]);
        judge.begin(begun(1, 7, None));
        assert_eq!(
            judge.end(2, Duration::from_millis(4)),
            (Some(over(2, 5, 5)), vec![]),
            "none ends before it began"
        );
        assert_eq!(judge.over, []);
        assert_eq!(judge.end(3, Duration::from_millis(8)), (None, vec![]));
    }

    #[test]
    fn a_token_out_of_order_is_found() {
        let found = |tokens: &[Option<u64>]| {
            let mut judge = Judge::default();
            let begin = |(at, token): (u16, &Option<u64>)| judge.begin(begun(at, at.into(), *token));
            (0..).zip(tokens).filter_map(begin).collect::<Vec<_>>()
        };
        assert_eq!(found(&[Some(1), Some(2), None, Some(7)]), []);
        let finding = |a, token_a, b, token_b| {
            Finding::Descending(begun(a, a.into(), Some(token_a)), begun(b, b.into(), Some(token_b)))
        };
        assert_eq!(found(&[Some(1), Some(3), Some(2)]), [finding(1, 3, 2, 2)]);
        assert_eq!(found(&[Some(3), None, Some(3), Some(4)]), [finding(0, 3, 2, 3)], "equal is not greater");
    }

    #[test]
    fn a_finding_names_both() {
        let with_token = Over { begun: begun(9, 1204, Some(19)), until: Duration::from_millis(1300) };
        assert_eq!(
            Finding::Twice(over(3, 1200, 1207), with_token).to_string(),
            "was held twice: by client 3 from 1.200000 s to 1.207000 s, and by client 9 with token 19 from 1.204000 s \
             to 1.300000 s"
        );
        assert_eq!(
            Finding::Descending(begun(3, 1200, Some(8)), begun(9, 1300, Some(7))).to_string(),
            "was given with tokens that do not ascend: at 1.200000 s to client 3 with token 8, and at 1.300000 s to \
             client 9 with token 7"
        );
    }
}
