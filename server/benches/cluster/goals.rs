//! The goals of a cluster: amounts, because they are what its users are promised, and its ratio to etcd where there is
//! one. A figure that was not measured has no goal.

use crate::death::{self, Victim};
use crate::figures::Figures;
use crate::support::goal::{Bound, Goal};
use crate::support::spread::Spread;
use crate::system::System::{Elockd, Etcd};
use crate::{gets, line, orphans};

/// All goals for what was measured.
pub(crate) fn all(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    let mut add = |what: String, bound, measured: Option<Spread>| {
        if let Some(measured) = measured {
            goals.push(Goal { what, bound: Some(bound), measured });
        }
    };
    let mut own = |what: String, bound| {
        let measured = figures.spread(&what, Elockd);
        add(what, bound, measured);
    };
    own(gets::rate(512), Bound::AtLeast(60_000.0));
    own(gets::p99(512), Bound::AtMost(30.0));
    own(gets::rate(64), Bound::AtLeast(20_000.0));
    own(line::rate(100), Bound::AtLeast(500.0));
    own(orphans::grant(100_000), Bound::AtMost(100.0));
    for victim in [Victim::Follower, Victim::Leader] {
        own(death::free(victim), Bound::AtMost(2_500.0));
        own(death::reply(victim), Bound::AtMost(1_000.0));
    }
    let (after, before) = (orphans::after(100_000), orphans::before(100_000));
    let risen = figures.difference(&after, &before, Elockd);
    add(format!("{after}, less that before"), Bound::AtMost(10.0), risen);
    let ratio = figures.ratio(&gets::rate(1), Elockd, Etcd);
    add(format!("{} ÷ etcd's", gets::rate(1)), Bound::AtLeast(1.0), ratio);
    goals
}
