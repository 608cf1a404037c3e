//! One connection: bytes in, commands to the hub, replies out. It decides nothing about locks; it
//! decides when to read, when to write, and when to give up.

mod listing;
mod scratch;
mod serving;
mod teller;
mod unsent;
mod waiting;

pub(crate) use teller::Teller;

use crate::gate::{Gate, GateHandle, Local};
use crate::hub::{Ending, Flow, Mail};
use crate::shared::Shared;
use arrayvec::ArrayVec;
use elockd_core::wire::{Decoder, encode_reason};
use elockd_core::{Cause, Command, Now, Reason, Scan};
use elockd_core::{bug, mark};
use scratch::Scratch;
use serving::Serving;
use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep, timeout};
use unsent::Unsent;

/// Commands that run under one hold of the hub's lock.
const BATCH: usize = 64;
/// Bytes of unsent replies at which a connection is no longer read from.
const MAX_UNSENT: usize = 64 << 10;
/// Batches in a row that ask for a wait, before other connections have their turn: each may take a search for deadlocks.
const WAITS_PER_TURN: u32 = 16;
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

    /// Reads, runs and writes until something else is to be done.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        scratch::with(|scratch| {
            let step = self.poll_step_with(cx, scratch);
            // What could not be sent waits with the connection; the scratch is the next one's.
            if !scratch.replies.is_empty() {
                self.unsent().extend_from_slice(&scratch.replies);
            }
            if !bug!(RepliesLeftForTheNextConnection) {
                scratch.replies.clear();
            }
            step
        })
    }

    fn poll_step_with(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Step> {
        let mut reads = 0;
        loop {
            if let Poll::Ready(Err(end)) = self.poll_send(cx, &mut scratch.replies) {
                return Poll::Ready(Step::End(end));
            }
            if self.is_waiting {
                match ready!(self.poll_wait(cx, scratch, &mut reads)) {
                    Some(end) => return Poll::Ready(Step::End(end)),
                    None => continue,
                }
            }
            let unsent = self.unsent_len() + scratch.replies.len();
            let most = if bug!(ReadsOnlyWhenAllIsSent) { 1 } else { MAX_UNSENT };
            if unsent < most {
                if let Some(unrun) = self.unrun.take() {
                    if let Some(step) = self.run(&unrun.input, Some(unrun.read_at), &mut scratch.replies) {
                        return Poll::Ready(step);
                    }
                    continue;
                }
                if self.is_at_end {
                    if bug!(CutOffLineIsRun) {
                        let _ = self.run(b"\n", None, &mut scratch.replies);
                    }
                    return Poll::Ready(Step::End(End::Eof));
                }
                if reads == READS_PER_TURN {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                reads += 1;
                let mut buffer = ReadBuf::new(&mut scratch.input);
                match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                        self.is_at_end = true;
                        continue;
                    }
                    Poll::Ready(Ok(())) => {
                        if let Some(step) = self.run(buffer.filled(), None, &mut scratch.replies) {
                            return Poll::Ready(step);
                        }
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Step::End(End::Error)),
                    Poll::Pending => {}
                }
            } else {
                mark!(ReadingStopped);
            }
            return match ready!(self.poll_ending(cx)) {
                // What was read is answered first; when the peer takes replies again, it goes on here.
                Ending::Drained if unsent >= MAX_UNSENT && !bug!(DrainDropsWhatWasRead) => {
                    mark!(DrainWaitedForReplies);
                    Poll::Pending
                }
                Ending::Drained => Poll::Ready(Step::End(End::Drained)),
                Ending::Machine(reason) => {
                    mark!(EndedByMail);
                    Poll::Ready(Step::End(End::Closed(reason)))
                }
            };
        }
    }

    /// Ready when somebody else decided that this connection, which does not wait, ends.
    fn poll_ending(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.handle.poll_mail(cx.waker()).map(|mail| match mail {
            Mail::Ending(ending) => ending,
            Mail::Reply(reply) => panic!("a reply without a wait: {}", reply.escape_ascii()),
        })
    }

    /// Runs the commands in `input` until it is used up or something else comes first; what is left
    /// then is kept. It was read off the socket just now, unless it had to wait since `read_at`.
    fn run(&mut self, mut input: &[u8], read_at: Option<Instant>, replies: &mut Vec<u8>) -> Option<Step> {
        let run_at = Instant::now();
        let mut now = self.shared.clock.at(run_at);
        let mut waits = 0;
        let read_at = read_at.unwrap_or(run_at);
        // One by one where they are told of, so that it is clear whose reply is whose.
        let most = if self.teller.is_some() { 1 } else { BATCH };
        loop {
            let mut batch = ArrayVec::<_, BATCH>::new();
            while batch.len() < most {
                let is_last = self.decoder.give_next(&mut input, |command| {
                    let is_last = command.ends_batch();
                    batch.push(command);
                    is_last
                });
                if is_last != Some(false) {
                    break;
                }
            }
            if batch.is_empty() {
                return None;
            }
            if batch.is_full() {
                mark!(BatchWasFull);
                if bug!(FullBatchLosesACommand) {
                    self.decoder.next(&mut input);
                }
            }
            let commands = batch.len() as u64;
            let may_wait = batch.last().is_some_and(Command::may_wait);
            if may_wait {
                // Its time begins when it does, not when it was read.
                now = self.shared.clock.now();
                waits += 1;
            }
            let flow = if self.teller.is_none() {
                self.handle.batch(now, &batch, replies)
            } else {
                self.batch_told(now, batch, replies)
            };
            if let Some(latency) = &self.shared.latency {
                latency.note(commands, read_at.elapsed());
            }
            let step = match flow {
                Flow::Go if may_wait && waits == WAITS_PER_TURN => Some(Step::Turn),
                Flow::Go if replies.len() < MAX_UNSENT || bug!(RepliesWithoutBound) => continue,
                Flow::Go => None,
                Flow::Wait if bug!(RunsWhileWaiting) => {
                    self.is_waiting = true;
                    continue;
                }
                Flow::Wait => {
                    self.is_waiting = true;
                    None
                }
                Flow::List(scan) => Some(Step::List(scan)),
                Flow::Close(reason) => Some(Step::End(End::Closed(reason))),
            };
            if matches!(step, Some(Step::List(_))) && bug!(InputBehindAListingIsLost) {
                return step;
            }
            if !input.is_empty() {
                mark!(InputHadToWait);
                self.unrun = Some(Box::new(Unrun { input: input.to_vec(), read_at }));
            }
            return step;
        }
    }

    /// The same as the handle's, and the teller hears of it. Here a batch is one command.
    #[cold]
    fn batch_told<'a>(
        &mut self,
        now: Now,
        batch: impl IntoIterator<Item = Command<Cow<'a, [u8]>>>,
        replies: &mut Vec<u8>,
    ) -> Flow {
        let mut flow = Flow::Go;
        for command in batch {
            let told = command.clone().map(Cow::into_owned);
            let is_success;
            (flow, is_success) = self.handle.command(now, &command, replies);
            if let Some(teller) = &mut self.teller {
                match flow {
                    Flow::Wait => teller.waits(told),
                    _ => teller.heard(told, is_success),
                }
            }
        }
        flow
    }

    /// Sends what is unsent, then `fresh`, as far as the peer takes it. Ready when all is sent.
    fn poll_send(&mut self, cx: &mut Context<'_>, fresh: &mut Vec<u8>) -> Poll<Result<(), End>> {
        let mut sent = 0;
        let result = match &mut self.unsent {
            None => {
                let result = poll_write(&mut self.stream, cx, fresh, &mut sent);
                if result.is_pending() {
                    self.unsent().extend_from_slice(&fresh[sent..]);
                }
                fresh.clear();
                result
            }
            Some(unsent) => {
                unsent.tail().append(fresh);
                let result = poll_write(&mut self.stream, cx, unsent.rest(), &mut sent);
                unsent.advance(sent);
                if sent > 0 && !bug!(SlowPeerIsStalled) {
                    unsent.stalling = None;
                }
                result
            }
        };
        if result.is_ready() {
            self.unsent = None;
            return result;
        }
        mark!(RepliesHadToWait);
        self.poll_stall(cx).map(|()| Err(End::Stalled))
    }

    /// Ready when the peer has taken no byte of what is unsent for the write timeout.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if bug!(StalledPeerIsKept) {
            return Poll::Pending;
        }
        let Some(unsent) = &mut self.unsent else { return Poll::Pending };
        if unsent.stalling.is_none() {
            let Some(limit) = self.shared.tunables().write_timeout else { return Poll::Pending };
            unsent.stalling = Some(Box::pin(sleep(limit)));
        }
        unsent.stalling.as_mut().map_or(Poll::Pending, |stalling| stalling.as_mut().poll(cx))
    }

    /// The replies that are not sent yet, to add to them.
    fn unsent(&mut self) -> &mut Vec<u8> {
        self.unsent.get_or_insert_default().tail()
    }

    /// How many bytes of replies are not sent yet.
    fn unsent_len(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.rest().len())
    }

    /// Sends everything; ends early when the socket fails, the peer stalls, or the machine closes the
    /// connection. A shutdown lets a reply be completed.
    async fn send_all(&mut self) -> Result<(), End> {
        poll_fn(|cx| {
            if let Poll::Ready(sent) = self.poll_send(cx, &mut Vec::new()) {
                return Poll::Ready(sent);
            }
            match ready!(self.poll_ending(cx)) {
                Ending::Machine(reason) => Poll::Ready(Err(End::Closed(reason))),
                Ending::Drained => Poll::Pending,
            }
        })
        .await
    }

    /// The end of a connection: its locks go first, then it gets what it is still owed.
    async fn finish(mut self, end: End) {
        let now = self.now();
        let cause = match end {
            End::Error => Cause::Error,
            End::Stalled => Cause::Stalled,
            End::Eof => Cause::Eof,
            End::Closed(Reason::Idle) => Cause::Idle,
            End::Closed(Reason::Kicked) => Cause::Kicked,
            End::Closed(Reason::Quit | Reason::TooManyConnections) => Cause::Quit,
            End::Drained => Cause::Shutdown,
        };
        if matches!(end, End::Eof) && bug!(LocksAreHeldWhileFlushing) {
            self.send_rest().await;
        }
        if let End::Closed(reason) = end {
            self.handle.closed();
            encode_reason(reason, self.unsent());
        } else {
            let owed = self.handle.close(now, cause);
            if !owed.is_empty() {
                self.tell_answer(&owed);
                self.unsent().extend(owed);
            }
        }
        if let Some(teller) = self.teller.take() {
            teller.disconnected(cause).await;
        }
        match end {
            End::Error => mark!(ConnectionFailed),
            End::Stalled => mark!(PeerStalled),
            End::Eof => {
                if self.unsent_len() > 0 {
                    mark!(ReplyAfterFin);
                }
                if !bug!(RepliesAreDroppedAtFin) {
                    self.send_rest().await;
                }
            }
            End::Closed(_) | End::Drained => self.close_in_order().await,
        }
    }

    async fn close_in_order(mut self) {
        if self.send_rest().await {
            close_first(self.stream).await;
        }
    }

    /// Sends what is left, to a connection that is closed already in the machine.
    async fn send_rest(&mut self) -> bool {
        poll_fn(|cx| self.poll_send(cx, &mut Vec::new())).await.is_ok()
    }

    fn now(&self) -> Now {
        self.shared.clock.now()
    }
}

/// Writes `bytes` from `sent` on, and moves `sent`, also when it could not write them all.
fn poll_write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    bytes: &[u8],
    sent: &mut usize,
) -> Poll<Result<(), End>> {
    while *sent < bytes.len() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, &bytes[*sent..])) {
            Ok(0) | Err(_) => return Poll::Ready(Err(End::Error)),
            Ok(taken) => *sent += taken,
        }
        if bug!(ShortWriteLosesTheRest) {
            *sent = bytes.len();
        }
    }
    Poll::Ready(Ok(()))
}

/// Closes a connection whose peer has not: FIN, then its input is taken and dropped until it closes too.
async fn close_first<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    if bug!(NoLinger) {
        return;
    }
    let linger = async {
        stream.shutdown().await?;
        let mut dropped = [0; 1024];
        while stream.read(&mut dropped).await? > 0 {}
        std::io::Result::Ok(())
    };
    // However it goes, the connection is over.
    let _ = timeout(LINGER, linger).await;
}
