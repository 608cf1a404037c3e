//! Goal: what the server does about time and trouble, to the millisecond. Method: the production server
//! in this process, over in-memory streams and a paused clock, so that waiting costs nothing and every
//! moment is exact.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod access;
mod closing;
mod handshakes;
mod slices;
mod tokens;
mod waits;

use elockd_server::listen::{Acceptor, Listener, Peer};
use elockd_server::{Config, LatencySnapshot, Monitor, Server, Tunables};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep, timeout};
use tracing::subscriber::DefaultGuard;

/// Accepts what it is handed.
struct Handed(UnboundedReceiver<DuplexStream>);

impl fmt::Display for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl Listener for Handed {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, Peer::Unix)),
            None => std::future::pending().await,
        }
    }
}

/// A server that runs, and the way to it.
struct Running {
    connect: UnboundedSender<DuplexStream>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
    monitor: Monitor,
}

fn start(change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::default();
    change(&mut config);
    run(Server::new(config))
}

fn run(server: Server) -> Running {
    let (connect, handed) = unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    server.listen(Handed(handed));
    let monitor = server.monitor();
    let done = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    Running { connect, stop, done, monitor }
}

impl Running {
    /// A connection whose two buffers hold this many bytes.
    fn connect(&self, buffer: usize) -> DuplexStream {
        let (near, far) = duplex(buffer);
        self.connect.send(far).unwrap();
        near
    }
}

async fn ask(stream: &mut DuplexStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    line(stream).await
}

async fn line(stream: &mut DuplexStream) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(stream.read_u8().await.expect("a whole line"));
    }
    String::from_utf8(line).unwrap()
}

async fn rest(stream: &mut DuplexStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    rest
}

#[tokio::test(start_paused = true)]
async fn no_task_is_left_of_connections_that_ended() {
    let server = start(|_| {});
    let mut observer = server.connect(4096);
    assert_eq!(ask(&mut observer, "ping\n").await, "1 pong\n");
    let before = Handle::current().metrics().num_alive_tasks();
    for round in 0..2 {
        let mut clients: Vec<_> = (0..500).map(|_| server.connect(4096)).collect();
        for (i, client) in clients.iter_mut().enumerate() {
            assert_eq!(ask(client, &format!("g {i}\n")).await, format!("1 Lock Get Success: {i}\n"));
        }
        assert_eq!(Handle::current().metrics().num_alive_tasks(), before + 500, "round {round}");
        drop(clients);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), before, "round {round}");
        assert_eq!(ask(&mut observer, "i 499\n").await, "0 Lock Not Locked: 499\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_replies_loses_its_locks_after_the_write_timeout() {
    let server = start(|config| config.write_timeout = Some(Duration::from_secs(15)));
    let (mut stuck, mut other) = (server.connect(256), server.connect(4096));
    assert_eq!(ask(&mut stuck, "g x\n").await, "1 Lock Get Success: x\n");
    let begin = Instant::now();
    stuck.write_all(&b"ping\n".repeat(50)).await.unwrap();
    sleep(Duration::from_millis(14_900)).await;
    assert_eq!(ask(&mut other, "g x\n").await, "0 Lock Get Failure: x\n");
    while ask(&mut other, "g x\n").await.starts_with('0') {
        sleep(Duration::from_millis(1)).await;
    }
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_secs(15) && elapsed < Duration::from_millis(15_010), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_that_takes_a_byte_now_and_then_keeps_its_locks() {
    let server = start(|config| config.write_timeout = Some(Duration::from_secs(15)));
    let (mut slow, mut other) = (server.connect(16), server.connect(4096));
    assert_eq!(ask(&mut slow, "g x\n").await, "1 Lock Get Success: x\n");
    slow.write_all(&b"ping\n".repeat(20)).await.unwrap();
    for _ in 0..50 {
        sleep(Duration::from_secs(14)).await;
        slow.read_u8().await.unwrap();
        assert_eq!(ask(&mut other, "g x\n").await, "0 Lock Get Failure: x\n");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_an_active_one_is_not() {
    let server = start(|config| config.machine.limits.idle_ms = 60_000);
    let (mut idle, mut active) = (server.connect(4096), server.connect(4096));
    assert_eq!(ask(&mut idle, "g x\n").await, "1 Lock Get Success: x\n");
    let begin = Instant::now();
    for _ in 0..5 {
        sleep(Duration::from_secs(10)).await;
        assert_eq!(ask(&mut active, "ping\n").await, "1 pong\n");
    }
    assert_eq!(rest(&mut idle).await, "", "closed without a word");
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_mins(1) && elapsed < Duration::from_millis(60_010), "{elapsed:?}");
    assert_eq!(ask(&mut active, "g x\n").await, "1 Lock Get Success: x\n");
}

/// Lines that this thread logs from here on.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn follow() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
        let log = log.with_writer(move || writer.clone()).finish();
        (lines, tracing::subscriber::set_default(log))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_commands_that_come_as_the_idle_limit_closes_their_connection() {
    let (log, _following) = Lines::follow();
    let server = start(|config| {
        config.verbose = true;
        config.machine.limits.idle_ms = 1000;
    });
    let mut client = server.connect(4096);
    assert_eq!(ask(&mut client, "g a\n").await, "1 Lock Get Success: a\n");
    sleep(Duration::from_millis(900)).await;
    // Read when the limit is reached, before anybody else has closed the connection.
    let (written, ()) =
        tokio::join!(client.write_all(b"g x\nr a\nsg y\niam z\n"), advance(Duration::from_millis(100)));
    written.unwrap();
    assert_eq!(rest(&mut client).await, "");
    let log = log.text();
    assert!(log.contains("got lock \"a\"") && log.contains("disconnected (idle)"), "{log}");
    assert!(log.contains("orphaned lock \"a\""), "{log}");
    for never in ["lock \"x\"", "released", "lock \"y\"", "called"] {
        assert!(!log.contains(never), "{never:?} is in {log}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_limit_beyond_all_time_is_never_up() {
    let server = start(|config| config.machine.limits.idle_ms = u64::MAX);
    let (mut idle, mut active) = (server.connect(4096), server.connect(4096));
    assert_eq!(ask(&mut idle, "g x\n").await, "1 Lock Get Success: x\n");
    sleep(Duration::from_hours(24)).await;
    assert_eq!(ask(&mut active, "g x\n").await, "0 Lock Get Failure: x\n");
}

#[tokio::test(start_paused = true)]
async fn the_server_reads_no_further_while_replies_wait() {
    let server = start(|_| {});
    let mut client = server.connect(1024);
    // Each `q` is answered with some 300 bytes, which nobody reads.
    let endless = async {
        let mut sent = 0;
        while sent < 10 << 20 {
            sent += client.write(b"q\nq\nq\nq\nq\nq\nq\nq\n").await.unwrap();
        }
    };
    assert!(
        timeout(Duration::from_secs(5), endless).await.is_err(),
        "it took 10 MB that it could not answer"
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_answers_what_was_sent_and_then_closes() {
    let server = start(|_| {});
    let mut client = server.connect(4096);
    assert_eq!(ask(&mut client, "g x\n").await, "1 Lock Get Success: x\n");
    client.write_all(b"i x\nr x\nping\n").await.unwrap();
    server.stop.send(()).unwrap();
    let answers = rest(&mut client).await;
    assert_eq!(answers, "1 Lock Is Locked: x\n1 Lock Release Success: x\n1 pong\n");
    drop(client);
    server.done.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_clients_that_take_nothing() {
    let server = start(|config| {
        config.shutdown_timeout = Duration::from_secs(5);
        config.write_timeout = None;
    });
    let mut stuck = server.connect(64);
    stuck.write_all(&b"ping\n".repeat(12)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    server.stop.send(()).unwrap();
    server.done.await.unwrap();
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_secs(5) && elapsed < Duration::from_millis(5_010), "{elapsed:?}");
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_by_the_server_is_drained_for_a_second() {
    let server = start(|_| {});
    let mut client = server.connect(64);
    client.write_all(b"ping\nquit\n").await.unwrap();
    let begin = Instant::now();
    assert_eq!(rest(&mut client).await, "1 pong\n");
    while client.write_all(&[b'x'; 64]).await.is_ok() {
        sleep(Duration::from_millis(1)).await;
    }
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_secs(1) && elapsed < Duration::from_millis(1_010), "{elapsed:?}");
}

/// A listener that is out of file descriptors.
struct Failing(Arc<AtomicU64>);

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nowhere")
    }
}

impl Listener for Failing {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(io::Error::other("too many open files"))
    }
}

#[tokio::test(start_paused = true)]
async fn accepting_slows_down_while_it_fails_and_a_shutdown_still_works() {
    let tries = Arc::new(AtomicU64::new(0));
    let server = Server::new(Config::default());
    server.listen(Failing(Arc::clone(&tries)));
    let (stop, stopped) = oneshot::channel::<()>();
    let done = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    sleep(Duration::from_millis(9_950)).await;
    assert_eq!(tries.load(Ordering::Relaxed), 100, "ten times a second");
    stop.send(()).unwrap();
    timeout(Duration::from_millis(1), done).await.expect("it does not wait for the next try").unwrap();
}

/// A listener with a word to say of each try, the last one first. `Ok` is a connection. After the last it has none.
struct Scripted(Vec<io::Result<()>>);

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nowhere")
    }
}

impl Listener for Scripted {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.pop() {
            Some(said) => said.map(|()| (duplex(1).0, Peer::Unix)),
            None => std::future::pending().await,
        }
    }
}

fn full() -> io::Result<()> {
    Err(io::Error::other("too many open files"))
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_accepted_is_told_of_once_and_so_is_the_end_of_that() {
    let (log, _following) = Lines::follow();
    let mut acceptor = Acceptor::new(Scripted(vec![Ok(()), full(), full(), full()]));
    let begin = Instant::now();
    acceptor.next().await;
    assert_eq!(begin.elapsed(), Duration::from_millis(300));
    let failed = " WARN cannot accept on nowhere, trying again every 100ms: too many open files";
    assert_eq!(log.text().lines().collect::<Vec<_>>(), [failed]);
    // The last error was 100 ms ago. Nobody else comes.
    assert!(timeout(Duration::from_millis(9_899), acceptor.next()).await.is_err());
    assert_eq!(log.text().lines().count(), 1, "{}", log.text());
    assert!(timeout(Duration::from_millis(10), acceptor.next()).await.is_err());
    assert_eq!(log.text().lines().collect::<Vec<_>>(), [failed, " INFO accepting again on nowhere"]);
    assert!(timeout(Duration::from_hours(1), acceptor.next()).await.is_err());
    assert_eq!(log.text().lines().count(), 2, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn accepting_that_fails_now_and_then_is_told_of_once_a_minute() {
    let (log, _following) = Lines::follow();
    // Each connection takes 100 ms and is followed by an error: 601 of them in a minute, the first one included.
    let script = (0..2 * 1500).map(|i| if i % 2 == 0 { Ok(()) } else { full() }).collect();
    let mut acceptor = Acceptor::new(Scripted(script));
    for _ in 0..1500 {
        acceptor.next().await;
    }
    let again = |times| {
        format!(
            " WARN cannot accept on nowhere, {times} times since it was last reported, trying again every \
             100ms: too many open files"
        )
    };
    let expected = [
        " WARN cannot accept on nowhere, trying again every 100ms: too many open files".to_owned(),
        again(600),
        again(600),
    ];
    assert_eq!(log.text().lines().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_before_it_is_accepted_is_no_trouble() {
    let (log, _following) = Lines::follow();
    let gone = [io::ErrorKind::ConnectionAborted, io::ErrorKind::Interrupted].map(io::Error::from);
    let begin = Instant::now();
    let script = gone.into_iter().map(Err).chain([Ok(())]).rev().collect();
    Acceptor::new(Scripted(script)).next().await;
    assert_eq!((begin.elapsed(), &*log.text()), (Duration::ZERO, ""));
}

#[tokio::test(start_paused = true)]
async fn a_write_timeout_that_is_changed_holds_for_whoever_stalls_from_then_on() {
    let server = start(|config| config.write_timeout = None);
    let (mut stuck, mut other) = (server.connect(256), server.connect(4096));
    assert_eq!(ask(&mut stuck, "g x\n").await, "1 Lock Get Success: x\n");
    let tunables = Config::default().tunables();
    server.monitor.tune(Tunables { write_timeout: Some(Duration::from_secs(3)), ..tunables });
    stuck.write_all(&b"ping\n".repeat(50)).await.unwrap();
    sleep(Duration::from_millis(2900)).await;
    assert_eq!(ask(&mut other, "g x\n").await, "0 Lock Get Failure: x\n");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(ask(&mut other, "g x\n").await, "1 Lock Get Success: x\n");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_timeout_that_is_changed_holds_for_the_next_shutdown() {
    let server = start(|config| config.shutdown_timeout = Duration::from_hours(1));
    let mut stuck = server.connect(64);
    stuck.write_all(b"help\n").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    server
        .monitor
        .tune(Tunables { shutdown_timeout: Duration::from_secs(2), ..Config::default().tunables() });
    let begin = Instant::now();
    server.stop.send(()).unwrap();
    server.done.await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn holds_that_are_older_than_the_limit_are_counted_while_they_last() {
    let server = start(|config| config.warn_held = Some(Duration::from_mins(1)));
    let mut client = server.connect(4096);
    // Walks are every 6 s.
    sleep(Duration::from_secs(1)).await;
    for name in ["g a\n", "g b\n", "sg s\n"] {
        assert!(ask(&mut client, name).await.starts_with('1'));
    }
    sleep(Duration::from_secs(58)).await;
    assert_eq!(server.monitor.long_holds(), 0);
    sleep(Duration::from_secs(8)).await;
    assert_eq!(server.monitor.long_holds(), 3);
    assert!(ask(&mut client, "r a\n").await.starts_with('1'));
    assert!(ask(&mut client, "g young\n").await.starts_with('1'));
    sleep(Duration::from_secs(7)).await;
    assert_eq!(server.monitor.long_holds(), 2);
    drop(client);
    sleep(Duration::from_secs(7)).await;
    assert_eq!(server.monitor.long_holds(), 0, "an ended connection holds nothing");
}

#[tokio::test(start_paused = true)]
async fn the_warning_of_long_holds_can_be_switched_on_and_off() {
    let server = start(|_| {});
    let mut client = server.connect(4096);
    assert!(ask(&mut client, "g a\n").await.starts_with('1'));
    sleep(Duration::from_hours(1)).await;
    assert_eq!(server.monitor.long_holds(), 0);
    let tunables = Config::default().tunables();
    server.monitor.tune(Tunables { warn_held: Some(Duration::from_mins(1)), ..tunables });
    sleep(Duration::from_secs(7)).await;
    assert_eq!(server.monitor.long_holds(), 1);
    server.monitor.tune(tunables);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.monitor.long_holds(), 0);
}

#[tokio::test(start_paused = true)]
async fn reading_settings_again_puts_no_warning_off() {
    let server = start(|config| config.warn_held = Some(Duration::from_mins(1)));
    let mut client = server.connect(4096);
    assert!(ask(&mut client, "g a\n").await.starts_with('1'));
    let tunables = Tunables { warn_held: Some(Duration::from_mins(1)), ..Config::default().tunables() };
    // Walks are every 6 s, and settings are read every 5 s.
    for _ in 0..14 {
        sleep(Duration::from_secs(5)).await;
        server.monitor.tune(tunables);
    }
    assert_eq!(server.monitor.long_holds(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_warned_of_once_however_the_limit_changes() {
    let (log, _following) = Lines::follow();
    let minutes =
        |minutes| Tunables { warn_held: Some(Duration::from_mins(minutes)), ..Config::default().tunables() };
    let server = start(|config| config.tune(minutes(10)));
    let mut client = server.connect(4096);
    assert!(ask(&mut client, "g old\n").await.starts_with('1'));
    sleep(Duration::from_mins(7)).await;
    assert!(ask(&mut client, "g young\n").await.starts_with('1'));
    sleep(Duration::from_mins(5)).await;
    let warnings = || log.text().matches(" has been held for ").count();
    assert_eq!(warnings(), 1, "{}", log.text());
    for limit in [20, 11, 10] {
        server.monitor.tune(minutes(limit));
        sleep(Duration::from_secs(61)).await;
        assert_eq!(warnings(), 1, "{limit} minutes: {}", log.text());
    }
    server.monitor.tune(Config::default().tunables());
    sleep(Duration::from_secs(61)).await;
    // The young one is some 9 minutes old now.
    server.monitor.tune(minutes(5));
    sleep(Duration::from_secs(61)).await;
    assert_eq!(warnings(), 2, "{}", log.text());
    assert!(log.text().contains("lock \"young\" has been held for"), "{}", log.text());
    server.monitor.tune(minutes(1));
    sleep(Duration::from_mins(20)).await;
    assert_eq!((warnings(), server.monitor.long_holds()), (2, 2), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn long_holds_are_looked_for_in_slices() {
    let server = start(|config| {
        config.warn_held = Some(Duration::from_secs(10));
        config.machine.storage.scan_slice = 1;
    });
    let mut client = server.connect(1 << 20);
    for name in 0..300 {
        assert!(ask(&mut client, &format!("g {name}\n")).await.starts_with('1'));
    }
    sleep(Duration::from_secs(12)).await;
    assert_eq!(server.monitor.long_holds(), 300);
}

#[tokio::test(start_paused = true)]
async fn every_command_is_in_the_latency_whatever_its_batch() {
    let server = start(|config| config.measure_latency = true);
    let mut client = server.connect(1 << 20);
    client.write_all(&b"ping\n".repeat(1000)).await.unwrap();
    for _ in 0..1000 {
        assert_eq!(line(&mut client).await, "1 pong\n");
    }
    assert_eq!(ask(&mut client, "bogus\n").await, "0 Unknown Command: bogus\n");
    let latency = server.monitor.latency();
    assert_eq!(latency.counts.iter().sum::<u64>(), 1001);
    assert_eq!(latency.sum, Duration::ZERO, "this clock stands still while commands run");
}

#[tokio::test(start_paused = true)]
async fn the_latency_has_what_a_command_waits_behind_answers_that_are_not_taken() {
    let server = start(|config| {
        config.measure_latency = true;
        config.write_timeout = None;
    });
    let mut client = server.connect(16 << 10);
    // Read in one go, and answered with more than may wait to be sent.
    let requests = 16 * 1024 / 5;
    client.write_all(&b"help\n".repeat(requests)).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let before = server.monitor.latency();
    let answered = before.counts.iter().sum::<u64>();
    assert!(answered > 0 && answered < requests as u64, "{answered} of {requests} have run");
    assert_eq!(before.sum, Duration::ZERO);
    client.write_all(b"quit\n").await.unwrap();
    rest(&mut client).await;
    let after = server.monitor.latency();
    let waited = requests as u64 - answered;
    assert_eq!(after.counts.iter().sum::<u64>(), requests as u64 + 1, "the quit too");
    // All but the quit, which was still to be read.
    assert_eq!(after.sum, Duration::from_secs(10) * u32::try_from(waited).unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_latency_is_not_taken_unless_somebody_wants_it() {
    let server = start(|_| {});
    let mut client = server.connect(4096);
    assert_eq!(ask(&mut client, "ping\n").await, "1 pong\n");
    assert_eq!(server.monitor.latency(), LatencySnapshot::default());
}
