//! The log of a run: everything that happened, on the server's side and on the clients' side, in one order. Every
//! judgement about a run is made from its log.

use crate::script::{Client, Fault, FaultKind, Host};
use elockd_core::{Command, Conn, Input, Now, Reason, Seq, Subject};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// One of the server's processes. Each has a machine of its own that begins with nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(pub u32);

/// One event. Its place in the log is its place in the order of all events.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Milliseconds of virtual time since the run began.
    pub at_ms: u32,
    /// The event.
    pub event: Event,
}

/// The kinds of events.
#[derive(Clone, Debug)]
pub enum Event {
    /// The server's process started.
    ServerStarted(Life),
    /// The server's process ended in order: its shutdown is complete.
    ServerEnded(Life),
    /// A client is connected.
    Connected {
        /// The client.
        client: Client,
        /// The host it is on.
        host: Host,
        /// Its address, as the server sees it.
        addr: SocketAddr,
    },
    /// The server accepted an operator's connection. The next that opens without an address is this one.
    OperatorAccepted(SocketAddr),
    /// A client could not connect.
    NotConnected(Client),
    /// A client wrote bytes.
    Sent(Client, Vec<u8>),
    /// A client got bytes.
    Received(Client, Vec<u8>),
    /// The client's side of a connection ended.
    Ended(Client, Ended),
    /// A client sent FIN and goes on reading.
    HalfClosed(Client),
    /// The server read bytes.
    ReadBytes {
        /// From where the connection came.
        addr: SocketAddr,
        /// How many.
        bytes: usize,
    },
    /// The server wrote bytes.
    WroteBytes {
        /// From where the connection came.
        addr: SocketAddr,
        /// How many.
        bytes: usize,
    },
    /// The server dropped a connection's stream.
    Dropped {
        /// From where the connection came.
        addr: SocketAddr,
        /// Since when the peer had taken nothing of what the server had to write; `None` if it had taken all.
        blocked_since_ms: Option<u32>,
    },
    /// The server read FIN from a connection, or failed to read or write.
    ReadEnd {
        /// From where the connection came.
        addr: SocketAddr,
        /// Whether it was FIN; otherwise it was an error.
        is_fin: bool,
    },
    /// The machine was given an input.
    Applied(Applied),
    /// A fault began or ended.
    Fault(Fault),
    /// Faults are over. Every client that is left must get every lock.
    LivenessBegins,
}

/// How a client's side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client closed it.
    Closed,
    /// Its process was killed.
    Crashed,
    /// The server closed it in order.
    Fin,
    /// The connection broke.
    Broken,
}

/// One input of the machine, and all its outcomes.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The life whose machine it is.
    pub life: Life,
    /// The input's place in the machine's order.
    pub seq: Seq,
    /// The time that came with it.
    pub now: Now,
    /// The input.
    pub input: Input<Command<Vec<u8>>>,
    /// What connections were told, in this order.
    pub told: Vec<(Conn, Told)>,
}

/// An outcome for one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A reply, as the bytes on the wire.
    Reply(Vec<u8>),
    /// It is going to get a listing.
    Listing(Subject, Vec<u8>),
    /// It waits: its reply comes later.
    Wait,
    /// The machine closes it.
    Disconnect(Reason),
}

/// An invariant that was violated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, in milliseconds of virtual time.
    pub at_ms: u32,
    /// The name of the violated invariant.
    pub check: &'static str,
    /// What was wrong.
    pub what: String,
    /// The connection that it is about, by the machine's number, if it is about one.
    pub conn: Option<Conn>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ms: {}", self.check, self.at_ms, self.what)
    }
}

/// The log during the run. Everything in the world writes into it.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    at_ms: u32,
    entries: Vec<Entry>,
    violation: Option<Violation>,
    bites: BTreeMap<FaultKind, u64>,
}

impl Log {
    /// Sets the time of the events that follow.
    pub fn set_time(&self, at_ms: u32) {
        self.with(|inner| inner.at_ms = at_ms);
    }

    /// The time, in milliseconds of virtual time since the run began.
    #[must_use]
    pub fn time_ms(&self) -> u32 {
        self.with(|inner| inner.at_ms)
    }

    /// Adds an event.
    pub fn note(&self, event: Event) {
        self.with(|inner| inner.entries.push(Entry { at_ms: inner.at_ms, event }));
    }

    /// Counts a fault that made a difference.
    pub fn bite(&self, fault: FaultKind) {
        self.with(|inner| *inner.bites.entry(fault).or_default() += 1);
    }

    /// Records a violation. Only the first is kept: later ones may be its consequences.
    pub fn violate(&self, check: &'static str, conn: Option<Conn>, what: String) {
        self.with(|inner| {
            let at_ms = inner.at_ms;
            inner.violation.get_or_insert(Violation { at_ms, check, what, conn });
        });
    }

    /// Whether an invariant was violated.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.with(|inner| inner.violation.is_some())
    }

    /// Takes everything out, when the run is over.
    #[must_use]
    pub fn take(&self) -> (Vec<Entry>, Option<Violation>, BTreeMap<FaultKind, u64>) {
        self.with(|inner| {
            (std::mem::take(&mut inner.entries), inner.violation.take(), std::mem::take(&mut inner.bites))
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut Pages) -> R) -> R {
        act(&mut self.0.lock().expect("nobody panics while writing the log"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} ms  {}", self.at_ms, self.event)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerStarted(life) => write!(f, "the server starts its life {}", life.0),
            Self::ServerEnded(life) => write!(f, "the server ends its life {}", life.0),
            Self::Connected { client, host, addr, .. } => {
                write!(f, "{client} is connected from {host}, {addr}")
            }
            Self::OperatorAccepted(addr) => write!(f, "server: {addr} is an operator"),
            Self::NotConnected(client) => write!(f, "{client} could not connect"),
            Self::Sent(client, bytes) => write!(f, "{client} > \"{}\"", bytes.escape_ascii()),
            Self::Received(client, bytes) => write!(f, "{client} < \"{}\"", bytes.escape_ascii()),
            Self::Ended(client, ended) => write!(f, "{client} is over: {ended:?}"),
            Self::HalfClosed(client) => write!(f, "{client} sends FIN"),
            Self::ReadBytes { addr, bytes } => write!(f, "server: {bytes} bytes from {addr}"),
            Self::WroteBytes { addr, bytes } => write!(f, "server: {bytes} bytes to {addr}"),
            Self::ReadEnd { addr, is_fin: true } => write!(f, "server: FIN from {addr}"),
            Self::ReadEnd { addr, is_fin: false } => write!(f, "server: {addr} failed"),
            Self::Dropped { addr, blocked_since_ms: None } => write!(f, "server: lets go of {addr}"),
            Self::Dropped { addr, blocked_since_ms: Some(since) } => {
                write!(f, "server: lets go of {addr}, which has taken nothing since {since} ms")
            }
            Self::Applied(applied) => applied.fmt(f),
            Self::Fault(fault) => write!(f, "fault: {fault}"),
            Self::LivenessBegins => f.write_str("faults are over"),
        }
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { life, seq, now, input, told } = self;
        let input = Text(input);
        write!(f, "machine {}.{} at {}: {input}", life.0, seq.0, now.0)?;
        for (to, told) in told {
            match told {
                Told::Reply(bytes) => write!(f, "; {} < \"{}\"", to.serial(), bytes.escape_ascii())?,
                Told::Listing(subject, name) => {
                    write!(f, "; {} < a listing, {subject:?} \"{}\"", to.serial(), name.escape_ascii())?;
                }
                Told::Wait => write!(f, "; {} waits", to.serial())?,
                Told::Disconnect(reason) => write!(f, "; {} is closed: {reason:?}", to.serial())?,
            }
        }
        Ok(())
    }
}

/// An input in words.
struct Text<'a>(&'a Input<Command<Vec<u8>>>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Opened(conn, origin) => write!(f, "{} opens from {}", conn.serial(), origin.addr),
            Input::Closed(conn, cause) => write!(f, "{} closes: {cause:?}", conn.serial()),
            Input::Tick => f.write_str("tick"),
            Input::Lapse { ms } => write!(f, "a lapse of {ms} ms"),
            Input::Gone(node) => write!(f, "node {node} is gone"),
            Input::Drain(node) => write!(f, "node {node} drains"),
            Input::Tokens { first, last } => write!(f, "tokens from {first} to {last}"),
            Input::Accounts(_) => f.write_str("a new table of accounts"),
            Input::Command(conn, command) => write!(f, "{} > {}", conn.serial(), spoken(command)),
        }
    }
}

/// A command as a line, without its end.
#[must_use]
pub fn spoken(command: &Command<Vec<u8>>) -> String {
    match command {
        Command::BadArgument(verb) => format!("{} (and no number)", verb.word()),
        Command::Login(Some(account)) => format!("auth (account {})", account.0),
        Command::Login(None) => "auth (no such token)".to_owned(),
        Command::Refused(verb, why) => format!("{} (refused: {why:?})", verb.word()),
        Command::LineTooLong => "(a line over the limit)".to_owned(),
        _ => command.line().escape_ascii().to_string(),
    }
}
