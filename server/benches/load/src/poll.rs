//! epoll, edge-triggered: each socket is registered once, for both directions, and no other system call is ever
//! made for it here. So whoever is woken must read until less comes than there was room for.

use super::LoadError;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

/// Events that are taken at once.
const EVENTS: usize = 1024;
/// After how long without an event a run is given up.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub(super) fn new() -> Result<Self, LoadError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS) })
    }

    /// Watches a socket, until it is closed.
    pub(super) fn add(&self, socket: impl AsFd, who: usize) -> Result<(), LoadError> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(who as u64), flags)?)
    }

    /// Waits until something happens: how many sockets it happened to. 0 means that patience is at its end.
    pub(super) fn wait(&mut self) -> Result<usize, LoadError> {
        self.events.clear();
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&PATIENCE)) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whose event this one is.
    pub(super) fn who(&self, index: usize) -> usize {
        let data = self.events[index].data;
        usize::try_from(data.u64()).expect("what was registered was a usize")
    }
}
