//! Holds that outlive their connection, on request: `linger`, `resume`, and what becomes of graces that nobody resumes.
//!
//! A connection with a grace leaves a session when it ends holding something. A session is a grace that lingers. It
//! owns the tenure, so every hold is as it was. For deadlocks a session is one that does not wait.

use super::Machine;
use super::input::Cause;
use super::output::{Output, Reason};
use crate::storage::Id;
use crate::table::{Connection, Grace, Key, Left, Registration, TallyId, Tenure};
use crate::types::{Addr, Conn, Kind, Now};
use crate::wire::{Reply, Verb};

/// Who holds a lock, as listings show it: a connection, or a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder<'a> {
    /// The connection, or the one that ended.
    pub(crate) conn: Conn,
    /// What tells the holder from others, also while it is resumed: the number of its grace, if it has one.
    pub(crate) number: Conn,
    pub(crate) addr: Addr,
    pub(crate) is_lingering: bool,
    pub(crate) registered: Option<&'a [u8]>,
    pub(crate) tally: TallyId,
}

impl Machine {
    /// Who has a tenure. It must live.
    pub(crate) fn holder(&self, tenure: Id<Tenure>) -> Holder<'_> {
        let tenure = self.holds.tenure(tenure);
        if let Some(owner) = tenure.owner() {
            return self.holder_of(&self.connections[owner]);
        }
        let grace = &self.graces[tenure.grace().expect("a holder lives")];
        let left = grace.left().expect("a tenure lingers with its grace");
        Holder {
            conn: left.conn,
            number: grace.number(),
            addr: left.origin.addr,
            is_lingering: true,
            registered: left.registered.as_ref().map(|registered| &*registered.name),
            tally: left.tally,
        }
    }

    /// A connection as a holder.
    pub(crate) fn holder_of<'a>(&'a self, connection: &'a Connection) -> Holder<'a> {
        Holder {
            conn: connection.conn(),
            number: connection.grace().map_or(connection.conn(), |grace| self.graces[grace].number()),
            addr: connection.origin().addr,
            is_lingering: false,
            registered: self.connections.name_of(connection),
            tally: connection.tally(),
        }
    }

    /// Has a connection's holds outlive it by `ms`. 0 takes that back.
    pub(super) fn linger(
        &mut self,
        id: Id<Connection>,
        conn: Conn,
        ms: u32,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        if ms > self.config.limits.linger_ms {
            mark!(LingerWasRefused);
            return self.fail(conn, Verb::Linger, Reply::LingerFailure, out);
        }
        match self.connections[id].grace() {
            Some(grace) => self.graces.set_ms(grace, ms),
            None if ms == 0 => {}
            None => {
                let grace = self.graces.open(id, conn, ms);
                self.connections.set_grace(id, Some(grace));
            }
        }
        let key = self.connections[id].grace().filter(|_| ms > 0).map(|grace| self.graces[grace].key());
        let key = key.as_ref().map(Key::text);
        out(conn, Output::Reply(Reply::Lingers { key, ms }));
    }

    /// Gives a session to the connection that says its key. If the machine still believes the connection alive that has
    /// it, that one ends.
    pub(super) fn resume(
        &mut self,
        id: Id<Connection>,
        conn: Conn,
        key: &[u8],
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        if self.drains(id) {
            return self.fail(conn, Verb::Resume, Reply::ShuttingDown, out);
        }
        let own = self.holds_of(self.connections[id].tenure());
        let found = self.graces.find(key);
        if found.is_some() && found == self.connections[id].grace() {
            mark!(ResumedOwn);
            return out(conn, Output::Reply(Reply::Resumed { holds: own }));
        }
        let tally = self.connections[id].tally();
        let Some(grace) = found
            .filter(|grace| own == 0 && (self.tally_of(*grace) == tally || bug!(KeyOpensAnotherAccount)))
        else {
            mark!(ResumeWasRefused);
            return self.fail(conn, Verb::Resume, Reply::ResumeFailure, out);
        };
        self.counters.resumed += 1;
        let old = self.graces[grace].owner();
        let (tenure, registered) = if let Some(old) = old {
            let left = (self.connections[old].tenure(), self.connections.registration(old));
            self.connections.forget_tenure(old);
            self.connections.set_grace(old, None);
            self.connections.register(old, b"");
            self.graces.take(grace, id, 0);
            left
        } else {
            let tenure = self.graces[grace].left().expect("it is no connection's").tenure;
            let left = self.graces.take(grace, id, self.holds_of(Some(tenure))).expect("it lingers");
            self.connections.tally_mut(left.tally).remove_memory(left.memory());
            (Some(tenure), left.registered)
        };
        self.take_over(id, grace, tenure, registered);
        out(conn, Output::Reply(Reply::Resumed { holds: self.holds_of(tenure) }));
        match old {
            Some(old) => {
                mark!(ResumedAlive);
                let conn = self.connections[old].conn();
                self.close(old, Cause::Resumed, out);
                out(conn, Output::Disconnect(Reason::Resumed));
            }
            None => mark!(ResumedLeft),
        }
    }

    /// Replaces what a connection has, which holds nothing, by what a session has.
    fn take_over(
        &mut self,
        id: Id<Connection>,
        grace: Id<Grace>,
        tenure: Option<Id<Tenure>>,
        registered: Option<Registration>,
    ) {
        if let Some(own) = self.connections[id].grace() {
            self.graces.remove(own, 0);
        }
        self.connections.set_grace(id, Some(grace));
        if let Some(tenure) = tenure {
            if let Some(own) = self.connections[id].tenure() {
                self.end_tenure(own, self.connections[id].tally());
            }
            self.connections.set_tenure(id, tenure);
            self.holds.pass_to(tenure, id);
        }
        if let Some(Registration { name, order }) = registered {
            self.connections.restore_registration(id, &name, order);
        }
    }

    /// Called when a connection with a grace ends. If it leaves something, its holds are a session's from now on.
    /// `quit`, `kick` and the idle limit release at once.
    pub(super) fn leave(&mut self, id: Id<Connection>, grace: Id<Grace>, cause: Cause) {
        let due = Now(self
            .now
            .0
            .saturating_add(self.graces[grace].ms().into())
            .saturating_add(bug!(SessionOneLate).into()));
        let tenure = self.connections[id].tenure();
        let holds = self.holds_of(tenure);
        // At the end of time there is no later moment.
        let leaves = cause.leaves_a_session() && holds > 0 && due > self.now;
        self.connections.set_grace(id, None);
        let Some(tenure) = tenure.filter(|_| leaves) else {
            self.graces.remove(grace, 0);
            return;
        };
        mark!(SessionWasLeft);
        let left = self.left_by(id, tenure);
        self.connections.tally_mut(left.tally).add_memory(left.memory());
        if bug!(LingeringIsOrphan) {
            self.counters.orphans[Kind::Exclusive] += u64::from(holds);
        }
        self.graces.leave(grace, left, holds, (self.now, due));
        self.expect(self.graces.nothing_before());
        self.connections.forget_tenure(id);
        self.holds.linger(tenure, grace);
    }

    /// What a connection leaves with its tenure.
    pub(crate) fn left_by(&self, id: Id<Connection>, tenure: Id<Tenure>) -> Left {
        let connection = &self.connections[id];
        Left {
            conn: connection.conn(),
            origin: *connection.origin(),
            tally: connection.tally(),
            tenure,
            registered: self.connections.registration(id),
        }
    }

    /// Ends every session that is due. This comes before the input itself, so that no reply depends on whether a `Tick`
    /// came in between.
    #[inline]
    pub(super) fn end_due_sessions(&mut self) {
        while let Some(grace) = self.graces.due(self.now) {
            mark!(SessionWasDue);
            self.end_session(grace);
        }
    }

    /// Ends a session: only now its holds are orphans.
    pub(super) fn end_session(&mut self, grace: Id<Grace>) {
        let left = self.graces[grace].left().expect("a session is no connection's");
        let (tenure, tally) = (left.tenure, left.tally);
        self.connections.tally_mut(tally).remove_memory(left.memory());
        self.graces.remove(grace, self.holds_of(Some(tenure)));
        self.end_orphans(tenure, tally);
    }

    /// Ends a tenure, and counts its holds as orphans.
    pub(super) fn end_orphans(&mut self, tenure: Id<Tenure>, tally: TallyId) {
        let holds = self.end_tenure(tenure, tally);
        for kind in Kind::ALL {
            let counted = if bug!(OrphansOfTheWrongKind) { Kind::Exclusive } else { kind };
            self.counters.orphans[counted] += u64::from(holds[kind]);
        }
    }

    pub(super) fn holds_of(&self, tenure: Option<Id<Tenure>>) -> u32 {
        tenure.map_or(0, |tenure| self.holds.tenure(tenure).holds())
    }

    /// Where a grace's holds are counted.
    fn tally_of(&self, grace: Id<Grace>) -> TallyId {
        let grace = &self.graces[grace];
        match (grace.owner(), grace.left()) {
            (Some(owner), _) => self.connections[owner].tally(),
            (None, Some(left)) => left.tally,
            (None, None) => unreachable!("a grace is a connection's, or it lingers"),
        }
    }
}
