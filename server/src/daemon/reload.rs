//! A reload: the settings are read again, and what can change while the daemon runs is changed. Wrong settings change
//! nothing. Files are opened and read by a thread of their own, so nobody waits for one that hangs.

use crate::files::Files;
use crate::logging::{self, LogError, Logging, Sink};
use crate::settings::{self, Changes, Loaded, Occasion, Opened, Refusal};
use crate::tls;
use elockd_cluster::net::{Tls as LinkTls, TlsError as LinkTlsError};
use elockd_server::Monitor;
use elockd_server::gate::Gate;
use elockd_server::listen::{Tls, TlsError, TlsSetup};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use tracing::{error, info, warn};

/// How long files may take until a line of the log says that they hang.
const PATIENCE: Duration = Duration::from_secs(5);

/// All that a reload needs and changes.
pub(crate) struct Reload<'a, G: Gate> {
    args: &'a [OsString],
    loaded: Loaded,
    files: &'a Files,
    logging: &'a Logging,
    monitor: Monitor<G>,
    certificates: Certificates,
}

/// Certificates that are in use.
#[derive(Clone)]
pub(crate) struct Certificates {
    /// Those that clients see.
    pub(crate) clients: Option<Tls>,
    /// Those of the links to the other nodes of a cluster.
    pub(crate) links: Option<LinkTls>,
}

impl<'a, G: Gate> Reload<'a, G> {
    /// Begins with the settings that the daemon was started with.
    pub(crate) fn new(
        args: &'a [OsString],
        loaded: Loaded,
        files: &'a Files,
        logging: &'a Logging,
        monitor: Monitor<G>,
        certificates: Certificates,
    ) -> Self {
        Self { args, loaded, files, logging, monitor, certificates }
    }

    /// Reloads once.
    pub(crate) async fn run(&mut self) {
        let (args, log_file) = (self.args.to_vec(), self.loaded.settings.log.file.clone());
        let links = self.certificates.links.clone();
        let mut reading = self.files.run(move || Found::look(&args, log_file.as_deref(), links.as_ref()));
        let in_time = timeout(PATIENCE, &mut reading).await;
        if in_time.is_err() {
            warn!("a file hangs that SIGHUP reads or opens again: it changes nothing until that is over");
        }
        let found = if let Ok(found) = in_time { found } else { reading.await };
        if let Ok(found) = found {
            self.change(found).await;
        } else {
            error!("reloaded nothing, the thread that reads files has ended");
        }
    }

    async fn change(&mut self, found: Found) {
        if let Some(sink) = found.sink {
            self.logging.switch(sink);
        }
        for error in found.errors {
            error!("{error}; the log goes on where it was");
        }
        let newer = match found.newer {
            Ok(newer) => newer,
            Err(refusal) => return error!("reloaded nothing, the settings are wrong: {}", refusal.line()),
        };
        let (old, new) = (self.loaded.settings.log.level, newer.settings.log.level);
        let certificates = match (&self.certificates.clients, found.tls) {
            (Some(tls), Some(Ok(setup))) => {
                tls::tell_of(&setup);
                tls.replace(setup);
                true
            }
            (_, Some(Err(error))) => {
                error!("{error}; TLS goes on with the certificates that it has");
                false
            }
            _ => false,
        };
        match found.links {
            Some(Ok(())) => info!("read the certificates of links to other nodes again"),
            Some(Err(error)) => {
                error!("{error}; links to other nodes go on with the certificates that they have");
            }
            None => {}
        }
        let opened = Opened { log: found.is_log_open, certificates };
        let Changes { applied, ignored, failed, is_other_rulebook } = self.loaded.replace(newer, opened);
        self.monitor.tune(self.loaded.settings.server.tunables());
        // What is said about the changes is shown if the old level or the new one shows it.
        self.logging.set_level(old.max(new));
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
        if is_other_rulebook {
            self.renew_access().await;
        }
        self.logging.set_level(new);
    }

    /// Puts the access rules in force that were read.
    async fn renew_access(&self) {
        let Some(rulebook) = &self.loaded.settings.rulebook else { return };
        match self.monitor.renew_access(rulebook).await {
            Ok(closed) => {
                let tokens = rulebook.tokens.as_ref().map_or(0, |tokens| tokens.lines().count());
                let accounts = rulebook.entries.len();
                info!("changed access: {tokens} tokens, rules of {accounts} accounts");
                if closed > 0 {
                    warn!("closed {closed} connections of accounts that are gone");
                }
            }
            Err(error) => error!("access has not changed: {error}"),
        }
    }
}

/// What the files had.
struct Found {
    newer: Result<Loaded, Refusal>,
    /// Where the log goes on. It is opened again in any case, because programs that rotate log files need it.
    sink: Option<Sink>,
    /// Why it does not go on somewhere else.
    errors: Vec<LogError>,
    /// Whether the file of `newer` could be opened.
    is_log_open: bool,
    /// The certificates, if there are any.
    tls: Option<Result<TlsSetup, TlsError>>,
    /// Whether the certificates of links were read again, if there are any.
    links: Option<Result<(), LinkTlsError>>,
}

impl Found {
    /// Reads the settings and the certificates, and opens the log's file: the new one, or else the old one.
    fn look(args: &[OsString], old_log: Option<&Path>, links: Option<&LinkTls>) -> Self {
        let newer = settings::load(args, Occasion::Reload);
        let new_log = newer.as_ref().ok().map(|newer| newer.settings.log.file.as_deref());
        let mut errors = Vec::new();
        let mut open = |file| logging::open(file).map_err(|error| errors.push(error)).ok();
        let opened = new_log.and_then(&mut open);
        let is_log_open = opened.is_some();
        let is_other = new_log != Some(old_log);
        let sink = opened.or_else(|| if is_other { open(old_log) } else { None });
        let tls_files = newer.as_ref().ok().and_then(|newer| newer.settings.tls_files.as_ref());
        let tls = tls_files.map(tls::load_valid);
        Self { newer, sink, errors, is_log_open, tls, links: links.map(LinkTls::reload) }
    }
}
