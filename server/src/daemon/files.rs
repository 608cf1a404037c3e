//! The thread that opens, reads and removes files at paths that somebody has given. They may hang: in a pipe, or in a
//! file system that is away. Clients and signals must not wait for that. The thread is made at the start and stays: a
//! system that is short of threads might refuse one later.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// The thread's other end. Work is done in the order in which it was given. What hangs holds up the work behind it.
#[derive(Debug)]
pub(crate) struct Files(mpsc::Sender<Work>);

impl Files {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system has no thread for it.
    pub(crate) fn start() -> io::Result<Self> {
        let (work, next) = mpsc::channel::<Work>();
        let run = move || next.into_iter().for_each(|work| work());
        thread::Builder::new().name("files".to_owned()).spawn(run)?;
        Ok(Self(work))
    }

    /// Lets the thread do this. The receiver gets what it returns.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        // If the thread has ended, the receiver is told so. If nobody listens any more, the result is dropped.
        let _ = self.0.send(Box::new(move || drop(done.send(work()))));
        result
    }

    /// Lets the thread do this and waits, but not for longer than `patience`. Returns whether it is done.
    pub(crate) fn run_within(&self, patience: Duration, work: impl FnOnce() + Send + 'static) -> bool {
        let (done, is_done) = mpsc::channel();
        let work = move || {
            work();
            // Nobody waits any more if this fails.
            let _ = done.send(());
        };
        self.0.send(Box::new(work)).is_ok() && is_done.recv_timeout(patience).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_holds_up_nobody_who_waits_with_patience() {
        let files = Files::start().unwrap();
        assert!(files.run_within(Duration::from_secs(10), || ()));
        let (let_go, hangs) = mpsc::channel::<()>();
        let mut first = files.run(move || hangs.recv().is_err());
        assert!(!files.run_within(Duration::from_millis(10), || ()));
        assert!(first.try_recv().is_err(), "it still hangs");
        drop(let_go);
        assert_eq!(first.blocking_recv(), Ok(true));
        assert!(files.run_within(Duration::from_secs(10), || ()), "work goes on");
    }
}
