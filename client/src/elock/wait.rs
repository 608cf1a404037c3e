//! `elock wait`: until whoever holds a lock now is done, without getting it.

use crate::name::{self, Name};
use crate::options::Options;
use crate::progress;
use crate::span;
use crate::status::{Failure, NOT_OBTAINED, Outcome};
use clap::Args;
use elockd_client::{Error, Kind, Refusal};
use std::process::ExitCode;
use std::time::Duration;

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
    let client = options.builder().build()?;
    let request = client.ended(name.bytes());
    let request = if *shared { request.shared() } else { request };
    let waiting = async {
        match wait {
            Some(wait) => request.wait(*wait).await,
            None => request.get().await,
        }
    };
    let ended = progress::telling(options, kind, name, waiting).await;
    ended.map_err(|error| match error {
        Error::Timeout => Failure::new(NOT_OBTAINED, format_args!("{name} is still held")),
        Error::Refused(Refusal::QueueFull) => {
            Failure::new(NOT_OBTAINED, format_args!("too many wait for {name} already"))
        }
        error => error.into(),
    })?;
    Ok(ExitCode::SUCCESS)
}
