//! Who held what, and when, and what was refused, read from what the machine told connections: a hold is
//! from the place at which success was told to that of its release, or of its connection's end.

use super::lives::{LifeEnd, LifeSpan};
use super::picture::Span;
use crate::history::Place;
use crate::log::{Applied, Entry, Event, Life, Told};
use elockd_core::{Command, Conn, Input, Kind};
use std::collections::BTreeMap;

/// A lock: which name space, and the name.
pub(super) type Lock<'a> = (Kind, &'a [u8]);

/// A connection of one of the server's lives.
pub(super) type Id = (Life, Conn);

/// All of a run, connection by connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds<'a> {
    pub(super) holds: BTreeMap<Id, Vec<Hold<'a>>>,
    pub(super) refused: BTreeMap<Id, Vec<Refused<'a>>>,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold<'a> {
    pub(super) lock: Lock<'a>,
    pub(super) span: Span,
    pub(super) end: HoldEnd,
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoldEnd {
    /// Its holder released it.
    Released,
    /// Its connection ended.
    Orphaned,
    /// The server's life ended.
    Lost,
    /// It is held when the run is over.
    Lasts,
}

/// A get that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused<'a> {
    pub(super) at: Place,
    pub(super) lock: Lock<'a>,
    pub(super) reply: &'a [u8],
}

impl<'a> Holds<'a> {
    /// Reads a log.
    pub(super) fn new(entries: &'a [Entry], lives: &[LifeSpan]) -> Self {
        let mut holds = Self::default();
        for (place, entry) in entries.iter().enumerate() {
            if let Event::Applied(applied) = &entry.event {
                holds.applied(place, applied);
            }
        }
        for life in lives {
            holds.end_life(life);
        }
        holds
    }

    /// Every lock that was held or refused.
    pub(super) fn locks(&self) -> impl Iterator<Item = Lock<'a>> {
        let held = self.holds.values().flatten().map(|hold| hold.lock);
        held.chain(self.refused.values().flatten().map(|refused| refused.lock))
    }

    fn applied(&mut self, place: Place, applied: &'a Applied) {
        let id = |conn: Conn| (applied.life, conn);
        if let Input::Closed(conn, _) = applied.input {
            self.orphan(place, id(conn));
        }
        for (to, told) in &applied.told {
            match told {
                Told::Reply(reply) => match Change::read(reply) {
                    Some(Change::Got(lock)) => self.got(place, id(*to), lock),
                    Some(Change::Released(lock)) => self.released(place, id(*to), lock),
                    None => {
                        if let Input::Command(conn, Command::Get(kind, name)) = &applied.input
                            && conn == to
                        {
                            let refused = Refused { at: place, lock: (*kind, name), reply };
                            self.refused.entry(id(*to)).or_default().push(refused);
                        }
                    }
                },
                Told::Disconnect(_) => self.orphan(place, id(*to)),
                Told::Listing(..) => {}
            }
        }
    }

    fn got(&mut self, place: Place, id: Id, lock: Lock<'a>) {
        let holds = self.holds.entry(id).or_default();
        let is_held = holds.iter().any(|hold| hold.lock == lock && hold.end == HoldEnd::Lasts);
        if !is_held {
            holds.push(Hold { lock, span: Span { from: place, to: Place::MAX }, end: HoldEnd::Lasts });
        }
    }

    fn released(&mut self, place: Place, id: Id, lock: Lock<'a>) {
        let holds = self.holds.entry(id).or_default();
        let mut held = holds.iter_mut().filter(|hold| hold.lock == lock && hold.end == HoldEnd::Lasts);
        if let Some(hold) = held.next() {
            (hold.span.to, hold.end) = (place, HoldEnd::Released);
        }
    }

    fn orphan(&mut self, place: Place, id: Id) {
        for hold in self.holds.get_mut(&id).into_iter().flatten() {
            if hold.end == HoldEnd::Lasts {
                (hold.span.to, hold.end) = (place, HoldEnd::Orphaned);
            }
        }
    }

    fn end_life(&mut self, life: &LifeSpan) {
        let of_life = self.holds.iter_mut().filter(|((of, _), _)| *of == life.life);
        for hold in of_life.flat_map(|(_, holds)| holds) {
            if hold.end == HoldEnd::Lasts {
                hold.span.to = life.span.to;
                if life.end != LifeEnd::Lasts {
                    hold.end = HoldEnd::Lost;
                }
            }
        }
    }
}

/// What a reply says of its reader's holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change<'a> {
    Got(Lock<'a>),
    Released(Lock<'a>),
}

impl<'a> Change<'a> {
    fn read(reply: &'a [u8]) -> Option<Self> {
        let line = reply.strip_suffix(b"\n")?;
        let space = line.iter().position(|byte| *byte == b' ')?;
        let (number, said) = (&line[..space], &line[space + 1..]);
        if !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let named = |words: &[u8], kind| said.strip_prefix(words).map(|name| (kind, name));
        let got = named(b"Lock Get Success: ", Kind::Exclusive)
            .or_else(|| named(b"Shared Lock Get Success: ", Kind::Shared));
        let released = named(b"Lock Release Success: ", Kind::Exclusive)
            .or_else(|| named(b"Shared Lock Release Success: ", Kind::Shared));
        got.map(Self::Got).or(released.map(Self::Released))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::lives::lives;
    use crate::timeline::scene::{Scene, conn};
    use elockd_core::Cause;

    fn spans(scene: &Scene, number: u32) -> Vec<(&[u8], Place, Place, HoldEnd)> {
        let holds = Holds::new(&scene.entries, &lives(&scene.entries));
        let id = (scene.life, conn(number));
        holds.holds[&id].iter().map(|hold| (hold.lock.1, hold.span.from, hold.span.to, hold.end)).collect()
    }

    #[test]
    fn a_hold_is_from_success_to_release_or_end() {
        let mut scene = Scene::new();
        scene.open(1, 0);
        let first = scene.apply(1, b"g a", b"1 Lock Get Success: a\n");
        let second = scene.apply(1, b"sg b", b"3 Shared Lock Get Success: b\n");
        scene.apply(1, b"g a", b"1 Lock Get Success: a\n");
        let released = scene.apply(1, b"r a", b"1 Lock Release Success: a\n");
        let closed = scene.close(1, Cause::Eof);
        let expected =
            [(&b"a"[..], first, released, HoldEnd::Released), (b"b", second, closed, HoldEnd::Orphaned)];
        assert_eq!(spans(&scene, 1), expected);
    }

    #[test]
    fn a_kill_of_the_server_ends_what_was_held() {
        let mut scene = Scene::new();
        scene.open(1, 0);
        let got = scene.apply(1, b"g a", b"1 Lock Get Success: a\n");
        let killed = scene.kill();
        assert_eq!(spans(&scene, 1), [(&b"a"[..], got, killed, HoldEnd::Lost)]);
    }

    #[test]
    fn what_lasts_lasts_to_the_end() {
        let mut scene = Scene::new();
        scene.open(1, 0);
        let got = scene.apply(1, b"g ", b"1 Lock Get Success: \n");
        assert_eq!(spans(&scene, 1), [(&b""[..], got, scene.entries.len(), HoldEnd::Lasts)]);
    }

    #[test]
    fn a_refused_get_is_no_hold() {
        let mut scene = Scene::new();
        scene.open(1, 0);
        let at = scene.apply(1, b"g a", b"0 Lock Get Failure: a\n");
        scene.apply(1, b"r a", b"0 Lock Release Failure: a\n");
        let holds = Holds::new(&scene.entries, &lives(&scene.entries));
        assert!(holds.holds.is_empty());
        let refused = Refused { at, lock: (Kind::Exclusive, b"a"), reply: b"0 Lock Get Failure: a\n" };
        assert_eq!(holds.refused[&(scene.life, conn(1))], [refused]);
    }

    #[test]
    fn replies_are_not_taken_for_others() {
        assert_eq!(Change::read(b"1 10.0.0.1:1 Lock Get Success: a\n"), None);
        assert_eq!(Change::read(b"1 Lock Is Locked: Lock Get Success: a\n"), None);
        let odd = Change::Got((Kind::Shared, b" Lock\xff"));
        assert_eq!(Change::read(b"12 Shared Lock Get Success:  Lock\xff\n"), Some(odd));
    }
}
