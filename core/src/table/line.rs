//! A lock's line: its waits, in the order in which they began and will be granted. A line knows which wait is next, but
//! not when: whether its head can be granted depends on the lock's holders. Waits for the lock's end are in a list of
//! the same type, which is no line: nobody in it holds anybody up.

use super::memory;
use super::wait::{Wait, Waits};
use crate::storage::{Broken, Chain, Id, Links, List};
use crate::types::Kind;

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The lock, which may then have at most `limit` holders. 0 is no limit. For an exclusive lock it is 1.
    Lock { limit: u32 },
    /// The end of every hold that the lock had when the wait began.
    End,
}

impl Aim {
    /// The rule of who may come in beside whom: whether one more may have a lock beside its `holders`, who all hold it
    /// as it is asked for, or all otherwise.
    #[inline]
    pub(crate) fn has_room_beside(self, holders: u32, are_of_that_kind: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Lock { limit } => holders == 0 || ((limit == 0 || holders < limit) && are_of_that_kind()),
            Self::End => false,
        }
    }
}

/// A wait's place in its lock's line, or among the waits for its lock's end.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Of an aim at the lock. An aim at the end has none.
    limit: u32,
    is_for_the_end: bool,
    kind: Kind,
    /// Bytes of the lock's name. Kept here, because to look at the lock costs more.
    name_bytes: u16,
    links: Links<Wait>,
}

impl Place {
    /// A place in no list yet.
    pub(super) const fn new(kind: Kind, aim: Aim, name_bytes: u16) -> Self {
        let (limit, is_for_the_end) = match aim {
            Aim::Lock { limit } => (limit, false),
            Aim::End => (0, true),
        };
        Self { limit, is_for_the_end, kind, name_bytes, links: Links::NONE }
    }

    /// How the lock would be held, or how it is held whose end is waited for.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What the wait is for.
    pub(crate) fn aim(&self) -> Aim {
        if self.is_for_the_end { Aim::End } else { Aim::Lock { limit: self.limit } }
    }

    /// Bytes of the lock's name that are stored outside its slot.
    #[inline]
    pub(crate) fn outer_bytes(&self) -> u64 {
        memory::outer_bytes(self.name_bytes.into())
    }

    /// Whether the lock could be granted beside `holders` holders of this kind.
    pub(crate) fn has_room_beside(&self, holders: u32, kind: Kind) -> bool {
        self.aim().has_room_beside(holders, || kind == self.kind)
    }

    /// The wait that comes next in its list.
    pub(crate) fn behind(&self) -> Option<Id<Wait>> {
        self.links.next()
    }
}

/// The places in one lock's line.
struct InLine;

impl Chain for InLine {
    type Value = Wait;

    fn links(wait: &Wait) -> &Links<Wait> {
        &wait.place().links
    }

    fn links_mut(wait: &mut Wait) -> &mut Links<Wait> {
        &mut wait.place_mut().links
    }
}

/// The waits for one lock, or for its end, the one that began first at the head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    waits: List<InLine>,
    len: u32,
}

impl Line {
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The wait that began first.
    pub(crate) fn head(&self) -> Option<Id<Wait>> {
        self.waits.first()
    }

    /// The wait that began last.
    pub(super) fn end(&self) -> Option<Id<Wait>> {
        self.waits.last()
    }

    /// The waits, from the head.
    pub(crate) fn iter<'a>(&self, waits: &'a Waits) -> impl Iterator<Item = (Id<Wait>, &'a Wait)> + use<'a> {
        self.waits.iter(waits)
    }

    /// Puts a wait at the end.
    pub(super) fn push(&mut self, waits: &mut Waits, id: Id<Wait>) {
        self.waits.push_back(waits, id);
        self.len += 1;
    }

    /// Takes a wait out, wherever it stands.
    pub(super) fn remove(&mut self, waits: &mut Waits, id: Id<Wait>) {
        self.waits.remove(waits, id);
        self.len -= 1;
    }

    /// Checks the links of the line. Returns how many waits are in it.
    ///
    /// # Errors
    ///
    /// The first link that is wrong.
    pub(crate) fn check(&self, waits: &Waits) -> Result<u32, Broken> {
        self.waits.check(|id| waits.slots().get(id))
    }
}
