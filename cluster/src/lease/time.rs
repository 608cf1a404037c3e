//! The cluster's time. The leader keeps it and stamps entries with it. It never goes back, and stands still while there
//! is no leader.

use crate::Moment;
use elockd_core::Now;

/// The cluster's time, as one node knows it. Every node keeps it, to go on from it if it is elected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeaderTime {
    /// The latest time, in milliseconds, that an entry or an answer told.
    told: u64,
    /// While it leads: the time on taking office, and the moment of that.
    office: Option<(u64, Moment)>,
}

impl LeaderTime {
    /// The time of a node that was told of none.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A stamp was read: of an entry in the log or of a snapshot. Those of the whole log must have been before
    /// [`elected`](Self::elected).
    pub fn stamped(&mut self, stamp: Now) {
        self.told = self.told.max(stamp.0);
    }

    /// The leader answered a beat of this node, and told its time.
    pub fn answered(&mut self, time: Now) {
        self.told = self.told.max(time.0);
    }

    /// This node takes office. Its time goes on from the latest that it was told.
    pub fn elected(&mut self, at: Moment) {
        self.deposed(at);
        self.office = Some((self.told, at));
    }

    /// This node leads no more. Its time stands.
    pub fn deposed(&mut self, at: Moment) {
        self.told = self.told.max(self.now(at).0);
        self.office = None;
    }

    /// The time, to stamp an entry with or to tell in an answer. It stands unless this node leads.
    #[must_use]
    pub fn now(&self, at: Moment) -> Now {
        let went_on = self.office.map_or(0, |(time, since)| time.saturating_add(at.since(since)));
        Now(went_on.max(self.told))
    }

    /// The moment at which it will be `time`. Nothing unless this node leads.
    #[must_use]
    pub fn moment_of(&self, time: Now) -> Option<Moment> {
        self.office.map(|(began, since)| since.plus(time.0.saturating_sub(began)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: time stands without office, and goes on in office, by the node's own clock.
    #[test]
    fn time_goes_on_in_office_only() {
        let mut time = LeaderTime::new();
        time.stamped(Now(500));
        assert_eq!((time.now(Moment(9000)), time.moment_of(Now(600))), (Now(500), None));
        time.elected(Moment(9000));
        assert_eq!((time.now(Moment(9000)), time.now(Moment(9070))), (Now(500), Now(570)));
        assert_eq!(time.moment_of(Now(600)), Some(Moment(9100)));
        time.deposed(Moment(9100));
        assert_eq!(time.now(Moment(9900)), Now(600));
        time.elected(Moment(10_000));
        assert_eq!(time.now(Moment(10_001)), Now(601));
    }

    /// Goal: the next leader goes on from the later of log and answers, so that no client sees time go back.
    #[test]
    fn the_later_of_log_and_answers_counts() {
        let mut time = LeaderTime::new();
        time.answered(Now(800));
        time.stamped(Now(300));
        time.answered(Now(700));
        time.elected(Moment(50));
        assert_eq!(time.now(Moment(60)), Now(810));
        assert_eq!(time.now(Moment(40)), Now(800), "a clock that goes back takes no time along");
        time.stamped(Now(810));
        assert_eq!(time.now(Moment(55)), Now(810), "nor behind what it stamped itself");
    }
}
