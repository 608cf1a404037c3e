//! Links from other nodes, from the side that answers: connections are accepted, their hello is judged, and their
//! requests are answered, many at a time.

use super::frame::Frame;
use super::halves::{FrameReader, FrameWriter, both};
use super::hello::{Hello, HelloReply};
use super::told::Told;
use super::{Answer, Bounds, LinkEnd, Net, Purpose};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf, split};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// The delay after a connection could not be accepted, as when there are too many open files.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A node's listener for links. Dropped, it ends, and all its links with it.
#[derive(Debug)]
pub struct Serving {
    told: Arc<Told>,
    /// Dropped, it ends the task.
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Serving {
    /// How many connections were refused: hellos that were not accepted, handshakes that failed, and what speaks
    /// something else.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.told.count()
    }

    /// Tells the same, for who does not have this handle.
    pub fn refusals(&self) -> impl Fn() -> u64 + Send + Sync + 'static + use<> {
        let told = Arc::clone(&self.told);
        move || told.count()
    }

    /// Ends all links, and returns when nothing of them runs any more.
    pub async fn shutdown(mut self) {
        self.stop = None;
        let _ = (&mut self.task).await;
    }
}

/// Accepts links and answers their requests until the returned handle is dropped.
///
/// `admit` is asked for each link and again for each request: a node that was removed loses its links with its next
/// request. It says why a node is not admitted. Node 0 is a client that is no node, and its purpose is
/// [`Purpose::Control`].
pub fn serve<N, M, A>(
    net: N,
    mut listener: N::Listener,
    me: LinkEnd,
    bounds: Bounds,
    admit: M,
    answer: A,
) -> Serving
where
    N: Net,
    M: Fn(u16, Purpose) -> Result<(), String> + Send + Sync + 'static,
    A: Answer,
{
    let told = Arc::<Told>::default();
    let (stop, mut stopped) = oneshot::channel();
    let shared = Arc::new(Server { net, me, bounds, told: Arc::clone(&told), admit, answer });
    let task = tokio::spawn(async move {
        let mut links = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                Some(_) = links.join_next() => {}
                accepted = shared.net.accept(&mut listener) => match accepted {
                    Ok((accepted, peer)) if links.len() < shared.bounds.connections => {
                        let shared = Arc::clone(&shared);
                        links.spawn(async move { shared.link(accepted, peer).await });
                    }
                    Ok((_, peer)) => shared.tell(&peer.ip().to_string(), "there are too many links"),
                    Err(error) => {
                        shared.tell("the listener", &error.to_string());
                        sleep(AFTER_FAILURE).await;
                    }
                },
            }
        }
        links.shutdown().await;
    });
    Serving { told, stop: Some(stop), task }
}

/// What the links of a listener share.
struct Server<N, M, A> {
    net: N,
    me: LinkEnd,
    bounds: Bounds,
    told: Arc<Told>,
    admit: M,
    answer: A,
}

impl<N, M, A> Server<N, M, A>
where
    N: Net,
    M: Fn(u16, Purpose) -> Result<(), String> + Send + Sync + 'static,
    A: Answer,
{
    fn tell(&self, peer: &str, reason: &str) {
        if self.told.is_new(peer, reason) {
            tracing::warn!("a link from {peer} was refused: {reason}");
        }
    }

    /// A link, from its handshake to its end.
    async fn link(self: Arc<Self>, accepted: N::Accepted, peer: SocketAddr) {
        let address = peer.ip().to_string();
        match timeout(self.bounds.greeting, self.greet(accepted, &address)).await {
            Err(_) => self.tell(&address, "it did not say hello in time"),
            // A peer that tried two addresses at once, or one that only looks whether somebody listens.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                tracing::debug!("{peer} closed before its hello");
            }
            Ok(Err(error)) => self.tell(&address, &self.net.explain(&error)),
            Ok(Ok(None)) => {}
            Ok(Ok(Some((stream, from, purpose)))) => {
                let reason = self.answer_all(stream, from, purpose).await;
                tracing::debug!("the link from node {from} at {peer} for {purpose} ended: {reason}");
            }
        }
    }

    /// The handshake and the hello. `None` if it was refused.
    async fn greet(
        &self,
        accepted: N::Accepted,
        address: &str,
    ) -> io::Result<Option<(N::Stream, u16, Purpose)>> {
        let mut stream = self.net.begin(accepted).await?;
        let hello = Hello::receive(&mut stream).await?;
        let from = hello.me.node;
        let peer = if from == 0 { address.to_owned() } else { format!("node {from} at {address}") };
        match hello.judge(self.me, &self.admit) {
            Ok((version, purpose)) => {
                HelloReply::Welcome { version, me: self.me }.send(&mut stream).await?;
                self.told.forget(&peer);
                Ok(Some((stream, from, purpose)))
            }
            Err(refusal) => {
                self.tell(&peer, &refusal.to_string());
                HelloReply::Refused(refusal.to_string()).send(&mut stream).await?;
                stream.shutdown().await?;
                Ok(None)
            }
        }
    }

    /// Answers requests until the link breaks. Returns why it did.
    async fn answer_all(self: &Arc<Self>, stream: N::Stream, from: u16, purpose: Purpose) -> String {
        let (read, write) = split(stream);
        let reader = FrameReader::new(read, self.bounds.payload);
        // It is never full: a permit comes with each answer.
        let (answers, answered) = mpsc::unbounded_channel();
        let reading = self.requests(reader, answers, from, purpose);
        both(reading, answers_out(write, answered, &self.bounds)).await
    }

    /// Begins the answers to requests, in the order in which they come.
    async fn requests<R: AsyncRead + Unpin>(
        self: &Arc<Self>,
        mut reader: FrameReader<R>,
        answers: mpsc::UnboundedSender<ReadyAnswer>,
        from: u16,
        purpose: Purpose,
    ) -> String {
        let bounds = &self.bounds;
        let room = Arc::new(Semaphore::new(bounds.under_way_bytes));
        let mut running = JoinSet::new();
        loop {
            let frame = tokio::select! {
                biased;
                Some(ended) = running.join_next() => match ended {
                    Ok(true) => continue,
                    Ok(false) => return strange(from),
                    Err(error) => return format!("an answer failed: {error}"),
                },
                frame = reader.next(bounds.silence) => match frame {
                    Ok(Some(frame)) => frame,
                    Ok(None) => return "the other end closed it".to_owned(),
                    Err(error) => return error.to_string(),
                },
            };
            if frame.number == 0 {
                continue;
            }
            if let Err(reason) = (self.admit)(from, purpose) {
                self.tell(&format!("node {from}"), &reason);
                return reason;
            }
            // Each counts as at least its share, so the bytes bound the number too.
            let share = bounds.under_way_bytes / bounds.under_way.max(1);
            let bytes = frame.payload.len().max(share).min(bounds.under_way_bytes);
            let permit = Arc::clone(&room).acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX));
            let permit = permit.await.expect("nobody closes the semaphore");
            let server = Arc::clone(self);
            let answers = answers.clone();
            let mut answer = Box::pin(async move {
                let Frame { kind, number, payload } = frame;
                let answer = server.answer.answer(from, purpose, kind, payload).await;
                let Some(payload) = answer else { return false };
                if payload.len() > server.bounds.payload {
                    let (bytes, most) = (payload.len(), server.bounds.payload);
                    tracing::error!(
                        "an answer of {bytes} bytes to node {from} is larger than the most of {most}"
                    );
                    return false;
                }
                // Nobody takes it if the link ends at this moment.
                let _ = answers.send((Frame { kind, number, payload }, permit));
                true
            });
            // The first poll is here, so that the order holds on any runtime. Most answers need no other.
            match poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return strange(from),
                Poll::Pending => {
                    running.spawn(answer);
                }
            }
        }
    }
}

/// An answer, and the room that its request takes until the answer is sent.
type ReadyAnswer = (Frame, OwnedSemaphorePermit);

fn strange(from: u16) -> String {
    format!("a request of node {from} has no answer")
}

/// Sends answers as they come. Returns why it ended.
async fn answers_out<S: AsyncRead + AsyncWrite>(
    half: WriteHalf<S>,
    mut answers: mpsc::UnboundedReceiver<ReadyAnswer>,
    bounds: &Bounds,
) -> String {
    let mut writer = FrameWriter::new(half, bounds.payload);
    let sending = async {
        loop {
            // Those that are there go together.
            let mut next = answers.try_recv().ok();
            while let Some((frame, permit)) = next {
                writer.add(&frame).await?;
                drop(permit);
                next = answers.try_recv().ok();
            }
            writer.flush().await?;
            match timeout(bounds.alive, answers.recv()).await {
                Ok(Some((frame, _permit))) => writer.add(&frame).await?,
                Ok(None) => return Err(io::Error::other("nothing can be answered any more")),
                Err(_) => writer.add(&Frame::alive()).await?,
            }
        }
    };
    let Err::<Infallible, io::Error>(error) = sending.await;
    error.to_string()
}
