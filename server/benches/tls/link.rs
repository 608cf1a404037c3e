//! A client's connection, with TLS or without.

use super::Outcome;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A certificate for the daemon, and a client that trusts it.
pub(crate) struct Trust {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    config: Arc<ClientConfig>,
    _folder: TempDir,
}

impl Trust {
    pub(crate) fn new() -> Outcome<Self> {
        let folder = TempDir::new()?;
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["daemon".to_owned()])?;
        let (cert_file, key) = (folder.path().join("crt"), folder.path().join("key"));
        fs::write(&cert_file, cert.pem())?;
        fs::write(&key, signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        Ok(Self { cert: cert_file, key, config, _folder: folder })
    }
}

/// One connection.
pub(crate) enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    pub(crate) fn plain(daemon: SocketAddr) -> Outcome<Self> {
        Ok(Self::Plain(connect(daemon)?))
    }

    pub(crate) fn tls(daemon: SocketAddr, trust: &Trust) -> Outcome<Self> {
        let session = ClientConnection::new(Arc::clone(&trust.config), ServerName::try_from("daemon")?)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(session, connect(daemon)?))))
    }

    pub(crate) fn send(&mut self, text: &str) -> Outcome<()> {
        match self {
            Self::Plain(stream) => stream.write_all(text.as_bytes())?,
            Self::Tls(stream) => {
                stream.write_all(text.as_bytes())?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    /// Reads this many lines, and no byte more is there.
    pub(crate) fn take_lines(&mut self, mut count: usize) -> Outcome<()> {
        let mut buffer = [0; 16 << 10];
        while count > 0 {
            let read = match self {
                Self::Plain(stream) => stream.read(&mut buffer)?,
                Self::Tls(stream) => stream.read(&mut buffer)?,
            };
            if read == 0 {
                return Err("the daemon has closed".into());
            }
            let lines = memchr::memchr_iter(b'\n', &buffer[..read]).count();
            count = count.checked_sub(lines).ok_or("more answers than requests")?;
        }
        Ok(())
    }
}

fn connect(daemon: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(daemon)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}
