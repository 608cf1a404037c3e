//! The daemon: settings, then the server until a signal says stop. Under munin it is a plugin instead.
//!
//! Exit status: 0 after SIGTERM or SIGINT, also if a second one cut the shutdown short; 1 if it cannot start; 2 for
//! wrong settings; 70 if the machine panicked, which is a bug.

// They panic if nobody takes what they print.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod allocator;
mod logging;
mod metrics;
mod munin;
mod open_files;
mod output;
#[cfg(test)]
mod pages;
mod pidfile;
mod runtime;
mod settings;
mod signals;

use elockd_server::Server;
use elockd_server::listen::{AdminListener, TcpListener, UnixListener};
use elockd_server::tokens::{FileTokens, StateError};
use logging::{LogError, Logging};
use metrics::Metrics;
use output::tell;
use pidfile::{PidFile, PidFileError};
use settings::Loaded;
use signals::{Earliest, Signals};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

/// How long the end of the daemon waits for its threads.
const LAST_TASKS: Duration = Duration::from_secs(1);
/// The exit status of a daemon that cannot start.
const CANNOT_START: u8 = 1;

/// Why the daemon did not start.
#[derive(Debug, Error)]
enum StartError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("cannot watch for signals: {0}")]
    Signals(std::io::Error),
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if munin::is_meant(&args) {
        return munin::main(&args);
    }
    // First of all: by default SIGHUP ends a process, and a supervisor may send it at any time.
    let earliest = match Earliest::new() {
        Ok(earliest) => earliest,
        Err(error) => {
            tell(format_args!("elockd: {}", StartError::Signals(error)));
            return ExitCode::from(CANNOT_START);
        }
    };
    let loaded = match settings::load(&args) {
        Ok(loaded) => loaded,
        Err(refusal) => return refusal.exit(),
    };
    if loaded.is_check {
        for warning in &loaded.warnings {
            tell(format_args!("warning: {warning}"));
        }
        return output::print(&loaded.report());
    }
    allocator::set_up();
    match run(&args, loaded, earliest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Who started it looks at stderr, wherever the log goes.
            tell(format_args!("elockd: {error}"));
            error!("{error}");
            ExitCode::from(CANNOT_START)
        }
    }
}

fn run(args: &[OsString], mut loaded: Loaded, earliest: Earliest) -> Result<(), StartError> {
    let logging = Logging::start(&loaded.settings.log)?;
    // Before anything exists that the daemon must remove at its end.
    let signals = Signals::new(earliest).map_err(StartError::Signals)?;
    if elockd_core::probe::ARE_COMPILED_IN && !cfg!(debug_assertions) {
        warn!(
            "this build has the tests' planted bugs in it, though asleep: build with `cargo build --release`"
        );
    }
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let runtime =
        runtime::make(loaded.settings.threads, i32::from(CANNOT_START)).map_err(StartError::Runtime)?;
    let pidfile = loaded.settings.pidfile.as_deref().map(PidFile::create).transpose()?;
    let tokens = loaded.settings.state_dir.as_deref().map(FileTokens::open).transpose()?;
    let files = open_files::raise_limit();
    open_files::divide(files, loaded.settings.tcp.len(), &mut loaded.settings.server);
    let served = runtime.block_on(serve(args, loaded, signals, tokens, &logging));
    // A disk that hangs may still be writing a record of tokens, on a thread of its own. It is safe not to wait for it.
    runtime.shutdown_timeout(LAST_TASKS);
    served?;
    // Last of all: until here no other daemon may take the pidfile.
    drop(pidfile);
    Ok(())
}

async fn serve(
    args: &[OsString],
    loaded: Loaded,
    signals: Signals,
    tokens: Option<FileTokens>,
    logging: &Logging,
) -> Result<(), StartError> {
    let settings = &loaded.settings;
    let mut config = settings.server.clone();
    config.on_panic = Some(elockd_server::end_process);
    info!("elockd {} is process {}", env!("CARGO_PKG_VERSION"), std::process::id());
    let mut server = Server::new(config);
    if let Some(tokens) = tokens {
        server = server.tokens_from(tokens);
    }
    for &address in &settings.tcp {
        let listener = TcpListener::bind(address, settings.tcp_options.clone())
            .map_err(|source| StartError::Listen { address: format!("tcp {address}"), source })?;
        server.listen(listener);
    }
    let metrics = settings.metrics.map(|address| {
        Metrics::bind(address, server.monitor())
            .map_err(|source| StartError::Listen { address: format!("http {address}"), source })
    });
    let metrics = metrics.transpose()?;
    if let Some(path) = &settings.unix {
        let listener = UnixListener::bind(path, settings.unix_mode)
            .map_err(|source| StartError::Listen { address: format!("unix {}", path.display()), source })?;
        server.listen(listener);
    }
    if let Some(path) = &settings.admin_unix {
        let listener = AdminListener::bind(path, settings.admin_unix_mode)
            .map_err(|source| StartError::Listen { address: format!("unix {}", path.display()), source })?;
        server.listen(listener);
    }
    let metrics = metrics.map(|metrics| tokio::spawn(metrics.serve()));
    let monitor = server.monitor();
    let (begin, has_begun) = oneshot::channel();
    let shutdown = async {
        let signals = signals.until_shutdown(args, loaded, logging, monitor).await;
        // This fails only if the server has ended.
        let _ = begin.send(signals);
    };
    tokio::select! {
        () = server.run(shutdown) => {}
        // The runtime drops what is left of the server.
        name = signals::again(has_begun) => warn!("{name} while shutting down: not waiting any longer"),
    }
    if let Some(metrics) = metrics {
        metrics.abort();
    }
    info!("shut down");
    Ok(())
}
