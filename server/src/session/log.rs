//! What is logged of one connection. With `--verbose`: that it came, what it got and released, and what it left behind.
//! Of an operator always: whom it closed and what it took away. The log hears of commands and whether they succeeded.
//! It has its own memory of what is held, so that nobody else pays for it. A line is for people. What it is about is
//! also in fields, for logs in JSON.

use crate::listen::Peer;
use crate::quoted::Quoted;
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
    /// Whether it came by the administrative socket.
    is_of_admin_socket: bool,
    held: BTreeSet<(Kind, Vec<u8>)>,
    /// Whether its locks outlive it, because it asked for that or took over a session.
    lingers: bool,
    /// What becomes of its locks at its end, in a word.
    fate: &'static str,
    /// What it waits for.
    waiting: Option<Command<Vec<u8>>>,
}

impl SessionLog {
    /// A log for a connection. `None` if there will never be anything to log.
    pub(crate) fn of(addr: Addr, peer: &Peer, is_verbose: bool) -> Option<Self> {
        let operator = match peer {
            Peer::Ip(_) | Peer::Certified { .. } | Peer::Unix => None,
            Peer::Operator(None) => Some(addr.to_string()),
            Peer::Operator(Some(credentials)) => Some(format!("{addr} ({credentials})")),
        };
        let is_of_admin_socket = operator.is_some();
        (is_verbose || is_of_admin_socket).then(|| Self {
            is_verbose,
            operator,
            is_of_admin_socket,
            ..Self::silent(addr)
        })
    }

    /// A log for a connection that has nothing to log yet.
    pub(super) fn silent(addr: Addr) -> Self {
        Self {
            addr,
            is_verbose: false,
            operator: None,
            is_of_admin_socket: false,
            held: BTreeSet::new(),
            lingers: false,
            fate: "orphaned",
            waiting: None,
        }
    }

    /// Whether it is of a connection to the administrative socket.
    pub(super) fn is_of_admin_socket(&self) -> bool {
        self.is_of_admin_socket
    }

    /// The connection logged in to an account that may do what operators may.
    pub(super) fn is_account_with_rights(&mut self, account: &str) {
        self.operator = Some(format!("{} (account {account})", self.addr));
    }

    /// The connection logged in, by the token with this digest.
    pub(super) fn logged_in(&self, account: &str, token: &str) {
        if self.is_verbose {
            let addr = self.addr;
            info!(%addr, account, token, "{addr} is account {account} now, by the token {token}");
        }
    }

    pub(crate) fn refused(&self) {
        if self.is_verbose {
            info!(addr = %self.addr, "{} refused: too many connections", self.addr);
        }
    }

    pub(super) fn connected(&self) {
        match &self.operator {
            _ if !self.is_verbose => {}
            Some(operator) => info!(addr = %self.addr, operator, "{operator} connected as an operator"),
            None => info!(addr = %self.addr, "{} connected", self.addr),
        }
    }

    /// A command has run. Its answer comes later.
    pub(super) fn waits(&mut self, command: Command<Vec<u8>>) {
        self.waiting = Some(command);
    }

    /// The answer of a wait has come. `is_success` is `None` if there was none.
    pub(super) fn answered(&mut self, is_success: Option<bool>) {
        if let Some(command) = self.waiting.take() {
            self.heard(command, is_success);
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
                    self.tell_of_lock("released", kind, &name);
                }
            }
            Command::Release(kind, name) if is_success => {
                self.tell_of_lock("released", kind, &name);
                self.held.remove(&(kind, name));
            }
            // An operator may have taken the lock away. The holder is not told of that, so the lock is still in the
            // list. `ra` looks first: see `forget_stolen`.
            Command::Release(kind, name) => drop(self.held.remove(&(kind, name))),
            Command::Iam(name) if is_success => {
                info!(%addr, registered = %name.escape_ascii(), "{addr} is called {}", Quoted(&name));
            }
            // Never the key, neither said nor told: who reads the log must not be able to resume.
            Command::Linger(ms) if is_success => {
                self.lingers = ms > 0;
                info!(%addr, ms, "{addr} asked for its locks to linger for {ms} ms");
            }
            Command::Resume(_) if is_success => {
                self.lingers = true;
                info!(%addr, "{addr} resumed");
            }
            Command::Resume(_) => info!(%addr, "{addr} failed to resume"),
            Command::Unknown(verb) => info!(%addr, "{addr} sent an unknown command {}", Quoted(&verb)),
            Command::LineTooLong => info!(%addr, "{addr} sent a line that is too long"),
            _ => {}
        }
    }

    /// Forgets the locks that the connection does not hold any more: an operator took them away. Must be called before
    /// `ra` runs. Its reply names no locks, so nothing else tells which are released. What is shared
    /// is never stolen.
    pub(super) fn forget_stolen(&mut self, is_holder: impl Fn(Kind, &[u8]) -> bool) {
        self.held.retain(|(kind, name)| kind.is_counted() || is_holder(*kind, name));
    }

    fn got(&mut self, kind: Kind, name: Vec<u8>) {
        // It may have been held in another way until now.
        let before = kind.rival().map(|rival| (rival, name.clone())).filter(|lock| self.held.remove(lock));
        if let Some((kind, name)) = before {
            self.tell_of_lock("released", kind, &name);
        }
        let lock = (kind, name);
        if !self.held.contains(&lock) {
            self.tell_of_lock("got", kind, &lock.1);
            self.held.insert(lock);
        }
    }

    fn tell_of_lock(&self, what: &str, kind: Kind, name: &[u8]) {
        let (addr, lock) = (self.addr, name.escape_ascii());
        info!(%addr, %lock, kind = kind.word(), "{addr} {what} {} {}", kind.lock_word(), Quoted(name));
    }

    /// The connection has ended, and holds nothing any more.
    pub(super) fn disconnected(&mut self, cause: Cause) {
        self.fate = match cause {
            Cause::Resumed => "passed on",
            Cause::Eof | Cause::Error | Cause::Stalled | Cause::Shutdown | Cause::NodeLost
                if self.lingers =>
            {
                "left behind"
            }
            _ => "orphaned",
        };
        if self.is_verbose {
            let (addr, cause) = (self.addr, cause.word());
            info!(%addr, cause, "{addr} disconnected ({cause})");
        }
    }

    /// Logs some of the locks that the connection held at its end. Returns whether there are more.
    pub(super) fn log_orphans(&mut self) -> bool {
        if !self.is_verbose {
            return false;
        }
        for _ in 0..LINES_PER_TURN {
            let Some((kind, name)) = self.held.pop_first() else { return false };
            self.tell_of_lock(self.fate, kind, &name);
        }
        true
    }
}

/// A warning, because all readers of the log should see what an operator does to others.
fn tell_of_operator(operator: &str, command: &Command<Vec<u8>>, is_success: bool) {
    match command {
        Command::Kick(wanted) => {
            let (kicked, shown) = (wanted.escape_ascii(), Quoted(wanted));
            if is_success {
                warn!(operator, %kicked, "operator {operator} closed {shown}");
            } else {
                warn!(operator, %kicked, "operator {operator} wanted to close {shown}: no such connection");
            }
        }
        Command::Steal(kind, name) => {
            let (lock, shown) = (name.escape_ascii(), Quoted(name));
            let (kind, word) = (kind.word(), kind.lock_word());
            if is_success {
                warn!(operator, %lock, kind, "operator {operator} stole {word} {shown}");
            } else {
                warn!(operator, %lock, kind, "operator {operator} wanted to steal {word} {shown}: nobody holds it");
            }
        }
        _ => {}
    }
}
