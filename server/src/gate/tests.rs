//! Goal: a server needs nothing of its gate but what the trait promises. Method: a gate that is as late as allowed.
//! What the hub answers at once, this gate answers by mail, and only when it was asked for mail twice.

use super::{Gate, GateHandle, Local};
use crate::clock::Clock;
use crate::hub::{Flow, Handle, Hub, Mail};
use crate::listen::{Listener, Peer, Stream};
use crate::{Config, Server};
use elockd_core::{Account, Accounts, Addr, Cause, Command, Conn, Kind, Machine, Now, Origin, Reason};
use std::cell::Cell;
use std::fmt;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

struct Late(Local);

struct LateHandle {
    inner: Handle,
    /// The hub's answer, and how often mail must still be asked for before it is there.
    reply: Cell<Option<(Vec<u8>, u32)>>,
    /// Wakes the task that asked for mail when there was none.
    waker: Cell<Option<Waker>>,
}

impl LateHandle {
    fn put(&self, reply: Vec<u8>) {
        self.reply.set(Some((reply, 1)));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn take(&self) -> Option<Vec<u8>> {
        self.reply.take().map(|(reply, _)| reply)
    }
}

impl Gate for Late {
    type Handle = LateHandle;
    type Pass = ();
    type Guarded<S: Stream> = S;

    const NEEDS_TOKENS: bool = true;
    const ANSWERS_BY_MAIL: bool = true;

    fn hub(&self) -> &Hub {
        self.0.hub()
    }

    fn node(&self) -> u16 {
        self.0.node()
    }

    fn is_serving(&self) -> bool {
        true
    }

    fn time(&self, now: Now) -> Now {
        self.0.time(now)
    }

    fn take_in<S: Stream>(&self, stream: S) -> (S, ()) {
        self.0.take_in(stream)
    }

    fn in_care_of(&self, pass: &(), is_ready: bool, task: JoinHandle<()>) {
        self.0.in_care_of(pass, is_ready, task);
    }

    fn open(&self, pass: &(), now: Now, origin: impl FnOnce(Conn) -> Origin) -> Result<LateHandle, Reason> {
        self.0.open(pass, now, origin).map(|inner| LateHandle {
            inner,
            reply: Cell::default(),
            waker: Cell::default(),
        })
    }

    fn set_accounts(&self, now: Now, accounts: &Arc<Accounts>) {
        self.0.set_accounts(now, accounts);
    }

    fn close_without_account(&self, now: Now, after: Option<Conn>, most: usize) -> (usize, Option<Conn>) {
        self.0.close_without_account(now, after, most)
    }

    fn drain(&self, now: Now) {
        self.0.drain(now);
    }

    fn tend(&self, clock: Clock, idle_ms: u64) -> impl Future<Output = ()> + Send {
        self.0.tend(clock, idle_ms)
    }
}

impl GateHandle for LateHandle {
    fn batch<N: AsRef<[u8]>>(&self, now: Now, commands: &[Command<N>], out: &mut Vec<u8>) -> Flow {
        let mut replies = Vec::new();
        match self.inner.batch(now, commands, &mut replies) {
            Flow::Go => {
                self.put(replies);
                Flow::Wait
            }
            flow => {
                out.extend(replies);
                flow
            }
        }
    }

    fn command<N: AsRef<[u8]>>(
        &self,
        now: Now,
        command: &Command<N>,
        out: &mut Vec<u8>,
    ) -> (Flow, Option<bool>) {
        (self.batch(now, std::slice::from_ref(command), out), None)
    }

    fn account(&self) -> Account {
        self.inner.account()
    }

    fn addr(&self) -> Option<Addr> {
        self.inner.addr()
    }

    fn is_holder(&self, kind: Kind, name: &[u8]) -> bool {
        self.inner.is_holder(kind, name)
    }

    fn close(&mut self, now: Now, cause: Cause) -> Vec<u8> {
        let mut owed = self.take().unwrap_or_default();
        owed.extend(self.inner.close(now, cause));
        owed
    }

    fn close_waiting(&mut self, now: Now) -> Option<Vec<u8>> {
        let reply = self.inner.close_waiting(now)?;
        self.put(reply);
        None
    }

    fn closed(&mut self) {
        self.inner.closed();
    }

    fn poll_mail(&self, waker: &Waker) -> Poll<Mail> {
        match self.reply.take() {
            None => {
                self.waker.set(Some(waker.clone()));
                self.inner.poll_mail(waker)
            }
            Some((reply, 0)) => Poll::Ready(Mail::Reply(reply, Flow::Go)),
            Some((reply, polls)) => {
                self.reply.set(Some((reply, polls - 1)));
                waker.wake_by_ref();
                Poll::Pending
            }
        }
    }
}

/// A listener that accepts the streams it was made with.
struct Handed(Vec<DuplexStream>);

impl fmt::Display for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl Listener for Handed {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.pop() {
            Some(stream) => Ok((stream, Peer::Unix)),
            None => pending().await,
        }
    }
}

/// Sends `requests` and then FIN. Returns all that comes back.
async fn say(mut client: DuplexStream, requests: &str) -> String {
    client.write_all(requests.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut replies = String::new();
    client.read_to_string(&mut replies).await.unwrap();
    replies
}

#[tokio::test(start_paused = true)]
async fn replies_may_come_late() {
    let config = Config::default();
    let server = Server::through(Late(Local::new(Machine::new(config.machine.clone()), None)), config);
    let (clients, streams): (Vec<_>, Vec<_>) = (0..3).map(|_| duplex(4096)).unzip();
    server.listen(Handed(streams));
    let monitor = server.monitor();
    tokio::spawn(server.run(pending()));
    let [mut holder, waiter, other] = <[_; 3]>::try_from(clients).unwrap();
    holder.write_all(b"g x\n").await.unwrap();
    let mut got = [0; 22];
    holder.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"1 Lock Get Success: x\n");
    // A listing in the middle. Nothing behind it may run before all of it is sent.
    let replies = say(other, "ping\ng x\ng y\nd\nr y\ni x\nbogus\nr y\n").await;
    let expected = [
        "1 pong",
        "0 Lock Get Failure: x",
        "1 Lock Get Success: y",
        // The stream that was given last is accepted first.
        "x: unix:3",
        "y: unix:1",
        "",
        "1 Lock Release Success: y",
        "1 Lock Is Locked: x",
        "0 Unknown Command: bogus",
        "0 Lock Release Failure: y",
        "",
    ];
    assert_eq!(replies, expected.join("\n"));
    // FIN ends a wait, and its reply comes by mail too.
    let replies = say(waiter, "gw 1000 x\nping\n").await;
    assert_eq!(replies, "0 Lock Get Timeout: x\n");
    assert_eq!(monitor.figures(|figures| figures.holds(Kind::Exclusive)), 1);
}
