//! The replicated state as the engine uses it: entries are applied in their order, snapshots are written and installed.
//! What takes long is done elsewhere.

use crate::raft::Committed;
use crate::raft::runtime::Pace;
use crate::raft::types::{LogId, StoredNodes, Types, log_id, position, stored_members, stored_nodes};
use crate::store::snapshot::{BUILT, RECEIVED};
use crate::store::{DAMAGED, Shelf, SnapshotFile, SnapshotHeader, Store};
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine, Snapshot, SnapshotMeta};
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{EntryPayload, RaftSnapshotBuilder};
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

type Meta = SnapshotMeta<CommittedLeaderId<u64>, u64, String>;
pub(crate) type EngineSnapshot = Snapshot<CommittedLeaderId<u64>, u64, String, SnapshotData>;

/// A snapshot in the engine's hands.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotData {
    pub(crate) file: SnapshotFile,
    /// Another node sent it, and it is not installed yet.
    pub(crate) is_received: bool,
}

/// The replicated state.
pub(crate) struct Machine<P> {
    /// Taken out while a snapshot is installed. In a mutex only because it cannot be shared without one.
    committed: Mutex<Option<Box<dyn Committed>>>,
    applied: Option<LogId>,
    members: StoredNodes,
    files: Files,
    pace: PhantomData<fn() -> P>,
}

/// Writes one snapshot.
pub(crate) struct SnapshotBuilder<P> {
    encode: Mutex<Option<Encode>>,
    applied: Option<LogId>,
    members: StoredNodes,
    files: Files,
    pace: PhantomData<fn() -> P>,
}

type Encode = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// The present snapshot, and where it is.
#[derive(Clone)]
pub(crate) struct Files {
    shelf: Arc<dyn Shelf>,
    store: Arc<Store>,
    present: Arc<Mutex<Option<SnapshotFile>>>,
}

impl Files {
    pub(crate) fn open(shelf: Arc<dyn Shelf>, store: Arc<Store>) -> io::Result<Self> {
        let present = SnapshotFile::open(&*shelf)?;
        Ok(Self { shelf, store, present: Arc::new(Mutex::new(present)) })
    }

    pub(crate) fn shelf(&self) -> &dyn Shelf {
        &*self.shelf
    }

    pub(crate) fn present(&self) -> Option<SnapshotFile> {
        self.lock().clone()
    }

    /// Puts a snapshot in the place of the present one, unless that is newer. Returns the one that is present then.
    fn keep(&self, file: SnapshotFile, name: &str) -> io::Result<SnapshotFile> {
        let mut present = self.lock();
        if let Some(present) = present.as_ref().filter(|it| it.header().position > file.header().position) {
            return Ok(present.clone());
        }
        file.keep(&*self.shelf, name)?;
        *present = Some(file.clone());
        Ok(file)
    }

    /// An error of a snapshot's file is as final as one of the log.
    pub(crate) fn final_error(&self, error: io::Error) -> io::Error {
        self.store.fail(&error);
        error
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<SnapshotFile>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> Machine<P> {
    pub(crate) fn new(committed: Box<dyn Committed>, files: Files) -> Self {
        Self {
            committed: Mutex::new(Some(committed)),
            applied: None,
            members: StoredNodes::default(),
            files,
            pace: PhantomData,
        }
    }

    fn committed(&mut self) -> &mut Option<Box<dyn Committed>> {
        self.committed.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Pace> RaftStateMachine<Types<P>> for Machine<P> {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder<P>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredNodes)> {
        Ok((self.applied, self.members.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<P>>>> + Unpin + Send,
    {
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(bytes) => {
                    let committed = self.committed().as_mut().expect("it is put back by who takes it");
                    committed.apply(entry.log_id.index, &bytes.0);
                }
                EntryPayload::Membership(nodes) => {
                    self.members = StoredNodes::new(Some(entry.log_id), nodes);
                }
            }
            self.applied = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder<P> {
        let committed = self.committed().as_mut().expect("it is put back by who takes it");
        let encode = committed.copy();
        SnapshotBuilder {
            encode: Mutex::new(Some(encode)),
            applied: self.applied,
            members: self.members.clone(),
            files: self.files.clone(),
            pace: PhantomData,
        }
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: SnapshotData) -> io::Result<()> {
        let mut committed = self.committed().take().expect("it is put back by who takes it");
        let index = meta.last_log_id.map_or(0, |last| last.index);
        let files = self.files.clone();
        let (committed, installed) = P::elsewhere(move || {
            let installed = install(&mut *committed, index, snapshot, &files);
            (committed, installed.map_err(|error| files.final_error(error)))
        })
        .await;
        *self.committed() = Some(committed);
        installed?;
        self.applied = meta.last_log_id;
        self.members = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<EngineSnapshot>> {
        self.files.present().map(snapshot).transpose().map_err(|error| self.files.final_error(error))
    }
}

/// Restores the state, and makes the snapshot the present one if it is not.
fn install(
    committed: &mut dyn Committed,
    index: u64,
    snapshot: SnapshotData,
    files: &Files,
) -> io::Result<()> {
    let SnapshotData { file, is_received } = snapshot;
    let state = file.state()?;
    committed.install(index, &state)?;
    if is_received {
        files.keep(file, RECEIVED)?;
    } else if files.present().is_none_or(|present| present.header() != file.header()) {
        // It is another node's.
        let SnapshotHeader { position, members, .. } = file.header().clone();
        files.keep(SnapshotFile::build(files.shelf(), position, members, &state)?, BUILT)?;
    }
    Ok(())
}

impl<P: Pace> RaftSnapshotBuilder<Types<P>> for SnapshotBuilder<P> {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<EngineSnapshot> {
        let encode = self.encode.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let encode = encode.ok_or_else(|| io::Error::other("a builder writes one snapshot"))?;
        let (applied, members) = (self.applied.map(position), stored_members(&self.members));
        let files = self.files.clone();
        P::elsewhere(move || {
            let state = encode();
            SnapshotFile::build(files.shelf(), applied, members, &state)
                .and_then(|file| files.keep(file, BUILT))
                .and_then(snapshot)
                .map_err(|error| files.final_error(error))
        })
        .await
    }
}

/// A snapshot as the engine has it.
pub(crate) fn snapshot(file: SnapshotFile) -> io::Result<EngineSnapshot> {
    let meta = meta(file.header())?;
    Ok(Snapshot { meta, snapshot: SnapshotData { file, is_received: false } })
}

/// What a snapshot holds, as the engine says it.
pub(crate) fn meta(header: &SnapshotHeader) -> io::Result<Meta> {
    // Before the first members, there are none to be valid.
    let members = match &header.members {
        none if none.position.is_none() => Some(StoredNodes::default()),
        some => stored_nodes(some.clone()),
    };
    let damaged =
        || io::Error::new(io::ErrorKind::InvalidData, format!("a snapshot names no members; {DAMAGED}"));
    Ok(Meta { last_log_id: header.position.map(log_id), last_membership: members.ok_or_else(damaged)? })
}
