//! Connections that live for one lock: connect, get, release, close, over and over, like a web request.

use super::LoadError;
use super::link::{Link, SCRATCH};
use super::meter::{Meter, Report, Window};
use super::poll::Poll;
use super::script::Script;
use std::net::SocketAddr;
use std::time::Instant;

/// Measures such connections, as many at a time as there are scripts.
pub(super) fn run(
    address: SocketAddr,
    scripts: &[Script],
    mut window: Window<'_>,
) -> Result<Report, LoadError> {
    let mut poll = Poll::new()?;
    let mut scratch = vec![0; SCRATCH];
    window.start(Instant::now());
    let mut lives = Vec::with_capacity(scripts.len());
    for who in 0..scripts.len() {
        lives.push(Some(Life::begin(address, &poll, who)?));
    }
    let mut living = lives.len();
    while living > 0 {
        let count = poll.wait()?;
        if count == 0 {
            return Err(LoadError::Silence { owed: living });
        }
        for index in 0..count {
            let who = poll.who(index);
            let Some(life) = &mut lives[who] else { continue };
            if !life.turn(&scripts[who], &mut scratch)? {
                continue;
            }
            let born = life.born;
            // Closed before the next one connects, so that there are never more than scripts.
            lives[who] = None;
            let now = Instant::now();
            let goes_on = window.goes_on(now);
            window.record(born, now, 1);
            if goes_on {
                lives[who] = Some(Life::begin(address, &poll, who)?);
            } else {
                living -= 1;
            }
        }
    }
    window.report()
}

struct Life {
    link: Link,
    born: Instant,
    has_spoken: bool,
}

impl Life {
    fn begin(address: SocketAddr, poll: &Poll, who: usize) -> Result<Self, LoadError> {
        let born = Instant::now();
        let link = Link::begin(address)?;
        poll.add(&link, who)?;
        Ok(Self { link, born, has_spoken: false })
    }

    /// Handles an event: it is connected, or a reply came. Returns true once the last reply has come.
    fn turn(&mut self, script: &Script, scratch: &mut [u8]) -> Result<bool, LoadError> {
        let (link, turns) = (&mut self.link, &script.turns);
        if !self.has_spoken {
            self.has_spoken = true;
            link.say(&turns[0], self.born)?;
            return Ok(false);
        }
        while let Some(bytes) = link.read(scratch)? {
            let is_short = bytes.len() < SCRATCH;
            if link.hear(&turns[link.turn], bytes)?.is_all {
                link.turn += 1;
                if link.turn == turns.len() {
                    return Ok(true);
                }
                link.say(&turns[link.turn], self.born)?;
            }
            if is_short {
                break;
            }
        }
        Ok(false)
    }
}
