//! What a server needs of a connection's stream beside reading and writing. The kernel knows of a peer two things that
//! neither tells: that it has ended behind input that is not read yet, and whether it takes what was written.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection's stream. A kind of stream that cannot tell more than reading and writing does needs no more than
/// `impl Stream for Kind {}`.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether a peer that has ended must be told the end too. If so, the stream is shut down before it is dropped,
    /// unless it failed.
    const HAS_FAREWELL: bool = false;

    /// Ready when the peer has ended, even if input that came before is not read. After it was pending, the stream may
    /// only be read by [`poll_read_unseen`](Self::poll_read_unseen), until that was pending too.
    ///
    /// This one is never ready.
    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Gone> {
        Poll::Pending
    }

    /// Like `poll_read`, and finds all input, also what was there when [`poll_gone`](Self::poll_gone) was pending.
    fn poll_read_unseen(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_read(cx, buffer)
    }

    /// How many of the bytes that were written the peer's side has not taken. It need not be exact, but if the peer's
    /// side takes bytes and nothing is written, it gets less. `None` if that is not known. A stream may keep written
    /// bytes back until it is flushed. To hand those on must not make it more.
    fn untaken(&self) -> Option<usize> {
        None
    }

    /// Asks to write one more line although nothing else may be written any more: the lease of a node of a cluster is
    /// over. Returns whether that may be done. It may not if a part of what was written before is still on its way.
    fn may_say_last_word(&mut self) -> bool {
        false
    }
}

/// How a peer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It sent FIN.
    Fin,
    /// The connection failed, for example by a reset.
    Error,
}

/// In memory, for tests. Its buffer has room for all that may be written, so a peer that takes bytes is seen at once.
impl Stream for DuplexStream {}

macro_rules! impl_stream {
    ($stream:ty) => {
        impl Stream for $stream {
            fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
                loop {
                    // Asked once and dropped, so it wakes nobody. It is ready as well if there is only input.
                    match pin!(self.ready(Interest::READABLE | Interest::ERROR)).poll(cx) {
                        Poll::Ready(Ok(seen)) if seen.is_error() => return Poll::Ready(Gone::Error),
                        Poll::Ready(Ok(seen)) if seen.is_read_closed() => return Poll::Ready(Gone::Fin),
                        Poll::Ready(Ok(_)) | Poll::Pending => {}
                        // The runtime is shutting down.
                        Poll::Ready(Err(_)) => return Poll::Ready(Gone::Error),
                    }
                    // The runtime forgets that there is input, so the next event wakes this task. An end is never
                    // forgotten.
                    let _ = self
                        .try_io(Interest::READABLE, || io::Result::<()>::Err(ErrorKind::WouldBlock.into()));
                    if ready!(self.poll_read_ready(cx)).is_err() {
                        return Poll::Ready(Gone::Error);
                    }
                }
            }

            fn poll_read_unseen(
                &mut self,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                read_now(self, buffer).map_or_else(|| Pin::new(self).poll_read(cx, buffer), Poll::Ready)
            }

            fn untaken(&self) -> Option<usize> {
                untaken(self)
            }
        }
    };
}

impl_stream!(TcpStream);
impl_stream!(UnixStream);

/// Reads off the socket itself, whatever the runtime knows of it. `None` if there is nothing to read.
fn read_now(socket: &impl AsFd, buffer: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
    loop {
        match (&*socket2::SockRef::from(socket)).read(buffer.initialize_unfilled()) {
            Ok(count) => {
                buffer.advance(count);
                return Some(Ok(()));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Bytes that were sent and that the peer's kernel has not acknowledged (TCP), or that take room until the peer reads
/// them (Unix sockets).
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "this ioctl has no safe wrapper")]
fn untaken(socket: &impl AsFd) -> Option<usize> {
    use rustix::ioctl::{Getter, Opcode, ioctl};
    // SAFETY: TIOCOUTQ is the number of the call that writes one int (tcp(7), there as SIOCOUTQ), and that is what the
    // getter has room for.
    let count = unsafe { ioctl(socket, Getter::<{ libc::TIOCOUTQ as Opcode }, libc::c_int>::new()) };
    count.ok().and_then(|count| usize::try_from(count).ok())
}

/// Other systems count something else, or nothing.
#[cfg(not(target_os = "linux"))]
fn untaken(_socket: &impl AsFd) -> Option<usize> {
    None
}
