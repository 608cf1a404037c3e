//! A connection that takes lock after lock and keeps them, while other connections are watched. It is part of their
//! loop, so it keeps the thread from them for at most one turn.

use super::LoadError;
use super::link::{Link, SCRATCH};
use super::poll::Poll;
use super::protocol::{Protocol, name};
use super::script::Turn;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Locks that it asks for at once.
const AT_ONCE: usize = 256;

pub(super) struct Filler {
    link: Link,
    turn: Turn,
    /// The locks that it must still ask for.
    names: Range<usize>,
    /// How many locks it got. Others can read this.
    held: Arc<AtomicUsize>,
    asked: usize,
}

impl Filler {
    pub(super) fn new(
        address: SocketAddr,
        names: Range<usize>,
        held: Arc<AtomicUsize>,
    ) -> Result<Self, LoadError> {
        Ok(Self { link: Link::connect(address)?, turn: Turn::default(), names, held, asked: 0 })
    }

    pub(super) fn begin(&mut self, poll: &Poll, who: usize) -> Result<(), LoadError> {
        poll.add(&self.link, who)?;
        self.ask()
    }

    /// Something happened: checks what came, and asks for more.
    pub(super) fn turn(&mut self, scratch: &mut [u8]) -> Result<(), LoadError> {
        self.link.go_on(&self.turn)?;
        while let Some(bytes) = self.link.read(scratch)? {
            let is_short = bytes.len() < SCRATCH;
            if self.link.hear(&self.turn, bytes)?.is_all {
                self.held.fetch_add(self.asked, Ordering::Release);
                self.ask()?;
            }
            if is_short {
                break;
            }
        }
        Ok(())
    }

    /// Requests are rendered here, not beforehand: ten million of them would take too much memory.
    fn ask(&mut self) -> Result<(), LoadError> {
        let mut turn = Turn::default();
        self.asked = self.names.len().min(AT_ONCE);
        for number in self.names.by_ref().take(AT_ONCE) {
            let exchange = Protocol::Elockd.get(&name(number));
            turn.exactly(&exchange.request, &exchange.yes);
        }
        self.turn = turn;
        if self.asked == 0 {
            return Ok(());
        }
        self.link.say(&self.turn, Instant::now())
    }
}
