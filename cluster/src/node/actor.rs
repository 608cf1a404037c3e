//! The actor: one loop that owns all that decides. It hears of requests, of progress, of what the server hands in, and
//! of time. After each it does what is due.

use super::leading::Leading;
use super::leaving::Doubt;
use super::serving::OwnEpochs;
use super::{Fatal, Kit, LeaderLease, LeaderTime, Moment, NodeParts};
use crate::apply::Applied;
use crate::door::{Inside, NodeInput, Service};
use crate::latest::LatestReceiver;
use crate::message::kind;
use crate::net::LinkError;
use crate::propose::BatchRoom;
use crate::raft::{Changes, Standing};
use crate::served::Served as _;
use crate::store::DiskError;
use crate::wire::{decode, encode};
use elockd_core::replica::Act;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::error;

/// Bytes of entries after which a snapshot is written, at least. It is also at least twice as large as the last one.
const SNAPSHOT_BYTES: u64 = 64 << 20;
/// How often the length of the log is looked at.
const TIDY_EVERY_MS: u64 = 1000;

/// Something that the actor is told.
pub(super) enum Event {
    /// A node asks something that only the actor knows. No answer closes the link.
    Asked { from: u16, kind: u8, payload: Vec<u8>, answer: oneshot::Sender<Option<Vec<u8>>> },
    /// The server's runtime let a beat through.
    BeatPassed,
    /// What came of a beat.
    BeatAnswered { epoch: u64, number: u64, answer: Result<Vec<u8>, LinkError> },
    /// What came of a batch of an epoch.
    BatchAnswered { epoch: u64, answer: Result<Vec<u8>, LinkError> },
    /// A voter told its last word to the leader of a term.
    Word { term: u64, from: u16, age_ms: u64 },
    /// An entry that was proposed in a term was applied, or was perhaps not taken.
    Proposed { term: u64, had_tick: bool, is_taken: bool },
    /// A new node is to have a number.
    Join { nonce: u64 },
    /// The level is to be raised.
    Raise { level: u16 },
    /// A member is to be let go: it is answered no more. Or it is a member again.
    Retire { node: u16, is_over: bool },
    /// The leader says that this node is no member any more.
    Removed,
    /// A snapshot is to be written, however short the log is.
    TakeSnapshot,
    /// The server has ended, and its connections in order: the epoch is to end.
    Stop { done: oneshot::Sender<()> },
    /// The node has stopped.
    Over,
}

/// What the actor hears next.
enum Next {
    Event(Event),
    Said(Vec<NodeInput>),
    /// Entries were applied, the server closed its sockets, or something is due.
    Moved,
    /// The engine moved on.
    Stands(Option<Standing>),
    Failed(Fatal),
}

/// The actor.
pub(super) struct Actor<K: Kit> {
    pub(super) shared: Arc<NodeParts<K>>,
    pub(super) inside: Inside,
    events: mpsc::UnboundedReceiver<Event>,
    // These are kept from turn to turn: what changes during a turn is seen in the next.
    steps: LatestReceiver<u64>,
    service: LatestReceiver<Service>,
    failure: LatestReceiver<Option<DiskError>>,
    changes: Changes<K::Pace>,
    /// How the engine stands.
    pub(super) standing: Standing,
    pub(super) serving: OwnEpochs,
    pub(super) lease: LeaderLease,
    pub(super) time: LeaderTime,
    pub(super) leading: Option<Leading>,
    /// Whether it is a member at all.
    pub(super) doubt: Doubt,
    /// Members that are being let go.
    pub(super) retired: BTreeSet<u16>,
    /// The addresses of members as they were last told to the links.
    pub(super) addresses: BTreeMap<u16, String>,
    /// How many snapshots were installed.
    pub(super) installs: u64,
    /// When the length of the log is looked at again.
    tidy_at: Moment,
    /// Who waits for the end of this node's epoch.
    pub(super) stopping: Option<oneshot::Sender<()>>,
}

impl<K: Kit> Actor<K> {
    pub(super) fn new(
        shared: Arc<NodeParts<K>>,
        inside: Inside,
        events: mpsc::UnboundedReceiver<Event>,
        serving: OwnEpochs,
    ) -> Self {
        let changes = shared.engine.changes();
        Self {
            steps: shared.progress.watch(),
            service: inside.service(),
            failure: shared.engine.failure(),
            standing: changes.now(),
            changes,
            lease: LeaderLease::new(shared.times, shared.me()),
            time: LeaderTime::new(),
            leading: None,
            doubt: Doubt::default(),
            retired: BTreeSet::new(),
            addresses: BTreeMap::new(),
            installs: shared.progress.with(|applied| applied.installs),
            tidy_at: Moment::default(),
            stopping: None,
            shared,
            inside,
            events,
            serving,
        }
    }

    /// Runs until the node has stopped, or cannot go on.
    pub(super) async fn run(mut self) {
        loop {
            let at = self.now();
            self.work(at);
            let heard = self.next(self.pause(at)).await;
            match heard {
                Next::Event(Event::Over) | Next::Stands(None) => return,
                Next::Event(event) => self.hear(event),
                Next::Said(inputs) => self.serving.outbox.push(inputs),
                Next::Moved => {}
                Next::Stands(Some(standing)) => self.standing = standing,
                Next::Failed(fatal) => return self.fail(&fatal),
            }
            if let Some(reason) = self.standing.failure.take() {
                return self.fail(&Fatal::Engine(reason));
            }
            if let Some(unknown) = self.with_applied(|applied| applied.unknown_level) {
                return self.fail(&unknown.into());
            }
            if let Some(fatal) = self.shared.with_kept(|kept| kept.fatal.take()) {
                return self.fail(&fatal);
            }
        }
    }

    fn fail(&self, fatal: &Fatal) {
        error!("this node cannot go on: {fatal}");
        self.inside.lapse();
        (self.shared.on_fatal)(fatal);
    }

    pub(super) fn now(&self) -> Moment {
        self.inside.clock().now()
    }

    /// Looks at what was applied.
    pub(super) fn with_applied<R>(&self, look: impl FnOnce(&Applied) -> R) -> R {
        self.shared.progress.with(look)
    }

    async fn next(&mut self, pause: Duration) -> Next {
        let may_take = self.serving.takes();
        let Self { inside, events, steps, service, failure, changes, .. } = self;
        let said = poll_fn(|cx| {
            if !may_take {
                return Poll::Pending;
            }
            let mut room = BatchRoom::default();
            inside.poll_take(cx.waker(), |group| room.fits(group))
        });
        tokio::select! {
            biased;
            Ok(failed) = failure.wait_for(Option::is_some) => match &*failed {
                Some(error) => Next::Failed(Fatal::Disk(error.clone())),
                None => Next::Moved,
            },
            standing = changes.next() => Next::Stands(standing),
            Ok(()) = steps.changed() => Next::Moved,
            Ok(()) = service.changed() => Next::Moved,
            event = events.recv() => event.map_or(Next::Moved, Next::Event),
            inputs = said => Next::Said(inputs),
            () = sleep(pause) => Next::Moved,
        }
    }

    /// Until something is due that nobody tells of.
    fn pause(&self, at: Moment) -> Duration {
        let often = at.plus(self.shared.times.beat() / 4);
        let due = [
            self.serving.lease.next_beat(),
            self.serving.lease.deadline(),
            self.lease.next_tick(),
            self.shared.served.deadline().and_then(|due| self.time.moment_of(due)),
        ];
        let first = due.into_iter().flatten().fold(often, Moment::min);
        Duration::from_millis(first.since(at).max(1))
    }

    /// Does all that is due.
    fn work(&mut self, at: Moment) {
        self.steps.borrow_and_update();
        let is_silent = *self.service.borrow_and_update() == Service::Silent;
        self.look_at_members();
        self.look_at_office(at);
        self.look_at_progress(at);
        if is_silent {
            self.serving.closed();
        }
        self.serve(at);
        self.lead(at);
        self.doubt_membership(at);
        self.keep_log_short(at);
        self.keep_figures();
    }

    fn hear(&mut self, event: Event) {
        let at = self.now();
        match event {
            Event::Asked { from, kind, payload, answer } => self.asked(from, kind, &payload, answer, at),
            Event::BeatPassed => self.beat_passed(at),
            Event::BeatAnswered { epoch, number, answer } => self.beat_answered((epoch, number), &answer, at),
            Event::BatchAnswered { epoch, answer } => self.batch_answered(epoch, &answer),
            Event::Word { term, from, age_ms } => self.lease.word(term, from, age_ms, at),
            Event::Proposed { term, had_tick, is_taken } => self.proposed(term, had_tick, is_taken),
            Event::Join { nonce } => self.join(nonce),
            Event::Raise { level } => self.propose_act(Act::Level(level)),
            Event::Retire { node, is_over } => {
                if is_over {
                    self.retired.remove(&node)
                } else {
                    self.retired.insert(node)
                };
            }
            Event::Removed => self.removed(),
            Event::TakeSnapshot => {
                let engine = self.shared.engine.clone();
                tokio::spawn(async move { engine.trigger_snapshot().await });
            }
            Event::Stop { done } => {
                self.stopping = Some(done);
                let turn = self.serving.lease.stop();
                self.take(turn);
                self.inside.server_ended();
            }
            Event::Over => {}
        }
    }

    fn asked(
        &mut self,
        from: u16,
        kind: u8,
        payload: &[u8],
        answer: oneshot::Sender<Option<Vec<u8>>>,
        at: Moment,
    ) {
        let said = match kind {
            kind::BEAT => return self.beat_came(from, payload, answer, at),
            kind::BATCH => self.batch_came(from, payload, at),
            kind::UP => self.up_came(from, payload),
            kind::GONE => self.gone_came(from, payload),
            kind::LAST_WORD => self.last_word(payload, at),
            _ => None,
        };
        // It fails if the link broke.
        let _ = answer.send(said);
    }

    /// A new leader asks for the last word.
    fn last_word(&self, payload: &[u8], at: Moment) -> Option<Vec<u8>> {
        let asked: u64 = decode(payload).ok()?;
        let follows = self.standing.leader.map(|_| self.standing.term);
        Some(encode(&self.shared.with_word(|word| word.tell(asked, follows, at))))
    }

    /// Has a snapshot written when the log has grown, and drops entries that are old enough. Those of the last while
    /// stay, so that a node that still has a lease never needs a snapshot.
    fn keep_log_short(&mut self, at: Moment) {
        if at < self.tidy_at {
            return;
        }
        self.tidy_at = at.plus(TIDY_EVERY_MS);
        let engine = &self.shared.engine;
        let most = SNAPSHOT_BYTES.max(2 * engine.snapshot_bytes());
        if engine.bytes_since_snapshot() > most {
            let engine = engine.clone();
            tokio::spawn(async move { engine.trigger_snapshot().await });
        }
        let kept_ms = 2 * self.shared.times.timeout();
        let old = self.shared.progress.old_enough(kept_ms);
        let purgeable = old.min(self.standing.snapshot.unwrap_or(0));
        if purgeable > self.standing.purged.unwrap_or(0) {
            let engine = self.shared.engine.clone();
            tokio::spawn(async move { engine.purge(purgeable).await });
        }
    }

    /// Tells the links where members are.
    fn look_at_members(&mut self) {
        use super::Addresses as _;
        if self.standing.members.addresses != self.addresses {
            self.addresses.clone_from(&self.standing.members.addresses);
            self.shared.ask.set_members(self.addresses.clone());
        }
    }
}
