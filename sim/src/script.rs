//! What clients and the network do in a run, as data: a list of steps with times. It is made from the seed before the
//! run begins, and nothing in the run changes it. It can be printed, kept, cut down and run again.
//!
//! Every step makes sense in every state of the world: a step for a connection that is not open, or a host that is
//! down, is skipped. So any part of a script is a script.

use bincode::{Decode, Encode};
use std::fmt;

/// The client's side of one connection, by the number that the script gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Client(pub u32);

/// A machine that clients run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Host(pub u8);

/// One step: an action and its time.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Step {
    /// Milliseconds of virtual time since the run began.
    pub at_ms: u32,
    /// The action.
    pub action: Action,
}

/// The kinds of actions.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Action {
    /// A client connects from a host.
    Open(Client, Host),
    /// An operator connects from a host, if the server listens for operators.
    OpenAsOperator(Client, Host),
    /// A client writes bytes. All that it says within one millisecond is one write.
    Say(Client, Vec<u8>),
    /// A client writes `kick` and the address of another client. A script cannot know the address.
    Kick(Client, Client),
    /// A client writes `kick ~` and the address of another client, whose session is meant.
    KickSession(Client, Client),
    /// A client writes `resume` and the key that another client, or it itself, was told last. A script cannot know
    /// the key. If that client was told none, the key is made up.
    Resume(Client, Client),
    /// A client stops taking what the server sends.
    Deafen(Client),
    /// It goes on taking it.
    Hear(Client),
    /// A client ends its side and goes on reading.
    HalfClose(Client),
    /// A client closes. With replies unread, that is a reset.
    Close(Client),
    /// A fault begins or ends.
    Fault(Fault),
}

/// The kinds of faults and their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Fault {
    /// All processes of a host are killed. Its kernel tells their peers.
    Crash(Host),
    /// The processes of a crashed host start again.
    Restart(Host),
    /// Nothing gets through between a host and the server, either way. Messages on their way are lost too.
    CutOff(Host),
    /// Nothing gets through from a host to the server.
    Mute(Host),
    /// Nothing gets through from the server to a host.
    Unheard(Host),
    /// New connections get through again. Connections that were cut stay dead: lost bytes are not sent again.
    Mend(Host),
    /// All messages between a host and the server are held back.
    Hold(Host),
    /// The messages that were held back all arrive at once.
    Release(Host),
    /// Each message between a host and the server takes this many milliseconds, up to a second.
    Slow(Host, u16),
    /// A slow link is as fast as before.
    Hasten(Host),
    /// The server's process is killed. Its locks are gone.
    KillServer,
    /// The server starts again, without locks.
    StartServer,
    /// The server is told to shut down in order.
    Drain,
    /// Writes to the state directory fail.
    FillDisk,
    /// Writes to the state directory succeed again.
    FreeDisk,
    /// The server's process is killed as soon as it has reserved fencing tokens, before it uses them.
    KillAtReserve,
}

/// A fault without its host: the kind that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// [`Fault::Crash`].
    Crash,
    /// [`Fault::CutOff`].
    CutOff,
    /// [`Fault::Mute`].
    Mute,
    /// [`Fault::Unheard`].
    Unheard,
    /// [`Fault::Hold`].
    Hold,
    /// [`Fault::Slow`].
    Slow,
    /// [`Fault::KillServer`].
    KillServer,
    /// [`Fault::Drain`].
    Drain,
    /// [`Fault::FillDisk`], if tokens were to be reserved meanwhile.
    FullDisk,
    /// [`Fault::KillAtReserve`], if tokens were reserved.
    KillAtReserve,
    /// [`Action::Deafen`].
    Deaf,
    /// [`Action::Close`] with replies unread.
    Reset,
    /// [`Action::Close`] or [`Action::HalfClose`] in the middle of a line.
    CutOffLine,
    /// [`Action::HalfClose`] with requests that are not answered yet.
    HalfClose,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Crash,
        Self::CutOff,
        Self::Mute,
        Self::Unheard,
        Self::Hold,
        Self::Slow,
        Self::KillServer,
        Self::Drain,
        Self::FullDisk,
        Self::KillAtReserve,
        Self::Deaf,
        Self::Reset,
        Self::CutOffLine,
        Self::HalfClose,
    ];
}

impl Fault {
    /// The kind that it is counted as; `None` for the end of a fault.
    #[must_use]
    pub const fn kind(self) -> Option<FaultKind> {
        match self {
            Self::Crash(_) => Some(FaultKind::Crash),
            Self::CutOff(_) => Some(FaultKind::CutOff),
            Self::Mute(_) => Some(FaultKind::Mute),
            Self::Unheard(_) => Some(FaultKind::Unheard),
            Self::Hold(_) => Some(FaultKind::Hold),
            Self::Slow(..) => Some(FaultKind::Slow),
            Self::KillServer => Some(FaultKind::KillServer),
            Self::Drain => Some(FaultKind::Drain),
            Self::FillDisk => Some(FaultKind::FullDisk),
            Self::KillAtReserve => Some(FaultKind::KillAtReserve),
            Self::Restart(_)
            | Self::Mend(_)
            | Self::Release(_)
            | Self::Hasten(_)
            | Self::StartServer
            | Self::FreeDisk => None,
        }
    }

    /// Whether it is sure to make a difference to the clients that are there. For faults of reserving fencing tokens
    /// nobody can know that beforehand.
    #[must_use]
    pub fn is_sure(self) -> bool {
        self.kind().is_some_and(|kind| !matches!(kind, FaultKind::FullDisk | FaultKind::KillAtReserve))
    }

    /// The host it is about; `None` for the server.
    #[must_use]
    pub const fn host(self) -> Option<Host> {
        match self {
            Self::Crash(host)
            | Self::Restart(host)
            | Self::CutOff(host)
            | Self::Mute(host)
            | Self::Unheard(host)
            | Self::Mend(host)
            | Self::Hold(host)
            | Self::Release(host)
            | Self::Slow(host, _)
            | Self::Hasten(host) => Some(host),
            Self::KillServer
            | Self::StartServer
            | Self::Drain
            | Self::FillDisk
            | Self::FreeDisk
            | Self::KillAtReserve => None,
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}", self.0)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(host) => write!(f, "{host} crashes"),
            Self::Restart(host) => write!(f, "{host} restarts"),
            Self::CutOff(host) => write!(f, "{host} is cut off"),
            Self::Mute(host) => write!(f, "nothing gets through from {host}"),
            Self::Unheard(host) => write!(f, "nothing gets through to {host}"),
            Self::Mend(host) => write!(f, "{host} is mended"),
            Self::Hold(host) => write!(f, "{host}'s link is held"),
            Self::Release(host) => write!(f, "{host}'s link is released"),
            Self::Slow(host, ms) => write!(f, "{host}'s link takes {ms} ms"),
            Self::Hasten(host) => write!(f, "{host}'s link is fast again"),
            Self::KillServer => f.write_str("the server is killed"),
            Self::StartServer => f.write_str("the server starts again"),
            Self::Drain => f.write_str("the server is told to shut down"),
            Self::FillDisk => f.write_str("the server's disk is full"),
            Self::FreeDisk => f.write_str("the server's disk has room again"),
            Self::KillAtReserve => f.write_str("the server will be killed when it has reserved tokens"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(client, host) => write!(f, "{client} connects from {host}"),
            Self::OpenAsOperator(client, host) => write!(f, "{client} connects from {host} as an operator"),
            Self::Kick(client, other) => write!(f, "{client} says \"kick\" and the address of {other}"),
            Self::KickSession(client, other) => {
                write!(f, "{client} says \"kick ~\" and the address of {other}")
            }
            Self::Resume(client, other) => write!(f, "{client} says \"resume\" and the key of {other}"),
            Self::Say(client, bytes) => write!(f, "{client} says \"{}\"", bytes.escape_ascii()),
            Self::Deafen(client) => write!(f, "{client} stops reading"),
            Self::Hear(client) => write!(f, "{client} reads again"),
            Self::HalfClose(client) => write!(f, "{client} ends its side"),
            Self::Close(client) => write!(f, "{client} closes"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} ms  {}", self.at_ms, self.action)
    }
}
