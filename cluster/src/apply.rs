//! What committed entries do here: the Roll judges their acts, and what counts goes to the machine. How far that went
//! is told to the rest of the node.

use crate::door::NodeInput;
use crate::latest::{Latest, LatestReceiver};
use crate::raft::Committed;
use crate::served::Served;
use elockd_core::replica::{Act, LogEntry, Replica, Roll, Ruling, UnknownLevel, digest};
use elockd_core::{Config, Input, Now, RestoreError};
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
    /// From here on replicas work by a level that this release does not know. Nothing more is applied.
    pub(crate) unknown_level: Option<UnknownLevel>,
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
            unknown_level: None,
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

/// Applies entries to the Roll and to the served machine. Behind a level that this release does not know it applies
/// nothing more: the rest of the node finds that in [`Applied::unknown_level`], and must not go on.
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
        if self.progress.with(|applied| applied.unknown_level.is_some()) {
            return;
        }
        // Every node would read the same: there is no way on from here but `recover`.
        let entry =
            LogEntry::decode(entry).unwrap_or_else(|error| panic!("entry {index} cannot be read: {error}"));
        let mut inputs: Vec<NodeInput> = Vec::new();
        let (mut settings, mut is_check, mut unknown_level) = (None, false, None);
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
                    Ruling::Level(level) => {
                        unknown_level = UnknownLevel::check(level).err();
                        false
                    }
                    Ruling::Skip | Ruling::Up { .. } | Ruling::Joined(_) => false,
                };
                if let Act::Batch { inputs: batch, .. } = act
                    && is_batch
                {
                    inputs.extend(batch);
                }
                if unknown_level.is_some() {
                    break;
                }
            }
            applied.unknown_level = unknown_level;
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
        let (roll, unknown_level) =
            self.progress.with(|applied| (applied.roll.clone(), applied.unknown_level));
        assert_eq!(unknown_level, None, "entries behind this level would be missing in a snapshot");
        let machine = self.served.copy();
        Box::new(move || Replica { roll, machine }.snapshot())
    }

    fn install(&mut self, index: u64, state: &[u8]) -> io::Result<()> {
        let Config { storage, identity, .. } = self.config.clone();
        let replica = match Replica::restore(storage, identity, state) {
            Ok(replica) => replica,
            Err(RestoreError::Level(level)) => {
                // The snapshot is whole, and stays for a release that knows the level.
                self.progress.change(|applied| applied.unknown_level = Some(level));
                self.progress.index.send_replace(index);
                return Ok(());
            }
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::replica::LEVEL;
    use elockd_core::{Conn, Machine, Settings};

    /// A machine that nobody is served from.
    struct Kept(Mutex<Machine>);

    impl Served for Kept {
        fn apply(&self, stamp: Now, inputs: &[NodeInput]) {
            let mut machine = self.0.lock().unwrap();
            for input in inputs {
                machine.apply(stamp, input.as_ref(), &mut |_, _| {});
            }
        }

        fn configure(&self, settings: &Settings) {
            self.0.lock().unwrap().configure(settings);
        }

        fn deadline(&self) -> Option<Now> {
            None
        }

        fn copy(&self) -> Machine {
            self.0.lock().unwrap().clone()
        }

        fn install(&self, machine: Machine) {
            *self.0.lock().unwrap() = machine;
        }

        fn look(&self, look: &mut dyn FnMut(&Machine)) {
            look(&self.0.lock().unwrap());
        }
    }

    fn applier() -> (Applier<Kept>, Arc<Progress>) {
        let config = Config::smallest_storage();
        let served = Arc::new(Kept(Mutex::new(Machine::new(config.clone()))));
        let progress = Progress::new();
        (Applier::new(served, Arc::clone(&progress), config), progress)
    }

    fn entry(acts: Vec<Act>) -> Vec<u8> {
        LogEntry { stamp: Now(5), acts }.encode()
    }

    fn set() -> Act {
        let Config { limits, features, secret, accounts, .. } = Config::smallest_storage();
        Act::Set(Box::new(Settings { limits, features, secret, accounts }))
    }

    fn opened(number: u64) -> Act {
        use elockd_core::{Account, Addr, Origin};
        let origin = Origin { addr: Addr::Unix(number), account: Account::default() };
        let inputs = vec![Input::Opened(Conn::new(1, number), origin)];
        Act::Batch { node: 1, epoch: 1, number, inputs }
    }

    const UP: Act = Act::Up { node: 1, nonce: 1, levels: (LEVEL, LEVEL + 1) };

    fn connections(applier: &Applier<Kept>) -> u64 {
        applier.served.copy().connections_of(1)
    }

    /// Goal: behind a level that this release does not know nothing is applied, whatever it looks like. Method: a log
    /// that goes on in the same entry, in a later one, and with bytes that only a later release could read.
    #[test]
    fn nothing_is_applied_behind_an_unknown_level() {
        let (mut applier, progress) = applier();
        applier.apply(1, &entry(vec![set(), UP, opened(1)]));
        assert_eq!((connections(&applier), progress.with(|applied| applied.unknown_level)), (1, None));
        applier.apply(2, &entry(vec![opened(2), Act::Level(LEVEL + 1), opened(3)]));
        applier.apply(3, &entry(vec![opened(3)]));
        applier.apply(4, b"of a later release");
        assert_eq!(connections(&applier), 2);
        assert_eq!(progress.with(|applied| applied.unknown_level), Some(UnknownLevel(LEVEL + 1)));
    }

    /// Goal: the same for a snapshot. Method: one that replaces a state.
    #[test]
    fn a_snapshot_of_an_unknown_level_replaces_nothing() {
        let (mut applier, progress) = applier();
        applier.apply(1, &entry(vec![set(), UP, opened(1)]));
        let mut later = Replica::new(Config::smallest_storage());
        let acts = vec![set(), UP, Act::Level(LEVEL + 1)];
        later.apply(&LogEntry { stamp: Now(5), acts }, &mut |_, _| {});
        applier.install(9, &later.snapshot()).expect("it is no failure of the disk");
        assert_eq!(connections(&applier), 1);
        assert_eq!(progress.with(|applied| applied.unknown_level), Some(UnknownLevel(LEVEL + 1)));
    }

    /// Goal: no snapshot is written of a state in which entries are missing.
    #[test]
    #[should_panic(expected = "entries behind this level would be missing")]
    fn no_snapshot_is_written_behind_an_unknown_level() {
        let (mut applier, _progress) = applier();
        applier.apply(1, &entry(vec![set(), UP, Act::Level(LEVEL + 1)]));
        let _ = applier.copy();
    }
}
