//! TLS, by rustls: versions 1.2 and 1.3, with client certificates if there is an authority for them. Nothing here
//! chooses ciphers or checks signatures.
//!
//! No session is resumed. A connection to a lock daemon lasts, so that a full handshake for each costs little. What a
//! reload has taken away is then really gone.

mod certificate;
mod setup;
mod stream;

pub use setup::{ClientAuth, TlsError, TlsFiles, TlsSetup};
pub use stream::TlsStream;

use super::beneath::Beneath;
use super::{Handshake, HandshakeError, Peer, Stream};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::rustls::{self, InvalidMessage, ServerConfig};
use tokio_rustls::{Accept, TlsAcceptor};

/// How long a peer that is refused may take to close. Until then it can read why.
const LINGER: Duration = Duration::from_secs(1);

/// The TLS handshake of a listener. Its copies share one setup, which can be replaced at any time.
#[derive(Clone, Debug)]
pub struct Tls {
    setup: Arc<Mutex<TlsSetup>>,
    is_web: bool,
}

impl Tls {
    /// For connections that speak lines. The protocol's name for ALPN is `elock/1`.
    #[must_use]
    pub fn new(setup: TlsSetup) -> Self {
        Self { setup: Arc::new(Mutex::new(setup)), is_web: false }
    }

    /// The same for connections that begin with HTTP.
    #[must_use]
    pub fn for_web(&self) -> Self {
        Self { setup: Arc::clone(&self.setup), is_web: true }
    }

    /// Has handshakes that begin from now on use another setup.
    pub fn replace(&self, setup: TlsSetup) {
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = setup;
    }

    /// Seconds of Unix time at which the first of its certificates expires.
    #[must_use]
    pub fn expiry(&self) -> i64 {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner).expiry()
    }

    fn config(&self) -> Arc<ServerConfig> {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner).config(self.is_web)
    }
}

impl<S: Stream> Handshake<S> for Tls {
    type Stream = TlsStream<S>;

    async fn run(&self, stream: S, peer: Peer) -> Result<(TlsStream<S>, Peer), HandshakeError> {
        let accept: Accept<_> = TlsAcceptor::from(self.config()).accept(Beneath::new(stream));
        match accept.into_fallible().await {
            Ok(stream) => {
                let stream = TlsStream::new(stream);
                let names = stream.certificate().map(|leaf| certificate::names(leaf));
                let peer = match (peer.address(), names) {
                    (Some(address), Some(names)) => Peer::Certified { address, names: names.into() },
                    _ => peer,
                };
                Ok((stream, peer))
            }
            Err((error, mut stream)) => {
                let error = HandshakeError::new("TLS", reason(&error));
                // The alert is lost if the socket is closed with unread input.
                let _ = timeout(LINGER, last_words(&mut stream)).await;
                Err(error)
            }
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" (TLS)")
    }
}

/// Sends FIN, and drops what comes until the peer closes too.
async fn last_words<S: Stream>(stream: &mut Beneath<S>) -> io::Result<()> {
    stream.shutdown().await?;
    let mut dropped = [0; 256];
    while Pin::new(&mut *stream).read(&mut dropped).await? > 0 {}
    Ok(())
}

/// What went wrong, in words for an operator where rustls has words for a programmer.
fn reason(error: &io::Error) -> String {
    let of_rustls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match of_rustls {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "the peer does not speak TLS".to_owned()
        }
        Some(rustls::Error::NoCertificatesPresented) => "the peer has no certificate".to_owned(),
        Some(error) => error.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the peer closed before its end".to_owned(),
        None => error.to_string(),
    }
}
