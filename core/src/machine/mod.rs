//! The lock machine: every decision about who holds what, as one deterministic function of its inputs.
//! It does no I/O and reads no clock, and nothing in it depends on a hash seed or an address in memory.

mod command;
mod deadlock;
mod ends;
mod get;
mod idle;
mod input;
mod linger;
mod login;
mod nodes;
mod operator;
mod output;
mod waits;

pub use input::{BorrowedInput, Cause, DriverInput, Input};
pub(crate) use linger::Holder;
pub use output::{Output, Reason};

use crate::accounts::Accounts;
use crate::config::Config;
use crate::inspect::{Counters, Figures};
use crate::probe::Mark;
use crate::settings::Settings;
use crate::storage::Id;
use crate::table::{Connection, Connections, Graces, Holds, Lock, TallyId, Tenure, Tokens};
use crate::types::{Account, Addr, ByKind, Conn, Kind, Now, Origin, Seq};
use crate::wire::{Command, Reply};
use std::sync::Arc;
use waits::Grant;

/// The lock machine.
///
/// A connection, as the machine sees it:
/// ```text
///            Opened                      Closed, quit, kicked, or idle too long
///   unknown --------> open (says Commands) -------------------------------> unknown, for ever
///      |               |              ^                                      ^   ^
///      |               | has to wait: | the wait ends: Reply                 |   |
///      |               | Wait         | (granted, timed out, draining)       |   |
///      |               v              |                                      |   |
///      |             waiting (Commands are ignored) -------------------------+   |
///      |                                          Closed or kicked               |
///      | Opened, over the limit: Disconnect(TooManyConnections)                  |
///      +-------------------------------------------------------------------------+
/// ```
/// When a connection ends, its holds and its wait are gone in the same step. No later input sees them. If it asked for
/// that with `linger`, its holds are those of a session instead, until that is due or resumed.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(crate) config: Config,
    pub(crate) now: Now,
    pub(crate) seq: Seq,
    /// Nothing is due before this. It may be earlier than what is first due.
    pub(crate) quiet_until: Now,
    /// Whether any node drains.
    pub(crate) draining: bool,
    pub(crate) connections: Connections,
    pub(crate) holds: Holds,
    pub(crate) graces: Graces,
    pub(crate) tokens: Tokens,
    pub(crate) counters: Counters,
    /// The grants of the current input. Empty between inputs, and kept for its memory.
    pub(crate) grants: Vec<Grant>,
}

impl Machine {
    /// A machine that holds nothing. `Now(0)` is its start. Panics if a storage size in `config` is 0, or must be a
    /// power of two and is not.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let storage = &config.storage;
        assert!(storage.sweep_slice > 0, "sweep_slice must be at least 1");
        assert!(storage.scan_slice > 0, "scan_slice must be at least 1");
        Self {
            now: Now::default(),
            seq: Seq::default(),
            quiet_until: Now::default(),
            draining: false,
            connections: Connections::new(&config),
            holds: Holds::new(storage),
            graces: Graces::new(storage, &config.secret),
            tokens: Tokens::NONE,
            counters: Counters::default(),
            grants: Vec::new(),
            config,
        }
    }

    /// Gives a machine other settings. Panics if a connection was opened before: it might have more than they allow.
    pub fn configure(&mut self, settings: &Settings) {
        assert!(!self.has_opened(), "settings come before the first connection");
        let Settings { limits, features, secret, accounts } = settings.clone();
        let config = Config { limits, features, secret, accounts, ..self.config.clone() };
        let Self { now, seq, tokens, .. } = *self;
        *self = Self { now, seq, tokens, ..Self::new(config) };
    }

    /// Whether any connection was ever opened.
    pub(crate) const fn has_opened(&self) -> bool {
        self.counters.opened > 0
    }

    /// Applies one input and pushes its outputs into `out`, in this order: what is due by `now`; the reply to the
    /// connection that sent the input; connections that are closed; grants, in the order in which the waits began.
    ///
    /// Returns the input's place in the machine's total order.
    #[inline]
    pub fn apply<N: AsRef<[u8]>>(
        &mut self,
        now: Now,
        input: BorrowedInput<'_, N>,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) -> Seq {
        if let Input::Lapse { ms } = input {
            self.lapse(now, ms);
        }
        self.begin(now, matches!(input, Input::Tick), out);
        match input {
            Input::Opened(conn, origin) => self.opened(conn, origin, out),
            Input::Command(conn, command) => self.hear(conn, command, out),
            Input::Closed(conn, cause) => match self.connections.find(conn) {
                Some(id) => {
                    self.close(id, cause, out);
                    self.settle(Mark::GrantByOrphaning, out);
                }
                None => self.counters.ignored += 1,
            },
            Input::Gone(node) => self.lose(node, out),
            Input::Tick | Input::Lapse { .. } => {}
            Input::Drain(node) => self.drain(node, out),
            Input::Tokens { first, last } => self.tokens.extend(first, last),
            Input::Accounts(accounts) => self.connections.set_accounts(Arc::clone(accounts), true),
        }
        self.seq
    }

    /// Runs a command if its connection is open and does not wait. Otherwise counts it as ignored.
    #[inline]
    fn hear<N: AsRef<[u8]>>(
        &mut self,
        conn: Conn,
        command: &Command<N>,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        match self.connections.find_speaker(conn) {
            Some(id) if self.connections[id].wait().is_none() || bug!(WaitingCommandRuns) => {
                self.command(id, conn, command, out);
                if self.holds.has_dirty_line() {
                    let why = match command {
                        Command::Get(_) => Mark::GrantByReading,
                        Command::Steal(..) => Mark::GrantBySteal,
                        Command::Kick(_) | Command::Quit | Command::Resume(_) => Mark::GrantByOrphaning,
                        _ => Mark::GrantByRelease,
                    };
                    self.settle(why, out);
                }
            }
            _ => self.counters.ignored += 1,
        }
    }

    /// The first part of every input: it gets its place in the order, and what is due is done. Usually nothing is, and
    /// that costs one comparison.
    #[inline]
    fn begin(&mut self, now: Now, is_tick: bool, out: &mut impl FnMut(Conn, Output<'_>)) {
        self.now = self.now.max(now);
        self.seq.0 += 1;
        if self.now >= self.quiet_until {
            self.do_what_is_due(is_tick, out);
        }
    }

    #[inline(never)]
    fn do_what_is_due(&mut self, is_tick: bool, out: &mut impl FnMut(Conn, Output<'_>)) {
        self.end_due_waits(out);
        if !bug!(IdleOnlyByTick) || is_tick {
            self.close_idle(is_tick, out);
        }
        self.end_due_sessions();
        self.settle(Mark::GrantByTimeout, out);
        self.quiet_until = self.nothing_before();
    }

    /// Must be called with when something is due that was just set.
    #[inline]
    fn expect(&mut self, due: Now) {
        self.quiet_until = self.quiet_until.min(due);
    }

    /// Nothing is due before this. It may be earlier than what is first due. If nothing will be due, it is the end of
    /// time.
    pub(crate) fn nothing_before(&self) -> Now {
        let idle = self.connections.oldest().map_or(Now(u64::MAX), |oldest| self.idle_deadline(oldest));
        idle.min(self.holds.waits().nothing_before()).min(self.graces.nothing_before())
    }

    /// When a `Tick` is next due. `None` if nothing will be due without another input. While somebody waits, the time
    /// may be earlier than necessary. Ask [`is_swept`](Self::is_swept) too: what is dead is never due.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        let idle = self.connections.oldest().map(|oldest| self.idle_deadline(oldest));
        idle.into_iter().chain(self.holds.waits().next_due()).chain(self.graces.next_due()).min()
    }

    /// Frees a few slices of the storage that dead tenures left behind. No reply depends on when that is done, or
    /// whether, and it has no place in the order of inputs.
    pub fn sweep(&mut self, slices: u32) {
        if self.holds.sweep(self.config.storage.sweep_slice.saturating_mul(slices)) > 0 {
            mark!(SliceSwept);
        }
    }

    /// Whether [`sweep`](Self::sweep) has nothing to do.
    #[must_use]
    pub fn is_swept(&self) -> bool {
        self.holds.is_swept()
    }

    /// The time of the latest input.
    #[must_use]
    pub const fn now(&self) -> Now {
        self.now
    }

    /// The table of accounts.
    #[must_use]
    pub fn accounts(&self) -> &Arc<Accounts> {
        self.connections.accounts()
    }

    /// The account of an open connection.
    #[must_use]
    pub fn account_of(&self, conn: Conn) -> Option<Account> {
        self.connections.find(conn).map(|id| self.connections[id].origin().account)
    }

    /// The address of an open connection.
    #[must_use]
    pub fn addr_of(&self, conn: Conn) -> Option<Addr> {
        self.connections.find(conn).map(|id| self.connections[id].origin().addr)
    }

    /// Whether a connection holds this lock.
    #[must_use]
    pub fn is_holder(&self, conn: Conn, kind: Kind, name: &[u8]) -> bool {
        let tenure = self.connections.find(conn).and_then(|id| self.connections[id].tenure());
        tenure.is_some_and(|tenure| self.holds.held_by(tenure, kind, name).is_some())
    }

    /// How many fencing tokens may still be given out.
    #[must_use]
    pub fn tokens_left(&self) -> u64 {
        self.tokens.left()
    }

    /// All statistics as of the last input.
    #[must_use]
    pub fn figures(&self) -> Figures<'_> {
        self.figures_at(self.now)
    }

    /// All statistics as of `now`, for who looks between inputs: ages grow also while nothing happens. A `now` before
    /// the last input counts as its time.
    #[must_use]
    pub fn figures_at(&self, now: Now) -> Figures<'_> {
        let now = now.max(self.now);
        Figures {
            counters: &self.counters,
            config: &self.config,
            connections: self.connections.len()
                + u32::from(bug!(SessionIsAConnection)) * self.graces.lingering(),
            held: self.holds.counts().held(),
            holds: self.holds.counts().live(),
            dead_holds: self.holds.dead(),
            lock_bytes: self.holds.counts().live_bytes(),
            memory_bytes: self.memory(),
            hold_times: self.holds.counts().hold_times(),
            wait_times: self.holds.counts().wait_times(),
            waits: self.holds.counts().waiting(),
            ends: self.holds.counts().ending(),
            longest_wait_ms: self.longest_wait_ms(now),
            lingering: self.graces.lingering(),
            lingering_holds: self.graces.holds(),
            tokens_left: self.tokens.left(),
            uptime_ms: now.0,
        }
    }

    fn opened(&mut self, conn: Conn, origin: Origin, out: &mut impl FnMut(Conn, Output<'_>)) {
        if self.connections.nodes().is_used(conn) {
            self.counters.ignored += 1;
            return;
        }
        let tally = self.connections.tally_of(origin.account);
        if !self.has_connection_left(tally) {
            self.connections.note_number(conn);
            self.counters.refused += 1;
            mark!(ConnectionsRanOut);
            out(conn, Output::Disconnect(Reason::TooManyConnections));
            return;
        }
        let of_address = self.config.limits.connections_per_address;
        let Some((id, from_address)) = self.connections.open_within(self.now, conn, origin, of_address)
        else {
            self.connections.note_number(conn);
            self.counters.address_refused += 1;
            mark!(AddressRanOut);
            out(conn, Output::Disconnect(Reason::TooManyConnections));
            return;
        };
        self.begin_silence(id);
        self.counters.opened += 1;
        self.counters.peak_connections = self.counters.peak_connections.max(self.connections.len());
        let peak = &mut self.counters.peak_address_connections;
        *peak = (*peak).max(from_address);
        self.note_memory();
    }

    /// Whether an account may have one more connection.
    fn has_connection_left(&self, tally: TallyId) -> bool {
        let tally = self.connections.tally(tally);
        let bound = tally.bounds().connections.saturating_add(bug!(ConnectionsOffByOne).into());
        // The administrative listener's connections have the highest number as their bound.
        tally.connections() < bound
    }

    /// What connections, names, holds and waits count for the limit of memory.
    #[inline]
    pub(crate) fn memory(&self) -> u64 {
        self.holds.counts().memory() + self.connections.memory() + self.graces.memory()
    }

    /// Whether so much more may be taken.
    #[inline]
    fn has_memory(&self, bytes: u64) -> bool {
        self.memory() + bytes <= self.config.limits.memory_bytes
    }

    /// Refuses what would take too much memory.
    #[cold]
    fn out_of_memory<'a>(&mut self, name: &'a [u8]) -> Reply<'a> {
        mark!(MemoryRanOut);
        self.counters.memory_refused += 1;
        Reply::OutOfMemory { name }
    }

    /// Raises the peak of memory. Must be called whenever more is taken.
    #[inline]
    fn note_memory(&mut self) {
        self.counters.peak_memory_bytes = self.counters.peak_memory_bytes.max(self.memory());
    }

    /// Ends a connection, its wait, and all it holds, unless a session is left that holds it. The caller must settle
    /// the lines afterwards.
    fn close(&mut self, id: Id<Connection>, cause: Cause, out: &mut impl FnMut(Conn, Output<'_>)) {
        let is_kept = bug!(ResumeKeepsTheWait) && cause == Cause::Resumed;
        if let Some(wait) = self.connections[id].wait().filter(|_| !is_kept) {
            self.abandon(wait, cause, out);
        } else if self.config.limits.idle_ms > 0 {
            self.connections.unlink(id);
        }
        if let Some(grace) = self.connections[id].grace() {
            self.leave(id, grace, cause);
        }
        let connection = self.connections.close(id);
        self.counters.closed[cause.index()] += 1;
        if let Some(tenure) = connection.tenure() {
            self.end_orphans(tenure, connection.tally());
        }
    }

    /// Ends a tenure and all it holds. `tally` is the count of its account. Returns how many holds ended, by kind.
    fn end_tenure(&mut self, tenure: Id<Tenure>, tally: TallyId) -> ByKind<u32> {
        let (holds, outer_bytes) = self.holds.end(tenure, self.now);
        self.connections.tally_mut(tally).remove_holds(holds.total(), outer_bytes);
        holds
    }

    /// Ends one hold of a tenure. `tally` is the count of its account.
    #[inline]
    fn end_hold(&mut self, lock: Id<Lock>, tenure: Id<Tenure>, tally: TallyId) {
        let outer_bytes = self.holds.remove(lock, tenure, self.now);
        self.connections.tally_mut(tally).remove_holds(1, outer_bytes);
    }

    pub(crate) fn begin_tenure(&mut self, id: Id<Connection>) -> Id<Tenure> {
        let tenure = self.holds.open(id);
        self.connections.set_tenure(id, tenure);
        tenure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_has_the_next_place_in_the_order() {
        let mut machine = Machine::new(Config::smallest_storage());
        let conn = Conn::new(0, 1);
        let origin = Origin { addr: Addr::Unix(1), account: Account::default() };
        let inputs = [
            Input::Closed(conn, Cause::Eof),
            Input::Opened(conn, origin),
            Input::Command(conn, &Command::Ping),
            Input::Command(Conn::new(0, 2), &Command::get(Kind::Shared, "x")),
            Input::Tick,
            Input::Drain(0),
            Input::Gone(1),
            Input::Closed(conn, Cause::Eof),
        ];
        for (place, input) in (1..).zip(inputs) {
            assert_eq!(machine.apply(Now(5), input, &mut |_, _| {}), Seq(place));
        }
    }
}
