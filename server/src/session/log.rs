//! The log of one connection. With `--verbose` it has the beginning of the connection, what it got and released, and
//! the locks it left behind. For an operator it always has which connections it closed and which locks it took away.
//! The log is told of commands and whether they succeeded. It keeps its own list of what is held, so that connections
//! without a log do not pay for it.

use crate::listen::Peer;
use elockd_core::{Addr, Cause, Command, Kind};
use std::collections::BTreeSet;
use tracing::{info, warn};

/// Lines in a row before other connections have their turn.
const LINES_PER_TURN: usize = 256;

/// One connection's log.
pub(crate) struct SessionLog {
    addr: Addr,
    /// Whether everything is logged, as with `--verbose`.
    is_verbose: bool,
    /// The operator's description. `None` if it is not an operator.
    operator: Option<String>,
    held: BTreeSet<(Kind, Vec<u8>)>,
    /// What it waits for.
    waiting: Option<Command<Vec<u8>>>,
}

impl SessionLog {
    /// A log for a connection. `None` if there will never be anything to log.
    pub(crate) fn of(addr: Addr, peer: Peer, is_verbose: bool) -> Option<Self> {
        let operator = match peer {
            Peer::Ip(_) | Peer::Unix => None,
            Peer::Operator(None) => Some(addr.to_string()),
            Peer::Operator(Some(credentials)) => Some(format!("{addr} ({credentials})")),
        };
        let is_needed = is_verbose || operator.is_some();
        is_needed.then(|| Self { addr, is_verbose, operator, held: BTreeSet::new(), waiting: None })
    }

    pub(crate) fn refused(&self) {
        if self.is_verbose {
            info!("{} refused: too many connections", self.addr);
        }
    }

    pub(super) fn connected(&self) {
        match &self.operator {
            _ if !self.is_verbose => {}
            Some(operator) => info!("{operator} connected as an operator"),
            None => info!("{} connected", self.addr),
        }
    }

    /// A command has run. Its answer comes later.
    pub(super) fn waits(&mut self, command: Command<Vec<u8>>) {
        self.waiting = Some(command);
    }

    /// The answer of a wait has come.
    pub(super) fn answered(&mut self, is_success: bool) {
        if let Some(command) = self.waiting.take() {
            self.heard(command, Some(is_success));
        }
    }

    /// A command has run. `is_success` is `None` if there was no answer: the connection was over, or the command is
    /// unknown.
    pub(super) fn heard(&mut self, command: Command<Vec<u8>>, is_success: Option<bool>) {
        if let (Some(operator), Some(is_success)) = (&self.operator, is_success) {
            tell_of_operator(operator, &command, is_success);
        }
        if self.is_verbose && (is_success.is_some() || matches!(command, Command::Unknown(_))) {
            self.tell(command, is_success == Some(true));
        }
    }

    fn tell(&mut self, command: Command<Vec<u8>>, is_success: bool) {
        let addr = self.addr;
        match command {
            Command::Get(wish) if is_success => self.got(wish.kind(), wish.into_name()),
            Command::ReleaseAll => {
                for (kind, name) in std::mem::take(&mut self.held) {
                    info!("{addr} released {} {}", word(kind), name.escape_ascii());
                }
            }
            Command::Release(kind, name) if is_success => {
                info!("{addr} released {} {}", word(kind), name.escape_ascii());
                self.held.remove(&(kind, name));
            }
            // An operator may have taken the lock away. The holder is not told of that, so the lock is still in the
            // list.
            Command::Release(kind, name) => drop(self.held.remove(&(kind, name))),
            Command::Iam(name) if is_success => info!("{addr} is called {}", name.escape_ascii()),
            Command::Unknown(verb) => info!("{addr} sent an unknown command {}", verb.escape_ascii()),
            Command::LineTooLong => info!("{addr} sent a line that is too long"),
            _ => {}
        }
    }

    fn got(&mut self, kind: Kind, name: Vec<u8>) {
        let line = format!("{} got {} {}", self.addr, word(kind), name.escape_ascii());
        if self.held.insert((kind, name)) {
            info!("{line}");
        }
    }

    /// The connection has ended. It holds nothing any more.
    pub(super) fn disconnected(&self, cause: Cause) {
        if self.is_verbose {
            info!("{} disconnected ({})", self.addr, cause.word());
        }
    }

    /// Logs some of the locks that the connection held at its end. Returns whether there are more.
    pub(super) fn log_orphans(&mut self) -> bool {
        if !self.is_verbose {
            return false;
        }
        for _ in 0..LINES_PER_TURN {
            let Some((kind, name)) = self.held.pop_first() else { return false };
            info!("{} orphaned {} {}", self.addr, word(kind), name.escape_ascii());
        }
        true
    }
}

/// A warning, because all readers of the log should see what an operator does to others.
fn tell_of_operator(operator: &str, command: &Command<Vec<u8>>, is_success: bool) {
    match (command, is_success) {
        (Command::Kick(addr), true) => warn!("operator {operator} closed {}", addr.escape_ascii()),
        (Command::Kick(addr), false) => {
            warn!("operator {operator} wanted to close {}: no such connection", addr.escape_ascii());
        }
        (Command::Steal(name), true) => warn!("operator {operator} stole lock {}", name.escape_ascii()),
        (Command::Steal(name), false) => {
            warn!("operator {operator} wanted to steal lock {}: nobody holds it", name.escape_ascii());
        }
        _ => {}
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Exclusive => "lock",
        Kind::Shared => "shared lock",
    }
}
