//! The signals that elock takes, and who sent them. A terminal's signal reaches the whole foreground group, the command
//! too, so it must not be handed on a second time.
//!
//! They are caught and not blocked, because a command inherits what is blocked.

use crate::status::Failure;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getsid};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::emulate_default_handler;
use signal_hook::low_level::siginfo::{Cause, Origin};
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

impl Signals {
    /// Catches them, in a thread that ends with the process.
    ///
    /// A signal that is ignored at the start stays so, as in every shell: `nohup elock …` is not ended by a HUP.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let ignored = ignored();
        let numbers =
            TAKEN.into_iter().map(|signal| signal as i32).filter(|number| ignored & 1 << (number - 1) == 0);
        let mut caught = SignalsInfo::<WithOrigin>::new(numbers)
            .map_err(|error| Failure::system("catch signals", error))?;
        let (told, arrived) = unbounded_channel();
        let tell = move || {
            caught.forever().filter_map(|origin| of(&origin)).all(|arrived| told.send(arrived).is_ok());
        };
        let reading = thread::Builder::new().name("signals".to_owned()).spawn(tell);
        reading.map_err(|error| Failure::system("start a thread", error))?;
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

/// The set of signals that are ignored, one bit each. To ask the kernel itself would be `unsafe`.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn of(origin: &Origin) -> Option<Arrived> {
    let signal = Signal::try_from(origin.signal).ok()?;
    let leads_session = || getsid(None) == Ok(getpid());
    // A terminal that hangs up tells only the leader of its session.
    let is_for_leader = || matches!(signal, Signal::SIGHUP | Signal::SIGCONT) && leads_session();
    Some(Arrived { signal, reaches_command: origin.cause == Cause::Kernel && !is_for_leader() })
}

/// Ends this process by the signal, so that who waits for it sees that. Comes back if the signal does not end it.
pub(crate) fn die_of(signal: Signal) -> u8 {
    crate::secret::restore();
    let _ = emulate_default_handler(signal as i32);
    crate::status::SIGNAL + signal as u8
}

/// Sends the signal. `false` if there is no such process any more.
pub(crate) fn send(pid: Pid, signal: Signal) -> bool {
    nix::sys::signal::kill(pid, signal).is_ok()
}
