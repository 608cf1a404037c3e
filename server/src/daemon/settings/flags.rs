//! Every setting as a flag: its name, its default, its bounds, and what `--help` says of it. The same names
//! are those of the environment and of the configuration file. Nothing is decided here.

use super::values::{
    ListenAddress, count, file_mode, line_bytes, listen_address, listing_bytes, name_bytes, peer_timeout,
    port, shutdown_timeout, socket_address, threads, time, warn_held,
};
use clap::{ArgAction, Parser, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A network lock daemon. Clients get locks by name over TCP or a Unix socket; when a connection ends,
/// for whatever reason, all its locks are released.
///
/// Every setting has a flag, an environment variable and a key in the configuration file, in this order of
/// strength: `--max-locks 5`, `ELOCKD_MAX_LOCKS=5`, `max-locks = 5`. Those marked (R) are read again on SIGHUP.
///
/// Times are written as 500ms, 15s, 2m or 1h; a bare number is seconds. Bytes and counts are plain
/// numbers. glockd's forms with a single dash (-port 9999, -dump=false) work too.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[command(name = "elockd", version, max_term_width = 100, next_line_help = false)]
#[command(after_help = "As a munin plugin: elockd munin --help")]
pub(super) struct Flags {
    /// Configuration file (TOML): the settings below, by their names without the dashes.
    #[arg(long, value_name = "PATH", help_heading = "Process")]
    pub(super) config: Option<PathBuf>,

    /// Look at all settings, print what they come to and where each was set, and end.
    #[arg(long, help_heading = "Process")]
    pub(super) check_config: bool,

    /// File for the process id: locked, so that two daemons cannot share one, its owner's alone (mode 600),
    /// and removed at the end. What is no such file is left alone.
    #[arg(long, value_name = "PATH", help_heading = "Process")]
    pub(super) pidfile: Option<PathBuf>,

    /// Directory for what has to outlive the daemon: how far fencing tokens are given out, so that they go on
    /// ascending after a restart. Made with mode 700 where there is none; without it, the clock has to do.
    #[arg(long, value_name = "PATH", help_heading = "Process")]
    pub(super) state_dir: Option<PathBuf>,

    /// Address to listen on: `IP`, `IP:PORT` or `[IPv6]:PORT`; several with commas, or given several times.
    /// An IPv6 address means IPv6 alone, also `::`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1", value_parser = listen_address)]
    #[arg(value_delimiter = ',', help_heading = "Listeners")]
    pub(super) listen: Vec<ListenAddress>,

    /// TCP port, for each --listen without one of its own; 0 is no TCP there.
    #[arg(long, value_name = "N", default_value = "9999", value_parser = port, help_heading = "Listeners")]
    #[arg(allow_negative_numbers = true)]
    pub(super) port: u16,

    /// Path of a Unix socket to listen on.
    #[arg(long, value_name = "PATH", help_heading = "Listeners")]
    pub(super) unix: Option<PathBuf>,

    /// Permissions of the Unix socket, in octal: who may write to it may connect.
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = file_mode)]
    #[arg(help_heading = "Listeners")]
    pub(super) unix_mode: u32,

    /// Path of the administrative socket, a Unix socket for operators: who connects there may `kick` and
    /// `steal`, and is not counted against --max-connections.
    #[arg(long, value_name = "PATH", help_heading = "Listeners")]
    pub(super) admin_unix: Option<PathBuf>,

    /// Permissions of the administrative socket, in octal.
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = file_mode)]
    #[arg(help_heading = "Listeners")]
    pub(super) admin_unix_mode: u32,

    /// Threads that serve connections, 1 to 256. 1 is best where clients share one or two processors with the
    /// daemon; 0 takes 1 on up to two processors and one for each, at most 16, on more.
    #[arg(long, value_name = "N", default_value = "0", value_parser = threads, help_heading = "Process")]
    #[arg(allow_negative_numbers = true)]
    pub(super) threads: u16,

    /// Connections at a time; one more is told `0 Too Many Connections`.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = count, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true)]
    pub(super) max_connections: u32,

    /// Locks held at a time, each holder of a shared lock counted.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = count, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true)]
    pub(super) max_locks: u32,

    /// Locks held at a time by one connection.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = count, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true)]
    pub(super) max_locks_per_connection: u32,

    /// Clients that wait for a lock at a time; one more is told `0 … Queue Full`.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = count, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true)]
    pub(super) max_waiters: u32,

    /// Clients that wait for one lock at a time.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = count, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true)]
    pub(super) max_waiters_per_name: u32,

    /// Bytes of a lock's or connection's name.
    #[arg(long, value_name = "BYTES", default_value = "4096", value_parser = name_bytes)]
    #[arg(allow_negative_numbers = true, help_heading = "Limits")]
    pub(super) max_name_bytes: u16,

    /// Bytes of a request line, at least 64 more than of a name.
    #[arg(long, value_name = "BYTES", default_value = "8192", value_parser = line_bytes)]
    #[arg(allow_negative_numbers = true, help_heading = "Limits")]
    pub(super) max_line_bytes: u32,

    /// Bytes that all listings under way (d, sd, dump, ls, who) may take together. (R)
    #[arg(long, value_name = "BYTES", default_value = "67108864", value_parser = listing_bytes)]
    #[arg(allow_negative_numbers = true, help_heading = "Limits")]
    pub(super) max_listing_bytes: usize,

    /// Answer d, sd, dump, ls and who; else they say `0 disabled`.
    #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Commands")]
    pub(super) dump: bool,

    /// Answer iam and who; else they say `0 disabled`.
    #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Commands")]
    pub(super) registry: bool,

    /// Do not answer unknown commands, as glockd does not.
    #[arg(long, default_value_t = false, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Commands")]
    pub(super) silent_errors: bool,

    /// Time until a TCP peer that no longer answers the kernel is given up and loses its locks: sets
    /// keepalive and `TCP_USER_TIMEOUT`; 3s to 24h, or 0, which leaves both to the kernel.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = peer_timeout)]
    #[arg(allow_negative_numbers = true, help_heading = "Timeouts")]
    pub(super) peer_timeout: Duration,

    /// Time until a connection that takes none of its replies is closed and loses its locks; 0 is never. (R)
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = time)]
    #[arg(allow_negative_numbers = true, help_heading = "Timeouts")]
    pub(super) write_timeout: Duration,

    /// Time without a command until a connection is closed and loses its locks; 0 is never.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    #[arg(allow_negative_numbers = true, help_heading = "Timeouts")]
    pub(super) idle_timeout: Duration,

    /// Time that connections have to take their last replies at a shutdown, at most 24h; 0 cuts them off at
    /// once, and so does a second SIGTERM or SIGINT. (R)
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = shutdown_timeout)]
    #[arg(allow_negative_numbers = true, help_heading = "Timeouts")]
    pub(super) shutdown_timeout: Duration,

    /// File that the log is written to instead of stderr; opened anew on SIGHUP. (R)
    #[arg(long, value_name = "PATH", help_heading = "Log")]
    pub(super) log_file: Option<PathBuf>,

    /// How a line of the log is written.
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Log")]
    pub(super) log_format: LogFormat,

    /// The least important lines that are logged. (R)
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = "Log")]
    pub(super) log_level: LogLevel,

    /// Log every connection, get, release and orphaned lock, by name. It costs time and memory: for
    /// debugging. What it is set to holds for connections that come after. (R)
    #[arg(long, default_value_t = false, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Log")]
    pub(super) verbose: bool,

    /// Warn of each lock that has been held for so long, once; at least 1s, 0 is never. (R)
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = warn_held)]
    #[arg(allow_negative_numbers = true, help_heading = "Log")]
    pub(super) warn_held: Duration,

    /// Address (`IP:PORT`) at which Prometheus finds /metrics, and anybody /healthz, over HTTP; without it
    /// there is no such listener. An IPv6 address means IPv6 alone, also `::`.
    #[arg(long, value_name = "ADDR", value_parser = socket_address, help_heading = "Monitoring")]
    pub(super) metrics_listen: Option<SocketAddr>,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object on each line.
    Json,
}

/// How important a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// The daemon ends.
    Error,
    /// Somebody should look.
    Warn,
    /// What it does.
    Info,
}
