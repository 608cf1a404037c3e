//! What the engine runs on: tokio and threads in a daemon, one thread and drawn numbers in a simulation.

use super::ordered::OrderedRuntime;
use openraft::AsyncRuntime;
use openraft_rt_tokio::TokioRuntime;
use std::fmt::Debug;
use std::future::Future;

/// Where the engine's tasks run, whose time they go by, and where work goes that would hold them up.
pub trait Pace: Clone + Copy + Debug + Default + Eq + Ord + Send + Sync + 'static {
    /// Tasks, timers, channels and random numbers.
    type Runtime: AsyncRuntime;

    /// Does work that takes long, where it holds up no task.
    fn elsewhere<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;
}

/// A daemon's: tokio's runtime, and a thread for each piece of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threads;

impl Pace for Threads {
    type Runtime = TokioRuntime;

    async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let name = "cluster-snapshot".to_owned();
        std::thread::Builder::new()
            .name(name)
            // Nobody waits for it any more if it cannot be sent.
            .spawn(move || sender.send(work()).map_err(drop))
            .expect("the system has room for one more thread");
        receiver.await.expect("what is done elsewhere does not panic")
    }
}

/// A simulation's: the same sequence of events for the same seed. Work is done at once.
///
/// The seed is set by [`seed`](super::seed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seeded;

impl Pace for Seeded {
    type Runtime = OrderedRuntime;

    async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }
}
