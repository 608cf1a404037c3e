//! Messages on their way, and what comes of them when they arrive.

use crate::log::Log;
use crate::world::{Role, World};
use elockd_cluster::Moment;
use elockd_cluster::lease::Answered;

/// A message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mail {
    /// An append, which is a heartbeat, too.
    Append { from: u8, to: u8, term: u8, sent: u64, commit: u8, log: Log },
    /// Its acknowledgement, up to a length of the log.
    Acked { from: u8, to: u8, term: u8, sent: u64, len: u8 },
    /// A beat for a leader.
    Beat { from: u8, to: u8, epoch: u8, number: u8 },
    /// The answer to it.
    Answer { to: u8, epoch: u8, number: u8, commit: u8 },
    /// A last word for the leader of a term.
    Word { from: u8, to: u8, term: u8, age: u64 },
}

impl Mail {
    pub(crate) fn to(self) -> u8 {
        match self {
            Self::Append { to, .. }
            | Self::Acked { to, .. }
            | Self::Beat { to, .. }
            | Self::Answer { to, .. }
            | Self::Word { to, .. } => to,
        }
    }
}

impl World {
    pub(crate) fn post_append(&mut self, from: u8, to: u8, log: Log) {
        let sent = self.clock(from).0;
        let of = self.see(from);
        self.mail.push(Mail::Append { from, to, term: of.term, sent, commit: of.applied, log });
    }

    pub(crate) fn send_beat(&mut self, from: u8, to: u8) {
        let at = self.clock(from);
        if let Some(beat) = self.node(from).lease.beat(at) {
            let (epoch, number) = (beat.epoch as u8, beat.number as u8);
            self.mail.push(Mail::Beat { from, to, epoch, number });
        }
    }

    pub(crate) fn send_answers(&mut self, from: u8, answers: &[Answered]) {
        let commit = self.see(from).applied;
        for answer in answers {
            let waiting = &mut self.node(from).waiting;
            *waiting = waiting.saturating_sub(1);
            let (to, epoch, number) = (answer.node as u8, answer.epoch as u8, answer.number as u8);
            self.mail.push(Mail::Answer { to, epoch, number, commit });
        }
    }

    pub(crate) fn deliver(&mut self, mail: Mail) {
        let id = mail.to();
        let at = self.clock(id);
        match mail {
            Mail::Append { from, to, term, sent, commit, log } => {
                // The transport notes it before the engine looks at it.
                self.node(to).word.heard(u64::from(term), at);
                if term < self.see(to).term {
                    return;
                }
                self.see_term(to, term);
                let node = self.node(to);
                node.role = Role::Follower;
                node.log.follow(&log);
                // What it has beyond the leader's log need not be what is committed.
                self.apply(to, commit.min(log.len()));
                self.mail.push(Mail::Acked { from: to, to: from, term, sent, len: log.len() });
            }
            Mail::Acked { from, to, term, sent, len } => self.acked(from, to, term, sent, len),
            Mail::Beat { from, to, epoch, number } => {
                let (epoch, number) = (u64::from(epoch), u64::from(number));
                self.node(to).waiting += u8::from(self.see(to).is_leader());
                let answers = self.node(to).leader.beat(u16::from(from), epoch, number, at);
                self.send_answers(to, &answers);
            }
            Mail::Answer { to, epoch, number, commit } => {
                let (epoch, number) = (u64::from(epoch), u64::from(number));
                let turn = self.node(to).lease.answered(epoch, number, u64::from(commit), at);
                self.turn(to, turn);
            }
            Mail::Word { from, to, term, age } => {
                self.node(to).leader.word(u64::from(term), u16::from(from), age, at);
            }
        }
    }

    /// A quorum is the leader and one other.
    fn acked(&mut self, from: u8, to: u8, term: u8, sent: u64, len: u8) {
        let node = self.node(to);
        let Role::Leader(lens) = &mut node.role else { return };
        if node.term != term {
            return;
        }
        let of = &mut lens[usize::from(from)];
        *of = len.max(*of);
        let most = lens.iter().max().map_or(0, |len| *len);
        // What an earlier leader left is committed along with the first entry of this one.
        let is_own = most > 0 && node.log.get(most - 1).term == term;
        let answers = node.leader.quorum_acked(u64::from(term), Moment(sent));
        self.send_answers(to, &answers);
        if is_own {
            self.apply(to, most);
        }
    }

    /// Drops mail that nobody waits for, and sorts the rest.
    pub(crate) fn tidy(&mut self) {
        let (nodes, lean) = (&self.nodes, self.detail.lean);
        self.mail.retain(|mail| match *mail {
            Mail::Append { to, term, .. } => nodes[usize::from(to)].term <= term,
            Mail::Acked { from, to, term, len, .. } => {
                let node = &nodes[usize::from(to)];
                let Role::Leader(lens) = node.role else { return false };
                node.term == term && (!lean || node.waiting > 0 || len > lens[usize::from(from)])
            }
            Mail::Word { to, term, .. } => {
                let node = &nodes[usize::from(to)];
                node.is_leader() && node.term == term
            }
            Mail::Beat { from, .. } => nodes[usize::from(from)].lease.next_beat().is_some(),
            Mail::Answer { to, .. } => nodes[usize::from(to)].lease.next_beat().is_some(),
        });
        self.mail.sort_unstable();
    }
}
