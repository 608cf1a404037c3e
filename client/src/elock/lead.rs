//! `elock lead`: one of many machines runs a command, for as long as it has the lock. For ever: if the lock is lost,
//! the command is stopped, and the wait begins again.

use crate::identity::user_at_host;
use crate::lock::{LockArgs, WaitingArgs};
use crate::options::Options;
use crate::output::tell;
use crate::run::{CommandArgs, or_signal};
use crate::signals::{Signals, die_of};
use crate::status::{Failure, NO_DAEMON, NOT_OBTAINED, Outcome};
use crate::supervise::Ended;
use clap::Args;
use std::time::Duration;
use tokio::time::sleep;

/// The first pause before the next try, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

#[derive(Args, Debug)]
pub(crate) struct LeadArgs {
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    command: CommandArgs,
}

/// Waits, runs the command, and waits again if the lock was lost. Ends when the command ends by itself.
pub(crate) async fn lead(
    options: &Options,
    LeadArgs { lock, command }: LeadArgs,
    signals: &mut Signals,
) -> Outcome {
    let task = command.task()?;
    let lock = lock.or_as(user_at_host());
    let stopping = command.on_lost(options).span();
    let mut pause = PAUSES.0;
    loop {
        let held = match or_signal(lock.get(options, WaitingArgs::FOR_EVER, stopping), signals).await {
            Ok(Ok(held)) => held,
            // The daemon is away, or has no room now.
            Ok(Err(Failure { status: NO_DAEMON | NOT_OBTAINED, message })) => {
                if pause == PAUSES.0 {
                    tell(format_args!("{message}; trying again until it works"));
                }
                if let Err(signal) =
                    or_signal(sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)), signals).await
                {
                    return Ok(die_of(signal).into());
                }
                pause = PAUSES.1.min(pause * 2);
                continue;
            }
            Ok(Err(failure)) => return Err(failure),
            Err(signal) => return Ok(die_of(signal).into()),
        };
        pause = PAUSES.0;
        let result = command.run(options, &task, &held, signals).await;
        if let Ok(Ended { lost: Some(_), signal, .. }) = result {
            if let Some(signal) = signal {
                return Ok(die_of(signal).into());
            }
            tell(format_args!("waiting for {} again", held.name()));
            continue;
        }
        // The command is done, whether the daemon can be told or not.
        let _ = held.release().await;
        return Ok(match result? {
            Ended { signal: Some(signal), .. } => die_of(signal).into(),
            Ended { code, .. } => code.into(),
        });
    }
}
