//! Every invariant of the machine's state, checked one by one. A check takes time in proportion to the state. It is for
//! tests, simulations and model checkers. The daemon relies on assertions alone.

mod accounts;
mod graces;
mod holds;
mod waits;

use crate::machine::{Cause, Machine};
use crate::table::{Aim, Connection, Nodes, Source, Tenure, memory};
use crate::types::{ByKind, Conn};
use crate::wire::Verb;

use std::collections::{BTreeMap, BTreeSet};

/// A violated invariant, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

/// `ensure!(condition, "what is wrong")`.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::inspect::Violation::of(format!($($what)+)));
        }
    };
}
pub(crate) use ensure;

impl Violation {
    pub(crate) const fn of(what: String) -> Self {
        Self(what)
    }
}

impl Machine {
    /// Checks every invariant.
    ///
    /// # Errors
    ///
    /// The first invariant that is violated.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_storage()?;
        self.check_quiet()?;
        self.check_locks()?;
        self.check_ties()?;
        self.check_tenures()?;
        self.check_dead()?;
        self.check_lines()?;
        self.check_waits()?;
        self.check_tokens()?;
        self.check_connections()?;
        self.check_graces()?;
        self.check_nodes()?;
        self.check_registrations()?;
        self.check_activity()?;
        self.check_memory()?;
        self.check_figures()
    }

    /// Each connection is listed under its node, and nothing else is. Nobody waits whose node drains.
    fn check_nodes(&self) -> Result<(), Violation> {
        let nodes = self.connections.nodes();
        ensure!(nodes.iter().is_sorted_by(|a, b| a.number() < b.number()), "nodes are out of order");
        let mut listed = 0;
        for node in nodes.iter() {
            ensure!(node.next_serial() > 0 || node.drains(), "node {} is kept for nothing", node.number());
            for (serial, id) in node.connections() {
                let conn = Conn::new(node.number(), *serial);
                let found = self.connections.slots().get(*id).map(Connection::conn);
                ensure!(found == Some(conn), "{found:?} is listed as {conn:?}");
                listed += 1;
            }
        }
        let is_listed = |conn: Conn| conn.node() != Nodes::UNLISTED;
        let connections = self.connections.slots().iter().map(|(_, connection)| connection);
        let to_list = connections.filter(|connection| is_listed(connection.conn())).count();
        ensure!(listed == to_list, "{listed} of {to_list} connections are listed under their nodes");
        ensure!(self.draining == nodes.any_drains(), "whether a node drains is {}", self.draining);
        for (_, wait) in self.holds.waits().by_beginning() {
            let conn = self.connections[wait.by()].conn();
            ensure!(!nodes.drains(conn.node()), "{conn:?} waits while its node drains");
        }
        Ok(())
    }

    /// Each connection is found by its number, within its limits, and counted for its account.
    fn check_connections(&self) -> Result<(), Violation> {
        let slots = self.connections.slots();
        let mut tallies: Vec<[u32; 4]> = vec![[0; 4]; self.connections.tallies().len()];
        for (_, grace) in self.graces.slots().iter() {
            let Some(left) = grace.left() else { continue };
            let account = left.origin.account;
            let at = self.connections.tallies().iter().position(|tally| tally.account() == account);
            ensure!(at.is_some(), "{account:?} of a session is not counted");
            tallies[at.unwrap_or(0)][1] += self.holds.tenure(left.tenure).holds();
        }
        for (id, connection) in slots.iter() {
            let conn = connection.conn();
            ensure!(self.connections.find(conn) == Some(id), "{conn:?} is not found by its number");
            ensure!(self.connections.nodes().is_used(conn), "{conn:?} is above the highest number");
            let tenure = connection.tenure().map(|tenure| self.holds.tenure(tenure));
            ensure!(tenure.is_none_or(|tenure| tenure.owner() == Some(id)), "{conn:?} has another's tenure");
            let holds = tenure.map_or(0, Tenure::holds);
            ensure!(holds <= self.config.limits.locks_per_connection, "{conn:?} holds {holds} locks");
            ensure!(holds <= self.counters.peak_connection_holds, "{conn:?} holds more than the peak");
            let account = connection.origin().account;
            let Some(at) = self.connections.tallies().iter().position(|tally| tally.account() == account)
            else {
                return Err(Violation(format!("{account:?} is not counted")));
            };
            tallies[at][0] += 1;
            tallies[at][1] += holds;
            if let Some(wait) = connection.wait() {
                let wait = self.holds.waits().slots().get(wait);
                ensure!(wait.is_some_and(|wait| wait.by() == id), "{conn:?} has another's wait");
                let is_for_end = wait.is_some_and(|wait| wait.place().aim() == Aim::End);
                tallies[at][if is_for_end { 3 } else { 2 }] += 1;
                ensure!(
                    is_for_end || holds < self.config.limits.locks_per_connection,
                    "{conn:?} waits for a lock too many"
                );
            }
        }
        ensure!(self.connections.indexed() == slots.len(), "the index of connections has strangers in it");
        let speaker = self.connections.speaker().map(|(conn, id)| (Some(conn), slots.at(id.position())));
        let is_itself = speaker.is_none_or(|(conn, found)| found.map(|(_, found)| found.conn()) == conn);
        ensure!(is_itself, "the cached last speaker is another connection");
        let mut sources = BTreeMap::<Source, u32>::new();
        for source in slots.iter().filter_map(|(_, connection)| connection.origin().source()) {
            *sources.entry(source).or_default() += 1;
        }
        ensure!(sources == *self.connections.sources(), "connections come from {sources:?}, not as counted");
        let most = sources.values().max().copied().unwrap_or(0);
        let of_address = self.config.limits.connections_per_address;
        ensure!(of_address == 0 || most <= of_address, "{most} connections come from one address");
        ensure!(
            most <= self.counters.peak_address_connections,
            "more connections of an address than the peak"
        );
        for (tally, [connections, holds, waits, ends]) in self.connections.tallies().iter().zip(tallies) {
            ensure!(tally.connections() == connections, "{tally:?} has {connections} connections");
            ensure!(tally.holds() == holds, "{tally:?} has {holds} holds");
            ensure!(tally.waits() == waits, "{tally:?} has {waits} waits");
            ensure!(tally.ends() == ends, "{tally:?} has {ends} waits for ends");
            if self.connections.accounts_are_replaced() {
                // It may have more than it may have now.
                continue;
            }
            let bounds = tally.bounds();
            ensure!(connections <= bounds.connections, "{tally:?} is over its connections");
            ensure!(
                u64::from(holds) + u64::from(waits) <= u64::from(bounds.locks),
                "{tally:?} is over its locks"
            );
            ensure!(waits + ends <= bounds.waiters, "{tally:?} is over its waits");
        }
        self.check_accounts()
    }

    /// Registered names are names, and no two registrations have the same place in `who`.
    fn check_registrations(&self) -> Result<(), Violation> {
        let mut orders = BTreeSet::new();
        for (_, connection) in self.connections.slots().iter() {
            let Some(registered) = connection.registered() else { continue };
            let conn = connection.conn();
            let bytes = self.connections.name_of(connection).map_or(0, <[u8]>::len);
            ensure!(
                (1..=usize::from(self.config.limits.name_bytes)).contains(&bytes),
                "{conn:?} is registered under {bytes} bytes"
            );
            ensure!(orders.insert(registered.order()), "{conn:?} was registered when another was");
            ensure!(
                registered.order() <= self.connections.last_registration(),
                "{conn:?} was registered in the future"
            );
        }
        for registered in
            self.graces.slots().iter().filter_map(|(_, grace)| grace.left()?.registered.as_ref())
        {
            ensure!(orders.insert(registered.order), "a session was registered when another was");
            ensure!(
                registered.order <= self.connections.last_registration(),
                "a session was registered in the future"
            );
        }
        self.connections.check_names().map_err(|wrong| Violation(format!("registered names: {wrong}")))
    }

    /// Whatever is due first is looked for in time.
    fn check_quiet(&self) -> Result<(), Violation> {
        let (quiet, due) = (self.quiet_until, self.nothing_before());
        ensure!(quiet <= due, "nothing is looked for until {quiet:?}, and something may be due at {due:?}");
        Ok(())
    }

    /// With an idle limit, the order of activity has every connection that does not wait. Without one it is empty.
    fn check_activity(&self) -> Result<(), Violation> {
        let limit = self.config.limits.idle_ms;
        let mut linked = 0;
        let mut last = None;
        if let Err(broken) = self.connections.check_activity() {
            return Err(Violation(format!("connections by activity: {broken}")));
        }
        // Ticks end them in several steps if they are too much together, and so many there must have been.
        let most = u64::from(self.counters.peak_holds) + u64::from(self.counters.peak_connections);
        let may_be_late = most > u64::from(self.config.limits.step_holds);
        for (id, connection) in self.connections.by_activity() {
            let active = self.connections.active(id);
            ensure!(last <= Some(active), "{:?} is out of the order of activity", connection.conn());
            ensure!(connection.wait().is_none(), "{:?} waits and is idle", connection.conn());
            ensure!(active <= self.now, "{:?} was active in the future", connection.conn());
            let is_idle = self.now.0 - active.0 >= limit;
            ensure!(!is_idle || may_be_late, "{:?} should have been closed as idle", connection.conn());
            last = Some(active);
            linked += 1;
        }
        let silent = self.connections.len() - self.holds.waits().len();
        let expected = if limit > 0 { silent } else { 0 };
        ensure!(linked == expected, "{linked} connections in the order of activity, not {expected}");
        Ok(())
    }

    /// What counts for the limit of memory is what there is, and within the limit. Connections are counted, but not
    /// refused.
    fn check_memory(&self) -> Result<(), Violation> {
        let mut memory = self.connections.memory_without_names();
        for (_, connection) in self.connections.slots().iter() {
            memory += connection.name_memory();
        }
        for (id, lock) in self.holds.locks().slots().iter() {
            let name = self.holds.locks().name(lock);
            memory += (0..self.holds.holders(id)).map(|others| memory::of_get(name, others)).sum::<u64>();
        }
        memory += u64::from(self.holds.waits().len()) * memory::WAIT;
        let mut of_graces = 0;
        for left in self.graces.slots().iter().filter_map(|(_, grace)| grace.left()) {
            of_graces += memory::GRACE;
            memory += left.memory();
        }
        ensure!(memory == self.memory(), "{memory} bytes of memory, counted {}", self.memory());
        let refusable = memory - self.connections.memory_without_names() - of_graces;
        ensure!(refusable <= self.config.limits.memory_bytes, "{refusable} bytes of names, holds and waits");
        ensure!(memory <= self.counters.peak_memory_bytes, "more memory than the peak");
        Ok(())
    }

    /// The figures agree with the state.
    fn check_figures(&self) -> Result<(), Violation> {
        let mut held = ByKind::default();
        let mut live = ByKind::default();
        let mut name_bytes = 0;
        for (id, lock) in self.holds.locks().slots().iter() {
            let holders = self.holds.holders(id);
            held[lock.kind()] += u32::from(holders > 0);
            live[lock.kind()] += holders;
            name_bytes += if holders > 0 { self.holds.locks().outer_bytes(lock) } else { 0 };
        }
        let counts = self.holds.counts();
        ensure!(name_bytes == counts.name_bytes(), "{name_bytes} bytes of names, not as counted");
        ensure!(held == counts.held(), "{held:?} names are held, counted {:?}", counts.held());
        ensure!(live == counts.live(), "{live:?} holds, counted {:?}", counts.live());
        let closed: u64 = Cause::ALL.iter().map(|cause| self.counters.closed[cause.index()]).sum();
        ensure!(
            self.counters.opened == closed + u64::from(self.connections.len()),
            "{} connections opened, {closed} closed, {} open",
            self.counters.opened,
            self.connections.len()
        );
        self.check_outcomes()?;
        ensure!(self.counters.peak_connections >= self.connections.len(), "more connections than the peak");
        ensure!(self.counters.peak_holds >= live.total(), "more holds than the peak");
        let slots = self.holds.locks().slots().len();
        ensure!(self.counters.peak_lock_bytes >= counts.live_bytes(), "more bytes than the peak");
        ensure!(
            slots <= self.counters.peak_holds,
            "{slots} slots of locks are used, but there were never more than {} holds",
            self.counters.peak_holds
        );
        Ok(())
    }

    /// No verb failed more often than it was asked. Each past hold is in the hold times once.
    fn check_outcomes(&self) -> Result<(), Violation> {
        let figures = self.figures();
        for verb in Verb::ALL {
            let (asked, failed) = figures.outcomes(verb);
            let waiting = figures.going_on(verb);
            ensure!(
                failed + u64::from(waiting) <= asked,
                "{} failed {failed} times of {asked}, and {waiting} wait",
                verb.word()
            );
        }
        // `u128`, because a damaged snapshot may claim any number.
        let by_verb = [
            Verb::Release,
            Verb::SharedRelease,
            Verb::ReadRelease,
            Verb::WriteRelease,
            Verb::Steal,
            Verb::WriteSteal,
        ];
        let released = by_verb.map(|verb| {
            let (asked, failed) = figures.outcomes(verb);
            u128::from(asked - failed)
        });
        let orphaned = self.counters.orphans.map(u128::from).total();
        let together = self.counters.released_together.map(u128::from).total();
        let timed = ByKind::from_fn(|kind| u128::from(figures.hold_times(kind).count()));
        let changed = u128::from(self.counters.changes);
        let over = released.iter().sum::<u128>() + orphaned + together + changed;
        ensure!(
            timed.total() + u128::from(self.holds.dead()) == over,
            "{timed:?} hold times and {} dead holds, but {over} holds are over",
            self.holds.dead()
        );
        Ok(())
    }
}
