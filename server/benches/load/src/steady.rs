//! Connections that each play a script of their own, over and over, until the meter ends the run. Each stops at the end
//! of its script, so it holds nothing.

use super::LoadError;
use super::filler::Filler;
use super::link::{Link, SCRATCH, nth};
use super::meter::{Meter, Report, Window};
use super::poll::Poll;
use super::script::Script;
use std::net::SocketAddr;
use std::time::Instant;

/// Measures a window of it. Connections are spread over the addresses.
pub(super) fn run(
    addresses: &[SocketAddr],
    scripts: &[Script],
    mut window: Window<'_>,
) -> Result<Report, LoadError> {
    play(addresses, scripts, None, &mut window)?;
    window.report()
}

/// Plays every script, and lets a filler fill beside them, unmeasured.
pub(super) fn play(
    addresses: &[SocketAddr],
    scripts: &[Script],
    mut filler: Option<&mut Filler>,
    meter: &mut impl Meter,
) -> Result<(), LoadError> {
    let mut poll = Poll::new()?;
    let links =
        (0..scripts.len()).map(|who| Link::connect(nth(addresses, who))).collect::<Result<Vec<_>, _>>()?;
    let mut stage = Stage { links, scripts, playing: scripts.len(), scratch: vec![0; SCRATCH] };
    for (who, link) in stage.links.iter().enumerate() {
        poll.add(link, who)?;
    }
    if let Some(filler) = &mut filler {
        filler.begin(&poll, scripts.len())?;
    }
    let start = Instant::now();
    meter.start(start);
    for (link, script) in stage.links.iter_mut().zip(scripts) {
        link.say(&script.turns[0], start)?;
    }
    while stage.playing > 0 {
        let count = poll.wait()?;
        if count == 0 {
            return Err(LoadError::Silence { owed: stage.playing });
        }
        for index in 0..count {
            let who = poll.who(index);
            if who < scripts.len() {
                stage.turn(who, meter)?;
            } else if let Some(filler) = &mut filler {
                filler.turn(&mut stage.scratch)?;
            }
        }
    }
    Ok(())
}

struct Stage<'s> {
    links: Vec<Link>,
    scripts: &'s [Script],
    /// How many connections have not stopped yet.
    playing: usize,
    scratch: Vec<u8>,
}

impl Stage<'_> {
    /// Handles an event of a connection: reads, and sends the next turn if this one is over.
    fn turn(&mut self, who: usize, meter: &mut impl Meter) -> Result<(), LoadError> {
        let (link, turns) = (&mut self.links[who], &self.scripts[who].turns);
        link.go_on(&turns[link.turn])?;
        loop {
            let Some(bytes) = link.read(&mut self.scratch)? else { return Ok(()) };
            let is_full = bytes.len() == SCRATCH;
            let heard = link.hear(&turns[link.turn], bytes)?;
            let now = Instant::now();
            let goes_on = meter.goes_on(now);
            meter.record(link.since, now, heard.replies);
            if heard.is_all {
                link.turn = (link.turn + 1) % turns.len();
                if link.turn == 0 && !goes_on {
                    self.playing -= 1;
                    return Ok(());
                }
                link.say(&turns[link.turn], now)?;
            }
            if !is_full {
                return Ok(());
            }
        }
    }
}
