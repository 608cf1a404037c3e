//! Commands that only look: `ls`, `inspect`, `who`, `stats` and `ping`. Each makes a page, for people or as JSON, once
//! or again and again (`--watch`).

use crate::channel::Channel;
use crate::name::{self, Name};
use crate::options::Options;
use crate::output::{Style, Table, print, print_json};
use crate::rows::{LockRow, WhoRow};
use crate::span;
use crate::status::{FREE, Failure, Outcome};
use clap::Args;
use elockd_client::{Command, Error, Kind, Refusal, Reply};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often a page is shown again if nothing else is said.
const EVERY: &str = "2";

/// Show it again and again.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Again {
    /// Show it again and again, every 2 s or as often as this says (--watch=0.5).
    #[arg(
        long, value_name = "SPAN", value_parser = span::parse,
        num_args = 0..=1, require_equals = true, default_missing_value = EVERY
    )]
    watch: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// Only locks whose name starts with this.
    #[arg(value_parser = name::parser(), default_value = "", hide_default_value = true)]
    prefix: Name,
    #[command(flatten)]
    watch: Again,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The lock.
    #[arg(value_parser = name::parser())]
    name: Name,
    #[command(flatten)]
    watch: Again,
}

#[derive(Args, Debug)]
pub(crate) struct WhoArgs {
    /// Only connections with this registered name.
    #[arg(value_parser = name::parser(), default_value = "", hide_default_value = true)]
    name: Name,
    #[command(flatten)]
    watch: Again,
}

#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    /// All statistics, not only those that every lockd has.
    #[arg(long)]
    full: bool,
    /// Only these keys, one after the other. With one key alone its value is printed.
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    #[command(flatten)]
    watch: Again,
}

#[derive(Args, Debug)]
pub(crate) struct PingArgs {
    #[command(flatten)]
    watch: Again,
}

/// What is to be looked at.
#[derive(Debug)]
pub(crate) enum View {
    Ls(LsArgs),
    Inspect(InspectArgs),
    Who(WhoArgs),
    Stats(StatsArgs),
    Ping(PingArgs),
}

/// What was seen.
struct Page {
    table: String,
    json: Value,
    status: ExitCode,
}

impl View {
    const fn watch(&self) -> Option<Duration> {
        match self {
            Self::Ls(LsArgs { watch, .. })
            | Self::Inspect(InspectArgs { watch, .. })
            | Self::Who(WhoArgs { watch, .. })
            | Self::Stats(StatsArgs { watch, .. })
            | Self::Ping(PingArgs { watch }) => watch.watch,
        }
    }

    pub(crate) async fn run(&self, options: &Options) -> Outcome {
        let mut channel = Channel::open(options).await?;
        let stdout = std::io::stdout();
        let is_colored = options.color.is_on(&stdout);
        // A ping is a line below the others, and so is everything in a file.
        let is_cleared = stdout.is_terminal() && !options.is_json && !matches!(self, Self::Ping(_));
        loop {
            let page = self.page(&mut channel, is_colored).await?;
            if options.is_json {
                print_json(&page.json)?;
            } else if self.watch().is_some() && is_cleared {
                print(&format!("\x1b[H\x1b[2J{}", page.table))?;
            } else {
                print(&page.table)?;
            }
            let Some(every) = self.watch() else {
                channel.quit().await;
                return Ok(page.status);
            };
            tokio::time::sleep(every).await;
        }
    }

    async fn page(&self, channel: &mut Channel, is_colored: bool) -> Result<Page, Failure> {
        match self {
            Self::Ls(LsArgs { prefix, .. }) => {
                let answer = channel.ask(&Command::ListAll(prefix.bytes())).await?;
                let rows = LockRow::of(&answer)?;
                let json = json!(rows);
                Ok(Page { table: lock_table(&rows).text(is_colored), json, status: ExitCode::SUCCESS })
            }
            Self::Inspect(InspectArgs { name, .. }) => inspect(channel, name).await,
            Self::Who(WhoArgs { name, .. }) => {
                let rows = WhoRow::of(&channel.ask(&Command::Who(name.bytes())).await?)?;
                let mut table = Table::new(["ADDRESS", "NAME"]);
                for WhoRow { address, registered } in &rows {
                    table.push([(address.clone(), Style::Plain), (registered.to_string(), Style::Plain)]);
                }
                Ok(Page { table: table.text(is_colored), json: json!(rows), status: ExitCode::SUCCESS })
            }
            Self::Stats(StatsArgs { full, keys, .. }) => stats(channel, *full, keys).await,
            Self::Ping(_) => {
                let start = Instant::now();
                let answer = channel.ask(&Command::<&[u8]>::Ping).await?;
                if answer.reply() != Some(Reply::Pong) {
                    return Err(unexpected("a pong", answer.text()));
                }
                let us = start.elapsed().as_micros();
                let server = channel.server();
                let ms = format!("{}.{:03}", us / 1000, us % 1000);
                let json = json!({"server": server.to_string(), "us": u64::try_from(us).unwrap_or(u64::MAX)});
                let table = format!("{server} answered in {ms} ms\n");
                Ok(Page { table, json, status: ExitCode::SUCCESS })
            }
        }
    }
}

/// An answer that is not what was asked for, and no refusal that could be named.
pub(crate) fn unexpected(expected: &'static str, answer: &[u8]) -> Failure {
    let answer = Name::told(answer.trim_ascii_end());
    Failure::new(crate::status::PROTOCOL, format_args!("the daemon said \"{answer}\" instead of {expected}"))
}

pub(crate) fn lock_table(rows: &[LockRow]) -> Table<5> {
    let mut table = Table::new(["NAME", "LOCK", "STATE", "FOR>", "WHO"]);
    for row in rows {
        let style = match row.state() {
            "held" => Style::Green,
            "lingers" => Style::Magenta,
            _ => Style::Dim,
        };
        table.push([
            (row.name.to_string(), Style::Plain),
            (row.kind.to_owned(), Style::Plain),
            (row.state().to_owned(), style),
            (row.age(), Style::Plain),
            (row.who(), Style::Plain),
        ]);
    }
    table
}

/// One lock: how many hold it in which way, and who they are if the daemon lists that.
async fn inspect(channel: &mut Channel, name: &Name) -> Result<Page, Failure> {
    let mut counts = Map::new();
    let mut table = String::new();
    let mut is_held = false;
    for kind in Kind::ALL {
        let answer = channel.ask(&Command::Inspect(kind, name.bytes())).await?;
        let Some(Reply::Inspected { holders, .. }) = answer.reply() else {
            return Err(answer.refusal().map_or_else(
                || unexpected("how many hold the lock", answer.text()),
                |refusal| Error::Refused(refusal).into(),
            ));
        };
        is_held |= holders > 0;
        counts.insert(crate::rows::kind_word(kind).to_owned(), holders.into());
        let _ = match (kind, holders) {
            (_, 0) => Ok(()),
            (Kind::Exclusive, _) => writeln!(table, "{name} is held"),
            (Kind::Shared, _) => writeln!(table, "{name} is shared by {holders}"),
            (Kind::Read, _) => writeln!(table, "{name} is read by {holders}"),
            (Kind::Write, _) => writeln!(table, "{name} is written"),
        };
    }
    let listing = channel.ask(&Command::ListAll(name.bytes())).await?;
    let rows = match LockRow::of(&listing) {
        Ok(rows) => Some(rows.into_iter().filter(|row| row.name == *name).collect::<Vec<_>>()),
        Err(Error::Refused(Refusal::Disabled)) => None,
        Err(error) => return Err(error.into()),
    };
    if !is_held {
        table = format!("{name} is free\n");
    }
    for row in rows.iter().flatten() {
        let what = match row.state() {
            "held" => "held by",
            "lingers" => "kept for",
            _ => "wanted by",
        };
        let _ = writeln!(table, "  {}: {what} {} for {}", row.kind, row.who(), row.age());
    }
    let json = json!({"name": name, "held": is_held, "holders": counts, "rows": rows});
    let status = if is_held { ExitCode::SUCCESS } else { FREE.into() };
    Ok(Page { table, json, status })
}

/// Statistics. If keys were named, a key that there is not is a failure.
async fn stats(channel: &mut Channel, full: bool, keys: &[String]) -> Result<Page, Failure> {
    let answer = channel.ask(&Command::<&[u8]>::Query { full: full || !keys.is_empty() }).await?;
    let figures = answer.figures()?;
    let chosen: Vec<(&str, &str)> = if keys.is_empty() {
        figures
    } else {
        let find = |key: &String| {
            let found = figures.iter().find(|(name, _)| name == key).copied();
            found.ok_or_else(|| {
                Failure::usage(format_args!("the daemon has no statistic {key}; see elock stats --full"))
            })
        };
        keys.iter().map(find).collect::<Result<_, _>>()?
    };
    let value = |text: &str| text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
    let json = chosen.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect::<Map<_, _>>();
    let width = chosen.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let table = match chosen[..] {
        [(_, value)] => format!("{value}\n"),
        _ => {
            chosen.iter().fold(String::new(), |text, (key, value)| text + &format!("{key:width$}  {value}\n"))
        }
    };
    Ok(Page { table, json: json.into(), status: ExitCode::SUCCESS })
}
