//! What TLS listeners need, read from files: the certificate, its key, and the authority of client certificates. It is
//! read and checked as a whole, so that a listener never has one half of an old setup and one of a new.

use super::certificate;
use rustix::fs::OFlags;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// The protocol's name for ALPN.
const LINES: &[u8] = b"elock/1";
/// That of HTTP.
const WEB: &[u8] = b"http/1.1";

/// The most bytes of a file. A certificate takes one or two thousand, and all authorities of a browser 250,000.
const MOST_BYTES: u64 = 1 << 20;

/// Where the files are, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The daemon's certificate, and behind it those between it and the authority.
    pub certificate: PathBuf,
    /// The key of the first certificate.
    pub key: PathBuf,
    /// The authorities of client certificates. Without them, clients are not asked for one.
    pub client_authorities: Option<PathBuf>,
    /// Whether a client without a certificate is let in.
    pub client_auth: ClientAuth,
}

/// Whether a client without a certificate is let in, if there are authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// It is not.
    Required,
    /// It is.
    Optional,
}

/// Why there is no setup.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("cannot read {}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, from the system or the parser.
        reason: String,
    },
    /// A file has nothing of what it should have.
    #[error("{} has no {what}", .path.display())]
    Lacks {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        what: &'static str,
    },
    /// A certificate cannot be understood.
    #[error("a certificate in {} cannot be used: {reason}", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is that of another certificate.
    #[error("the key in {} is not that of the certificate in {}", .key.display(), .certificate.display())]
    OtherKey {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate is not valid now.
    #[error("a certificate in {} is not valid now: {reason}", .path.display())]
    Validity {
        /// The file.
        path: PathBuf,
        /// Since when, or from when on.
        reason: String,
    },
    /// rustls does not take it.
    #[error("cannot use {} and {}: {reason}", .key.display(), .certificate.display())]
    Other {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
        /// What rustls says.
        reason: rustls::Error,
    },
}

/// A certificate with its key, and the authorities of clients.
#[derive(Clone)]
pub struct TlsSetup {
    lines: Arc<ServerConfig>,
    web: Arc<ServerConfig>,
    files: TlsFiles,
    /// Seconds of Unix time between which all certificates of the daemon are valid.
    validity: (i64, i64),
}

impl fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSetup").field("files", &self.files).finish_non_exhaustive()
    }
}

impl TlsSetup {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A file cannot be read, something in it is not understood, or the key and the certificate do not fit.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate)?;
        let mut validity = (i64::MIN, i64::MAX);
        for der in &chain {
            let (begin, end) = certificate::validity(der).ok_or_else(|| TlsError::Certificate {
                path: files.certificate.clone(),
                reason: "it is not X.509".to_owned(),
            })?;
            validity = (validity.0.max(begin), validity.1.min(end));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?);
        let key = key.map_err(|error| of_pem(&files.key, &error, "private key"))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let other = |reason| TlsError::Other {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
            reason,
        };
        let builder = builder.with_safe_default_protocol_versions().map_err(other)?;
        let builder = match &files.client_authorities {
            None => builder.with_no_client_auth(),
            Some(path) => builder.with_client_cert_verifier(verifier(path, files.client_auth)?),
        };
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::OtherKey { key: files.key.clone(), certificate: files.certificate.clone() }
            }
            error => other(error),
        })?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let with = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_owned()];
            Arc::new(config)
        };
        Ok(Self { lines: with(LINES), web: with(WEB), files: files.clone(), validity })
    }

    /// Checks that the daemon's certificates are valid now.
    ///
    /// # Errors
    ///
    /// One of them is not.
    pub fn check_validity(&self, now: SystemTime) -> Result<(), TlsError> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs().cast_signed());
        let (begin, end) = self.validity;
        let reason = if now > end {
            format!("it expired on {}", date(end))
        } else if now < begin {
            format!("it is valid from {} on", date(begin))
        } else {
            return Ok(());
        };
        Err(TlsError::Validity { path: self.files.certificate.clone(), reason })
    }

    /// Seconds of Unix time at which the first of the daemon's certificates expires.
    #[must_use]
    pub fn expiry(&self) -> i64 {
        self.validity.1
    }

    /// The same as a date and a time, in UTC.
    #[must_use]
    pub fn expiry_date(&self) -> String {
        date(self.validity.1)
    }

    pub(super) fn config(&self, is_web: bool) -> Arc<ServerConfig> {
        Arc::clone(if is_web { &self.web } else { &self.lines })
    }
}

fn date(seconds: i64) -> String {
    let since = std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    // The years that it can write end with 9999. So do those of certificates.
    UNIX_EPOCH.checked_add(since).map_or_else(String::new, |at| humantime::format_rfc3339(at).to_string())
}

/// Reads every certificate of a file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let of_pem = |error: pem::Error| of_pem(path, &error, "certificate");
    let pem = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(of_pem)?;
    if certificates.is_empty() {
        return Err(TlsError::Lacks { path: path.to_owned(), what: "certificate" });
    }
    Ok(certificates)
}

/// Reads a file. A path that names a pipe or a device must neither hang nor take memory until there is none.
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed =
        |reason: &dyn fmt::Display| TlsError::File { path: path.to_owned(), reason: reason.to_string() };
    let mut options = OpenOptions::new();
    // To open a pipe must not wait for somebody to write.
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path).map_err(|error| failed(&error))?;
    if !file.metadata().map_err(|error| failed(&error))?.is_file() {
        return Err(failed(&"it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed(&format_args!("it has more than {MOST_BYTES} bytes; is it the right file?")));
    }
    Ok(bytes)
}

fn of_pem(path: &Path, error: &pem::Error, what: &'static str) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::NoItemsFound => TlsError::Lacks { path, what },
        error => TlsError::File { path, reason: error.to_string() },
    }
}

fn verifier(
    path: &Path,
    auth: ClientAuth,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let unusable = |reason: &dyn fmt::Display| TlsError::Certificate {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error: VerifierBuilderError| unusable(&error))
}
