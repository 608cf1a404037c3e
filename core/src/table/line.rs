//! A lock's line: its waits, in the order in which they began and will be granted. A line knows which wait is next, but
//! not when: whether its head can be granted depends on the lock's holders.

use super::wait::{Wait, Waits};
use crate::storage::{Broken, Chain, Id, Links, List};
use crate::types::Kind;

/// A wait's place in its lock's line.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    limit: u32,
    kind: Kind,
    links: Links<Wait>,
}

impl Place {
    /// A place that is not in line yet. The wait may be granted if the lock then has at most `limit` holders, and all
    /// of them are of its kind. 0 is no limit. A wait for an exclusive or a write lock has limit 1.
    pub(super) const fn new(kind: Kind, limit: u32) -> Self {
        Self { limit, kind, links: Links::NONE }
    }

    /// How the lock would be held.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The most holders that the lock may have with this one. 0 is no limit.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Whether the wait could be granted beside `holders` holders of this kind.
    pub(crate) fn has_room_beside(&self, holders: u32, kind: Kind) -> bool {
        holders == 0 || (kind == self.kind && (self.limit == 0 || holders < self.limit))
    }

    /// The wait that comes next in line.
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

/// The waits for one lock, the one that began first at the head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    waits: List<InLine>,
    len: u32,
}

impl Line {
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
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
