//! What replicas applied. Each node's machine is watched: every entry that any replica applies is compared with what
//! the others applied at the same index, in this and in earlier processes, and so is what its machine comes to.

use elockd_cluster::{NodeInput, Served};
use elockd_core::replica::{Roll, digest};
use elockd_core::{Addr, Command, Conn, Input, Machine, Now, Settings};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An entry that was applied.
#[derive(Debug)]
pub(super) struct AppliedEntry {
    pub(super) stamp: Now,
    pub(super) inputs: Vec<NodeInput>,
    /// When the first replica applied it.
    pub(super) ms: u32,
    /// What the first replica's machine came to with it.
    digest: Option<u64>,
}

/// A connection, as the log has it.
#[derive(Debug, Default)]
pub(super) struct LoggedConn {
    pub(super) commands: Vec<Command<Vec<u8>>>,
    /// When the first replica applied its beginning.
    pub(super) opened_ms: u32,
    /// When the first replica applied its end.
    pub(super) ended_ms: Option<u32>,
}

/// All that replicas applied.
#[derive(Debug, Default)]
pub(super) struct ReplicaLedger {
    pub(super) entries: BTreeMap<u64, AppliedEntry>,
    /// By node and peer.
    pub(super) conns: BTreeMap<(u16, SocketAddr), LoggedConn>,
    open: BTreeMap<Conn, SocketAddr>,
    /// When the first replica applied the end of each node's epoch.
    pub(super) gone: Vec<(u16, u32)>,
    pub(super) installs: u64,
    pub(super) copies: u64,
    /// How often a replica applied what another had applied before.
    pub(super) compared: u64,
    /// How often a machine was compared with what another had come to by the same entry.
    pub(super) digests: u64,
    pub(super) wrong: Option<String>,
}

/// What replicas applied, for all threads that apply.
#[derive(Debug, Default)]
pub(super) struct Replicas(Mutex<ReplicaLedger>);

impl Replicas {
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut ReplicaLedger) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ReplicaLedger {
    /// Everything in words, a line for each entry.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|(index, entry)| {
            let AppliedEntry { stamp, inputs, ms, .. } = entry;
            format!("{ms:>6} ms entry {index} at {} ms: {inputs:?}", stamp.0)
        })
    }

    fn blame(&mut self, what: impl FnOnce() -> String) {
        self.wrong.get_or_insert_with(what);
    }

    /// A replica, which was at `before`, applies an entry.
    fn applied(&mut self, node: u16, before: u64, index: u64, (stamp, inputs): (Now, &[NodeInput])) {
        let ms = now_ms();
        if index <= before {
            self.blame(|| format!("node {node} applied entry {index} after entry {before}"));
        }
        let skipped = self.entries.range(before.saturating_add(1)..index.max(before + 1)).next();
        if let Some(skipped) = skipped.map(|(skipped, _)| *skipped) {
            self.blame(|| {
                format!("node {node} applied entry {index}, and before it not {skipped}, but {before}")
            });
        }
        if let Some(known) = self.entries.get(&index) {
            self.compared += 1;
            if known.stamp != stamp || known.inputs != inputs {
                let what = format!(
                    "node {node} applied other inputs at entry {index} than were applied before: {:?} {:?}, and \
                     {stamp:?} {inputs:?}",
                    known.stamp, known.inputs
                );
                self.blame(|| what);
            }
            return;
        }
        if let Some((last, entry)) = self.entries.last_key_value() {
            let (last, last_stamp) = (*last, entry.stamp);
            if last > index {
                self.blame(|| {
                    format!("node {node} applied entry {index}, which was missing before entry {last}")
                });
            }
            if last_stamp > stamp {
                self.blame(|| {
                    format!("cluster time went back from {last_stamp:?} to {stamp:?} at entry {index}")
                });
            }
        }
        self.note(ms, inputs);
        self.entries.insert(index, AppliedEntry { stamp, inputs: inputs.to_vec(), ms, digest: None });
    }

    /// A replica has applied an entry, and this is what its machine came to.
    fn came_to(&mut self, node: u16, index: u64, digest: u64) {
        let Some(entry) = self.entries.get_mut(&index) else { return };
        let Some(first) = entry.digest else {
            entry.digest = Some(digest);
            return;
        };
        self.digests += 1;
        if first != digest {
            self.blame(|| format!("node {node}'s machine is not like the first one's after entry {index}"));
        }
    }

    fn note(&mut self, ms: u32, inputs: &[NodeInput]) {
        for input in inputs {
            match input {
                Input::Opened(conn, origin) => {
                    let Addr::Ip(address) = origin.addr else { continue };
                    self.open.insert(*conn, address);
                    self.conns.insert(
                        (conn.node(), address),
                        LoggedConn { opened_ms: ms, ..LoggedConn::default() },
                    );
                }
                Input::Command(conn, command) => {
                    if let Some(logged) = self.logged(*conn) {
                        logged.commands.push(command.clone());
                    }
                }
                Input::Closed(conn, _) => {
                    if let Some(logged) = self.logged(*conn) {
                        logged.ended_ms.get_or_insert(ms);
                    }
                }
                Input::Gone(node) => {
                    self.gone.push((*node, ms));
                    for ((of, _), logged) in &mut self.conns {
                        if of == node {
                            logged.ended_ms.get_or_insert(ms);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn logged(&mut self, conn: Conn) -> Option<&mut LoggedConn> {
        let address = self.open.get(&conn)?;
        self.conns.get_mut(&(conn.node(), *address))
    }
}

/// A node's machine, which is watched.
pub(super) struct WatchedReplica<S> {
    inner: Arc<S>,
    node: u16,
    replicas: Arc<Replicas>,
    /// The entry that was applied last, and the one that is about to be.
    last: AtomicU64,
    next: AtomicU64,
}

impl<S: Served> WatchedReplica<S> {
    pub(super) fn new(inner: Arc<S>, node: u16, replicas: &Arc<Replicas>) -> Self {
        let (last, next) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { inner, node, replicas: Arc::clone(replicas), last, next }
    }
}

impl<S: Served> Served for WatchedReplica<S> {
    fn at(&self, index: u64) {
        self.next.store(index, Ordering::SeqCst);
    }

    fn apply(&self, stamp: Now, inputs: &[NodeInput]) {
        let next = self.next.load(Ordering::SeqCst);
        let before = self.last.swap(next, Ordering::SeqCst);
        self.replicas.with(|ledger| ledger.applied(self.node, before, next, (stamp, inputs)));
        self.inner.apply(stamp, inputs);
        let mut came_to = 0;
        // Of the machine alone: a Roll is the same wherever the same entries were judged.
        self.inner.look(&mut |machine| came_to = digest(&Roll::new(), machine));
        self.replicas.with(|ledger| ledger.came_to(self.node, next, came_to));
    }

    fn configure(&self, settings: &Settings) {
        self.inner.configure(settings);
    }

    fn deadline(&self) -> Option<Now> {
        self.inner.deadline()
    }

    fn copy(&self) -> Machine {
        self.replicas.with(|ledger| ledger.copies += 1);
        self.inner.copy()
    }

    fn install(&self, machine: Machine) {
        self.last.store(self.next.load(Ordering::SeqCst), Ordering::SeqCst);
        self.replicas.with(|ledger| ledger.installs += 1);
        self.inner.install(machine);
    }

    fn look(&self, look: &mut dyn FnMut(&Machine)) {
        self.inner.look(look);
    }
}

fn now_ms() -> u32 {
    turmoil::sim_elapsed().map_or(0, |now| now.as_millis() as u32)
}
