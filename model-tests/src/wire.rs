//! Turns raw bytes into a run: connections open, send bytes and end, and time passes. It is for fuzzers, which know
//! nothing of inputs. Any bytes are a run.
//!
//! ```text
//!   a byte      0..=5 in its low 3 bits: a connection       and in its high 5 bits:
//!                                                           0 it opens, 1 it ends, 2 it is quiet
//!                                                           3.. the next 1 to 29 bytes come from it
//!               6: that many milliseconds pass
//!               7: a tick; with all high bits a drain, with all but the lowest of them more tokens, with all but the
//!                  second lowest a lapse since the last input
//! ```
//! The first byte chooses the limits and switches. Connection 5 is an operator's.

use elockd_core::wire::Decoder;
use elockd_core::{Account, Cause, Command, Config, Conn, Input, Machine, Now};
use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::generate::origin;
use crate::observe::{difference, observe};
use crate::reference::Reference;

/// The limit of a line in these runs. It is low, so that lines often exceed it.
const LINE_BYTES: usize = 24;

/// Runs bytes on the machine and on the reference. Returns the number of inputs.
///
/// # Errors
///
/// A difference between the two, or a violated invariant.
pub fn run(bytes: &[u8]) -> Result<usize, String> {
    let Some((&first, mut rest)) = bytes.split_first() else { return Ok(0) };
    let mut pair = Pair::new(config(first));
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let (who, what) = (byte & 7, byte >> 3);
        match (who, what) {
            (6, _) => pair.now.0 += u64::from(what),
            (7, 31) => pair.apply(&Input::Drain(0))?,
            (7, 30) => pair.tokens()?,
            (7, 29) => pair.apply(&Input::Lapse { ms: u64::MAX })?,
            (7, _) => pair.apply(&Input::Tick)?,
            (_, 0) => pair.open(who)?,
            (_, 1) => pair.close(who)?,
            (_, 2) => {}
            _ => {
                let (said, tail) = rest.split_at(usize::from(what - 2).min(rest.len()));
                rest = tail;
                pair.hear(who, said)?;
            }
        }
    }
    Ok(pair.inputs)
}

/// The two machines, and the connections open on them.
struct Pair {
    machine: Machine,
    reference: Reference,
    now: Now,
    open: BTreeMap<u8, (Conn, Decoder)>,
    last_serial: u64,
    inputs: usize,
}

impl Pair {
    fn new(config: Config) -> Self {
        Self {
            machine: Machine::new(config.clone()),
            reference: Reference::new(config),
            now: Now::default(),
            open: BTreeMap::new(),
            last_serial: 0,
            inputs: 0,
        }
    }

    fn apply(&mut self, input: &Input<Command<Vec<u8>>>) -> Result<(), String> {
        self.inputs += 1;
        let expected = self.reference.apply(self.now, input);
        let events = observe(&mut self.machine, self.now, input.as_ref());
        if events != expected {
            return Err(format!("input {}: {}", self.inputs, difference(&events, &expected)));
        }
        self.machine.check().map_err(|violation| format!("input {}: {violation}", self.inputs))
    }

    fn open(&mut self, who: u8) -> Result<(), String> {
        self.last_serial += 1;
        let conn = Conn::new(0, self.last_serial);
        self.open.insert(who, (conn, Decoder::new(LINE_BYTES)));
        let account = if who == 5 { Account::ADMIN.0 } else { u16::from(who % 2) };
        self.apply(&Input::Opened(conn, origin(self.last_serial, account)))
    }

    /// Two more tokens.
    fn tokens(&mut self) -> Result<(), String> {
        let first = self.reference.next_token() + self.reference.tokens_left();
        self.apply(&Input::Tokens { first, last: first + 1 })
    }

    fn close(&mut self, who: u8) -> Result<(), String> {
        match self.open.remove(&who) {
            Some((conn, _)) => self.apply(&Input::Closed(conn, Cause::Eof)),
            None => Ok(()),
        }
    }

    fn hear(&mut self, who: u8, mut said: &[u8]) -> Result<(), String> {
        let Some((conn, mut decoder)) = self.open.remove(&who) else { return Ok(()) };
        let mut result = Ok(());
        while let Some(command) = decoder.next(&mut said) {
            result = self.apply(&Input::Command(conn, command.map(Cow::into_owned)));
            if result.is_err() {
                break;
            }
        }
        self.open.insert(who, (conn, decoder));
        result
    }
}

fn config(byte: u8) -> Config {
    let mut config = Config::smallest_storage();
    let has = |bit: u8| byte >> bit & 1 == 1;
    config.limits.connections = if has(0) { 3 } else { 1000 };
    config.limits.locks = if has(1) { 4 } else { 1000 };
    config.limits.waiters = if has(1) { 2 } else { 1000 };
    config.limits.waiters_per_name = if has(2) { 1 } else { 1000 };
    config.limits.step_holds = if has(2) { 2 } else { 1000 };
    config.limits.locks_per_connection = if has(2) { 2 } else { 1000 };
    config.limits.name_bytes = if has(3) { 6 } else { 40 };
    config.limits.idle_ms = if has(4) { 20 } else { 0 };
    config.features.silent_errors = has(5);
    config.features.dump = !has(6);
    config.features.registry = !has(7);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::probe::{Canary, plant};

    #[test]
    fn bytes_become_what_they_are_meant_to() {
        // Limits off; connection 0 opens, says `g a\n`, 1 opens, says `sg b\n`, 0 ends, a tick, 1 asks.
        let mut run_of = vec![0, 0, (4 + 2) << 3];
        run_of.extend(b"g a\n");
        run_of.extend([1, (5 + 2) << 3 | 1]);
        run_of.extend(b"sg b\n");
        run_of.extend([1 << 3, 7, (4 + 2) << 3 | 1]);
        run_of.extend(b"i a\n");
        assert_eq!(run(&run_of), Ok(7));
        assert_eq!(run(&[]), Ok(0));
    }
    #[test]
    fn a_figure_that_differs_is_named() {
        // Connections 0 and 1 open, 0 says `sg a\n` and ends, 1 asks for all figures.
        let mut run_of = vec![0, 0, 1, (5 + 2) << 3];
        run_of.extend(b"sg a\n");
        run_of.extend([1 << 3, (7 + 2) << 3 | 1]);
        run_of.extend(b"q full\n");
        assert_eq!(run(&run_of), Ok(5));
        plant(Some(Canary::OrphansOfTheWrongKind));
        let told = run(&run_of);
        plant(None);
        let figures = "the figure orphans is 1, expected 0; the figure shared_orphans is 0, expected 1";
        assert_eq!(told, Err(format!("input 5: {figures}")));
    }
}
