//! A client that speaks TLS, by rustls.

// Two test programs use this, each its own part.
#![allow(dead_code)]

use super::authority::{Authority, Issued};
use super::support::PATIENCE;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// How to connect.
pub(crate) struct Speaker {
    config: ClientConfig,
    name: String,
}

impl Speaker {
    /// Trusts an authority, and expects the daemon to be called `daemon`.
    pub(crate) fn new(trusted: &Authority) -> Self {
        Self::with(trusted, None, &VERSIONS)
    }

    pub(crate) fn with(
        trusted: &Authority,
        own: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_slice(own.pem.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self { config, name: "daemon".to_owned() }
    }

    pub(crate) fn expecting(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    pub(crate) fn offering(mut self, protocol: &str) -> Self {
        self.config.alpn_protocols = vec![protocol.as_bytes().to_owned()];
        self
    }

    /// What it says first.
    pub(crate) fn hello(&self) -> Vec<u8> {
        let mut hello = Vec::new();
        self.session().write_tls(&mut hello).unwrap();
        hello
    }

    fn session(&self) -> ClientConnection {
        let name = ServerName::try_from(self.name.clone()).unwrap();
        ClientConnection::new(Arc::new(self.config.clone()), name).unwrap()
    }

    /// Connects, and says nothing yet.
    pub(crate) fn stream(&self, daemon: SocketAddr) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let socket = TcpStream::connect_timeout(&daemon, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(StreamOwned::new(self.session(), socket))
    }

    /// Connects, and has one answer, so that the daemon has let it in.
    pub(crate) fn connect(&self, daemon: SocketAddr) -> io::Result<Speaking> {
        let mut speaking = Speaking(BufReader::new(self.stream(daemon)?));
        speaking.try_send("ping\n")?;
        match speaking.try_line()?.as_str() {
            "1 pong" => Ok(speaking),
            other => Err(io::Error::other(other.to_owned())),
        }
    }
}

/// A connection over TLS.
#[derive(Debug)]
pub(crate) struct Speaking(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Speaking {
    pub(crate) fn try_send(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())?;
        self.0.get_mut().flush()
    }

    fn try_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(line.trim_end_matches('\n').to_owned())
    }

    pub(crate) fn line(&mut self) -> String {
        self.try_line().unwrap()
    }

    pub(crate) fn ask(&mut self, request: &str) -> String {
        self.try_send(&format!("{request}\n")).unwrap();
        self.line()
    }

    /// Says `close_notify`: nothing more will be asked.
    pub(crate) fn half_close(&mut self) {
        self.session().send_close_notify();
        self.0.get_mut().flush().unwrap();
    }

    pub(crate) fn session(&mut self) -> &mut ClientConnection {
        &mut self.0.get_mut().conn
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.0.get_ref().sock
    }

    /// All that still comes, up to the daemon's `close_notify`. FIN without it is an error.
    pub(crate) fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest)?;
        Ok(rest)
    }
}
