//! A command under a held lock: signals are handed on to it, and it is stopped when the lock is lost.

use crate::job::{Job, Task, code_of};
use crate::lock::Obtained;
use crate::on_lost::OnLost;
use crate::output::tell;
use crate::signals::Signals;
use crate::status::Failure;
use elockd_client::Lost;
use nix::sys::signal::Signal;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The status that a shell would have for it.
    pub(crate) code: u8,
    /// Why the lock was lost, if it was lost while the command ran.
    pub(crate) lost: Option<Lost>,
    /// A signal that ends programs and came after the loss.
    pub(crate) signal: Option<Signal>,
}

/// Runs the command until it and what is to be stopped with it have ended.
pub(crate) async fn supervise(
    task: &Task,
    lock: &Obtained,
    inherits: bool,
    on_lost: &OnLost,
    signals: &mut Signals,
) -> Result<Ended, Failure> {
    let descriptors = if inherits { lock.descriptors()? } else { Vec::new() };
    let mut job = task.start(&lock.environment(), &descriptors)?;
    let ended = |code| code_of(code);
    let reason = loop {
        tokio::select! {
            biased;
            // A command that has ended before the loss was noticed has ended under the lock.
            code = job.ended() => {
                let code = code.map_err(|error| Failure::system("wait for the command", error))?;
                return Ok(Ended { code: ended(code), lost: None, signal: None });
            }
            arrived = signals.next() => job.forward(arrived),
            reason = lock.lost() => break reason,
        }
    };
    let what = if on_lost.is_nothing() { "the command goes on" } else { "stopping the command" };
    tell(format_args!("{} was lost: {reason}; {what}", lock.name()));
    Job::keep_orphans();
    // What the command leaves behind is stopped as well, so it takes until all have ended.
    let mut stopped = std::pin::pin!(async {
        on_lost.stop(Job::signal_all).await;
    });
    let mut is_stopped = false;
    let mut code = None;
    let mut signal = None;
    while code.is_none() || !is_stopped {
        tokio::select! {
            biased;
            result = job.ended(), if code.is_none() => {
                code = Some(ended(result.map_err(|error| Failure::system("wait for the command", error))?));
            }
            arrived = signals.next() => {
                job.forward(arrived);
                if arrived.ends() {
                    signal = Some(arrived.signal);
                }
            }
            () = &mut stopped, if !is_stopped => is_stopped = true,
        }
    }
    Job::let_orphans_go();
    Ok(Ended { code: code.unwrap_or_default(), lost: Some(reason), signal })
}

/// Holds the lock until so long after `since`. A signal that ends programs ends it, and so does the loss of the lock,
/// which it returns.
pub(crate) async fn hold_on(
    lock: &Obtained,
    since: Instant,
    span: Duration,
    signals: &mut Signals,
) -> Result<(), Lost> {
    let end = since.checked_add(span);
    loop {
        tokio::select! {
            biased;
            () = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => std::future::pending().await,
                }
            } => return Ok(()),
            arrived = signals.next() => if arrived.ends() { return Ok(()) },
            lost = lock.lost() => return Err(lost),
        }
    }
}
