//! Handshakes: each in a task of its own, under a timeout, within a bound. Here a handshake is one line: the address of
//! the peer.

use super::{Handed, ask, line};
use elockd_server::listen::{Handshake, HandshakeError, Peer};
use elockd_server::{Config, Monitor, Server};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

struct SaysItsAddress;

impl Handshake<DuplexStream> for SaysItsAddress {
    type Stream = DuplexStream;

    async fn run(&self, mut stream: DuplexStream, _: Peer) -> Result<(DuplexStream, Peer), HandshakeError> {
        let failed = |reason: &dyn fmt::Display| HandshakeError::new("address", reason);
        let mut said = Vec::new();
        loop {
            match stream.read_u8().await {
                Ok(b'\n') => break,
                Ok(byte) => said.push(byte),
                Err(error) => return Err(failed(&error)),
            }
        }
        let address = str::from_utf8(&said).ok().and_then(|said| said.parse().ok());
        let address = address.ok_or_else(|| failed(&"there is none"))?;
        Ok((stream, Peer::Ip(address)))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" (addresses)")
    }
}

struct Running {
    connect: UnboundedSender<DuplexStream>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
    monitor: Monitor,
}

fn start(change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::default();
    change(&mut config);
    let (connect, handed) = unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    let server = Server::new(config);
    server.listen_through(Handed(handed), SaysItsAddress);
    let monitor = server.monitor();
    let done = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    Running { connect, stop, done, monitor }
}

impl Running {
    fn connect(&self) -> DuplexStream {
        let (near, far) = duplex(4096);
        self.connect.send(far).unwrap();
        near
    }

    async fn connect_as(&self, address: &str) -> DuplexStream {
        let mut client = self.connect();
        client.write_all(format!("{address}\n").as_bytes()).await.unwrap();
        client
    }

    /// What is left of handshakes: those under way, those dropped, those that failed.
    fn handshakes(&self) -> (u64, u64, u64) {
        (self.monitor.handshakes(), self.monitor.handshakes_dropped(), self.monitor.handshakes_failed())
    }

    fn connections(&self) -> usize {
        self.monitor.mailboxes()
    }
}

/// Waits until the server closes. Returns how long that took.
async fn time_until_closed(client: &mut DuplexStream) -> Duration {
    let begin = Instant::now();
    let read = timeout(Duration::from_hours(1), client.read_u8()).await.expect("it is closed");
    assert!(read.is_err(), "it is told nothing");
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_opened_when_its_handshake_is_over_and_with_the_peer_that_came_of_it() {
    let server = start(|_| ());
    let mut client = server.connect();
    client.write_all(b"1.2.3.4:5").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!((server.connections(), server.handshakes()), (0, (1, 0, 0)));
    client.write_all(b"\ng x\nme\n").await.unwrap();
    assert_eq!(line(&mut client).await, "1 Lock Get Success: x\n");
    assert!(line(&mut client).await.contains("1.2.3.4:5"));
    assert_eq!((server.connections(), server.handshakes()), (1, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_handshake_of_another() {
    let server = start(|_| ());
    let _silent: Vec<_> = (0..100).map(|_| server.connect()).collect();
    let mut client = server.connect_as("1.2.3.4:5").await;
    assert_eq!(ask(&mut client, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!(server.handshakes(), (100, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_may_take_as_long_as_its_timeout_and_no_longer() {
    let server = start(|config| config.handshake_timeout = Duration::from_secs(3));
    let mut slow = server.connect();
    let mut slower = server.connect();
    sleep(Duration::from_millis(2_990)).await;
    slow.write_all(b"1.2.3.4:5\n").await.unwrap();
    let elapsed = time_until_closed(&mut slower).await;
    assert!(elapsed >= Duration::from_millis(9) && elapsed <= Duration::from_millis(12), "{elapsed:?}");
    assert_eq!(ask(&mut slow, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!((server.connections(), server.handshakes()), (1, (0, 0, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_changed_timeout_holds_for_those_that_come_after() {
    let server = start(|config| config.handshake_timeout = Duration::from_hours(1));
    let mut config = Config { handshake_timeout: Duration::from_secs(1), ..Config::default() };
    config.max_listing_bytes = 1;
    server.monitor.tune(config.tunables());
    let mut client = server.connect();
    let elapsed = time_until_closed(&mut client).await;
    assert!(elapsed <= Duration::from_millis(1_010), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn one_handshake_more_than_allowed_ends_the_oldest_and_who_is_quick_gets_in() {
    let server = start(|config| config.max_handshakes = 10);
    let mut silent: VecDeque<_> = (0..10).map(|_| server.connect()).collect();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(server.handshakes(), (10, 0, 0));
    for number in 1..=5 {
        let mut client = server.connect_as("1.2.3.4:5").await;
        assert_eq!(ask(&mut client, "ping\n").await, "1 pong\n", "it is as good as alone");
        assert_eq!(time_until_closed(&mut silent.pop_front().unwrap()).await, Duration::ZERO);
        assert_eq!(server.handshakes(), (9, number, 0));
        silent.push_back(server.connect());
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(server.handshakes(), (10, 5, 0), "as many as allowed");
    drop(silent);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(server.handshakes(), (0, 5, 10), "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_fails_or_is_given_up_leaves_nothing() {
    let server = start(|_| ());
    let mut wrong = server.connect_as("here").await;
    time_until_closed(&mut wrong).await;
    for said in ["", "1", "1.2.3.4:5"] {
        let mut client = server.connect();
        client.write_all(said.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(server.monitor.handshakes(), 1);
        drop(client);
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((server.connections(), server.handshakes(), server.monitor.tasks()), (0, (0, 0, 4), 0));
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_after_the_handshake_is_told_why() {
    let server = start(|config| config.machine.limits.connections = 1);
    let mut first = server.connect_as("1.2.3.4:5").await;
    assert_eq!(ask(&mut first, "ping\n").await, "1 pong\n");
    let mut second = server.connect_as("1.2.3.4:6").await;
    assert_eq!(line(&mut second).await, "0 Too Many Connections\n");
    drop(first);
    drop(second);
    sleep(Duration::from_secs(2)).await;
    assert_eq!((server.connections(), server.monitor.closing_sockets(), server.monitor.tasks()), (0, 0, 0));
    let mut third = server.connect_as("1.2.3.4:7").await;
    assert_eq!(ask(&mut third, "ping\n").await, "1 pong\n");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_no_handshake() {
    let server = start(|config| config.shutdown_timeout = Duration::from_secs(5));
    let mut silent = server.connect();
    sleep(Duration::from_millis(1)).await;
    let begin = Instant::now();
    server.stop.send(()).unwrap();
    server.done.await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(5), "{:?}", begin.elapsed());
    time_until_closed(&mut silent).await;
}
