//! The command line: every setting with its default, its unit and its bounds.

use clap::{ArgAction, Parser};
use elockd_core::{Features, Identity, Limits};
use elockd_server::Config;
use elockd_server::listen::{MAX_PEER_TIMEOUT, MIN_PEER_TIMEOUT};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What the command line comes to.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) server: Config,
    pub(crate) tcp: Vec<SocketAddr>,
    pub(crate) unix: Option<PathBuf>,
    pub(crate) unix_mode: u32,
    pub(crate) peer_timeout: Option<Duration>,
}

/// A network lock daemon. Clients get locks by name over TCP or a Unix socket; when a connection ends,
/// for whatever reason, all its locks are released.
///
/// Times are written as 500ms, 15s, 2m or 1h; a bare number is seconds. Bytes and counts are plain
/// numbers. glockd's forms with a single dash (-port 9999, -dump=false) work too.
#[derive(Debug, Parser)]
#[command(name = "elockd", version, max_term_width = 100, next_line_help = false)]
struct Cli {
    /// Address to listen on: `IP`, `IP:PORT` or `[IPv6]:PORT`; may be given several times. An IPv6 address
    /// means IPv6 alone, also `::`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1", value_parser = listen_address)]
    #[arg(help_heading = "Listeners")]
    listen: Vec<ListenAddress>,

    /// TCP port, for each --listen without one of its own; 0 is no TCP there.
    #[arg(long, default_value_t = 9999, allow_negative_numbers = true, help_heading = "Listeners")]
    port: u16,

    /// Path of a Unix socket to listen on.
    #[arg(long, value_name = "PATH", help_heading = "Listeners")]
    unix: Option<PathBuf>,

    /// Permissions of the Unix socket, in octal: who may write to it may connect.
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = file_mode)]
    #[arg(help_heading = "Listeners")]
    unix_mode: u32,

    /// Connections at a time; one more is told `0 Too Many Connections`.
    #[arg(long, value_name = "N", default_value_t = 10_000, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=MAX_COUNT))]
    max_connections: u32,

    /// Locks held at a time, each holder of a shared lock counted.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=MAX_COUNT))]
    max_locks: u32,

    /// Locks held at a time by one connection.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=MAX_COUNT))]
    max_locks_per_connection: u32,

    /// Bytes of a lock's or connection's name.
    #[arg(long, value_name = "BYTES", default_value_t = 4096, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    max_name_bytes: u16,

    /// Bytes of a request line, at least 64 more than of a name.
    #[arg(long, value_name = "BYTES", default_value_t = 8192, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(65..=1 << 20))]
    max_line_bytes: u32,

    /// Bytes that all listings under way (d, sd, dump, who) may take together.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, help_heading = "Limits")]
    #[arg(allow_negative_numbers = true)]
    max_listing_bytes: usize,

    /// Answer d, sd, dump and who; else they say `0 disabled`.
    #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Commands")]
    dump: bool,

    /// Answer iam and who; else they say `0 disabled`.
    #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Commands")]
    registry: bool,

    /// Do not answer unknown commands, as glockd does not.
    #[arg(long, default_value_t = false, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Commands")]
    silent_errors: bool,

    /// Time until a TCP peer that no longer answers the kernel is given up and loses its locks: sets
    /// keepalive and `TCP_USER_TIMEOUT`; 3s to 24h, or 0, which leaves both to the kernel.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = peer_timeout)]
    #[arg(allow_negative_numbers = true)]
    #[arg(help_heading = "Timeouts")]
    peer_timeout: Duration,

    /// Time until a connection that takes none of its replies is closed and loses its locks; 0 is never.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = time)]
    #[arg(allow_negative_numbers = true)]
    #[arg(help_heading = "Timeouts")]
    write_timeout: Duration,

    /// Time without a command until a connection is closed and loses its locks; 0 is never.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    #[arg(allow_negative_numbers = true)]
    #[arg(help_heading = "Timeouts")]
    idle_timeout: Duration,

    /// Time that connections have to take their last replies at a shutdown.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    #[arg(allow_negative_numbers = true)]
    #[arg(help_heading = "Timeouts")]
    shutdown_timeout: Duration,
}

/// The most that may be counted of anything: slots are numbered in 32 bits.
const MAX_COUNT: i64 = 2_000_000_000;
/// Bytes that a line has beside its name: the longest verb with its arguments.
const LINE_OVERHEAD: u32 = 64;

/// An address to listen on, with a port or without.
#[derive(Clone, Copy, Debug)]
enum ListenAddress {
    Ip(IpAddr),
    Socket(SocketAddr),
}

/// Parses the process's arguments. Prints what is wrong, or help, and exits where that is asked for.
pub(crate) fn parse() -> Settings {
    let cli = Cli::parse_from(std::env::args_os().map(widen_dash));
    settings(&cli).unwrap_or_else(|error| {
        let mut command = <Cli as clap::CommandFactory>::command();
        command.error(clap::error::ErrorKind::ValueValidation, error).exit()
    })
}

fn settings(cli: &Cli) -> Result<Settings, String> {
    let name_bytes = cli.max_name_bytes;
    let least = u32::from(name_bytes) + LINE_OVERHEAD;
    if cli.max_line_bytes < least {
        return Err(format!(
            "--max-line-bytes is {}, but has to be at least {least} for a --max-name-bytes of {name_bytes}",
            cli.max_line_bytes
        ));
    }
    let machine = elockd_core::Config {
        limits: Limits {
            connections: cli.max_connections,
            locks: cli.max_locks,
            locks_per_connection: cli.max_locks_per_connection,
            name_bytes,
            idle_ms: u64::try_from(cli.idle_timeout.as_millis()).map_err(|_| "--idle-timeout is too long")?,
        },
        features: Features { dump: cli.dump, registry: cli.registry, silent_errors: cli.silent_errors },
        storage: elockd_core::Storage { hash_key: random_key()?, ..elockd_core::Config::default().storage },
        identity: Identity { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() },
    };
    let tcp = cli.listen.iter().filter_map(|address| match *address {
        ListenAddress::Socket(address) => Some(address),
        ListenAddress::Ip(ip) => (cli.port != 0).then_some(SocketAddr::new(ip, cli.port)),
    });
    Ok(Settings {
        tcp: tcp.collect(),
        unix: cli.unix.clone(),
        unix_mode: cli.unix_mode,
        peer_timeout: unless_zero(cli.peer_timeout),
        server: Config {
            machine,
            max_line_bytes: cli.max_line_bytes as usize,
            max_listing_bytes: cli.max_listing_bytes,
            write_timeout: unless_zero(cli.write_timeout),
            shutdown_timeout: cli.shutdown_timeout,
            on_panic: None,
        },
    })
}

fn random_key() -> Result<(u64, u64), String> {
    let word = || getrandom::u64().map_err(|error| format!("the system gives no random numbers: {error}"));
    Ok((word()?, word()?))
}

/// glockd's flags come with one dash or two; clap knows two. A lone letter stays as it is.
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

fn listen_address(text: &str) -> Result<ListenAddress, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse()
        .map(ListenAddress::Ip)
        .or_else(|_| text.parse().map(ListenAddress::Socket))
        .map_err(|_| "give IP, IP:PORT or [IPv6]:PORT; names of hosts are not looked up".to_owned())
}

fn file_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "give three octal digits, such as 660".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text),
    };
    parsed.map_err(|error| format!("{error}; write it as 500ms, 15s, 2m or 1h"))
}

fn peer_timeout(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time.is_zero() || (MIN_PEER_TIMEOUT..=MAX_PEER_TIMEOUT).contains(&time) {
        Ok(time)
    } else {
        Err("give 3s to 24h, which is what the kernel can do, or 0".to_owned())
    }
}

fn unless_zero(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}
