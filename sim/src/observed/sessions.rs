//! The sessions of the observed state: who asked for grace, what ended connections left, and until when. A session
//! stays under the number of the connection that left it. That connection is the holder until somebody resumes.

use super::Lock;
use elockd_core::{Cause, Conn, Now, Origin};
use std::collections::{BTreeMap, BTreeSet};

/// What a connection was told that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grace {
    /// The connection that first asked for it.
    pub number: Conn,
    /// The key that opens it.
    pub key: Vec<u8>,
    /// For how many milliseconds holds outlive the connection. 0 once it was taken back: then the key opens nothing.
    pub ms: u32,
}

/// What a connection left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where the connection came from.
    pub origin: Origin,
    /// Its registered name.
    pub name: Option<Vec<u8>>,
    /// Its holds.
    pub held: BTreeSet<Lock>,
    /// Its grace.
    pub grace: Grace,
    /// When it ends.
    pub due: Now,
}

impl Session {
    /// Whether `kick` with this address or name means it.
    #[must_use]
    pub fn is_meant(&self, wanted: &[u8]) -> bool {
        format!("~{}", self.origin.addr).as_bytes() == wanted || self.name.as_deref() == Some(wanted)
    }
}

/// Graces and sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    /// The graces of open connections.
    pub(super) graces: BTreeMap<Conn, Grace>,
    /// By the connections that left them.
    pub(super) left: BTreeMap<Conn, Session>,
}

impl Sessions {
    /// Notes what `linger` was answered.
    pub(super) fn lingers(&mut self, conn: Conn, key: Option<&[u8]>, ms: u32) {
        if let Some(grace) = self.graces.get_mut(&conn) {
            grace.ms = ms;
        } else if let Some(key) = key {
            self.graces.insert(conn, Grace { number: conn, key: key.to_vec(), ms });
        }
    }

    /// The connection that has what a key opens, or that left it.
    pub(super) fn opened_by(&self, key: &[u8]) -> Option<Conn> {
        let left = self.left.iter().map(|(conn, session)| (conn, &session.grace));
        let mut all = left.chain(&self.graces);
        all.find(|(_, grace)| grace.ms > 0 && grace.key == key).map(|(conn, _)| *conn)
    }

    /// The grace with which a connection ends, if it leaves a session.
    pub(super) fn ends(&mut self, conn: Conn, cause: Cause, now: Now) -> Option<(Grace, Now)> {
        let grace = self.graces.remove(&conn)?;
        let due = Now(now.0.saturating_add(grace.ms.into()));
        let is_asked = matches!(cause, Cause::Eof | Cause::Error | Cause::Stalled | Cause::Shutdown);
        (is_asked && due > now).then_some((grace, due))
    }

    /// The sessions whose time is over.
    pub(super) fn due(&self, now: Now) -> Vec<Conn> {
        self.left.iter().filter(|(_, session)| session.due <= now).map(|(conn, _)| *conn).collect()
    }
}
