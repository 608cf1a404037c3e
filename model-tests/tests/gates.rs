//! Goal: a client cannot tell whether its server is alone or in a cluster. Method: each example is a conversation with
//! two servers in this process, one with a machine of its own and one behind an agreed log. After each line, every
//! client must have heard the same bytes from both. Time is paused, so that it passes alike for both.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../../server/tests/replicated/loopback.rs"]
mod loopback;

use elockd_core::{Accounts, Input};
use elockd_model_tests::example::{Act, Example, all};
use elockd_server::listen::{Listener, Peer};
use elockd_server::tokens::{Reserving, TokenSource};
use elockd_server::{Config, Server};
use loopback::{FOR_EVER, Loopback, Member, hinged};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::advance;

/// Accepts what it is handed.
struct Handed(UnboundedReceiver<(DuplexStream, Peer)>);

impl fmt::Display for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl Listener for Handed {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(handed) => Ok(handed),
            None => pending().await,
        }
    }
}

/// Fencing tokens from 1 on, once.
struct Once(Option<u64>);

impl TokenSource for Once {
    fn reserve(&mut self) -> Reserving<'_> {
        let last = self.0.take();
        Box::pin(async move {
            match last {
                Some(last) => Ok(1..=last),
                None => pending().await,
            }
        })
    }
}

/// One of the two servers, with its clients.
struct Side {
    connect: UnboundedSender<(DuplexStream, Peer)>,
    stop: Option<oneshot::Sender<()>>,
    clients: BTreeMap<String, DuplexStream>,
}

/// What a client has heard since it was asked last, and whether its connection is over.
type Heard = BTreeMap<String, (String, bool)>;

fn config(example: &Example) -> Config {
    let max_line_bytes = example.line_bytes;
    Config { machine: example.config.clone(), max_line_bytes, write_timeout: None, ..Config::default() }
}

impl Side {
    fn alone(example: &Example) -> Self {
        let server = Server::new(config(example)).tokens_from(Once(Some(example.tokens)));
        let (connect, handed) = unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        server.listen(Handed(handed));
        tokio::spawn(server.run(async { drop(stopped.await) }));
        Self { connect, stop: Some(stop), clients: BTreeMap::new() }
    }

    /// A node of a cluster. It has the number of a single daemon, so that its clients' addresses are the same.
    fn clustered(example: &Example) -> Self {
        let (door, inside, _hand) = hinged(0);
        let server = Server::clustered(config(example), door);
        let replica = server.replica();
        let (connect, handed) = unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        server.listen(Handed(handed));
        tokio::spawn(server.run(async { drop(stopped.await) }));
        inside.serve(1, FOR_EVER);
        let (log, hold) = Loopback::new(vec![Member { inside, replica }]);
        log.apply(&[Input::Tokens { first: 1, last: example.tokens }]);
        tokio::spawn(async move {
            log.run().await;
            drop(hold);
        });
        Self { connect, stop: Some(stop), clients: BTreeMap::new() }
    }

    fn client(&mut self, name: &str) -> &mut DuplexStream {
        self.clients.entry(name.to_owned()).or_insert_with(|| {
            let (near, far) = duplex(1 << 20);
            let peer = if name.starts_with("admin") { Peer::Operator(None) } else { Peer::Unix };
            // During a shutdown nobody accepts. Then its end is closed.
            let _ = self.connect.send((far, peer));
            near
        })
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::Open(name) => drop(self.client(name)),
            Act::Say(name, line) => {
                // A client that was closed may not be able to say anything.
                let line = [line, &b"\n"[..]].concat();
                let _ = self.client(name).write_all(&line).await;
            }
            Act::Close(name) => drop(self.client(name).shutdown().await),
            Act::Break(name) => drop(self.clients.remove(name)),
            Act::Drain => drop(self.stop.take()),
            Act::Pass(..) | Act::Lapse(_) | Act::Tokens(..) | Act::Account(_) => {}
        }
    }

    async fn heard(&mut self) -> Heard {
        let mut heard = Heard::new();
        for (name, stream) in &mut self.clients {
            heard.insert(name.clone(), read(stream).await);
        }
        heard
    }
}

/// Reads what is there.
async fn read(stream: &mut DuplexStream) -> (String, bool) {
    let (mut all, mut bytes) = (Vec::new(), vec![0; 1 << 20]);
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer))).await;
        all.extend_from_slice(buffer.filled());
        match read {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
            Poll::Pending => return (String::from_utf8_lossy(&all).into_owned(), false),
            Poll::Ready(_) => return (String::from_utf8_lossy(&all).into_owned(), true),
        }
    }
}

/// Lets everybody run until nothing is left to be done at this time.
async fn settle() {
    for _ in 0..400 {
        yield_now().await;
    }
}

/// Whether both servers can do what the example has happen. A lapse of a daemon is another thing than one of a node.
/// Accounts are no cluster's yet. Tokens come from elsewhere.
fn fits(example: &Example) -> bool {
    let is_other = |act: &Act| matches!(act, Act::Lapse(_) | Act::Tokens(..) | Act::Account(_));
    let has_accounts = *example.config.accounts != Accounts::default();
    example.tokens > 0 && !has_accounts && !example.turns.iter().any(|turn| is_other(&turn.act))
}

/// Plays an example on both. Returns how many bytes were heard.
async fn play(example: &Example) -> Result<usize, String> {
    let (mut alone, mut clustered) = (Side::alone(example), Side::clustered(example));
    settle().await;
    let mut bytes = 0;
    for turn in &example.turns {
        if let Act::Pass(ms, _) = turn.act {
            // A millisecond at a time: timers that are due at different times go off in their order.
            for _ in 0..ms.min(2000) {
                advance(Duration::from_millis(1)).await;
            }
            advance(Duration::from_millis(ms.saturating_sub(2000))).await;
        }
        alone.act(&turn.act).await;
        clustered.act(&turn.act).await;
        settle().await;
        let (of_alone, of_clustered) = (alone.heard().await, clustered.heard().await);
        if of_alone != of_clustered {
            let (file, title, text) = (&example.file, &example.title, &turn.text);
            return Err(format!(
                "{file}:{}: {title}: {text}\n  alone: {of_alone:?}\n  in a cluster: {of_clustered:?}",
                turn.at
            ));
        }
        bytes += of_alone.values().map(|(text, _)| text.len()).sum::<usize>();
    }
    Ok(bytes)
}

#[test]
fn every_example_is_the_same_conversation_with_both() {
    let examples = all();
    let (mut played, mut bytes, mut differ) = (0, 0, Vec::new());
    for example in examples.iter().filter(|example| fits(example)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        match runtime.unwrap().block_on(play(example)) {
            Ok(heard) => bytes += heard,
            Err(difference) => differ.push(difference),
        }
        played += 1;
    }
    assert!(differ.is_empty(), "{} of {played} differ:\n{}", differ.len(), differ.join("\n"));
    assert!(played * 10 >= examples.len() * 8, "only {played} of {} examples", examples.len());
    assert!(bytes > 10_000, "only {bytes} bytes were heard");
}
