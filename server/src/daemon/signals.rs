//! What the daemon does on signals: SIGHUP reads the settings again, SIGTERM and SIGINT begin the shutdown, and a
//! second one of those cuts it short. What a shutdown is, the server knows. Signals that mean nothing to the daemon do
//! nothing: by default most of them would end it, and all locks with it.

use crate::files::Files;
use crate::logging::Logging;
use crate::reload::{Certificates, Reload};
use crate::settings::Loaded;
use elockd_server::Monitor;
use elockd_server::gate::Gate;
use rustix::process::Signal as Number;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::pin::pin;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::info;

/// Signals that end a process unless it says otherwise, and that have no meaning for the daemon. SIGPIPE is ignored
/// already. After SIGXFSZ, a write beyond a limit of file sizes fails like one on a full disk.
const WITHOUT_MEANING: [Number; 7] =
    [Number::USR1, Number::USR2, Number::ALARM, Number::VTALARM, Number::PROF, Number::IO, Number::XFSZ];

/// More of them, on Linux.
#[cfg(target_os = "linux")]
const OF_LINUX: [Number; 2] = [Number::POWER, Number::STKFLT];
#[cfg(not(target_os = "linux"))]
const OF_LINUX: [Number; 0] = [];

/// The numbers of real-time signals on Linux. Elsewhere some are missing, which does no harm.
const REAL_TIME: RangeInclusive<i32> = 34..=64;

/// What is done about signals before anything else.
#[derive(Debug)]
pub(crate) struct Earliest {
    hangup: Signal,
    /// To watch for a signal takes a runtime, and the daemon's own needs the settings. This one runs nothing: what
    /// arrives is kept outside of it, until the daemon's own looks.
    runtime: Runtime,
}

impl Earliest {
    /// Keeps each SIGHUP for later, and makes signals without a meaning do nothing. SIGTERM and SIGINT still end the
    /// process: nothing can be lost yet, and a settings file may be long in coming.
    ///
    /// # Errors
    ///
    /// If the system does not allow it.
    pub(crate) fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let context = runtime.enter();
        let hangup = signal(SignalKind::hangup())?;
        let numbers = WITHOUT_MEANING.iter().chain(&OF_LINUX).map(|number| number.as_raw());
        for number in numbers.chain(REAL_TIME) {
            // Once watched for, a signal never does what it did by default, even if nobody watches any more. It fails
            // for numbers that this system does not have.
            let _ = signal(SignalKind::from_raw(number));
        }
        drop(context);
        Ok(Self { hangup, runtime })
    }
}

/// The signals that the daemon knows.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to watch for all of them. From here on SIGTERM and SIGINT end the daemon in order.
    ///
    /// # Errors
    ///
    /// If the system does not allow it.
    pub(crate) fn new(earliest: Earliest) -> std::io::Result<Self> {
        let Earliest { hangup, runtime } = earliest;
        let _context = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
        })
    }

    /// Waits for a signal that ends the daemon. Returns its name.
    pub(crate) async fn end(&mut self) -> &'static str {
        end(&mut self.terminate, &mut self.interrupt).await
    }

    /// Reloads on each SIGHUP, until a signal ends the daemon. While it reloads, further SIGHUPs are kept, and count as
    /// one.
    pub(crate) async fn until_shutdown<G: Gate>(
        &mut self,
        args: &[OsString],
        loaded: Loaded,
        files: &Files,
        logging: &Logging,
        monitor: Monitor<G>,
        certificates: Certificates,
    ) {
        let Self { terminate, interrupt, hangup } = self;
        let mut reload = Reload::new(args, loaded, files, logging, monitor, certificates);
        let mut reloads = pin!(async {
            while hangup.recv().await.is_some() {
                reload.run().await;
            }
            // There are no more signals.
            std::future::pending::<()>().await;
        });
        let name = tokio::select! {
            biased;
            name = end(terminate, interrupt) => name,
            () = &mut reloads => unreachable!("it never ends"),
        };
        info!("shutting down on {name}");
    }
}

/// Waits for a signal that ends the daemon. Returns its name.
async fn end(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Waits for a second signal that ends the daemon, once the shutdown has begun. Returns its name.
pub(crate) async fn again(has_begun: oneshot::Receiver<Signals>) -> &'static str {
    match has_begun.await {
        Ok(mut signals) => end(&mut signals.terminate, &mut signals.interrupt).await,
        // The server has ended.
        Err(_) => std::future::pending().await,
    }
}
