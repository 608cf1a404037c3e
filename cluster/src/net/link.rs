//! Links to other nodes, from the side that asks. Each node and purpose has one, made when it is first needed. A link
//! that broke is made again when there is something to ask.

use super::asked::Asked;
use super::frame::Frame;
use super::halves::{FrameReader, FrameWriter};
use super::hello::{Hello, HelloReply};
use super::told::Told;
use super::{Ask, Bounds, LinkEnd, LinkError, Net, Purpose};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Links to the other nodes of a cluster. All clones are one; when the last is dropped, the links end.
#[derive(Clone)]
pub struct Links<N: Net>(Arc<All<N>>);

/// What the clones share.
struct All<N> {
    net: N,
    me: LinkEnd,
    bounds: Arc<Bounds>,
    told: Arc<Told>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: BTreeMap<u16, String>,
    links: BTreeMap<(u16, Purpose), Link>,
}

/// A link with its task. Dropped, it ends, and so do its requests.
struct Link {
    address: String,
    asked: Arc<Asked>,
    task: AbortHandle,
}

impl<N: Net> Links<N> {
    /// Links of the node `me`, which knows no other yet.
    #[must_use]
    pub fn new(net: N, me: LinkEnd, bounds: Bounds) -> Self {
        let (told, state) = (Arc::default(), Mutex::default());
        Self(Arc::new(All { net, me, bounds: Arc::new(bounds), told, state }))
    }

    /// Says which nodes there are, and the `HOST:PORT` of each. A link to a node that is gone or has moved ends.
    pub fn set_members(&self, members: BTreeMap<u16, String>) {
        let mut state = self.state();
        state.members = members;
        let State { members, links } = &mut *state;
        links.retain(|(to, _), link| members.get(to) == Some(&link.address));
    }

    /// How often a link could not be made, or was refused.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.told.count()
    }

    /// The same as [`Ask::ask`], and the future does not borrow the links. It is called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// There is no answer. A request that is too large, or that finds too many before it, is [`LinkError::Down`] at once.
    pub fn ask(
        &self,
        to: u16,
        purpose: Purpose,
        kind: u8,
        payload: Vec<u8>,
        within: Duration,
    ) -> impl Future<Output = Result<Vec<u8>, LinkError>> + Send + use<N> {
        let deadline = Instant::now() + within;
        let down = move |reason| LinkError::Down { to, reason };
        // Queued before the future is first polled: requests arrive in the order of the calls.
        let ticket = if to == self.0.me.node {
            Err(down("it is this node itself".to_owned()))
        } else {
            let State { members, links } = &mut *self.state();
            match members.get(&to) {
                None => Err(LinkError::Unknown(to)),
                Some(address) => {
                    let link = links.entry((to, purpose));
                    let link = link.or_insert_with(|| self.begin(to, purpose, address.clone()));
                    link.asked.ask(kind, payload, &self.0.bounds).map_err(down)
                }
            }
        };
        async move {
            let answer = timeout_at(deadline, ticket?.answer()).await;
            answer.map_err(|_| LinkError::Late(to))?.map_err(down)
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a task that keeps the link.
    fn begin(&self, to: u16, purpose: Purpose, address: String) -> Link {
        let asked = Arc::new(Asked::default());
        let keeper = Keeper {
            net: self.0.net.clone(),
            me: self.0.me,
            to,
            purpose,
            address: address.clone(),
            bounds: Arc::clone(&self.0.bounds),
            told: Arc::clone(&self.0.told),
            asked: Arc::clone(&asked),
        };
        Link { address, asked, task: tokio::spawn(keeper.run()).abort_handle() }
    }
}

impl<N: Net> fmt::Debug for Links<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("me", &self.0.me).finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
        self.asked.fail(&"the link was ended");
    }
}

impl<N: Net> Ask for Links<N> {
    fn ask(
        &self,
        to: u16,
        purpose: Purpose,
        kind: u8,
        payload: Vec<u8>,
        within: Duration,
    ) -> impl Future<Output = Result<Vec<u8>, LinkError>> + Send {
        Self::ask(self, to, purpose, kind, payload, within)
    }
}

/// The task of a link: it makes the connection and keeps it.
struct Keeper<N> {
    net: N,
    me: LinkEnd,
    to: u16,
    purpose: Purpose,
    address: String,
    bounds: Arc<Bounds>,
    told: Arc<Told>,
    asked: Arc<Asked>,
}

impl<N: Net> Keeper<N> {
    async fn run(self) {
        let peer = format!("node {}", self.to);
        let salt = u64::from(self.me.node) << 32 | u64::from(self.to) << 16 | self.purpose as u64;
        let mut failures = 0;
        loop {
            self.asked.some().await;
            let hello = Hello::new(self.me, self.to, self.purpose);
            let reason = match connect(&self.net, &self.address, &hello, &self.bounds).await {
                Err(reason) => {
                    if self.told.is_new(&peer, &reason) {
                        tracing::warn!("no link to {peer} at {}: {reason}", self.address);
                    }
                    failures += 1;
                    reason
                }
                Ok((stream, _)) => {
                    if self.told.forget(&peer) {
                        tracing::info!("links to {peer} at {} are up again", self.address);
                    }
                    let (reason, was_useful) = flow(stream, &self.asked, &self.bounds).await;
                    tracing::debug!("the link to {peer} for {} broke: {reason}", self.purpose);
                    failures = if was_useful { 0 } else { failures + 1 };
                    reason
                }
            };
            self.asked.fail(&reason);
            sleep(self.bounds.retry(failures, salt)).await;
        }
    }
}

/// Makes a connection and says hello. Returns who answered.
///
/// # Errors
///
/// The text says why there is no link.
pub(super) async fn connect<N: Net>(
    net: &N,
    address: &str,
    hello: &Hello,
    bounds: &Bounds,
) -> Result<(N::Stream, LinkEnd), String> {
    let greeted = timeout(bounds.greeting, async {
        let mut stream = net.connect(address).await?;
        hello.send(&mut stream).await?;
        let reply = HelloReply::receive(&mut stream).await?;
        Ok::<_, std::io::Error>((stream, reply))
    });
    match greeted.await {
        Err(_) => Err(format!("no answer within {:?}", bounds.greeting)),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err("it closed the connection without a word: see its log".to_owned())
        }
        Ok(Err(error)) => Err(net.explain(&error)),
        Ok(Ok((_, HelloReply::Refused(reason)))) => Err(format!("it refused this node: {reason}")),
        Ok(Ok((stream, HelloReply::Welcome { me, .. }))) => Ok((stream, me)),
    }
}

/// Sends what is asked and hands out the answers until the connection breaks. Returns why it broke, and whether an
/// answer came.
pub(super) async fn flow<S: AsyncRead + AsyncWrite>(
    stream: S,
    asked: &Asked,
    bounds: &Bounds,
) -> (String, bool) {
    let (read, write) = split(stream);
    let mut reader = FrameReader::new(read, bounds.payload);
    let mut writer = FrameWriter::new(write, bounds.payload);
    let mut was_useful = false;
    let reading = async {
        loop {
            match reader.next(bounds.silence).await {
                Ok(Some(frame)) if frame.number == 0 => {}
                Ok(Some(frame)) => match asked.answered(frame) {
                    Ok(()) => was_useful = true,
                    Err(reason) => return reason,
                },
                Ok(None) => return "the other end closed it".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    };
    let writing = async {
        loop {
            while let Some(frame) = asked.next() {
                writer.add(&frame).await?;
            }
            writer.flush().await?;
            if timeout(bounds.alive, asked.some()).await.is_err() {
                writer.add(&Frame::alive()).await?;
            }
        }
    };
    let reason = tokio::select! {
        biased;
        reason = reading => reason,
        error = writing => {
            let Err::<std::convert::Infallible, std::io::Error>(error) = error;
            error.to_string()
        }
    };
    (reason, was_useful)
}
