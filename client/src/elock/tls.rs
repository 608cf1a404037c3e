//! Options for daemons that speak TLS. A flag wins over its variable, the variable over the configuration file.

use crate::status::Failure;
use clap::Args;
use elockd_client::TlsOptions;
use serde::Deserialize;
use std::path::PathBuf;

/// Flags for addresses that begin with `tls://`.
#[derive(Args, Clone, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
#[command(next_help_heading = "Daemons that speak TLS (tls://HOST:PORT)")]
pub(crate) struct TlsArgs {
    /// File with the authorities of the daemon's certificate, in PEM. Default: those that the system trusts.
    #[arg(long, value_name = "FILE", env = "ELOCK_TLS_CA", global = true)]
    tls_ca: Option<PathBuf>,
    /// File with a certificate for the client, in PEM, if the daemon asks for one. It needs --tls-key.
    #[arg(long, value_name = "FILE", env = "ELOCK_TLS_CERT", global = true)]
    tls_cert: Option<PathBuf>,
    /// File with the key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "ELOCK_TLS_KEY", global = true)]
    tls_key: Option<PathBuf>,
    /// The name that the daemon's certificate must have. Default: the host in the address.
    #[arg(long, value_name = "NAME", env = "ELOCK_TLS_SERVER_NAME", global = true)]
    tls_server_name: Option<String>,
}

/// The same in a configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsTable {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    server_name: Option<String>,
}

impl TlsArgs {
    /// The options, from all their sources.
    pub(crate) fn options(self, file: TlsTable) -> Result<TlsOptions, Failure> {
        // A certificate and a key from two sources would not fit.
        let (certificate, key) = match (self.tls_cert, self.tls_key) {
            (None, None) => (file.cert, file.key),
            own => own,
        };
        if certificate.is_some() != key.is_some() {
            return Err(Failure::usage("a client certificate needs both --tls-cert and --tls-key"));
        }
        Ok(TlsOptions {
            authorities: self.tls_ca.or(file.ca),
            certificate,
            key,
            server_name: self.tls_server_name.or(file.server_name),
        })
    }
}
