//! One connection of a run: what it sends, which replies it expects, and since when.

use super::LoadError;
use super::expect::{Ear, Heard};
use super::script::Turn;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// The most bytes of one read: far more than the replies of a turn.
pub(super) const SCRATCH: usize = 64 << 10;

/// The address for a connection. One after the other has its turn, so that they are spread evenly.
pub(super) fn nth(addresses: &[SocketAddr], who: usize) -> SocketAddr {
    addresses[who % addresses.len()]
}

pub(super) struct Link {
    socket: TcpStream,
    ear: Ear,
    /// How much of the turn's request the kernel has taken.
    sent: usize,
    /// The index of its current turn in its script.
    pub(super) turn: usize,
    /// When it began to send the current turn.
    pub(super) since: Instant,
}

impl Link {
    /// Connects. Blocks until that is done.
    pub(super) fn connect(address: SocketAddr) -> Result<Self, LoadError> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self::new(socket))
    }

    /// Begins to connect, without blocking. The connection is made once it can be written to.
    pub(super) fn begin(address: SocketAddr) -> Result<Self, LoadError> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Self::new(TcpStream::from(socket))),
            Err(error) => Err(error.into()),
        }
    }

    fn new(socket: TcpStream) -> Self {
        Self { socket, ear: Ear::new(), sent: 0, turn: 0, since: Instant::now() }
    }

    /// Begins to send a turn's request: as much of it as the kernel takes.
    pub(super) fn say(&mut self, turn: &Turn, now: Instant) -> Result<(), LoadError> {
        self.ear.begin();
        self.sent = 0;
        self.since = now;
        self.go_on(turn)
    }

    /// Sends more of the request.
    pub(super) fn go_on(&mut self, turn: &Turn) -> Result<(), LoadError> {
        while self.sent < turn.request.len() {
            match self.socket.write(&turn.request[self.sent..]) {
                Ok(taken) => self.sent += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads what is there. `None` if nothing is.
    pub(super) fn read<'s>(&mut self, scratch: &'s mut [u8]) -> Result<Option<&'s [u8]>, LoadError> {
        match self.socket.read(scratch) {
            Ok(0) => Err(LoadError::Closed),
            Ok(count) => Ok(Some(&scratch[..count])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Checks what was read.
    pub(super) fn hear(&mut self, turn: &Turn, bytes: &[u8]) -> Result<Heard, LoadError> {
        self.ear.hear(&turn.replies, bytes)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
