//! What the daemon does on signals: SIGHUP reads the settings again, SIGTERM and SIGINT begin the shutdown, and a second
//! one of those cuts it short. What a shutdown is, the server knows.

use crate::logging::Logging;
use crate::settings::{self, Changes, Loaded};
use elockd_server::Monitor;
use std::ffi::OsString;
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

/// The signals that the daemon knows.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to watch for them.
    ///
    /// # Errors
    ///
    /// If the system does not allow it.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads on each SIGHUP, until a signal ends the daemon. Returns itself, for a second such signal.
    pub(crate) async fn until_shutdown(
        mut self,
        args: &[OsString],
        mut loaded: Loaded,
        logging: &Logging,
        monitor: Monitor,
    ) -> Self {
        let name = loop {
            tokio::select! {
                biased;
                name = end(&mut self.terminate, &mut self.interrupt) => break name,
                _ = self.hangup.recv() => reload(args, &mut loaded, logging, &monitor),
            }
        };
        info!("shutting down on {name}");
        self
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

/// Reads all settings again and changes what can be changed. Wrong settings change nothing.
fn reload(args: &[OsString], loaded: &mut Loaded, logging: &Logging, monitor: &Monitor) {
    // The log is opened again in any case: programs that move log files count on it.
    let reopen = |file: Option<&Path>| {
        let reopened = logging.reopen(file);
        reopened.inspect_err(|error| error!("{error}; the log goes on where it was")).is_ok()
    };
    let newer = match settings::load(args) {
        Ok(newer) => newer,
        Err(refusal) => {
            reopen(loaded.settings.log.file.as_deref());
            return error!("reloaded nothing, the settings are wrong: {}", refusal.line());
        }
    };
    let is_log_open = reopen(newer.settings.log.file.as_deref());
    if !is_log_open && newer.settings.log.file != loaded.settings.log.file {
        reopen(loaded.settings.log.file.as_deref());
    }
    let Changes { applied, ignored, failed } = loaded.replace(newer, is_log_open);
    logging.set_level(loaded.settings.log.level);
    monitor.tune(loaded.settings.server.tunables());
    info!("reloaded on SIGHUP, {} settings changed", applied.len());
    for change in applied {
        info!("changed {change}");
    }
    for change in ignored {
        warn!("not changed until the next start: {change}");
    }
    for change in failed {
        warn!("not changed, for the reason above: {change}");
    }
}
