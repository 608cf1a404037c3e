//! Clients: the processes on a host that connect, write and read as the script says. They know nothing of the
//! server's state and decide nothing. The liveness phase is the exception: there each of them gets and releases every
//! lock.

use super::server::{HOST, OPERATORS_PORT, PORT};
use super::wire::Wires;
use crate::accounts::{ALL, RunAccounts};
use crate::conversation::{Answer, Conversation};
use crate::log::{Ended, Event, Log};
use crate::plan::Plan;
use crate::script::{Client, FaultKind, Host};
use elockd_core::{Command, Kind, Reply};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(5);
/// The lock that everybody waits for in the liveness phase. No script uses its name.
const LINE: &[u8] = b"the line of the liveness phase";

/// A client's task.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// Write bytes.
    Say(Vec<u8>),
    /// Stop reading.
    Deafen,
    /// Read again.
    Hear,
    /// End its own side.
    HalfClose,
    /// Close.
    Close,
    /// Get and release every lock, then close.
    Survive,
}

/// The listener that a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The clients' listener.
    Public,
    /// The operators' listener.
    Operators,
}

/// A queue of tasks, and the client that waits for them.
pub(super) struct Queue<T> {
    items: RefCell<VecDeque<T>>,
    notify: Notify,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { items: RefCell::default(), notify: Notify::new() }
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&self, item: T) {
        self.items.borrow_mut().push_back(item);
        self.notify.notify_one();
    }

    async fn next(&self) -> T {
        loop {
            if let Some(item) = self.items.borrow_mut().pop_front() {
                return item;
            }
            self.notify.notified().await;
        }
    }

    fn next_if<R>(&self, is_wanted: impl FnOnce(&mut T) -> Option<R>) -> Option<R> {
        let mut items = self.items.borrow_mut();
        let wanted = is_wanted(items.front_mut()?)?;
        items.pop_front();
        Some(wanted)
    }
}

/// A client's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is connecting.
    Connecting,
    /// It is connected.
    Connected,
    /// It has got and released every lock.
    Survived,
    /// Its connection is over.
    Over,
}

/// Data that all hosts share.
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) log: Log,
    pub(super) wires: Wires,
    /// The state of each client.
    pub(super) progress: RefCell<BTreeMap<Client, Progress>>,
    /// The tasks of each client.
    pub(super) deeds: RefCell<BTreeMap<Client, Rc<Queue<Deed>>>>,
    /// The address of each client that was ever connected.
    pub(super) addrs: RefCell<BTreeMap<Client, SocketAddr>>,
    /// The key that each client has: the one that it was told last, or with which it has resumed since.
    pub(super) keys: RefCell<BTreeMap<Client, Vec<u8>>>,
}

impl Shared {
    /// Gives a client a task. Without such a client nothing happens.
    pub(super) fn order(&self, client: Client, deed: Deed) {
        if let Some(queue) = self.deeds.borrow().get(&client) {
            queue.push(deed);
        }
    }

    fn note_progress(&self, client: Client, progress: Progress) {
        self.progress.borrow_mut().insert(client, progress);
    }
}

/// The process on a host: it starts a client whenever it is told to.
pub(super) async fn host(
    shared: Rc<Shared>,
    host: Host,
    opens: Rc<Queue<(Client, Door)>>,
) -> turmoil::Result {
    loop {
        let (client, door) = opens.next().await;
        let Some(deeds) = shared.deeds.borrow().get(&client).cloned() else { continue };
        tokio::task::spawn_local(run(Rc::clone(&shared), host, client, door, deeds));
    }
}

/// The number of the client that connects from a host in the liveness phase.
pub(super) const fn fresh(host: u8) -> Client {
    Client(1_000_000 + host as u32)
}

async fn run(shared: Rc<Shared>, host: Host, client: Client, door: Door, deeds: Rc<Queue<Deed>>) {
    // Pause before a client of the liveness phase tries to connect again.
    const RETRY: Duration = Duration::from_millis(50);
    let is_fresh = client.0 >= fresh(0).0;
    shared.note_progress(client, Progress::Connecting);
    loop {
        let port = if door == Door::Operators { OPERATORS_PORT } else { PORT };
        let connecting = TcpStream::connect((HOST, port));
        let stream = if is_fresh {
            timeout(RETRY * 20, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        } else {
            connecting.await
        };
        match stream {
            Ok(stream) => {
                let connection = ClientEnd::new(&shared, host, client, stream);
                let outcome = connection.serve(&deeds).await;
                if outcome == Progress::Survived || !is_fresh {
                    return shared.note_progress(client, outcome);
                }
                deeds.push(Deed::Survive);
            }
            Err(_) if is_fresh => {}
            Err(_) => {
                shared.log.note(Event::NotConnected(client));
                return shared.note_progress(client, Progress::Over);
            }
        }
        sleep(RETRY).await;
    }
}

/// A connection, from its client's side.
struct ClientEnd<'a> {
    shared: &'a Shared,
    client: Client,
    addr: SocketAddr,
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    conversation: Conversation,
    /// The last complete reply.
    answer: Vec<u8>,
    is_deaf: Cell<bool>,
    is_half_closed: Cell<bool>,
    /// All locks that it ever asked for.
    wanted: BTreeSet<(Kind, Vec<u8>)>,
    /// Whether it may have a registered name.
    is_registered: bool,
    /// The number of its requests, and the keys that it said, by the numbers of those requests.
    requests: usize,
    keys: BTreeMap<usize, Vec<u8>>,
}

impl<'a> ClientEnd<'a> {
    fn new(shared: &'a Shared, host: Host, client: Client, stream: TcpStream) -> Self {
        let addr = stream.local_addr().expect("a simulated stream has an address");
        shared.log.note(Event::Connected { client, host, addr });
        shared.addrs.borrow_mut().insert(client, addr);
        shared.note_progress(client, Progress::Connected);
        let (read, write) = stream.into_split();
        let settings = &shared.plan.server;
        let conversation = Conversation::new(settings.line_bytes, settings.silent_errors);
        Self {
            shared,
            client,
            addr,
            read,
            write,
            conversation,
            answer: Vec::new(),
            is_deaf: Cell::new(false),
            is_half_closed: Cell::new(false),
            wanted: BTreeSet::new(),
            is_registered: false,
            requests: 0,
            keys: BTreeMap::new(),
        }
    }

    /// Does its tasks until the connection is over.
    async fn serve(mut self, deeds: &Queue<Deed>) -> Progress {
        let ended = loop {
            let deed = tokio::select! {
                biased;
                deed = deeds.next() => deed,
                got = read(&mut self.read), if !self.is_deaf.get() => match self.got(got) {
                    Some(ended) => break ended,
                    None => continue,
                },
            };
            let done = match deed {
                Deed::Say(mut bytes) => {
                    // All that is said within one millisecond is one write.
                    while let Some(more) = deeds.next_if(|deed| match deed {
                        Deed::Say(more) => Some(std::mem::take(more)),
                        _ => None,
                    }) {
                        bytes.extend(more);
                    }
                    self.say(bytes).await
                }
                Deed::Deafen => {
                    self.is_deaf.set(true);
                    Ok(())
                }
                Deed::Hear => {
                    self.bite_if_unread(FaultKind::Deaf).await;
                    self.is_deaf.set(false);
                    Ok(())
                }
                Deed::HalfClose => self.half_close().await,
                Deed::Close => {
                    self.bite_at_the_end();
                    if self.is_deaf.get() {
                        self.bite_if_unread(FaultKind::Deaf).await;
                        self.bite_if_unread(FaultKind::Reset).await;
                    }
                    break Ended::Closed;
                }
                // It ends by itself once it has its answers.
                Deed::Survive if self.is_half_closed.get() => {
                    self.is_deaf.set(false);
                    Ok(())
                }
                Deed::Survive => {
                    self.is_deaf.set(false);
                    match self.survive().await {
                        Ok(()) => {
                            self.shared.log.note(Event::Ended(self.client, Ended::Closed));
                            return Progress::Survived;
                        }
                        Err(ended) => break ended,
                    }
                }
            };
            if let Err(ended) = done {
                break ended;
            }
        };
        self.shared.log.note(Event::Ended(self.client, ended));
        Progress::Over
    }

    async fn say(&mut self, bytes: Vec<u8>) -> Result<(), Ended> {
        if self.is_half_closed.get() {
            // A kernel refuses to send after FIN, and the connection goes on.
            return Ok(());
        }
        self.write.write_all(&bytes).await.map_err(|_| Ended::Broken)?;
        for command in self.conversation.said(&bytes) {
            self.requests += 1;
            match command {
                Command::Get(wish) => {
                    self.wanted.insert((wish.kind(), wish.into_name()));
                }
                Command::Iam(_) => self.is_registered = true,
                Command::Resume(key) => {
                    self.is_registered = true;
                    self.keys.insert(self.requests - 1, key);
                }
                _ => {}
            }
        }
        self.shared.log.note(Event::Sent(self.client, bytes));
        Ok(())
    }

    /// Takes the bytes that were read. Returns how the connection ended, if it did.
    fn got(&mut self, got: io::Result<Vec<u8>>) -> Option<Ended> {
        let bytes = match got {
            Ok(bytes) if bytes.is_empty() => return Some(Ended::Fin),
            Ok(bytes) => bytes,
            Err(_) => return Some(Ended::Broken),
        };
        self.shared.wires.took(self.addr, bytes.len());
        // Bytes that answer nothing are found when the run is over.
        let mut answers = self.conversation.heard(&bytes).unwrap_or_default();
        for answer in &answers {
            self.note_key(answer);
        }
        if let Some(last) = answers.pop() {
            self.answer = last.bytes;
        }
        self.shared.log.note(Event::Received(self.client, bytes));
        None
    }

    /// Notes the key that an answer tells, or the one that it says is right.
    fn note_key(&self, answer: &Answer) {
        let key = match Reply::read(&answer.bytes) {
            Some(Reply::Lingers { key: Some(key), .. }) => Some(key.to_vec()),
            Some(Reply::Resumed { .. }) => self.keys.get(&answer.request).cloned(),
            _ => None,
        };
        if let Some(key) = key {
            self.shared.keys.borrow_mut().insert(self.client, key);
        }
    }

    async fn half_close(&mut self) -> Result<(), Ended> {
        if self.conversation.unanswered() > 0 {
            self.shared.log.bite(FaultKind::HalfClose);
        }
        self.bite_at_the_end();
        // A second FIN is an error, and changes nothing.
        if self.write.shutdown().await.is_ok() {
            self.is_half_closed.set(true);
            self.shared.log.note(Event::HalfClosed(self.client));
        }
        Ok(())
    }

    fn bite_at_the_end(&self) {
        if self.conversation.is_within_a_line() {
            self.shared.log.bite(FaultKind::CutOffLine);
        }
    }

    /// Counts a fault if bytes have arrived that were not read.
    async fn bite_if_unread(&mut self, fault: FaultKind) {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let has_unread = poll_fn(|cx| {
            let peeked = Pin::new(&mut self.read).poll_peek(cx, &mut buffer);
            Poll::Ready(matches!(peeked, Poll::Ready(Ok(bytes)) if bytes > 0))
        })
        .await;
        if has_unread {
            self.shared.log.bite(fault);
        }
    }

    /// Releases all it may hold, then gets and releases every lock, one after the other.
    async fn survive(&mut self) -> Result<(), Ended> {
        while self.conversation.unanswered() > 0 {
            self.hear().await?;
        }
        if self.conversation.is_within_a_line() {
            self.say(b"\n".to_vec()).await?;
            while self.conversation.unanswered() > 0 {
                self.hear().await?;
            }
        }
        let names = self.shared.plan.names.clone();
        let line = |verb: &str, name: &[u8]| [verb.as_bytes(), b" ", name, b"\n"].concat();
        if self.is_registered {
            // Its name takes memory, which others may need.
            self.ask(b"iam\n".to_vec()).await?;
        }
        // A run that is replayed lock by lock must not end many holds at once. Who has said a key may hold what it
        // never asked for.
        let is_swarm = self.shared.plan.scenario.is_swarm();
        if is_swarm && (self.client.0.is_multiple_of(2) || !self.keys.is_empty()) {
            self.ask(b"ra\n".to_vec()).await?;
        } else {
            for (kind, name) in self.wanted.clone() {
                self.ask([&Command::Release(kind, name).line()[..], b"\n"].concat()).await?;
            }
        }
        if RunAccounts::of(&self.shared.plan).is_some() {
            // Now it holds nothing, and the others may not have every lock.
            self.ask(format!("auth token-of-{ALL}\n").into_bytes()).await?;
        }
        for (get, release) in [("g", "r"), ("sg", "sr"), ("rg", "rr"), ("wg", "wr")] {
            for name in &names {
                while is_failure(&self.ask(line(get, name)).await?) {
                    sleep(PAUSE).await;
                }
                self.release(line(release, name)).await?;
            }
        }
        let ms = self.shared.plan.liveness_ms * 2 / 3;
        for name in &names {
            self.wait(line(&format!("gw {ms}"), name)).await?;
            self.fence(line("f", name)).await?;
            self.release(line("r", name)).await?;
        }
        // Nobody uses `sg` on this name, so that nobody in line starves.
        let limit = self.client.0 % 3 + 1;
        self.wait(line(&format!("sgw {ms} {limit}"), LINE)).await?;
        sleep(PAUSE).await;
        self.release(line("sr", LINE)).await
    }

    /// Waits for a lock. The wait must be granted.
    async fn wait(&mut self, request: Vec<u8>) -> Result<(), Ended> {
        loop {
            let answer = self.ask(request.clone()).await?;
            if !is_failure(&answer) {
                return Ok(());
            }
            let is_full = matches!(
                Reply::read(&answer),
                Some(Reply::QueueFull { .. } | Reply::TooManyLocks { .. } | Reply::OutOfMemory { .. })
            );
            if !is_full {
                let (request, answer) = (request.escape_ascii(), answer.escape_ascii());
                let what = format!("{} asked \"{request}\" and was told \"{answer}\"", self.client);
                self.shared.log.violate("liveness", None, what);
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks for a fencing token. Tokens must be there again when the disk is.
    async fn fence(&mut self, request: Vec<u8>) -> Result<(), Ended> {
        while self.shared.plan.server.tokens > 0
            && Reply::read(&self.ask(request.clone()).await?) == Some(Reply::NoTokens)
        {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn release(&mut self, request: Vec<u8>) -> Result<(), Ended> {
        let released = self.ask(request).await?;
        // If there are operators, one may still steal.
        if is_failure(&released) && !self.shared.plan.server.admin {
            let released = released.escape_ascii();
            let what = format!("{} could not release what it had got: {released}", self.client);
            self.shared.log.violate("liveness", None, what);
        }
        Ok(())
    }

    /// Sends one request and waits for its answer.
    async fn ask(&mut self, request: Vec<u8>) -> Result<Vec<u8>, Ended> {
        self.say(request).await?;
        while self.conversation.unanswered() > 0 {
            self.hear().await?;
        }
        Ok(std::mem::take(&mut self.answer))
    }

    async fn hear(&mut self) -> Result<(), Ended> {
        let got = read(&mut self.read).await;
        self.got(got).map_or(Ok(()), Err)
    }
}

/// Reads what there is. Safe to cancel.
async fn read(stream: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let bytes = stream.read(&mut buffer).await?;
    buffer.truncate(bytes);
    Ok(buffer)
}

/// Whether a reply is a failure, or none that anybody knows.
fn is_failure(reply: &[u8]) -> bool {
    Reply::read(reply).is_none_or(|reply| reply.is_failure())
}
