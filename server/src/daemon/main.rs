//! The daemon: settings, then the server until a signal says stop. Under munin it is a plugin instead.
//!
//! Exit status: 0 after SIGTERM or SIGINT, also after a second one that cut the end short; 1 when it cannot start; 2 for wrong settings; 70 when the machine
//! panicked, which is a bug.

mod allocator;
mod logging;
mod metrics;
mod munin;
#[cfg(test)]
mod pages;
mod pidfile;
mod settings;

use elockd_server::listen::{AdminListener, TcpListener, UnixListener};
use elockd_server::tokens::{FileTokens, StateError};
use elockd_server::{Monitor, Server};
use logging::{LogError, Logging};
use metrics::Metrics;
use pidfile::{PidFile, PidFileError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::{Changes, Loaded};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

/// File descriptors that are not connections of clients: standard streams, listeners, the runtime's own, files of state,
/// clients of metrics, a few operators.
const OTHER_FILES: u64 = 64;

/// How long the end waits for a record of fencing tokens that is being made.
const LAST_RECORD: Duration = Duration::from_secs(1);

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
    let loaded = match settings::load(&args) {
        Ok(loaded) => loaded,
        Err(refusal) => return refusal.exit(),
    };
    if loaded.is_check {
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        print!("{}", loaded.report());
        return ExitCode::SUCCESS;
    }
    allocator::set_up();
    match run(&args, loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started it looks at stderr, wherever the log is.
            eprintln!("elockd: {error}");
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString], loaded: Loaded) -> Result<(), StartError> {
    let logging = Logging::start(&loaded.settings.log)?;
    if elockd_core::probe::ARE_COMPILED_IN && !cfg!(debug_assertions) {
        warn!(
            "this build has the tests' planted bugs in it, though asleep: build with `cargo build --release`"
        );
    }
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let pidfile = loaded.settings.pidfile.as_deref().map(PidFile::create).transpose()?;
    let tokens = loaded.settings.state_dir.as_deref().map(FileTokens::open).transpose()?;
    raise_file_limit(loaded.settings.server.machine.limits.connections);
    let runtime = runtime(loaded.settings.threads).map_err(StartError::Runtime)?;
    let served = runtime.block_on(serve(args, loaded, tokens, &logging));
    // A disk that hangs may still have a record of tokens under way: nothing comes of not waiting for that.
    runtime.shutdown_timeout(LAST_RECORD);
    served?;
    // After everything else: until here no other daemon may take it.
    drop(pidfile);
    Ok(())
}

/// What runs the server's tasks. One thread needs no queue that others can take from.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    let mut runtime = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        runtime.worker_threads(threads);
    }
    runtime.enable_all().build()
}

async fn serve(
    args: &[OsString],
    loaded: Loaded,
    tokens: Option<FileTokens>,
    logging: &Logging,
) -> Result<(), StartError> {
    let signals = Signals::new().map_err(StartError::Signals)?;
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
        // Nobody waits for it only when the server has ended.
        let _ = begin.send(signals);
    };
    tokio::select! {
        () = server.run(shutdown) => {}
        // What the server still has is dropped with the runtime.
        name = again(has_begun) => warn!("{name} while shutting down: not waiting any longer"),
    }
    if let Some(metrics) = metrics {
        metrics.abort();
    }
    info!("shut down");
    Ok(())
}

/// The signals that the daemon knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads whenever that is asked for, until it is to end. Gives itself back for what comes then.
    async fn until_shutdown(
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

/// Waits for a signal that ends the daemon: its name.
async fn end(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Waits for the same once more, after the shutdown has begun.
async fn again(has_begun: oneshot::Receiver<Signals>) -> &'static str {
    match has_begun.await {
        Ok(mut signals) => end(&mut signals.terminate, &mut signals.interrupt).await,
        // The server has ended.
        Err(_) => std::future::pending().await,
    }
}

/// Reads all settings again and changes what can be changed. Wrong settings change nothing.
fn reload(args: &[OsString], loaded: &mut Loaded, logging: &Logging, monitor: &Monitor) {
    // The log is opened anew in any case: that is what programs that move log files count on.
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
