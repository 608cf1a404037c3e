//! Three nodes with the lease machines of production, over an abstract Raft: terms, votes that outlast crashes, logs
//! that are sent whole, acknowledgements, and what is committed. Everything that happens is an [`Action`], and may
//! happen at any time or never: messages are delayed and lost, nodes stand still, links are cut.
//!
//! In true time, **no `Gone` is applied while its epoch may write**.

use crate::budget::{Budget, Detail};
use crate::log::{Act, Entry, Epochs, Log};
use crate::mail::Mail;
use elockd_cluster::Moment;
use elockd_cluster::lease::{LastWord, LeaderLease, NodeLease, Times, Turn};

/// A quarter of a lease, in true milliseconds.
pub(crate) const STEP: u32 = 400;
/// The least that passes between two things that happen one strictly after the other.
pub(crate) const INSTANT: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Follower,
    /// The nodes that granted it their vote, as bits.
    Candidate(u8),
    /// How much of its log each node acknowledged.
    Leader([u8; 3]),
}

/// The socket that a client's replies go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Socket {
    pub(crate) epoch: u64,
    pub(crate) until: Moment,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    /// Hundredths of true time that its clock goes in.
    pub(crate) rate: u8,
    pub(crate) is_paused: bool,
    /// How often its process was started.
    pub(crate) starts: u8,
    // What outlasts a crash.
    pub(crate) term: u8,
    pub(crate) vote: Option<u8>,
    pub(crate) log: Log,
    pub(crate) applied: u8,
    pub(crate) epochs: Epochs,
    // What does not.
    pub(crate) role: Role,
    pub(crate) socket: Option<Socket>,
    /// Beats that it did not answer yet, if it leads.
    pub(crate) waiting: u8,
    pub(crate) lease: NodeLease,
    pub(crate) leader: LeaderLease,
    pub(crate) word: LastWord,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) budget: Budget,
    /// True time.
    pub(crate) now: u32,
    pub(crate) nodes: [Node; 3],
    /// Sorted, so that equal worlds are equal.
    pub(crate) mail: Vec<Mail>,
    /// What was applied by any node.
    pub(crate) applied: Log,
    /// An epoch that was ended while its node may write.
    pub(crate) ended_early: Option<(u8, u8)>,
    /// The nodes that serve clients, as bits.
    pub(crate) serving: u8,
    pub(crate) detail: Detail,
}

/// The times that are searched.
pub(crate) fn times() -> Times {
    Times::default()
}

impl Node {
    /// Its own time.
    fn clock(&self, now: u32) -> Moment {
        Moment(u64::from(now) * u64::from(self.rate) / 100 + 1_000_000)
    }

    pub(crate) fn start(&mut self, id: u8, at: Moment) {
        self.starts += 1;
        self.role = Role::Follower;
        self.socket = None;
        self.waiting = 0;
        self.is_paused = false;
        self.lease = NodeLease::new(times(), u64::from(id) * 64 + u64::from(self.starts) * 8);
        self.leader = LeaderLease::new(times(), u16::from(id));
        self.word = LastWord::new(at);
    }

    /// Whether it may write to the clients of an epoch.
    pub(crate) fn may_write(&self, now: u32) -> Option<u64> {
        self.socket.filter(|socket| self.clock(now) < socket.until).map(|socket| socket.epoch)
    }

    /// The deadline that a world begins with.
    pub(crate) fn first_deadline(&self) -> Moment {
        self.clock(0).plus(times().lease())
    }

    pub(crate) fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }
}

impl World {
    /// Nodes with clocks of these rates. Node 0 leads, and has just answered a beat of each node in `serving`. All
    /// others serve no clients.
    pub(crate) fn new(rates: [u8; 3], serving: &[u8], budget: Budget) -> Self {
        let node = |id: u8| {
            let rate = rates[usize::from(id)];
            let mut node = Node {
                rate,
                is_paused: false,
                starts: 0,
                term: 1,
                vote: Some(0),
                log: Log::default(),
                applied: 0,
                epochs: Epochs::default(),
                role: Role::Follower,
                socket: None,
                waiting: 0,
                lease: NodeLease::new(times(), 0),
                leader: LeaderLease::new(times(), 0),
                word: LastWord::new(Moment(0)),
            };
            node.start(id, Moment(0));
            node
        };
        let nodes = [node(0), node(1), node(2)];
        let applied = Log::default();
        let serving_bits = serving.iter().fold(0, |bits, of| bits | 1 << of);
        let mut world = Self {
            budget,
            now: 0,
            nodes,
            mail: Vec::new(),
            applied,
            ended_early: None,
            serving: serving_bits,
            detail: Detail::default(),
        };
        for node in &mut world.nodes {
            for of in serving {
                node.epochs.apply(Act::Up { node: *of, nonce: 0 });
            }
        }
        world.take_office(0);
        let term = u64::from(world.nodes[0].term);
        world.nodes[0].leader.first_applied(term);
        for of in serving {
            world.serve_at_once(*of);
        }
        world.node(0).leader.word(term, 1, 0, Moment(1_000_000));
        world
    }

    /// Nodes none of which serves yet. Those in `serving` will, once their `Up` is applied.
    pub(crate) fn idle(rates: [u8; 3], serving: &[u8], budget: Budget) -> Self {
        let mut world = Self::new(rates, &[], budget);
        world.serving = serving.iter().fold(0, |bits, of| bits | 1 << of);
        world
    }

    /// Has the epoch of a node begin, with a beat that is answered right away.
    fn serve_at_once(&mut self, of: u8) {
        let at = self.clock(of);
        let epoch = u64::from(self.nodes[0].epochs.of(of).expect("it is in the epochs"));
        let node = &mut self.nodes[usize::from(of)];
        let nonce = node.lease.asks().expect("it has just started");
        node.lease.up(nonce, epoch, at);
        let beat = node.lease.beat(at).expect("the first is due at once");
        let turn = node.lease.answered(epoch, beat.number, 0, at);
        self.turn(of, turn);
        let came = self.clock(0);
        self.nodes[0].leader.batch(u16::from(of), epoch, came);
        self.voters_heard();
    }

    /// All nodes had part in the first leader's term until now.
    fn voters_heard(&mut self) {
        for id in 1..3 {
            let at = self.clock(id);
            self.node(id).word.heard(1, at);
        }
    }

    pub(crate) fn node(&mut self, id: u8) -> &mut Node {
        &mut self.nodes[usize::from(id)]
    }

    pub(crate) fn see(&self, id: u8) -> &Node {
        &self.nodes[usize::from(id)]
    }

    pub(crate) fn clock(&self, id: u8) -> Moment {
        self.see(id).clock(self.now)
    }

    /// What is wrong, if anything is.
    pub(crate) fn wrong(&self) -> Option<String> {
        if let Some((node, epoch)) = self.ended_early {
            return Some(format!("epoch {epoch} of node {node} was ended while it may write"));
        }
        for (id, node) in (0..).zip(&self.nodes) {
            let gone = |epoch: u64| {
                let is_it = |entry: &Entry| entry.act == Act::Gone { node: id, epoch: epoch as u8 };
                self.applied.entries().iter().any(is_it)
            };
            if let Some(epoch) = node.may_write(self.now).filter(|epoch| gone(*epoch)) {
                return Some(format!("epoch {epoch} of node {id} is gone, and may write"));
            }
            if !self.applied.entries().starts_with(&node.log.entries()[..usize::from(node.applied)]) {
                return Some(format!("node {id} applied another log"));
            }
            if node.lease.deadline() != node.socket.map(|socket| socket.until) {
                return Some(format!("node {id} was not told its deadline"));
            }
        }
        None
    }

    /// Whether an epoch is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.applied.entries().iter().any(|entry| matches!(entry.act, Act::Gone { .. }))
    }

    /// Whether nothing can go wrong any more: nobody serves or will, or no end of an epoch can be committed.
    pub(crate) fn is_over(&self) -> bool {
        let serves = (0..3).any(|id| self.may_serve(id));
        let ends = |log: &Log, from: u8| {
            let is_end = |entry: &Entry| matches!(entry.act, Act::Gone { .. });
            log.entries()[usize::from(from.min(log.len()))..].iter().any(is_end)
        };
        let is_coming = self.mail.iter().any(|mail| match mail {
            Mail::Append { log, .. } => ends(log, self.applied.len()),
            Mail::Acked { from, len, .. } => *len > self.applied.len() && ends(&self.see(*from).log, 0),
            _ => false,
        });
        (self.detail.lean && !self.may_renew())
            || (self.budget.ups == 0 && !serves)
            || (self.budget.appends == 0 && !is_coming && !self.has_ended())
    }

    /// Whether a node serves, or asked for what it would serve.
    fn may_serve(&self, id: u8) -> bool {
        let node = self.see(id);
        let is_its = |entry: &Entry| match (entry.act, node.lease.asks()) {
            (Act::Up { node, nonce }, Some(asked)) => node == id && u64::from(nonce) == asked,
            _ => false,
        };
        let is_proposed = self.nodes.iter().any(|node| node.log.entries().iter().any(is_its));
        node.lease.next_beat().is_some() || is_proposed
    }

    /// Whether a lease was renewed, or may yet be.
    fn may_renew(&self) -> bool {
        let is_renewed = |node: &Node| node.socket.is_some_and(|socket| socket.until > node.first_deadline());
        let is_under_way = |mail: &Mail| matches!(mail, Mail::Beat { .. } | Mail::Answer { .. });
        self.budget.beats > 0
            || self.nodes.iter().any(|node| is_renewed(node) || node.waiting > 0)
            || self.mail.iter().any(is_under_way)
    }

    /// Does what a lease machine returned.
    pub(crate) fn turn(&mut self, id: u8, turn: Option<Turn>) {
        let node = self.node(id);
        match turn {
            Some(Turn::Serve { epoch, until }) => {
                assert!(node.socket.is_none(), "an epoch begins while another is served");
                node.socket = Some(Socket { epoch, until });
            }
            Some(Turn::Renew { until }) => {
                let socket = node.socket.as_mut().expect("only what is served is renewed");
                assert!(until > socket.until, "a deadline went back");
                socket.until = until;
            }
            Some(Turn::Lapse { epoch, .. }) => {
                node.socket = None;
                node.lease.closed(epoch);
            }
            None => {}
        }
    }

    /// A node saw a term that is later than its own.
    pub(crate) fn see_term(&mut self, id: u8, term: u8) {
        let at = self.clock(id);
        let node = self.node(id);
        if term > node.term {
            node.term = term;
            node.vote = None;
            node.role = Role::Follower;
            node.waiting = 0;
            node.word.deposed(at);
            node.leader.deposed();
        }
    }

    /// A node that was elected takes office.
    pub(crate) fn take_office(&mut self, id: u8) {
        let at = self.clock(id);
        let node = self.node(id);
        let term = u64::from(node.term);
        node.role = Role::Leader([0; 3]);
        node.waiting = 0;
        node.word.leads(term, at);
        let voters = vec![vec![0, 1, 2]];
        let epochs = node.epochs.present();
        node.leader.elected(elockd_cluster::lease::Election { term, voters, epochs }, at);
        let own = node.word.tell(term, Some(term), at).expect("it follows itself");
        node.leader.word(term, u16::from(id), own, at);
    }

    /// Applies what is committed.
    pub(crate) fn apply(&mut self, id: u8, commit: u8) {
        let at = self.clock(id);
        while self.see(id).applied < commit.min(self.see(id).log.len()) {
            let node = self.node(id);
            let Entry { term, act } = node.log.get(node.applied);
            node.applied += 1;
            let counts = node.epochs.apply(act);
            let (mut turn, mut answers) = (None, Vec::new());
            match act {
                Act::First => answers = node.leader.first_applied(u64::from(term)),
                Act::Up { node: of, nonce } if counts => {
                    let epoch = u64::from(node.epochs.of(of).expect("it has just begun"));
                    node.leader.up(u16::from(of), epoch, at);
                    if of == id {
                        node.lease.up(u64::from(nonce), epoch, at);
                    }
                }
                Act::Gone { node: of, epoch } if counts => {
                    node.leader.gone(u16::from(of), u64::from(epoch));
                    if of == id {
                        turn = node.lease.gone(u64::from(epoch));
                    }
                }
                Act::Up { .. } | Act::Gone { .. } => {}
            }
            let index = node.applied;
            node.lease.applied(u64::from(index));
            let entry = Entry { term, act };
            if self.applied.len() < index {
                // The end is looked at before the node itself hears of it: it may have written just before.
                self.applied.push(entry);
                if let Act::Gone { node: of, epoch } = act {
                    self.note_gone(of, epoch);
                }
            }
            self.turn(id, turn);
            self.send_answers(id, &answers);
        }
    }

    /// An end that was applied while its node may write stays wrong, even if that node lapses in the same step.
    fn note_gone(&mut self, of: u8, epoch: u8) {
        let now = self.now;
        if self.see(of).may_write(now) == Some(u64::from(epoch)) {
            self.ended_early = Some((of, epoch));
        }
    }
}
