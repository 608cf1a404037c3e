//! epoll, edge-triggered. Each socket is registered once, for both directions, and no other system call is made for it
//! here. So a connection that is woken must read until less comes than there was room for.

use super::LoadError;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

/// The most events that are taken at once.
const EVENTS: usize = 1024;
/// How long a run waits for an event before it gives up.
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

    /// Waits for events. Returns the number of sockets that have one, or 0 if the time is over.
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

    /// The connection that an event belongs to.
    pub(super) fn who(&self, index: usize) -> usize {
        let data = self.events[index].data;
        usize::try_from(data.u64()).expect("what was registered was a usize")
    }
}
