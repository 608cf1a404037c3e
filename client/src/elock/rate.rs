//! `elock rate`: at most so many commands in a time, on all machines together.

use crate::job::Task;
use crate::lock::WaitingArgs;
use crate::name::{self, Name};
use crate::options::Options;
use crate::progress;
use crate::span;
use crate::status::{Failure, Outcome};
use clap::Args;
use elockd_client::{Error, Kind};
use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

#[derive(Args, Debug)]
pub(crate) struct RateArgs {
    /// The name of the rate. It is a shared lock's.
    #[arg(value_parser = name::parser())]
    name: Name,
    /// How many in which time: 5/s, 100/min, 5/10s. The time is up to the daemon's --max-linger (60 s).
    rate: Rate,
    #[command(flatten)]
    waiting: WaitingArgs,
    /// Give this line to the shell ($SHELL) instead of running a command.
    #[arg(short = 'c', long = "command", value_name = "LINE")]
    line: Option<OsString>,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    count: u32,
    per: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no rate; write it like 5/s, 100/min or 5/10s");
        let (count, per) = text.split_once('/').ok_or_else(wrong)?;
        let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
        if !per.ends_with(|char: char| char.is_ascii_alphabetic()) {
            return Err(wrong());
        }
        let per = if per.starts_with(|char: char| char.is_ascii_digit()) {
            per.to_owned()
        } else {
            format!("1{per}")
        };
        let per = span::parse(&per).ok().filter(|per| per.as_millis() > 0).ok_or_else(wrong)?;
        Ok(Self { count, per })
    }
}

/// Waits for a permission and becomes the command.
pub(crate) async fn rate(options: &Options, args: &RateArgs) -> Outcome {
    let RateArgs { name, rate: Rate { count, per }, waiting, line, command } = args;
    let task = Task::new(command, line.as_deref())?;
    let client = options.builder().build()?;
    let request = client.rate(name.bytes(), *count, *per);
    let asking = async {
        match waiting.patience() {
            Some(Duration::MAX) => request.get().await,
            Some(patience) => request.wait(patience).await,
            None => request.try_now().await,
        }
    };
    let permitted = progress::telling(options, Kind::Shared, name, asking).await;
    permitted.map_err(|error| {
        let is_used_up = matches!(error, Error::Held { .. } | Error::Timeout);
        let mut failure = waiting.failure(name, error);
        if is_used_up {
            failure.message = format!("{name}: {count} in {} are used up", span::shown(*per));
        }
        failure
    })?;
    // Nothing is held, so nothing has to be watched.
    Err::<std::process::ExitCode, Failure>(task.become_it())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_time() {
        let rate = |text: &str| text.parse::<Rate>().map(|rate| (rate.count, rate.per.as_millis()));
        for (text, count, ms) in
            [("5/s", 5, 1000), ("100/min", 100, 60_000), ("1/10s", 1, 10_000), ("2/500ms", 2, 500)]
        {
            assert_eq!(rate(text), Ok((count, ms)));
        }
        for wrong in ["5", "/s", "0/s", "5/", "5/0s", "x/s", "5/fortnight", "-1/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
