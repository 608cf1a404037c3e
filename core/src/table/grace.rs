//! Graces: what `linger` gives to a connection. A grace has a key, and a time for which the connection's holds outlive
//! it. Once the connection has ended and left holds, the grace lingers: it owns the tenure until it is due, or until a
//! connection says the key.

use super::account::TallyId;
use super::connection::Connection;
use super::memory;
use super::tenure::Tenure;
use super::timers::{Timed, Timers};
use crate::config::{Secret, Storage};
use crate::storage::{Id, Index, Linked, Links, Slab};
use crate::types::{Conn, Now, Origin};

use siphasher::sip128::{Hasher128, SipHasher24};
use std::fmt;
use std::hash::Hasher;

/// ```text
///           linger MS                    it ends, holding something
///   (none) ----------> a connection's -----------------------------> lingers
///                       |     ^                                       |   |
///                       |     |    resume, by whoever says the key    |   |
///                       |     +---------------------------------------+   |
///                       |                                                 | due, or kicked
///                       +-----------------------> (none) <----------------+
///                         it ends otherwise
/// ```
/// One that was taken back (`linger 0`) keeps its number and has no time.
#[derive(Clone, Debug)]
pub(crate) struct Grace {
    /// The connection that first asked for it. The key is made from it.
    number: Conn,
    key: Key,
    /// For how long holds outlive their connection. 0 once it was taken back: then its key opens nothing.
    ms: u32,
    owner: Whose,
    /// When it is due. Meaningless until it lingers.
    due: Now,
    timer: Links<Grace>,
    /// The link of the index by key.
    link: Option<Id<Grace>>,
}

/// Whose a grace is.
#[derive(Clone, Debug)]
enum Whose {
    /// An open connection's.
    Connection(Id<Connection>),
    /// Nobody's: it lingers.
    Nobody(Left),
}

/// What a connection left.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    /// The connection.
    pub(crate) conn: Conn,
    pub(crate) origin: Origin,
    pub(crate) tally: TallyId,
    pub(crate) tenure: Id<Tenure>,
    pub(crate) registered: Option<Registration>,
}

/// A registered name that is no connection's.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) name: Box<[u8]>,
    /// Ascends with each registration.
    pub(crate) order: u64,
}

/// 32 hex digits in lower case: the hash of a number under a secret, so nobody can guess it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// SipHash-2-4-128 of a grace's number.
    fn of(Secret(secret): &Secret, number: Conn) -> Self {
        let mut hasher = SipHasher24::new_with_key(secret);
        hasher.write(&number.bits().to_le_bytes());
        let mut text = [0; 32];
        for (digits, byte) in text.chunks_exact_mut(2).zip(hasher.finish128().as_bytes()) {
            let digit = |bits: u8| b"0123456789abcdef"[usize::from(bits)];
            digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        Self(text)
    }

    /// The key that a client said. `None` if it is none.
    fn parse(text: &[u8]) -> Option<Self> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.try_into().ok().filter(|text: &[u8; 32]| text.iter().all(is_digit)).map(Self)
    }

    pub(crate) const fn text(&self) -> &[u8] {
        &self.0
    }

    /// It is a hash already: its first digits do.
    fn hash(&self) -> u32 {
        self.0[..8]
            .iter()
            .fold(0, |hash, digit| (hash << 4) | (u32::from(digit & 15) + u32::from(digit >> 6) * 9))
    }
}

/// A key opens a session, so it is never shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
}

impl Grace {
    /// The connection that first asked for it.
    pub(crate) fn number(&self) -> Conn {
        self.number
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// For how long holds outlive their connection. 0 if it was taken back.
    pub(crate) fn ms(&self) -> u32 {
        self.ms
    }

    /// Whose it is. `None` if it lingers.
    pub(crate) fn owner(&self) -> Option<Id<Connection>> {
        match self.owner {
            Whose::Connection(owner) => Some(owner),
            Whose::Nobody(_) => None,
        }
    }

    /// What the connection left, if it lingers.
    pub(crate) fn left(&self) -> Option<&Left> {
        match &self.owner {
            Whose::Connection(_) => None,
            Whose::Nobody(left) => Some(left),
        }
    }

    /// When it is due, if it lingers.
    pub(crate) fn due(&self) -> Option<Now> {
        self.left().map(|_| self.due)
    }
}

impl Left {
    /// What it counts for the limit of memory, beside its holds.
    pub(crate) fn memory(&self) -> u64 {
        memory::GRACE + self.registered.as_ref().map_or(0, |name| memory::of_registration(name.name.len()))
    }
}

impl Linked for Grace {
    fn link(&self) -> Option<Id<Self>> {
        self.link
    }

    fn link_mut(&mut self) -> &mut Option<Id<Self>> {
        &mut self.link
    }
}

impl Timed for Grace {
    fn deadline(&self) -> Now {
        self.due
    }

    fn timer(&self) -> &Links<Self> {
        &self.timer
    }

    fn timer_mut(&mut self) -> &mut Links<Self> {
        &mut self.timer
    }
}

/// All graces, by key. Those that linger have a timer.
#[derive(Clone, Debug)]
pub(crate) struct Graces {
    slots: Slab<Grace>,
    index: Index<Grace>,
    timers: Timers<Grace>,
    secret: Secret,
    /// How many linger.
    lingering: u32,
    /// How many holds those have.
    holds: u32,
    /// What those count for the limit of memory, beside their holds.
    memory: u64,
}

impl Graces {
    pub(crate) fn new(storage: &Storage, secret: &Secret) -> Self {
        let index_tables = (storage.index_tables / 16).max(1);
        Self {
            slots: Slab::new(storage.chunk_slots),
            index: Index::new(index_tables),
            timers: Timers::new(),
            secret: secret.clone(),
            lingering: 0,
            holds: 0,
            memory: 0,
        }
    }

    pub(crate) fn slots(&self) -> &Slab<Grace> {
        &self.slots
    }

    pub(crate) fn indexed(&self) -> u32 {
        self.index.len()
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Restores from a snapshot the secret that keys are made under. There must be no grace yet.
    pub(crate) fn restore_secret(&mut self, secret: Secret) {
        assert!(self.slots.len() == 0, "a key that was told stays");
        self.secret = secret;
    }

    /// How many linger.
    pub(crate) fn lingering(&self) -> u32 {
        self.lingering
    }

    /// How many holds those have.
    pub(crate) fn holds(&self) -> u32 {
        self.holds
    }

    /// What those count for the limit of memory, beside their holds.
    #[inline]
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    /// The grace that a key opens.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Id<Grace>> {
        let key = Key::parse(key)?;
        self.index.find(&self.slots, key.hash(), |grace| grace.key == key && (grace.ms > 0))
    }

    /// Gives a connection a grace. It must have none. `number` must be no other grace's.
    pub(crate) fn open(&mut self, owner: Id<Connection>, number: Conn, ms: u32) -> Id<Grace> {
        let grace = Grace {
            number,
            key: Key::of(&self.secret, number),
            ms,
            owner: Whose::Connection(owner),
            due: Now(0),
            timer: Links::NONE,
            link: None,
        };
        self.index.insert(&mut self.slots, grace, |grace| grace.key.hash())
    }

    /// Changes for how long holds outlive their connection, which must be open.
    pub(crate) fn set_ms(&mut self, id: Id<Grace>, ms: u32) {
        let grace = &mut self.slots[id];
        assert!(grace.owner().is_some(), "what lingers stays as it was left");
        grace.ms = ms;
    }

    /// Has a grace linger until `due`, with what its connection left: so many holds. Every one that is due by `now`
    /// must have ended.
    pub(crate) fn leave(&mut self, id: Id<Grace>, left: Left, holds: u32, (now, due): (Now, Now)) {
        let grace = &mut self.slots[id];
        assert!(grace.owner().is_some(), "a connection leaves its grace once");
        self.memory += left.memory();
        self.lingering += 1;
        self.holds += holds;
        (grace.owner, grace.due) = (Whose::Nobody(left), due);
        self.timers.set(&mut self.slots, id, now);
    }

    /// Gives a grace to a connection. If it lingered, it was with so many holds, and what was left is returned.
    pub(crate) fn take(&mut self, id: Id<Grace>, owner: Id<Connection>, holds: u32) -> Option<Left> {
        match std::mem::replace(&mut self.slots[id].owner, Whose::Connection(owner)) {
            Whose::Connection(_) => None,
            Whose::Nobody(left) => {
                self.forget(id, &left, holds);
                Some(left)
            }
        }
    }

    /// Removes a grace. If it lingered, it was with so many holds, and what was left is returned.
    pub(crate) fn remove(&mut self, id: Id<Grace>, holds: u32) -> Option<Left> {
        let is_left = self.slots[id].left().cloned();
        if let Some(left) = &is_left {
            self.forget(id, left, holds);
        }
        self.index.remove(&mut self.slots, id, |grace| grace.key.hash());
        is_left
    }

    fn forget(&mut self, id: Id<Grace>, left: &Left, holds: u32) {
        self.timers.take_back(&mut self.slots, id);
        self.lingering -= 1;
        self.holds -= holds;
        self.memory -= left.memory();
    }

    /// Notes that one that lingers has lost a hold.
    pub(crate) fn lose_hold(&mut self) {
        self.holds -= 1;
    }

    /// The first that is due by `now`.
    #[inline]
    pub(crate) fn due(&mut self, now: Now) -> Option<Id<Grace>> {
        self.timers.due(&mut self.slots, now)
    }

    /// Nothing is due before this. If nothing is set, it is the end of time.
    #[inline]
    pub(crate) fn nothing_before(&self) -> Now {
        self.timers.nothing_before()
    }

    /// The same; `None` if none lingers.
    pub(crate) fn next_due(&self) -> Option<Now> {
        self.timers.next()
    }

    /// Checks that each that lingers is where it belongs in the timers. Returns how many are set.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(crate) fn check_timers(&self) -> Result<u32, String> {
        self.timers.check(&self.slots)
    }
}

impl std::ops::Index<Id<Grace>> for Graces {
    type Output = Grace;

    fn index(&self, id: Id<Grace>) -> &Grace {
        &self.slots[id]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the authors of `SipHash` for the input 00 01 .. 07 under the key 00 01 .. 0f.
    #[test]
    fn a_key_is_siphash_2_4_128_in_hex() {
        let secret = Secret(std::array::from_fn(|at| at as u8));
        let number = Conn::from_bits(u64::from_le_bytes(std::array::from_fn(|at| at as u8)));
        let key = Key::of(&secret, number);
        assert_eq!(key.text(), b"3b62a9ba6258f5610f83e264f31497b4");
        assert_eq!(Key::parse(key.text()), Some(key));
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in ["", "-", "0123456789abcdef0123456789abcde", "0123456789ABCDEF0123456789abcdef"] {
            assert_eq!(Key::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Key::parse(b"0123456789abcdef0123456789abcdeg"), None);
        assert_eq!(Key::parse(b"89abcdef0123456789abcdef01234567").map(|key| key.hash()), Some(0x89ab_cdef));
    }

    #[test]
    fn nothing_shows_a_key() {
        let secret = Secret([7; 16]);
        let grace = Key::of(&secret, Conn::new(0, 1));
        assert_eq!(format!("{grace:?} {secret:?}"), "a key a secret");
    }
}
