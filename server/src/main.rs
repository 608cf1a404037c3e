//! The daemon: settings from the command line, then the server until a signal says stop.
//!
//! Exit status: 0 after SIGTERM or SIGINT; 1 when it cannot start; 2 for a wrong command line; 70 when
//! the machine panicked, which is a bug.

mod allocator;
mod cli;

use cli::Settings;
use elockd_server::Server;
use elockd_server::listen::{TcpListener, TcpOptions, UnixListener};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::ExitCode;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

/// File descriptors that are not connections: standard streams, listeners, the runtime's own.
const OTHER_FILES: u64 = 32;

/// Why the daemon did not start.
#[derive(Debug, Error)]
enum StartError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("nothing to listen on: --port is 0, and neither --listen with a port nor --unix is given")]
    NoListener,
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("cannot watch for signals: {0}")]
    Signals(std::io::Error),
}

fn main() -> ExitCode {
    let settings = cli::parse();
    allocator::return_large_blocks();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).with_ansi(false).init();
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> Result<(), StartError> {
    raise_file_limit(settings.server.machine.limits.connections);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(StartError::Runtime)?.block_on(serve(settings))
}

async fn serve(settings: Settings) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let mut config = settings.server;
    config.on_panic = Some(elockd_server::end_process);
    let server = Server::new(config);
    let mut listeners = 0;
    for address in settings.tcp {
        let options = TcpOptions { peer_timeout: settings.peer_timeout };
        let listener = TcpListener::bind(address, options)
            .map_err(|source| StartError::Listen { address: format!("tcp {address}"), source })?;
        server.listen(listener);
        listeners += 1;
    }
    if let Some(path) = settings.unix {
        let listener = UnixListener::bind(&path, settings.unix_mode)
            .map_err(|source| StartError::Listen { address: format!("unix {}", path.display()), source })?;
        server.listen(listener);
        listeners += 1;
    }
    if listeners == 0 {
        return Err(StartError::NoListener);
    }
    let shutdown = async {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!("shutting down on {name}");
    };
    server.run(shutdown).await;
    info!("shut down");
    Ok(())
}

/// Raises the soft limit of open files to the hard one, and says so when that is too low for the
/// connections that are allowed.
fn raise_file_limit(connections: u32) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        warn!("cannot raise the limit of open files: {error}");
    }
    // `None` is no limit at all.
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < u64::from(connections) + OTHER_FILES {
        warn!(
            "--max-connections is {connections}, but the limit of {files} open files leaves room for about \
             {}; raise it with `ulimit -n` or LimitNOFILE=",
            files.saturating_sub(OTHER_FILES)
        );
    }
}
