//! Holds, waits and refused gets with their times, read from what the machine told connections. A hold goes from the
//! place at which success was told to the place of its release, or of its connection's end. If it lingers, it goes on
//! beyond that, until its time is over. If another connection resumes, it begins anew on that one's lane. A wait goes
//! from its beginning to its reply.

use super::lives::{LifeEnd, LifeSpan};
use super::picture::Span;
use crate::history::{History, Place};
use crate::log::{Applied, Entry, Event, Life, Told};
use elockd_core::{Command, Conn, Input, Kind, Reply};
use std::collections::BTreeMap;

/// A lock: its name space and its name.
pub(super) type NamedLock<'a> = (Kind, &'a [u8]);

/// A connection of one of the server's lives.
pub(super) type Id = (Life, Conn);

/// All holds, waits and refusals of a run, connection by connection.
#[allow(clippy::struct_field_names, reason = "holds are the first of what is told of them")]
#[derive(Clone, Debug, Default)]
pub(super) struct Holds<'a> {
    pub(super) holds: BTreeMap<Id, Vec<Hold<'a>>>,
    pub(super) waits: BTreeMap<Id, Vec<WaitSpan<'a>>>,
    pub(super) refused: BTreeMap<Id, Vec<Refused<'a>>>,
    turns: Turns,
}

/// What becomes of all holds of a connection, and at which places.
#[derive(Clone, Debug, Default)]
struct Turns {
    /// They are released, with the connection's end or later.
    released: BTreeMap<Place, Vec<Id>>,
    /// The first connection's are the second's from now on.
    passed: BTreeMap<Place, (Id, Id)>,
}

impl Turns {
    fn new(history: &History) -> Self {
        let mut turns = Self::default();
        for server in history.connections.iter().filter_map(|connection| connection.server.as_ref()) {
            let id = (server.life, server.conn);
            if let Some(at) = server.released {
                turns.released.entry(at.place).or_default().push(id);
            }
            let passed = server.took_over.iter().map(|(place, old)| (*place, ((server.life, *old), id)));
            turns.passed.extend(passed);
        }
        turns
    }
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold<'a> {
    pub(super) lock: NamedLock<'a>,
    pub(super) span: Span,
    pub(super) end: HoldEnd,
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoldEnd {
    /// Its holder released it.
    Released,
    /// Its connection ended, or what that had left did.
    Orphaned,
    /// Another connection took it over.
    Passed,
    /// An operator took the lock away.
    Stolen,
    /// The server's life ended.
    Lost,
    /// It is still held at the end of the run.
    Lasts,
}

/// A wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WaitSpan<'a> {
    pub(super) lock: NamedLock<'a>,
    pub(super) span: Span,
    pub(super) end: WaitEnd,
}

/// How a wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitEnd {
    /// The lock was granted.
    Granted,
    /// It ended without the lock, and its connection was told.
    InVain,
    /// Its connection ended.
    CutOff,
    /// The server's life ended.
    Lost,
    /// It still goes on at the end of the run.
    Lasts,
}

/// A get that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused<'a> {
    pub(super) at: Place,
    pub(super) lock: NamedLock<'a>,
    /// The request.
    pub(super) command: &'a Command<Vec<u8>>,
    pub(super) reply: &'a [u8],
}

impl<'a> Holds<'a> {
    /// Reads a log.
    pub(super) fn new(entries: &'a [Entry], lives: &[LifeSpan], history: &History) -> Self {
        let mut holds = Self { turns: Turns::new(history), ..Self::default() };
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

    /// Every lock that was held, waited for or refused.
    pub(super) fn locks(&self) -> impl Iterator<Item = NamedLock<'a>> {
        let held = self.holds.values().flatten().map(|hold| hold.lock);
        let held = held.chain(self.waits.values().flatten().map(|wait| wait.lock));
        held.chain(self.refused.values().flatten().map(|refused| refused.lock))
    }

    fn applied(&mut self, place: Place, applied: &'a Applied) {
        let id = |conn: Conn| (applied.life, conn);
        for released in self.turns.released.remove(&place).unwrap_or_default() {
            self.end_all(place, released, HoldEnd::Orphaned);
        }
        if let Some((old, new)) = self.turns.passed.remove(&place) {
            for lock in self.end_all(place, old, HoldEnd::Passed) {
                self.got(place, new, lock);
            }
        }
        for (to, told) in &applied.told {
            let asked = match &applied.input {
                Input::Command(conn, command) if conn == to => Some(command),
                _ => None,
            };
            match told {
                Told::Reply(reply) => {
                    let change = Change::read(reply);
                    let is_granted = matches!(change, Some(Change::Got(_)));
                    let has_waited = self.end_wait(
                        place,
                        id(*to),
                        if is_granted { WaitEnd::Granted } else { WaitEnd::InVain },
                    );
                    match (change, asked) {
                        (Some(Change::Got(lock)), _) => self.got(place, id(*to), lock),
                        (Some(Change::Released(lock)), _) => self.released(place, id(*to), lock),
                        (Some(Change::ReleasedAll), _) => {
                            self.end_all(place, id(*to), HoldEnd::Released);
                        }
                        (Some(Change::Stole(lock)), _) => self.stolen(place, applied.life, lock),
                        (None, Some(command)) if !has_waited => {
                            if let Some(lock) = wanted(command) {
                                let refused = Refused { at: place, lock, command, reply };
                                self.refused.entry(id(*to)).or_default().push(refused);
                            }
                        }
                        (None, _) => {}
                    }
                }
                Told::Wait => {
                    if let Some(lock) = asked.and_then(wanted) {
                        let span = Span { from: place, to: Place::MAX };
                        self.waits.entry(id(*to)).or_default().push(WaitSpan {
                            lock,
                            span,
                            end: WaitEnd::Lasts,
                        });
                    }
                }
                Told::Disconnect(_) => {
                    self.end_wait(place, id(*to), WaitEnd::CutOff);
                }
                Told::Listing(..) => {}
            }
        }
        if let Input::Closed(conn, _) = applied.input {
            self.end_wait(place, id(conn), WaitEnd::CutOff);
        }
    }

    /// Ends a connection's wait. Returns whether there was one.
    fn end_wait(&mut self, place: Place, id: Id, end: WaitEnd) -> bool {
        let waits = self.waits.get_mut(&id).into_iter().flatten();
        let Some(wait) = waits.rev().find(|wait| wait.end == WaitEnd::Lasts) else { return false };
        (wait.span.to, wait.end) = (place, end);
        true
    }

    /// Ends the holds of a lock in one life.
    fn stolen(&mut self, place: Place, life: Life, lock: NamedLock<'a>) {
        let of_life = self.holds.iter_mut().filter(|((of, _), _)| *of == life);
        for hold in of_life.flat_map(|(_, holds)| holds) {
            if hold.lock == lock && hold.end == HoldEnd::Lasts && hold.span.from < place {
                (hold.span.to, hold.end) = (place, HoldEnd::Stolen);
            }
        }
    }

    fn got(&mut self, place: Place, id: Id, lock: NamedLock<'a>) {
        let holds = self.holds.entry(id).or_default();
        let is_held = holds.iter().any(|hold| hold.lock == lock && hold.end == HoldEnd::Lasts);
        if !is_held {
            holds.push(Hold { lock, span: Span { from: place, to: Place::MAX }, end: HoldEnd::Lasts });
        }
    }

    fn released(&mut self, place: Place, id: Id, lock: NamedLock<'a>) {
        let holds = self.holds.entry(id).or_default();
        let mut held = holds.iter_mut().filter(|hold| hold.lock == lock && hold.end == HoldEnd::Lasts);
        if let Some(hold) = held.next() {
            (hold.span.to, hold.end) = (place, HoldEnd::Released);
        }
    }

    /// Ends all holds of a connection that last, and returns their locks.
    fn end_all(&mut self, place: Place, id: Id, end: HoldEnd) -> Vec<NamedLock<'a>> {
        let all = self.holds.get_mut(&id).into_iter().flatten();
        let lasting = all.filter(|hold| hold.end == HoldEnd::Lasts && hold.span.from < place);
        let ended = lasting.map(|hold| {
            (hold.span.to, hold.end) = (place, end);
            hold.lock
        });
        ended.collect()
    }

    fn end_life(&mut self, life: &LifeSpan) {
        let goes_on = life.end == LifeEnd::Lasts;
        let of_life = self.holds.iter_mut().filter(|((of, _), _)| *of == life.life);
        for hold in of_life.flat_map(|(_, holds)| holds).filter(|hold| hold.end == HoldEnd::Lasts) {
            hold.span.to = life.span.to;
            hold.end = if goes_on { HoldEnd::Lasts } else { HoldEnd::Lost };
        }
        let of_life = self.waits.iter_mut().filter(|((of, _), _)| *of == life.life);
        for wait in of_life.flat_map(|(_, waits)| waits).filter(|wait| wait.end == WaitEnd::Lasts) {
            wait.span.to = life.span.to;
            wait.end = if goes_on { WaitEnd::Lasts } else { WaitEnd::Lost };
        }
    }
}

/// The lock that a command asks for.
fn wanted(command: &Command<Vec<u8>>) -> Option<NamedLock<'_>> {
    match command {
        Command::Get(wish) => Some((wish.kind(), wish.name())),
        _ => None,
    }
}

/// What a reply says about the holds of its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change<'a> {
    Got(NamedLock<'a>),
    Released(NamedLock<'a>),
    ReleasedAll,
    Stole(NamedLock<'a>),
}

impl<'a> Change<'a> {
    fn read(reply: &'a [u8]) -> Option<Self> {
        Some(match Reply::read(reply)? {
            Reply::Got { kind, name, .. } => Self::Got((kind, name)),
            Reply::Released { kind, name } => Self::Released((kind, name)),
            Reply::ReleasedAll { .. } => Self::ReleasedAll,
            Reply::Stolen { kind, was_held: true, name } => Self::Stole((kind, name)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::lives::lives;
    use crate::timeline::scene::{Scene, conn};
    use elockd_core::Cause;

    fn holds(scene: &Scene) -> Holds<'_> {
        let (plan, _) = crate::draw::swarm(1);
        Holds::new(&scene.entries, &lives(&scene.entries), &History::new(&plan, &scene.entries))
    }

    fn spans(scene: &Scene, number: u32) -> Vec<(&[u8], Place, Place, HoldEnd)> {
        let holds = holds(scene);
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
    fn a_hold_that_lingers_goes_on_until_it_is_taken_over_or_due() {
        let mut scene = Scene::new();
        let key = [b'7'; 32];
        scene.open(1, 0);
        scene.open(2, 0);
        let told = [b"1 Linger Success: ", &key[..], b" 100\n"].concat();
        scene.apply(1, b"linger 100", &told);
        let got = scene.apply(1, b"g a", b"1 Lock Get Success: a\n");
        scene.close(1, Cause::Eof);
        let passed = scene.apply(2, &[b"resume ", &key[..]].concat(), b"1 Resume Success: 1\n");
        scene.close(2, Cause::Eof);
        scene.wait(99);
        let over = scene.open(3, 0);
        assert_eq!(spans(&scene, 1), [(&b"a"[..], got, passed, HoldEnd::Passed)]);
        assert_eq!(spans(&scene, 2), [(&b"a"[..], passed, over, HoldEnd::Orphaned)]);
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
        let holds = holds(&scene);
        assert!(holds.holds.is_empty());
        let command = &Command::get(Kind::Exclusive, b"a".to_vec());
        let lock = (Kind::Exclusive, &b"a"[..]);
        let refused = Refused { at, lock, command, reply: b"0 Lock Get Failure: a\n" };
        assert_eq!(holds.refused[&(scene.life, conn(1))], [refused]);
    }

    #[test]
    fn a_wait_is_from_its_beginning_to_its_reply() {
        let mut scene = Scene::new();
        scene.open(1, 0);
        scene.open(2, 0);
        scene.apply(1, b"g a", b"1 Lock Get Success: a\n");
        let first = scene.waits(2, b"gw 9 a");
        let granted = scene.tell(1, b"r a", b"1 Lock Release Success: a\n", 2, b"1 Lock Get Success: a\n");
        let second = scene.waits(1, b"gw 9 a");
        let in_vain = scene.tell(2, b"ping", b"1 pong\n", 1, b"0 Lock Get Timeout: a\n");
        let third = scene.waits(1, b"gw 9 a");
        let closed = scene.close(1, Cause::Error);
        let holds = holds(&scene);
        let spans = |number: u32| {
            let waits = &holds.waits[&(scene.life, conn(number))];
            waits.iter().map(|wait| (wait.span.from, wait.span.to, wait.end)).collect::<Vec<_>>()
        };
        assert_eq!(spans(2), [(first, granted, WaitEnd::Granted)]);
        assert_eq!(spans(1), [(second, in_vain, WaitEnd::InVain), (third, closed, WaitEnd::CutOff)]);
        assert_eq!(holds.holds[&(scene.life, conn(2))][0].span.from, granted);
        assert!(holds.refused.is_empty());
    }

    #[test]
    fn a_stolen_lock_ends_its_hold_and_nothing_else() {
        let mut scene = Scene::new();
        scene.open(1, 0);
        scene.open(2, 0);
        let got = scene.apply(1, b"g a", b"1 Lock Get Success: a\n");
        scene.apply(1, b"g b", b"1 Lock Get Success: b\n");
        let stolen = scene.apply(2, b"steal a", b"1 Lock Steal Success: a\n");
        let all = scene.apply(1, b"ra", b"1 Locks Released\n");
        let [a, b] = spans(&scene, 1)[..] else { panic!("two holds") };
        assert_eq!((a.1, a.2, a.3), (got, stolen, HoldEnd::Stolen));
        assert_eq!((b.2, b.3), (all, HoldEnd::Released));
    }

    #[test]
    fn replies_are_not_taken_for_others() {
        assert_eq!(Change::read(b"1 10.0.0.1:1 Lock Get Success: a\n"), None);
        assert_eq!(Change::read(b"1 Lock Is Locked: Lock Get Success: a\n"), None);
        let odd = Change::Got((Kind::Shared, b" Lock\xff"));
        assert_eq!(Change::read(b"12 Shared Lock Get Success:  Lock\xff\n"), Some(odd));
    }
}
