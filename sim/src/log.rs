//! The log of a run: everything that happened in it, on the server's side and on the clients', in the one
//! order in which it did. All that is said about a run afterwards is said from its log.

use crate::script::{Client, Fault, FaultKind};
use elockd_core::{Conn, Input, Now, Reason, Seq, Subject};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// Which of the server's processes: each has a machine of its own that begins with nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(pub u32);

/// One thing that happened. Its place in the log is its place in the order of all things.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Milliseconds of virtual time since the run began.
    pub at_ms: u32,
    /// What it was.
    pub event: Event,
}

/// What may happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// The server's process started.
    ServerStarted(Life),
    /// It ended in order: its shutdown is complete.
    ServerEnded(Life),
    /// A client's connection stands.
    Connected {
        /// Whose.
        client: Client,
        /// From where, as the server sees it.
        addr: SocketAddr,
        /// The server's process that was up at that time.
        life: Life,
    },
    /// A client could not connect.
    NotConnected(Client),
    /// A client wrote bytes.
    Sent(Client, Vec<u8>),
    /// A client got bytes.
    Received(Client, Vec<u8>),
    /// A client's side of its connection is over.
    Ended(Client, Ended),
    /// A client sent FIN and goes on reading.
    HalfClosed(Client),
    /// The server read so many bytes.
    ReadBytes {
        /// From where the connection came.
        addr: SocketAddr,
        /// How many.
        bytes: usize,
    },
    /// The server let go of a connection's stream.
    Dropped {
        /// From where the connection came.
        addr: SocketAddr,
        /// Since when the peer had taken nothing of what the server had to write, if it was so.
        blocked_since_ms: Option<u32>,
    },
    /// The server read the end of a connection, or failed to read or write.
    ReadEnd {
        /// From where the connection came.
        addr: SocketAddr,
        /// Whether it was FIN, not an error.
        is_fin: bool,
    },
    /// The machine was given an input.
    Applied(Applied),
    /// A fault began or ended.
    Fault(Fault),
    /// Faults are over, and everybody left has to get every lock.
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
    /// It broke.
    Broken,
}

/// One input of the machine, and all that came of it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Whose machine.
    pub life: Life,
    /// The input's place in the machine's order.
    pub seq: Seq,
    /// The time it came with.
    pub now: Now,
    /// The input.
    pub input: Input<Vec<u8>>,
    /// What connections were told, in this order.
    pub told: Vec<(Conn, Told)>,
}

/// What a connection was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A reply, as the bytes on the wire.
    Reply(Vec<u8>),
    /// It will be sent a listing.
    Listing(Subject, Vec<u8>),
    /// The machine closes it.
    Disconnect(Reason),
}

/// A claim that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, in milliseconds of virtual time.
    pub at_ms: u32,
    /// Which claim: the name of the check that fell.
    pub check: &'static str,
    /// What was wrong.
    pub what: String,
    /// The client it was about, if it was about one.
    pub conn: Option<Conn>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ms: {}", self.check, self.at_ms, self.what)
    }
}

/// The log while the run goes on: everybody in the world writes into it.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    at_ms: u32,
    entries: Vec<Entry>,
    violation: Option<Violation>,
    bites: BTreeMap<FaultKind, u64>,
}

impl Log {
    /// What happens from here on happens at this time.
    pub fn set_time(&self, at_ms: u32) {
        self.with(|inner| inner.at_ms = at_ms);
    }

    /// The time, in milliseconds of virtual time since the run began.
    #[must_use]
    pub fn time_ms(&self) -> u32 {
        self.with(|inner| inner.at_ms)
    }

    /// Writes down what happened.
    pub fn note(&self, event: Event) {
        self.with(|inner| inner.entries.push(Entry { at_ms: inner.at_ms, event }));
    }

    /// Counts a fault that made a difference.
    pub fn bite(&self, fault: FaultKind) {
        self.with(|inner| *inner.bites.entry(fault).or_default() += 1);
    }

    /// Writes down that a claim does not hold. The first one counts: the rest may come of it.
    pub fn violate(&self, check: &'static str, conn: Option<Conn>, what: String) {
        self.with(|inner| {
            let at_ms = inner.at_ms;
            inner.violation.get_or_insert(Violation { at_ms, check, what, conn });
        });
    }

    /// Whether a claim has fallen.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.with(|inner| inner.violation.is_some())
    }

    /// Takes everything out, when the run is over.
    #[must_use]
    pub fn take(&self) -> (Vec<Entry>, Option<Violation>, BTreeMap<FaultKind, u64>) {
        self.with(|inner| {
            (
                std::mem::take(&mut inner.entries),
                inner.violation.take(),
                std::mem::take(&mut inner.bites),
            )
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut Inner) -> R) -> R {
        act(&mut self.0.lock().expect("nobody panics while writing the log"))
    }
}
