//! One connection: bytes in, commands to the hub, replies out. It decides nothing about locks. It decides when to read,
//! when to write, and when to give up.

mod alarm;
mod backlog;
mod finishing;
mod lingering;
mod listing;
mod log;
mod running;
mod scratch;
mod sending;
mod serving;
mod stalling;
mod state;
#[cfg(test)]
mod tests;
mod turn;
mod unsent;
mod waiting;

pub(crate) use log::{SessionLog, kind_word, lock_word};

use crate::gate::{Gate, GateHandle, Local};
use crate::hub::{Ending, Mail};
use crate::listen::Stream;
use crate::shared::Shared;
use backlog::Backlog;
use elockd_core::wire::{Decoder, encode_reason};
use elockd_core::{Now, Reason, Scan};
use lingering::{LINGER, Linger};
use state::{End, State};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// When this many bytes of replies are unsent, the connection is no longer read from.
const MAX_UNSENT: usize = 64 << 10;

/// Serves a connection to its end.
pub(crate) fn serve<S, G: Gate>(
    shared: Arc<Shared<G>>,
    stream: S,
    handle: G::Handle,
    log: Option<Box<SessionLog>>,
) -> impl Future<Output = ()>
where
    S: Stream,
{
    let session = Session::new(shared, stream, handle, log);
    if let Some(log) = &session.log {
        log.connected();
    }
    session
}

/// Tells a connection why it is refused, and closes it.
pub(crate) async fn refuse<S: Stream>(mut stream: S, reason: Reason) {
    let mut line = Vec::new();
    encode_reason(reason, &mut line);
    // A peer that does not take the line in time does not get it.
    let _ = timeout(LINGER, stream.write_all(&line)).await;
    let mut linger = Linger::new();
    poll_fn(|cx| linger.poll(&mut stream, cx)).await;
}

/// One connection. It is a future that is ready when the connection is over.
///
/// Before you add a field, look at the size of an idle session (`serving.rs`). What is seldom needed is boxed.
struct Session<S, G: Gate = Local> {
    shared: Arc<Shared<G>>,
    stream: S,
    handle: G::Handle,
    decoder: Decoder,
    /// What it is doing.
    state: State,
    /// What its last turn left over.
    backlog: Option<Box<Backlog>>,
    /// Logs what the connection does, if that is wanted.
    log: Option<Box<SessionLog>>,
}

/// What a connection that runs or waits does next.
enum Step {
    /// It answers with a listing.
    List(Scan),
    /// It ends.
    End(End),
}

impl<S: Stream, G: Gate> Session<S, G> {
    fn new(shared: Arc<Shared<G>>, stream: S, handle: G::Handle, log: Option<Box<SessionLog>>) -> Self {
        Self {
            decoder: Decoder::new(shared.config.max_line_bytes),
            shared,
            stream,
            handle,
            state: State::Running,
            backlog: None,
            log,
        }
    }

    /// Ready if somebody else decided that this connection ends. It must not wait.
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
