//! `elock get`: a lock that is held until somebody says that it is enough. For coprocesses, and for people at a
//! terminal.

use crate::lock::{LockArgs, WaitingArgs};
use crate::options::Options;
use crate::output::{print, print_json, tell};
use crate::run::or_signal;
use crate::signals::{Signals, die_of};
use crate::status::{LOST, Outcome};
use clap::Args;
use serde_json::json;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::oneshot;

#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    waiting: WaitingArgs,
}

/// Gets the lock, prints its fencing token, and holds it until a signal, or until stdin ends if that is a pipe.
pub(crate) async fn get(
    options: &Options,
    GetArgs { lock, waiting }: &GetArgs,
    signals: &mut Signals,
) -> Outcome {
    let lock = match or_signal(lock.get(options, *waiting, Duration::ZERO), signals).await {
        Ok(lock) => lock?,
        Err(signal) => return Ok(die_of(signal).into()),
    };
    if options.is_json {
        print_json(&json!({"name": lock.name(), "token": lock.token(), "slot": lock.slot()}))?;
    } else {
        // The number of a slot is what one wants of it.
        let number = lock.slot().map(u64::from).or(lock.token());
        print(&number.map_or_else(|| "-\n".to_owned(), |number| format!("{number}\n")))?;
    }
    let ended = end_of_pipe();
    tokio::select! {
        biased;
        _ = or_signal(std::future::pending::<()>(), signals) => {}
        Ok(()) = ended => {}
        lost = lock.lost() => {
            tell(format_args!("{} was lost: {lost}", lock.name()));
            return Ok(LOST.into());
        }
    }
    let name = lock.name().clone();
    Ok(match lock.release().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(lost) => {
            tell(format_args!("{name} was lost: {lost}"));
            LOST.into()
        }
    })
}

/// Tells when stdin has ended. Never if it is no pipe: a terminal and /dev/null say nothing.
fn end_of_pipe() -> oneshot::Receiver<()> {
    let (tell, told) = oneshot::channel();
    let is_pipe = std::fs::metadata("/dev/stdin")
        .is_ok_and(|stdin| stdin.file_type().is_fifo() || stdin.file_type().is_socket());
    if is_pipe {
        // A thread of its own, because it cannot be interrupted. It ends with the process.
        std::thread::spawn(move || {
            let mut stdin = std::io::stdin().lock();
            while stdin.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {}
            tell.send(())
        });
    }
    told
}
