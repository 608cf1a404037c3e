//! Sessions as the server told of them: which connection has which key, and until when what it left lingers. A
//! connection with grace that ends while it holds nothing is kept here too, because nobody is told that it leaves
//! nothing.

use crate::log::Life;
use elockd_core::{Cause, Conn, Now};
use std::collections::BTreeMap;

/// A connection of one of the server's lives.
pub(super) type ConnOfLife = (Life, Conn);

/// What a connection left.
#[derive(Clone, Debug)]
struct LeftSession {
    id: ConnOfLife,
    grace: ToldGrace,
    due: Now,
    /// Its address, as listings show it, and its registered name.
    names: [Option<Vec<u8>>; 2],
}

#[derive(Clone, Debug)]
struct ToldGrace {
    key: Vec<u8>,
    ms: u32,
}

/// All graces and sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct ToldSessions {
    graces: BTreeMap<ConnOfLife, ToldGrace>,
    left: Vec<LeftSession>,
}

impl ToldSessions {
    /// A connection was told of its grace. Without a key, it was taken back.
    pub(super) fn lingers(&mut self, id: ConnOfLife, key: Option<&[u8]>, ms: u32) {
        if let Some(grace) = self.graces.get_mut(&id) {
            grace.ms = ms;
        } else if let Some(key) = key {
            self.graces.insert(id, ToldGrace { key: key.to_vec(), ms });
        }
    }

    /// A connection said a key that is right. Returns the connection that had it before, if it is another.
    pub(super) fn resumed(&mut self, id: ConnOfLife, key: &[u8]) -> Option<ConnOfLife> {
        let is_it = |grace: &ToldGrace| grace.ms > 0 && grace.key == key;
        let left = self.left.iter().position(|left| left.id.0 == id.0 && is_it(&left.grace));
        let (old, grace) = if let Some(at) = left {
            let left = self.left.swap_remove(at);
            (left.id, left.grace)
        } else {
            let mut graces = self.graces.iter();
            let old = graces.find(|((life, _), grace)| *life == id.0 && is_it(grace)).map(|(old, _)| *old)?;
            (old, self.graces.remove(&old)?)
        };
        self.graces.insert(id, grace);
        (old != id).then_some(old)
    }

    /// A connection ended. Returns whether its holds linger, if it had any.
    pub(super) fn closed(
        &mut self,
        id: ConnOfLife,
        cause: Option<Cause>,
        now: Now,
        names: [Option<Vec<u8>>; 2],
    ) -> bool {
        let Some(grace) = self.graces.remove(&id) else { return false };
        let is_asked = matches!(cause, Some(Cause::Eof | Cause::Error | Cause::Stalled | Cause::Shutdown));
        let leaves = is_asked && grace.ms > 0;
        if leaves {
            let due = Now(now.0.saturating_add(grace.ms.into()));
            self.left.push(LeftSession { id, grace, due, names });
        }
        leaves
    }

    /// Ends the sessions that are due, and returns them.
    pub(super) fn due(&mut self, life: Life, now: Now) -> Vec<ConnOfLife> {
        let is_due = |left: &mut LeftSession| left.id.0 == life && left.due <= now;
        self.left.extract_if(.., is_due).map(|left| left.id).collect()
    }

    /// Ends the sessions that an operator named, and returns them.
    pub(super) fn kicked(&mut self, life: Life, wanted: &[u8]) -> Vec<ConnOfLife> {
        let is_meant = |left: &mut LeftSession| {
            left.id.0 == life && left.names.iter().flatten().any(|name| name == wanted)
        };
        self.left.extract_if(.., is_meant).map(|left| left.id).collect()
    }
}
