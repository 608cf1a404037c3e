//! Goal: log and state are what the engine expects. Method: the engine's own suite of tests, over the log on a disk and
//! in memory, written by a thread and inline.

use crate::raft::Committed;
use crate::raft::log::EngineLog;
use crate::raft::machine::{Files, Machine};
use crate::raft::types::Types;
use crate::raft::{Pace, Seeded, Threads};
use crate::store::{DiskLog, Folder, Store, Writing};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use tempfile::TempDir;

/// A state that nothing is left of.
struct Nothing;

impl Committed for Nothing {
    fn apply(&mut self, _index: u64, _entry: &[u8]) {}

    fn copy(&self) -> Box<dyn FnOnce() -> Vec<u8> + Send> {
        Box::new(Vec::new)
    }

    fn install(&mut self, _index: u64, state: &[u8]) -> io::Result<()> {
        assert!(state.is_empty());
        Ok(())
    }
}

struct Builder<P>(Writing, bool, PhantomData<P>);

impl<P: Pace> StoreBuilder<Types<P>, EngineLog, Machine<P>, TempDir> for Builder<P> {
    async fn build(&self) -> Result<(TempDir, EngineLog, Machine<P>), StorageError<Types<P>>> {
        let folder = tempfile::tempdir().unwrap();
        let log = if self.1 {
            let path = folder.path().join("log");
            let file = std::fs::File::options().read(true).write(true).create_new(true).open(path).unwrap();
            DiskLog::open_file(file).unwrap()
        } else {
            DiskLog::in_memory().unwrap()
        };
        let store = Arc::new(Store::open(Arc::new(log), self.0).unwrap());
        let depot = Arc::new(Folder(folder.path().to_owned()));
        let files = Files::open(depot, Arc::clone(&store)).unwrap();
        Ok((folder, EngineLog(store), Machine::new(Box::new(Nothing), files)))
    }
}

#[tokio::test]
async fn the_engines_suite_passes_on_a_disk() {
    Suite::test_all(Builder::<Threads>(Writing::Thread, true, PhantomData)).await.unwrap();
}

#[tokio::test]
async fn the_engines_suite_passes_in_memory() {
    crate::raft::seed(1);
    Suite::test_all(Builder::<Seeded>(Writing::Inline, false, PhantomData)).await.unwrap();
}
