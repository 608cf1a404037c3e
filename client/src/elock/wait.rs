//! `elock wait`: until whoever holds a lock now is done, without getting it.

use crate::channel::Channel;
use crate::name::{self, Name};
use crate::options::Options;
use crate::progress;
use crate::span;
use crate::status::{Failure, NO_DAEMON, NOT_OBTAINED, Outcome};
use crate::view::unexpected;
use clap::Args;
use elockd_client::{Command, Error, Kind, Reply};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long an answer may take after its wait is over.
const LATE: Duration = Duration::from_secs(10);

#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// The lock.
    #[arg(value_parser = name::parser())]
    name: Name,
    /// Wait for the end of all shares that the shared lock of this name has now.
    #[arg(short, long)]
    shared: bool,
    /// How long to wait at most. A number alone is seconds. Default: for ever.
    #[arg(short = 'w', long, visible_alias = "timeout", value_name = "SPAN", value_parser = span::parse)]
    wait: Option<Duration>,
}

/// Waits. Status 75 if the time is over first.
pub(crate) async fn wait(options: &Options, WaitArgs { name, shared, wait }: &WaitArgs) -> Outcome {
    let kind = if *shared { Kind::Shared } else { Kind::Exclusive };
    let deadline = wait.and_then(|wait| Instant::now().checked_add(wait));
    let mut channel = Channel::open(options).await?;
    progress::telling(options, kind, name, ended(&mut channel, kind, name, deadline)).await?;
    channel.quit().await;
    Ok(ExitCode::SUCCESS)
}

/// The longest wait of the protocol is 49 days, so a longer one is several.
async fn ended(
    channel: &mut Channel,
    kind: Kind,
    name: &Name,
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let ms = left.map_or(u32::MAX, |left| left.as_millis().try_into().unwrap_or(u32::MAX));
        let command = Command::AwaitEnd { kind, ms, name: name.bytes() };
        let late = Instant::now() + Duration::from_millis(ms.into()) + LATE;
        let answer = timeout_at(late, channel.connection().ask(&command)).await;
        let answer = answer.map_err(|_| Failure::new(NO_DAEMON, "the daemon does not answer any more"))??;
        match answer.reply() {
            Some(Reply::Ended { .. }) => return Ok(()),
            Some(Reply::EndTimeout { .. }) if ms == u32::MAX => {}
            Some(Reply::EndTimeout { .. }) => {
                return Err(Failure::new(NOT_OBTAINED, format_args!("{name} is still held")));
            }
            Some(Reply::EndQueueFull { .. }) => {
                return Err(Failure::new(NOT_OBTAINED, format_args!("too many wait for {name} already")));
            }
            _ => {
                return Err(match answer.refusal() {
                    Some(refusal) => Error::Refused(refusal).into(),
                    None => unexpected("the end of a lock", answer.text()),
                });
            }
        }
    }
}
