//! Every setting that is not a limit, as a flag: its name, its default, its bounds, and its help. The environment and
//! the configuration file use the same names. The page for operators uses the same help. Nothing is decided here.

use super::limits::Limited;
use super::values::{
    ListenAddress, file_mode, listen_address, network, port, socket_address, threads, warn_held,
};
use clap::{ArgAction, Parser, ValueEnum};
use elockd_server::listen::{Network, Origin};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A network lock daemon. Clients get locks by name over TCP or a Unix socket. When a connection ends,
/// for whatever reason, all its locks are released.
///
/// Every setting has a flag, an environment variable and a key in the configuration file, in this order of
/// strength: `--max-locks 5`, `ELOCKD_MAX_LOCKS=5`, `max-locks = 5`. Settings marked (R) are read again on SIGHUP.
///
/// Times are written as 500ms, 15s, 2m or 1h; a bare number is seconds. Bytes and counts are plain
/// numbers. glockd's flags with a single dash (-port 9999, -dump=false) work too.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[command(name = "elockd", version, max_term_width = 100, next_line_help = false)]
#[command(
    after_help = "Tokens and rules: elockd token --help, elockd rules --help\nAs a munin plugin: elockd munin --help"
)]
pub(super) struct Flags {
    /// Configuration file (TOML) with the settings below; a key is a flag's name without its dashes.
    #[arg(long, value_name = "PATH", help_heading = "Process")]
    pub(super) config: Option<PathBuf>,

    /// Check all settings, print each value and where it was set, and exit.
    #[arg(long, help_heading = "Process")]
    pub(super) check_config: bool,

    /// File for the process id: locked while the daemon runs, and removed at its end.
    ///
    /// A second daemon with the same file does not start. The file has mode 600. A file that is no pidfile is left
    /// alone.
    #[arg(long, value_name = "PATH", help_heading = "Process")]
    pub(super) pidfile: Option<PathBuf>,

    /// Directory for what must outlive the daemon: how far fencing tokens were given out.
    ///
    /// With it, tokens keep ascending across restarts. Without it, they follow the clock. It is made with mode 700
    /// if it does not exist and its parent does.
    #[arg(long, value_name = "PATH", help_heading = "Process")]
    pub(super) state_dir: Option<PathBuf>,

    /// Address to listen on: `IP`, `IP:PORT` or `[IPv6]:PORT`; separate several with commas, or repeat the flag.
    ///
    /// An IPv6 address means IPv6 alone, `::` too. For all addresses of both, give `0.0.0.0` and `::`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1", value_parser = listen_address)]
    #[arg(value_delimiter = ',', help_heading = "Listeners")]
    pub(super) listen: Vec<ListenAddress>,

    /// TCP port for each --listen address without a port; 0 means no TCP there.
    #[arg(long, value_name = "N", default_value = "9999", value_parser = port, help_heading = "Listeners")]
    #[arg(allow_negative_numbers = true)]
    pub(super) port: u16,

    /// Address to listen on with TLS: `IP:PORT` or `[IPv6]:PORT`; separate several with commas, or repeat the flag.
    ///
    /// It needs --tls-cert and --tls-key. An IPv6 address means IPv6 alone, `::` too.
    #[arg(long, value_name = "ADDR", value_parser = socket_address, value_delimiter = ',')]
    #[arg(help_heading = "TLS")]
    pub(super) tls_listen: Vec<SocketAddr>,

    /// File with the daemon's certificate in PEM, and behind it those between it and the authority. (R)
    ///
    /// On SIGHUP it is read again. If it is not valid, or does not fit the key, nothing changes.
    #[arg(long, value_name = "PATH", alias = "ssl-cert", help_heading = "TLS")]
    pub(super) tls_cert: Option<PathBuf>,

    /// File with the key of the certificate in PEM. (R)
    #[arg(long, value_name = "PATH", alias = "ssl-key", help_heading = "TLS")]
    pub(super) tls_key: Option<PathBuf>,

    /// File with the authorities of client certificates in PEM; unset means that clients are not asked for one. (R)
    #[arg(long, value_name = "PATH", alias = "ssl-ca", help_heading = "TLS")]
    pub(super) tls_client_ca: Option<PathBuf>,

    /// Whether a client without a certificate is let in, with --tls-client-ca: `optional` lets it in. (R)
    #[arg(long, value_name = "WHETHER", default_value = "required", help_heading = "TLS")]
    pub(super) tls_client_auth: ClientCertificate,

    /// glockd's flag for TLS: the --listen addresses speak TLS.
    #[arg(id = "ssl", long = "ssl", hide = true, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", default_value_t = false)]
    pub(super) ssl: bool,

    /// Expect a PROXY header (version 1 or 2) at the beginning of TCP connections, and show the address in it.
    ///
    /// Whoever may send a header can take any address. So list the balancers in --proxy-protocol-from, unless nobody
    /// else can reach the port.
    #[arg(long, default_value_t = false, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Listeners")]
    pub(super) proxy_protocol: bool,

    /// Balancers, as `IP` or `IP/BITS`: connections from there must begin with a PROXY header, others must not.
    ///
    /// Separate several with commas, or repeat the flag. Without any, all connections must, with --proxy-protocol.
    #[arg(long, value_name = "NET", value_parser = network, value_delimiter = ',', help_heading = "Listeners")]
    pub(super) proxy_protocol_from: Vec<Network>,

    /// Port for WebSockets, on each --listen address; 0 means none. glockd has 9998.
    ///
    /// A browser speaks the same lines there, one or several in a message. Pages may connect only if --ws-origin
    /// lists them.
    #[arg(long, value_name = "N", default_value = "0", value_parser = port, help_heading = "Listeners")]
    #[arg(allow_negative_numbers = true)]
    pub(super) ws: u16,

    /// Port for WebSockets over TLS, on each --listen address; 0 means none. It needs --tls-cert and --tls-key.
    #[arg(long, value_name = "N", default_value = "0", value_parser = port, help_heading = "TLS")]
    #[arg(allow_negative_numbers = true)]
    pub(super) wss: u16,

    /// Origin of pages that may connect by WebSocket, such as `https://app.example`; `*` is any page.
    ///
    /// Separate several with commas, or repeat the flag. By default no page may. Clients that are no browsers name no
    /// origin, and may connect: the origin keeps pages out, not programs.
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', help_heading = "Listeners")]
    pub(super) ws_origin: Vec<Origin>,

    /// Path of a Unix socket to listen on.
    ///
    /// A socket file that a dead daemon left is replaced. A socket that somebody listens on is not, and neither is a
    /// file that is no socket. The file `PATH.lock` is locked while the daemon runs, and stays there.
    #[arg(long, value_name = "PATH", help_heading = "Listeners")]
    pub(super) unix: Option<PathBuf>,

    /// Permissions of the Unix socket, in octal: who may write to it may connect.
    ///
    /// In the configuration file it must be in quotes: `"660"`.
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = file_mode)]
    #[arg(help_heading = "Listeners")]
    pub(super) unix_mode: u32,

    /// Path of the administrative socket, a Unix socket for operators: its clients may `kick` and `steal`.
    ///
    /// The path must differ from that of --unix. Its file and `PATH.lock` are treated like those of --unix. These
    /// connections do not count against --max-connections.
    #[arg(long, value_name = "PATH", help_heading = "Listeners")]
    pub(super) admin_unix: Option<PathBuf>,

    /// Permissions of the administrative socket, in octal.
    ///
    /// In the configuration file it must be in quotes: `"600"`.
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = file_mode)]
    #[arg(help_heading = "Listeners")]
    pub(super) admin_unix_mode: u32,

    /// Threads that serve connections, 1 to 256; 0 means one on up to two processors, else one for each, at most 16.
    ///
    /// One is best if clients share one or two processors with the daemon.
    #[arg(long, value_name = "N", default_value = "0", value_parser = threads, help_heading = "Process")]
    #[arg(allow_negative_numbers = true)]
    pub(super) threads: u16,

    /// Answer d, sd, dump, ls and who; if false, they are told `0 disabled`.
    #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Commands")]
    pub(super) dump: bool,

    /// Answer iam and who; if false, they are told `0 disabled`.
    #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Commands")]
    pub(super) registry: bool,

    /// Do not answer unknown commands, like glockd.
    #[arg(long, default_value_t = false, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Commands")]
    pub(super) silent_errors: bool,

    /// File of tokens, by which clients say which account they are. (R)
    ///
    /// `elockd token new` makes tokens and adds their lines. With this file, clients over TCP must authenticate,
    /// unless --auth-required says otherwise. Nobody but its owner may write it, and only its group may read it. It
    /// is read again on SIGHUP. Whether there is such a file cannot change while the daemon runs. See the page on
    /// access.
    #[arg(long, value_name = "PATH", help_heading = "Access")]
    pub(super) token_file: Option<PathBuf>,

    /// Which connections must authenticate: `tcp`, `all` or `none`. (R)
    ///
    /// Without a token file and without an account that has a certificate, `tcp` means none. `all` is those to the Unix
    /// socket too; otherwise the permissions of its file decide. The administrative socket never asks. A change holds
    /// for connections that come after it.
    #[arg(long, value_name = "WHICH", default_value = "tcp", help_heading = "Access")]
    pub(super) auth_required: AuthRequired,

    /// Address to listen on for the other nodes of a cluster: `IP:PORT` or `HOST:PORT`; unset means no cluster.
    ///
    /// It needs --state-dir, which `elockd cluster init` or `elockd cluster join` has prepared. Whoever can reach the
    /// port owns the locks: without the three files below it must be a loopback address. See the page on clusters.
    #[arg(long, value_name = "ADDR", help_heading = "Cluster")]
    pub(super) cluster_listen: Option<String>,

    /// Host and port under which the other nodes reach this one; by default --cluster-listen.
    #[arg(long, value_name = "HOST:PORT", help_heading = "Cluster")]
    pub(super) cluster_advertise: Option<String>,

    /// File with the authority of all nodes' certificates in PEM.
    ///
    /// On SIGHUP it is read again, and so are the two below.
    #[arg(long, value_name = "PATH", help_heading = "Cluster")]
    pub(super) cluster_ca: Option<PathBuf>,

    /// File with this node's certificate in PEM, for the host that it advertises.
    #[arg(long, value_name = "PATH", help_heading = "Cluster")]
    pub(super) cluster_cert: Option<PathBuf>,

    /// File with the key of that certificate in PEM.
    #[arg(long, value_name = "PATH", help_heading = "Cluster")]
    pub(super) cluster_key: Option<PathBuf>,

    #[command(flatten)]
    pub(super) limits: Limited,

    /// File that the log is written to instead of stderr. (R)
    ///
    /// It is opened again on SIGHUP. It is made with mode 640 if it does not exist.
    #[arg(long, value_name = "PATH", help_heading = "Log")]
    pub(super) log_file: Option<PathBuf>,

    /// Format of a line of the log: `text`, or `json` for one object on each line.
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Log")]
    pub(super) log_format: LogFormat,

    /// Least important lines that are logged: `error`, `warn` or `info`. (R)
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = "Log")]
    pub(super) log_level: LogLevel,

    /// Log every connection, get, release and orphaned lock, by name. (R)
    ///
    /// It costs time and memory: use it for debugging. A change holds for connections that come after it.
    #[arg(long, default_value_t = false, default_missing_value = "true", num_args = 0..=1)]
    #[arg(require_equals = true, action = ArgAction::Set, value_name = "BOOL", help_heading = "Log")]
    pub(super) verbose: bool,

    /// Warn once of each lock that has been held for longer than this; at least 1s, 0 is never. (R)
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = warn_held)]
    #[arg(allow_negative_numbers = true, help_heading = "Log")]
    pub(super) warn_held: Duration,

    /// Address for Prometheus: `IP:PORT` or `[IPv6]:PORT`; unset means no such listener.
    ///
    /// It answers /metrics and /healthz over HTTP. An IPv6 address means IPv6 alone, `::` too.
    #[arg(long, value_name = "ADDR", value_parser = socket_address, help_heading = "Monitoring")]
    pub(super) metrics_listen: Option<SocketAddr>,
}

/// Whether a client must have a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientCertificate {
    /// It is not let in without one.
    Required,
    /// It is let in without one.
    Optional,
}

/// Which connections must authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AuthRequired {
    /// Those over TCP.
    Tcp,
    /// Those to the Unix socket too.
    All,
    /// None. Those that do it anyway are their account's.
    None,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum LogLevel {
    /// The daemon ends.
    Error,
    /// Somebody should look.
    Warn,
    /// What it does.
    Info,
}
