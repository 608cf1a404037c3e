//! The queue before the disk. One writer takes all that waits, and makes it durable in one step: while it syncs, the
//! next step gathers.
//!
//! The first error is the last thing that the disk is asked for. Everything that waits, and everything that comes
//! later, gets that error.

use crate::latest::{Latest, LatestReceiver};
use crate::store::log::{Change, Log};
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// What happened to the disk. Nothing is tried again in this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk of the cluster's state failed: {reason}")]
pub struct DiskError {
    /// The kind of the error.
    pub kind: io::ErrorKind,
    /// Its message.
    pub reason: String,
}

impl From<&io::Error> for DiskError {
    fn from(error: &io::Error) -> Self {
        Self { kind: error.kind(), reason: error.to_string() }
    }
}

impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> Self {
        Self::new(error.kind, error.to_string())
    }
}

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// A thread. What waits while it syncs is written in one step.
    Thread,
    /// Whoever hands a change in, before the call returns. For simulations, which have one thread.
    Inline,
}

/// Is called when changes are durable, or will never be.
pub(crate) type Done = Box<dyn FnOnce(Result<(), DiskError>) + Send>;

struct Job {
    changes: Vec<Change>,
    done: Done,
}

/// The queue.
pub(crate) struct DiskQueue {
    log: Arc<dyn Log>,
    failure: Latest<Option<DiskError>>,
    /// `None` if changes are written inline.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl DiskQueue {
    pub(crate) fn new(log: Arc<dyn Log>, writing: Writing) -> io::Result<Self> {
        let failure = Latest::new(None);
        let (jobs, writer) = match writing {
            Writing::Inline => (None, None),
            Writing::Thread => {
                let (sender, receiver) = mpsc::channel();
                let (log, failure) = (Arc::clone(&log), failure.clone());
                let writer = std::thread::Builder::new()
                    .name("cluster-disk".to_owned())
                    .spawn(move || write_all(&*log, &receiver, &failure))?;
                (Some(sender), Some(writer))
            }
        };
        Ok(Self { log, failure, jobs, writer })
    }

    /// Hands changes in. They are made in the order of the calls.
    pub(crate) fn put(&self, changes: Vec<Change>, done: Done) {
        let job = Job { changes, done };
        match &self.jobs {
            None => write(&*self.log, vec![job], &self.failure),
            Some(jobs) => {
                // The writer is gone only if it panicked.
                if let Err(mpsc::SendError(job)) = jobs.send(job) {
                    let reason = "the writer of the log ended".to_owned();
                    fail(vec![job.done], &self.failure, &DiskError { kind: io::ErrorKind::Other, reason });
                }
            }
        }
    }

    /// Whether changes are made before the call returns.
    pub(crate) fn is_inline(&self) -> bool {
        self.jobs.is_none()
    }

    /// Says that the disk failed elsewhere.
    pub(crate) fn fail(&self, error: &DiskError) {
        fail(Vec::new(), &self.failure, error);
    }

    /// The first error of the disk, once there is one.
    pub(crate) fn failure(&self) -> LatestReceiver<Option<DiskError>> {
        self.failure.subscribe()
    }
}

impl Drop for DiskQueue {
    /// Waits until all that was handed in is written.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != std::thread::current().id()
        {
            // A panic of the writer has been told of by then.
            let _ = writer.join();
        }
    }
}

fn write_all(log: &dyn Log, jobs: &mpsc::Receiver<Job>, failure: &Latest<Option<DiskError>>) {
    while let Ok(first) = jobs.recv() {
        let mut step = vec![first];
        step.extend(jobs.try_iter());
        write(log, step, failure);
    }
}

fn write(log: &dyn Log, step: Vec<Job>, failure: &Latest<Option<DiskError>>) {
    let mut changes = Vec::new();
    let mut done = Vec::new();
    for job in step {
        changes.extend(job.changes);
        done.push(job.done);
    }
    let failed = failure.borrow().clone();
    if let Some(error) = failed {
        return fail(done, failure, &error);
    }
    match log.change(&changes) {
        Ok(()) => done.into_iter().for_each(|done| done(Ok(()))),
        Err(error) => fail(done, failure, &DiskError::from(&error)),
    }
}

fn fail(done: Vec<Done>, failure: &Latest<Option<DiskError>>, error: &DiskError) {
    failure.send_if_modified(|failure| {
        let is_first = failure.is_none();
        if is_first {
            *failure = Some(error.clone());
        }
        is_first
    });
    for done in done {
        done(Err(error.clone()));
    }
}
