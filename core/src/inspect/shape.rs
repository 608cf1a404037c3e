//! The part of a machine's state that decides its future, for model checkers: who holds what and in which order, what
//! is dead, and who waits, in which order and how much longer. Left out are history (counters, the order of inputs),
//! absolute time, registered names, and the tokens that were given out. So a small machine has finitely many states.
//! Only model checkers may use it.

use crate::machine::Machine;
use crate::storage::{Id, Slab};
use crate::table::{Aim, Connection, Lock, Locks, State, Tenure};
use crate::types::{Conn, Now};

impl Machine {
    /// The state as words. Two machines with the same words give the same replies for ever after. Exceptions are
    /// counts, and the order in which a listing's slices meet their entries. `call` returns a small number for each
    /// connection, because connections' own numbers go up for ever.
    ///
    /// With `places` the words also have the slot of everything, and the slots that will be used next.
    #[doc(hidden)]
    #[must_use]
    pub fn shape(&self, places: bool, call: impl Fn(Conn) -> u32) -> Vec<u32> {
        let drains = self.connections.nodes().iter().filter(|node| node.drains());
        let mut words: Vec<u32> = drains.map(|node| node.number().into()).collect();
        words.push(u32::MAX);
        let place = |words: &mut Vec<u32>, position: u32| words.extend(places.then_some(position));
        let mut connections: Vec<_> = self.connections.slots().iter().collect();
        connections.sort_by_key(|(_, connection)| call(connection.conn()));
        if self.config.limits.idle_ms > 0 {
            let is_waiting = |connection: &Connection| connection.wait().is_some();
            let waiting = connections.into_iter().filter(|(_, connection)| is_waiting(connection));
            connections = self.connections.by_activity().chain(waiting).collect();
        }
        words.push(connections.len() as u32);
        for (id, connection) in connections {
            // While it waits, nothing depends on when it was last active.
            let is_timed = self.config.limits.idle_ms > 0 && connection.wait().is_none();
            let idle_ms = if is_timed { self.now.0 - self.connections.active(id).0 } else { 0 };
            words.extend([call(connection.conn()), u32::from(connection.origin().account.0), idle_ms as u32]);
            place(&mut words, id.position());
            let grace = connection.grace().map(|grace| &self.graces[grace]);
            words.extend(grace.map_or([0; 3], |grace| [1, call(grace.number()), grace.ms()]));
            words.extend([u32::from(connection.tenure().is_some()), u32::from(connection.wait().is_some())]);
            if let Some(tenure) = connection.tenure() {
                place(&mut words, tenure.position());
                self.shape_of_tenure(tenure, places, &mut words);
            }
        }
        let mut sessions: Vec<_> = self.graces.slots().iter().collect();
        sessions.sort_by_key(|(_, grace)| (grace.due(), call(grace.number())));
        for (id, grace) in sessions {
            let Some((left, Now(due))) = grace.left().zip(grace.due()) else { continue };
            let ms = due - self.now.0;
            words.extend([call(left.conn), call(grace.number()), grace.ms(), ms as u32]);
            words.push(left.origin.account.0.into());
            place(&mut words, id.position());
            place(&mut words, left.tenure.position());
            self.shape_of_tenure(left.tenure, places, &mut words);
        }
        words.push(u32::MAX);
        for (tenure, _) in self.holds.dead_tenures() {
            place(&mut words, tenure.position());
            self.shape_of_tenure(tenure, places, &mut words);
        }
        words.push(u32::MAX);
        for (id, wait) in self.holds.waits().by_beginning() {
            shape_of_name(self.holds.locks(), wait.lock(), &mut words);
            let ms = wait.deadline().0 - self.now.0;
            let aim = match wait.place().aim() {
                Aim::Lock { limit } => [limit, 0],
                Aim::End => [u32::MAX, self.holds.holders_before(wait.lock(), wait.order())],
            };
            words.extend([call(self.connections[wait.by()].conn()), ms as u32]);
            words.push(wait.place().kind().index() as u32);
            words.extend(aim);
            place(&mut words, id.position());
        }
        words.extend([u32::MAX, self.tokens.left() as u32]);
        let locks = self.holds.locks();
        let mut ties: Vec<_> = locks.slots().iter().collect();
        ties.sort_by_key(|(_, lock)| (lock.kind(), locks.name(lock)));
        for (id, _) in ties {
            let State::Tied(tie) = self.holds.state(id) else { continue };
            place(&mut words, tie.position());
            shape_of_name(locks, id, &mut words);
            for (_, hold) in self.holds.ties().holds_from(self.holds.ties()[tie].oldest()) {
                words.extend([call(self.holder(hold.tenure()).conn), hold.token().is_some().into()]);
            }
            words.push(u32::MAX);
        }
        if places {
            shape_of_slab(self.connections.slots(), &mut words);
            shape_of_slab(self.holds.tenures(), &mut words);
            shape_of_slab(locks.slots(), &mut words);
            shape_of_slab(self.holds.ties().slots(), &mut words);
            shape_of_slab(self.holds.ties().holds(), &mut words);
            shape_of_slab(self.holds.waits().slots(), &mut words);
            shape_of_slab(self.graces.slots(), &mut words);
        }
        words
    }

    /// Its lists of sole and of tied holds, in their order.
    fn shape_of_tenure(&self, tenure: Id<Tenure>, places: bool, words: &mut Vec<u32>) {
        for (lock, _) in self.holds.soles(tenure) {
            words.extend(places.then_some(lock.position()));
            shape_of_name(self.holds.locks(), lock, words);
        }
        words.push(u32::MAX);
        for (id, hold) in self.holds.tied(tenure) {
            words.extend(places.then_some(id.position()));
            shape_of_name(self.holds.locks(), hold.lock(), words);
        }
        words.push(u32::MAX);
    }
}

fn shape_of_name(locks: &Locks, lock: Id<Lock>, words: &mut Vec<u32>) {
    let lock = &locks[lock];
    let name = locks.name(lock);
    words.extend([lock.kind().index() as u32, name.len() as u32]);
    words.extend(name.iter().map(|byte| u32::from(*byte)));
}

fn shape_of_slab<T>(slab: &Slab<T>, words: &mut Vec<u32>) {
    words.extend(slab.vacancies());
    words.push(u32::MAX);
}
