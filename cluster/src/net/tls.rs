//! Links over TLS 1.3, by rustls. Both ends show a certificate of the one authority, and the end that connects checks
//! that the other's certificate has the name that it connects to.
//!
//! The files are read and checked as a whole. A node's own certificate is checked as its peers will check it: by the
//! authority, under the advertised name, at both ends of a link, and now. So a mistake is found at the start or at the
//! reload, and not by a peer.

use super::{LinkListener, Net, Tcp};
use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, InvalidMessage, RootCertStore, ServerConfig,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// The protocol's name for ALPN.
const ALPN: &[u8] = b"elockd-link";
/// The most bytes of a file.
const MOST_BYTES: u64 = 1 << 20;
/// How long a peer that is refused may take to close. Until then it can read why.
const LINGER: Duration = Duration::from_secs(1);

/// Where the files are, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates of the authority that certifies all nodes.
    pub authority: PathBuf,
    /// The node's certificate, and behind it those between it and the authority.
    pub certificate: PathBuf,
    /// The key of the node's certificate.
    pub key: PathBuf,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("cannot read {}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is read, but peers would not take what is in it.
    #[error("cannot use {}: {reason}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The advertised address has no name that a certificate could have.
    #[error("{0} is not HOST:PORT")]
    Address(String),
}

/// TLS over another network. All clones share one setup.
#[derive(Clone)]
pub struct Tls<N = Tcp> {
    beneath: N,
    files: Arc<TlsFiles>,
    advertised: Option<Arc<str>>,
    setup: Arc<Mutex<Setup>>,
}

/// What was made of the files.
#[derive(Clone)]
struct Setup {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls<Tcp> {
    /// TLS over TCP, with a certificate for the host of `advertised` (`HOST:PORT`). It is `None` for who only calls.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or peers would not take what is in it.
    pub fn new(files: TlsFiles, advertised: Option<&str>) -> Result<Self, TlsError> {
        Self::over(Tcp::beneath(), files, advertised)
    }

    /// Listens at `HOST:PORT`.
    ///
    /// # Errors
    ///
    /// The system refuses it.
    pub async fn listen(&self, address: &str) -> io::Result<LinkListener> {
        self.beneath.listen(address).await
    }
}

impl<N: Net> Tls<N> {
    /// TLS over any network.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or peers would not take what is in it.
    pub fn over(beneath: N, files: TlsFiles, advertised: Option<&str>) -> Result<Self, TlsError> {
        let setup = Setup::load(&files, advertised)?;
        let (files, setup) = (Arc::new(files), Arc::new(Mutex::new(setup)));
        Ok(Self { beneath, files, advertised: advertised.map(Into::into), setup })
    }

    /// Reads the files again. Handshakes that begin from now on use them, and links that there are go on.
    ///
    /// # Errors
    ///
    /// As for [`Tls::new`]. Then all stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let setup = Setup::load(&self.files, self.advertised.as_deref())?;
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = setup;
        Ok(())
    }

    fn setup(&self) -> Setup {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<N> fmt::Debug for Tls<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<N: Net> Net for Tls<N> {
    type Stream = TlsStream<N::Stream>;
    type Accepted = N::Accepted;
    type Listener = N::Listener;

    async fn connect(&self, address: &str) -> io::Result<Self::Stream> {
        let name = name(address).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, TlsError::Address(address.to_owned()))
        })?;
        let stream = self.beneath.connect(address).await?;
        let stream = TlsConnector::from(self.setup().client).connect(name, stream).await?;
        Ok(stream.into())
    }

    async fn accept(&self, listener: &mut Self::Listener) -> io::Result<(Self::Accepted, SocketAddr)> {
        self.beneath.accept(listener).await
    }

    async fn begin(&self, accepted: Self::Accepted) -> io::Result<Self::Stream> {
        let stream = self.beneath.begin(accepted).await?;
        match TlsAcceptor::from(self.setup().server).accept(stream).into_fallible().await {
            Ok(stream) => Ok(stream.into()),
            Err((error, mut stream)) => {
                // The alert is lost if the socket is closed with unread input.
                let _ = timeout(LINGER, last_words(&mut stream)).await;
                Err(error)
            }
        }
    }

    fn explain(&self, error: &io::Error) -> String {
        let of_rustls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match of_rustls {
            Some(error) => words(error),
            None => self.beneath.explain(error),
        }
    }
}

/// Sends FIN, and drops what comes until the peer closes too.
async fn last_words<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut dropped = [0; 256];
    while stream.read(&mut dropped).await? > 0 {}
    Ok(())
}

/// The name of `HOST:PORT`, as a certificate has it.
fn name(address: &str) -> Option<ServerName<'static>> {
    let (host, _) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}

impl Setup {
    fn load(files: &TlsFiles, advertised: Option<&str>) -> Result<Self, TlsError> {
        let of_address = |address: &str| name(address).ok_or_else(|| TlsError::Address(address.to_owned()));
        let name = advertised.map(of_address).transpose()?;
        let of_authority = |reason: &dyn fmt::Display| unusable(&files.authority, reason);
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.authority)? {
            roots.add(certificate).map_err(|error| of_authority(&words(&error)))?;
        }
        let roots = Arc::new(roots);
        let provider = || Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider());
        let clients = clients.build().map_err(|error| of_authority(&error))?;
        let servers = WebPkiServerVerifier::builder_with_provider(roots, provider());
        let servers = servers.build().map_err(|error| of_authority(&error))?;

        let chain = certificates(&files.certificate)?;
        let (own, between) = chain.split_first().expect("a file without a certificate was refused");
        let now = UnixTime::now();
        let of_own = |error| unusable(&files.certificate, &words(&error));
        clients.verify_client_cert(own, between, now).map_err(of_own)?;
        if let Some(name) = name {
            servers.verify_server_cert(own, between, &name, &[], now).map_err(of_own)?;
        }

        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?);
        let key = key.map_err(|error| of_pem(&files.key, &error, "private key"))?;
        let of_key = |error: rustls::Error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let of = files.certificate.display();
                unusable(&files.key, &format_args!("it is not the key of the certificate in {of}"))
            }
            error => unusable(&files.key, &error),
        };
        let server = ServerConfig::builder_with_provider(provider());
        let server = server.with_protocol_versions(&[&TLS13]).map_err(of_key)?;
        let server = server.with_client_cert_verifier(clients);
        let mut server = server.with_single_cert(chain.clone(), key.clone_key()).map_err(of_key)?;
        // No session is resumed: what a reload has taken away is then really gone.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.alpn_protocols = vec![ALPN.to_owned()];

        let client = ClientConfig::builder_with_provider(provider());
        let client = client.with_protocol_versions(&[&TLS13]).map_err(of_key)?;
        let client = client.with_webpki_verifier(servers);
        let mut client = client.with_client_auth_cert(chain, key).map_err(of_key)?;
        client.resumption = Resumption::disabled();
        client.alpn_protocols = vec![ALPN.to_owned()];
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }
}

fn unusable(path: &Path, reason: &dyn fmt::Display) -> TlsError {
    TlsError::Unusable { path: path.to_owned(), reason: reason.to_string() }
}

/// Reads every certificate of a file. There is one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| of_pem(path, &error, "certificate"))?;
    if certificates.is_empty() {
        return Err(of_pem(path, &pem::Error::NoItemsFound, "certificate"));
    }
    Ok(certificates)
}

/// Reads a file. A path that names a pipe or a device must neither hang nor take memory until there is none.
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed =
        |reason: &dyn fmt::Display| TlsError::File { path: path.to_owned(), reason: reason.to_string() };
    if !std::fs::metadata(path).map_err(|error| failed(&error))?.is_file() {
        return Err(failed(&"it is not a regular file"));
    }
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed(&format_args!("it has more than {MOST_BYTES} bytes; is it the right file?")));
    }
    Ok(bytes)
}

fn of_pem(path: &Path, error: &pem::Error, what: &str) -> TlsError {
    let reason = match error {
        pem::Error::NoItemsFound => format!("it has no {what}"),
        error => error.to_string(),
    };
    TlsError::File { path: path.to_owned(), reason }
}

/// What went wrong, in words for an operator where rustls has words for a programmer.
fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => "the certificate is of another authority".to_owned(),
            error => format!("the certificate cannot be used: {error}"),
        },
        rustls::Error::NoCertificatesPresented => "the other end has no certificate".to_owned(),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the other end does not speak TLS".to_owned()
        }
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA => "the other end does not know this end's authority".to_owned(),
            AlertDescription::CertificateRequired => "the other end asks for a certificate".to_owned(),
            AlertDescription::CertificateExpired => "this end's certificate has expired".to_owned(),
            alert => format!("the other end ended the handshake: {alert:?}"),
        },
        error => error.to_string(),
    }
}
