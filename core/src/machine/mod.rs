//! The lock machine: every decision about who holds what, as one deterministic function of its inputs.
//! It does no I/O and reads no clock, and nothing in it depends on a hash seed or an address in memory.

mod check;
mod connection;
mod holds;
mod lock;
mod moment;
mod scan;
mod shape;
mod snapshot;
mod tenure;
mod tie;

pub use check::Violation;
pub use scan::{Entry, Scan};
pub use snapshot::RestoreError;

use crate::canary::{Canary, is_planted};
use crate::config::Config;
use crate::figures::{Counters, Figures};
use crate::input::{Cause, Command, Input, Verb};
use crate::mark::{Mark, reach};
use crate::output::{Listing, Output, Reason, Reply, Subject};
use crate::storage::Id;
use crate::types::{Conn, Kind, Now, Origin, Seq};

use connection::{Connection, Connections};
use holds::Holds;
use tenure::Tenure;

/// The lock machine.
///
/// A connection, as the machine sees it:
/// ```text
///            Opened                         Closed, quit, or idle too long
///   unknown --------> open (says Commands) -------------------------------> unknown, for ever
///      |                                                                     ^
///      | Opened, over the limit: Disconnect(TooManyConnections)              |
///      +---------------------------------------------------------------------+
/// ```
/// An ended connection's holds are gone in the same step; whatever comes after sees none of them.
#[derive(Clone, Debug)]
pub struct Machine {
    config: Config,
    now: Now,
    seq: Seq,
    draining: bool,
    connections: Connections,
    holds: Holds,
    counters: Counters,
}

impl Machine {
    /// Dead holds that a get frees before it adds one. Two for one, so that live and dead holds
    /// together never take more storage than the live ones did at their most.
    const SWEEP_FOR_GET: u32 = 2;

    /// A machine that holds nothing. `Now(0)` is its start. Panics when a storage size in `config` is
    /// not a power of two where it has to be one, or is 0.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let storage = &config.storage;
        assert!(storage.sweep_slice > 0, "sweep_slice must be at least 1");
        assert!(storage.scan_slice > 0, "scan_slice must be at least 1");
        // Connections are few beside locks.
        let connection_tables = (storage.index_tables / 16).max(1);
        Self {
            now: Now::default(),
            seq: Seq::default(),
            draining: false,
            connections: Connections::new(storage.chunk_slots, connection_tables),
            holds: Holds::new(storage),
            counters: Counters::default(),
            config,
        }
    }

    /// Applies one input and pushes what comes of it: the causer's reply first.
    ///
    /// Returns the input's place in the machine's total order.
    pub fn apply<N: AsRef<[u8]>>(
        &mut self,
        now: Now,
        input: Input<N>,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) -> Seq {
        self.now = self.now.max(now);
        self.seq.0 += 1;
        if !is_planted(Canary::IdleOnlyByTick) || matches!(input, Input::Tick) {
            self.close_idle(out);
        }
        match input {
            Input::Opened(conn, origin) => self.opened(conn, origin, out),
            Input::Command(conn, command) => match self.connections.find(conn) {
                Some(id) => self.command(id, conn, &command, out),
                None => self.counters.ignored += 1,
            },
            Input::Closed(conn, cause) => match self.connections.find(conn) {
                Some(id) => self.close(id, cause),
                None => self.counters.ignored += 1,
            },
            Input::Tick => {
                if self.holds.sweep(self.config.storage.sweep_slice) > 0 {
                    reach(Mark::TickSwept);
                }
            }
            Input::Drain => self.draining = true,
            Input::Tokens { .. } => {}
        }
        self.seq
    }

    /// When a `Tick` is next due; the time of the last input while there is something to sweep, `None`
    /// when nothing will be due without another input.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        if self.holds.is_swept() {
            let oldest = self.connections.oldest()?;
            Some(self.idle_deadline(oldest))
        } else {
            Some(self.now)
        }
    }

    /// How many fencing tokens may still be given out.
    #[must_use]
    pub fn tokens_left(&self) -> u64 {
        0
    }

    /// All statistics as they are now.
    #[must_use]
    pub fn figures(&self) -> Figures<'_> {
        Figures {
            counters: &self.counters,
            config: &self.config,
            connections: self.connections.len(),
            held: self.holds.held,
            holds: self.holds.live,
            dead_holds: self.holds.dead,
            lock_bytes: self.holds.live_bytes(),
            hold_times: &self.holds.times,
            wait_times: &self.holds.times,
            waits: [0; 2],
            longest_wait_ms: 0,
            tokens_left: 0,
            uptime_ms: self.now.0,
        }
    }

    fn opened(&mut self, conn: Conn, origin: Origin, out: &mut impl FnMut(Conn, Output<'_>)) {
        // One node: with several, each has numbers of its own that go up.
        if self.connections.highest >= Some(conn) {
            self.counters.ignored += 1;
            return;
        }
        let limit = self.config.limits.connections + u32::from(is_planted(Canary::ConnectionsOffByOne));
        if self.connections.tally(origin.account).connections >= limit {
            self.connections.highest = Some(conn);
            self.counters.refused += 1;
            reach(Mark::ConnectionsRanOut);
            out(conn, Output::Disconnect(Reason::TooManyConnections));
            return;
        }
        let id = self.connections.open(self.now, conn, origin);
        if self.config.limits.idle_ms > 0 {
            self.connections.link(id, self.now);
        }
        self.counters.opened += 1;
        self.counters.peak_connections = self.counters.peak_connections.max(self.connections.len());
    }

    fn close(&mut self, id: Id<Connection>, cause: Cause) {
        if self.config.limits.idle_ms > 0 {
            self.connections.unlink(id);
        }
        let Connection { tenure, origin, .. } = self.connections.close(id);
        self.counters.closed[cause.index()] += 1;
        let Some(tenure) = tenure else { return };
        let ended = self.holds.end(tenure, self.now);
        for kind in Kind::ALL {
            let counted = if is_planted(Canary::OrphansOfTheWrongKind) { Kind::Exclusive } else { kind };
            self.counters.orphans[counted.index()] += u64::from(ended.holds[kind.index()]);
        }
        self.connections.tally_mut(origin.account).holds -= ended.holds.iter().sum::<u32>();
    }

    /// Ends every connection whose idle limit is up: before anything else of an input, so that no reply
    /// depends on whether a `Tick` came in between.
    fn close_idle(&mut self, out: &mut impl FnMut(Conn, Output<'_>)) {
        while let Some(id) = self.connections.oldest() {
            // Not by the deadline: near the end of time that would be cut short.
            if self.now.0 - self.connections[id].active.0 < self.idle_limit() {
                return;
            }
            let conn = self.connections[id].conn;
            reach(Mark::ConnectionWasIdle);
            self.close(id, Cause::Idle);
            out(conn, Output::Disconnect(Reason::Idle));
        }
    }

    fn idle_deadline(&self, id: Id<Connection>) -> Now {
        Now(self.connections[id].active.0.saturating_add(self.idle_limit()))
    }

    fn idle_limit(&self) -> u64 {
        self.config.limits.idle_ms + u64::from(is_planted(Canary::IdleOneLate))
    }

    fn command<N: AsRef<[u8]>>(
        &mut self,
        id: Id<Connection>,
        conn: Conn,
        command: &Command<N>,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        let is_idleness =
            matches!(command, Command::Unknown(_)) && is_planted(Canary::UnknownCommandIsIdleness);
        if self.config.limits.idle_ms > 0 && !is_idleness {
            self.connections.touch(id, self.now);
        }
        let name_bytes =
            usize::from(self.config.limits.name_bytes) - usize::from(is_planted(Canary::NameLengthOffByOne));
        let too_long = command.name().is_some_and(|name| name.as_ref().len() > name_bytes);
        match command.verb() {
            Some(verb) if !too_long || is_planted(Canary::RefusedNameIsCounted) => {
                self.counters.commands[verb.index()] += 1;
            }
            _ => self.counters.invalid_commands += 1,
        }
        if too_long {
            reach(Mark::NameWasTooLong);
        }
        let framed = command.is_framed();
        let features = &self.config.features;
        let reply = match command {
            _ if too_long => Reply::NameTooLong { framed },
            Command::LineTooLong => Reply::LineTooLong,
            Command::Unknown(_) if features.silent_errors => return,
            Command::BadArgument(verb) => Reply::BadArgument { verb: *verb },
            Command::Unknown(verb) => Reply::UnknownCommand { verb: verb.as_ref() },
            Command::Quit => {
                self.close(id, Cause::Quit);
                return out(conn, Output::Disconnect(Reason::Quit));
            }
            Command::Get(kind, name) => {
                let reply = self.get(id, *kind, name.as_ref());
                self.outcome(command, reply)
            }
            Command::GetWait { .. }
            | Command::SharedGetLimited { .. }
            | Command::SharedGetWait { .. }
            | Command::ReleaseAll
            | Command::Fence(_)
            | Command::Kick(_)
            | Command::Steal(_)
            | Command::ListAll(_) => Reply::NotAllowed { verb: Verb::Kick },
            Command::Release(kind, name) => {
                let reply = self.release(id, *kind, name.as_ref());
                self.outcome(command, reply)
            }
            Command::Inspect(kind, name) => {
                let holders = self.holds.find(*kind, name.as_ref()).holders;
                self.outcome(command, Reply::Inspected { kind: *kind, holders, name: name.as_ref() })
            }
            Command::List(..) | Command::Dump(_) if !features.dump => {
                self.outcome(command, Reply::Disabled { framed })
            }
            Command::Who(_) if !features.dump || !features.registry => {
                self.outcome(command, Reply::Disabled { framed })
            }
            Command::Iam(_) if !features.registry => self.outcome(command, Reply::Disabled { framed }),
            Command::List(kind, name) => {
                Reply::Listing(Listing { subject: Subject::Locks(*kind), name: name.as_ref() })
            }
            Command::Dump(kind) => Reply::Listing(Listing { subject: Subject::Dump(*kind), name: &[] }),
            Command::Who(name) => Reply::Listing(Listing { subject: Subject::Who, name: name.as_ref() }),
            Command::Iam(name) => {
                self.connections.register(id, name.as_ref());
                Reply::Registered
            }
            Command::Me => {
                let Connection { origin, registered, .. } = &self.connections[id];
                let name = registered.as_ref().map(|registered| &*registered.name);
                Reply::Me { addr: origin.addr, name }
            }
            Command::Query { full } => Reply::Figures { figures: self.figures(), full: *full },
            Command::Ping => Reply::Pong,
            Command::Help => Reply::Help,
        };
        out(conn, Output::Reply(reply));
    }

    /// Counts a reply that is a failure. All that a verb can answer to a name that is short enough passes
    /// here, but for what is always a success.
    fn outcome<'a, N>(&mut self, command: &Command<N>, reply: Reply<'a>) -> Reply<'a> {
        if let Some(verb) = command.verb()
            && reply.is_failure()
        {
            self.counters.failures[verb.index()] += 1;
        }
        reply
    }

    fn get<'a>(&mut self, id: Id<Connection>, kind: Kind, name: &'a [u8]) -> Reply<'a> {
        if self.draining && !is_planted(Canary::DrainStillGrants) {
            reach(Mark::DrainRefusedAGet);
            return Reply::ShuttingDown;
        }
        // Before the look-up, which it would invalidate.
        if !is_planted(Canary::GetsDoNotSweep) && self.holds.sweep(Self::SWEEP_FOR_GET) > 0 {
            reach(Mark::GetSwept);
        }
        let found = self.holds.find(kind, name);
        let Connection { tenure, origin, .. } = self.connections[id];
        if tenure.is_some_and(|tenure| self.holds.is_holder(found, tenure)) {
            let more = u32::from(kind == Kind::Shared && is_planted(Canary::AskingAgainCounts));
            return Reply::Got { kind, holders: found.holders + more, name };
        }
        let limits = &self.config.limits;
        let own = tenure.map_or(0, |tenure| self.holds.tenures[tenure].holds());
        let limit = limits.locks_per_connection + u32::from(is_planted(Canary::LocksOfAConnectionOffByOne));
        if own >= limit || self.connections.tally(origin.account).holds >= limits.locks {
            reach(Mark::LocksRanOut);
            self.counters.locks_refused += 1;
            return Reply::TooManyLocks { name };
        }
        if kind == Kind::Exclusive && found.holders > 0 {
            return Reply::GetFailure { kind, name };
        }
        let tenure = tenure.unwrap_or_else(|| self.begin_tenure(id));
        let holders = self.holds.add(found, name, tenure, self.now);
        self.connections.tally_mut(origin.account).holds += 1;
        self.note_peaks(own + 1, name);
        Reply::Got { kind, holders, name }
    }

    /// After a get, by a connection that has so many holds now.
    fn note_peaks(&mut self, own: u32, name: &[u8]) {
        let peaks = &mut self.counters;
        peaks.peak_connection_holds = peaks.peak_connection_holds.max(own);
        peaks.peak_holds = peaks.peak_holds.max(self.holds.live.iter().sum());
        peaks.peak_lock_bytes = peaks.peak_lock_bytes.max(self.holds.live_bytes());
        peaks.peak_name_bytes = peaks.peak_name_bytes.max(name.len() as u32);
    }

    fn begin_tenure(&mut self, id: Id<Connection>) -> Id<Tenure> {
        let tenure = self.holds.open(id);
        self.connections.set_tenure(id, tenure);
        tenure
    }

    fn release<'a>(&mut self, id: Id<Connection>, kind: Kind, name: &'a [u8]) -> Reply<'a> {
        let found = self.holds.find(kind, name);
        if is_planted(Canary::AnybodyReleases) && found.holders > 0 && kind == Kind::Exclusive {
            return Reply::Released { kind, name };
        }
        let Connection { tenure, origin, .. } = self.connections[id];
        let Some(tenure) = tenure.filter(|tenure| self.holds.is_holder(found, *tenure)) else {
            reach(Mark::ReleaseWasRefused);
            return Reply::ReleaseFailure { kind, name };
        };
        self.holds.remove(found, tenure, self.now);
        self.connections.tally_mut(origin.account).holds -= 1;
        Reply::Released { kind, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Account, Addr};

    #[test]
    fn every_input_has_the_next_place_in_the_order() {
        let mut machine = Machine::new(Config::smallest_storage());
        let conn = Conn::new(0, 1);
        let origin = Origin { addr: Addr::Unix(1), account: Account::default() };
        let inputs = [
            Input::Closed(conn, Cause::Eof),
            Input::Opened(conn, origin),
            Input::Command(conn, Command::Ping),
            Input::Command(Conn::new(0, 2), Command::Get(Kind::Shared, "x")),
            Input::Tick,
            Input::Drain,
            Input::Closed(conn, Cause::Eof),
        ];
        for (place, input) in (1..).zip(inputs) {
            assert_eq!(machine.apply(Now(5), input, &mut |_, _| {}), Seq(place));
        }
    }
}
