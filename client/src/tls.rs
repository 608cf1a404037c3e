//! Daemons that speak TLS. The files of certificates are read at each attempt to connect, so that a client that runs
//! for long uses those that are there.

use crate::transport::tcp;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The protocol's name for ALPN.
const ALPN: &[u8] = b"elock/1";

/// The address of a daemon that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TlsServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) options: TlsOptions,
}

/// Whom a client trusts, and who it is itself. All files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TlsOptions {
    /// The authorities of the daemon's certificate. Without them: those that the system trusts.
    pub authorities: Option<PathBuf>,
    /// The client's own certificate. Behind it stand those between it and its authority.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
    /// The name that the daemon's certificate must have. Without it: the host of the address.
    pub server_name: Option<String>,
}

impl TlsServer {
    /// Connects, and makes sure of the daemon.
    pub(crate) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let name = self.options.server_name.clone().unwrap_or_else(|| self.host.clone());
        let name = ServerName::try_from(name.clone())
            .map_err(|_| invalid(format_args!("`{name}` is no name that a certificate can have")))?;
        let options = self.options.clone();
        let config = spawn_blocking(move || options.config()).await.map_err(io::Error::other)??;
        let stream = tcp(&self.host, self.port).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

impl fmt::Display for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "tls://[{host}]:{port}") } else { write!(f, "tls://{host}:{port}") }
    }
}

impl TlsOptions {
    /// Reads the files.
    fn config(&self) -> io::Result<ClientConfig> {
        let roots = match &self.authorities {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| of_file(path, &error))?;
                }
                Arc::new(roots)
            }
            None => of_system()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let key_der =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| of_pem(key, &error, "private key"))?;
                builder.with_client_auth_cert(chain, key_der).map_err(|error| of_file(key, &error))?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(invalid("a client certificate needs its key, and a key its certificate")),
        };
        config.alpn_protocols = vec![ALPN.to_owned()];
        Ok(config)
    }
}

/// The authorities that the system trusts. They are read once: there are many.
fn of_system() -> io::Result<Arc<RootCertStore>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() {
        return Err(io::Error::new(
            ErrorKind::NotFound,
            "this system trusts no authority; name one of your own",
        ));
    }
    Ok(Arc::clone(roots))
}

/// Reads every certificate of a file.
fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let of_pem = |error: pem::Error| of_pem(path, &error, "certificate");
    let certificates = CertificateDer::pem_file_iter(path).map_err(of_pem)?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(of_pem)?;
    if certificates.is_empty() {
        return Err(of_pem(pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn of_pem(path: &Path, error: &pem::Error, what: &str) -> io::Error {
    match error {
        pem::Error::NoItemsFound => of_file(path, &format_args!("it has no {what}")),
        pem::Error::Io(error) => {
            io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
        }
        error => of_file(path, error),
    }
}

fn of_file(path: &Path, reason: &dyn fmt::Display) -> io::Error {
    invalid(format_args!("cannot use {}: {reason}", path.display()))
}

fn invalid(reason: impl fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, reason.to_string())
}
