//! One connection: bytes in, commands to the hub, replies out. It decides nothing about locks. It decides when to read,
//! when to write, and when to give up.

mod alarm;
mod asking;
mod backlog;
mod beginning;
mod finishing;
mod lingering;
mod listing;
mod log;
mod refusing;
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

pub(crate) use asking::Asker;
pub(crate) use log::SessionLog;
pub(crate) use refusing::{refuse, refuse_at_once};

use crate::gate::{Gate, GateHandle, Local};
use crate::hub::{Ending, Mail};
use crate::listen::Stream;
use crate::places::Places;
use crate::shared::Shared;
use backlog::Backlog;
use elockd_core::wire::Decoder;
use elockd_core::{Now, Scan};
use state::{End, State};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// When this many bytes of replies are unsent, the connection is no longer read from.
const MAX_UNSENT: usize = 64 << 10;

/// Serves a connection to its end, and gives its socket's place back.
pub(crate) fn serve<S, G: Gate>(
    shared: Arc<Shared<G>>,
    stream: S,
    handle: G::Handle,
    asker: Option<Box<Asker>>,
    log: Option<Box<SessionLog>>,
) -> impl Future<Output = ()>
where
    S: Stream,
{
    let session = Session::new(shared, stream, handle, asker, log);
    if let Some(log) = &session.log {
        log.connected();
    }
    Placed(Some(session))
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
    /// Who asks, if that decides what it may do.
    asker: Option<Box<Asker>>,
    /// Logs what the connection does, if that is wanted.
    log: Option<Box<SessionLog>>,
}

/// A session whose socket has a place. It is a future that is ready when the socket is closed and the place is free. It
/// takes no more memory than the session.
struct Placed<S, G: Gate = Local>(Option<Session<S, G>>);

impl<S, G: Gate> Placed<S, G> {
    /// Closes the socket, and then gives the place back.
    fn close(&mut self) {
        if let Some(session) = self.0.take() {
            let places = Arc::clone(session.places());
            drop(session);
            places.leave();
        }
    }
}

impl<S: Stream, G: Gate> Future for Placed<S, G> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let placed = self.get_mut();
        let session = placed.0.as_mut().expect("a session that is over is not polled");
        let end = Pin::new(session).poll(cx);
        if end.is_ready() {
            placed.close();
        }
        end
    }
}

impl<S, G: Gate> Drop for Placed<S, G> {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a connection that runs or waits does next.
enum Step {
    /// It answers with a listing.
    List(Scan),
    /// It answers a failed login, after this time.
    Brake(Duration),
    /// It ends.
    End(End),
}

impl<S, G: Gate> Session<S, G> {
    /// The places of sockets of this kind of peer. The log says whose it is, for a connection to the administrative
    /// socket always has one. The handle cannot: when a connection has ended, and its socket is about to close, the
    /// machine knows its account no more.
    fn places(&self) -> &Arc<Places> {
        let is_operator = self.log.as_ref().is_some_and(|log| log.is_of_admin_socket());
        self.shared.places(is_operator)
    }
}

impl<S: Stream, G: Gate> Session<S, G> {
    fn new(
        shared: Arc<Shared<G>>,
        stream: S,
        handle: G::Handle,
        asker: Option<Box<Asker>>,
        log: Option<Box<SessionLog>>,
    ) -> Self {
        Self {
            decoder: Decoder::new(shared.config.max_line_bytes),
            shared,
            stream,
            handle,
            state: State::New,
            backlog: None,
            asker,
            log,
        }
    }

    /// Ready if somebody else decided that this connection ends. It must not wait.
    fn poll_ending(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.handle.poll_mail(cx.waker()).map(|mail| match mail {
            Mail::Ending(ending) => ending,
            Mail::Reply(reply, _) => panic!("a reply without a wait: {}", reply.escape_ascii()),
        })
    }

    fn now(&self) -> Now {
        self.shared.clock.now()
    }
}
