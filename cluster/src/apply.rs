//! What committed entries do here: the Roll judges their acts, and what counts goes to the machine. How far that went
//! is told to the rest of the node.

use crate::door::NodeInput;
use crate::latest::{Latest, LatestReceiver};
use crate::raft::Committed;
use crate::served::Served;
use elockd_core::replica::{Act, LogEntry, Replica, Roll, Ruling, digest};
use elockd_core::{Config, Input, Now};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// How far entries were applied, for the rest of the node.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Mutex<Applied>,
    index: Latest<u64>,
}

/// What was applied.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// The last entry. Entries of the engine's own count too, once one of ours is behind them.
    pub(crate) index: u64,
    /// The highest stamp.
    pub(crate) stamp: Now,
    /// The Roll after it.
    pub(crate) roll: Roll,
    /// How often a snapshot took the place of the state.
    pub(crate) installs: u64,
    /// What the replica came to at the last check: the entry and the digest.
    pub(crate) digest: Option<(u64, u64)>,
    /// Entries of the last while with their stamps, about one for each second. The oldest first.
    stamps: VecDeque<(u64, Now)>,
}

impl Progress {
    /// Nothing yet.
    pub(crate) fn new() -> Arc<Self> {
        let state = Applied {
            index: 0,
            stamp: Now::default(),
            roll: Roll::new(),
            installs: 0,
            digest: None,
            stamps: VecDeque::new(),
        };
        Arc::new(Self { state: Mutex::new(state), index: Latest::new(0) })
    }

    /// Looks at what was applied.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&Applied) -> R) -> R {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last entry whose stamp is at least so many milliseconds before the last one's. 0 if none is known.
    pub(crate) fn old_enough(&self, ms: u64) -> u64 {
        self.change(|applied| {
            let Applied { stamp, stamps, .. } = applied;
            let is_old = |(_, of): &(u64, Now)| of.0 + ms <= stamp.0;
            // One that is old enough stays, so that it is known.
            while stamps.get(1).is_some_and(is_old) {
                stamps.pop_front();
            }
            stamps.front().filter(|first| is_old(first)).map_or(0, |(index, _)| *index)
        })
    }

    /// Told of each step.
    pub(crate) fn watch(&self) -> LatestReceiver<u64> {
        self.index.subscribe()
    }

    fn change<R>(&self, change: impl FnOnce(&mut Applied) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Applies entries to the Roll and to the served machine.
pub(crate) struct Applier<S> {
    served: Arc<S>,
    progress: Arc<Progress>,
    /// What a restored machine is made with, but for what the cluster decides.
    config: Config,
}

impl<S: Served> Applier<S> {
    /// For a node that has applied nothing.
    pub(crate) fn new(served: Arc<S>, progress: Arc<Progress>, config: Config) -> Self {
        Self { served, progress, config }
    }
}

impl<S: Served> Committed for Applier<S> {
    fn apply(&mut self, index: u64, entry: &[u8]) {
        // Every node would read the same: there is no way on from here but `recover`.
        let entry =
            LogEntry::decode(entry).unwrap_or_else(|error| panic!("entry {index} cannot be read: {error}"));
        let mut inputs: Vec<NodeInput> = Vec::new();
        let (mut settings, mut is_check) = (None, false);
        self.progress.change(|applied| {
            for act in entry.acts {
                let is_batch = match applied.roll.judge(&act) {
                    Ruling::Inputs { .. } => true,
                    Ruling::Gone(node) => {
                        inputs.push(Input::Gone(node));
                        false
                    }
                    Ruling::Tick => {
                        inputs.push(Input::Tick);
                        false
                    }
                    Ruling::Tokens { first, last } => {
                        inputs.push(Input::Tokens { first, last });
                        false
                    }
                    Ruling::Set(set) => {
                        settings = Some(set.clone());
                        false
                    }
                    Ruling::Check => {
                        is_check = true;
                        false
                    }
                    Ruling::Skip | Ruling::Up { .. } | Ruling::Joined(_) | Ruling::Level(_) => false,
                };
                if let Act::Batch { inputs: batch, .. } = act
                    && is_batch
                {
                    inputs.extend(batch);
                }
            }
        });
        self.served.at(index);
        if let Some(settings) = settings {
            self.served.configure(&settings);
        }
        if !inputs.is_empty() {
            self.served.apply(entry.stamp, &inputs);
        }
        let mut found = None;
        if is_check {
            let roll = self.progress.with(|applied| applied.roll.clone());
            self.served.look(&mut |machine| found = Some((index, digest(&roll, machine))));
        }
        self.progress.change(|applied| {
            applied.index = index;
            applied.stamp = applied.stamp.max(entry.stamp);
            applied.digest = found.or(applied.digest);
            if applied.stamps.back().is_none_or(|(_, last)| last.0 + 1000 <= entry.stamp.0) {
                applied.stamps.push_back((index, entry.stamp));
            }
        });
        self.progress.index.send_replace(index);
    }

    fn copy(&self) -> Box<dyn FnOnce() -> Vec<u8> + Send> {
        let roll = self.progress.with(|applied| applied.roll.clone());
        let machine = self.served.copy();
        Box::new(move || Replica { roll, machine }.snapshot())
    }

    fn install(&mut self, index: u64, state: &[u8]) -> io::Result<()> {
        let Config { storage, identity, .. } = self.config.clone();
        let replica = Replica::restore(storage, identity, state)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let stamp = replica.machine.now();
        self.progress.change(|applied| {
            applied.installs += 1;
            applied.digest = None;
            applied.index = index;
            applied.stamp = stamp;
            applied.roll = replica.roll;
            applied.stamps.clear();
        });
        self.served.at(index);
        self.served.install(replica.machine);
        self.progress.index.send_replace(index);
        Ok(())
    }
}
