//! The daemon: settings, then the server until a signal says stop. Under munin it is a plugin instead, and `elockd
//! token` and `elockd rules` are tools for those who look after it.
//!
//! Exit status: 0 after SIGTERM or SIGINT, also if a second one cut the shutdown short; 1 if it cannot start; 2 for
//! wrong settings; 70 if the machine panicked, which is a bug. Of a node of a cluster also 70 if its state is not that
//! of the others, 74 if its disk failed, 75 if it could not let go of its clients in time, and 77 if it was removed, or
//! is not to be started again for another reason.

// They panic if nobody takes what they print.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod access;
mod allocator;
mod cluster;
mod files;
mod logging;
mod metrics;
mod munin;
mod open_files;
mod output;
#[cfg(test)]
mod pages;
mod pidfile;
mod reload;
mod runtime;
mod settings;
mod signals;
mod tls;

use cluster::{ClusterError, Member, Prepared, TellNode, Told};
use elockd_cluster::net::Tls as LinkTls;
use elockd_cluster::store::StateDirectory;
use elockd_server::Server;
use elockd_server::gate::Gate;
use elockd_server::listen::{AdminListener, TcpListener, Then, Tls, TlsError, TlsSetup, UnixListener};
use elockd_server::tokens::{FileTokens, StateError};
use files::Files;
use logging::{LogError, Logging};
use metrics::Metrics;
use output::tell;
use pidfile::{PidFile, PidFileError};
use reload::Certificates;
use settings::{Loaded, Occasion, Settings};
use signals::{Earliest, Signals};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{error, info, warn};

/// How long the end of the daemon waits for its threads, and for its files.
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
    #[error("{} belongs to a node of a cluster: set --cluster-listen, or use another --state-dir", .path.display())]
    NeedsCluster { path: PathBuf },
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot start the thread that watches lapses: {0}")]
    Watchdog(std::io::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("cannot watch for signals: {0}")]
    Signals(std::io::Error),
    #[error("cannot start the thread that opens files: {0}")]
    Files(std::io::Error),
    #[error("the thread that opens files has ended")]
    FilesEnded,
}

impl StartError {
    /// The exit status.
    fn status(&self) -> u8 {
        match self {
            Self::Cluster(error) if error.is_for_good() => cluster::NOT_AGAIN,
            _ => CANNOT_START,
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if munin::is_meant(&args) {
        return munin::main(&args);
    }
    if access::is_meant(&args) {
        return access::main(&args);
    }
    if cluster::is_meant(&args) {
        return cluster::main(&args);
    }
    // First of all: by default SIGHUP ends a process, and a supervisor may send it at any time.
    let earliest = match Earliest::new() {
        Ok(earliest) => earliest,
        Err(error) => {
            tell(format_args!("elockd: {}", StartError::Signals(error)));
            return ExitCode::from(CANNOT_START);
        }
    };
    let loaded = match settings::load(&args, Occasion::Start) {
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
    let status = match run(&args, loaded, earliest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Who started it looks at stderr, wherever the log goes.
            tell(format_args!("elockd: {error}"));
            error!("{error}");
            ExitCode::from(error.status())
        }
    };
    logging::flush();
    status
}

fn run(args: &[OsString], mut loaded: Loaded, earliest: Earliest) -> Result<(), StartError> {
    let logging = Logging::start(&loaded.settings.log)?;
    std::panic::set_hook(Box::new(tell_of_panic));
    // Before anything exists that the daemon must remove at its end.
    let mut signals = Signals::new(earliest).map_err(StartError::Signals)?;
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
    let files = Files::start().map_err(StartError::Files)?;
    let Some(OwnFiles { pidfile, tokens, tls, node }) =
        runtime.block_on(own(&files, &loaded.settings, &mut signals))?
    else {
        return Ok(());
    };
    let descriptors = open_files::raise_limit();
    let Settings { tcp, tls: with_tls, ws, wss, server, .. } = &mut loaded.settings;
    let addresses = tcp.len() + with_tls.len() + ws.len() + wss.len();
    open_files::divide(descriptors, addresses, server);
    let own = OwnFiles { pidfile: None, tokens, tls, node };
    let served = runtime.block_on(serve(args, loaded, signals, own, &files, &logging));
    // A disk that hangs may still be writing a record of tokens, on a thread of its own. It is safe not to wait for it.
    runtime.shutdown_timeout(LAST_TASKS);
    // Last of all: until here no other daemon may take the pidfile.
    if let Some(pidfile) = pidfile
        && !files.run_within(LAST_TASKS, move || drop(pidfile))
    {
        warn!("the pidfile may be left behind: the thread that opens files hangs");
    }
    served
}

/// Says what a panic is, on stderr. The standard library would wait there until somebody takes it.
fn tell_of_panic(panicked: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace: &dyn std::fmt::Display = match backtrace.status() {
        BacktraceStatus::Captured => &backtrace,
        _ => &"for a backtrace, set RUST_BACKTRACE=1",
    };
    tell(format_args!("thread '{}' {panicked}\n{backtrace}", thread.name().unwrap_or("without a name")));
}

/// Ends the process after the machine's panic, once the log is written.
fn end_after_panic() {
    logging::flush();
    elockd_server::end_process();
}

/// Ends the process because sockets are open after a lapse: the kernel closes them.
fn end_after_late_lapse() {
    error!("a lapse did not close all sockets in time: ending, so that the system does");
    logging::flush();
    std::process::exit(elockd_server::EXIT_LATE);
}

/// Files that are the daemon's own while it runs.
struct OwnFiles {
    pidfile: Option<PidFile>,
    tokens: Option<FileTokens>,
    tls: Option<TlsSetup>,
    node: Option<Prepared>,
}

/// Opens them. A signal that ends the daemon is heeded meanwhile, and then there are none.
async fn own(
    files: &Files,
    settings: &Settings,
    signals: &mut Signals,
) -> Result<Option<OwnFiles>, StartError> {
    let (pidfile, state_dir) = (settings.pidfile.clone(), settings.state_dir.clone());
    let (tls_files, clustered) = (settings.tls_files.clone(), settings.cluster.clone());
    let machine = settings.server.machine.clone();
    let mut opening = files.run(move || -> Result<OwnFiles, StartError> {
        let pidfile = pidfile.as_deref().map(PidFile::create).transpose()?;
        let tls = tls_files.as_ref().map(tls::load).transpose()?;
        let node = clustered.as_ref().map(|clustered| cluster::prepare(clustered, &machine)).transpose()?;
        // Those of a cluster come by its log.
        let tokens = match state_dir {
            Some(dir) if node.is_none() => {
                if StateDirectory::is_one(&dir).unwrap_or(false) {
                    return Err(StartError::NeedsCluster { path: dir });
                }
                Some(FileTokens::open(&dir)?)
            }
            _ => None,
        };
        Ok(OwnFiles { pidfile, tokens, tls, node })
    });
    tokio::select! {
        opened = &mut opening => opened.unwrap_or(Err(StartError::FilesEnded)).map(Some),
        name = signals.end() => {
            info!("ended by {name} at the start");
            // What is opened in time is removed.
            drop(timeout(LAST_TASKS, opening).await);
            Ok(None)
        }
    }
}

async fn serve(
    args: &[OsString],
    loaded: Loaded,
    signals: Signals,
    own: OwnFiles,
    files: &Files,
    logging: &Logging,
) -> Result<(), StartError> {
    let settings = &loaded.settings;
    let mut config = settings.server.clone();
    config.on_panic = Some(end_after_panic);
    info!("elockd {} is process {}", env!("CARGO_PKG_VERSION"), std::process::id());
    let OwnFiles { tokens, tls, node, .. } = own;
    let (Some(prepared), Some(clustered)) = (node, settings.cluster.clone()) else {
        let mut server = Server::new(config);
        if let Some(tokens) = tokens {
            server = server.tokens_from(tokens);
        }
        let seen = Seen { tls, links: None, node: None, told_to_end: Box::pin(pending()) };
        return Box::pin(serve_through(server, args, loaded, signals, seen, files, logging)).await;
    };
    prepared.adopt(&mut config.machine);
    let machine = config.machine.clone();
    let links = prepared.tls();
    let (door, inside) = prepared.door();
    let server = Server::clustered(config, door);
    server.watch_lapses(end_after_late_lapse).map_err(StartError::Watchdog)?;
    let mut member = Member::start(prepared, &clustered, server.replica(), inside, machine).await?;
    let told_to_end = member.told_to_leave();
    let seen = Seen { tls, links, node: Some(member.tell()), told_to_end };
    let outcome = Box::pin(serve_through(server, args, loaded, signals, seen, files, logging)).await;
    member.stop().await;
    outcome
}

/// What of a server depends on how it runs.
struct Seen {
    tls: Option<TlsSetup>,
    /// The certificates of links to other nodes.
    links: Option<LinkTls>,
    /// Tells of this node.
    node: Option<TellNode>,
    /// Ready when the daemon is to end, without a signal.
    told_to_end: Told,
}

/// Listens, and serves until a signal says stop.
async fn serve_through<G: Gate>(
    server: Server<G>,
    args: &[OsString],
    loaded: Loaded,
    mut signals: Signals,
    seen: Seen,
    files: &Files,
    logging: &Logging,
) -> Result<(), StartError> {
    let settings = &loaded.settings;
    let bind = |address| {
        TcpListener::bind(address, settings.tcp_options.clone())
            .map_err(|source| StartError::Listen { address: format!("tcp {address}"), source })
    };
    for &address in &settings.tcp {
        if settings.proxy.is_on() {
            server.listen_through(bind(address)?, settings.proxy.clone());
        } else {
            server.listen(bind(address)?);
        }
    }
    let tls = seen.tls.map(|setup| {
        tls::tell_of(&setup);
        Tls::new(setup)
    });
    if let Some(tls) = &tls {
        for &address in &settings.tls {
            server.listen_through(bind(address)?, Then(settings.proxy.clone(), tls.clone()));
        }
    }
    let (proxy, web_socket) = (&settings.proxy, &settings.web_socket);
    for &address in &settings.ws {
        server.listen_through(bind(address)?, Then(proxy.clone(), web_socket.clone()));
    }
    if let Some(tls) = &tls {
        for &address in &settings.wss {
            let secure = Then(proxy.clone(), tls.for_web());
            server.listen_through(bind(address)?, Then(secure, web_socket.clone()));
        }
    }
    let metrics = settings.metrics.map(|address| {
        Metrics::bind(address, server.monitor(), seen.node, tls.clone())
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
    let certificates = Certificates { clients: tls, links: seen.links };
    let shutdown = async {
        tokio::select! {
            biased;
            () = signals.until_shutdown(args, loaded, files, logging, monitor, certificates) => {}
            () = seen.told_to_end => info!("shutting down: this node is being removed from its cluster"),
        }
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
