//! What may happen next in a [`World`], and what comes of it.

use crate::budget::Words;
use crate::log::{Act, Entry, Log};
use crate::mail::Mail;
use crate::world::{INSTANT, Role, STEP, World};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A quarter of a lease passes. Nodes that are not paused notice what is due.
    Step,
    /// A leader sends its log to another node.
    Append { from: u8, to: u8 },
    /// A leader sends a heartbeat without it. Counts as an append.
    Heartbeat { from: u8, to: u8 },
    /// The message at this place of the mail arrives. It may arrive again if it is kept.
    Deliver { mail: u8, keep: bool },
    /// A node sends a beat to a leader.
    Beat { from: u8, to: u8 },
    /// A voter tells a leader its last word.
    Tell { from: u8, to: u8 },
    /// A node asks a leader for an epoch.
    AskUp { from: u8, to: u8 },
    /// A node wants to be elected, in a new term.
    Campaign { node: u8 },
    /// A node is elected with the vote of another, all at once.
    Elect { node: u8, voter: u8 },
    /// A node votes for a candidate.
    Grant { from: u8, to: u8 },
    /// A candidate has the votes of a quorum.
    Win { node: u8 },
    /// A process ends, and starts again.
    Crash { node: u8 },
    /// A process stands still.
    Pause { node: u8 },
    /// It goes on.
    Resume { node: u8 },
}

/// Pairs of different nodes.
const PAIRS: [(u8, u8); 6] = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];

impl World {
    /// Everything that may happen next.
    pub(crate) fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::with_capacity(16);
        let budget = self.budget;
        for node in 0..3 {
            self.actions_of(node, &mut actions);
        }
        for (from, to) in PAIRS {
            if budget.appends > 0 && self.leads(from) {
                self.appends(from, to, &mut actions);
            }
            if self.detail.words != Words::AtOnce && self.may_tell(from, to) {
                actions.push(Action::Tell { from, to });
            }
            if self.may_grant(from, to) {
                actions.push(Action::Grant { from, to });
            }
        }
        for (from, to) in (0..3).flat_map(|from| (0..3).map(move |to| (from, to))) {
            if budget.beats > 0 && self.leads(to) && self.is_beat_due(from) {
                actions.push(Action::Beat { from, to });
            }
            if budget.ups > 0 && self.leads(to) && self.may_ask(from, to) {
                actions.push(Action::AskUp { from, to });
            }
        }
        for (at, mail) in (0..).zip(&self.mail) {
            if !self.see(mail.to()).is_paused {
                actions.push(Action::Deliver { mail: at, keep: false });
                if budget.doubles > 0 {
                    actions.push(Action::Deliver { mail: at, keep: true });
                }
            }
        }
        if budget.steps > 0 {
            actions.push(Action::Step);
        }
        actions
    }

    fn actions_of(&self, node: u8, actions: &mut Vec<Action>) {
        let (budget, of) = (self.budget, self.see(node));
        if of.is_paused {
            actions.push(Action::Resume { node });
            return;
        }
        if budget.elections > 0 && !of.is_leader() {
            if self.detail.elections {
                actions.push(Action::Campaign { node });
            } else {
                let may = |voter: &u8| *voter != node && self.may_elect(node, *voter);
                actions.extend((0..3).filter(may).map(|voter| Action::Elect { node, voter }));
            }
        }
        if let Role::Candidate(votes) = of.role
            && votes.count_ones() >= 2
        {
            actions.push(Action::Win { node });
        }
        if budget.crashes > 0 {
            actions.push(Action::Crash { node });
        }
        // What another node does not do it need not stand still for.
        if budget.pauses > 0 && of.is_leader() {
            actions.push(Action::Pause { node });
        }
    }

    fn appends(&self, from: u8, to: u8, actions: &mut Vec<Action>) {
        let (leader, follower) = (self.see(from), self.see(to));
        let is_news = leader.log != follower.log;
        let is_wanted = !self.detail.lean || leader.waiting > 0 || follower.term < leader.term;
        if leader.log.has_room() && (is_news || is_wanted) {
            actions.push(Action::Append { from, to });
        }
        // If there is nothing to send, the append is one.
        if self.detail.heartbeats && is_news && is_wanted {
            actions.push(Action::Heartbeat { from, to });
        }
    }

    fn leads(&self, node: u8) -> bool {
        self.see(node).is_leader() && !self.see(node).is_paused
    }

    fn is_beat_due(&self, from: u8) -> bool {
        let node = self.see(from);
        !node.is_paused && node.lease.next_beat().is_some_and(|due| self.clock(from) >= due)
    }

    fn may_ask(&self, from: u8, to: u8) -> bool {
        let node = self.see(from);
        let serves = self.serving & (1 << from) != 0;
        // A leader proposes no `Up` that would not count.
        let is_free = self.see(to).epochs.of(from).is_none() && self.see(to).log.has_room();
        serves && is_free && !node.is_paused && node.lease.asks().is_some() && !self.asked(from, to)
    }

    fn asked(&self, from: u8, to: u8) -> bool {
        let leader = self.see(to);
        let pending = &leader.log.entries()[usize::from(leader.applied)..];
        pending.iter().any(|entry| matches!(entry.act, Act::Up { node, .. } if node == from))
    }

    fn word_of(&self, from: u8, to: u8) -> Option<u64> {
        let (voter, leader) = (self.see(from), self.see(to));
        voter.word.tell(u64::from(leader.term), Some(u64::from(voter.term)), self.clock(from))
    }

    pub(crate) fn may_tell(&self, from: u8, to: u8) -> bool {
        self.leads(to)
            && !self.see(from).is_paused
            && self.wants_word(from, to)
            && !self.mail.iter().any(|mail| matches!(mail, Mail::Word { from: told, .. } if *told == from))
            && self.word_of(from, to).is_some()
    }

    fn wants_word(&self, from: u8, to: u8) -> bool {
        let wanted = self.see(to).leader.wants_words();
        wanted.contains(&u16::from(from)) && (wanted.len() == 2 || self.detail.words == Words::Travelling)
    }

    fn may_grant(&self, from: u8, to: u8) -> bool {
        let (voter, candidate) = (self.see(from), self.see(to));
        let Role::Candidate(granted) = candidate.role else { return false };
        let is_free = voter.term < candidate.term || (voter.term == candidate.term && voter.vote.is_none());
        !voter.is_paused && granted & (1 << from) == 0 && is_free && candidate.log.rank() >= voter.log.rank()
    }

    fn may_elect(&self, node: u8, voter: u8) -> bool {
        let (candidate, of) = (self.see(node), self.see(voter));
        !of.is_paused && candidate.term + 1 > of.term && candidate.log.rank() >= of.log.rank()
    }

    /// Has something happen. Returns whether it could.
    pub(crate) fn perform(&mut self, action: Action) -> bool {
        if !self.actions().contains(&action) {
            return false;
        }
        self.happen(action);
        true
    }

    /// Has something happen that may.
    pub(crate) fn happen(&mut self, action: Action) {
        match action {
            Action::Step => {
                self.budget.steps -= 1;
                self.pass(STEP);
            }
            Action::Append { from, to } => {
                let log = self.send(from);
                self.post_append(from, to, log);
            }
            Action::Heartbeat { from, to } => {
                self.send(from);
                self.post_append(from, to, Log::default());
            }
            Action::Deliver { mail, keep } => {
                let mail =
                    if keep { self.mail[usize::from(mail)] } else { self.mail.remove(usize::from(mail)) };
                self.budget.doubles -= u8::from(keep);
                self.deliver(mail);
            }
            Action::Beat { from, to } => {
                self.budget.beats -= 1;
                self.send_beat(from, to);
            }
            Action::Tell { from, to } => self.tell(from, to),
            Action::AskUp { from, to } => {
                self.budget.ups -= 1;
                let nonce = self.see(from).lease.asks().expect("it may ask") as u8;
                self.propose(to, Act::Up { node: from, nonce });
            }
            Action::Campaign { node } => self.campaign(node),
            Action::Grant { from, to } => self.grant(from, to),
            Action::Win { node } => self.win(node),
            Action::Elect { node, voter } => {
                self.campaign(node);
                self.grant(voter, node);
                self.win(node);
            }
            Action::Crash { node } => {
                self.budget.crashes -= 1;
                let at = self.clock(node);
                self.node(node).start(node, at);
                self.mail.retain(|mail| mail.to() != node);
            }
            Action::Pause { node } => {
                self.budget.pauses -= 1;
                self.node(node).is_paused = true;
            }
            Action::Resume { node } => self.node(node).is_paused = false,
        }
        if self.detail.words == Words::AtOnce {
            for (from, to) in PAIRS {
                if self.may_tell(from, to) {
                    self.tell(from, to);
                }
            }
        }
        self.tidy();
    }

    pub(crate) fn tell(&mut self, from: u8, to: u8) {
        let age = self.word_of(from, to).expect("it may tell");
        let mail = Mail::Word { from, to, term: self.see(to).term, age };
        if self.detail.words == Words::Travelling {
            self.mail.push(mail);
        } else {
            self.deliver(mail);
        }
    }

    /// Time passes. Nodes that are not paused notice what is due meanwhile.
    pub(crate) fn pass(&mut self, ms: u32) {
        let began = [0, 1, 2].map(|id| self.clock(id));
        self.now += ms;
        for (id, began) in (0..).zip(began) {
            let end = self.clock(id);
            if self.see(id).is_paused {
                continue;
            }
            while let Some(at) =
                self.see(id).leader.next_tick().map(|due| due.max(began)).filter(|at| *at <= end)
            {
                for condemned in self.node(id).leader.tick(at) {
                    let (node, epoch) = (condemned.node as u8, condemned.epoch as u8);
                    self.propose(id, Act::Gone { node, epoch });
                }
            }
            let turn = self.node(id).lease.tick(end);
            self.turn(id, turn);
        }
    }

    /// A leader adds an entry to its log, unless it waits there already.
    fn propose(&mut self, leader: u8, act: Act) {
        let of = self.node(leader);
        let entry = Entry { term: of.term, act };
        let waits = of.log.entries()[usize::from(of.applied)..].contains(&entry);
        if !waits && of.log.has_room() {
            of.log.push(entry);
        }
    }

    /// Something is sent by a leader, strictly after whatever came before. Returns what its log is by then.
    fn send(&mut self, from: u8) -> Log {
        self.budget.appends -= 1;
        self.pass(INSTANT);
        self.see(from).log
    }

    fn campaign(&mut self, node: u8) {
        self.budget.elections -= 1;
        let of = self.node(node);
        of.term += 1;
        of.vote = Some(node);
        of.role = Role::Candidate(1 << node);
    }

    fn win(&mut self, node: u8) {
        self.take_office(node);
        self.propose(node, Act::First);
    }

    fn grant(&mut self, from: u8, to: u8) {
        let term = self.see(to).term;
        self.see_term(from, term);
        self.node(from).vote = Some(to);
        if let Role::Candidate(votes) = &mut self.node(to).role {
            *votes |= 1 << from;
        }
    }
}
