//! The statistics: what is counted, and what `q` and `q full` print of it.

use crate::config::{Config, Limits};
use crate::machine::Cause;
use crate::table::Times;
use crate::types::{ByKind, Kind};
use crate::wire::Verb;

/// What only ever goes up, and the highest values seen. All of it since the daemon's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) commands: [u64; Verb::COUNT],
    /// Of those, how many were answered with a failure.
    pub(crate) failures: [u64; Verb::COUNT],
    pub(crate) invalid_commands: u64,
    pub(crate) orphans: ByKind<u64>,
    pub(crate) opened: u64,
    pub(crate) refused: u64,
    pub(crate) closed: [u64; Cause::ALL.len()],
    pub(crate) ignored: u64,
    /// Gets that would have passed a limit.
    pub(crate) locks_refused: u64,
    /// Waits that began, and how those ended that are over. The rest ended with their connections.
    pub(crate) waits: u64,
    pub(crate) waits_granted: u64,
    pub(crate) waits_timed_out: u64,
    pub(crate) waits_drained: u64,
    /// Waits that did not begin.
    pub(crate) deadlocks_refused: u64,
    pub(crate) queue_full: u64,
    /// Holds that ended by `ra`, by kind.
    pub(crate) released_together: ByKind<u64>,
    /// Fencing tokens given out.
    pub(crate) tokens_given: u64,
    pub(crate) peak_waiters: u32,
    pub(crate) peak_connections: u32,
    pub(crate) peak_holds: u32,
    /// The most that one connection held at a time.
    pub(crate) peak_connection_holds: u32,
    pub(crate) peak_lock_bytes: u64,
    /// The longest name that was got.
    pub(crate) peak_name_bytes: u32,
}

/// Every figure of the machine at one point in its total order; all of them are exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures<'a> {
    pub(crate) counters: &'a Counters,
    pub(crate) config: &'a Config,
    pub(crate) connections: u32,
    pub(crate) held: ByKind<u32>,
    pub(crate) holds: ByKind<u32>,
    pub(crate) dead_holds: u32,
    pub(crate) lock_bytes: u64,
    pub(crate) hold_times: &'a ByKind<Times>,
    pub(crate) wait_times: &'a ByKind<Times>,
    /// Waits now, by kind.
    pub(crate) waits: ByKind<u32>,
    /// How long the wait has lasted that has lasted longest.
    pub(crate) longest_wait_ms: u64,
    /// Fencing tokens that may still be given out.
    pub(crate) tokens_left: u64,
    pub(crate) uptime_ms: u64,
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure<'a> {
    /// A count, or a size in the unit that the key ends in.
    Number(u64),
    /// A word.
    Text(&'a str),
}

impl Figures<'_> {
    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// Holds of a kind: a shared lock with five holders is five.
    #[must_use]
    pub fn holds(&self, kind: Kind) -> u32 {
        self.holds[kind]
    }

    /// Holds of ended tenures whose storage is still to be freed. Not in `q full`: there nothing
    /// depends on how far sweeping has come.
    #[must_use]
    pub fn dead_holds(&self) -> u32 {
        self.dead_holds
    }

    /// How long the locks of a kind were held. Not in `q full` either: the sole holds of an ended
    /// connection are counted as they are swept.
    #[must_use]
    pub fn hold_times(&self, kind: Kind) -> &Times {
        &self.hold_times[kind]
    }

    /// How long the locks of a kind were waited for, by the waits that are over. Not in `q full`, where no
    /// histograms are.
    #[must_use]
    pub fn wait_times(&self, kind: Kind) -> &Times {
        &self.wait_times[kind]
    }

    /// How often a verb was asked, and how many of the answers were failures.
    #[must_use]
    pub fn outcomes(&self, verb: Verb) -> (u64, u64) {
        (self.counters.commands[verb.index()], self.counters.failures[verb.index()])
    }

    /// Calls `each` with every key and figure of `q`, or of `q full`, sorted by key.
    pub fn each(&self, full: bool, each: &mut impl FnMut(&str, Figure<'_>)) {
        let mut lines: Vec<(String, Figure<'_>)> = Vec::new();
        let mut number = |key: &str, value: u64| lines.push((key.to_owned(), Figure::Number(value)));
        let counters = self.counters;
        for verb in Verb::ALL {
            let count = counters.commands[verb.index()];
            if count > 0 || verb.is_always_shown() {
                number(&format!("command_{}", verb.word()), count);
            }
        }
        number("connections", u64::from(self.connections));
        number("invalid_commands", counters.invalid_commands);
        number("locks", u64::from(self.held[Kind::Exclusive]));
        number("orphans", counters.orphans[Kind::Exclusive]);
        number("shared_locks", u64::from(self.held[Kind::Shared]));
        number("shared_orphans", counters.orphans[Kind::Shared]);
        if full {
            self.each_more(&mut number);
            lines.push(("version".to_owned(), Figure::Text(&self.config.identity.version)));
        }
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, figure) in lines {
            each(&key, figure);
        }
    }

    /// The numbers that `q full` adds.
    fn each_more(&self, number: &mut impl FnMut(&str, u64)) {
        let Limits {
            connections,
            locks,
            locks_per_connection,
            waiters,
            waiters_per_name,
            name_bytes,
            idle_ms,
        } = self.config.limits;
        let counters = self.counters;
        for verb in Verb::ALL {
            let (asked, failed) = self.outcomes(verb);
            if asked > 0 || verb.is_always_shown() {
                number(&format!("failed_{}", verb.word()), failed);
            }
        }
        for cause in Cause::ALL {
            number(&format!("closed_{}", cause.word()), counters.closed[cause.index()]);
        }
        number("connections_opened", counters.opened);
        number("connections_refused", counters.refused);
        number("deadlocks_refused", counters.deadlocks_refused);
        number("holds", u64::from(self.holds[Kind::Exclusive]));
        number("ignored_inputs", counters.ignored);
        number("limit_connections", u64::from(connections));
        number("limit_idle_ms", idle_ms);
        number("limit_locks", u64::from(locks));
        number("limit_locks_per_connection", u64::from(locks_per_connection));
        number("limit_name_bytes", u64::from(name_bytes));
        number("limit_waiters", u64::from(waiters));
        number("limit_waiters_per_name", u64::from(waiters_per_name));
        number("lock_bytes", self.lock_bytes);
        number("locks_refused", counters.locks_refused);
        number("longest_wait_ms", self.longest_wait_ms);
        number("peak_connection_holds", u64::from(counters.peak_connection_holds));
        number("peak_connections", u64::from(counters.peak_connections));
        number("peak_holds", u64::from(counters.peak_holds));
        number("peak_lock_bytes", counters.peak_lock_bytes);
        number("peak_name_bytes", u64::from(counters.peak_name_bytes));
        number("peak_waiters", u64::from(counters.peak_waiters));
        number("pid", u64::from(self.config.identity.pid));
        number("queue_full", counters.queue_full);
        number("released_together", counters.released_together[Kind::Exclusive]);
        number("shared_holds", u64::from(self.holds[Kind::Shared]));
        number("shared_released_together", counters.released_together[Kind::Shared]);
        number("shared_waiters", u64::from(self.waits[Kind::Shared]));
        number("tokens_given", counters.tokens_given);
        number("tokens_left", self.tokens_left);
        number("uptime_ms", self.uptime_ms);
        number("waiters", u64::from(self.waits[Kind::Exclusive]));
        number("waits", counters.waits);
        number("waits_drained", counters.waits_drained);
        number("waits_granted", counters.waits_granted);
        number("waits_timed_out", counters.waits_timed_out);
    }
}
