//! The statistics: the counters, and the table of every figure. `q`, `q full`, exporters and the documentation are made
//! from the table. Figures are only read here. They never decide anything.

use super::figure_row::Nature::{self, Counter, Gauge, Peak};
use super::figure_row::{Family, FigureRow, Part, Shown};
use crate::config::{Config, Limits, Unit};
use crate::machine::Cause;
use crate::table::Times;
use crate::types::{ByKind, Kind};
use crate::wire::Verb;
use std::borrow::Cow;
use std::ops::{Index, IndexMut};

/// Passes every counter to a macro. [`Counters`] is declared from this list, and so is a snapshot's record of it.
macro_rules! for_each_counter {
    ($then:ident) => {
        $then! {
            commands: ByVerb,
            /// How many of those commands were answered with a failure.
            failures: ByVerb,
            invalid_commands: u64,
            orphans: ByKind<u64>,
            opened: u64,
            refused: u64,
            /// Connections that their address had too many of.
            address_refused: u64,
            closed: [u64; Cause::ALL.len()],
            ignored: u64,
            /// Gets that would have exceeded a limit.
            locks_refused: u64,
            /// Gets and registrations that would have taken too much memory.
            memory_refused: u64,
            /// Waits that began. Below: how they ended. The rest ended with their connections, or goes on.
            waits: u64,
            waits_granted: u64,
            waits_timed_out: u64,
            waits_drained: u64,
            /// Waits that did not begin.
            deadlocks_refused: u64,
            queue_full: u64,
            /// Of these, the waits whose deadlock check would have looked at too much.
            searches_refused: u64,
            /// Sessions that a connection took over.
            resumed: u64,
            /// Holds that ended by `ra`, by kind.
            released_together: ByKind<u64>,
            /// Holds that ended because their holder went on reading instead of writing, or the reverse.
            changes: u64,
            /// Fencing tokens given out.
            tokens_given: u64,
            peak_waiters: u32,
            peak_connections: u32,
            /// The most connections that one address had at a time.
            peak_address_connections: u32,
            peak_holds: u32,
            /// The most holds that one connection had at a time.
            peak_connection_holds: u32,
            peak_lock_bytes: u64,
            peak_memory_bytes: u64,
            /// The longest name that was got.
            peak_name_bytes: u32,
        }
    };
}
pub(crate) use for_each_counter;

macro_rules! declare_counters {
    ($($(#[doc = $doc:literal])* $field:ident: $type:ty,)+) => {
        /// Counters that only go up, and the highest values seen, all since the daemon's start.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Counters {
            $($(#[doc = $doc])* pub(crate) $field: $type,)+
        }
    };
}
for_each_counter!(declare_counters);

/// A count for each verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByVerb(pub(in crate::inspect) [u64; Verb::COUNT]);

impl Default for ByVerb {
    fn default() -> Self {
        Self([0; Verb::COUNT])
    }
}

impl Index<Verb> for ByVerb {
    type Output = u64;

    #[inline]
    fn index(&self, verb: Verb) -> &u64 {
        &self.0[verb.index()]
    }
}

impl IndexMut<Verb> for ByVerb {
    #[inline]
    fn index_mut(&mut self, verb: Verb) -> &mut u64 {
        &mut self.0[verb.index()]
    }
}

/// Every figure of the machine at one point in its total order. All are exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures<'a> {
    pub(crate) counters: &'a Counters,
    pub(crate) config: &'a Config,
    pub(crate) connections: u32,
    pub(crate) held: ByKind<u32>,
    pub(crate) holds: ByKind<u32>,
    pub(crate) dead_holds: u32,
    pub(crate) lock_bytes: u64,
    /// What counts for the limit of memory.
    pub(crate) memory_bytes: u64,
    pub(crate) hold_times: &'a ByKind<Times>,
    pub(crate) wait_times: &'a ByKind<Times>,
    /// Waits in lines now, by kind.
    pub(crate) waits: ByKind<u32>,
    /// Waits for ends now, by kind.
    pub(crate) ends: ByKind<u32>,
    /// Age of the oldest current wait.
    pub(crate) longest_wait_ms: u64,
    /// Sessions now, and the holds that they have.
    pub(crate) lingering: u32,
    pub(crate) lingering_holds: u32,
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

    /// Holds of a kind. A shared lock with five holders counts five.
    #[must_use]
    pub fn holds(&self, kind: Kind) -> u32 {
        self.holds[kind]
    }

    /// Holds of ended tenures whose storage is not freed yet. Not in `q full`, where nothing may depend on how far
    /// sweeping has come.
    #[must_use]
    pub fn dead_holds(&self) -> u32 {
        self.dead_holds
    }

    /// How long the locks of a kind were held. Not in `q full`, because the sole holds of an ended connection are
    /// counted only when they are swept.
    #[must_use]
    pub fn hold_times(&self, kind: Kind) -> &Times {
        &self.hold_times[kind]
    }

    /// How long past waits for the locks of a kind lasted. Not in `q full`, which has no histograms.
    #[must_use]
    pub fn wait_times(&self, kind: Kind) -> &Times {
        &self.wait_times[kind]
    }

    /// How often a verb was asked, and how many of the answers were failures.
    #[must_use]
    pub fn outcomes(&self, verb: Verb) -> (u64, u64) {
        (self.counters.commands[verb], self.counters.failures[verb])
    }

    /// Calls `each` with every key and figure of `q`, or of `q full`, sorted by key.
    pub fn each(&self, full: bool, each: &mut impl FnMut(&str, Figure<'_>)) {
        let most = if full { Shown::Full } else { Shown::Short };
        let mut lines: Vec<(Cow<'static, str>, Figure<'_>)> = Vec::with_capacity(ROWS.len() * 2);
        let is_node = self.config.identity.node != 0;
        for row in rows().filter(|row| row.shown <= most && (is_node || !row.is_of_a_cluster)) {
            row.each_part(|part| {
                if self.has_line(part, most) {
                    let number = row.number(self, part).map(Figure::Number);
                    let figure = number.or_else(|| row.word(self).map(Figure::Text));
                    lines.push((row.key_of(part), figure.expect("a figure is a number or a word")));
                }
            });
        }
        lines.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, figure) in lines {
            each(&key, figure);
        }
    }

    /// How many commands of a verb still wait.
    pub(crate) fn going_on(&self, verb: Verb) -> u32 {
        let count = |kind| match verb {
            _ if verb == Verb::that_waits_for(kind) => self.waits[kind],
            _ if verb == Verb::that_awaits_the_end_of(kind) => self.ends[kind],
            _ => 0,
        };
        Kind::ALL.into_iter().map(count).sum()
    }

    /// Whether a part of a figure has a line in `q full` or in `q`. Most verbs have one only once they were used. `q`
    /// has the kinds that every lockd has.
    fn has_line(&self, part: Part, most: Shown) -> bool {
        match part {
            Part::Kind(Kind::Read | Kind::Write) => most == Shown::Full,
            Part::Verb(verb) => verb.is_always_shown() || self.counters.commands[verb] > 0,
            _ => true,
        }
    }
}

/// The table of figures, including the limits.
pub fn rows() -> impl Iterator<Item = &'static FigureRow> {
    ROWS.iter().chain(&LIMITS)
}

static LIMITS: [FigureRow; Limits::ROWS.len()] = {
    let mut rows = [FigureRow::limit(&Limits::ROWS[0]); Limits::ROWS.len()];
    let mut at = 0;
    while at < rows.len() {
        rows[at] = FigureRow::limit(&Limits::ROWS[at]);
        at += 1;
    }
    rows
};

static COMMANDS: Family = Family {
    name: "commands",
    help: "Commands that were answered, by verb; a failure is an answer that begins with 0.",
    note: "For `i` and `si` a failure means that nobody holds the lock. A \
           `gw` or `sgw` is counted when its wait is over. One that gets no answer is no failure.",
};
static WAITS_ENDED: Family = Family {
    name: "waits_ended",
    help: "Waits that are over, by how they ended.",
    note: "`disconnected` is a reset, a dead peer or a `kick`. A client that sends FIN while it waits is a `timeout`.",
};
static WAITS_REFUSED: Family = Family {
    name: "waits_refused",
    help: "Waits that did not begin, because they would never have ended or because of a limit.",
    note: "",
};

/// The figures except the limits, by subject. Exporters show them in this order.
static ROWS: &[FigureRow] = &[
    FigureRow::text("version", |figures| &figures.config.identity.version).help("The daemon's release."),
    FigureRow::whole("pid", Gauge, |figures| figures.config.identity.pid.into())
        .not_a_metric()
        .help("The daemon's process id."),
    FigureRow::whole("node", Nature::Limit, |figures| figures.config.identity.node.into())
        .of_a_cluster()
        .not_a_metric()
        .help("The number of the node that answers.")
        .note("Only in a cluster."),
    FigureRow::whole("uptime_ms", Gauge, |figures| figures.uptime_ms)
        .unit(Unit::Milliseconds)
        .not_a_metric()
        .help("Time since the daemon's start."),
    // Connections.
    FigureRow::whole("connections", Gauge, |figures| figures.connections.into())
        .shown(Shown::Short)
        .help("Connections open now."),
    FigureRow::whole("peak_connections", Peak, |figures| figures.counters.peak_connections.into())
        .help("Most connections at a time since the start."),
    FigureRow::whole("connections_opened", Counter, |figures| figures.counters.opened)
        .help("Connections accepted."),
    FigureRow::whole("connections_refused", Counter, |figures| figures.counters.refused)
        .help("Connections refused because of `--max-connections`."),
    FigureRow::whole("address_refused", Counter, |figures| figures.counters.address_refused)
        .metric("address_connections_refused")
        .help("Connections refused because of `--max-connections-per-address`."),
    FigureRow::whole("peak_address_connections", Peak, |figures| {
        figures.counters.peak_address_connections.into()
    })
    .help("Most connections of one IP address at a time since the start."),
    FigureRow::by_cause("closed", |figures, cause| figures.counters.closed[cause.index()])
        .metric("connections_closed")
        .help("Connections that have ended, by cause.")
        .note("`error` is a reset or a dead peer. `resumed` is a connection whose locks another took over. \
              `node_lost` is for clusters."),
    // Sessions.
    FigureRow::whole("lingering", Gauge, |figures| figures.lingering.into())
        .help("Sessions now: connections that have ended and whose locks linger."),
    FigureRow::whole("lingering_holds", Gauge, |figures| figures.lingering_holds.into())
        .help("Holds of sessions now.")
        .note("They are among the other holds."),
    FigureRow::whole("resumed", Counter, |figures| figures.counters.resumed)
        .help("Sessions taken over with `resume`.")
        .note("The connection that had the locks may have ended before, or end then."),
    // Locks and holds.
    FigureRow::by_kind("locks", Gauge, |figures, kind| figures.held[kind].into())
        .shown(Shown::Short)
        .help("Names locked now.")
        .note("A shared lock with five holders is one."),
    FigureRow::by_kind("holds", Gauge, |figures, kind| figures.holds(kind).into())
        .help("Holds now: a shared lock with five holders is five."),
    FigureRow::whole("peak_holds", Peak, |figures| figures.counters.peak_holds.into())
        .help("Most holds of all kinds at a time since the start."),
    FigureRow::whole("peak_connection_holds", Peak, |figures| figures.counters.peak_connection_holds.into())
        .help("Most holds of one connection at a time since the start."),
    FigureRow::by_kind("orphans", Counter, |figures, kind| figures.counters.orphans[kind])
        .shown(Shown::Short)
        .help("Holds released because their connection ended.")
        .note("A shared lock that five ended connections held is five."),
    FigureRow::by_kind("released_together", Counter, |figures, kind| {
        figures.counters.released_together[kind]
    })
    .help("Holds released by `ra`."),
    FigureRow::whole("changes", Counter, |figures| figures.counters.changes)
        .metric("holds_changed")
        .help("Changes from reading to writing, or from writing to reading, without a release between."),
    FigureRow::whole("locks_refused", Counter, |figures| figures.counters.locks_refused)
        .help("Gets answered `0 Too Many Locks`."),
    FigureRow::whole("lock_bytes", Gauge, |figures| figures.lock_bytes)
        .unit(Unit::Bytes)
        .help("Memory used by locks, without their indexes."),
    FigureRow::whole("peak_lock_bytes", Peak, |figures| figures.counters.peak_lock_bytes)
        .unit(Unit::Bytes)
        .not_a_metric()
        .help("Most memory used by locks at a time since the start, without their indexes."),
    FigureRow::whole("memory_bytes", Gauge, |figures| figures.memory_bytes)
        .unit(Unit::Bytes)
        .help("Memory of connections, names, holds and waits, as `--max-memory` counts it."),
    FigureRow::whole("peak_memory_bytes", Peak, |figures| figures.counters.peak_memory_bytes)
        .unit(Unit::Bytes)
        .metric("memory_peak_bytes")
        .help("Most memory at a time since the start, as `--max-memory` counts it."),
    FigureRow::whole("memory_refused", Counter, |figures| figures.counters.memory_refused)
        .help("Gets and `iam` answered `0 Out Of Memory`."),
    FigureRow::whole("peak_name_bytes", Peak, |figures| figures.counters.peak_name_bytes.into())
        .unit(Unit::Bytes)
        .not_a_metric()
        .help("Bytes of the longest name locked since the start."),
    FigureRow::whole("dead_holds", Gauge, |figures| figures.dead_holds.into())
        .shown(Shown::Export)
        .help("Holds of ended connections whose memory is still to be freed."),
    // Waits.
    FigureRow::by_kind("waiters", Gauge, |figures, kind| figures.waits[kind].into())
        .help("Clients waiting for a lock now."),
    FigureRow::whole("end_waiters", Gauge, |figures| figures.ends.total().into())
        .help("Clients waiting for the end of a lock's holds now."),
    FigureRow::whole("peak_waiters", Peak, |figures| figures.counters.peak_waiters.into())
        .help("Most clients waiting at a time since the start."),
    FigureRow::whole("longest_wait_ms", Gauge, |figures| figures.longest_wait_ms)
        .unit(Unit::Milliseconds)
        .help("Age of the oldest current wait; 0 when nobody waits."),
    FigureRow::whole("waits", Counter, |figures| figures.counters.waits)
        .help("Waits that began.")
        .note("A get that is answered at once is no wait."),
    FigureRow::whole("waits_granted", Counter, |figures| figures.counters.waits_granted)
        .series(&WAITS_ENDED, "outcome", "granted")
        .help("Waits that ended with the lock."),
    FigureRow::whole("waits_timed_out", Counter, |figures| figures.counters.waits_timed_out)
        .series(&WAITS_ENDED, "outcome", "timeout")
        .help("Waits that ended with `Timeout`."),
    FigureRow::whole("waits_drained", Counter, |figures| figures.counters.waits_drained)
        .series(&WAITS_ENDED, "outcome", "shutdown")
        .help("Waits that ended with `Shutting Down`."),
    FigureRow::whole("waits_disconnected", Counter, waits_disconnected)
        .shown(Shown::Export)
        .series(&WAITS_ENDED, "outcome", "disconnected")
        .help("Waits that ended with their connection."),
    FigureRow::whole("deadlocks_refused", Counter, |figures| figures.counters.deadlocks_refused)
        .series(&WAITS_REFUSED, "reason", "deadlock")
        .help("Gets answered `Deadlock`."),
    FigureRow::whole("queue_full", Counter, |figures| figures.counters.queue_full)
        .series(&WAITS_REFUSED, "reason", "queue_full")
        .help("Gets answered `Queue Full`."),
    FigureRow::whole("searches_refused", Counter, |figures| figures.counters.searches_refused)
        .help("Of the gets answered `Queue Full`, those refused because of `--max-step-holds`."),
    // Fencing tokens.
    FigureRow::whole("tokens_given", Counter, |figures| figures.counters.tokens_given)
        .help("Fencing tokens given out."),
    FigureRow::whole("tokens_left", Gauge, |figures| figures.tokens_left)
        .help("Fencing tokens reserved and not given out yet."),
    // Commands.
    FigureRow::by_verb("command", |figures, verb| figures.outcomes(verb).0)
        .shown(Shown::Short)
        .not_a_metric()
        .help("Commands with this verb, whatever the answer was.")
        .note(
            "`d`, `dump`, `g`, `i`, `q`, `r`, `sd`, `sg`, `si` and `sr` have a line from the start. Other verbs have \
             one once they have been used *(new)*.",
        ),
    FigureRow::by_verb("succeeded", succeeded)
        .shown(Shown::Export)
        .series(&COMMANDS, "outcome", "success")
        .help("Commands with this verb that were answered, and not with a failure."),
    FigureRow::by_verb("failed", |figures, verb| figures.outcomes(verb).1)
        .series(&COMMANDS, "outcome", "failure")
        .help("Commands with this verb whose answer began with `0 `.")
        .note("For `i` and `si` that means that nobody holds the lock. A listing that is too large is no failure here."),
    FigureRow::whole("invalid_commands", Counter, |figures| figures.counters.invalid_commands)
        .shown(Shown::Short)
        .help("Unknown commands, bad arguments, and lines and names that were too long."),
    FigureRow::whole("ignored_inputs", Counter, |figures| figures.counters.ignored)
        .help("Events of connections that had ended already.")
        .note("A connection may still send in the moment between its end in the machine and the end of its socket."),
];

/// Waits that ended with their connections: what is left of all waits. Exact, because all figures are of one moment.
fn waits_disconnected(figures: &Figures<'_>) -> u64 {
    let counters = figures.counters;
    let answered = counters.waits_granted + counters.waits_timed_out + counters.waits_drained;
    let going_on = u64::from(figures.waits.total() + figures.ends.total());
    counters.waits.saturating_sub(answered + going_on)
}

/// Commands of a verb that were answered without a failure. A command that still waits does not count. Otherwise the
/// counter would go down when the wait fails.
fn succeeded(figures: &Figures<'_>, verb: Verb) -> u64 {
    let (asked, failed) = figures.outcomes(verb);
    asked.saturating_sub(failed + u64::from(figures.going_on(verb)))
}

#[cfg(test)]
mod tests {
    use super::super::figure_row::Metric;
    use super::*;
    use crate::machine::{DriverInput, Input, Machine};
    use crate::types::{Account, Addr, Conn, Now, Origin};
    use crate::wire::{Command, Wish};
    use std::collections::BTreeSet;

    /// Every key that can be in `q full`, and every key for exporters.
    fn keys() -> Vec<Cow<'static, str>> {
        let mut keys = Vec::new();
        rows().for_each(|row| row.each_part(|part| keys.push(row.key_of(part))));
        keys
    }

    #[test]
    fn no_key_is_there_twice() {
        let keys = keys();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{keys:?}");
    }

    #[test]
    fn every_figure_says_in_one_sentence_what_it_is() {
        for row in rows() {
            assert!(row.help.ends_with('.') && !row.help.contains(". "), "{}: {}", row.key, row.help);
            assert!(row.note.is_empty() || row.note.ends_with('.'), "{}: {}", row.key, row.note);
        }
    }

    #[test]
    fn a_name_says_what_its_figure_is() {
        for row in rows() {
            assert_eq!(row.key.ends_with("_ms"), row.unit == Unit::Milliseconds, "{}", row.key);
            assert_eq!(row.key.ends_with("_bytes"), row.unit == Unit::Bytes, "{}", row.key);
            assert_eq!(row.key.starts_with("peak_"), row.nature == Peak, "{}", row.key);
            let is_setting = row.key.starts_with("limit_") || row.is_of_a_cluster;
            assert_eq!(is_setting, row.nature == Nature::Limit, "{}", row.key);
        }
    }

    #[test]
    fn metrics_that_are_figures_of_their_own_have_names_of_their_own() {
        let own = rows().filter(|row| !matches!(row.metric, Some(Metric::Series { .. })));
        let names: Vec<_> = own.filter_map(FigureRow::metric_name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }

    #[test]
    fn every_verb_that_may_wait_has_a_count_of_its_own() {
        let machine = Machine::new(Config::smallest_storage());
        let mut figures = machine.figures();
        figures.waits = ByKind::from_array([1, 2, 3, 4]);
        figures.ends = ByKind::from_array([5, 6, 0, 0]);
        let waiting = Verb::ALL.into_iter().filter(|verb| verb.may_wait());
        let mut counts: Vec<u32> = waiting.map(|verb| figures.going_on(verb)).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 2, 3, 4, 5, 6], "nobody waits for the end of readers and writers");
        assert!(Verb::ALL.into_iter().all(|verb| verb.may_wait() == (figures.going_on(verb) > 0)));
    }

    #[test]
    fn a_key_is_made_of_its_row_and_its_part() {
        let keys = keys();
        for key in ["locks", "shared_locks", "command_sgl", "failed_g", "closed_kicked", "limit_idle_ms"] {
            assert!(keys.iter().any(|known| known == key), "{key}");
        }
    }

    #[test]
    fn ages_are_those_of_the_time_of_looking_and_never_go_back() {
        let mut machine = Machine::new(Config::smallest_storage());
        for serial in [1, 2] {
            let conn = Conn::new(0, serial);
            let origin = Origin { addr: Addr::Unix(serial), account: Account::default() };
            machine.apply(Now(0), DriverInput::Opened(conn, origin), &mut |_, _| {});
            let get = Command::Get(Wish::at_once(Kind::Exclusive, "a").waiting(5000));
            machine.apply(Now(100), Input::Command(conn, &get), &mut |_, _| {});
        }
        let ages = |now| {
            let figures = machine.figures_at(now);
            (figures.longest_wait_ms, figures.uptime_ms)
        };
        assert_eq!(ages(Now(142)), (42, 142), "nothing came in between");
        assert_eq!(ages(Now(99)), (0, 100), "not before the last input");
        let figures = machine.figures();
        assert_eq!((figures.longest_wait_ms, figures.uptime_ms), (0, 100));
    }

    #[test]
    fn lines_are_sorted_and_those_of_unused_verbs_are_left_out() {
        let machine = Machine::new(Config::smallest_storage());
        for (full, least) in [(false, 16), (true, 60)] {
            let mut keys = Vec::new();
            machine.figures().each(full, &mut |key, _| keys.push(key.to_owned()));
            assert!(keys.is_sorted() && keys.len() >= least, "{} lines: {keys:?}", keys.len());
            assert!(!keys.iter().any(|key| key == "command_gw"), "{keys:?}");
        }
    }

    /// Goal: a node says which it is, in `q full` alone, and a daemon that is alone says nothing more than before.
    #[test]
    fn only_a_node_of_a_cluster_has_a_number() {
        for (number, full, expected) in [(0, true, None), (7, false, None), (7, true, Some(7))] {
            let mut config = Config::smallest_storage();
            config.identity.node = number;
            let machine = Machine::new(config);
            let mut node = None;
            machine.figures().each(full, &mut |key, figure| {
                if let ("node", Figure::Number(number)) = (key, figure) {
                    node = Some(number);
                }
            });
            assert_eq!(node, expected, "node {number}, full {full}");
        }
    }
}
