//! What must come before a connection's first line: a PROXY header, a TLS handshake, the upgrade to a WebSocket. The
//! peer may take its time for that, or never finish. So it is no work of the task that accepts: each socket has a task
//! of its own for it, under [`Config::handshake_timeout`](crate::Config::handshake_timeout).
//!
//! Most listeners have none: [`NoHandshake`]. Several in a row are one: [`Then`].

use super::{Peer, Stream};
use std::fmt;
use std::future::{Future, ready};
use thiserror::Error;

/// What an accepted socket must do before its connection is opened in the machine.
pub trait Handshake<S>: Send + Sync + 'static {
    /// The stream that comes of it. It carries the lines.
    type Stream: Stream;

    /// Whether there is anything to do. If not, the connection is opened by the task that has accepted it.
    const IS_NEEDED: bool = true;

    /// Does it. `peer` is who the socket comes from. The peer that is returned is who speaks: its address may come from
    /// a balancer, and its names from a certificate.
    ///
    /// The caller sets a limit of time. If the future is dropped, the attempt is over.
    fn run(
        &self,
        stream: S,
        peer: Peer,
    ) -> impl Future<Output = Result<(Self::Stream, Peer), HandshakeError>> + Send;

    /// Writes what it is, for the log, with a space before it: ` (TLS)`.
    ///
    /// # Errors
    ///
    /// The formatter's.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// Why a handshake failed. It displays as a text for the log, without the peer's address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what}: {reason}")]
pub struct HandshakeError {
    what: &'static str,
    reason: String,
}

impl HandshakeError {
    /// `what` says in a word which handshake failed, as in `TLS`.
    pub fn new(what: &'static str, reason: impl fmt::Display) -> Self {
        Self { what, reason: reason.to_string() }
    }
}

/// No handshake: what is accepted speaks at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHandshake;

impl<S: Stream> Handshake<S> for NoHandshake {
    type Stream = S;

    const IS_NEEDED: bool = false;

    fn run(&self, stream: S, peer: Peer) -> impl Future<Output = Result<(S, Peer), HandshakeError>> + Send {
        ready(Ok((stream, peer)))
    }

    fn describe(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Two handshakes, the second on what comes of the first.
#[derive(Clone, Copy, Debug)]
pub struct Then<A, B>(pub A, pub B);

impl<S, A, B> Handshake<S> for Then<A, B>
where
    S: Stream,
    A: Handshake<S>,
    B: Handshake<A::Stream>,
{
    type Stream = B::Stream;

    const IS_NEEDED: bool = A::IS_NEEDED || B::IS_NEEDED;

    async fn run(&self, stream: S, peer: Peer) -> Result<(B::Stream, Peer), HandshakeError> {
        let (stream, peer) = self.0.run(stream, peer).await?;
        self.1.run(stream, peer).await
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f)?;
        self.1.describe(f)
    }
}
