//! `--on`: the command runs at another host, by SSH, and the lock is held here.
//!
//! At the other host there is a guard. It hears of each proof that the lock is held. If it hears none for as long as
//! the lock may go without one, it stops the command, as elock would do here. So the command is gone in time, also if
//! both hosts cannot reach each other any more.

use crate::lock::Obtained;
use crate::on_lost::{OnLost, name_of};
use crate::output::tell;
use crate::run::or_signal;
use crate::signals::Signals;
use crate::status::{Failure, LOST, NO_DAEMON, SIGNAL};
use crate::supervise::Ended;
use elockd_client::Lost;
use elockd_client::ssh::{CommandGuard, Finish, Remote, RemoteCommand, Ssh};
use nix::sys::signal::Signal;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream as Stream;
use std::thread;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// How often in a heartbeat it is looked whether the lock was proven anew.
const LOOKS: u32 = 4;
/// How much longer than its steps the guard may take.
const SLACK: Duration = Duration::from_secs(2);
/// Bytes that are read at once.
const PIECE: usize = 32 << 10;

/// Runs the words at the other host until they have ended.
pub(crate) async fn supervise(
    ssh: &Ssh,
    words: &[std::ffi::OsString],
    lock: &Obtained,
    on_lost: &OnLost,
    signals: &mut Signals,
) -> Result<Ended, Failure> {
    let environment = lock.environment();
    let command = RemoteCommand {
        words: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
        environment: environment.into_iter().map(|(key, value)| (key.to_owned(), value.into_vec())).collect(),
        steps: on_lost.steps(),
        quiet: lock.lost_after(),
    };
    let starting = async {
        tokio::select! {
            biased;
            started = ssh.run(&command) => Ok(started),
            lost = lock.lost() => Err(lost),
        }
    };
    let remote = match or_signal(starting, signals).await {
        Ok(Ok(started)) => started.map_err(|error| Failure::new(NO_DAEMON, error))?,
        Ok(Err(lost)) => {
            tell(format_args!("{} was lost: {lost}; the command was not run", lock.name()));
            return Ok(Ended { code: LOST, lost: Some(lost), signal: None });
        }
        // Nothing runs. The lock is released first.
        Err(signal) => return Ok(Ended { code: SIGNAL + signal as u8, lost: None, signal: Some(signal) }),
    };
    let Remote { stdin, stdout, stderr, mut running, mut guard } = remote;
    feed(stdin)?;
    let mut written = hand_on(stdout, io::stdout)?;
    let errors_written = hand_on(stderr, io::stderr)?;
    let mut beaten = lock.proven();
    let mut is_guarded = true;
    let mut is_all_written = false;
    let (finish, lost, signal) = {
        let mut lost = None;
        let mut signal = None;
        let finish = loop {
            tokio::select! {
                biased;
                finish = running.ended() => break finish,
                arrived = signals.next() => {
                    if arrived.ends() {
                        // The terminal's signals do not reach another host by themselves.
                        guard.signal(name_of(arrived.signal)).await;
                        if lost.is_some() {
                            signal = Some(arrived.signal);
                        }
                    }
                }
                reason = lock.lost(), if lost.is_none() => {
                    stop(lock, &reason, on_lost, &mut guard).await;
                    lost = Some(reason);
                }
                // It stops the command if its connection has ended.
                _ = guard.ended(), if is_guarded => {
                    is_guarded = false;
                    if lost.is_none() {
                        tell("the SSH connection of the command's guard has ended, so the command is stopped");
                    }
                }
                result = &mut written, if !is_all_written => {
                    is_all_written = true;
                    // SSH itself does not tell the command that nobody reads any more.
                    if result.is_ok_and(|result| result.is_err()) {
                        guard.signal(name_of(Signal::SIGPIPE)).await;
                    }
                }
                () = sleep(lock.heartbeat() / LOOKS), if lost.is_none() => {
                    let proven = lock.proven();
                    if proven != beaten {
                        beaten = proven;
                        guard.beat().await;
                    }
                }
            }
        };
        (finish, lost, signal)
    };
    let code = settled(finish, ssh, on_lost, lock, &mut guard, is_guarded).await;
    // All that was written is handed on, unless nobody has the patience.
    let all_written = async {
        if !is_all_written {
            let _ = written.await;
        }
        let _ = errors_written.await;
    };
    let _ = or_signal(all_written, signals).await;
    Ok(Ended { code, lost, signal })
}

async fn stop(lock: &Obtained, reason: &Lost, on_lost: &OnLost, guard: &mut CommandGuard) {
    let what = if on_lost.is_nothing() { "the command goes on" } else { "stopping the command" };
    tell(format_args!("{} was lost: {reason}; {what}", lock.name()));
    if !on_lost.is_nothing() {
        guard.stop().await;
    }
}

/// The status of the command. If it is not known to have ended, waits until the guard must have stopped it.
async fn settled(
    finish: Finish,
    ssh: &Ssh,
    on_lost: &OnLost,
    lock: &Obtained,
    guard: &mut CommandGuard,
    is_guarded: bool,
) -> u8 {
    let host = ssh.destination();
    let code = match finish {
        Finish::Status(code) => {
            guard.done().await;
            if is_guarded {
                // If the lock was lost, it stops what the command has left behind.
                let _ = timeout(on_lost.span() + SLACK, guard.ended()).await;
            }
            return code;
        }
        Finish::Unknown => {
            tell(format_args!("{host}: ssh ended with 255: the command did, or the connection has failed"));
            u8::MAX
        }
        Finish::Broken(reason) => {
            tell(format_args!("{host}: {reason}; the command may not have ended"));
            NO_DAEMON
        }
    };
    guard.stop().await;
    let limit = on_lost.span() + SLACK;
    let is_stopped = is_guarded && timeout(limit, guard.ended()).await.unwrap_or(false);
    if !is_stopped {
        // The guard cannot be reached. It acts when it has heard nothing for so long.
        tell(format_args!("holding {} until the command's guard must have stopped it", lock.name()));
        let end = Instant::now() + lock.lost_after() + limit;
        let _ = tokio::time::timeout_at(end, lock.lost()).await;
    }
    code
}

/// Hands on what elock reads, in a thread that ends with the process: nobody can take back a read.
fn feed(stream: UnixStream) -> Result<(), Failure> {
    let mut stream = blocking(stream)?;
    let feeding = thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        // It ends when there is no more to be read, or nobody who reads it.
        let _ = copy(io::stdin().lock(), &mut stream);
        let _ = stream.shutdown(Shutdown::Write);
    });
    feeding.map(drop).map_err(|error| Failure::system("start a thread", error))
}

/// Hands on what the command writes, at once, and tells when that is all, or when nobody takes it.
fn hand_on<W: Write>(
    stream: UnixStream,
    to: impl FnOnce() -> W + Send + 'static,
) -> Result<oneshot::Receiver<io::Result<()>>, Failure> {
    let stream = blocking(stream)?;
    let (tell, told) = oneshot::channel();
    let handing = thread::Builder::new().name("output".to_owned()).spawn(move || {
        let _ = tell.send(copy(stream, &mut to()));
    });
    handing.map_err(|error| Failure::system("start a thread", error))?;
    Ok(told)
}

fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(bytes) => {
                to.write_all(&piece[..bytes])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn blocking(stream: UnixStream) -> Result<Stream, Failure> {
    let stream = stream.into_std().and_then(|stream| stream.set_nonblocking(false).map(|()| stream));
    stream.map_err(|error| Failure::system("hand on what the command reads and writes", error))
}
