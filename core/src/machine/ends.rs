//! Waiting for the end of the holds that a lock has now. Who waits so gets nothing, and stands in no line.

use super::Machine;
use crate::storage::Id;
use crate::table::{Aim, Connection};
use crate::types::{Kind, Now};
use crate::wire::Reply;

impl Machine {
    /// Waits until every hold is over that a lock has now. Returns the reply, or `None` if the connection now waits. No
    /// limit of locks is asked, because nothing is got.
    pub(crate) fn wait_for_end<'a>(
        &mut self,
        id: Id<Connection>,
        kind: Kind,
        ms: u32,
        name: &'a [u8],
    ) -> Option<Reply<'a>> {
        if self.drains(id) && !bug!(DrainStillGrants) {
            return Some(Reply::ShuttingDown);
        }
        let found = self.holds.find(kind, name);
        if found.holders() == 0 {
            return Some(Reply::Ended { kind, name });
        }
        let deadline = Now(self.now.0.saturating_add(u64::from(ms)));
        // True for `ms` 0, and at the end of time, when no later deadline exists.
        if deadline == self.now {
            return Some(Reply::EndTimeout { kind, name });
        }
        self.wait(id, found, deadline, (kind, name, Aim::End))
    }
}
