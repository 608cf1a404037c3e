//! The machine's state as bytes, and back.
//!
//! A snapshot has who holds what, not how it is stored. A restored machine gives the same replies as the original for
//! ever after, but may use other slots. Nothing dead is in a snapshot.

mod format;
mod read;
mod write;

use crate::config::Config;
use crate::inspect::Violation;
use crate::machine::Machine;
use crate::replica::UnknownLevel;
use format::MachineRecord;
pub(in crate::inspect) use format::{CountersRecord, SumRecord, TimesRecord};

/// Why bytes did not become a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// They do not start as a snapshot does.
    #[error("this is not a snapshot of elockd")]
    NotASnapshot,
    /// Another release wrote them, in a format that this one does not know.
    #[error("the snapshot has format {found}, and this release reads format {known}")]
    Version {
        /// The format of the bytes.
        found: u16,
        /// The format that this release reads.
        known: u16,
    },
    /// Replicas work by a level that this release does not know.
    #[error("{0}")]
    Level(#[from] UnknownLevel),
    /// They stop early, go on too long, or have something impossible in them.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
    /// What they describe does not fit the configuration's limits, or contradicts itself.
    #[error("the snapshot does not make a sound machine here: {0}")]
    Unsound(#[from] Violation),
}

fn damaged(what: String) -> RestoreError {
    RestoreError::Damaged(what)
}

impl Machine {
    /// The state as bytes. First sweeps all that is dead. That changes no reply.
    ///
    /// Panics if the state takes more than a gibibyte, which [`restore`](Self::restore) would refuse.
    #[must_use]
    pub fn snapshot(&mut self) -> Vec<u8> {
        self.holds.sweep(u32::MAX);
        assert!(self.holds.is_swept(), "a snapshot has nothing dead in it");
        self.record().to_bytes()
    }

    /// A machine that goes on where the original stopped, in time too. So the driver's clock must go on from there.
    /// Until the clock is past that time, no time passes for the machine.
    ///
    /// There is no checksum. Changed bytes may describe another sound machine.
    ///
    /// # Errors
    ///
    /// If the bytes are not a whole snapshot of a known format, or describe what this configuration does not allow.
    pub fn restore(config: Config, bytes: &[u8]) -> Result<Self, RestoreError> {
        let record = MachineRecord::from_bytes(bytes)?;
        let mut machine = Self::new(config);
        machine.set_record(record)?;
        machine.check()?;
        Ok(machine)
    }
}

#[cfg(test)]
mod tests {
    use super::format::{HolderRecord, MAX_FIGURE, SoleRecord};
    use super::*;
    use crate::machine::{DriverInput, Input};
    use crate::table::Tokens;
    use crate::types::{Account, Addr, Conn, Kind, Now, Origin};
    use crate::wire::Command;

    /// Restores a state after `change`. In it two connections hold the shared lock `s`, and the first alone holds `a`.
    fn restore(change: impl FnOnce(&mut MachineRecord)) -> Result<Machine, RestoreError> {
        let mut machine = Machine::new(Config::smallest_storage());
        for serial in [1, 2] {
            let conn = Conn::new(0, serial);
            let origin = Origin { addr: Addr::Unix(serial), account: Account::default() };
            machine.apply(Now(0), DriverInput::Opened(conn, origin), &mut |_, _| {});
            for command in [Command::get(Kind::Shared, "s"), Command::get(Kind::Exclusive, "a")] {
                machine.apply(Now(0), Input::Command(conn, &command), &mut |_, _| {});
            }
        }
        let mut state = machine.record();
        change(&mut state);
        Machine::restore(Config::smallest_storage(), &state.to_bytes())
    }

    fn holder(conn: u64) -> HolderRecord {
        HolderRecord { conn, since: 0, token: 0, order: conn }
    }

    fn damage(change: impl FnOnce(&mut MachineRecord)) -> String {
        restore(change).expect_err("damaged").to_string()
    }

    #[test]
    fn an_unchanged_state_is_restored() {
        assert!(restore(|_| {}).is_ok());
    }

    #[test]
    fn figures_are_allowed_up_to_their_limit() {
        assert!(restore(|state| state.seq = MAX_FIGURE).is_ok());
        assert!(damage(|state| state.seq = MAX_FIGURE + 1).contains("impossibly high"));
    }

    #[test]
    fn holders_are_there_once_and_an_exclusive_lock_has_one() {
        let twice = damage(|state| state.ties[0].holders = [1, 2, 1].map(holder).into());
        assert!(twice.contains("a holder too many"), "{twice}");
        let two = damage(|state| {
            state.connections[1].soles[Kind::Exclusive].push(SoleRecord {
                name: b"a".to_vec(),
                since: 0,
                token: 0,
            });
        });
        assert!(two.contains("a holder too many"), "{two}");
        let stranger = damage(|state| state.ties[0].holders.push(holder(9)));
        assert!(stranger.contains("not connected"), "{stranger}");
    }

    #[test]
    fn holders_have_orders_that_ascend_up_to_the_last_one() {
        for orders in [[2, 1], [0, 1], [1, 1]] {
            let change = |state: &mut MachineRecord| {
                for (holder, order) in state.ties[0].holders.iter_mut().zip(orders) {
                    holder.order = order;
                }
            };
            assert!(restore(change).is_err(), "{orders:?}");
        }
        let early = restore(|state| state.last_order = 1).expect_err("too low").to_string();
        assert!(early.contains("higher order than the last one"), "{early}");
    }

    #[test]
    fn tokens_end_where_they_always_do() {
        assert!(restore(|state| state.tokens = (1, Tokens::MAX)).is_ok());
        let beyond = restore(|state| state.tokens = (1, Tokens::MAX + 1)).expect_err("too high").to_string();
        assert!(beyond.contains("does not make a sound machine"), "{beyond}");
    }

    #[test]
    fn a_connection_is_there_once() {
        let twice = damage(|state| state.connections[1].conn = state.connections[0].conn);
        assert!(twice.contains("twice"), "{twice}");
    }
}
