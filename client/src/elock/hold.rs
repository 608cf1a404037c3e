//! `elock hold`, `elock release`, `elock status`: a person's lock over several commands and terminals.
//!
//! `hold` starts itself once more, in the background. That process, the steward, has the connection. It listens on a
//! Unix socket in a folder that only this user can enter, and there it is asked and told to release. A steward has one
//! lock. Its socket's name is its process id; whose lock it is, it says itself.

use crate::identity::user_at_host;
use crate::lock::{LockArgs, Obtained, WaitingArgs};
use crate::name::{self, Name};
use crate::options::Options;
use crate::output::{print, print_json, tell};
use crate::run::or_signal;
use crate::signals::{Signals, die_of};
use crate::span;
use crate::status::{FREE, Failure, LOST, Outcome};
use clap::Args;
use nix::unistd::{getuid, setsid};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::Instant;

/// Tells the second process that it is the steward.
const STEWARD: &str = "ELOCK_STEWARD";
/// How long a steward may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a steward stays to tell that its lock was lost.
const MEMORY: Duration = Duration::from_hours(24);

#[derive(Args, Debug)]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    waiting: WaitingArgs,
    /// Release it by itself after so long. Without this, hold it until `elock release`.
    #[arg(long = "for", value_name = "SPAN", value_parser = span::parse)]
    span: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct ReleaseArgs {
    /// The lock.
    #[arg(value_parser = name::parser())]
    name: Name,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// The lock. Without it, all that are held so.
    #[arg(value_parser = name::parser())]
    name: Option<Name>,
}

/// What a steward says about its lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Report {
    name: Name,
    servers: Vec<String>,
    token: Option<u64>,
    slot: Option<u32>,
    /// For how long it has had the lock, in milliseconds.
    ms: u64,
    pid: u32,
    /// Why the lock was lost, if it was lost.
    lost: Option<String>,
}

/// Has a steward get the lock, and comes back when it has it.
pub(crate) fn hold(options: &Options, args: HoldArgs) -> Outcome {
    // Nothing of this program is started with it set.
    if std::env::var_os(STEWARD).is_some() {
        return crate::with_signals(async |signals| steward(options, args, signals).await);
    }
    // Before the lock is had.
    folder()?;
    let program = std::env::current_exe().map_err(|error| Failure::system("find this program", error))?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(STEWARD, "1").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| Failure::system("start in the background", error))?;
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or_else(|| Failure::system("read from the background", "no pipe"))?;
    // The steward closes it when it has the lock, or ends.
    let read = BufReader::new(stdout).read_to_string(&mut line);
    read.map_err(|error| Failure::system("read from the background", error))?;
    if line.is_empty() {
        let status = child.wait().map_err(|error| Failure::system("wait for the background", error))?;
        return Ok(crate::job::code_of(status).into());
    }
    print(&line)?;
    Ok(ExitCode::SUCCESS)
}

/// Gets the lock, says so on stdout, and keeps it.
async fn steward(options: &Options, args: HoldArgs, signals: &mut Signals) -> Outcome {
    let lock = args.lock.or_as(user_at_host());
    let lock = match or_signal(lock.get(options, args.waiting, Duration::ZERO), signals).await {
        Ok(lock) => lock?,
        Err(signal) => return Ok(die_of(signal).into()),
    };
    let since = Instant::now();
    let path = folder()?.join(format!("{}.sock", std::process::id()));
    // A process with this number that has ended may have left one.
    let _ = fs::remove_file(&path);
    let listener =
        UnixListener::bind(&path).map_err(|error| Failure::system("listen for elock release", error))?;
    let report = |lock: &Obtained| Report {
        name: lock.name().clone(),
        servers: options.servers.iter().map(ToString::to_string).collect(),
        token: lock.token(),
        slot: lock.slot(),
        ms: since.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        pid: std::process::id(),
        lost: None,
    };
    let first = report(&lock);
    let said = if options.is_json { print_json(&first) } else { print(&held(&first)) };
    if said.is_ok() {
        leave_the_terminal()?;
        keep(lock, &listener, &path, report, args.span, since, signals).await;
    }
    // If it is there still.
    let _ = fs::remove_file(path);
    Ok(ExitCode::SUCCESS)
}

/// What is said of a lock that is held.
fn held(Report { name, token, slot, .. }: &Report) -> String {
    let token = token.map(|token| format!(", token {token}")).unwrap_or_default();
    let slot = slot.map(|slot| format!(", slot {slot}")).unwrap_or_default();
    format!("{name} is held{slot}{token}; release it with: elock release '{name}'\n")
}

/// Goes on without the terminal and without its signals. Stdout must end, because its reader waits for that.
fn leave_the_terminal() -> Result<(), Failure> {
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| Failure::system("open /dev/null", error))?;
    // It fails if this process leads its group already, and then it is as good.
    let _ = setsid();
    let redirected = nix::unistd::dup2_stdout(&null).and_then(|()| nix::unistd::dup2_stderr(&null));
    redirected.map_err(|error| Failure::system("leave the terminal", error))
}

/// Answers until it is told to release, the time is over, or a signal ends it.
async fn keep(
    lock: Obtained,
    listener: &UnixListener,
    path: &Path,
    report: impl Fn(&Obtained) -> Report,
    span: Option<Duration>,
    since: Instant,
    signals: &mut Signals,
) {
    let mut end = span.and_then(|span| since.checked_add(span));
    let mut lost = None;
    loop {
        let is_lost = lost.is_some();
        tokio::select! {
            biased;
            reason = lock.lost(), if !is_lost => {
                lost = Some(reason.to_string());
                // The daemon has or will have given it away. Whoever asks is told.
                end = Some(Instant::now() + MEMORY);
            }
            arrived = signals.next() => if arrived.ends() { break },
            () = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            } => break,
            Ok((stream, _)) = listener.accept() => {
                let (read, mut write) = stream.into_split();
                let mut line = String::new();
                let mut read = tokio::io::BufReader::new(read);
                let reading = read.read_line(&mut line);
                if !matches!(tokio::time::timeout(PATIENCE, reading).await, Ok(Ok(_))) {
                    continue;
                }
                let mut said = Report { lost: lost.clone(), ..report(&lock) };
                let releases = line == "release\n";
                if releases {
                    // Nobody finds it any more, before anybody knows that it is released.
                    let _ = fs::remove_file(path);
                    if let (Err(reason), None) = (lock.release().await, &lost) {
                        said.lost = Some(reason.to_string());
                    }
                    let _ = write.write_all(&line_of(&said)).await;
                    return;
                }
                let _ = write.write_all(&line_of(&said)).await;
            }
        }
    }
    let _ = lock.release().await;
}

fn line_of(report: &Report) -> Vec<u8> {
    // A report has nothing that JSON could not say.
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    line
}

/// The folder of this user's stewards. Nobody else can enter it.
fn folder() -> Result<PathBuf, Failure> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let path = match runtime {
        Some(runtime) => runtime.join("elock"),
        None => PathBuf::from(format!("/tmp/elock-{}", getuid())),
    };
    match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Failure::system(&format!("make the folder {}", path.display()), error)),
    }
    check(&path)?;
    Ok(path)
}

/// Refuses a folder that somebody else has made, or may look into.
fn check(path: &Path) -> Result<(), Failure> {
    let what = format!("use the folder {}", path.display());
    // Not through a link.
    let folder = fs::symlink_metadata(path).map_err(|error| Failure::system(&what, error))?;
    if !folder.is_dir() || folder.uid() != getuid().as_raw() || folder.mode() & 0o077 != 0 {
        return Err(Failure::system(&what, "it is not a folder of this user alone (mode 700)"));
    }
    Ok(())
}

/// Asks all stewards of this user, and forgets those that have ended.
fn ask_all(word: &str, is_meant: impl Fn(&Report) -> bool) -> Result<Vec<Report>, Failure> {
    let folder = folder()?;
    let mut reports = Vec::new();
    let entries = fs::read_dir(&folder).map_err(|error| Failure::system("look for holds", error))?;
    for path in entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "sock"))
    {
        match ask(&path, "status") {
            Ok(report) if is_meant(&report) => {
                // It may have ended meanwhile.
                reports.extend(if word == "status" { Some(report) } else { ask(&path, word).ok() });
            }
            Ok(_) => {}
            // It has ended meanwhile.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::NotFound) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                let _ = fs::remove_file(path);
            }
            Err(error) => tell(format_args!("{} does not answer: {error}", path.display())),
        }
    }
    reports.sort_by(|a, b| (&a.name, a.pid).cmp(&(&b.name, b.pid)));
    Ok(reports)
}

fn ask(path: &Path, word: &str) -> std::io::Result<Report> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{word}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(Into::into)
}

/// Holds of this user at the daemon that is meant.
fn is_here(options: &Options) -> impl Fn(&Report) -> bool {
    let servers: Vec<String> = options.servers.iter().map(ToString::to_string).collect();
    move |report| report.servers == servers
}

/// Releases what this user holds. Status 1 if that is nothing, 79 if it was lost before.
pub(crate) fn release(options: &Options, ReleaseArgs { name }: &ReleaseArgs) -> Outcome {
    let is_here = is_here(options);
    let reports = ask_all("release", |report| report.name == *name && is_here(report))?;
    if options.is_json {
        print_json(&reports)?;
    }
    let Some(first) = reports.first() else {
        tell(format_args!("{name} is not held here with elock hold"));
        return Ok(FREE.into());
    };
    if let Some(lost) = reports.iter().find_map(|report| report.lost.as_ref()) {
        tell(format_args!("{} was lost before it was released: {lost}", first.name));
        return Ok(LOST.into());
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what this user holds. Status 0 if the lock is held, 1 if not.
pub(crate) fn status(options: &Options, StatusArgs { name }: &StatusArgs) -> Outcome {
    let is_here = is_here(options);
    let is_meant = |report: &Report| name.as_ref().is_none_or(|name| report.name == *name) && is_here(report);
    let reports = ask_all("status", is_meant)?;
    if options.is_json {
        print_json(&reports)?;
    } else {
        for Report { name, ms, pid, lost, .. } in &reports {
            let age = span::shown(Duration::from_millis(*ms));
            print(&match lost {
                None => format!("{name} is held for {age} by process {pid}\n"),
                Some(lost) => format!("{name} was lost: {lost}\n"),
            })?;
        }
        if let (true, Some(name)) = (reports.is_empty(), name) {
            print(&format!("{name} is not held here with elock hold\n"))?;
        }
    }
    let is_held = reports.iter().any(|report| report.lost.is_none());
    Ok(if is_held { ExitCode::SUCCESS } else { FREE.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o700);
        assert!(check(folder.path()).is_ok());
        mode(0o701);
        assert!(check(folder.path()).is_err());
        mode(0o700);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(check(&link).is_err());
        assert!(check(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        for name in [&b"deploy"[..], b"\xff\x1b", b""] {
            let report = Report {
                name: Name::told(name),
                servers: vec!["127.0.0.1:9999".to_owned()],
                token: Some(7),
                slot: None,
                ms: 5,
                pid: 9,
                lost: None,
            };
            assert_eq!(serde_json::from_slice::<Report>(&line_of(&report)).unwrap(), report);
        }
    }
}
