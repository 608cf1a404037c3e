//! Connections that have their turns one after the other: in line for a lock, or passing round a token. Their order
//! must stay the same.

use super::LoadError;
use super::link::{Link, SCRATCH, nth};
use super::meter::{Meter, Report, Window};
use super::order::Order;
use super::poll::Poll;
use super::protocol::{ECHO_REPLY, Exchange, Protocol, name};
use super::script::{Turn, get_waiting};
use std::net::SocketAddr;
use std::time::Instant;

/// Waiting in line for one lock. A turn is one round trip: the grant comes, and the release and the next wait go out in
/// one write. The release grants the lock to the next connection.
pub(super) fn line(
    addresses: &[SocketAddr],
    connections: usize,
    window: Window<'_>,
) -> Result<Report, LoadError> {
    let Exchange { request: wait, yes: granted, .. } = get_waiting(&name(0));
    let Exchange { request: release, yes: released, .. } = Protocol::Elockd.release(&name(0));
    let join = Turn::of(&[(&wait, &granted)]);
    let pass = Turn::of(&[(&release, &released), (&wait, &granted)]);
    let leave = Turn::of(&[(&release, &released)]);
    let mut ring = Ring::new(addresses, connections, [join, pass, leave], window)?;
    let now = ring.start();
    for who in 0..connections {
        ring.say(who, JOIN, now)?;
    }
    let mut last = now;
    while let Some((who, now)) = ring.next()? {
        if ring.links[who].turn == LEAVE {
            continue;
        }
        let goes_on = ring.has_turn(who, last, now)?;
        last = now;
        ring.say(who, if goes_on { PASS } else { LEAVE }, now)?;
    }
    ring.window.report()
}

/// Passing a token round an echo without locks: the same bytes, and the same round trip for a turn.
pub(super) fn token(
    addresses: &[SocketAddr],
    connections: usize,
    window: Window<'_>,
) -> Result<Report, LoadError> {
    let Exchange { request: wait, .. } = get_waiting(&name(0));
    let Exchange { request: release, .. } = Protocol::Elockd.release(&name(0));
    let pass = || Turn::of(&[(&release, ECHO_REPLY), (&wait, ECHO_REPLY)]);
    let mut ring = Ring::new(addresses, connections, [pass(), pass(), pass()], window)?;
    let mut last = ring.start();
    ring.say(0, PASS, last)?;
    while let Some((who, now)) = ring.next()? {
        if !ring.has_turn(who, last, now)? {
            break;
        }
        last = now;
        ring.say((who + 1) % connections, PASS, now)?;
    }
    ring.window.report()
}

/// Indexes of turns: the first turn of a connection, each later one, and the last.
const JOIN: usize = 0;
const PASS: usize = 1;
const LEAVE: usize = 2;

struct Ring<'e> {
    poll: Poll,
    links: Vec<Link>,
    turns: [Turn; 3],
    scratch: Vec<u8>,
    window: Window<'e>,
    /// How many connections are owed replies.
    owed: usize,
    /// The number of events that were taken, and the index of the next.
    events: (usize, usize),
    order: Order,
}

impl<'e> Ring<'e> {
    fn new(
        addresses: &[SocketAddr],
        connections: usize,
        turns: [Turn; 3],
        window: Window<'e>,
    ) -> Result<Self, LoadError> {
        let poll = Poll::new()?;
        let mut links = Vec::with_capacity(connections);
        for who in 0..connections {
            let link = Link::connect(nth(addresses, who))?;
            poll.add(&link, who)?;
            links.push(link);
        }
        let scratch = vec![0; SCRATCH];
        let order = Order::new(connections);
        Ok(Self { poll, links, turns, scratch, window, owed: 0, events: (0, 0), order })
    }

    fn start(&mut self) -> Instant {
        let now = Instant::now();
        self.window.start(now);
        now
    }

    fn say(&mut self, who: usize, turn: usize, now: Instant) -> Result<(), LoadError> {
        self.owed += 1;
        self.links[who].turn = turn;
        self.links[who].say(&self.turns[turn], now)
    }

    /// The next connection that has heard all it was owed, and when. `None` if nobody is owed anything.
    fn next(&mut self) -> Result<Option<(usize, Instant)>, LoadError> {
        while self.owed > 0 {
            let (taken, next) = &mut self.events;
            if next == taken {
                self.events = (self.poll.wait()?, 0);
                if self.events.0 == 0 {
                    return Err(LoadError::Silence { owed: self.owed });
                }
                continue;
            }
            let who = self.poll.who(*next);
            *next += 1;
            let link = &mut self.links[who];
            let turn = &self.turns[link.turn];
            // A turn's replies are far shorter than the scratch, so one read takes all there is.
            let Some(bytes) = link.read(&mut self.scratch)? else { continue };
            if link.hear(turn, bytes)?.is_all {
                self.owed -= 1;
                return Ok(Some((who, Instant::now())));
            }
        }
        Ok(None)
    }

    /// Notes that a connection has its turn. The turn began at `last`, when the connection before had its own. Returns
    /// false if the run is over.
    fn has_turn(&mut self, who: usize, last: Instant, now: Instant) -> Result<bool, LoadError> {
        self.order.turn(who)?;
        let goes_on = self.window.goes_on(now);
        self.window.record(last, now, 1);
        Ok(goes_on)
    }
}
