//! The server's witness: it sees every input of the machine within the hub's lock, writes it into the log, and checks
//! the invariants at once.

use crate::invariants::{self, Given, Outcome, State};
use crate::log::{Applied, Event, Life, Log, Told};
use crate::observed::Observed;
use elockd_core::wire::encode;
use elockd_core::{Accounts, Command, Conn, Input, Kind, Limits, Machine, Now, Output, Reply, Seq};
use elockd_server::hub;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is left in the machine, for code that waits until nothing is.
#[derive(Debug)]
pub struct Left {
    /// Open connections.
    pub connections: AtomicU64,
    /// Sessions: what ended connections left.
    pub sessions: AtomicU64,
    /// Exclusive holds.
    pub exclusive: AtomicU64,
    /// Shared holds.
    pub shared: AtomicU64,
    /// When the machine wants its next tick, in milliseconds of its own time.
    pub due_ms: AtomicU64,
}

impl Default for Left {
    fn default() -> Self {
        Self {
            connections: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            exclusive: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            due_ms: AtomicU64::new(u64::MAX),
        }
    }
}

/// One witness for each life of the server.
pub struct Witness {
    life: Life,
    log: Log,
    limits: Limits,
    /// Cleared when the server's process is killed: the effects of its destructors are not part of the run.
    is_alive: Arc<AtomicBool>,
    left: Arc<Left>,
    observed: Observed,
    /// When each open connection last sent a command, or opened.
    active: BTreeMap<Conn, Now>,
    now: Now,
    inputs: u64,
    /// The current input and its outcomes so far.
    input: Option<Input<Command<Vec<u8>>>>,
    told: Vec<(Conn, Told)>,
}

impl Witness {
    /// With this many holds, checking everything after each input would take too long.
    const MANY_HOLDS: u64 = 1_000;
    /// Then everything is checked after this many inputs, and after special ones.
    const SOMETIMES: u64 = 1_000;

    /// The same for a line of this many waits, where the cost goes with the square: then everything is checked after
    /// this many inputs.
    const LONG_LINE: usize = 100;
    const NOW_AND_THEN: u64 = 100;

    /// A witness of a machine at its start.
    #[must_use]
    pub fn new(
        life: Life,
        log: Log,
        (limits, accounts): (Limits, Arc<Accounts>),
        is_alive: Arc<AtomicBool>,
        left: Arc<Left>,
    ) -> Self {
        Self {
            life,
            log,
            limits,
            is_alive,
            left,
            observed: Observed::of(accounts),
            active: BTreeMap::new(),
            now: Now::default(),
            inputs: 0,
            input: None,
            told: Vec::new(),
        }
    }

    fn is_alive(&self) -> bool {
        self.is_alive.load(Ordering::Relaxed)
    }

    fn holds(&self) -> u64 {
        Kind::ALL.iter().map(|kind| self.observed.holds(*kind)).sum()
    }

    fn is_time_to_look(&self, input: &Input<Command<Vec<u8>>>) -> bool {
        if self.holds() >= Self::MANY_HOLDS {
            return matches!(input, Input::Closed(..) | Input::Gone(_) | Input::Drain(_))
                || self.told.iter().any(|(_, told)| matches!(told, Told::Disconnect(_)))
                || self.inputs.is_multiple_of(Self::SOMETIMES);
        }
        self.observed.waits().longest() < Self::LONG_LINE
            || matches!(input, Input::Drain(_))
            || self.inputs.is_multiple_of(Self::NOW_AND_THEN)
    }
}

impl hub::Witness for Witness {
    fn input(&mut self, now: Now, input: Input<Command<&[u8]>>) {
        let before = self.now;
        self.now = before.max(now);
        self.observed.input(now, &input);
        match &input {
            Input::Opened(conn, _) => {
                self.active.insert(*conn, self.now);
            }
            Input::Command(conn, _) => {
                if let Some(active) = self.active.get_mut(conn) {
                    *active = self.now;
                }
            }
            Input::Lapse { ms } => {
                let lapsed = (self.now.0 - before.0).min(*ms);
                self.active.values_mut().for_each(|active| active.0 += lapsed);
            }
            Input::Closed(..)
            | Input::Gone(_)
            | Input::Tick
            | Input::Drain(_)
            | Input::Tokens { .. }
            | Input::Accounts(_) => {}
        }
        let input = input.map(|command| command.map(<[u8]>::to_vec));
        if self.is_alive() {
            let given = Given { observed: &self.observed, input: &input };
            for invariant in &invariants::ALL {
                if let Some(look) = invariant.given
                    && let Err(what) = look(&given)
                {
                    self.log.violate(invariant.name, input.conn(), what);
                }
            }
        }
        self.input = Some(input);
    }

    fn output(&mut self, to: Conn, output: &Output<'_>) {
        if !self.is_alive() {
            return;
        }
        self.observed.before(to, output);
        let input = self.input.as_ref().expect("an outcome comes after its input");
        let outcome = Outcome { observed: &self.observed, input, to, output, limits: &self.limits };
        for invariant in &invariants::ALL {
            if let Some(told) = invariant.told
                && let Err(what) = told(&outcome)
            {
                self.log.violate(invariant.name, Some(to), what);
            }
        }
        let has_waited = self.observed.waits().of(to).is_some();
        self.observed.output(to, output);
        match output {
            // A waiting connection is not idle. When its wait ends, it has just been active.
            Output::Wait | Output::Disconnect(_) => {
                self.active.remove(&to);
            }
            Output::Reply(_) if has_waited => {
                self.active.insert(to, self.now);
            }
            Output::Reply(_) => {}
        }
        self.told.push((to, told(output)));
    }

    fn applied(&mut self, seq: Seq, machine: &Machine) {
        if !self.is_alive() {
            return;
        }
        self.inputs += 1;
        self.observed.applied();
        let figures = machine.figures();
        self.left.connections.store(figures.connections().into(), Ordering::Relaxed);
        self.left.sessions.store(self.observed.sessions().len() as u64, Ordering::Relaxed);
        let holds = |kinds: [Kind; 2]| kinds.iter().map(|kind| u64::from(figures.holds(*kind))).sum();
        self.left.exclusive.store(holds([Kind::Exclusive, Kind::Write]), Ordering::Relaxed);
        self.left.shared.store(holds([Kind::Shared, Kind::Read]), Ordering::Relaxed);
        let due_ms = machine.deadline().map_or(u64::MAX, |due| due.0);
        self.left.due_ms.store(due_ms, Ordering::Relaxed);
        let input = self.input.take().expect("an input is applied after it came");
        if let Input::Closed(conn, _) = &input {
            self.active.remove(conn);
        }
        if self.is_time_to_look(&input) {
            let state = State {
                machine,
                observed: &self.observed,
                now: self.now,
                active: &self.active,
                limits: &self.limits,
            };
            for invariant in &invariants::ALL {
                if let Some(look) = invariant.state
                    && let Err(what) = look(&state)
                {
                    let conn = input.conn();
                    self.log.violate(invariant.name, conn, what);
                }
            }
        }
        let (life, now, told) = (self.life, self.now, std::mem::take(&mut self.told));
        self.log.note(Event::Applied(Applied { life, seq, now, input, told }));
    }
}

fn told(output: &Output<'_>) -> Told {
    let mut bytes = Vec::new();
    match output {
        Output::Reply(Reply::Listing(listing)) => Told::Listing(listing.subject, listing.name.to_vec()),
        Output::Reply(reply) => {
            encode(reply, &mut bytes);
            Told::Reply(bytes)
        }
        Output::Wait => Told::Wait,
        Output::Disconnect(reason) => Told::Disconnect(*reason),
    }
}
