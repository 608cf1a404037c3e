//! One connection: bytes in, commands to the hub, replies out. It decides nothing about locks; it
//! decides when to read, when to write, and when to give up.

mod finishing;
mod listing;
mod running;
mod scratch;
mod sending;
mod serving;
mod teller;
mod unsent;
mod waiting;

pub(crate) use teller::Teller;

use crate::gate::{Gate, GateHandle, Local};
use crate::hub::{Ending, Mail};
use crate::shared::Shared;
use elockd_core::wire::{Decoder, encode_reason};
use elockd_core::{Now, Reason, Scan};
use finishing::close_first;
use serving::Serving;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use unsent::Unsent;

/// Bytes of unsent replies at which a connection is no longer read from.
const MAX_UNSENT: usize = 64 << 10;
/// Reads in a row before other connections have their turn.
const READS_PER_TURN: u32 = 4;
/// How long input is still taken, and dropped, after the server closed first: closing a socket with
/// unread input makes the kernel send a reset, which can eat the last reply.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a connection to its end.
pub(crate) fn serve<S, G: Gate>(
    shared: Arc<Shared<G>>,
    stream: S,
    handle: G::Handle,
    teller: Option<Box<Teller>>,
) -> impl Future<Output = ()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let session = Session::new(shared, stream, handle, teller);
    if let Some(teller) = &session.teller {
        teller.connected();
    }
    Serving::Turns(Some(session))
}

/// Tells a connection why it is not wanted.
pub(crate) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, reason: Reason) {
    let mut line = Vec::new();
    encode_reason(reason, &mut line);
    // Whoever does not take one line within the time does not get it.
    let _ = timeout(LINGER, stream.write_all(&line)).await;
    close_first(stream).await;
}

/// One connection. Whoever adds to it looks at what an idle one takes (`serving.rs`): what is seldom needed is boxed.
struct Session<S, G: Gate = Local> {
    shared: Arc<Shared<G>>,
    stream: S,
    handle: G::Handle,
    decoder: Decoder,
    /// Input that was read and has not run, because replies before it are still to be sent.
    unrun: Option<Box<Unrun>>,
    /// Replies that were not sent at once.
    unsent: Option<Box<Unsent>>,
    /// Whether the peer sent FIN.
    is_at_end: bool,
    /// Whether the machine owes it the reply of a wait. Until then nothing is run.
    is_waiting: bool,
    /// Logs what the connection does, where that is wanted.
    teller: Option<Box<Teller>>,
}

/// Input that waits, and since when.
struct Unrun {
    input: Vec<u8>,
    /// When it was read off the socket.
    read_at: Instant,
}

/// What a connection comes to.
enum Step {
    List(Scan),
    /// Others have their turn first.
    Turn,
    End(End),
}

/// How a connection ends.
enum End {
    /// The peer sent FIN, and all it said has run.
    Eof,
    /// The socket failed.
    Error,
    /// The peer takes no replies.
    Stalled,
    /// The machine closed it.
    Closed(Reason),
    /// The daemon is shutting down.
    Drained,
}

impl<S: AsyncRead + AsyncWrite + Unpin, G: Gate> Session<S, G> {
    fn new(shared: Arc<Shared<G>>, stream: S, handle: G::Handle, teller: Option<Box<Teller>>) -> Self {
        Self {
            decoder: Decoder::new(shared.config.max_line_bytes),
            shared,
            stream,
            handle,
            unrun: None,
            unsent: None,
            is_at_end: false,
            is_waiting: false,
            teller,
        }
    }

    /// Ready when somebody else decided that this connection, which does not wait, ends.
    fn poll_ending(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.handle.poll_mail(cx.waker()).map(|mail| match mail {
            Mail::Ending(ending) => ending,
            Mail::Reply(reply) => panic!("a reply without a wait: {}", reply.escape_ascii()),
        })
    }

    fn now(&self) -> Now {
        self.shared.clock.now()
    }
}
