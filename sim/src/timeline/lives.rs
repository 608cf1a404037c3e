//! The server's lives: when each began, and how it ended.

use super::picture::Span;
use crate::history::Place;
use crate::log::{Entry, Event, Life};
use crate::script::Fault;

/// One process of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LifeSpan {
    pub(super) life: Life,
    pub(super) span: Span,
    pub(super) end: LifeEnd,
    /// The place at which its shutdown began.
    pub(super) drained: Option<Place>,
    /// The number of its machine's inputs.
    pub(super) inputs: usize,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LifeEnd {
    /// Its process was killed.
    Killed,
    /// It shut down in order.
    ShutDown,
    /// It still goes on at the end of the run.
    Lasts,
}

/// All lives of a run, in order.
pub(super) fn lives(entries: &[Entry]) -> Vec<LifeSpan> {
    let mut lives: Vec<LifeSpan> = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if let Event::ServerStarted(life) = entry.event {
            let span = Span { from: place, to: entries.len() };
            lives.push(LifeSpan { life, span, end: LifeEnd::Lasts, drained: None, inputs: 0 });
            continue;
        }
        let Some(present) = lives.last_mut().filter(|life| life.end == LifeEnd::Lasts) else { continue };
        match &entry.event {
            Event::Applied(_) => present.inputs += 1,
            Event::Fault(Fault::Drain) => {
                present.drained.get_or_insert(place);
            }
            Event::Fault(Fault::KillServer) => {
                (present.span.to, present.end) = (place, LifeEnd::Killed);
            }
            Event::ServerEnded(_) => (present.span.to, present.end) = (place, LifeEnd::ShutDown),
            _ => {}
        }
    }
    lives
}

/// A life by its number.
pub(super) fn find(lives: &[LifeSpan], life: Life) -> Option<&LifeSpan> {
    lives.iter().find(|other| other.life == life)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_end_by_kill_and_by_shutdown_once() {
        let events = [
            Event::ServerStarted(Life(1)),
            Event::Fault(Fault::KillServer),
            Event::Fault(Fault::Drain),
            Event::Fault(Fault::KillServer),
            Event::ServerStarted(Life(2)),
            Event::Fault(Fault::Drain),
            Event::ServerEnded(Life(2)),
            Event::ServerStarted(Life(3)),
        ];
        let entries: Vec<_> = events.into_iter().map(|event| Entry { at_ms: 0, event }).collect();
        let seen: Vec<_> = lives(&entries)
            .into_iter()
            .map(|life| (life.span.from, life.span.to, life.end, life.drained))
            .collect();
        let expected =
            [(0, 1, LifeEnd::Killed, None), (4, 6, LifeEnd::ShutDown, Some(5)), (7, 8, LifeEnd::Lasts, None)];
        assert_eq!(seen, expected);
    }
}
