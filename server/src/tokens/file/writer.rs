//! The thread that writes records, so that a slow disk holds up nobody. It is made at the start and stays: a pool makes
//! its threads when they are needed, and a system that is short of them would then refuse.

use std::fs::File;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use tokio::sync::oneshot;

/// The thread's other end. The thread ends when this is dropped, after what it is doing.
#[derive(Debug)]
pub(super) struct Writer(mpsc::Sender<Job>);

/// One record to be written.
#[derive(Debug)]
struct Job {
    highest: u64,
    /// The directory stays locked until the record is written, even if nobody waits for it any more: the next daemon
    /// must not read the old one meanwhile.
    lock: Arc<File>,
    done: oneshot::Sender<io::Result<()>>,
}

impl Writer {
    /// Starts the thread. `write` writes the record of a number.
    ///
    /// # Errors
    ///
    /// The system has no thread for it.
    pub(super) fn start(mut write: impl FnMut(u64) -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (jobs, next) = mpsc::channel();
        let work = move || {
            for Job { highest, lock, done } in next {
                let written = write(highest);
                // Before anybody hears of it, so that who drops the directory then has unlocked it.
                drop(lock);
                // If nobody waits any more, the record only skips some tokens.
                let _ = done.send(written);
            }
        };
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot start the thread that writes there: {error}"))
        };
        thread::Builder::new().name("state".to_owned()).spawn(work).map_err(named)?;
        Ok(Self(jobs))
    }

    /// Writes a record.
    ///
    /// # Errors
    ///
    /// It is not certain that the record is written.
    pub(super) async fn write(&self, highest: u64, lock: Arc<File>) -> io::Result<()> {
        let gone = || io::Error::other("the thread that writes there has ended");
        let (done, written) = oneshot::channel();
        self.0.send(Job { highest, lock, done }).map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }
}
