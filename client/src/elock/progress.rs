//! What a person sees while a command waits for a lock: for whom, and how many are before. It is one line on a
//! terminal, written anew every second, and gone when the wait is over.

use crate::channel::Channel;
use crate::name::Name;
use crate::options::Options;
use crate::rows::LockRow;
use elockd_client::{Command, Kind, Role};
use nix::unistd::{getpgrp, tcgetpgrp};
use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stderr};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// A wait that is over sooner is not worth a line.
const SILENT: Duration = Duration::from_millis(500);
/// How often the line is written anew.
const EVERY: Duration = Duration::from_secs(1);
/// Columns of the narrowest terminal that the line should fit on.
const COLUMNS: usize = 79;

/// Does `work`, which waits for the lock, and meanwhile says for whom.
pub(crate) async fn telling<T>(
    options: &Options,
    kind: Kind,
    name: &Name,
    work: impl Future<Output = T>,
) -> T {
    if !stderr().is_terminal() {
        return work.await;
    }
    let is_line_there = Cell::new(false);
    tokio::select! {
        biased;
        done = work => {
            // The line is written without its end, so nothing of it stays.
            if is_line_there.get() {
                let _ = write!(stderr(), "\r\x1b[K");
            }
            done
        }
        never = tell(options, kind, name, &is_line_there) => match never {},
    }
}

enum Never {}

/// Whether the terminal is ours now: a command in the background does not write over what is in front.
fn is_in_front() -> bool {
    tcgetpgrp(stderr()).is_ok_and(|group| group == getpgrp())
}

async fn tell(options: &Options, kind: Kind, name: &Name, is_line_there: &Cell<bool>) -> Never {
    let start = Instant::now();
    let mut ticks = interval_at(start + SILENT, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut channel = None;
    loop {
        ticks.tick().await;
        if !is_in_front() {
            is_line_there.set(false);
            continue;
        }
        if channel.is_none() {
            channel = Channel::open(options).await.ok();
        }
        let rows = match &mut channel {
            Some(channel) => rows(channel, name).await,
            None => None,
        };
        if rows.is_none() {
            channel = None;
        }
        let text = line(name, kind, &rows.unwrap_or_default(), start.elapsed());
        is_line_there.set(true);
        let _ = write!(stderr(), "\r\x1b[Kelock: {text}");
    }
}

async fn rows(channel: &mut Channel, name: &Name) -> Option<Vec<LockRow>> {
    let answer = channel.ask(&Command::ListAll(name.bytes())).await.ok()?;
    let rows = LockRow::of(&answer).ok()?;
    Some(rows.into_iter().filter(|row| row.name == *name).collect())
}

/// `waiting for deploy, held by alice (10.0.0.7) for 12 min; 2 before you`
fn line(name: &Name, kind: Kind, rows: &[LockRow], waited: Duration) -> String {
    let is_of_kind = |row: &&LockRow| {
        let kinds = [row.group.kind, kind];
        kinds[0] == kinds[1] || kinds.iter().all(|kind| matches!(kind, Kind::Read | Kind::Write))
    };
    let mut holders = rows.iter().filter(is_of_kind).filter(|row| row.holds());
    let mut text = format!("waiting for {name}");
    if let Some(first) = holders.next() {
        let others = holders.count();
        let verb = if first.lingers { "kept for" } else { "held by" };
        let _ = write!(text, ", {verb} {} for {}", who(first), first.age());
        if others > 0 {
            let _ = write!(text, " and {others} more");
        }
    }
    let is_before = |row: &&LockRow| row.group.role == Role::Waits && u128::from(row.ms) > waited.as_millis();
    let before = rows.iter().filter(is_of_kind).filter(is_before).count();
    if before > 0 {
        let _ = write!(text, "; {before} before you");
    }
    if text.chars().count() + "elock: ".len() > COLUMNS {
        text = text.chars().take(COLUMNS - "elock: ...".len()).chain("...".chars()).collect();
    }
    text
}

/// The holder, without the port: `alice (10.0.0.7)`.
fn who(row: &LockRow) -> String {
    let host = match row.address.rsplit_once(':') {
        Some((host, _)) if host != "unix" => host,
        _ => &row.address,
    };
    row.registered.as_ref().map_or_else(|| host.to_owned(), |name| format!("{name} ({host})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_client::Group;

    fn row(group: (Kind, Role), ms: u64, address: &str, registered: Option<&str>) -> LockRow {
        LockRow {
            name: Name::told(b"deploy"),
            kind: "",
            role: "",
            ms,
            waiters: 0,
            address: address.to_owned(),
            lingers: false,
            registered: registered.map(|name| Name::told(name.as_bytes())),
            group: Group { kind: group.0, role: group.1 },
        }
    }

    #[test]
    fn the_line_says_for_whom_and_who_is_before() {
        let name = Name::told(b"deploy");
        let rows = [
            row((Kind::Exclusive, Role::Holds), 720_000, "10.0.0.7:5123", Some("alice")),
            row((Kind::Exclusive, Role::Waits), 60_000, "10.0.0.8:1", None),
            row((Kind::Exclusive, Role::Waits), 50_000, "10.0.0.8:2", None),
            row((Kind::Exclusive, Role::Waits), 2_990, "10.0.0.9:3", None),
            row((Kind::Exclusive, Role::AwaitsEnd), 70_000, "10.0.0.9:4", None),
            row((Kind::Shared, Role::Holds), 1, "10.0.0.9:5", None),
        ];
        let line = |kind, rows: &[LockRow]| line(&name, kind, rows, Duration::from_secs(3));
        assert_eq!(
            line(Kind::Exclusive, &rows),
            "waiting for deploy, held by alice (10.0.0.7) for 12 min; 2 before you"
        );
        assert_eq!(line(Kind::Exclusive, &[]), "waiting for deploy");
        assert_eq!(line(Kind::Shared, &rows), "waiting for deploy, held by 10.0.0.9 for 1 ms");
        let reader = row((Kind::Read, Role::Holds), 5_000, "[::1]:7", None);
        let readers = [reader.clone(), reader];
        assert_eq!(line(Kind::Write, &readers), "waiting for deploy, held by [::1] for 5 s and 1 more");
        let unix = row((Kind::Exclusive, Role::Holds), 5_000, "unix:7", None);
        assert_eq!(line(Kind::Exclusive, &[unix]), "waiting for deploy, held by unix:7 for 5 s");
    }

    #[test]
    fn the_line_fits_on_a_terminal() {
        let name = Name::told("ä".repeat(200).as_bytes());
        let text = line(&name, Kind::Exclusive, &[], Duration::ZERO);
        assert_eq!("elock: ".len() + text.chars().count(), 79);
    }
}
