//! A stream over TLS.

use crate::listen::beneath::Beneath;
use crate::listen::{Gone, Stream};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server;

/// A connection over TLS.
pub struct TlsStream<S>(server::TlsStream<Beneath<S>>);

impl<S> TlsStream<S> {
    pub(super) fn new(stream: server::TlsStream<Beneath<S>>) -> Self {
        Self(stream)
    }

    /// The peer's own certificate, if it has shown one. rustls has checked it.
    pub(super) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.0.get_ref().1.peer_certificates().and_then(|chain| chain.first())
    }
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    /// The peer may wait for `close_notify`.
    const HAS_FAREWELL: bool = true;

    /// FIN is seen even if TLS has records before it that are not read yet.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.0.get_mut().0.poll_gone(cx)
    }

    fn untaken(&self) -> Option<usize> {
        self.0.get_ref().0.untaken()
    }

    fn may_say_last_word(&mut self) -> bool {
        self.0.get_mut().0.may_say_last_word()
    }
}

impl<S: Stream> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl<S: Stream> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
