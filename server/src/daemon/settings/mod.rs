//! The settings: from flags, the environment and a file. A flag overrides the environment, and that overrides the file.
//! All are put together and checked before anything is done. Nothing is opened or changed here.
//!
//! clap does all the parsing. The values of a file are its defaults. So the same rules apply to a value, wherever it
//! comes from.

mod accounts;
mod cluster;
mod environment;
mod file;
mod flags;
mod limits;
mod reload;
mod report;
mod token_file;
mod values;

pub(crate) use cluster::{ClusterSettings, TIMEOUT_MS};
pub(crate) use flags::{LogFormat, LogLevel};
pub(crate) use reload::{Changes, Opened};
#[cfg(test)]
pub(crate) use report::{command_line, table};
pub(crate) use token_file::append as append_token;

use crate::output::tell;
use accounts::{AccountError, AccountTables};
use clap::error::{ContextKind, ErrorKind};
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches};
use cluster::ClusterRefusal;
use elockd_core::{Features, Identity, Secret};
use elockd_server::Config;
use elockd_server::access::{Access, Required, Rulebook, RulebookError};
use elockd_server::listen::{ClientAuth, Proxy, TcpOptions, TlsFiles, WebSocketUpgrade};
use environment::{counts, variable, warnings};
use file::{File, FileError};
use flags::{AuthRequired, ClientCertificate, Flags};
use limits::Limited;
use report::{Values, values};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use thiserror::Error;
use token_file::{ReadTokensError, read_tokens};
use values::ListenAddress;

/// All settings, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) server: Config,
    /// What `server` has its access rules from.
    pub(crate) rulebook: Option<Rulebook>,
    pub(crate) tcp: Vec<SocketAddr>,
    /// Addresses to listen on with TLS.
    pub(crate) tls: Vec<SocketAddr>,
    /// Where certificates are. There if `tls` or `wss` has an address.
    pub(crate) tls_files: Option<TlsFiles>,
    /// Addresses to listen on for WebSockets.
    pub(crate) ws: Vec<SocketAddr>,
    /// Addresses to listen on for WebSockets over TLS.
    pub(crate) wss: Vec<SocketAddr>,
    pub(crate) web_socket: WebSocketUpgrade,
    pub(crate) proxy: Proxy,
    pub(crate) unix: Option<PathBuf>,
    pub(crate) unix_mode: u32,
    pub(crate) admin_unix: Option<PathBuf>,
    pub(crate) admin_unix_mode: u32,
    pub(crate) tcp_options: TcpOptions,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) pidfile: Option<PathBuf>,
    pub(crate) state_dir: Option<PathBuf>,
    /// How it is a node of a cluster, if it is one.
    pub(crate) cluster: Option<ClusterSettings>,
    /// Threads that serve connections.
    pub(crate) threads: usize,
    pub(crate) log: Log,
}

/// What is logged, how, and where.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// `None` is stderr.
    pub(crate) file: Option<PathBuf>,
    pub(crate) format: LogFormat,
    pub(crate) level: LogLevel,
}

/// When settings are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    Start,
    /// The daemon runs already.
    Reload,
}

/// Settings, and where they came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    /// Whether they are only to be checked.
    pub(crate) is_check: bool,
    /// Warnings about variables that look like settings and are not, and about risks.
    pub(crate) warnings: Vec<String>,
    accounts: AccountTables,
    values: Values,
}

/// Why there are no settings: they are wrong, or help or the version was asked for.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// Help, the version, or a wrong flag.
    #[error("{0}")]
    Flags(clap::Error),
    #[error("in the environment, {variable}: {reason}")]
    Environment { variable: String, reason: String },
    #[error("in {}: {error}", .path.display())]
    File { path: PathBuf, error: FileError },
    #[error(
        "--max-line-bytes is {line}, but must be at least {least} for a --max-name-bytes of {name}: raise the first \
         or lower the second"
    )]
    LineShorterThanName { line: usize, least: usize, name: u16 },
    #[error(
        "nothing to listen on: no --listen address has a port, and none of --tls-listen, --ws, --wss and --unix is set; \
         set one"
    )]
    NoListener,
    #[error("TLS needs --tls-cert and --tls-key: set both")]
    NoCertificate,
    #[error(
        "--tls-cert, --tls-key or --tls-client-ca is set, but nothing listens with TLS: set --tls-listen or --wss too"
    )]
    NoTls,
    #[error("--proxy-protocol-from is set and --proxy-protocol is not: set both")]
    NoProxy,
    #[error("--unix and --admin-unix are both {}: give each a path of its own", .path.display())]
    OneSocket { path: PathBuf },
    #[error("in the token file {}: {error}", .path.display())]
    Tokens { path: PathBuf, error: ReadTokensError },
    #[error(transparent)]
    Cluster(#[from] ClusterRefusal),
    #[error("accounts: {0}")]
    Rulebook(#[from] RulebookError),
    #[error("cannot get random numbers from the system: {0}")]
    Random(getrandom::Error),
}

impl Refusal {
    /// Prints the reason. Returns the exit status.
    pub(crate) fn exit(&self) -> ExitCode {
        match self {
            Self::Flags(error) => {
                if error.use_stderr() {
                    tell(error.to_string().trim_end());
                } else {
                    // If this fails, nobody takes the help.
                    let _ = error.print();
                }
                return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
            }
            error => tell(format_args!("error: {error}")),
        }
        ExitCode::from(if matches!(self, Self::Random(_)) { 1 } else { 2 })
    }

    /// The reason in one line, for the log.
    pub(crate) fn line(&self) -> String {
        self.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Puts the settings together from these arguments, the environment, and the file that they name.
///
/// # Errors
///
/// If one of them is wrong, or if help or the version is asked for.
pub(crate) fn load(args: &[OsString], occasion: Occasion) -> Result<Loaded, Refusal> {
    let args: Vec<OsString> = args.iter().cloned().map(widen_dash).collect();
    let without_file = command(&File::new(), true).try_get_matches_from(&args);
    let without_file = without_file.map_err(|error| blame(error, &args))?;
    let path = without_file.get_one::<PathBuf>("config").cloned();
    let Some(path) = path else { return loaded(&without_file, None, AccountTables::new()) };
    let in_file = |error| Refusal::File { path: path.clone(), error };
    let (file, accounts) = file::read(&path, &names_and_lists(), occasion).map_err(in_file)?;
    // Without the file there was no error. So an error comes from the file.
    let matches = command(&file, true).try_get_matches_from(&args);
    let matches = matches.map_err(|error| in_file(FileError::Value(reason(&error))))?;
    loaded(&matches, Some((&path, &file)), accounts)
}

fn loaded(
    matches: &ArgMatches,
    file: Option<(&Path, &File)>,
    accounts: AccountTables,
) -> Result<Loaded, Refusal> {
    let flags = Flags::from_arg_matches(matches).map_err(Refusal::Flags)?;
    let rulebook = rulebook(&flags, &accounts, file.map(|(path, _)| path))?;
    let settings = settings(&flags, rulebook)?;
    Ok(Loaded {
        warnings: warnings(&names()).into_iter().chain(risks(&settings)).collect(),
        settings,
        is_check: flags.check_config,
        accounts,
        values: values(matches, file),
    })
}

/// The access rules: from the file of tokens, which is read here, and the tables of accounts. `None` if there are
/// neither.
fn rulebook(
    flags: &Flags,
    accounts: &AccountTables,
    file: Option<&Path>,
) -> Result<Option<Rulebook>, Refusal> {
    let read =
        |path: &PathBuf| read_tokens(path).map_err(|error| Refusal::Tokens { path: path.clone(), error });
    let tokens = flags.token_file.as_ref().map(read).transpose()?;
    let in_file = |error: AccountError| {
        let path = file.map(Path::to_owned).unwrap_or_default();
        Refusal::File { path, error: error.into() }
    };
    let entries = accounts::entries(accounts).map_err(in_file)?;
    if tokens.is_none() && entries.is_empty() && flags.auth_required != AuthRequired::All {
        return Ok(None);
    }
    // Without tokens and certificates nobody could log in. So the default is meant for those who have some.
    let can_log_in = tokens.is_some() || entries.iter().any(|entry| !entry.certificates.is_empty());
    let required = match flags.auth_required {
        AuthRequired::None => Required::default(),
        AuthRequired::Tcp => Required { tcp: can_log_in, unix: false },
        AuthRequired::All => Required { tcp: true, unix: true },
    };
    Ok(Some(Rulebook { tokens, entries, required }))
}

/// What somebody on the network could do, with these settings.
fn risks(settings: &Settings) -> Vec<String> {
    let Settings { tcp, ws, tls, wss, .. } = settings;
    let has_tokens = settings.rulebook.as_ref().is_some_and(|rulebook| rulebook.required.tcp);
    let has_certificates = settings
        .tls_files
        .as_ref()
        .is_some_and(|files| files.client_authorities.is_some() && files.client_auth == ClientAuth::Required);
    let plain = tcp.iter().chain(ws).map(|address| (address, false));
    let secure = tls.iter().chain(wss).map(|address| (address, true));
    let beyond = plain.chain(secure).filter(|(address, _)| !address.ip().to_canonical().is_loopback());
    let risk = |(address, is_tls): (&SocketAddr, bool)| {
        if !(has_tokens || is_tls && has_certificates) {
            Some(format!(
                "listening on {address} without authentication: whoever can reach it can take any lock and see who \
                 holds what; set --token-file, or listen on loopback"
            ))
        } else if is_tls {
            None
        } else {
            Some(format!(
                "listening on {address} without TLS: whoever can read the traffic can read tokens and names of locks, \
                 and use them; set --tls-listen, or keep it within a network that you trust"
            ))
        }
    };
    beyond.filter_map(risk).collect()
}

fn settings(flags: &Flags, rulebook: Option<Rulebook>) -> Result<Settings, Refusal> {
    let Limited { mut server, tcp: tcp_options, mut web_socket } = flags.limits.clone();
    let name_bytes = server.machine.limits.name_bytes;
    let least = usize::from(name_bytes) + LINE_OVERHEAD;
    if server.max_line_bytes < least {
        return Err(Refusal::LineShorterThanName { line: server.max_line_bytes, least, name: name_bytes });
    }
    let machine = &mut server.machine;
    machine.features =
        Features { dump: flags.dump, registry: flags.registry, silent_errors: flags.silent_errors };
    machine.storage.hash_key = random_key()?;
    // Connections are numbered from 1 at each start. With the secret of another start an old key would open what a
    // stranger leaves.
    machine.secret = random_secret()?;
    machine.identity =
        Identity { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id(), node: 0 };
    server.access = rulebook.as_ref().map(Access::new).transpose()?.map(Arc::new);
    server.verbose = flags.verbose;
    server.warn_held = (!flags.warn_held.is_zero()).then_some(flags.warn_held);
    server.measure_latency = flags.metrics_listen.is_some();
    let tcp = flags.listen.iter().filter_map(|address| match *address {
        ListenAddress::Socket(address) => Some(address),
        ListenAddress::Ip(ip) => (flags.port != 0).then_some(SocketAddr::new(ip, flags.port)),
    });
    let tcp: Vec<SocketAddr> = tcp.collect();
    web_socket.origins.clone_from(&flags.ws_origin);
    let ips: BTreeSet<IpAddr> = flags.listen.iter().map(|address| address.ip()).collect();
    let on_each = |port: u16| -> Vec<SocketAddr> {
        ips.iter().filter(|_| port != 0).map(|ip| SocketAddr::new(*ip, port)).collect()
    };
    let (ws, wss) = (on_each(flags.ws), on_each(flags.wss));
    let (tcp, mut tls) = if flags.ssl { (Vec::new(), tcp) } else { (tcp, Vec::new()) };
    tls.extend(&flags.tls_listen);
    let tls_files = tls_files(flags, !tls.is_empty() || !wss.is_empty())?;
    if [&tcp, &tls, &ws, &wss].iter().all(|addresses| addresses.is_empty()) && flags.unix.is_none() {
        return Err(Refusal::NoListener);
    }
    if let Some(path) = flags.unix.as_ref().filter(|path| Some(*path) == flags.admin_unix.as_ref()) {
        return Err(Refusal::OneSocket { path: path.clone() });
    }
    let proxy = match (flags.proxy_protocol, &flags.proxy_protocol_from) {
        (true, balancers) => Proxy::from(balancers.clone()),
        (false, balancers) if balancers.is_empty() => Proxy::off(),
        (false, _) => return Err(Refusal::NoProxy),
    };
    let cluster = cluster::cluster(flags, &server, rulebook.is_some())?;
    Ok(Settings {
        rulebook,
        cluster,
        tcp,
        tls,
        tls_files,
        ws,
        wss,
        web_socket,
        proxy,
        unix: flags.unix.clone(),
        unix_mode: flags.unix_mode,
        admin_unix: flags.admin_unix.clone(),
        admin_unix_mode: flags.admin_unix_mode,
        tcp_options,
        metrics: flags.metrics_listen,
        pidfile: flags.pidfile.clone(),
        state_dir: flags.state_dir.clone(),
        threads: match flags.threads {
            0 => threads_for(std::thread::available_parallelism().map_or(1, usize::from)),
            threads => usize::from(threads),
        },
        log: Log { file: flags.log_file.clone(), format: flags.log_format, level: flags.log_level },
        server,
    })
}

/// Where certificates are. Setting them without a listener is a mistake, and so is the reverse.
fn tls_files(flags: &Flags, is_tls: bool) -> Result<Option<TlsFiles>, Refusal> {
    let Flags { tls_cert, tls_key, tls_client_ca, tls_client_auth, .. } = flags;
    match (tls_cert, tls_key) {
        (None, None) if !is_tls && tls_client_ca.is_none() => Ok(None),
        _ if !is_tls => Err(Refusal::NoTls),
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_authorities: tls_client_ca.clone(),
            client_auth: match tls_client_auth {
                ClientCertificate::Required => ClientAuth::Required,
                ClientCertificate::Optional => ClientAuth::Optional,
            },
        })),
        _ => Err(Refusal::NoCertificate),
    }
}

/// How many threads serve connections by default. On one or two processors, which clients often share, one thread is
/// enough to use the daemon's part of them. 16 is a guess, not measured: there the machine's one lock may be the limit.
const fn threads_for(processors: usize) -> usize {
    match processors {
        0..=2 => 1,
        3..=16 => processors,
        _ => 16,
    }
}

/// Bytes that a line may need beside its name: the longest verb with its arguments.
const LINE_OVERHEAD: usize = 64;

/// The flags, with a file's values as defaults. Settings have environment variables too, if `has_environment`.
fn command(file: &File, has_environment: bool) -> clap::Command {
    let mut command = Flags::command().mut_args(|arg| {
        if !is_setting(&arg) && arg.get_id() != "config" {
            return arg;
        }
        let variable = variable(arg.get_long().expect("every setting has a long name"));
        if has_environment && counts(&variable) { arg.env(variable).hide_env_values(true) } else { arg }
    });
    for (name, values) in file {
        let id = name.replace('-', "_");
        command = command.mut_arg(id, |arg| arg.default_values(values.clone()));
    }
    command
}

fn is_setting(arg: &clap::Arg) -> bool {
    !["config", "check_config", "help", "version", "ssl"].contains(&arg.get_id().as_str())
}

/// The names of all settings, without dashes in front.
fn names() -> Vec<String> {
    let command = Flags::command();
    let settings = command.get_arguments().filter(|arg| is_setting(arg));
    settings.filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
}

/// The names of all settings, and whether each may have several values.
fn names_and_lists() -> Vec<(String, bool)> {
    names().into_iter().map(|name| (name.clone(), is_list(&name))).collect()
}

/// Whether a setting may have several values.
fn is_list(name: &str) -> bool {
    let command = Flags::command();
    let mut arguments = command.get_arguments();
    arguments.any(|arg| arg.get_long() == Some(name) && matches!(arg.get_action(), ArgAction::Append))
}

/// Finds out whether an error comes from the command line or from the environment.
fn blame(error: clap::Error, args: &[OsString]) -> Refusal {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Refusal::Flags(error);
    }
    // If the error is there without the environment too, it comes from the command line.
    if let Err(error) = command(&File::new(), false).try_get_matches_from(args) {
        return Refusal::Flags(error);
    }
    let flag = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let name = flag.split_whitespace().next().unwrap_or_default().trim_start_matches('-');
    Refusal::Environment { variable: variable(name), reason: reason(&error) }
}

/// What clap says is wrong, without its advice about flags.
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.split("\n\n").next().unwrap_or_default().trim().to_owned()
}

fn random_key() -> Result<(u64, u64), Refusal> {
    let word = || getrandom::u64().map_err(Refusal::Random);
    Ok((word()?, word()?))
}

fn random_secret() -> Result<Secret, Refusal> {
    let mut secret = Secret::default();
    getrandom::fill(&mut secret.0).map_err(Refusal::Random)?;
    Ok(secret)
}

/// Turns one dash into two: glockd's flags may have one or two, and clap knows two. A single letter stays as it is.
fn widen_dash(argument: OsString) -> OsString {
    let bytes = argument.as_encoded_bytes();
    let is_long = bytes.len() > 2 && bytes[0] == b'-' && bytes[1].is_ascii_alphabetic();
    if !is_long {
        return argument;
    }
    let mut widened = OsString::from("-");
    widened.push(argument);
    widened
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_sound() {
        command(&File::new(), true).debug_assert();
        assert_eq!(variable("max-locks"), "ELOCKD_MAX_LOCKS");
        assert!(is_list("listen") && !is_list("port"));
    }

    #[test]
    fn every_start_has_another_key_for_its_hash() {
        let key = || {
            let args = [OsString::from("elockd")];
            load(&args, Occasion::Start).unwrap().settings.server.machine.storage.hash_key
        };
        let keys = [key(), key()];
        assert_ne!(keys[0], keys[1], "names could be chosen that collide");
        assert!(!keys.contains(&elockd_core::Config::default().storage.hash_key));
    }

    #[test]
    fn every_start_has_another_secret_for_its_keys() {
        let secret = || {
            let args = [OsString::from("elockd")];
            load(&args, Occasion::Start).unwrap().settings.server.machine.secret
        };
        let secrets = [secret(), secret()];
        assert_ne!(secrets[0], secrets[1], "an old key would open what a stranger left");
        assert!(!secrets.contains(&Secret::default()));
    }

    #[test]
    fn threads_are_as_many_as_processors_where_those_are_not_shared_with_all_clients() {
        let threads = [1, 2, 3, 16, 17, 128].map(threads_for);
        assert_eq!(threads, [1, 1, 3, 16, 16, 16]);
    }

    #[test]
    fn every_setting_has_a_heading_and_says_what_it_is() {
        for arg in command(&File::new(), true).get_arguments().filter(|arg| is_setting(arg)) {
            assert!(arg.get_help_heading().is_some(), "{arg} has no heading");
            assert!(arg.get_help().is_some(), "{arg} has no help");
            assert!(arg.get_env().is_some(), "{arg} has no variable");
        }
    }

    #[test]
    fn what_can_be_reloaded_is_marked_in_the_help() {
        for arg in command(&File::new(), true).get_arguments().filter(|arg| is_setting(arg)) {
            let help = arg.get_help().unwrap().to_string();
            let name = arg.get_long().unwrap();
            assert_eq!(help.ends_with("(R)"), reload::is_reloadable(name), "--{name}: {help}");
        }
    }
}
