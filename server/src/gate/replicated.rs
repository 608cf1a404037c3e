//! The gate of a node in a cluster. What connections say is handed to the cluster, which applies it in the agreed
//! order. Every reply comes by mail, also to a command that waits for nobody.
//!
//! A server serves in epochs, and each ends by a lapse: see [`Service`]. From the lease's end on nothing can be written
//! to a socket ([`Leased`]). Then the connections are ended by mail, and those whose tasks are too slow are cut off.

use super::{Berth, Berths, Gate, GateHandle, Leased, Replica};
use crate::clock::Clock;
use crate::hub::{Flow, Hub, Mail, Seat};
use crate::listen::Stream;
use elockd_cluster::{Door, LatestReceiver, NodeInput, Service};
use elockd_core::{Account, Accounts, Addr, Cause, Command, Conn, Input, Kind, Machine, Now, Origin, Reason};
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;
use tracing::{info, warn};

/// How long connections that have lapsed may take to be told `0 No Quorum`. A socket's buffer takes it at once.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Milliseconds after the lease's end at which no socket may be open: half of what lies between that end and the moment
/// from which on others may have what this node's clients hold.
const GRACE_MS: u64 = 200;

/// A gate to a cluster.
pub struct Replicated {
    door: Door,
    service: LatestReceiver<Service>,
    replica: Arc<Replica>,
    /// The sockets of the epoch that is served, or was served last.
    berths: Mutex<Option<Arc<Berths>>>,
}

/// What an accepted socket may do. `None` is to be told `0 No Quorum`.
#[derive(Clone, Debug)]
pub struct Admission(Option<(Arc<Berths>, u64)>);

/// One connection's way to the cluster.
pub struct ReplicatedHandle {
    door: Door,
    epoch: u64,
    seat: Seat,
}

impl Replicated {
    /// A gate to a cluster. The machine is what there is before the cluster has applied or installed anything. For
    /// `on_panic` see [`Hub::new`].
    pub(crate) fn new(door: Door, machine: Machine, on_panic: Option<fn()>) -> Self {
        let hub = Hub::of_node(door.node(), machine, on_panic);
        let service = door.service();
        Self { door, service, replica: Arc::new(Replica::new(hub)), berths: Mutex::default() }
    }

    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// Whether a socket can still be written to so long after the lease's end that its locks may soon be others'.
    pub(crate) fn is_overdue(&self) -> bool {
        let is_written_to = self.lock().as_ref().is_some_and(|berths| !berths.is_empty());
        is_written_to && self.door.now() >= self.door.end_of_lease().plus(GRACE_MS)
    }

    /// A place for a socket in the epoch that is served now.
    fn berth(&self) -> Option<Berth> {
        let mut own = self.lock();
        // Looked at within the lock: a lapse ends the berths behind it.
        let Service::Serving(epoch) = *self.service.borrow() else { return None };
        let berths = own.take().filter(|berths| berths.epoch() == epoch);
        own.insert(berths.unwrap_or_else(|| Arc::new(Berths::new(epoch)))).enter()
    }

    /// Ends an epoch. Returns when none of its sockets can be written to any more.
    async fn end(&self, epoch: u64) {
        let berths = self.lock().clone().filter(|berths| berths.epoch() == epoch);
        if let Some(berths) = &berths {
            berths.end();
        }
        self.replica.hub().lapse();
        let Some(berths) = berths else { return };
        let ended = berths.len();
        let all_gone = || poll_fn(|cx| berths.poll_empty(cx));
        if timeout(LAST_WORDS, all_gone()).await.is_err() {
            berths.cut();
            all_gone().await;
        }
        warn!(epoch, sockets = ended, "the lease of epoch {epoch} is over: {ended} connections were closed");
    }

    /// Follows what the door says, epoch after epoch.
    async fn follow(&self) {
        let mut service = self.door.service();
        loop {
            let now = *service.borrow_and_update();
            match now {
                Service::Silent => {}
                Service::Serving(epoch) => info!(epoch, "serving epoch {epoch}"),
                Service::Lapsed(epoch) => {
                    self.end(epoch).await;
                    self.door.closed(epoch);
                }
            }
            if service.changed().await.is_err() {
                // The cluster is gone. Nothing will be served any more.
                return pending().await;
            }
        }
    }

    /// Frees what dead tenures left behind, whenever there is some.
    async fn sweep(&self) {
        let hub = self.replica.hub();
        loop {
            poll_fn(|cx| hub.poll_unswept(cx.waker())).await;
            while hub.sweep() {
                yield_now().await;
            }
            yield_now().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Berths>>> {
        // Nothing panics while it is held.
        self.berths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate for Replicated {
    type Handle = ReplicatedHandle;
    type Pass = Admission;
    type Guarded<S: Stream> = Leased<S>;

    /// They come by the log.
    const NEEDS_TOKENS: bool = false;
    const ANSWERS_BY_MAIL: bool = true;

    fn hub(&self) -> &Hub {
        self.replica.hub()
    }

    fn node(&self) -> u16 {
        self.door.node()
    }

    fn is_serving(&self) -> bool {
        matches!(*self.service.borrow(), Service::Serving(_)) && self.door.may_write()
    }

    /// That of the log. It stands still while nothing is applied.
    fn time(&self, _now: Now) -> Now {
        self.replica.time()
    }

    fn take_in<S: Stream>(&self, stream: S) -> (Leased<S>, Admission) {
        let berth = self.berth();
        let admission = berth.as_ref().map(|berth| (Arc::clone(berth.berths()), berth.number()));
        (Leased::new(stream, self.door.clone(), berth), Admission(admission))
    }

    fn in_care_of(&self, Admission(admission): &Admission, is_ready: bool, task: JoinHandle<()>) {
        if let Some((berths, number)) = admission {
            berths.in_care_of(*number, is_ready, task);
        }
    }

    fn open(
        &self,
        Admission(admission): &Admission,
        _now: Now,
        origin: impl FnOnce(Conn) -> Origin,
    ) -> Result<ReplicatedHandle, Reason> {
        let berths = admission.as_ref().map(|(berths, _)| berths);
        let Some(berths) = berths.filter(|berths| !berths.is_over()) else { return Err(Reason::NoQuorum) };
        let epoch = berths.epoch();
        // If the lapse comes just now, this connection may get no mail. Then its task is cut off.
        let seat = self.replica.hub().enter(|conn| {
            self.door.hand_in(epoch, vec![Input::Opened(conn, origin(conn))]);
        });
        Ok(ReplicatedHandle { door: self.door.clone(), epoch, seat })
    }

    /// Never called: a node of a cluster has no accounts.
    fn set_accounts(&self, _now: Now, _accounts: &Arc<Accounts>) {
        unreachable!("a node of a cluster has no accounts of its own");
    }

    fn close_without_account(&self, _now: Now, _after: Option<Conn>, _most: usize) -> (usize, Option<Conn>) {
        (0, None)
    }

    fn drain(&self, _now: Now) {
        if let Service::Serving(epoch) = *self.service.borrow() {
            self.door.hand_in(epoch, vec![Input::Drain(self.door.node())]);
        }
    }

    async fn tend(&self, _clock: Clock, _idle_ms: u64) {
        tokio::join!(self.follow(), self.sweep(), self.door.pass_beats());
    }
}

impl ReplicatedHandle {
    fn hand_in(&self, inputs: Vec<NodeInput>) {
        self.door.hand_in(self.epoch, inputs);
    }
}

impl GateHandle for ReplicatedHandle {
    fn batch<N: AsRef<[u8]>>(&self, _now: Now, commands: &[Command<N>], _out: &mut Vec<u8>) -> Flow {
        if !self.seat.ask() {
            return Flow::Go;
        }
        let conn = self.seat.conn();
        let owned = |command: &Command<N>| command.borrowed().map(<[u8]>::to_vec);
        self.hand_in(commands.iter().map(|command| Input::Command(conn, owned(command))).collect());
        Flow::Wait
    }

    fn command<N: AsRef<[u8]>>(
        &self,
        now: Now,
        command: &Command<N>,
        out: &mut Vec<u8>,
    ) -> (Flow, Option<bool>) {
        (self.batch(now, std::slice::from_ref(command), out), None)
    }

    fn account(&self) -> Account {
        self.seat.hub().account_of(self.seat.conn()).unwrap_or_default()
    }

    fn addr(&self) -> Option<Addr> {
        self.seat.hub().addr_of(self.seat.conn())
    }

    fn is_holder(&self, kind: Kind, name: &[u8]) -> bool {
        self.seat.hub().is_holder(self.seat.conn(), kind, name)
    }

    fn close(&mut self, _now: Now, cause: Cause) -> Vec<u8> {
        if self.seat.leave() {
            self.hand_in(vec![Input::Closed(self.seat.conn(), cause)]);
        }
        Vec::new()
    }

    fn close_waiting(&mut self, _now: Now) -> Option<Vec<u8>> {
        if self.seat.peer_ends() {
            self.hand_in(vec![Input::Closed(self.seat.conn(), Cause::Eof)]);
        }
        None
    }

    fn closed(&mut self) {
        self.seat.leave();
    }

    fn poll_mail(&self, waker: &Waker) -> Poll<Mail> {
        self.seat.poll_mail(waker)
    }
}

impl Drop for ReplicatedHandle {
    fn drop(&mut self) {
        self.close(Now::default(), Cause::Error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_cluster::{Moment, door};
    use elockd_core::Config;
    use std::sync::atomic::Ordering;
    use tokio::io::duplex;

    /// Goal: the watchdog's judgement. Method: a socket that is never closed, and every moment that matters.
    #[tokio::test]
    async fn a_socket_that_is_open_long_after_the_lease_is_overdue() {
        let (clock, hand) = elockd_cluster::Clock::by_hand();
        let (door, inside) = door(1, clock);
        let gate = Replicated::new(door, Machine::new(Config::smallest_storage()), None);
        let at = |ms: u64| hand.store(ms, Ordering::SeqCst);
        at(5000);
        let (refused, _) = gate.take_in(duplex(1).0);
        assert!(!gate.is_overdue(), "that socket is of no epoch");
        inside.serve(1, Moment(6000));
        let (socket, _) = gate.take_in(duplex(1).0);
        for (lapses, ms, is_overdue) in
            [(false, 5999, false), (false, 6199, false), (true, 6199, false), (true, 6200, true)]
        {
            at(ms);
            if lapses {
                inside.lapse();
            }
            assert_eq!(gate.is_overdue(), is_overdue, "at {ms}");
        }
        drop(socket);
        assert!(!gate.is_overdue(), "it is closed");
        drop(refused);
    }

    /// Goal: a lapse that comes before the lease's end, because a disk has failed, has no less time.
    #[tokio::test]
    async fn an_early_lapse_is_not_overdue_before_the_leases_end() {
        let (clock, hand) = elockd_cluster::Clock::by_hand();
        let (door, inside) = door(1, clock);
        let gate = Replicated::new(door, Machine::new(Config::smallest_storage()), None);
        inside.serve(1, Moment(1000));
        let (_socket, _) = gate.take_in(duplex(1).0);
        inside.lapse();
        for (ms, is_overdue) in [(0, false), (1199, false), (1200, true)] {
            hand.store(ms, Ordering::SeqCst);
            assert_eq!(gate.is_overdue(), is_overdue, "at {ms}");
        }
    }
}
