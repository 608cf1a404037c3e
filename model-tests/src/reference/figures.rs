//! The statistics. Some are counted as things happen, others when they are asked for. This list of figures is the
//! reference's own on purpose: the machine's table is compared with it.

use super::{Reference, Wait, line, memory_of_registration};
use elockd_core::{Conn, Kind};
use std::collections::BTreeMap;

/// Verbs that are shown before their first use. Below: the others.
const ALWAYS: [&str; 10] = ["d", "dump", "g", "i", "q", "r", "sd", "sg", "si", "sr"];
const ONCE_USED: [&str; 31] = [
    "auth", "f", "gw", "help", "iam", "iw", "kick", "linger", "ls", "me", "ping", "quit", "ra", "resume",
    "rf", "rg", "rgw", "ri", "rr", "sf", "sgl", "sgw", "siw", "steal", "wf", "wg", "wgw", "who", "wi", "wr",
    "wsteal",
];

/// Figures that only go up.
const COUNTED: &[&str] = &[
    "address_refused",
    "changes",
    "closed_eof",
    "closed_error",
    "closed_idle",
    "closed_kicked",
    "closed_quit",
    "closed_refused",
    "closed_node_lost",
    "closed_resumed",
    "closed_shutdown",
    "closed_stalled",
    "connections_opened",
    "connections_refused",
    "deadlocks_refused",
    "ignored_inputs",
    "locks_refused",
    "memory_refused",
    "peak_address_connections",
    "peak_connection_holds",
    "peak_connections",
    "peak_holds",
    "peak_lock_bytes",
    "peak_memory_bytes",
    "peak_name_bytes",
    "peak_waiters",
    "queue_full",
    "read_orphans",
    "read_released_together",
    "released_together",
    "resumed",
    "searches_refused",
    "shared_released_together",
    "tokens_given",
    "waits",
    "waits_drained",
    "waits_granted",
    "waits_timed_out",
    "write_orphans",
    "write_released_together",
];

/// What a wait counts for the limit of memory.
pub(super) const MEMORY_OF_WAIT: u64 = 120;

/// Counts of refusals: the figure, and the beginning of the replies that it counts.
const REFUSALS: &[(&str, &str)] = &[
    ("locks_refused", "0 Too Many Locks: "),
    ("memory_refused", "0 Out Of Memory: "),
    ("deadlocks_refused", "0 Lock Get Deadlock: "),
    ("deadlocks_refused", "0 Shared Lock Get Deadlock: "),
    ("deadlocks_refused", "0 Read Lock Get Deadlock: "),
    ("deadlocks_refused", "0 Write Lock Get Deadlock: "),
    ("deadlocks_refused", "0 Lock Wait Deadlock: "),
    ("deadlocks_refused", "0 Shared Lock Wait Deadlock: "),
    ("queue_full", "0 Lock Wait Queue Full: "),
    ("queue_full", "0 Shared Lock Wait Queue Full: "),
    ("queue_full", "0 Lock Get Queue Full: "),
    ("queue_full", "0 Shared Lock Get Queue Full: "),
    ("queue_full", "0 Read Lock Get Queue Full: "),
    ("queue_full", "0 Write Lock Get Queue Full: "),
];

impl Reference {
    /// `q`, `q full`.
    pub(super) fn figures(&self, full: bool) -> Vec<u8> {
        let count = |key: &str| self.counts.get(key).copied().unwrap_or(0);
        let names = |kind| self.locks.keys().filter(|(of, _)| *of == kind).count() as u64;
        let mut figures: BTreeMap<String, String> = BTreeMap::new();
        let mut number = |key: &str, value: u64| figures.insert(key.to_owned(), value.to_string());
        let used = ONCE_USED.into_iter().filter(|verb| count(verb) > 0);
        let verbs: Vec<&str> = ALWAYS.into_iter().chain(used).collect();
        for verb in &verbs {
            number(&format!("command_{verb}"), count(verb));
        }
        number("connections", self.open.len() as u64);
        number("locks", names(Kind::Exclusive));
        number("shared_locks", names(Kind::Shared));
        for key in ["invalid_commands", "orphans", "shared_orphans"] {
            number(key, count(key));
        }
        if full {
            for verb in &verbs {
                number(&format!("failed_{verb}"), self.failures.get(verb).copied().unwrap_or(0));
            }
            for &key in COUNTED {
                number(key, count(key));
            }
            number("read_locks", names(Kind::Read));
            number("write_locks", names(Kind::Write));
            for (kind, holds, waiters) in [
                (Kind::Exclusive, "holds", "waiters"),
                (Kind::Shared, "shared_holds", "shared_waiters"),
                (Kind::Read, "read_holds", "read_waiters"),
                (Kind::Write, "write_holds", "write_waiters"),
            ] {
                number(holds, self.holds(|of, _| of == kind) as u64);
                let in_line = |wait: &&Wait| wait.kind == kind && wait.still.is_none();
                number(waiters, self.waits.iter().filter(in_line).count() as u64);
            }
            number("end_waiters", self.waits.iter().filter(|wait| wait.still.is_some()).count() as u64);
            let limits = &self.config.limits;
            number("limit_connections", limits.connections.into());
            number("limit_connections_per_address", limits.connections_per_address.into());
            number("lingering", self.sessions.len() as u64);
            let is_left = |conn: &Conn| self.sessions.iter().any(|session| session.conn == *conn);
            number("lingering_holds", self.holds(|_, conn| is_left(&conn)) as u64);
            number("limit_idle_ms", limits.idle_ms);
            number("limit_linger_ms", limits.linger_ms.into());
            number("limit_locks", limits.locks.into());
            number("limit_locks_per_connection", limits.locks_per_connection.into());
            number("limit_memory_bytes", limits.memory_bytes);
            number("limit_name_bytes", limits.name_bytes.into());
            number("limit_step_holds", limits.step_holds.into());
            number("limit_waiters", limits.waiters.into());
            number("limit_waiters_per_name", limits.waiters_per_name.into());
            number("lock_bytes", self.lock_bytes());
            number("memory_bytes", self.memory());
            number("longest_wait_ms", self.waits.iter().map(|wait| self.now - wait.began).max().unwrap_or(0));
            number("pid", self.config.identity.pid.into());
            if self.config.identity.node > 0 {
                number("node", self.config.identity.node.into());
            }
            number("tokens_left", self.tokens_left());
            number("uptime_ms", self.now);
            figures.insert("version".to_owned(), self.config.identity.version.clone());
        }
        let lines: Vec<_> = figures.into_iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        line(&lines.concat(), b"")
    }

    /// The memory of all locks.
    fn lock_bytes(&self) -> u64 {
        self.locks.iter().map(|((_, name), holders)| bytes_of(name, holders.len())).sum()
    }

    /// The memory of one lock.
    pub(super) fn bytes_of(&self, kind: Kind, name: &[u8]) -> u64 {
        bytes_of(name, self.holders(kind, name).len())
    }

    /// What counts for the limit of memory, by the table in the operators' manual.
    pub(super) fn memory(&self) -> u64 {
        let connections = self.open.len() as u64 * 1024;
        let called: u64 = self.registered.iter().map(|(_, name)| memory_of_registration(name)).sum();
        let left = self.sessions.len() as u64 * 256;
        connections + left + called + self.memory_of_locks + self.waits.len() as u64 * MEMORY_OF_WAIT
    }

    /// What a lock with so many holders counts for the limit of memory.
    pub(super) fn memory_of_lock(name: &[u8], holders: usize) -> u64 {
        let outer = if name.len() > 29 { name.len() as u64 + 16 } else { 0 };
        if holders == 0 { 0 } else { 104 + outer + 56 * holders as u64 }
    }

    /// Whether so much more may be taken.
    pub(super) fn has_memory(&self, more: u64) -> bool {
        self.memory() + more <= self.config.limits.memory_bytes
    }

    /// How many holds `is_wanted` accepts.
    pub(super) fn holds(&self, is_wanted: impl Fn(Kind, Conn) -> bool) -> usize {
        let all =
            self.locks.iter().flat_map(|((kind, _), holders)| holders.iter().map(|holder| (*kind, *holder)));
        all.filter(|(kind, holder)| is_wanted(*kind, *holder)).count()
    }

    pub(super) fn count(&mut self, key: &'static str) {
        self.count_more(key, 1);
    }

    pub(super) fn count_more(&mut self, key: &'static str, more: u64) {
        *self.counts.entry(key).or_default() += more;
    }

    /// Counts a reply to a verb if it is a failure, and the refusal if it is one.
    pub(super) fn note_failure(&mut self, verb: &'static str, text: &[u8]) {
        if text.starts_with(b"0 ") {
            *self.failures.entry(verb).or_default() += 1;
        }
        for (key, _) in REFUSALS.iter().filter(|(_, reply)| text.starts_with(reply.as_bytes())) {
            self.count(key);
        }
    }

    /// Raises the peaks after a hold has begun. `own` is how many its connection has.
    pub(super) fn note_peaks(&mut self, own: usize, name: &[u8]) {
        self.note_peak("peak_holds", self.held_by_account.values().sum());
        self.note_peak("peak_lock_bytes", self.bytes as usize);
        self.note_peak("peak_connection_holds", own);
        self.note_peak("peak_name_bytes", name.len());
    }

    /// Raises the peak of memory after more was taken.
    pub(super) fn note_memory(&mut self) {
        self.note_peak("peak_memory_bytes", self.memory() as usize);
    }

    pub(super) fn note_peak(&mut self, key: &'static str, value: usize) {
        let peak = self.counts.entry(key).or_default();
        *peak = (*peak).max(value as u64);
    }
}

/// The memory of a lock, by the rule in the operators' manual: 56 bytes for its name, 48 for each holder after the
/// first, and for a name longer than 29 bytes its length and 16 more.
fn bytes_of(name: &[u8], holders: usize) -> u64 {
    match holders as u64 {
        0 => 0,
        holders => 56 + 48 * (holders - 1) + if name.len() > 29 { name.len() as u64 + 16 } else { 0 },
    }
}
