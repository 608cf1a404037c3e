//! What a life must come to: a count for each figure, kept by the test beside what it does.

use super::series;
use crate::support::{Client, Daemon, PATIENCE, poll};
use elockd_core::figures::{Shown, rows};
use elockd_core::{Cause, Kind, Limits, Unit};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;
use tempfile::TempDir;

/// Every figure by its key. Beside those of `q full` there are what exporters alone show, and the server's own.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(BTreeMap<String, u64>);

/// What the server counts beside the machine's figures.
const OF_THE_SERVER: [&str; 13] = [
    "long_holds",
    "listings_refused",
    "token_failures",
    "hold_times",
    "shared_hold_times",
    "read_hold_times",
    "write_hold_times",
    "wait_times",
    "shared_wait_times",
    "read_wait_times",
    "write_wait_times",
    "latency",
    "unauthenticated_closed",
];

impl Default for Ledger {
    fn default() -> Self {
        let mut counts = BTreeMap::new();
        for row in rows().filter(|row| row.key != "version" && !row.is_of_a_cluster) {
            row.each_part(|part| counts.extend([(row.key_of(part).into_owned(), 0)]));
        }
        counts.extend(OF_THE_SERVER.map(|key| (key.to_owned(), 0)));
        Self(counts)
    }
}

/// The key of a figure of a kind.
pub(crate) fn of_kind(kind: Kind, key: &str) -> String {
    match kind {
        Kind::Exclusive => key.to_owned(),
        Kind::Shared => format!("shared_{key}"),
        Kind::Read => format!("read_{key}"),
        Kind::Write => format!("write_{key}"),
    }
}

impl Ledger {
    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(crate) fn at(&mut self, key: &str) -> &mut u64 {
        self.0.get_mut(key).unwrap_or_else(|| panic!("there is no figure {key}"))
    }

    fn raise(&mut self, peak: &str, to: u64) {
        let peak = self.at(peak);
        *peak = (*peak).max(to);
    }

    fn is_shown(&self, key: &str) -> bool {
        match key.strip_prefix("command_").or_else(|| key.strip_prefix("failed_")) {
            Some(verb) => OLD_VERBS.contains(&verb) || self.0[&format!("command_{verb}")] > 0,
            None => true,
        }
    }
}

/// The verbs that have a line before they are used.
const OLD_VERBS: [&str; 10] = ["d", "dump", "g", "i", "q", "r", "sd", "sg", "si", "sr"];

/// A daemon, and what has to be so of it.
pub(crate) struct Life {
    pub(crate) daemon: Daemon,
    pub(crate) ledger: Ledger,
    admin: PathBuf,
    _dir: TempDir,
    /// What the holds count for the limit of memory.
    memory_of_holds: u64,
    /// Before its process was there.
    born: Instant,
    /// When the daemon was seen to be there.
    seen: Instant,
}

impl Life {
    /// A daemon with a value of its own for each limit of the machine: a given one, or one that is out of the way.
    pub(crate) fn start(limits: &[(&str, u64)], start: impl FnOnce(&[&str]) -> Daemon) -> Self {
        let dir = TempDir::new().unwrap();
        let admin = dir.path().join("admin.sock");
        let mut ledger = Ledger::default();
        let mut flags = ["--metrics-listen", "127.0.0.1:0", "--admin-unix"].map(str::to_owned).to_vec();
        flags.push(admin.to_str().unwrap().to_owned());
        for (row, rank) in Limits::ROWS.iter().zip(1..) {
            let given = limits.iter().find(|(flag, _)| *flag == row.flag);
            let out_of_the_way = match (row.flag, row.unit) {
                // A line must have room for a name.
                ("max-name-bytes", _) => 8000,
                // Each needs a file descriptor, and the daemon lowers it to those that it has.
                ("max-connections", _) => 500,
                (_, Unit::Milliseconds) => 86_400_000,
                _ => *row.allowed.end(),
            };
            let value = given.map_or(out_of_the_way - 7 * rank, |(_, value)| *value);
            let unit = if row.unit == Unit::Milliseconds { "ms" } else { "" };
            flags.push(format!("--{}={value}{unit}", row.flag));
            if !row.figure.is_empty() {
                *ledger.at(row.figure) = value;
            }
        }
        let born = Instant::now();
        let daemon = start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
        daemon.wait_for_log("for operators");
        let mut life =
            Self { daemon, ledger, admin, _dir: dir, memory_of_holds: 0, born, seen: Instant::now() };
        *life.ledger.at("tokens_left") = 65_536;
        life
    }

    pub(crate) fn unix(&mut self) -> Client {
        self.opened(self.daemon.unix())
    }

    pub(crate) fn tcp(&mut self) -> Client {
        self.opened(self.daemon.tcp())
    }

    pub(crate) fn operator(&mut self) -> Client {
        self.opened(Client::unix(&self.admin))
    }

    fn opened(&mut self, client: Client) -> Client {
        *self.ledger.at("connections_opened") += 1;
        *self.ledger.at("connections") += 1;
        let connections = *self.ledger.at("connections");
        self.ledger.raise("peak_connections", connections);
        self.note_memory();
        self.wait_for("elockd_connections_opened_total", "connections_opened");
        client
    }

    /// A client has ended: waits until the daemon knows.
    pub(crate) fn closed(&mut self, cause: Cause) {
        self.all_closed(cause, 1);
    }

    /// The same of several.
    pub(crate) fn all_closed(&mut self, cause: Cause, clients: u64) {
        *self.ledger.at(&format!("closed_{}", cause.word())) += clients;
        *self.ledger.at("connections") -= clients;
        self.wait_for("elockd_connections", "connections");
    }

    /// Waits until a series is what it must be. A scrape is no command.
    pub(crate) fn wait_for(&mut self, series: &str, key: &str) {
        let expected = *self.ledger.at(key);
        poll(&format!("{series} to be {expected}"), PATIENCE, || {
            (self.metrics()[series].parse() == Ok(expected)).then_some(())
        });
    }

    /// Every series of the metrics, and its value.
    pub(crate) fn metrics(&self) -> BTreeMap<String, String> {
        series::scrape(self.daemon.metrics_address())
    }

    /// Says the same several times. Each time the answer must be this, and is counted.
    pub(crate) fn ask(&mut self, client: &mut Client, times: u64, request: &str, answer: &str) {
        let mut left = times;
        while left > 0 {
            let together = left.min(100);
            client.send(format!("{request}\n").repeat(together as usize));
            client.expect(format!("{answer}\n").repeat(together as usize));
            left -= together;
        }
        self.count(request, times, answer.starts_with("0 "));
    }

    /// The same, whatever the answer is, as long as it is a failure or none as it should be.
    pub(crate) fn ask_any(&mut self, client: &mut Client, times: u64, request: &str, is_failure: bool) {
        let verb = request.split(' ').next().unwrap();
        let is_framed = ["d", "help", "ls", "q", "sd", "who"].contains(&verb);
        for _ in 0..times {
            client.send(format!("{request}\n"));
            let answer = if is_framed { client.lines().join("\n") } else { client.line() };
            assert_eq!(answer.starts_with("0 "), is_failure, "{request}: {answer}");
        }
        self.count(request, times, is_failure);
    }

    /// Says the same until its verb has succeeded or failed this often in all.
    pub(crate) fn ask_until(&mut self, outcome: &str, times: u64, client: &mut Client, request: &str) {
        let verb = request.split(' ').next().unwrap();
        let missing = times.checked_sub(*self.ledger.at(&format!("{outcome}_{verb}")));
        let missing = missing.unwrap_or_else(|| panic!("{verb} {outcome} more often than {times} times"));
        self.ask_any(client, missing, request, outcome == "failed");
    }

    /// Says what is no command.
    pub(crate) fn invalid(&mut self, client: &mut Client, times: u64, request: &str, answer: &str) {
        client.send(format!("{request}\n").repeat(times as usize));
        client.expect(format!("{answer}\n").repeat(times as usize));
        *self.ledger.at("invalid_commands") += times;
        *self.ledger.at("latency") += times;
    }

    /// A command that was said, and that is answered elsewhere.
    pub(crate) fn count(&mut self, request: &str, times: u64, is_failure: bool) {
        let verb = request.split(' ').next().unwrap();
        *self.ledger.at(&format!("command_{verb}")) += times;
        let outcome = if is_failure { "failed" } else { "succeeded" };
        *self.ledger.at(&format!("{outcome}_{verb}")) += times;
        *self.ledger.at("latency") += times;
    }

    /// A connection got a lock that has this many holders now.
    pub(crate) fn got(&mut self, kind: Kind, name: &str, holders: u64) {
        *self.ledger.at(&of_kind(kind, "holds")) += 1;
        *self.ledger.at(&of_kind(kind, "locks")) += u64::from(holders == 1);
        *self.ledger.at("lock_bytes") += bytes_of(name, holders);
        let (bytes, holds) = (*self.ledger.at("lock_bytes"), self.of_all_kinds("holds"));
        self.ledger.raise("peak_lock_bytes", bytes);
        self.ledger.raise("peak_holds", holds);
        self.ledger.raise("peak_name_bytes", name.len() as u64);
        self.memory_of_holds += memory_of(name, holders);
        self.note_memory();
    }

    /// Nobody holds anything any more, but for what lingers: exclusive locks with short names.
    pub(crate) fn lost_all(&mut self) {
        let left = *self.ledger.at("lingering_holds");
        *self.ledger.at("lock_bytes") = left * bytes_of("short", 1);
        self.memory_of_holds = left * memory_of("short", 1);
    }

    /// What connections, holds, waits and what lingers count for the limit of memory: 1,024 bytes for each connection,
    /// 120 for each wait, and 256 for what a connection left. No connection has a registered name when this is
    /// compared.
    fn note_memory(&mut self) {
        let waits = self.all_waiters();
        let left = 256 * *self.ledger.at("lingering");
        let memory = 1024 * *self.ledger.at("connections") + self.memory_of_holds + 120 * waits + left;
        *self.ledger.at("memory_bytes") = memory;
        self.ledger.raise("peak_memory_bytes", memory);
    }

    /// A connection lost a lock that had this many holders until now.
    pub(crate) fn lost(&mut self, kind: Kind, name: &str, holders: u64) {
        *self.ledger.at(&of_kind(kind, "holds")) -= 1;
        *self.ledger.at(&of_kind(kind, "locks")) -= u64::from(holders == 1);
        *self.ledger.at("lock_bytes") -= bytes_of(name, holders);
        self.memory_of_holds -= memory_of(name, holders);
        *self.ledger.at(&of_kind(kind, "hold_times")) += 1;
    }

    /// The same, because the connection has ended.
    pub(crate) fn orphaned(&mut self, kind: Kind, name: &str, holders: u64) {
        self.lost(kind, name, holders);
        *self.ledger.at(&of_kind(kind, "orphans")) += 1;
    }

    /// The sum of a figure over all kinds.
    fn of_all_kinds(&mut self, key: &str) -> u64 {
        Kind::ALL.into_iter().map(|kind| *self.ledger.at(&of_kind(kind, key))).sum()
    }

    fn all_waiters(&mut self) -> u64 {
        self.of_all_kinds("waiters") + *self.ledger.at("end_waiters")
    }

    /// A wait for an end has begun: waits until the daemon says so.
    pub(crate) fn awaits_end(&mut self, client: &mut Client, request: &str) {
        client.send(format!("{request}\n"));
        let verb = request.split(' ').next().unwrap();
        *self.ledger.at(&format!("command_{verb}")) += 1;
        *self.ledger.at("latency") += 1;
        *self.ledger.at("waits") += 1;
        *self.ledger.at("end_waiters") += 1;
        let all = self.all_waiters();
        self.ledger.raise("peak_waiters", all);
        self.note_memory();
        self.wait_for("elockd_waits_total", "waits");
    }

    /// A wait for an end is over in this way: the verb's outcome, and the figure of the end.
    pub(crate) fn end_awaited(&mut self, kind: Kind, verb: &str, outcome: &str, end: &str) {
        *self.ledger.at(&format!("{outcome}_{verb}")) += 1;
        *self.ledger.at(end) += 1;
        *self.ledger.at("end_waiters") -= 1;
        *self.ledger.at(&of_kind(kind, "wait_times")) += 1;
    }

    /// A connection that holds a lock alone holds it in another way from now on.
    pub(crate) fn changed(&mut self, before: Kind, after: Kind, name: &str) {
        self.lost(before, name, 1);
        self.got(after, name, 1);
        *self.ledger.at("changes") += 1;
    }

    /// A wait has begun: waits until the daemon says so.
    pub(crate) fn waits(&mut self, kind: Kind, client: &mut Client, request: &str) {
        client.send(format!("{request}\n"));
        let verb = request.split(' ').next().unwrap();
        // It is counted as asked; how it was answered is counted at its end.
        *self.ledger.at(&format!("command_{verb}")) += 1;
        *self.ledger.at("latency") += 1;
        *self.ledger.at("waits") += 1;
        *self.ledger.at(&of_kind(kind, "waiters")) += 1;
        let all = self.all_waiters();
        self.ledger.raise("peak_waiters", all);
        self.wait_for("elockd_waits_total", "waits");
    }

    /// A wait has ended in this way: the verb's outcome, and the figure of the end.
    pub(crate) fn waited(&mut self, kind: Kind, outcome: &str, end: &str) {
        let verb = match kind {
            Kind::Exclusive => "gw",
            Kind::Shared => "sgw",
            Kind::Read => "rgw",
            Kind::Write => "wgw",
        };
        *self.ledger.at(&format!("{outcome}_{verb}")) += 1;
        *self.ledger.at(end) += 1;
        *self.ledger.at(&of_kind(kind, "waiters")) -= 1;
        *self.ledger.at(&of_kind(kind, "wait_times")) += 1;
    }

    /// Compares all that the daemon tells of itself: `q full` by way of a client, if there is one, and the metrics.
    pub(crate) fn compare(&mut self, client: Option<&mut Client>) -> BTreeMap<String, u64> {
        *self.ledger.at("pid") = self.daemon.pid().into();
        self.note_memory();
        self.wait_for("elockd_dead_holds", "dead_holds");
        if let Some(client) = client {
            self.count("q full", 1, false);
            let least = self.seen.elapsed();
            let mut answer = client.figures();
            let most = self.born.elapsed();
            for key in ["uptime_ms", "longest_wait_ms"] {
                let ms = answer.remove(key).unwrap_or_else(|| panic!("no {key}"));
                let is_so = u128::from(ms) <= most.as_millis() + 1;
                assert!(is_so, "{key} is {ms}, and the daemon is {most:?} old");
                assert!(
                    key != "uptime_ms" || u128::from(ms) + 1 >= least.as_millis(),
                    "{key} is {ms}, not {least:?}"
                );
            }
            for key in self.ledger.keys() {
                let row = rows().find(|row| {
                    let mut is_it = false;
                    row.each_part(|part| is_it |= row.key_of(part) == *key);
                    is_it
                });
                let is_there =
                    row.is_some_and(|row| row.shown != Shown::Export) && self.ledger.is_shown(&key);
                if is_there && !["uptime_ms", "longest_wait_ms"].contains(&&*key) {
                    let value = answer.remove(&key);
                    assert_eq!(value, Some(*self.ledger.at(&key)), "{key} in `q full`");
                }
            }
            assert!(answer.is_empty(), "`q full` has lines that nobody expects: {answer:?}");
        }
        series::compare(&self.metrics(), &self.ledger.0, self.born);
        self.ledger.0.clone()
    }
}

/// What a holder counts for the limit of memory: 56 bytes, and the first one of a name 104 more. If the name is longer
/// than 29 bytes, its length and 16 more.
pub(crate) fn memory_of(name: &str, holders: u64) -> u64 {
    let long = if name.len() > 29 { name.len() as u64 + 16 } else { 0 };
    56 + if holders == 1 { 104 + long } else { 0 }
}

/// The memory of a holder, by the rule of the page for operators: 56 bytes for each name, 48 for each holder after the
/// first, and for a name longer than 29 bytes its length and 16 more.
fn bytes_of(name: &str, holders: u64) -> u64 {
    let long = if name.len() > 29 { name.len() as u64 + 16 } else { 0 };
    if holders == 1 { 56 + long } else { 48 }
}
