//! Commands of operators, over the administrative socket: `kick` and `steal`.

use crate::channel::Channel;
use crate::name::{self, Name};
use crate::options::Options;
use crate::output::{print, print_json};
use crate::status::{FREE, Failure, Outcome};
use crate::view::unexpected;
use clap::Args;
use elockd_client::{Answer, Command, Error, Kind, Reply};
use serde_json::json;
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(crate) struct KickArgs {
    /// An address as `elock ls` shows it, or a registered name. ~ADDRESS means locks that outlived their connection.
    #[arg(value_name = "WHO", value_parser = name::parser())]
    who: Name,
}

#[derive(Args, Debug)]
pub(crate) struct StealArgs {
    /// The lock.
    #[arg(value_parser = name::parser())]
    name: Name,
    /// Take it from its writer. Without this flag, take the exclusive lock.
    #[arg(long)]
    write: bool,
}

/// Closes connections. Status 1 if there was none.
pub(crate) async fn kick(options: &Options, KickArgs { who }: &KickArgs) -> Outcome {
    let (answer, channel) = ask(options, &Command::Kick(who.bytes())).await?;
    let Some(Reply::Kicked { connections, .. }) = answer.reply() else {
        return Err(refused(&answer));
    };
    channel.quit().await;
    if options.is_json {
        print_json(&json!({"who": who, "kicked": connections}))?;
    } else {
        print(&match connections {
            0 => format!("nobody is connected as {who}\n"),
            1 => format!("kicked {who}\n"),
            _ => format!("kicked {connections} connections of {who}\n"),
        })?;
    }
    Ok(if connections > 0 { ExitCode::SUCCESS } else { FREE.into() })
}

/// Takes a lock from its holder. Status 1 if nobody held it.
pub(crate) async fn steal(options: &Options, StealArgs { name, write }: &StealArgs) -> Outcome {
    let kind = if *write { Kind::Write } else { Kind::Exclusive };
    let (answer, channel) = ask(options, &Command::Steal(kind, name.bytes())).await?;
    let Some(Reply::Stolen { was_held, .. }) = answer.reply() else {
        return Err(refused(&answer));
    };
    channel.quit().await;
    if options.is_json {
        print_json(&json!({"name": name, "stolen": was_held}))?;
    } else if was_held {
        print(&format!("took {name} from its holder\n"))?;
    } else {
        print(&format!("nobody holds {name}\n"))?;
    }
    Ok(if was_held { ExitCode::SUCCESS } else { FREE.into() })
}

async fn ask(options: &Options, command: &Command<&[u8]>) -> Result<(Answer, Channel), Failure> {
    let mut channel = Channel::open_admin(options).await?;
    let answer = channel.ask(command).await?;
    Ok((answer, channel))
}

fn refused(answer: &Answer) -> Failure {
    match answer.refusal() {
        Some(refusal) => Error::Refused(refusal).into(),
        None => unexpected("whether it was done", answer.text()),
    }
}
