//! The signals that elock takes, and who sent them. They come from a signalfd, because that alone tells, without
//! `unsafe`, a terminal's signal from one that a process sent. A terminal's signal reaches the whole foreground group,
//! the command too, so it must not be handed on a second time.
//!
//! They are blocked in this process and unblocked in every child: the standard library empties a child's mask.

use crate::status::Failure;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpid, getsid};
use std::thread;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What is handed on to a running command. `TSTP` is not among them: it stops elock as it stops any program.
const TAKEN: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
];

/// The code of a signal that the kernel sent: a terminal's.
const FROM_KERNEL: i32 = 0x80;

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) signal: Signal,
    /// Whether a running command has got it already.
    pub(crate) reaches_command: bool,
}

impl Arrived {
    /// Whether a program ends by it if it does nothing about it.
    pub(crate) fn ends(self) -> bool {
        !matches!(self.signal, Signal::SIGWINCH | Signal::SIGCONT)
    }
}

/// The signals of this process from now on.
pub(crate) struct Signals(UnboundedReceiver<Arrived>);

/// Blocks the signals in this thread and those that it starts later, so it comes before the first thread.
///
/// A signal that is ignored at the start stays so, as in every shell: `nohup elock …` is not ended by a HUP.
pub(crate) fn block() -> Result<SigSet, Failure> {
    let ignored = ignored();
    let taken: SigSet = TAKEN.into_iter().filter(|signal| ignored & 1 << (*signal as u32 - 1) == 0).collect();
    taken.thread_block().map_err(|error| Failure::system("block signals", error))?;
    Ok(taken)
}

/// The set of signals that are ignored, one bit each. To ask the kernel itself would be `unsafe`.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

impl Signals {
    /// Reads the signals that were blocked, in a thread that ends with the process.
    pub(crate) fn new(blocked: &SigSet) -> Result<Self, Failure> {
        let read = SignalFd::with_flags(blocked, SfdFlags::SFD_CLOEXEC);
        let read = read.map_err(|error| Failure::system("read signals", error))?;
        let (told, arrived) = unbounded_channel();
        let next = move || loop {
            match read.read_signal() {
                Ok(Some(info)) => {
                    let Ok(signal) = Signal::try_from(info.ssi_signo.cast_signed()) else { continue };
                    break Some(Arrived { signal, reaches_command: reaches_command(signal, info.ssi_code) });
                }
                Ok(None) | Err(Errno::EINTR) => {}
                // It cannot fail as it is read here. Without signals the command goes on.
                Err(_) => break None,
            }
        };
        let reading = thread::Builder::new().name("signals".to_owned());
        reading
            .spawn(move || std::iter::from_fn(next).all(|arrived| told.send(arrived).is_ok()))
            .map_err(|error| Failure::system("start a thread", error))?;
        Ok(Self(arrived))
    }

    /// The next one. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Arrived {
        match self.0.recv().await {
            Some(arrived) => arrived,
            None => std::future::pending().await,
        }
    }
}

/// Whether the terminal has sent it to the command too. A terminal that hangs up tells only the leader of its session.
fn reaches_command(signal: Signal, code: i32) -> bool {
    let leads_session = || getsid(None) == Ok(getpid());
    code == FROM_KERNEL && !(matches!(signal, Signal::SIGHUP | Signal::SIGCONT) && leads_session())
}

/// Ends this process by the signal, so that who waits for it sees that. Comes back if the signal does not end it.
pub(crate) fn die_of(signal: Signal) -> u8 {
    let set: SigSet = [signal].into_iter().collect();
    let _ = set.thread_unblock();
    let _ = raise(signal);
    crate::status::SIGNAL + signal as u8
}

/// Sends the signal. `false` if there is no such process any more.
pub(crate) fn send(pid: Pid, signal: Signal) -> bool {
    nix::sys::signal::kill(pid, signal).is_ok()
}
